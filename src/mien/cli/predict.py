"""PATH is a photo, a folder (searched through all levels), a pattern ('photos/*.jpg'), or - for stdin.

Exit codes: 0 all read; 2 failed, the message says why; 3 some files unreadable, listed last; 130 Ctrl-C.

Next: mien predict photos --format csv --out faces.csv
"""

from __future__ import annotations

import os
import sys
from argparse import ArgumentParser, ArgumentTypeError, BooleanOptionalAction, Namespace
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from mien.cli import DONE, PARTLY, one_line
from mien.cli.parser import count, detection_arguments, device_argument, one_of
from mien.cli.writing.output import WRITERS, ExcelCsv, ParquetParts, described, growing, replacing, standard_output
from mien.cli.writing.targets import check_output, chosen_output, mirrored
from mien.drawing.draw import LABELS, check_labels
from mien.errors import ImageError, OptionError
from mien.recognition.folder import CHUNK, Unreadable, read_folder
from mien.recognition.listing import Listing, list_photos
from mien.recognition.sources import is_address
from mien.recognition.views import KINDS

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Iterable, Iterator, Sequence
    from contextlib import AbstractContextManager

    from mien.cli.writing.output import Writer
    from mien.recognition.recognizer import Recognizer
    from mien.results import ImageResult

    Entry = ImageResult | Unreadable

_STREAMS = ("jsonl", "csv")
_GROWING = (*_STREAMS, "parquet")
_DRAWN = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff"}
_MANY = 8
_CHUNK_WITH_PIXELS = CHUNK // 4  # a photo of 12 megapixels takes 36 MB until it is drawn


def arguments(parser: ArgumentParser) -> None:
    """Declare the options of ``mien predict``."""
    parser.add_argument("paths", nargs="+", metavar="PATH", help="photo, folder, pattern, or - for stdin")
    add = parser.add_argument
    add(
        "--format",
        type=one_of(*WRITERS, "parquet"),
        metavar="F",
        help="table, json, jsonl, csv or parquet (default: by the ending of FILE, else table)",
    )
    add("--json", action="store_const", dest="format", const="json", help="the same as --format json")
    add("--out", type=Path, metavar="FILE", help="write there; for parquet a folder; - (default) is stdout")
    add("--excel", action="store_true", help="csv that Excel opens as it is: marked as UTF-8, no cell a formula")
    add("--resume", action="store_true", help="go on with the cut-off FILE of the same command (jsonl, csv, parquet)")
    add("--save-annotated", type=Path, metavar="DIR", help="save the photos with boxes and emotions drawn in")
    add("--blur", action="store_true", help="hide the faces in what --save-annotated saves")
    add(
        "--labels",
        type=_labels,
        default="auto",
        metavar="L",
        help="what is drawn at faces: names, numbers (those of the table), or auto, which numbers crowds; or the "
        "language of all names of classes, such as de",
    )
    add("--model", default="default", metavar="M", help="name (see mien models), .onnx file or run folder")
    detection_arguments(parser)
    add("--classes", metavar="C", help="tell these apart: fer2013 (seven), ferplus (eight), or happiness,sadness,…")
    add(
        "--views",
        type=one_of(*KINDS),
        default="single",
        metavar="V",
        help="mean of several views of each face: flip, 2; crops, 10",
    )
    add("--max-pixels", type=count, metavar="N", help="refuse photos of more than N pixels (default: 100,000,000)")
    add("--threads", type=count, metavar="N", help="threads of the networks (default: one a core)")
    device_argument(parser)
    add("--allow-urls", action="store_true", help="let PATH be an address (https://…) of a photo, which is fetched")
    add("--accept-truncated", action="store_true", help="read JPEG files that are cut off as far as they go")
    add(
        "--progress",
        action=BooleanOptionalAction,
        help="progress bar on stderr (default: many photos, a terminal)",
    )
    add("--quiet", action="store_true", help="no progress bar and no notes on stderr, errors only")


def _labels(text: str) -> str:
    try:
        return check_labels(text)
    except OptionError as error:
        raise ArgumentTypeError(str(error)) from None


