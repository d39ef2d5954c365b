"""Which files a list of paths stands for, and that one bad file costs nobody else their result."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any, cast

import pytest

from mien.errors import FileMissingError, ImageError, ModelError, OptionError
from mien.recognition import folder
from mien.recognition.folder import Unreadable, find_images, read_folder


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def names(found: list[Path], folder: Path) -> list[str]:
    return [path.relative_to(folder).as_posix() for path in found]


def test_a_folder_is_searched_in_natural_order(tmp_path: Path) -> None:
    touch(tmp_path, "10.jpg", "2.JPG", "b/1.png", "a/x10/3.webp", "a/x9/3.webp", "A2.jpeg", "02.jpg", "notes.txt")
    expected = ["02.jpg", "2.JPG", "10.jpg", "a/x9/3.webp", "a/x10/3.webp", "A2.jpeg", "b/1.png"]
    assert names(find_images([tmp_path]), tmp_path) == expected


def test_hidden_files_and_linked_folders_are_passed_over(tmp_path: Path) -> None:
    touch(tmp_path, "photos/a.jpg", "photos/._a.jpg", "photos/.cache/b.jpg", "other/c.jpg")
    (tmp_path / "photos" / "link").symlink_to(tmp_path / "other", target_is_directory=True)
    (tmp_path / "photos" / "loop").symlink_to(tmp_path / "photos", target_is_directory=True)
    assert names(find_images([tmp_path / "photos"]), tmp_path) == ["photos/a.jpg"]


def test_order_of_the_arguments_is_kept_and_duplicates_come_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    touch(tmp_path, "z.jpg", "a.jpg", "m.jpg")
    monkeypatch.chdir(tmp_path)
    assert find_images(["z.jpg", "./z.jpg", tmp_path, "a.jpg"])[0] == Path("z.jpg")
    assert [path.name for path in find_images(["z.jpg", tmp_path])] == ["z.jpg", "a.jpg", "m.jpg"]


def test_a_pattern_stands_for_what_a_shell_makes_of_it(tmp_path: Path) -> None:
    touch(tmp_path, "d/10.png", "d/9.png", "d/e/11.png", "d/notes.txt", "[1].png", "1.png")
    assert names(find_images([tmp_path / "d" / "*.png"]), tmp_path) == ["d/9.png", "d/10.png"]
    assert names(find_images([f"{tmp_path}/**/1?.png"]), tmp_path) == ["d/10.png", "d/e/11.png"]
    assert names(find_images([tmp_path / "[1].png"]), tmp_path) == ["[1].png"]
    assert names(find_images([f"{tmp_path}/?"]), tmp_path) == ["d/9.png", "d/10.png", "d/e/11.png"]


def test_a_named_file_is_taken_whatever_its_ending(tmp_path: Path) -> None:
    touch(tmp_path, "scan")
    assert find_images([tmp_path / "scan"]) == [tmp_path / "scan"]


@pytest.mark.parametrize("path", ["gone.jpg", "empty", "*.jpg", "a" * 300, "x/" * 3000 + "*"])
def test_what_stands_for_nothing_is_an_error(tmp_path: Path, path: str) -> None:
    (tmp_path / "empty").mkdir()
    touch(tmp_path, "empty/notes.txt")
    with pytest.raises(FileMissingError, match=r"No (file|images)"):
        find_images([tmp_path / path])


def test_a_misspelt_file_names_the_nearest(tmp_path: Path) -> None:
    touch(tmp_path, "astronaut.jpg")
    with pytest.raises(FileMissingError, match=r"Did you mean 'astronaut\.jpg'"):
        find_images([tmp_path / "astronuat.jpg"])


@pytest.mark.skipif(os.name == "nt", reason="Windows file names are text")
def test_names_that_are_no_text(tmp_path: Path) -> None:
    name = os.fsdecode(b"\xff\xfe.jpg")
    touch(tmp_path, name)
    assert find_images([tmp_path]) == [tmp_path / name]


class Stub:
    """Stands for a recognizer; a name decides what happens."""

    def __init__(self) -> None:
        self.found: list[str] = []
        self.batches: list[int] = []

    def find(self, path: str, *, keep_pixels: bool) -> str:
        errors = {"bad": ImageError("bad is damaged"), "gone": FileMissingError("gone"), "broken": ModelError("no")}
        if path in errors:
            raise errors[path]
        self.found.append(path)
        return path

    def decide(self, found: list[str]) -> list[str]:
        self.batches.append(len(found))
        return [path.upper() for path in found]


def read(paths: list[str], **options: Any) -> tuple[list[Any], list[int]]:
    stub = Stub()
    return list(read_folder(cast("Any", stub), paths, **options)), stub.batches


def test_only_the_broken_ones_are_set_aside() -> None:
    found, batches = read(["a", "bad", "b", "gone", "c"], chunk=2)
    assert found == ["A", Unreadable("bad", "bad is damaged"), "B", Unreadable("gone", "gone"), "C"]
    assert batches == [1, 1, 1]
    assert read(["bad"]) == ([Unreadable("bad", "bad is damaged")], [0])
    assert read([]) == ([], [])


def test_a_batch_and_a_few_photos_are_held_and_no_more() -> None:
    stub = Stub()
    results = read_folder(cast("Any", stub), (str(n) for n in range(1000)), chunk=16)
    assert [next(results) for _ in range(17)][-1] == "16"
    assert stub.batches == [16, 16]
    assert 32 <= len(stub.found) <= 32 + folder._FINDERS
    results.close()  # type: ignore[attr-defined]
    assert len(stub.found) <= 32 + folder._FINDERS


def test_faces_are_found_while_others_are_read() -> None:
    """The second batch's photos are waited for by the first batch's reading: only an overlap ends this."""
    second = threading.Event()

    class Waiting(Stub):
        def find(self, path: str, *, keep_pixels: bool) -> str:
            if path == "2":
                second.set()
            return super().find(path, keep_pixels=keep_pixels)

        def decide(self, found: list[str]) -> list[str]:
            assert second.wait(10)
            return super().decide(found)

    assert list(read_folder(cast("Any", Waiting()), ["0", "1", "2", "3"], chunk=2)) == ["0", "1", "2", "3"]


def test_the_order_is_kept_though_photos_are_found_out_of_order() -> None:
    class Uneven(Stub):
        def find(self, path: str, *, keep_pixels: bool) -> str:
            threading.Event().wait(0.005 if int(path) % 3 == 0 else 0)
            return super().find(path, keep_pixels=keep_pixels)

    names = [str(n) for n in range(50)]
    assert list(read_folder(cast("Any", Uneven()), names, chunk=7)) == names


def test_errors_that_are_not_of_one_file_end_the_run() -> None:
    with pytest.raises(ModelError):
        read(["a", "broken"])


def test_a_chunk_below_one_is_refused() -> None:
    with pytest.raises(OptionError, match="chunk = 0"):
        read(["a"], chunk=0)


def test_unreadable_is_an_entry_like_a_result() -> None:
    assert Unreadable("a", "b").to_dict() == {"source": "a", "error": "b"}
