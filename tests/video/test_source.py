"""What a source is: files by address are read whole, streams are live and come back, passwords are never shown."""

from __future__ import annotations

import functools
import gc
import io
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("av")

import films

from mien.addresses import hide_passwords
from mien.errors import FileMissingError, OptionError, VideoError
from mien.video import film as film_module
from mien.video import patience
from mien.video.film import Film
from mien.video.follow import Newest

TIMES = films.vary(1.2)


@pytest.fixture
def short(tmp_path: Path) -> Path:
    grey = [np.full((64, 96, 3), 20 + 5 * at, np.uint8) for at in range(len(TIMES))]
    return films.write(tmp_path / "a film & 100%.mkv", grey, TIMES)


@contextmanager
def served(handler: Callable[..., BaseHTTPRequestHandler]) -> Iterator[str]:
    """Answer on a port of this machine; yield the address without a path."""
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


class Files(SimpleHTTPRequestHandler):
    def log_message(self, *_given: object) -> None:
        pass


class Camera(BaseHTTPRequestHandler):
    """Send JPEG pictures as cameras do, each when it is asked for; break off after some."""

    due = threading.Semaphore(0)
    picture = b""
    most = 100

    def log_message(self, *_given: object) -> None:
        pass

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
        self.end_headers()
        head = b"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n" % len(self.picture)
        for _ in range(self.most):
            if not self.due.acquire(timeout=30):
                return
            self.wfile.write(head + self.picture + b"\r\n")
            self.wfile.flush()


def camera(count: int, *, most: int = 100) -> type[Camera]:
    """Return a camera that may send ``count`` pictures at once, and breaks off after each ``most``."""
    jpeg = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 255, (64, 96, 3), np.uint8)  # FFmpeg wants 2 KB before it decides
    Image.fromarray(noise).save(jpeg, "JPEG", quality=95)
    kind = {"due": threading.Semaphore(count), "picture": jpeg.getvalue(), "most": most}
    return type("OneCamera", (Camera,), kind)


def test_a_film_by_its_file_address_is_a_film(short: Path) -> None:
    film = Film(short.as_uri())
    assert not film.live
    assert film.about.sound
    assert [frame.seconds for frame in film] == TIMES
    assert film.faults == []
    with pytest.raises(FileMissingError, match="No such video"):
        list(Film(short.with_name("gone.mkv").as_uri()))


def test_a_film_by_http_is_read_whole(short: Path) -> None:
    short.rename(short.with_name("film.mkv"))
    with served(functools.partial(Files, directory=str(short.parent))) as address:
        film = Film(f"{address}/film.mkv")
        assert not film.live
        assert [frame.seconds for frame in film] == TIMES
        assert film.faults == []
        with pytest.raises(VideoError, match=r"Cannot read .*gone.mkv' as a video or camera: .*404.*Check the address"):
            list(Film(f"{address}/gone.mkv"))


def test_pictures_by_http_have_the_times_at_which_they_arrive() -> None:
    source = camera(1)
    with served(source) as address:
        film, seconds, arrived = Film(address), [], []
        assert film.live
        for frame in film:
            seconds.append(frame.seconds)
            arrived.append(time.monotonic())
            if len(seconds) == 6:
                break
            time.sleep(0.15)
            source.due.release()
    assert seconds[0] == 0
    assert min(np.diff(seconds)) >= 0.149
    assert seconds[-1] <= arrived[-1] - arrived[0] + 1.0  # a busy machine may see a frame later than it came


def test_a_stream_that_breaks_off_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "_FIRST", 0.3)
    with served(camera(7, most=3)) as address:
        film = Film(address, reconnect=60.0)
        frames = []
        for frame in film:
            frames.append(frame)
            if len(frames) == 7:
                film.stop()
                break
    assert [frame.number for frame in frames] == list(range(7))
    steps = np.diff([frame.seconds for frame in frames])
    assert min(steps[2], steps[5]) >= 0.3
    assert min(steps) > 0


def test_a_stream_that_does_not_come_back_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "_FIRST", 0.05)
    with served(camera(4, most=2)) as address:
        film = Film(address, reconnect=0.4)
        given = []
        for frame in film:
            given.append(frame.number)
            if len(given) == 4:
                film.address = "http://127.0.0.1:1/none"
    assert given == [0, 1, 2, 3]
    assert film.faults[0] == "the connection was lost and restored 1 time, leaving gaps"


def test_without_reconnect_a_stream_ends_where_it_breaks_off() -> None:
    with served(camera(9, most=3)) as address:
        assert [frame.number for frame in Film(address)] == [0, 1, 2]


