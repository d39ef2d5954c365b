"""Fixtures that every test may use."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mien.datasets import fer2013
from mien.datasets.faces import FaceSet


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder of real data sets; tests that ask for it are skipped, and say so, where there is none."""
    folder = os.environ.get("MIEN_DATA")
    if not folder or not Path(folder).is_dir():
        pytest.skip("needs real data: set MIEN_DATA to the folder that holds fer2013.zip and the others")
    return Path(folder)


@pytest.fixture(scope="session")
def examples() -> Path:
    """The folder of the public-domain photo that ships with the repository."""
    return Path(__file__).parent.parent / "examples"


@pytest.fixture(scope="session")
def fer2013_faces(data_dir: Path) -> FaceSet:
    """All of FER2013, read once."""
    return fer2013.read(data_dir / "fer2013.zip")
