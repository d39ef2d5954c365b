"""What a folder holds beside photos is counted; what cannot be opened stands among the photos and is refused there."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from mien import images
from mien.errors import ImageError
from mien.recognition.listing import list_photos


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def test_what_is_passed_over_is_counted_by_kind(tmp_path: Path) -> None:
    touch(tmp_path, "a.heic", "b.AVIF", "c.mpo", "d.mov", "e.MOV", "f.jxl", "README", ".DS_Store", "._a.heic")
    touch(tmp_path, "Thumbs.db", "@eaDir/a.jpg/THUMB.jpg", "__MACOSX/a.jpg", ".Trash-1000/b.jpg", "sub/g.txt")
    (tmp_path / "link").symlink_to(tmp_path / "sub", target_is_directory=True)
    listing = list_photos([tmp_path])
    assert [photo.name for photo in listing.photos] == ["a.heic", "b.AVIF", "c.mpo"]
    assert dict(listing.passed_over) == {
        ".mov": 2, ".jxl": 1, ".txt": 1, "file without an ending": 1, "hidden file": 1, "system file": 2,
        "system folder": 2, "hidden folder": 1, "linked folder": 1,
    }  # fmt: skip


def test_named_files_pass_nothing_over(tmp_path: Path) -> None:
    touch(tmp_path, "a.jpg", "b.txt")
    assert not list_photos([tmp_path / "a.jpg", tmp_path / "b.txt"]).passed_over


def test_a_folder_that_cannot_be_opened_is_refused_by_name(tmp_path: Path, closed: Callable[[Path], None]) -> None:
    touch(tmp_path, "a/1.jpg", "b/2.jpg", "c/3.jpg")
    closed(tmp_path / "b")
    photos = list_photos([tmp_path]).photos
    assert photos == [tmp_path / "a" / "1.jpg", tmp_path / "b", tmp_path / "c" / "3.jpg"]
    with pytest.raises(ImageError, match=r"Cannot open '.*b': Permission denied"):
        images.load(tmp_path / "b")
    assert list_photos([tmp_path / "b"]).photos == [tmp_path / "b"]
