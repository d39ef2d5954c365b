"""SOURCE is a video file, the number of a camera (0) or its device, or a URL (rtsp://…, https://…). Videos with an end
are processed completely, also from a URL.

Without --out or --format, a table of the people is shown at the end.

Exit codes: 0 all read; 2 failed, the message says why; 3 the video is damaged, its readable part was processed;
130 Ctrl-C, SIGTERM or SIGHUP: outputs are closed properly.

Next: mien video film.mp4 --out film.csv --subtitles film.vtt --annotated drawn.mp4 --summary page
"""

from __future__ import annotations

import sys
from argparse import ArgumentParser, BooleanOptionalAction, Namespace
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from mien.cli import DONE, PARTLY, one_line
from mien.cli.ending import ended_well
from mien.cli.parser import count, detection_arguments, device_argument, not_negative, one_of, positive
from mien.cli.writing.output import growing, standard_output
from mien.errors import OptionError, nearest

if TYPE_CHECKING:
    from mien.recognition.recognizer import Recognizer
    from mien.results import FrameResult
    from mien.tracking.stream import Following
    from mien.video.digest import Digest
    from mien.video.film import Film, FilmFrame
    from mien.video.timeline import Timeline

    Step = tuple[FilmFrame, FrameResult, bool]

FORMATS = ("csv", "jsonl", "parquet")


class Sink(Protocol):
    """An output made of frames and their results."""

    def add(self, frame: FilmFrame, result: FrameResult) -> None:
        """Add a frame."""
        ...

    def close(self) -> None:
        """Finish the output, also if the video was interrupted."""
        ...


def arguments(parser: ArgumentParser) -> None:
    """Declare the options of ``mien video``."""
    parser.add_argument("source", metavar="SOURCE", help="video file, camera (0, /dev/video0) or URL (rtsp://…)")
    add = parser.add_argument
    add(
        "--out", type=Path, metavar="FILE", help="write the results of every frame: .csv, .jsonl or .parquet (a folder)"
    )
    add(
        "--format", type=one_of(*FORMATS), metavar="F", help="csv, jsonl or parquet (default: by the extension of FILE)"
    )
    add("--resume", action="store_true", help="resume the interrupted FILE of the same command")
    add("--subtitles", type=Path, metavar="FILE", help="write people and emotions as WebVTT")
    add("--events", type=Path, metavar="FILE", help="write onset, apex and offset of each emotion as CSV")
    add("--annotated", type=Path, metavar="FILE", help="write the video with boxes drawn in (.mp4, .mkv, .mov)")
    add("--no-sound", action="store_true", help="omit the sound from --annotated")
    add("--blur", action="store_true", help="blur the faces in --annotated and --summary")
    add("--summary", type=Path, metavar="DIR", help="write a page with the people, a plot and the events")
    add("--every", type=count, default=1, metavar="N", help="process every Nth frame")
    add("--fps", type=positive, metavar="N", help="process at most N frames per second")
    add("--reconnect", type=not_negative, default=0.0, metavar="S", help="try to reconnect a lost camera for S seconds")
    add("--seconds", type=positive, metavar="S", help="stop after S seconds of the video")
    following_arguments(parser)
    add("--progress", action=BooleanOptionalAction, help="progress bar on stderr (default: if it is a terminal)")


def following_arguments(parser: ArgumentParser) -> None:
    """Declare the options of detection and tracking."""
    add = parser.add_argument
    add("--detect-every", type=count, default=1, metavar="N", help="detect faces in every Nth processed frame")
    add(
        "--full-every",
        type=not_negative,
        metavar="S",
        help="full searches every S seconds, smaller ones between (default: 0.4); 0: all full",
    )
    add("--bridge", type=not_negative, metavar="S", help="keep a lost face for S seconds (default: 1)")
    add("--smooth", type=not_negative, metavar="S", help="smooth with a time constant of S seconds, 0 for none")
    add("--model", default="default", metavar="M", help="name (see mien models), .onnx file or run folder")
    detection_arguments(parser)
    add("--threads", type=count, metavar="N", help="threads of the networks (default: one per core)")
    device_argument(parser)


def following_of(options: Namespace) -> Following:
    """Return the tracking settings of the options of ``following_arguments``."""
    from mien.tracking.stream import Following

    names = ("detect_every", "bridge", "smooth", "full_every")
    chosen = {name: getattr(options, name) for name in names}
    return Following(**{name: value for name, value in chosen.items() if value is not None})


