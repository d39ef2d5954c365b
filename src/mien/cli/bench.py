"""PHOTO is a photo with a face; without it a drawn face is used. Run nothing else on the machine meanwhile.

With PHOTO, or --plot, bars below the table show where the time of this photo goes: decode, detect, align, classify.
--plot writes them as a picture.

Each round times every stage: decoding, detector, preprocessing and classifier in batches of 1, 8 and 64, the whole path
from photo to result, and whole processes with their memory. Results are medians of the rounds, with their range. peak
is the share of the machine's float32 peak, measured by matrix products of NumPy and ONNX Runtime in the same round with
the same number of threads.

Next: mien bench photo.jpg --plot photo.png
"""

from __future__ import annotations

import json
import math
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from mien.cli import DONE
from mien.cli.parser import count, device_argument, one_of
from mien.errors import OptionError

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Iterable, Iterator

    from mien.bench.breakdown import Breakdown
    from mien.bench.measure import Bench, Row

_DRAWN = "a drawn face, 640×480"
_BAR = 40  # letters of the longest bar


def arguments(parser: ArgumentParser) -> None:
    """Declare the options of ``mien bench``."""
    add = parser.add_argument
    add("photo", nargs="?", type=Path, metavar="PHOTO", help="a photo with a face (default: a face is drawn)")
    add("--model", default="default", metavar="M", help="name (see mien models), .onnx file or run folder")
    add("--threads", type=count, action="append", metavar="N",
        help="number of threads, repeatable (default: 1, and one per core)")  # fmt: skip
    device_argument(parser)
    add("--repeat", type=count, default=7, metavar="N", help="rounds (default: 7, about 2 minutes)")
    add("--format", type=one_of("table", "json"), default="table", metavar="F", help="table (default) or json")
    add("--out", type=Path, metavar="FILE", help="write to FILE instead of stdout")
    add("--plot", type=Path, metavar="FILE", help="draw where the photo's time goes (.png or .svg)")


def run(options: Namespace) -> int:
    """Measure, show and return the exit code."""
    from mien.bench.measure import measure
    from mien.cores import usable_cores

    threads = list(dict.fromkeys(options.threads or (1, usable_cores())))
    if max(threads) > usable_cores():
        raise OptionError(
            f"--threads {max(threads)}: this process may use {usable_cores()} cores. Give {usable_cores()} at most."
        )
    _check_files(options)
    with _photo(options.photo) as (photo, shown):
        bench = measure(
            photo,
            shown,
            model=options.model,
            threads=threads,
            rounds=options.repeat,
            device=options.device,
            watch=_show_round,
        )
        breakdown = _break_down(options, photo, shown, max(threads))
    if options.format == "json":
        stages = {} if breakdown is None else {"breakdown": breakdown.to_dict()}
        text = json.dumps(bench.to_dict() | stages, indent=1)
    else:
        text = "\n".join([*_format_table(bench), *([] if breakdown is None else ["", _format_bars(breakdown)])])
    _write(options.out, text + "\n")
    if breakdown is not None and options.plot is not None:
        _plot(breakdown, options.plot)
    return DONE


def _check_files(options: Namespace) -> None:
    """Refuse before minutes of measuring what could not be written after them."""
    for name, path in (("--out", options.out), ("--plot", options.plot)):
        if path is not None and options.photo is not None and path.resolve() == options.photo.resolve():
            raise OptionError(f"{name} {str(path)!r} is the photo; choose another file.")
    if options.plot is None:
        return
    from mien.drawing import saving
    from mien.reporting import figures

    saving.check_ending(options.plot, (".png", ".svg"))
    figures.new(1, 1, "mien bench --plot")  # raises without matplotlib
    if options.out is not None and options.out.resolve() == options.plot.resolve():
        raise OptionError(f"--out and --plot are both {str(options.out)!r}; choose two files.")


def _break_down(options: Namespace, photo: Path, shown: str, threads: int) -> Breakdown | None:
    """Time the stages of the user's own photo, or of the drawn one where a plot is asked for."""
    if options.photo is None and options.plot is None:
        return None
    from mien.bench import breakdown

    return breakdown.measure(
        photo, shown, model=options.model, threads=threads, device=options.device, rounds=options.repeat
    )


