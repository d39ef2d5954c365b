"""``mien.Video``: the results of a film by its path, as ``Recognizer.stream`` and ``mien video`` give them."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest

pytest.importorskip("av")
pytest.importorskip("scipy")

import films

import mien
from mien.errors import FileMissingError, OptionError, VideoError
from mien.video import timeline
from mien.video.film import About, Film


@pytest.fixture(scope="module")
def recognizer(model: Path) -> mien.Recognizer:
    return mien.load(model, threads=1)


@pytest.fixture(scope="module")
def film(examples: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return films.write_crossing(examples, tmp_path_factory.mktemp("film") / "film.mp4")


def test_it_yields_what_stream_yields(film: Path, recognizer: mien.Recognizer) -> None:
    video = mien.Video(film, model=recognizer, every=4, detect_every=2, smooth=0.5)
    results = list(video)
    assert results == list(recognizer.stream(Film(film, every=4), detect_every=2, smooth=0.5))
    assert {person.id for result in results for person in result.people} >= {1, 2}
    assert (video.faults, video.dropped, video.labels) == ([], 0, recognizer.labels)
    assert list(video) == results  # a file can be read again


def test_seconds_end_it_and_pixels_are_kept_on_request(film: Path, recognizer: mien.Recognizer) -> None:
    with mien.Video(str(film), model=recognizer, seconds=0.4, keep_pixels=True) as video:
        results = list(video)
    whole = [result.seconds for result in mien.Video(film, model=recognizer)]
    assert [result.seconds for result in results] == [seconds for seconds in whole if seconds < 0.4]
    assert results[0].draw().size == (films.WIDTH, films.HEIGHT)


def test_a_caller_who_stops_closes_the_file(film: Path, recognizer: mien.Recognizer) -> None:
    video = mien.Video(film, model=recognizer)
    for _ in video:
        break
    video.close()
    assert video.film._container is None


def test_the_data_frame_has_the_columns_of_the_csv(film: Path, recognizer: mien.Recognizer) -> None:
    pytest.importorskip("pandas")
    video = mien.Video(film, model=recognizer, every=10)
    frame = video.to_pandas()
    text = io.StringIO()
    table = timeline.Csv(text, recognizer.labels)
    for result in video:
        table.add(result)
    rows = list(csv.DictReader(io.StringIO(text.getvalue())))
    assert list(frame.columns) == list(rows[0])
    assert [str(value) for value in frame["seconds"]] == [row["seconds"] for row in rows]
    assert len(set(frame["frame"])) == len(list(video))


def test_a_live_source_gives_its_newest_frames(
    film: Path, recognizer: mien.Recognizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    video = mien.Video(film, model=recognizer)
    frames = video.about.frames
    monkeypatch.setitem(video.film.__dict__, "about", About(None, None, 0.0, True, False))
    with pytest.raises(OptionError, match=r"has no end. Give mien.Video\(…, seconds=…\)"):
        video.to_pandas()
    numbers = [result.frame for result in video]
    assert numbers == sorted(set(numbers))
    assert len(numbers) + video.dropped == frames


def test_errors_say_what_to_do(tmp_path: Path, recognizer: mien.Recognizer) -> None:
    with pytest.raises(FileMissingError, match="No such video"):
        list(mien.Video(tmp_path / "none.mp4", model=recognizer))
    (tmp_path / "text.mp4").write_text("no film")
    with pytest.raises(VideoError, match="Cannot read"):
        list(mien.Video(tmp_path / "text.mp4", model=recognizer))
    with pytest.raises(OptionError, match="seconds = 0: expected a time above 0"):
        mien.Video("film.mp4", model=recognizer, seconds=0)
    with pytest.raises(OptionError, match="bridge = 61"):
        mien.Video("film.mp4", model=recognizer, bridge=61)