def recognizer_of(options: Namespace) -> Recognizer:
    """Load the recognizer that the options of ``following_arguments`` name."""
    from mien.recognition.recognizer import load

    names = ("detector", "threads", "device", "max_faces", "min_size", "threshold")
    return load(options.model, **{name: getattr(options, name) for name in names})


def run(options: Namespace) -> int:
    """Follow the people of a video and write the outputs; return the exit code."""
    from mien.tracking.stream import Follower
    from mien.video.film import Film
    from mien.video.follow import Newest, follow

    form = _form(options)
    _check(options, form)
    film = Film(options.source, every=options.every, fps=options.fps, reconnect=options.reconnect)
    following, recognizer = following_of(options), recognizer_of(options)
    with ended_well(), ExitStack() as stack:
        # Last, and read at once: a camera keeps recording while a model is loaded and outputs are opened.
        frames = Newest(film) if film.live else film
        if isinstance(frames, Newest):
            stack.callback(frames.close)
            frames.start()
        done = _take_up(options, form, film, recognizer, following)
        steps = follow(Follower(recognizer, following), frames, _kept(options, form, recognizer, done))
        timeline = None if done or form is None else _timeline(options, form, recognizer, 0, stack)
        sinks, digest = _sinks(options, film, recognizer, following, stack)
        for frame, result, fresh in _shown(options, film, steps):
            if fresh and form is not None:
                # FILE is cut back to whole frames no sooner than all of them proved to be of this film.
                timeline = timeline or _timeline(options, form, recognizer, done, stack)
                timeline.add(result)
            for sink in sinks:
                sink.add(frame, result)
    if isinstance(frames, Newest) and frames.dropped:
        film.faults.append(f"{frames.dropped:,} frames came faster than they could be read, and were passed over")
    if form is None or options.out is not None:
        _show_people(digest)
    for fault in film.faults:
        sys.stderr.write(f"mien: {one_line(film.name)}: {fault}\n")
    return PARTLY if film.faults else DONE


def _form(options: Namespace) -> str | None:
    """Return the format of the timeline, or None without one."""
    if options.format or options.out is None:
        return options.format  # type: ignore[no-any-return]
    ending = options.out.suffix.lower().lstrip(".")
    if ending not in FORMATS:
        raise OptionError(
            f"--out {str(options.out)!r}: expected a name ending in .{', .'.join(FORMATS)}, or --format."
            f"{nearest(ending, FORMATS)}"
        )
    return str(ending)


def _check(options: Namespace, form: str | None) -> None:
    from mien.video.annotate import SUFFIXES
    from mien.video.source import local_path

    if options.resume and options.out is None:
        raise OptionError("--resume needs --out FILE.")
    if form == "parquet" and options.out is None:
        raise OptionError("--format parquet needs --out, the folder for its files.")
    if options.blur and options.annotated is None and options.summary is None:
        raise OptionError("--blur needs --annotated or --summary.")
    if options.no_sound and options.annotated is None:
        raise OptionError("--no-sound needs --annotated.")
    if options.annotated is not None and options.annotated.suffix.lower() not in SUFFIXES:
        raise OptionError(f"--annotated {str(options.annotated)!r}: expected a name ending in {', '.join(SUFFIXES)}.")
    outputs = [
        path.resolve()
        for path in (options.out, options.subtitles, options.events, options.annotated, options.summary)
        if path is not None
    ]
    source = local_path(options.source)
    sources = [] if source is None else [source.resolve()]
    if len({*outputs, *sources}) != len(outputs) + len(sources):
        raise OptionError("The film and the outputs must all have different names.")


def _take_up(options: Namespace, form: str | None, film: Film, recognizer: Recognizer, following: Following) -> int:
    """Return the number of frames written by an earlier run; record the settings of this one."""
    if form is None or options.out is None:
        return 0
    from mien.cli.writing.resume import compare, write_settings
    from mien.video.timeline import count_whole

    settings = _settings(options, form, recognizer, following)
    if options.resume and options.out.exists():
        if film.live:
            raise OptionError("--resume needs a film: a camera does not show the same again.")
        compare(options.out, settings)
        return count_whole(options.out, form)
    if options.out.parent.is_dir():
        write_settings(options.out, settings)
    return 0


def _settings(options: Namespace, form: str, recognizer: Recognizer, following: Following) -> dict[str, Any]:
    from dataclasses import asdict

    from mien import __version__
    from mien.video.source import local_path

    names = ("detector", "max_faces", "min_size", "threshold", "every", "fps", "seconds")
    chosen = {name: getattr(options, name) for name in names}
    chosen |= {} if options.device == "auto" else {"device": options.device}
    path = local_path(options.source)
    size = path.stat().st_size if path is not None and path.is_file() else None
    model = recognizer.bundle.digest
    return {"mien": __version__, "model": model, "format": form, "film bytes": size, **chosen, **asdict(following)}