def run(options: Namespace) -> int:
    """Read the photos that ``options`` name and write their results; return the exit code."""
    options.format, options.out = chosen_output(options.out, options.format)
    _check(options)
    listing, sources = _listed(options.paths)
    if options.out is not None:
        check_output(options.out, sources, ".run.json" if options.format in _GROWING else "")
    names = _annotated_names(options, sources)
    recognizer = _load(options)
    done, unreadable = _take_up(options, recognizer, sources)
    entries = _read(recognizer, sources[done:], _chunk(options), keep_pixels=names is not None)
    entries = _annotated(entries, names, options) if names is not None else entries
    with _opened(options, recognizer, done, listing.passed_over) as writer:
        _note_settings(options, recognizer)
        missing, cut_off = _write(writer, _shown(options, entries, len(sources), done))
    unreadable += missing
    notes = [f"cut off, read as far as it goes: {source}" for source in cut_off]
    if listing.passed_over and options.format != "table":
        notes.append(described(listing.passed_over))
    if not options.quiet:
        sys.stderr.writelines(f"mien: note: {one_line(note)}\n" for note in notes)
    for entry in unreadable:
        sys.stderr.write(f"mien: unreadable: {one_line(_reason(entry))}\n")
    return PARTLY if unreadable else DONE


def _listed(paths: Sequence[str]) -> tuple[Listing, list[str]]:
    """Return what the files and folders among ``paths`` stand for, and all photos; addresses come last."""
    if paths == ["-"]:
        return Listing([Path("-")]), ["-"]
    files, addresses = [path for path in paths if not is_address(path)], [path for path in paths if is_address(path)]
    listing = list_photos(files)
    return listing, [*map(str, listing.photos), *dict.fromkeys(addresses)]


def _check(options: Namespace) -> None:
    for path in options.paths:
        key, _, value = path.partition("=")
        if value and key in ("source", "img", "img_path", "input") and not os.path.lexists(path):
            raise OptionError(f"{path!r}: photos are given without {key}=. Write: mien predict {value}")
    if (address := next(filter(is_address, options.paths), None)) is not None:
        _check_addresses(options, address)
    if "-" in options.paths and len(options.paths) > 1:
        raise OptionError("- reads one photo from stdin and stands alone; call mien once more for the other paths.")
    if options.resume and (options.out is None or options.format not in _GROWING or options.paths == ["-"]):
        raise OptionError("--resume needs --out FILE, --format jsonl, csv or parquet, and photos that are files.")
    if options.blur and options.save_annotated is None:
        raise OptionError("--blur needs --save-annotated DIR, where the pictures with hidden faces go.")
    if options.excel and options.format != "csv":
        raise OptionError(f"--excel goes with --format csv, not with {options.format}.")
    if options.format == "parquet" and options.out is None:
        raise OptionError("--format parquet needs --out, the folder for its files.")


def _check_addresses(options: Namespace, address: str) -> None:
    if not options.allow_urls:
        raise OptionError(f"{address!r} is an address. Download it, or let it be fetched with --allow-urls.")
    if options.save_annotated is not None or options.resume:
        raise OptionError("Addresses go without --save-annotated and --resume, which need files. Download the photos.")


def _load(options: Namespace) -> Recognizer:
    from mien.images import MAX_PIXELS
    from mien.recognition.recognizer import load

    return load(
        options.model,
        detector=options.detector,
        classes=options.classes,
        views=options.views,
        threads=options.threads,
        device=options.device,
        max_faces=options.max_faces,
        min_size=options.min_size,
        threshold=options.threshold,
        accept_truncated=options.accept_truncated,
        max_pixels=options.max_pixels or MAX_PIXELS,
        labels=None if options.labels in LABELS else options.labels,
        allow_urls=options.allow_urls,
    )


def _take_up(options: Namespace, recognizer: Recognizer, sources: Sequence[str]) -> tuple[int, list[Unreadable]]:
    """Return how many photos an earlier run has done already, and the unreadable ones among them."""
    if not options.resume:
        return 0, []
    from mien.cli.writing.resume import take_up

    kept = take_up(options.out, _settings(options, recognizer), sources)
    return kept.photos, list(kept.unreadable)


def _note_settings(options: Namespace, recognizer: Recognizer) -> None:
    if options.format in _GROWING and options.out is not None and (options.out.is_file() or options.out.is_dir()):
        from mien.cli.writing.resume import write_settings

        write_settings(options.out, _settings(options, recognizer))


