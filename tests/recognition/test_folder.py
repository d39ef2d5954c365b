"""Which files a list of paths stands for, and that one bad file costs nobody else their result."""

from __future__ import annotations

import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, cast

import pytest

import mien
from mien.errors import FileMissingError, ImageError, ModelError, OptionError
from mien.recognition import folder
from mien.recognition.detection import yunet
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

    detector = None

    def __init__(self) -> None:
        self.decoded: list[str] = []
        self.found: list[str] = []
        self.batches: list[int] = []

    def decode(self, path: str) -> str:
        errors = {"bad": ImageError("bad is damaged"), "gone": FileMissingError("gone"), "broken": ModelError("no")}
        if path in errors:
            raise errors[path]
        self.decoded.append(path)
        return path

    def search(self, path: str, *, keep_pixels: bool) -> str:
        if path in ("lost", "crashed"):
            raise ImageError("lost") if path == "lost" else ModelError("no")
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


@pytest.mark.parametrize("keep", [False, True])
def test_two_batches_are_held_and_no_more(keep: bool) -> None:
    """With pixels, which take 36 MB of a photo, a batch and a few."""
    stub, begun = Stub(), iter(range(1000))
    results = read_folder(cast("Any", stub), map(str, begun), chunk=16, keep_pixels=keep)
    assert [next(results) for _ in range(17)][-1] == "16"  # type: ignore[comparison-overlap]
    assert stub.batches == [16, 16]
    most = 16 + 16 + (folder._FINDERS if keep else 16)
    assert next(begun) == most  # 16 are yielded; as many as may be held are begun, and no more were asked for
    results.close()  # type: ignore[attr-defined]
    assert 32 <= len(stub.found) <= most


class Slow(Stub):
    """Searches only when it may; notes how many photos were decoded before it."""

    def __init__(self) -> None:
        super().__init__()
        self.may, self.full = threading.Event(), threading.Event()

    def decode(self, path: str) -> str:
        name = super().decode(path)
        if len(self.decoded) >= folder._DECODED:
            self.full.set()
        return name

    def search(self, path: str, *, keep_pixels: bool) -> str:
        assert self.may.wait(10)
        return super().search(path, keep_pixels=keep_pixels)


def test_few_photos_wait_decoded_for_their_search() -> None:
    stub, names = Slow(), [str(n) for n in range(40)]
    with ThreadPoolExecutor(1) as pool:
        reading = pool.submit(lambda: list(read_folder(cast("Any", stub), names, chunk=16)))
        assert stub.full.wait(10)
        threading.Event().wait(0.05)
        assert len(stub.decoded) == folder._DECODED
        stub.may.set()
        assert reading.result(10) == names  # type: ignore[comparison-overlap]


def test_photos_are_decoded_while_others_are_searched() -> None:
    """No search ends before as many photos are decoded as may be: only threads of their own decode them."""

    class Waiting(Slow):
        def search(self, path: str, *, keep_pixels: bool) -> str:
            assert self.full.wait(10)
            self.may.set()
            return super().search(path, keep_pixels=keep_pixels)

    names = [str(n) for n in range(20)]
    assert list[Any](read_folder(cast("Any", Waiting()), names, chunk=4)) == names


def test_closing_ends_though_decoders_wait_for_room(monkeypatch: pytest.MonkeyPatch) -> None:
    first, full = threading.Event(), 16 + folder._DECODED

    class Later(Slow):
        """The first batch is searched at once and before others are decoded, the others when the pools are shut."""

        def decode(self, path: str) -> str:
            assert int(path) < 16 or first.wait(10)
            return super().decode(path)

        def search(self, path: str, *, keep_pixels: bool) -> str:
            if int(path) >= 16:
                return super().search(path, keep_pixels=keep_pixels)
            name = Stub.search(self, path, keep_pixels=keep_pixels)
            if len(self.found) == 16:
                first.set()
            return name

    class Pool(ThreadPoolExecutor):
        def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
            super().shutdown(wait=False, cancel_futures=cancel_futures)
            stub.may.set()
            super().shutdown(wait)

    monkeypatch.setattr(folder, "ThreadPoolExecutor", Pool)
    stub = Later()
    results = read_folder(cast("Any", stub), (str(n) for n in range(1000)), chunk=16)
    assert next(results) == "0"  # type: ignore[comparison-overlap]
    deadline = time.monotonic() + 10
    while len(stub.decoded) < full and time.monotonic() < deadline:
        threading.Event().wait(0.005)
    assert len(stub.decoded) == full
    results.close()  # type: ignore[attr-defined]
    assert len(stub.decoded) == full
    assert not [one.name for one in threading.enumerate() if one.name.startswith(("mien-decode", "mien-find"))]


def test_what_cannot_be_searched_is_set_aside_and_a_crash_ends_the_run() -> None:
    names = [str(n) for n in range(30)]
    found, _ = read([*names, "lost", *names])
    assert found == [*names, Unreadable("lost", "lost"), *names]
    with pytest.raises(ModelError):
        read([*names, "crashed", *names])


def test_many_photos_are_searched_on_one_thread_each(examples: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recognizer, photo = mien.load("nano"), examples / "astronaut.jpg"
    threads: set[int | None] = set()
    search = yunet.search

    def noted(engine: yunet.Engine, *given: Any) -> Any:
        threads.add(engine.threads)
        return search(engine, *given)

    monkeypatch.setattr(yunet, "search", noted)
    few = list(read_folder(recognizer, [photo] * 3))
    assert threads == {None}
    threads.clear()
    many = list(read_folder(recognizer, [photo] * folder._MANY))
    assert threads == {1}
    assert [entry.faces[0].box for entry in many + few] == [many[0].faces[0].box] * len(many + few)  # type: ignore[union-attr]


def test_faces_are_found_while_others_are_read() -> None:
    """The second batch's photos are waited for by the first batch's reading: only an overlap ends this."""
    second = threading.Event()

    class Waiting(Stub):
        def search(self, path: str, *, keep_pixels: bool) -> str:
            if path == "2":
                second.set()
            return super().search(path, keep_pixels=keep_pixels)

        def decide(self, found: list[str]) -> list[str]:
            assert second.wait(10)
            return super().decide(found)

    assert list[Any](read_folder(cast("Any", Waiting()), ["0", "1", "2", "3"], chunk=2)) == ["0", "1", "2", "3"]


def test_the_order_is_kept_though_photos_are_found_out_of_order() -> None:
    class Uneven(Stub):
        def decode(self, path: str) -> str:
            threading.Event().wait(0.005 if int(path) % 4 == 0 else 0)
            return super().decode(path)

        def search(self, path: str, *, keep_pixels: bool) -> str:
            threading.Event().wait(0.005 if int(path) % 3 == 0 else 0)
            return super().search(path, keep_pixels=keep_pixels)

    names = [str(n) for n in range(50)]
    assert list[Any](read_folder(cast("Any", Uneven()), names, chunk=7)) == names


def test_errors_that_are_not_of_one_file_end_the_run() -> None:
    with pytest.raises(ModelError):
        read(["a", "broken"])


def test_a_chunk_below_one_is_refused() -> None:
    with pytest.raises(OptionError, match="chunk = 0"):
        read(["a"], chunk=0)


def test_unreadable_is_an_entry_like_a_result() -> None:
    assert Unreadable("a", "b").to_dict() == {"source": "a", "error": "b"}
