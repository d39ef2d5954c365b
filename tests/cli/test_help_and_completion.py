"""``mien help VERB``, completion scripts, and what is said to words that are no verbs."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from mien.cli import VERBS, main
from mien.cli.completion import options_of
from mien.recognition.detection.detect import DETECTORS


@pytest.mark.parametrize("verb", ["predict", "data index", "scale"])
def test_help_of_a_verb(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["help", *verb.split()]) == 0
    shown = capsys.readouterr().out
    assert main([*verb.split(), "--help"]) == 0
    assert shown == capsys.readouterr().out


def test_help_of_what_is_no_verb(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["help", "predikt"]) == 2
    assert "Did you mean 'predict'?" in capsys.readouterr().err


def script(shell: str, capsys: pytest.CaptureFixture[str]) -> str:
    assert main(["completion", shell]) == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_scripts_know_every_verb_and_option(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    text = script(shell, capsys)
    assert all(word in text for verb in VERBS for word in verb.split())
    dash = "-l " if shell == "fish" else "--"
    assert all(dash + name[2:] in text for name in options_of("predict"))
    if shell != "fish" and shutil.which(shell):
        assert subprocess.run([shell, "-n"], input=text, text=True, check=False).returncode == 0


@pytest.mark.skipif(not shutil.which("bash"), reason="needs bash")
@pytest.mark.parametrize(
    ("line", "completed"),
    [("mien pre", "predict"), ("mien predict --max-f", "--max-faces"), ("mien data spl", "split"),
     ("mien data split --pe", ""), ("mien scale predict --shu", "")],
)  # fmt: skip
def test_bash_completes(line: str, completed: str, capsys: pytest.CaptureFixture[str]) -> None:
    words = line.split()
    driver = (
        f"{script('bash', capsys)}\nCOMP_WORDS=({line}); COMP_CWORD={len(words) - 1}; _mien; echo ${{COMPREPLY[0]}}\n"
    )
    done = subprocess.run(["bash", "-c", driver], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == completed or (not completed and done.stdout.strip().startswith("--"))


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (["predict", "a.jpg", "--output", "b"], "Did you mean '--out'?"),
        (["predict", "a.jpg", "--colour", "b"], "unrecognized arguments: --colour b. See mien predict --help"),
        (["predict", "--hlep"], "unrecognized arguments: --hlep. Did you mean '--help'? See mien predict --help"),
        (["predict", "--colour=b"], "unrecognized arguments: --colour. See mien predict --help"),
        (["webcam"], "Did you mean 'watch'?"),
    ],
)
def test_suggestions_fit(arguments: list[str], hint: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    assert hint in capsys.readouterr().err


def test_help_names_every_detector(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["predict", "--help"]) == 0
    page = capsys.readouterr().out
    assert [name for name in DETECTORS if name not in page] == []
