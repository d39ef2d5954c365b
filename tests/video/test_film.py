"""Films: true times, upright frames, sampling; what is no film is said, what is damaged is read as far as it goes."""

from __future__ import annotations

import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("av")

import av
import films

from mien.errors import FileMissingError, MienError, OptionError, OutOfMemoryError, VideoError
from mien.video import source as source_module
from mien.video.film import Film
from mien.video.follow import Newest
from mien.video.upright import Upright

TIMES = films.vary(1.2)


def plain(times: list[float], width: int = 96, height: int = 64) -> Iterator[films.Pixels]:
    """Pictures whose brightness says which they are."""
    for at in range(len(times)):
        yield np.full((height, width, 3), 20 + 5 * at, np.uint8)


@pytest.fixture(scope="module")
def short(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return films.write(tmp_path_factory.mktemp("film") / "Zoë: 中.mp4", plain(TIMES), TIMES)


@pytest.fixture(scope="module")
def transport(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return films.write(tmp_path_factory.mktemp("film") / "film.ts", plain(TIMES), TIMES)


@pytest.mark.parametrize("ending", ["mp4", "mkv", "mov"])
def test_every_frame_has_its_true_time(tmp_path: Path, ending: str) -> None:
    film = Film(films.write(tmp_path / f"film.{ending}", plain(TIMES), TIMES))
    frames = list(film)
    assert [frame.seconds for frame in frames] == TIMES
    assert [frame.number for frame in frames] == list(range(len(TIMES)))
    assert [round(float(frame.pixels.mean()) / 5 - 4) for frame in frames] == list(range(len(TIMES)))
    assert film.faults == []


@pytest.mark.parametrize("damaged", [b"p", b"e", b":", b"_"])
def test_a_damaged_duration_counts_as_none(tmp_path: Path, damaged: bytes) -> None:
    content = films.write(tmp_path / "film.mkv", plain(TIMES), TIMES, sound=False).read_bytes()
    begin = content.index(b"00:00:", content.index(b"DURATION"))
    (tmp_path / "damaged.mkv").write_bytes(content[: begin + 9] + damaged + content[begin + 10 :])
    assert len(list(Film(tmp_path / "damaged.mkv"))) == len(TIMES)


def test_a_track_of_an_unknown_codec_is_refused(tmp_path: Path) -> None:
    content = films.write(tmp_path / "film.mkv", plain(TIMES), TIMES, sound=False).read_bytes()
    assert content.count(b"V_MPEG4/ISO/AVC") == 1
    (tmp_path / "unknown.mkv").write_bytes(content.replace(b"V_MPEG4/ISO/AVC", b"V_MPEG9/ISO/XYZ"))
    with pytest.raises(VideoError):
        list(Film(tmp_path / "unknown.mkv"))


def test_a_film_without_time_stamps_goes_by_its_frame_rate(tmp_path: Path) -> None:
    times = [at / 25 for at in range(20)]
    film = Film(films.write(tmp_path / "film.h264", plain(times), times, sound=False, tick=Fraction(1, 25)))
    steps = np.diff([frame.seconds for frame in film])
    assert len(steps) == 19
    assert steps == pytest.approx(np.full(19, steps[0]))
    assert steps[0] > 0


def test_a_film_that_does_not_begin_at_0_keeps_its_clock(tmp_path: Path) -> None:
    film = Film(films.write(tmp_path / "film.ts", plain(TIMES), TIMES, offset=3.0))
    first = next(iter(film))
    shift = first.time - Fraction(round(TIMES[0] * 1000), 1000)
    # MPEG counts in 1/90000 s, and its writer puts its own delay before the first frame.
    assert [frame.time - shift for frame in film] == [pytest.approx(Fraction(round(t * 1000), 1000)) for t in TIMES]
    assert first.seconds >= 3.0
    assert abs(film.about.start - first.seconds) < 0.2


def test_what_a_film_says_of_itself(short: Path, tmp_path: Path) -> None:
    about = Film(short).about
    assert (about.frames, about.live, about.sound) == (len(TIMES), False, True)
    assert about.duration == pytest.approx(TIMES[-1], abs=0.1)
    assert not Film(films.write(tmp_path / "silent.mp4", plain(TIMES), TIMES, sound=False)).about.sound


def test_a_file_can_be_read_again(short: Path) -> None:
    film = Film(str(short))
    assert [frame.number for frame in film] == [frame.number for frame in film]


@pytest.mark.parametrize(("turn", "corner"), [(0, (0, 0)), (-90, (0, -1)), (180, (-1, -1)), (90, (-1, 0))])
def test_frames_are_upright(tmp_path: Path, turn: int, corner: tuple[int, int]) -> None:
    marked = np.full((64, 96, 3), 40, np.uint8)
    marked[:20, :20] = 220
    film = Film(films.write(tmp_path / "film.mp4", [marked] * 3, TIMES[:3], rotation=turn))
    frame = next(iter(film))
    expected = (64, 96) if turn % 180 else (96, 64)
    assert frame.size == expected
    assert frame.pixels.shape == (expected[1], expected[0], 3)
    assert frame.pixels[corner].mean() > 150
    assert frame.pixels.flags.c_contiguous


MIRRORED = {
    "mirrored": ((-1, 0, 0, 1), (0, -1)),
    "upside down": ((1, 0, 0, -1), (-1, 0)),
    "transposed": ((0, 1, 1, 0), (0, 0)),
    "transposed the other way": ((0, -1, -1, 0), (-1, -1)),
    "quarter turn": ((0, 1, -1, 0), (0, -1)),
    "half turn": ((-1, 0, 0, -1), (-1, -1)),
}


@pytest.mark.parametrize(("matrix", "corner"), MIRRORED.values(), ids=list(MIRRORED))
def test_the_whole_display_matrix_counts(
    tmp_path: Path, matrix: tuple[int, int, int, int], corner: tuple[int, int]
) -> None:
    marked = np.full((64, 96, 3), 40, np.uint8)
    marked[:20, :20] = 220
    frame = next(iter(Film(films.write(tmp_path / "film.mp4", [marked] * 3, TIMES[:3], matrix=matrix))))
    assert frame.size == ((96, 64) if matrix[0] else (64, 96))
    assert frame.pixels.shape == (*frame.size[::-1], 3)
    assert frame.pixels[corner].mean() > 150
    others = [(row, column) for row in (0, -1) for column in (0, -1) if (row, column) != corner]
    assert max(frame.pixels[other].mean() for other in others) < 80
    assert frame.pixels.flags.c_contiguous


@pytest.mark.parametrize("ending", ["mp4", "mov", "mkv", "ts", "avi", "h264"])
@pytest.mark.parametrize(("aspect", "size"), [(Fraction(2), (192, 64)), (Fraction(2, 3), (96, 96))])
def test_pixels_that_are_not_square_are_shown_so(
    tmp_path: Path, ending: str, aspect: Fraction, size: tuple[int, int]
) -> None:
    times = [at / 25 for at in range(12)]
    path = films.write(tmp_path / f"film.{ending}", plain(times), times, sound=False, aspect=aspect, tick=films.PAL)
    film = Film(path)
    frames = list(film)
    assert [frame.size for frame in frames] == [size] * 12
    assert frames[-1].pixels.shape == (size[1], size[0], 3)
    assert film.faults == []


def test_a_turned_film_is_stretched_before_it_is_turned(tmp_path: Path) -> None:
    path = films.write(tmp_path / "film.mp4", plain(TIMES[:3]), TIMES[:3], aspect=Fraction(2), rotation=90)
    assert next(iter(Film(path))).size == (64, 192)


def test_the_container_overrules_the_codec(tmp_path: Path) -> None:
    """MP4's pixel aspect ratio is what players go by; the video in it says 2:1."""
    assert [frame.size for frame in Film(stretched(tmp_path / "film.mp4", 3, 2))] == [(144, 64)] * 3


def stretched(path: Path, width: int, height: int) -> Path:
    """Write an MP4 whose video says 2:1 and whose header says something else."""
    content = bytearray(films.write(path, plain(TIMES[:3]), TIMES[:3], aspect=Fraction(2)).read_bytes())
    at = content.find(b"pasp") + 4
    content[at : at + 8] = struct.pack(">2I", width, height)
    path.write_bytes(content)
    return path


def test_the_shape_of_pixels_may_change_in_the_middle(tmp_path: Path) -> None:
    parts = []
    for name, aspect, offset in (("one.ts", Fraction(2), 0.0), ("two.ts", Fraction(3), 2.0)):
        path = films.write(tmp_path / name, plain(TIMES), TIMES, sound=False, aspect=aspect, offset=offset)
        parts.append(path.read_bytes())
    (tmp_path / "both.ts").write_bytes(b"".join(parts))
    assert [frame.size[0] for frame in Film(tmp_path / "both.ts")] == [192] * len(TIMES) + [288] * len(TIMES)


def test_a_ratio_that_no_camera_has_is_said(tmp_path: Path) -> None:
    film = Film(stretched(tmp_path / "film.mp4", 100, 1))
    assert [frame.size for frame in film] == [(96, 64)] * 3
    assert film.faults == ["the pixel aspect ratio 100 is implausible; pixels taken for square"]


def test_sampling(short: Path) -> None:
    assert [frame.number for frame in Film(short, every=4)] == list(range(0, len(TIMES), 4))
    sampled = [frame.seconds for frame in Film(short, fps=5)]
    slots = [int(time * 5 + 1e-6) for time in TIMES]
    assert sampled == [time for at, time in enumerate(TIMES) if at == 0 or slots[at] != slots[at - 1]]
    assert [frame.seconds for frame in Film(short, fps=1000)] == TIMES


@pytest.mark.parametrize("ending", ["mp4", "mkv", "ts"])
@pytest.mark.parametrize("rate", [Fraction(10), Fraction(15), Fraction(24000, 1001), Fraction(25), Fraction(30)])
def test_a_rate_that_is_the_films_own_takes_every_frame(tmp_path: Path, ending: str, rate: Fraction) -> None:
    times = [float(at / rate) for at in range(40)]
    tick = films.TICK if ending == "mkv" else Fraction(1, 90_000)
    path = films.write(tmp_path / f"film.{ending}", plain(times), times, sound=False, tick=tick)
    assert [frame.number for frame in Film(path, fps=rate)] == list(range(40))
    assert [frame.number for frame in Film(path, fps=float(rate))] == list(range(40))
    fifth = [frame.number for frame in Film(path, fps=rate / 5)]
    assert len(fifth) in (8, 9)
    assert set(np.diff(fifth)[1:]) == {5}


def test_a_film_of_another_size_in_the_middle(tmp_path: Path) -> None:
    one = films.write(tmp_path / "one.ts", plain(TIMES), TIMES, sound=False)
    two = films.write(tmp_path / "two.ts", plain(TIMES, 128, 96), TIMES, sound=False, offset=2.0)
    (tmp_path / "both.ts").write_bytes(one.read_bytes() + two.read_bytes())
    frames = list(Film(tmp_path / "both.ts"))
    assert [frame.size for frame in frames] == [(96, 64)] * len(TIMES) + [(128, 96)] * len(TIMES)
    assert [frame.number for frame in frames] == list(range(2 * len(TIMES)))
    assert frames[-1].pixels.shape == (96, 128, 3)


def test_what_is_no_film(tmp_path: Path, short: Path) -> None:
    (tmp_path / "text.mp4").write_text("no film")
    (tmp_path / "noise.mkv").write_bytes(np.random.default_rng(0).bytes(20_000))
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "cut.mp4").write_bytes(short.read_bytes()[:2000])  # its table of contents was at the end
    for name in ("text.mp4", "noise.mkv", "empty.mp4", "cut.mp4", "."):
        with pytest.raises(VideoError, match=r"Cannot read .* as a video: .*Copy or record it again"):
            list(Film(tmp_path / name))
    with pytest.raises(FileMissingError, match="No such video"):
        list(Film(tmp_path / "gone.mp4"))


def test_a_film_without_a_video_track(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "sound.m4a"), "w") as container:
        voice = container.add_stream("aac", rate=16000, layout="mono")
        for packet in films._tone(voice, 0.5, 0.0):
            container.mux(packet)
    with pytest.raises(VideoError, match="no video track; its tracks: audio"):
        list(Film(tmp_path / "sound.m4a"))