def _format_bars(breakdown: Breakdown) -> str:
    """Format the stages as a chart of bars, with Rich."""
    import io

    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from mien.bench.breakdown import STAGES

    table = Table(box=box.SIMPLE_HEAD, title=Text(breakdown.title), title_justify="left", pad_edge=False)
    for name, justify in (("stage", "left"), ("", "left"), ("ms", "right"), ("share", "right"), ("what", "left")):
        table.add_column(name, justify=justify, no_wrap=True)  # type: ignore[arg-type]
    longest = max(stage.share for stage in breakdown.stages)
    for stage in breakdown.stages:
        bar = "█" * max(1, round(_BAR * stage.share / longest))
        cells = (stage.name, bar, _format_digits(stage.seconds * 1e3), f"{stage.share:.0%}", STAGES[stage.name])
        table.add_row(*map(Text, cells))
    stream = io.StringIO()
    Console(file=stream, width=10_000, color_system=None).print(table)
    return "\n".join(line.rstrip() for line in stream.getvalue().rstrip().splitlines())


def _plot(breakdown: Breakdown, path: Path) -> None:
    from mien.bench.breakdown import draw
    from mien.drawing import saving
    from mien.reporting import figures

    saving.write(path, figures.render(draw(breakdown), path.suffix.lower()[1:]))


@contextmanager
def _photo(given: Path | None) -> Iterator[tuple[Path, str]]:
    """Yield the photo's file and its name."""
    if given is not None:
        yield given, str(given)
        return
    from PIL import Image

    from mien.bench import portrait

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "face.jpg"
        Image.fromarray(portrait.draw()).save(path, quality=95)
        yield path, _DRAWN


def _write(out: Path | None, text: str) -> None:
    from mien.cli.writing.output import replacing, standard_output

    with replacing(out) if out is not None else standard_output() as stream:
        stream.write(text)


def _show_round(rounds: Iterable[int]) -> Iterable[int]:
    """Show the number of the round on stderr, if that is a terminal."""
    for number in rounds:
        if sys.stderr.isatty():
            sys.stderr.write(f"\rround {number + 1} ")
            sys.stderr.flush()
        yield number
    if sys.stderr.isatty():
        sys.stderr.write("\r\033[K")


def _format_table(bench: Bench) -> Iterator[str]:
    model, machine = bench.model, bench.machine
    libraries = ", ".join(f"{name} {version}" for name, version in machine["libraries"].items())
    yield f"machine  {machine['system']}, {machine['cores']} cores; Python {machine['python']}, {libraries}"
    yield f"model    {model['name']}, {model['bytes'] / 1e6:.2f} MB, {model['flops'] / 1e6:.1f} million FLOPs a face"
    yield f"photo    {bench.photo}"
    for threads, rates in bench.peaks.items():
        named = ", ".join(f"{name} {rate / 1e9:.1f}" for name, rate in rates.items())
        yield f"peak     {threads} thread{'s' * (threads > 1)}: float32 GFLOP/s of a matrix product: {named}"
    head = ("stage", "batch", "threads", "ms", "range", "a second", "GFLOP/s", "peak", "memory")
    rows = [head, *(_format_row(row) for row in bench.rows)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
    yield ""
    for row in rows:
        first, *others = zip(row, widths, strict=True)
        yield "  ".join([first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in others)]).rstrip()
    yield ""
    yield f"Medians of {bench.rounds} rounds; range: least and most of a round. memory: most that the process held."


def _format_row(row: Row) -> tuple[str, ...]:
    return (
        row.stage, str(row.batch), str(row.threads), _format_digits(row.seconds * 1e3),
        f"{_format_digits(row.low * 1e3)}–{_format_digits(row.high * 1e3)}", _format_digits(row.rate),
        f"{row.flops / row.seconds / 1e9:.1f}" if row.flops else "", "" if row.share is None else f"{row.share:.0%}",
        "" if row.memory is None else f"{row.memory / 2**20:.0f} MiB",
    )  # fmt: skip


def _format_digits(value: float) -> str:
    """Format a number with three significant digits."""
    return f"{value:.{max(0, 2 - math.floor(math.log10(value)))}f}"
