"""Checkpoints that are whole or not there, and the newest whole one of a run.

Lightning writes a checkpoint into the system's temporary folder and moves it, which between two disks is a copy: killed
in the middle, or with the disk full, a run was left with ``last.ckpt`` cut off and nothing to resume from.
"""

from __future__ import annotations

import io
import logging
import os
import zipfile
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.plugins.io import TorchCheckpointIO

from mien.errors import TrainingError
from mien.files import appearing

LAST, BEFORE = "last.ckpt", "before.ckpt"
"""The newest checkpoint of a run, and the one before it."""

_log = logging.getLogger(__name__)


class WholeCheckpoints(TorchCheckpointIO):
    """Writes a checkpoint beside its name and on the disk before it takes the name; keeps the last but one."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any | None = None) -> None:
        """Write one checkpoint. Raises ``OSError`` with the file's name where the disk refuses it."""
        path, content = Path(path), io.BytesIO()
        torch.save(checkpoint, content)  # into memory: its own file writer ends the process when a disk is full
        path.parent.mkdir(parents=True, exist_ok=True)
        with appearing(path) as draft:
            with draft.open("wb") as file:
                file.write(content.getbuffer())
                file.flush()
                os.fsync(file.fileno())
            if path.name == LAST and path.exists():
                path.replace(path.with_name(BEFORE))


def newest(run: Path) -> Path | None:
    """Return the newest whole checkpoint of a run, None for a run without any; those cut off are named in the log.

    Raises ``TrainingError`` if all of them are cut off.
    """
    paths = [path for path in (run / "checkpoints" / LAST, run / "checkpoints" / BEFORE) if path.exists()]
    for path in paths:
        if is_whole(path):
            return path
        _log.warning("%s is cut off or damaged and is passed over.", path)
    if paths:
        raise TrainingError(f"All checkpoints of {run} are cut off or damaged. Train again, into another folder.")
    return None


def is_whole(path: Path) -> bool:
    """Say whether a checkpoint, which is a zip, is there to its end with all its checksums right."""
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.testzip() is None
    except (zipfile.BadZipFile, OSError, EOFError):
        return False