def test_a_film_without_a_frame(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "none.mkv"), "w") as container:
        track = container.add_stream("libx264", rate=30)
        track.width, track.height, track.pix_fmt = 96, 64, "yuv420p"
        container.start_encoding()
    with pytest.raises(VideoError, match=r"no frame that can be decoded|Cannot read"):
        list(Film(tmp_path / "none.mkv"))


@pytest.mark.parametrize("ending", ["mkv", "ts"])
def test_a_cut_off_film_gives_what_it_has(tmp_path: Path, ending: str) -> None:
    times = films.vary(3)
    noisy = (np.random.default_rng(at).integers(0, 255, (64, 96, 3), np.uint8) for at in range(len(times)))
    whole = films.write(tmp_path / f"film.{ending}", noisy, times, sound=False).read_bytes()
    cut = tmp_path / f"cut.{ending}"
    cut.write_bytes(whole[: len(whole) // 2])
    film = Film(cut)
    frames = list(film)
    assert 10 < len(frames) < len(times)
    # A transport stream does not say how long it is; only its last, torn frame can be noticed.
    assert film.faults or ending == "ts"
    assert film.about.frames is None


def test_a_film_that_promises_more_frames_than_it_has(tmp_path: Path) -> None:
    times = films.vary(3)
    path, front = tmp_path / "film.mp4", tmp_path / "front.mp4"
    noisy = (np.random.default_rng(at).integers(0, 255, (64, 96, 3), np.uint8) for at in range(len(times)))
    films.write(path, noisy, times, sound=False)
    with av.open(str(path)) as source, av.open(str(front), "w", options={"movflags": "faststart"}) as target:
        track = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.size:
                packet.stream = track
                target.mux(packet)
    content = front.read_bytes()
    front.write_bytes(content[: len(content) * 2 // 3])
    film = Film(front)
    frames = list(film)
    assert 10 < len(frames) < len(times)
    assert any(f"of {len(times)} frames" in fault for fault in film.faults)


def trimmed(source: Path, path: Path, seconds: float) -> Path:
    """Cut off the beginning without encoding anew: an edit list hides what lies between key frame and cut."""
    with av.open(str(source)) as before, av.open(str(path), "w") as after:
        track = after.add_stream_from_template(before.streams.video[0])
        for packet in before.demux(video=0):
            if packet.size and packet.pts is not None and packet.dts is not None:
                shift = round(seconds / packet.time_base)
                packet.pts, packet.dts, packet.stream = packet.pts - shift, packet.dts - shift, track
                after.mux(packet)
    return path


def test_what_an_edit_list_hides_is_not_missing(tmp_path: Path) -> None:
    times = [at / 25 for at in range(45)]
    source = films.write(tmp_path / "film.mp4", plain(times), times, sound=False)
    film = Film(trimmed(source, tmp_path / "trimmed.mp4", 0.6))
    with av.open(str(tmp_path / "trimmed.mp4")) as container:
        assert container.streams.video[0].frames == 45
    frames = list(film)
    assert [frame.seconds for frame in frames] == [at / 25 for at in range(30)]
    assert film.about.frames == 30
    assert film.faults == []


@pytest.mark.parametrize("ending", ["webm", "mkv", "mp4", "avi", "mov"])
@pytest.mark.parametrize("rate", [Fraction(1, 5), Fraction(1), Fraction(25)])
def test_a_whole_film_is_whole_at_any_rate(tmp_path: Path, ending: str, rate: Fraction) -> None:
    times = [float(at / rate) for at in range(5)]
    film = Film(
        films.write(
            tmp_path / f"film.{ending}",
            plain(times),
            times,
            sound=False,
            tick=films.TICK if ending == "webm" else 1 / rate,
        )
    )
    assert len(list(film)) == 5
    assert film.faults == []


def test_a_whole_film_that_begins_late_is_whole(tmp_path: Path) -> None:
    for ending in ("mkv", "ts", "mp4"):
        film = Film(films.write(tmp_path / f"film.{ending}", plain(TIMES), TIMES, offset=3.0))
        assert len(list(film)) == len(TIMES)
        assert film.faults == []


def test_empty_chunks_of_an_avi_file_are_no_frames(tmp_path: Path) -> None:
    """A gap in time is filled with chunks of no bytes, which the header counts."""
    times = [0.0, 0.04, 0.4, 1.0]
    film = Film(films.write(tmp_path / "film.avi", plain(times), times, sound=False, tick=films.PAL))
    with av.open(str(tmp_path / "film.avi")) as container:
        assert container.streams.video[0].frames > 20
    assert len(list(film)) == 4
    assert film.about.frames == 4
    assert film.faults == []


@pytest.mark.parametrize("ending", ["avi", "webm"])
def test_packets_that_were_lost_are_missed(tmp_path: Path, ending: str) -> None:
    times = [at / 25 for at in range(75)]
    noisy = (np.random.default_rng(at).integers(0, 255, (64, 96, 3), np.uint8) for at in range(len(times)))
    path = films.write(tmp_path / f"film.{ending}", noisy, times, sound=False, tick=films.PAL)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    film = Film(path)
    assert 10 < len(list(film)) < 70
    assert any("it ends" in fault for fault in film.faults)


def test_damage_in_the_middle_costs_only_what_it_hit(tmp_path: Path) -> None:
    times = films.vary(4)
    noisy = [np.random.default_rng(at).integers(0, 255, (64, 96, 3), np.uint8) for at in range(len(times))]
    path = films.write(tmp_path / "film.mkv", noisy, times, sound=False)
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 4000] = np.random.default_rng(0).bytes(4000)
    path.write_bytes(content)
    film = Film(path)
    seconds = [frame.seconds for frame in film]
    assert set(seconds) <= set(times)
    assert seconds[-1] == times[-1]
    assert len(seconds) >= 0.7 * len(times)
    assert any("could not be decoded" in fault for fault in film.faults)


def serve(content: bytes) -> tuple[str, threading.Event]:
    """Hand ``content`` to the first caller, and once the event is set break the connection as a cable does."""
    server, unplugged = socket.create_server(("127.0.0.1", 0)), threading.Event()

    def answer() -> None:
        with server:
            caller, _ = server.accept()
            caller.sendall(content)
            unplugged.wait(60)  # what has arrived and was not read is lost with the connection
            caller.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            caller.close()

    threading.Thread(target=answer, daemon=True).start()
    return f"tcp://127.0.0.1:{server.getsockname()[1]}", unplugged


def test_a_camera_that_is_unplugged(transport: Path) -> None:
    content = transport.read_bytes()
    address, unplugged = serve(content[: len(content) * 3 // 4])
    film, frames = Film(address), []
    for frame in film:
        frames.append(frame)
        if len(frames) == 4:
            unplugged.set()
    assert 3 < len(frames) < len(TIMES)
    assert frames[0].seconds == 0
    assert film.live
    assert film.faults


def test_a_camera_that_is_not_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    for source in (f"rtsp://127.0.0.1:{port}/none", "/dev/video97"):
        with pytest.raises(VideoError, match=r"as a .*camera: .*not in use"):
            list(Film(source))


def test_a_camera_by_its_number(monkeypatch: pytest.MonkeyPatch) -> None:
    """FFmpeg's test picture stands for the camera."""
    asked = []

    def address(name: str) -> tuple[str, str, dict[str, str]]:
        asked.append(name)
        return "testsrc=size=96x64:rate=25:duration=1", "lavfi", {}

    monkeypatch.setattr(source_module, "_to_ffmpeg", address)
    film = Film(0)
    frames = list(film)
    assert asked == ["0"]
    assert film.live
    assert [frame.seconds for frame in frames] == pytest.approx([at / 25 for at in range(25)])


def test_the_newest_frame_of_a_camera_is_given_and_old_ones_dropped(short: Path) -> None:
    film = Film(short)
    newest = Newest(film)
    given = []
    for frame in newest:
        given.append(frame.number)
        threading.Event().wait(0.02)
    assert given == sorted(set(given))
    assert given[-1] == len(TIMES) - 1
    assert newest.dropped == len(TIMES) - len(given) > 0


def test_a_camera_is_read_from_the_start_on_not_from_the_first_frame_asked_for(short: Path) -> None:
    newest = Newest(Film(short))
    newest.start()
    for _ in range(500):
        if newest._over:
            break
        threading.Event().wait(0.02)
    assert [frame.number for frame in newest] == [len(TIMES) - 1]
    assert newest.dropped == len(TIMES) - 1


def test_an_error_of_a_camera_reaches_the_caller(tmp_path: Path) -> None:
    with pytest.raises(FileMissingError):
        list(Newest(Film(tmp_path / "gone.mp4")))


def test_a_caller_who_stops_lets_go_of_the_camera(short: Path) -> None:
    film = Film(short)
    before = threading.active_count()
    for _ in Newest(film):
        break
    assert threading.active_count() == before
    assert film._container is None


def test_only_what_is_read_is_decoded(monkeypatch: pytest.MonkeyPatch, short: Path) -> None:
    """Memory does not depend on the length: the film runs no further ahead than the decoder's own few frames."""
    handed = []
    packets = Film._packets

    def counted(self: Film, *given: object) -> Iterator[object]:
        for packet in packets(self, *given):  # type: ignore[arg-type]
            handed.append(0)
            yield packet

    monkeypatch.setattr(Film, "_packets", counted)
    frames = iter(Film(short))
    next(frames)
    first = len(handed)
    for _ in range(5):
        next(frames)
    assert len(handed) - first <= 5


@pytest.mark.parametrize(
    "options",
    [{"every": 0}, {"fps": 0.0}, {"fps": -1.0}, {"fps": float("inf")}, {"fps": float("nan")}, {"every": 2, "fps": 5.0}],
)
def test_wrong_sampling(short: Path, options: dict[str, float]) -> None:
    with pytest.raises(OptionError):
        Film(short, **options)  # type: ignore[arg-type]


def test_without_pyav_the_command_is_named(short: Path) -> None:
    code = (
        "import sys; sys.modules['av'] = None\n"
        "from mien.errors import MissingExtraError\nfrom mien import Film\n"
        f"try: Film({str(short)!r}).about\nexcept MissingExtraError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "pip install 'mien[video]'" in done.stdout


@pytest.mark.parametrize(
    ("raised", "expected"),
    [
        (av.error.BlockingIOError(11, "Resource temporarily unavailable"), OutOfMemoryError),
        (av.error.MemoryError(12, "Cannot allocate memory"), OutOfMemoryError),
        (av.error.InvalidDataError(1, "Invalid data"), VideoError),
    ],
)
def test_a_frame_that_cannot_be_converted_is_named(
    short: Path, monkeypatch: pytest.MonkeyPatch, raised: Exception, expected: type[MienError]
) -> None:
    """FFmpeg's converter starts threads of its own, and says EAGAIN where it gets none."""
    frame = next(iter(Film(short)))

    def failing(self: Upright, picture: object) -> None:
        raise raised

    monkeypatch.setattr(Upright, "pixels", failing)
    with pytest.raises(expected, match="rame 0"):
        assert frame.pixels is None
