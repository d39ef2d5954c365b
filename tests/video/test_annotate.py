"""The annotated film: same times, same sound, boxes where they belong, faces that nobody can read."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("av")

import av
import films

from mien.errors import VideoError
from mien.results import Box, FrameResult, Person
from mien.video.annotate import Annotated
from mien.video.film import Film

LABELS = ("happiness", "neutral")
TIMES = films.vary(1.5)


def person(left: float, top: float, side: float = 24) -> Person:
    return Person(1, Box(left, top, side, side), True, 0.9, LABELS, (0.9, 0.1), (0.9, 0.1), False)


def grey(times: list[float], width: int = 96, height: int = 64) -> list[films.Pixels]:
    return [np.full((height, width, 3), 100, np.uint8)] * len(times)


def annotate(film: Film, path: Path, *people: Person, sound: bool = True, blur: bool = False) -> Path:
    target = Annotated(path, sound=film.name if sound else None, blur=blur)
    for frame in film:
        target.add(frame, FrameResult(frame.number, frame.seconds, *frame.size, people))
    target.close()
    return path


def sound_of(path: Path) -> list[tuple[int | None, bytes]]:
    with av.open(str(path)) as container:
        return [(packet.pts, bytes(packet)) for packet in container.demux(audio=0) if packet.size]


@pytest.mark.parametrize("ending", ["mp4", "mkv"])
def test_times_stay_and_the_sound_is_copied(tmp_path: Path, ending: str) -> None:
    source = films.write(tmp_path / f"film.{ending}", grey(TIMES), TIMES)
    drawn = annotate(Film(source), tmp_path / f"drawn.{ending}", person(30, 20))
    frames = list(Film(drawn))
    assert [frame.seconds for frame in frames] == TIMES
    assert frames[0].size == (96, 64)
    with av.open(str(drawn)) as container:
        assert container.streams.video[0].codec_context.name == "h264"
    before, after = sound_of(source), sound_of(drawn)
    assert len(after) >= len(before) - 2  # the tone of the generated film is longer than its pictures
    assert after == before[: len(after)]


def test_the_box_is_drawn_where_the_face_is(tmp_path: Path) -> None:
    film = Film(films.write(tmp_path / "film.mp4", grey(TIMES), TIMES))
    drawn = list(Film(annotate(film, tmp_path / "drawn.mp4", person(30, 30))))[-1].pixels
    assert np.abs(drawn[40:50, 38:46].astype(int) - 100).max() < 25  # inside: as it was
    left_edge = drawn[36:50, 28:33].astype(int)
    assert np.abs(left_edge - 100).max(axis=(1, 2)).min() > 60


def test_without_sound_and_with_odd_sides(tmp_path: Path) -> None:
    source = films.write(tmp_path / "film.mp4", grey(TIMES), TIMES, sound=False)

    class Odd(Film):
        def __iter__(self):  # type: ignore[no-untyped-def]
            for frame in super().__iter__():
                frame.__dict__["pixels"] = frame.pixels[:63, :95].copy()
                yield frame

    drawn = annotate(Odd(source), tmp_path / "drawn.mp4", sound=False)
    assert Film(drawn).about.sound is False
    assert len(list(Film(drawn))) == len(TIMES)


def test_frames_of_another_size_are_scaled_and_times_go_on(tmp_path: Path) -> None:
    one = films.write(tmp_path / "one.ts", grey(TIMES), TIMES, sound=False)
    two = films.write(tmp_path / "two.ts", grey(TIMES, 128, 96), TIMES, sound=False, offset=1.0)
    (tmp_path / "both.ts").write_bytes(one.read_bytes() + two.read_bytes())
    film = Film(tmp_path / "both.ts")
    seconds = [frame.seconds for frame in film]
    frames = list(Film(annotate(film, tmp_path / "drawn.mkv", sound=False)))
    assert {frame.size for frame in frames} == {(96, 64)}
    assert len(frames) == 2 * len(TIMES)
    assert [frame.seconds for frame in frames] == pytest.approx(seconds, abs=0.001)  # Matroska counts milliseconds


@pytest.mark.parametrize("ending", ["mp4", "mkv", "mov"])
@pytest.mark.parametrize("codec", ["wmav2", "pcm_s16le", "mp2", "flac"])
def test_sound_that_a_container_cannot_hold_is_encoded(tmp_path: Path, ending: str, codec: str) -> None:
    source = films.write(tmp_path / ("film.wmv" if codec == "wmav2" else "film.mkv"), grey(TIMES), TIMES, voice=codec)
    drawn = annotate(Film(source), tmp_path / f"drawn.{ending}", person(30, 20))
    with av.open(str(drawn)) as container:
        (track,) = container.streams.audio
        heard = list(container.decode(track))
    loud = np.concatenate([np.abs(frame.to_ndarray().astype(float)).ravel() for frame in heard])
    assert heard[0].time is not None
    assert heard[0].time < 0.2
    assert heard[-1].time == pytest.approx(TIMES[-1], abs=0.2)
    assert loud.max() > 0
    assert [frame.seconds for frame in Film(drawn)] == pytest.approx([frame.seconds for frame in Film(source)])


def joined(folder: Path) -> Path:
    """Write three recordings into one file, byte by byte: the clock begins anew twice."""
    part = films.write(folder / "part.ts", grey(TIMES), TIMES)
    (folder / "joined.ts").write_bytes(part.read_bytes() * 3)
    return folder / "joined.ts"


@pytest.mark.parametrize("ending", ["mp4", "mkv", "mov"])
def test_joined_recordings_are_whole_with_their_sound(tmp_path: Path, ending: str) -> None:
    film = Film(joined(tmp_path))
    seconds = [frame.seconds for frame in film]
    assert len(seconds) == 3 * len(TIMES)
    assert min(np.diff(seconds)) > 0
    assert max(np.diff(seconds)) < 0.3
    one = [frame.seconds for frame in Film(tmp_path / "part.ts")]
    for part in range(3):
        span = seconds[part * len(one) : (part + 1) * len(one)]
        assert [time - span[0] for time in span] == pytest.approx([time - one[0] for time in one], abs=0.001)
    drawn = annotate(film, tmp_path / f"drawn.{ending}", person(30, 20))
    assert [frame.seconds for frame in Film(drawn)] == pytest.approx(seconds, abs=0.001)
    before, after = sound_of(tmp_path / "part.ts"), sound_of(drawn)
    assert 3 * len(before) - 2 <= len(after) <= 3 * len(before)
    stamps = [stamp for stamp, _ in after if stamp is not None]
    assert len(stamps) == len(after)
    assert stamps == sorted(set(stamps))


def test_the_sound_of_a_trimmed_film_does_not_move_its_pictures(tmp_path: Path) -> None:
    source = films.write(tmp_path / "film.mp4", grey(TIMES), TIMES)
    with av.open(str(source)) as before, av.open(str(tmp_path / "trimmed.mp4"), "w") as after:
        tracks = {track.index: after.add_stream_from_template(track) for track in before.streams}
        for packet in before.demux():
            if packet.size and packet.pts is not None and packet.dts is not None:
                shift = round(0.5 / packet.time_base)
                packet.pts, packet.dts = packet.pts - shift, packet.dts - shift
                packet.stream = tracks[packet.stream_index]
                after.mux(packet)
    film = Film(tmp_path / "trimmed.mp4")
    drawn = annotate(film, tmp_path / "drawn.mp4", person(30, 20))
    assert [frame.seconds for frame in Film(drawn)] == [frame.seconds for frame in film]
    assert film.faults == []


def test_pictures_are_written_with_square_pixels(tmp_path: Path) -> None:
    film = Film(films.write(tmp_path / "film.mp4", grey(TIMES), TIMES, aspect=Fraction(2)))
    drawn = annotate(film, tmp_path / "drawn.mp4", person(30, 20))
    with av.open(str(drawn)) as container:
        track = container.streams.video[0]
        assert (track.width, track.height) == (192, 64)
    assert track.sample_aspect_ratio == 1


def test_frames_out_of_order_in_avi_are_all_written(tmp_path: Path) -> None:
    film = Film(films.write_reordered(tmp_path / "film.avi", grey(TIMES)))
    drawn = annotate(film, tmp_path / "drawn.mp4", person(30, 20))
    assert [frame.seconds for frame in Film(drawn)] == pytest.approx([frame.seconds for frame in film])


def test_a_film_that_is_closed_early_is_whole_as_far_as_it_goes(tmp_path: Path) -> None:
    film = Film(films.write(tmp_path / "film.mp4", grey(TIMES), TIMES))
    target = Annotated(tmp_path / "drawn.mp4", sound=film.name)
    for frame in film:
        target.add(frame, FrameResult(frame.number, frame.seconds, *frame.size, ()))
        if frame.number == 9:
            break
    target.close()
    drawn = Film(tmp_path / "drawn.mp4")
    assert [frame.seconds for frame in drawn] == TIMES[:10]
    assert drawn.faults == []


def test_no_frame_is_no_film(tmp_path: Path) -> None:
    Annotated(tmp_path / "drawn.mp4", sound=None).close()
    assert not (tmp_path / "drawn.mp4").exists()


def test_what_cannot_be_written_is_said(tmp_path: Path) -> None:
    film = Film(films.write(tmp_path / "film.mp4", grey(TIMES), TIMES))
    with pytest.raises(VideoError, match=r"Cannot write .*none.*: No such file"):
        annotate(film, tmp_path / "none" / "drawn.mp4")


def test_a_disk_that_is_full_is_said(tmp_path: Path) -> None:
    film = Film(films.write(tmp_path / "film.mp4", grey(TIMES), TIMES))
    (tmp_path / "drawn.mkv").symlink_to("/dev/full")
    with pytest.raises(VideoError, match=r"Cannot write .*: No space left on device"):
        annotate(film, tmp_path / "drawn.mkv", person(30, 20), sound=False)


def test_who_is_missing_for_a_moment_is_hidden_too(tmp_path: Path) -> None:
    picture = np.random.default_rng(0).integers(0, 255, (120, 160, 3), np.uint8)
    found = FrameResult(0, 0.0, 160, 120, (), missing=(person(50, 30, 60),))
    film = Film(films.write(tmp_path / "film.mp4", [picture], [0.0]))
    drawn = Annotated(tmp_path / "drawn.mp4", sound=None, blur=True)
    for frame in film:
        drawn.add(frame, found)
    drawn.close()
    (seen,) = Film(tmp_path / "drawn.mp4")
    assert seen.pixels[40:80, 60:100].std() < picture[40:80, 60:100].std() / 2
