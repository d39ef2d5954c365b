"""Videos as jobs: the library's results; nothing stays on the disk; what is too much is refused; one at a time."""

from __future__ import annotations

import json
import socket
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

pytest.importorskip("av")
pytest.importorskip("scipy.optimize")  # by name: the first server would take seconds to import it

import films
import httpx
from serving import Held, get, post, serving, wait_until

from mien.recognition.recognizer import load
from mien.video.video import Video
from mien.web.settings import Settings
from mien.web.shapes import VideoJob

if TYPE_CHECKING:
    from mien.recognition.recognizer import Recognizer

    Serve = Callable[..., str]

MP4 = {"Content-Type": "video/mp4"}
TIMES = [at / 10 for at in range(12)]


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pictures = (np.full((64, 96, 3), 20 + 15 * at, np.uint8) for at in range(len(TIMES)))
    return films.write(tmp_path_factory.mktemp("film") / "film.mp4", pictures, TIMES)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "held").mkdir()
    return tmp_path / "held"


@pytest.fixture
def with_videos(serve: Serve, folder: Path) -> Serve:
    """Start a server that reads one video at a time and keeps its files in ``folder``."""
    return lambda given=None, **values: serve(given, **{"videos": 1, "video_folder": str(folder), **values})


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


def send(address: str, film: Path, options: str = "") -> str:
    """Send a film; return the address of its job."""
    answer = post(f"{address}/v1/video{options}", content=film.read_bytes(), headers=MP4)
    assert answer.status_code == 202, answer.text
    assert answer.headers["location"] == f"/v1/video/{answer.json()['id']}"
    return f"{address}{answer.headers['location']}"


def state(job: str) -> dict[str, Any]:
    values: dict[str, Any] = get(job).json()
    VideoJob.model_validate(values)
    return values


def ended(job: str) -> dict[str, Any]:
    wait_until(lambda: state(job)["expires_in"] is not None)
    return state(job)


def kind(answer: httpx.Response) -> str:
    assert answer.headers["content-type"] == "application/problem+json"
    return str(answer.json()["type"]).removeprefix("urn:mien:problem:")


def test_nothing_is_offered_unless_the_operator_says_so(address: str, film: Path) -> None:
    assert Settings().videos == 0
    answer = post(f"{address}/v1/video", content=film.read_bytes(), headers=MP4)
    assert (answer.status_code, kind(answer)) == (404, "not-found")
    assert not any("video" in path for path in get(f"{address}/v1/openapi.json").json()["paths"])


def test_the_results_are_the_librarys(with_videos: Serve, recognizer: Recognizer, film: Path, folder: Path) -> None:
    address = with_videos()
    job = send(address, film)
    told = ended(job)
    assert (told["state"], told["progress"], told["frames"]) == ("done", 1.0, len(TIMES))
    assert (told["error"], told["faults"]) == (None, [])
    assert 0 < told["expires_in"] <= 900
    answer = get(f"{job}/results")
    assert answer.headers["content-type"] == "application/jsonl"
    lines = [json.loads(line) for line in answer.text.splitlines()]
    assert lines == [result.to_dict() for result in Video(film, model=recognizer)]
    assert files(folder) == ["results.jsonl"]  # the upload is gone as soon as it is read
    assert httpx.delete(job, timeout=30).status_code == 204
    assert (get(job).status_code, get(f"{job}/results").status_code) == (404, 404)
    assert files(folder) == []


def test_options_choose_frames_and_faces(with_videos: Serve, recognizer: Recognizer, film: Path) -> None:
    address = with_videos()
    job = send(address, film, "?fps=5&detect_every=2&max_faces=4")
    assert ended(job)["state"] == "done"
    lines = [json.loads(line) for line in get(f"{job}/results").text.splitlines()]
    assert lines == [result.to_dict() for result in Video(film, model=recognizer, fps=5, detect_every=2)]
    assert len(lines) < len(TIMES)
    for wrong in ("fps=0", "fps=nan", "detect_every=0", "max_faces=101", "model=none", "smoth=1"):
        answer = post(f"{address}/v1/video?{wrong}", content=film.read_bytes(), headers=MP4)
        assert (answer.status_code, kind(answer)) == (422, "bad-option"), wrong


def playlists(film: Path) -> Iterator[bytes]:
    """Files that would let FFmpeg open others, of this computer and of the network."""
    yield b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n" + bytes(film) + b"\n#EXT-X-ENDLIST\n"
    yield b"ffconcat version 1.0\nfile '" + bytes(film) + b"'\n"
    yield b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nhttp://127.0.0.1:9/a.ts\n#EXT-X-ENDLIST\n"


def test_what_is_no_video_is_refused_and_not_kept(with_videos: Serve, film: Path, folder: Path) -> None:
    address = with_videos()
    for content in (b"no film", film.read_bytes()[:200], *playlists(film)):
        answer = post(f"{address}/v1/video", content=content, headers=MP4)
        assert (answer.status_code, kind(answer)) == (422, "unreadable-video")
        assert str(folder) not in answer.text
    empty = post(f"{address}/v1/video", content=b"", headers=MP4)
    assert (empty.status_code, kind(empty)) == (400, "bad-request")
    form = post(f"{address}/v1/video", files={"video": film.read_bytes()})
    assert (form.status_code, kind(form)) == (415, "wrong-type")
    assert files(folder) == []