def test_the_pauses_grow_and_the_time_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    now, pauses = [0.0], []
    monkeypatch.setattr("mien.video.patience.time.monotonic", lambda: now[0])
    waiting = patience.Patience(60.0)

    def pass_by(seconds: float) -> bool:
        pauses.append(seconds)
        now[0] += seconds
        return False

    monkeypatch.setattr(waiting._stopped, "wait", pass_by)
    while waiting.wait():
        pass
    assert pauses[:6] == [0.5, 1.0, 2.0, 4.0, 8.0, 10.0]
    assert sum(pauses) == 60.0
    waiting.reset()
    assert waiting.wait()
    assert pauses[-1] == 0.5


def test_who_stops_does_not_wait_for_a_lost_camera() -> None:
    with served(camera(2, most=2)) as address:
        film = Film(address, reconnect=600.0)
        begun = time.monotonic()
        for frame in Newest(film):
            if frame.number:
                break
    assert time.monotonic() - begun < 60


def test_reconnect_is_for_what_has_no_end(short: Path) -> None:
    with pytest.raises(OptionError, match="reconnect needs a camera or a stream"):
        list(Film(short, reconnect=5.0))
    for wrong in (-1.0, float("nan"), float("inf")):
        with pytest.raises(OptionError, match="reconnect = "):
            Film(short, reconnect=wrong)


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("rtsp://admin:geheim@10.0.0.5:554/live", "rtsp://***@10.0.0.5:554/live"),
        ("rtsp://admin:geh@eim@10.0.0.5/live", "rtsp://***@10.0.0.5/live"),
        ("rtsp://admin:geh/eim@10.0.0.5/live", "rtsp://***@10.0.0.5/live"),
        ("rtsp://admin:geheim?@10.0.0.5/live", "rtsp://***@10.0.0.5/live"),
        ("rtsp://geheim@10.0.0.5/live", "rtsp://***@10.0.0.5/live"),
        ("HTTP://a:geheim@[::1]:80/x", "HTTP://***@[::1]:80/x"),
        ("http://cam/v.cgi?user=a&pwd=geheim&res=1", "http://cam/v.cgi?user=a&pwd=***&res=1"),
        ("https://cdn/x.m3u8?token=geheim", "https://cdn/x.m3u8?token=***"),
        ("rtsp://10.0.0.5/user=a&password=geheim&channel=1", "rtsp://10.0.0.5/user=a&password=***&channel=1"),
        ("rtsp://[::1]:554/a@b", "rtsp://[::1]:554/a@b"),
        ("http://host:8080/a@b.mp4", "http://host:8080/a@b.mp4"),
        ("http://host/film.mp4", "http://host/film.mp4"),
        ("a@b:c.mp4", "a@b:c.mp4"),
    ],
)
def test_passwords_are_not_shown(given: str, shown: str) -> None:
    assert hide_passwords(given) == shown
    assert hide_passwords(f"Cannot read '{given}' as a film") == f"Cannot read '{shown}' as a film"
    assert Film(given).name == shown
    assert Film(given).address == given


def test_a_gif_that_its_decoder_refuses_is_damaged(tmp_path: Path) -> None:
    """FFmpeg says "Operation not permitted" of it, which was a traceback."""
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 255, (40, 40, 3), np.uint8))
    content = io.BytesIO()
    picture.save(content, "GIF", save_all=True, append_images=[picture.rotate(90)], duration=50)
    raw = bytearray(content.getvalue())
    at = raw.rindex(b"\x2c\0\0\0\0") + 9
    at += 1 + (3 * 2 ** ((raw[at] & 7) + 1) if raw[at] & 128 else 0)
    raw[at] = 200  # bits of a code; at most 12
    (tmp_path / "a.gif").write_bytes(raw)
    film = Film(tmp_path / "a.gif")
    assert len(list(film)) == 1
    assert "1 damaged packet" in film.faults[0]


def test_frames_beyond_the_limit_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = films.write(tmp_path / "a.mp4", [np.zeros((64, 64, 3), np.uint8)] * 3, [0, 0.1, 0.2])
    monkeypatch.setattr(film_module, "MAX_PIXELS", 64 * 64 - 1)
    with pytest.raises(VideoError, match=r"no frame that can be decoded|frame of 64×64 pixels"):
        list(Film(path))


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="counts the threads of Linux")
def test_frames_are_let_go_as_they_are_read(tmp_path: Path) -> None:
    """Each stayed in memory, with two threads that had converted it, until Python's next collection of garbage."""
    path = films.write(tmp_path / "a.mp4", [np.zeros((64, 64, 3), np.uint8)] * 20, [at / 25 for at in range(20)])
    gc.collect()
    before = len(list(Path("/proc/self/task").iterdir()))
    gc.disable()
    try:
        assert [frame.pixels.shape for frame in Film(path)] == [(64, 64, 3)] * 20
        assert len(list(Path("/proc/self/task").iterdir())) < before + 20
    finally:
        gc.enable()
