"""Checkpoints are whole or not there; what is cut off is passed over and named."""

from __future__ import annotations

import errno
import io
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("lightning")

from mien.errors import TrainingError  # noqa: E402
from mien.training.checkpoints import BEFORE, LAST, WholeCheckpoints, is_whole, newest  # noqa: E402


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run of two epochs."""
    for epoch in (0, 1):
        save(tmp_path, epoch)
    return tmp_path


def save(run: Path, epoch: int) -> None:
    content: dict[str, Any] = {"epoch": epoch, "state_dict": {"weight": torch.full((100,), float(epoch))}}
    WholeCheckpoints().save_checkpoint(content, run / "checkpoints" / LAST)


def epoch(path: Path | None) -> int:
    return int(torch.load(path, weights_only=True)["epoch"])


def test_the_one_before_is_kept(run: Path) -> None:
    folder = run / "checkpoints"
    assert sorted(path.name for path in folder.iterdir()) == [BEFORE, LAST]
    assert (epoch(folder / BEFORE), epoch(newest(run))) == (0, 1)
    WholeCheckpoints().save_checkpoint({"epoch": 9}, folder / "best.ckpt")
    assert (epoch(folder / BEFORE), epoch(folder / "best.ckpt")) == (0, 9)


@pytest.mark.parametrize("kept", [0, 1, 500, -1])
def test_resume_takes_the_newest_whole_one_and_names_the_other(
    run: Path, kept: int, caplog: pytest.LogCaptureFixture
) -> None:
    last = run / "checkpoints" / LAST
    last.write_bytes(last.read_bytes()[:kept])
    assert epoch(newest(run)) == 0
    assert str(last) in caplog.text
    last.unlink()
    assert epoch(newest(run)) == 0


def test_a_flipped_bit_is_damage(run: Path) -> None:
    last = run / "checkpoints" / LAST
    content = bytearray(last.read_bytes())
    content[content.index(b"\x00\x00\x80\x3f" * 10) + 2] ^= 1  # among the weights, which are ones
    last.write_bytes(content)
    assert not is_whole(last)


def test_a_run_without_checkpoints_begins_anew_and_one_of_torn_ones_does_not(run: Path, tmp_path: Path) -> None:
    assert newest(tmp_path / "other") is None
    for path in (run / "checkpoints").iterdir():
        path.write_bytes(b"")
    with pytest.raises(TrainingError, match="damaged"):
        newest(run)


def test_a_full_disk_leaves_both_as_they_were(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("mien.training.checkpoints.os.fsync", refuse)
    with pytest.raises(OSError, match=r"last\.ckpt"):
        save(run, 2)
    assert sorted(path.name for path in (run / "checkpoints").iterdir()) == [BEFORE, LAST]
    assert epoch(newest(run)) == 1


def test_nothing_is_written_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A temporary folder on another disk made of the move a copy, which can be cut off."""
    import tempfile

    def refuse(*_: object, **__: object) -> io.BytesIO:
        raise AssertionError("written into the temporary folder")

    for name in ("mkstemp", "NamedTemporaryFile", "TemporaryFile"):
        monkeypatch.setattr(tempfile, name, refuse)
    save(tmp_path, 0)
    assert epoch(newest(tmp_path)) == 0
