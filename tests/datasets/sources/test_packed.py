"""An array of crops in one file: rows by name, mapped from disk, and nothing else taken for it."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from corpora import pack_zip

pytestmark = pytest.mark.train
pytest.importorskip("pyarrow")

from mien.datasets.pixels import PixelReader  # noqa: E402
from mien.datasets.sources import packed  # noqa: E402
from mien.datasets.sources.archive import open_source  # noqa: E402
from mien.errors import DataError  # noqa: E402

CROPS = np.random.default_rng(0).integers(0, 256, (5, 8, 8, 3)).astype(np.uint8)


def written(path: Path, crops: np.ndarray, rows: int = 0) -> list[int]:
    writer = packed.Writer(path, crops.shape[1:], rows)
    found = [writer.add(crop) for crop in crops]
    writer.close()
    return found


def test_numpy_reads_what_is_written(tmp_path: Path) -> None:
    assert written(tmp_path / "crops.npy", CROPS) == [0, 1, 2, 3, 4]
    np.testing.assert_array_equal(np.load(tmp_path / "crops.npy"), CROPS)


def test_rows_are_added_to_those_that_count_and_the_rest_is_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "crops.npy"
    written(path, CROPS)
    assert written(path, CROPS[::-1][:2], rows=2) == [2, 3]
    np.testing.assert_array_equal(np.load(path), CROPS[[0, 1, 4, 3]])


def test_crop_of_another_shape_is_refused(tmp_path: Path) -> None:
    writer = packed.Writer(tmp_path / "crops.npy", (8, 8), 0)
    with pytest.raises(DataError, match="one shape"):
        writer.add(CROPS[0])
    writer.close()


def test_row_is_read_by_its_member_from_file_folder_and_zip(tmp_path: Path) -> None:
    path = tmp_path / "out" / "crops.npy"
    path.parent.mkdir()
    written(path, CROPS)
    pack_zip(tmp_path / "crops.zip", {"crops.npy": path.read_bytes()})
    for place in (path, path.parent, tmp_path / "crops.zip"):
        with open_source(place) as source:
            read = PixelReader(source)
            np.testing.assert_array_equal(read("crops.npy:3"), CROPS[3])
            with pytest.raises(DataError, match="5 rows"):
                read("crops.npy:5")
    with open_source(path) as source:
        assert isinstance(packed.open_array(source, "crops.npy").base, np.memmap)


def saved(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


@pytest.mark.parametrize(
    "content",
    [
        b"no array",
        saved(CROPS.astype(np.float32)),
        saved(CROPS[0, 0]),
        saved(CROPS[..., :2]),
        saved(np.asfortranarray(CROPS)),
        saved(CROPS)[:-1],
    ],
    ids=["text", "float", "one row", "two channels", "columns first", "cut off"],
)
@pytest.mark.parametrize("zipped", [False, True])
def test_other_files_are_refused(content: bytes, zipped: bool, tmp_path: Path) -> None:
    place = tmp_path / "crops.npy"
    place.write_bytes(content)
    if zipped:
        place = pack_zip(tmp_path / "crops.zip", {"crops.npy": content})
    with open_source(place) as source, pytest.raises(DataError, match=r"crops\.npy is not an array of crops"):
        packed.open_array(source, "crops.npy")
