"""README pasted in order into a fresh folder, with the base install alone; the exit codes of the table.

Commands run one after the other, each in a process of its own that finds no package of an extra. The folder holds what
the README speaks of: its sample, a holiday, an archive, a photo. What needs an extra must say which. Left out is
``mien bench``, which takes half a minute and has tests of its own.
"""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pages
import pytest

import mien
from mien import cli
from mien.cli import VERBS, main

README = (pages.ROOT / "README.md").read_text("utf-8")
BARE = "import bare, sys; from mien.cli import main; sys.exit(main(sys.argv[1:]))"
EXTRAS = {"video": "video", "watch": "video", "serve": "serve", "scale": "scale"}
"""First word of a verb → the extra that it needs."""


def base_blocks() -> list[pages.Block]:
    """Return the blocks of the README that need the base install only, from the first to *Train your own*."""
    end = README[: README.index("## Train your own")].count("\n")
    return [
        block
        for block in pages.blocks("sh", "python")
        if block.place.startswith("README.md:") and int(block.place.split(":")[1]) <= end
    ]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh folder with the photos that the README speaks of."""
    home = tmp_path_factory.mktemp("fresh")
    for name in ("examples/astronaut.jpg", "holiday/a.jpg", "holiday/beach/b.jpg", "archive/c.jpg", "photo.jpg"):
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(pages.ROOT / "examples" / "astronaut.jpg", home / name)
    return home


def paste(folder: Path, code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run code as if nothing but the base install were there."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("COV_", "MIEN_"))}
    environment = {**kept, "PYTHONPATH": str(pages.ROOT / "tests"), "PYTHONIOENCODING": "utf-8"}
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=folder, env=environment, capture_output=True, text=True, check=False, encoding="utf-8",
    )  # fmt: skip


def calls(block: pages.Block) -> Iterable[list[str]]:
    """Yield the arguments of each call of ``mien`` in a block."""
    for words in pages.commands(block):
        if words[0] == "mien":
            yield words[1:]
        elif words[:3] == ["python", "-m", "mien"]:
            yield words[3:]


def test_every_line_works_in_order(folder: Path) -> None:
    verbs = set()
    for block in base_blocks():
        if block.language == "python":
            done = paste(folder, f"import bare\n{block.text}")
            assert (done.returncode, done.stderr) == (0, ""), block.text
            assert done.stdout.startswith("happiness ")
            continue
        for arguments in calls(block):
            verbs.add(arguments[0])
            if arguments[0] == "bench":
                continue
            done = paste(folder, BARE, *arguments)
            if extra := EXTRAS.get(arguments[0]):
                assert done.returncode == 2, arguments
                assert re.search(rf"pip install .*\[{extra}\]", done.stderr), (arguments, done.stderr)
            else:
                assert done.returncode == 0, (arguments, done.stderr)
    assert verbs >= {"predict", "video", "watch", "explain", "serve", "scale", "bench", "models", "doctor"}
    check_outputs(folder)


def check_outputs(folder: Path) -> None:
    """Check what the lines left behind."""
    rows = list(csv.DictReader((folder / "faces.csv").read_text("utf-8").splitlines()))
    assert [row["source"] for row in rows] == ["holiday/a.jpg", os.path.join("holiday", "beach", "b.jpg")]  # noqa: PTH118
    assert {row["emotion"] for row in rows} == {"happiness"}
    assert len([path for path in (folder / "drawn").rglob("*") if path.is_file()]) == 2
    lines = (folder / "archive.jsonl").read_text("utf-8").splitlines()
    assert [json.loads(line)["source"] for line in lines] == ["archive/c.jpg"]


def test_the_first_command_installs_this_package() -> None:
    first = next(block for block in base_blocks() if block.language == "sh")
    assert first.text.startswith("python -m pip install . && python -m mien predict ")
    assert (pages.ROOT / "pyproject.toml").is_file()


# The exit codes in one table

CODES = {
    "DONE": cli.DONE, "FAILED": cli.FAILED, "PARTLY": cli.PARTLY, "OUT_OF_MEMORY": cli.OUT_OF_MEMORY,
    "INTERRUPTED": cli.INTERRUPTED, "BROKEN_PIPE": cli.BROKEN_PIPE,
}  # fmt: skip


def code_table() -> list[tuple[int, str, str]]:
    """Return the rows of the table: code, meaning, verbs."""
    text = (pages.ROOT / "docs" / "command-line.md").read_text("utf-8").split("## Exit codes")[1]
    rows = re.findall(r"^\| (\d+) \| (.*) \| (.*) \|$", text, re.M)
    return [(int(code), meaning, verbs) for code, meaning, verbs in rows]


def test_the_table_has_every_code_and_no_other() -> None:
    assert {code for code, _, _ in code_table()} == set(CODES.values())


def test_the_table_names_the_verbs_that_end_with_3() -> None:
    named = {
        verb for code, _, verbs in code_table() if code == cli.PARTLY for verb in re.findall(r"`([a-z -]+?)`", verbs)
    }
    modules = {
        verb: pages.ROOT / "src" / Path(*module.split(".")).with_suffix(".py") for verb, (module, _) in VERBS.items()
    }
    returning = {verb for verb, path in modules.items() if re.search(r"\bPARTLY\b", path.read_text("utf-8"))}
    assert named == returning


@pytest.mark.parametrize(
    ("raised", "code"),
    [
        (None, cli.DONE),
        (mien.MienError("no"), cli.FAILED),
        (MemoryError(), cli.OUT_OF_MEMORY),
        (KeyboardInterrupt(), cli.INTERRUPTED),
        (BrokenPipeError(), cli.BROKEN_PIPE),
    ],
)
def test_every_verb_ends_with_the_codes_of_the_table(
    raised: BaseException | None, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mien.cli import models

    def run(_: object) -> int:
        if raised is not None:
            raise raised
        return cli.DONE

    monkeypatch.setattr(models, "run", run)
    monkeypatch.setattr(cli, "_silence_stdout", lambda: None)  # it would close pytest's own
    assert main(["models"]) == code


def test_3_is_for_files_that_cannot_be_read(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "none.jpg").write_text("no photo")
    assert main(["predict", str(tmp_path), str(folder / "photo.jpg"), "--threads", "1"]) == cli.PARTLY
    assert "none.jpg" in capsys.readouterr().err