def _settings(options: Namespace, recognizer: Recognizer) -> dict[str, Any]:
    from mien import __version__

    names = ("format", "detector", "classes", "views", "max_faces", "min_size", "threshold")
    chosen = {name: getattr(options, name) for name in names}
    chosen |= {name: True for name in ("excel", "accept_truncated") if getattr(options, name)}
    chosen |= {"max_pixels": options.max_pixels} if options.max_pixels else {}
    chosen |= {} if options.device == "auto" else {"device": options.device}
    chosen |= {} if options.labels in LABELS else {"labels": options.labels}
    return {"mien": __version__, "model": recognizer.bundle.digest, "batch": _chunk(options), **chosen}


def _chunk(options: Namespace) -> int:
    return CHUNK if options.save_annotated is None else _CHUNK_WITH_PIXELS


def _read(recognizer: Recognizer, sources: Sequence[str], chunk: int, *, keep_pixels: bool) -> Iterator[Entry]:
    if sources != ["-"]:
        yield from read_folder(recognizer, sources, chunk=chunk, keep_pixels=keep_pixels)
        return
    try:
        yield replace(recognizer.predict(sys.stdin.buffer.read(), keep_pixels=keep_pixels), source="-")
    except ImageError as error:
        yield Unreadable("-", str(error))


@contextmanager
def _opened(
    options: Namespace, recognizer: Recognizer, done: int, passed_over: Counter[str]
) -> Iterator[Writer | ParquetParts]:
    """Give the writer; what was written stays valid on Ctrl-C."""
    with ExitStack() as stack:
        if options.format == "parquet":
            writer: Writer | ParquetParts = ParquetParts(options.out, recognizer.labels, done)
        else:
            stream = stack.enter_context(_stream(options, fresh=not done))
            kind = ExcelCsv if options.excel else WRITERS[options.format]
            writer = kind(stream, recognizer.labels, fresh=not done, passed_over=passed_over)
        stack.callback(writer.close)
        yield writer


def _stream(options: Namespace, *, fresh: bool) -> AbstractContextManager[TextIO]:
    if options.out is None:
        return standard_output()
    return growing(options.out, fresh=fresh) if options.format in _STREAMS else replacing(options.out)


def _write(writer: Writer | ParquetParts, entries: Iterable[Entry]) -> tuple[list[Unreadable], list[str]]:
    """Write all entries; return the unreadable ones, and the names of those that were cut off and read all the same."""
    unreadable, cut_off = [], []
    for entry in entries:
        writer.add(entry)
        if isinstance(entry, Unreadable):
            unreadable.append(entry)
        elif entry.truncated:
            cut_off.append(str(entry.source))
    return unreadable, cut_off


def _annotated_names(options: Namespace, sources: Sequence[str]) -> dict[str, Path] | None:
    """Return source → file to draw into, or None where nothing is drawn."""
    if options.save_annotated is None:
        return None
    if sources == ["-"]:
        return {"-": options.save_annotated.resolve() / "stdin.png"}
    return mirrored(options.paths, sources, options.save_annotated, "--save-annotated", _drawable)


def _drawable(path: Path) -> Path:
    return path if path.suffix.lower() in _DRAWN else path.with_name(path.name + ".png")


def _annotated(entries: Iterable[Entry], names: dict[str, Path], options: Namespace) -> Iterator[Entry]:
    for entry in entries:
        if not isinstance(entry, Unreadable):
            name = names[str(entry.source)]
            name.parent.mkdir(parents=True, exist_ok=True)
            entry.save(name, blur=options.blur, labels=options.labels if options.labels in LABELS else "auto")
        yield entry


def _shown(options: Namespace, entries: Iterable[Entry], total: int, done: int) -> Iterator[Entry]:
    """Pass the entries on, with a bar on stderr if asked for, or if they are many and print nothing."""
    prints = options.out is None and options.format != "table" and sys.stdout.isatty()
    automatic = total >= _MANY and sys.stderr.isatty() and not prints and not options.quiet
    if not (automatic if options.progress is None else options.progress):
        yield from entries
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from mien.cli.writing.terminal import console

    columns = (TextColumn("photos"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console(sys.stderr), transient=sys.stderr.isatty()) as bar:
        task = bar.add_task("photos", total=total, completed=done)
        for entry in entries:
            yield entry
            bar.advance(task)


def _reason(entry: Unreadable) -> str:
    return entry.error if entry.source in entry.error else f"{entry.source}: {entry.error}"