def _kept(options: Namespace, form: str | None, recognizer: Recognizer, done: int) -> Iterator[FrameResult]:
    if not done or form is None:
        return iter(())
    from mien.video.timeline import read

    return islice(read(options.out, form, recognizer.labels, torn=True), done)


def _timeline(options: Namespace, form: str, recognizer: Recognizer, done: int, stack: ExitStack) -> Timeline:
    from mien.video.timeline import Csv, JsonLines, Parquet, settle

    if done:
        settle(options.out, form)
    if form == "parquet":
        timeline: Timeline = Parquet(options.out, recognizer.labels, done=done)
    else:
        opened = standard_output() if options.out is None else growing(options.out, fresh=not done)
        stream = stack.enter_context(opened)
        timeline = Csv(stream, recognizer.labels, fresh=not done) if form == "csv" else JsonLines(stream)
    stack.callback(timeline.close)
    return timeline


def _sinks(
    options: Namespace, film: Film, recognizer: Recognizer, following: Following, stack: ExitStack
) -> tuple[list[Sink], Digest]:
    """Open the outputs; ``stack`` closes them, also on Ctrl-C, and leaves complete files."""
    from mien.video.annotate import Annotated
    from mien.video.digest import Digest
    from mien.video.events import EventList
    from mien.video.subtitles import Subtitles

    digest = Digest(recognizer.labels, following.bridge, portraits=options.summary is not None and not options.blur)
    if options.summary is not None:
        stack.callback(_write_summary, options, film, digest)
    sinks: list[Sink] = [digest]
    if options.subtitles is not None:
        sinks.append(Subtitles(stack.enter_context(growing(options.subtitles, fresh=True)), film.about.start))
    if options.events is not None:
        sinks.append(EventList(stack.enter_context(growing(options.events, fresh=True)), following.bridge))
    if options.annotated is not None:
        sound = film.address if film.about.sound and not options.no_sound else None
        sinks.append(Annotated(options.annotated, sound=sound, blur=options.blur))
    for sink in sinks:
        stack.callback(sink.close)
    return sinks, digest


def _write_summary(options: Namespace, film: Film, digest: Digest) -> None:
    from mien.video import summary

    notes = [f"The film is damaged: {fault}." for fault in film.faults]
    summary.write(options.summary, Path(film.name).name, digest, notes)


def _shown(options: Namespace, film: Film, steps: Iterable[Step]) -> Iterator[Step]:
    """Yield the frames, up to ``--seconds``, with a progress bar on stderr."""
    steps = _until(options.seconds, film.about.start, steps)
    if not (sys.stderr.isatty() if options.progress is None else options.progress):
        yield from steps
        return
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    from mien.cli.writing.terminal import console
    from mien.video.digest import format_time

    ending = film.about.duration is not None
    more = (BarColumn(), TimeRemainingColumn()) if ending else (TimeElapsedColumn(),)
    with Progress(
        TextColumn("{task.description}"), *more, console=console(sys.stderr), transient=sys.stderr.isatty()
    ) as bar:
        task = bar.add_task("film", total=options.seconds or film.about.duration)
        for step in steps:
            yield step
            at = step[0].seconds - film.about.start
            bar.update(task, completed=at, description=f"film {format_time(at)}")


def _until(seconds: float | None, start: float, steps: Iterable[Step]) -> Iterator[Step]:
    for step in steps:
        if seconds is not None and step[0].seconds - start >= seconds:
            return
        yield step


def _count_people(number: int) -> str:
    return f"{number:,} {'person' if number == 1 else 'people'}"


def _show_people(digest: Digest) -> None:
    from mien.drawing.percents import percent
    from mien.video.digest import format_time

    table = [("person", "from", "to", "frames", "mostly", "share")]
    for who, life in digest.longest(20):
        best = int(life.total.argmax())
        share = percent(life.total[best] / life.frames)
        table.append(
            (str(who), format_time(life.first), format_time(life.last), str(life.frames), digest.labels[best], share)
        )
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for row in table:
        cells = (cell.rjust(width) for cell, width in zip(row, widths, strict=True))
        sys.stdout.write("  ".join(cells).rstrip() + "\n")
    faces = f"{digest.with_face:,} of {digest.frames:,} frames show a face; {_count_people(len(digest.lives))}"
    sys.stdout.write(f"{faces}{', the 20 longest shown' if len(digest.lives) > 20 else ''}\n")
