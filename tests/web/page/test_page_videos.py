"""Videos on the page: sent, followed, played beside a timeline, saved, deleted on the server; and what it refuses."""

from __future__ import annotations

import csv
import io
import json
from typing import TYPE_CHECKING, Any

import browsing
import numpy as np
import pytest

pytest.importorskip("av")
pytest.importorskip("scipy.optimize")

import films
from browsing import audit, dark, drop, every, module, one, press, resize, shoot, texts, wait_for, wait_until
from selenium.webdriver import ActionChains, Keys
from serving import Held, encoded
from support import noise

from mien.recognition.recognizer import load
from mien.video.timeline import Csv
from mien.video.video import Video

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from selenium.webdriver import Chrome

    from mien.recognition.recognizer import Recognizer

    Visit = Callable[[str], Chrome]
    Serve = Callable[..., str]

TIMES = [at / 10 for at in range(30)]
PHOTO = ("photo.jpg", "image/jpeg", encoded(noise(64, 64), "JPEG"))


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three seconds, 10 frames a second, that turn from noise to black, in which nobody is detected."""
    pictures = (noise(240, 320) if at < 2 else np.zeros((240, 320, 3), np.uint8) for at in TIMES)
    return films.write(tmp_path_factory.mktemp("film") / "film.mp4", pictures, TIMES, quality=30)


@pytest.fixture
def slow(model: Path) -> Iterator[Recognizer]:
    """A recognizer whose detector waits; let go at the end, so that the server can stop."""
    detector = Held()
    yield load(model, detector=detector, threads=1)
    detector.go.set()


def given(video: Path) -> tuple[str, str, bytes]:
    return (video.name, "video/mp4", video.read_bytes())


def at(page: Chrome) -> float:
    seconds: float = page.execute_script("return document.querySelector('.film video').currentTime")
    return seconds


def kept(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def test_a_video_is_played_beside_its_timeline(visit: Visit, serve: Serve, video: Path, tmp_path: Path) -> None:
    page = visit(serve(videos=1, video_folder=str(tmp_path)))
    assert "Videos up to 5 minutes and 200 MB." in one(page, "#limits").text
    drop(page, [given(video)])
    wait_for(page, ".film .row", 4)
    assert one(page, "#status").text == "4 people in the video."
    wait_until(lambda: kept(tmp_path) == [])  # the page deletes the job when it has the results
    assert texts(page, ".film .row-head")[0].startswith("Person 1, 0:00 to 0:02: ")
    assert [element for element in every(page, "#json, #csv") if element.is_displayed()] == []
    wait_until(lambda: page.execute_script("return document.querySelector('.film video').readyState") >= 2)
    tracks = one(page, ".film .tracks")
    ActionChains(page).move_to_element(tracks).click().perform()
    wait_until(lambda: at(page) == pytest.approx(1.5, abs=0.05))
    wait_until(
        lambda: texts(page, ".film .now li")[:1] != [] and texts(page, ".film .now li")[0].startswith("Person 1: ")
    )
    assert " of 0:03.0: Person 1: " in str(one(page, ".film .seek").get_attribute("aria-valuetext"))
    ActionChains(page).send_keys(Keys.PAGE_UP).perform()
    wait_until(lambda: at(page) == pytest.approx(2.5, abs=0.05))
    wait_until(lambda: texts(page, ".film .now li") == ["No face"])
    page.execute_script("document.querySelector('.film details').open = true")
    assert len(wait_for(page, ".film td button").text) == len("0:00.0")
    for night in (False, True):
        dark(page, night)
        assert audit(page) == []
        shoot(page, f"video-{'dark' if night else 'light'}")
    resize(page, 360, 740)
    assert browsing.overflow(page) == 0
    assert audit(page) == []
    shoot(page, "video-phone")


def test_a_video_that_the_browser_cannot_play_is_read_and_saved(
    visit: Visit, serve: Serve, tmp_path: Path, recognizer: Recognizer, downloads: Path
) -> None:
    video = films.write(tmp_path / "film.avi", (noise(64, 96) for _ in TIMES), TIMES, sound=False)
    page = visit(serve(videos=1))
    page.execute_script("document.querySelector('#fps').value = '5'")
    drop(page, [given(video), PHOTO])
    wait_for(page, ".film .row", 4)
    wait_until(lambda: one(page, "#status").text.startswith("2 files read. 4 faces: "))
    wait_until(lambda: "This browser cannot play the video." in one(page, ".film").text)
    one(page, ".film .seek").send_keys(Keys.PAGE_UP)
    wait_until(lambda: one(page, ".film .now p").text == "0:02.0")
    press(page, "Save frames (JSON lines)")
    press(page, "Save frames (CSV)")
    lines, table = downloads / "film.jsonl", downloads / "film.csv"
    wait_until(lambda: lines.is_file() and table.is_file())
    results = list(Video(video, model=recognizer, fps=5))
    assert [json.loads(line) for line in lines.read_text("utf-8").splitlines()] == [one.to_dict() for one in results]
    buffer = io.StringIO()
    rows = Csv(buffer, recognizer.labels)
    for result in results:
        rows.add(result)
    assert numbers(table.read_text("utf-8")) == numbers(buffer.getvalue())


def numbers(text: str) -> list[list[Any]]:
    """Return the cells of a CSV file, numbers as such: JavaScript writes 1e-5 and 0.00001 in ways of its own."""

    def cell(text: str) -> Any:
        try:
            return float(text)
        except ValueError:
            return text

    return [[cell(text) for text in row] for row in csv.reader(io.StringIO(text))]


def test_a_cancelled_video_is_deleted_on_the_server(
    visit: Visit, serve: Serve, slow: Recognizer, video: Path, tmp_path: Path
) -> None:
    page = visit(serve(slow, videos=1, video_folder=str(tmp_path)))
    drop(page, [given(video)])
    held = slow.detector
    assert isinstance(held, Held)
    wait_until(lambda: held.entered == 1)
    wait_until(lambda: "Reading the video" in one(page, "#photos").text)
    assert one(page, "#photos progress").is_displayed()
    assert audit(page) == []
    shoot(page, "video-reading")
    press(page, "Cancel")
    held.go.set()
    wait_until(lambda: kept(tmp_path) == [])
    assert browsing.focused(page) == "Try again"
    press(page, "Try again")
    wait_for(page, ".film .row", 4)


@pytest.mark.parametrize(
    ("limits", "content", "words"),
    [
        ({"videos": 0}, None, "mien serve --videos 1"),
        ({"video_body": 5000}, None, " MB; this server takes up to 0.005 MB. Make it shorter or smaller."),
        ({"video_seconds": 1.5}, None, "The video lasts 2.9 s; this server reads up to 1.5 s. Cut it into parts."),
        (
            {"video_frames": 2},
            None,
            "This server reads up to 2 frames of a video, and stopped at 0:00.2 of 0:02.9. Choose fewer",
        ),
        (
            {"max_pixels": 60_000},
            None,
            "The video's frames have 0.0768 megapixels; this server reads up to 0.06. Scale the video down.",
        ),
        ({}, b"\0\0\0\x18ftypisom" + bytes(60), "This video could not be read. It may be damaged"),
        ({}, b"", "The file is empty."),
    ],
)
def test_videos_that_are_refused(  # noqa: PLR0917
    visit: Visit, serve: Serve, video: Path, limits: dict[str, float], content: bytes | None, words: str
) -> None:
    page = visit(serve(**{"videos": 1, **limits}))
    drop(page, [("film.mp4", "video/mp4", video.read_bytes() if content is None else content)])
    wait_until(lambda: words in one(page, "#photos").text)
    text = one(page, "#photos").text
    assert "Try again" not in text
    for server_words in ("expected", "MIEN_", "max_", "/v1/", "video_"):
        assert server_words not in text
    assert audit(page) == []


def test_moments_are_written_as_people_read_them(visit: Visit, serve: Serve) -> None:
    page = visit(serve())
    assert "This server reads no videos." in one(page, "#limits").text
    assert module(page, "words.js", "[0, 59.99, 60, 754.25].map((s) => m.clock(s))") == [
        "0:00",
        "0:59",
        "1:00",
        "12:34",
    ]
    assert module(page, "words.js", "[0, 59.96, 61.25].map((s) => m.clock(s, 1))") == ["0:00.0", "0:59.9", "1:01.2"]
