"""One Ray on this machine for all tests of the folder, and photos small enough to be read in no time."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from blocks import COUNT, POISON, rows_of
from PIL import Image
from support import noise

from mien.cli import main


@pytest.fixture(scope="session")
def local_ray() -> Iterator[None]:
    """Ray with two CPUs, without a dashboard; whoever asks for it shares it."""
    pytest.importorskip("ray")
    from mien.scale import cluster

    with cluster.session(None, 2):
        yield


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """40 photos, two of which are none."""
    folder = tmp_path_factory.mktemp("photos")
    for number in range(COUNT):
        Image.fromarray(noise(20, 24, number)).save(folder / f"{number}.png")
    for number in POISON:
        (folder / f"{number}.png").write_bytes(b"\x89PNG")
    return folder


@pytest.fixture(scope="session")
def alone(photos: Path, model: Path, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """The rows that ``mien predict`` writes in one process."""
    pytest.importorskip("pyarrow")
    out = tmp_path_factory.mktemp("alone") / "out"
    options = ["--format", "parquet", "--model", str(model), "--detector", "whole", "--threads", "1"]
    assert main(["predict", str(photos), "--out", str(out), *options]) == 3
    return rows_of(out)