@pytest.mark.parametrize(
    ("limit", "expected"),
    [
        ({"video_seconds": 1.0}, ("video-too-long", {"limit": "seconds", "most": 1.0, "given": 1.2})),
        ({"video_body": 1000}, ("body-too-large", None)),
        (
            {"max_pixels": 64 * 95},
            ("unreadable-video", {"limit": "pixels", "most": 64 * 95, "given": 64 * 96}),
        ),
    ],
)
def test_above_a_limit_a_video_is_refused(
    with_videos: Serve,
    film: Path,
    folder: Path,
    limit: dict[str, float],
    expected: tuple[str, dict[str, str | float] | None],
) -> None:
    address = with_videos(**limit)
    content = film.read_bytes()
    for body in (content, iter([content[:600], content[600:]])):  # its length declared, and not
        answer = post(f"{address}/v1/video", content=body, headers=MP4)
        exceeded = answer.json().get("exceeded")
        assert (kind(answer), exceeded) == (expected[0], expected[1] and pytest.approx(expected[1], abs=0.11))
        assert "expected at most" in answer.json()["detail"]
    assert files(folder) == []


@pytest.mark.parametrize(
    ("limit", "expected", "name"),
    [
        ({"video_frames": 3}, "more than 3 frames to read. Read fewer with the option fps.", "read_frames"),
        ({"video_body": 15_000}, "more than 15000 bytes of results", "result_bytes"),
    ],
)
def test_above_a_limit_reading_ends(  # noqa: PLR0917
    with_videos: Serve, film: Path, folder: Path, limit: dict[str, int], expected: str, name: str
) -> None:
    assert film.stat().st_size < 15_000
    job = send(with_videos(**limit), film)
    told = ended(job)
    assert told["state"] == "failed"
    assert expected in told["error"]
    (most,) = limit.values()
    assert (told["exceeded"]["limit"], told["exceeded"]["most"]) == (name, most)
    assert told["exceeded"]["given"] > most
    answer = get(f"{job}/results")
    assert (answer.status_code, kind(answer)) == (422, "unreadable-video")
    assert files(folder) == []


def test_one_at_a_time_and_a_bounded_number(serve: Serve, model: Path, film: Path, folder: Path) -> None:
    held = Held()
    recognizer = load(model, detector=held, threads=1)
    address = serve(recognizer, videos=1, video_jobs=2, video_folder=str(folder))
    first, second = send(address, film), send(address, film)
    wait_until(lambda: held.entered == 1)
    assert (state(first)["state"], state(second)["state"]) == ("reading", "waiting")
    early = get(f"{first}/results")
    assert (early.status_code, kind(early)) == (409, "not-finished")
    third = post(f"{address}/v1/video", content=film.read_bytes(), headers=MP4)
    assert (third.status_code, kind(third)) == (503, "overloaded")
    assert third.headers["retry-after"] == "10"
    assert get(f"{address}/v1/models").status_code == 200  # photos and the rest go on
    assert httpx.delete(second, timeout=30).status_code == 204
    assert httpx.delete(first, timeout=30).status_code == 204
    held.go.set()  # the reader sees that its video was deleted
    wait_until(lambda: not any(path.is_dir() for path in folder.glob("*/*")))
    assert held.entered == 1


def test_results_expire(with_videos: Serve, film: Path, folder: Path) -> None:
    job = send(with_videos(video_expiry=0.2), film)
    wait_until(lambda: get(job).status_code == 404)
    assert files(folder) == []


def test_a_broken_upload_and_a_slow_one_leave_nothing(with_videos: Serve, film: Path, folder: Path) -> None:
    address = with_videos(video_timeout=0.5)
    host, port = address.removeprefix("http://").split(":")
    head = f"POST /v1/video HTTP/1.1\r\nHost: {host}\r\nContent-Type: video/mp4\r\nContent-Length: 9000\r\n\r\n"
    with socket.create_connection((host, int(port))) as line:
        line.sendall(head.encode() + b"x" * 100)
        wait_until(lambda: files(folder) == ["video"])
    wait_until(lambda: not any(path.is_dir() for path in folder.glob("*/*")))
    with socket.create_connection((host, int(port))) as line:
        line.sendall(head.encode() + b"x" * 100)
        assert b" 408 " in line.recv(1000)
    wait_until(lambda: not any(path.is_dir() for path in folder.glob("*/*")))


def test_a_server_that_stops_leaves_nothing(recognizer: Recognizer, film: Path, folder: Path) -> None:
    settings = Settings(threads=1, log_level="error", videos=1, video_folder=str(folder))
    with serving(settings, recognizer) as address:
        ended(send(address, film))
        send(address, film)
        assert list(folder.iterdir())
    assert list(folder.iterdir()) == []


def test_an_upload_goes_to_the_disk_block_by_block(with_videos: Serve, folder: Path) -> None:
    """Memory does not grow with the video: 48 MB pass through, a few are held."""
    address = with_videos()
    tracemalloc.start()
    try:
        answer = post(f"{address}/v1/video", content=(bytes(1 << 20) for _ in range(48)), headers=MP4)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert kind(answer) == "unreadable-video"
    assert peak < 16_000_000
    assert files(folder) == []


def test_pages_of_other_sites_can_neither_send_nor_delete(with_videos: Serve, film: Path) -> None:
    address = with_videos()
    job, foreign = send(address, film), {"Origin": "https://other.example"}
    assert kind(post(f"{address}/v1/video", content=b"x", headers={**MP4, **foreign})) == "foreign-origin"
    assert kind(httpx.delete(job, headers=foreign, timeout=30)) == "foreign-origin"
    assert get(job).status_code == 200
