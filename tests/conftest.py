"""Fixtures that every test may use."""

from __future__ import annotations

import errno
import os
import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from support import write_model

from mien import labels

if TYPE_CHECKING:  # the base install, which these tests run on too, has no corpora
    from collections.abc import Callable

    from mien.datasets.faces import FaceSet
    from mien.datasets.manifest import Manifest

if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # a worker a core; threads on top of that wait for each other


ALL_OF_FER2013 = re.compile(r"\b(fer2013_manifest|fer2013_faces|ferplus_faces|voted_manifest)\b")
"""Fixtures that take a minute; the files that name one run in one process."""


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Keep the tests of a file in one process, for its fixtures, those on Ray, and those that read all of FER2013.

    ``--dist loadgroup`` would do it, but groups nothing with pytest 9.2 (pytest-dev/pytest-xdist#1386).
    """
    from xdist.scheduler import LoadScopeScheduling

    @cache
    def scope(file: str) -> str:
        if file.startswith("tests/scale/"):
            return "scale"  # Ray takes every core
        return "fer2013" if ALL_OF_FER2013.search((config.rootpath / file).read_text("utf-8")) else file

    class Files(LoadScopeScheduling):  # type: ignore[misc]
        def _split_scope(self, nodeid: str) -> str:
            return scope(nodeid.split("::", maxsplit=1)[0])

    return Files(config, log)


@pytest.fixture
def closed(monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], None]:
    """Close a folder to the listing of its files, as permissions would, which root does not feel."""
    scandir = os.scandir

    def close(folder: Path) -> None:
        def refusing(path: Any = ".") -> Any:
            if not isinstance(path, int) and os.path.realpath(path) == os.path.realpath(folder):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), os.fspath(path))
            return scandir(path)

        monkeypatch.setattr(os, "scandir", refusing)

    return close


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
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model file of a network so small that it answers in no time."""
    path = tmp_path_factory.mktemp("model") / "tiny.onnx"
    write_model(path)
    return path


@pytest.fixture(scope="session")
def fer2013_manifest(data_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    """All of FER2013, indexed once."""
    pytest.importorskip("pyarrow")
    from mien.datasets.index import index
    from mien.datasets.manifest import read

    return read(index([data_dir / "fer2013.zip"], tmp_path_factory.mktemp("fer2013") / "fer2013.parquet").path)


@pytest.fixture(scope="session")
def fer2013_faces(fer2013_manifest: Manifest) -> FaceSet:
    """All of FER2013 in memory."""
    from mien.datasets.faces import FaceSet

    return FaceSet.from_manifest(fer2013_manifest)


@pytest.fixture(scope="session")
def voted_manifest(fer2013_manifest: Manifest, data_dir: Path) -> Callable[[str], Manifest]:
    """FER2013's manifest with FER+'s votes, by the rule given: as it is indexed, without reading the faces again."""
    from mien.datasets.formats import ferplus
    from mien.datasets.rows import Row

    def join(rule: str) -> Manifest:
        given = zip(*(fer2013_manifest.column(name) for name in ("member", "label", "dataset", "split")), strict=True)
        rows = list(map(ferplus.open_join(data_dir / "ferplus", rule), (Row(*each) for each in given)))
        found = fer2013_manifest.take([place for place, row in enumerate(rows) if row])
        for name in ("label", "votes"):
            found = found.with_column(name, [getattr(row, name) for row in rows if row])
        return found

    return join


@pytest.fixture(scope="session")
def ferplus_faces(voted_manifest: Callable[[str], Manifest], fer2013_faces: FaceSet) -> FaceSet:
    """FER2013's faces, read once, with the majority of FER+'s votes as labels, those without one left out."""
    from mien.datasets import faces
    from mien.datasets.rows import Row

    pixels, joined = dict(zip(fer2013_faces.ids, fer2013_faces.pixels, strict=True)), voted_manifest("majority")
    fields = zip(*(joined.column(name) for name in ("id", "label", "dataset", "split", "votes")), strict=True)
    rows = [
        Row(name, label, dataset, split, votes=votes and tuple(votes), pixels=pixels[name])
        for name, label, dataset, split, votes in fields
    ]
    return faces._collect(rows, labels.scheme("ferplus"))


@pytest.fixture(scope="session")
def crossing(examples: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A film of 3 seconds, variable frame rate and sound: two faces cross, one leaves and comes back."""
    pytest.importorskip("av")
    import films

    return films.write_crossing(examples, tmp_path_factory.mktemp("films") / "crossing.mp4")
