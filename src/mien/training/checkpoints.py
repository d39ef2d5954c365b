"""Atomic checkpoints, and the newest intact one of a run.

Lightning writes a checkpoint into the system's temporary folder and moves it, which between two disks is a copy: a run
killed in the middle, or on a full disk, was left with a truncated ``last.ckpt`` and nothing to resume from.
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

from mien import run_files
from mien.datasets.sources.streams import BROKEN
from mien.errors import TrainingError
from mien.files import appearing

LAST, BEFORE = "last.ckpt", "before.ckpt"
"""File names of a run's newest checkpoint and of the previous one."""

_log = logging.getLogger(__name__)


class WholeCheckpoints(TorchCheckpointIO):
    """Write a checkpoint to a temporary file, sync it, then rename it; keep the previous one."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any | None = None) -> None:
        """Write one checkpoint.

        Raises:
            OSError: with the file's name if the disk does not take it.
        """
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
    """Return the newest intact checkpoint of a run, None for a run without any; log the damaged ones.

    Raises:
        TrainingError: all of them are damaged.
    """
    paths = [
        path for path in (run / run_files.CHECKPOINTS / LAST, run / run_files.CHECKPOINTS / BEFORE) if path.exists()
    ]
    for path in paths:
        if is_whole(path):
            return path
        _log.warning("Skipping %s, which is truncated or damaged.", path)
    if paths:
        raise TrainingError(f"All checkpoints of {run} are truncated or damaged. Train again, into another folder.")
    return None


def is_whole(path: Path) -> bool:
    """Check whether a checkpoint, which is a zip file, is complete and all its checksums match."""
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.testzip() is None
    except BROKEN:
        return False
