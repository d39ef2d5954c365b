"""What all verbs share: finding them, errors of one line, exit codes, and a start that loads nothing needless."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings
from importlib.util import find_spec
from pathlib import Path

import pytest

import mien
from mien import cli
from mien.cli import VERBS, load_verb, main, one_line
from mien.errors import MienWarning

RUN = [sys.executable, "-c", "import sys; from mien.cli import main; sys.exit(main())"]


def loaded_after(*arguments: str) -> set[str]:
    """Run the command in a process of its own and return the modules that it loaded."""
    script = (
        f"import sys; from mien.cli import main; main({list(arguments)!r}); print('|', *sys.modules, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(done.stderr.rpartition("|")[2].split())


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"mien {mien.__version__}\n"


@pytest.mark.parametrize("argument", ["--version", "--help"])
def test_version_and_help_load_nothing_heavy(argument: str) -> None:
    loaded = loaded_after(argument)
    assert "mien.cli" in loaded
    heavy = {"numpy", "cv2", "onnxruntime", "PIL", "torch", "rich", "typer", "argparse", "mien.cli.predict"}
    assert not loaded & heavy


def test_the_help_of_a_verb_loads_no_network() -> None:
    heavy = {"numpy", "cv2", "onnxruntime", "PIL", "torch", "rich"}
    assert sorted(loaded_after("predict", "--help") & heavy) == []


def test_help_lists_all_verbs(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    shown = capsys.readouterr().out
    assert all(f"  {verb} " in shown and summary in shown for verb, (_, summary) in VERBS.items())


def test_a_warning_of_mien_is_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    others: list[str] = []
    monkeypatch.setattr(warnings, "showwarning", lambda message, *_: others.append(str(message)))
    cli._shorten_warnings()
    for message in (MienWarning("no GPU\nhere"), UserWarning("of another package")):
        warnings.showwarning(message, type(message), "file.py", 1)
    assert capsys.readouterr().err == "mien: warning: no GPU\\nhere\n"
    assert others == ["of another package"]


def test_no_verb_at_all_shows_the_help_and_fails(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert "Verbs:" in capsys.readouterr().out


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_a_module_with_options_and_help(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert find_spec(VERBS[verb][0])
    parser, run = load_verb(verb)
    assert callable(run)
    assert main([verb, "--help"]) == 0
    assert capsys.readouterr().out.startswith(f"usage: {parser.prog}")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["predikt", "a.jpg"], "Did you mean 'predict'?"),
        (["predict"], "PATH. See mien predict --help"),
        (["predict", "a.jpg", "--fromat", "json"], "Did you mean '--format'? See mien predict --help"),
        (["predict", "a.jpg", "--format", "jsn"], "Did you mean 'json'? See mien predict --help"),
        (["predict", "a.jpg", "--form", "json"], "--form"),
        (["predict", "a.jpg", "--max-faces", "0"], "1 or more"),
        (["predict", "a.jpg", "--threshold", "high"], "expected a number"),
        (["predict", "a.jpg", "--threshold", "nan"], "argument --threshold: 'nan': expected a number"),
        (["predict", "a.jpg", "--min-size", "inf"], "argument --min-size: 'inf': expected a number"),
        (["watch", "--seconds=-1"], "argument --seconds: '-1': expected a number, 0 or more"),
        (["predict", "gone.jpg"], "gone.jpg"),
        (["predict", "nothing*.jpg"], "nothing*.jpg"),
        (["predict", "-", "-"], "stands alone"),
        (["predict", "a\nb\x1b[31m.jpg"], r"a\nb\x1b[31m.jpg"),
        (["doctor", "--format", "csv"], "table, json"),
    ],
)
def test_wrong_use_is_one_line_and_exit_code_2(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    output, error = capsys.readouterr()
    assert output == ""
    assert error.startswith("mien: error: ")
    assert error.count("\n") == 1
    assert error.endswith("\n")
    assert words in error


def test_one_line_leaves_nothing_that_a_terminal_would_obey() -> None:
    assert one_line("a\nb\x1b[2J\udcff é 中") == "a\\nb\\x1b[2J\\udcff é 中"


def test_exit_code_of_the_process() -> None:
    assert subprocess.run([*RUN, "predict", "gone.jpg"], capture_output=True, check=False).returncode == 2


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGPIPE to speak of")
def test_a_reader_that_goes_away_is_no_error() -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)
    done = subprocess.run([*RUN, "--help"], stdout=write_end, stderr=subprocess.PIPE, check=False)
    os.close(write_end)
    assert (done.returncode, done.stderr) == (141, b"")


def test_help_on_an_ascii_terminal() -> None:
    settings = {**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    done = subprocess.run([*RUN, "doctor", "--format", "json"], capture_output=True, check=False, env=settings)
    assert done.returncode in (0, 2)
    assert b"Traceback" not in done.stderr


@pytest.mark.parametrize(("path", "code"), [("examples/astronaut.jpg", 0), ("examples/none.jpg", 2)])
def test_the_whole_process_says_what_main_says(
    path: str, code: int, examples: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["predict", str(examples.parent / path), "--format", "json"]
    command = [sys.executable, "-m", "mien", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", check=False)
    assert main(arguments) == code == done.returncode
    printed = capsys.readouterr()
    assert (done.stdout, done.stderr) == (printed.out, printed.err)


def test_memory_that_is_lacking_has_a_code_of_its_own(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def lack(_: object) -> int:
        raise MemoryError

    monkeypatch.setattr("mien.cli.doctor.run", lack)
    assert main(["doctor"]) == 4
    assert "memory" in capsys.readouterr().err
