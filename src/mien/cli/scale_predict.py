"""SRC is a folder of photos, of Parquet files with a column of images, or of tar shards in WebDataset's format. DST
becomes a folder of Parquet files, one per block of photos, with the columns of mien predict; unreadable photos are also
listed in DST/_unreadable. Both must be on a disk that all machines share, or in a store (s3://bucket/folder).

Without --address the cores of this computer are used. --resume continues an interrupted run.

Exit codes: 0 all read; 2 failed, the message says why; 3 some photos unreadable; 130 Ctrl-C. Files are always complete.

Next: duckdb -c "select emotion, count(*) from 'DST/*.parquet' group by emotion"
"""

from __future__ import annotations

import sys
from argparse import ArgumentParser, BooleanOptionalAction, Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from mien.cli import DONE, PARTLY
from mien.cli.parser import count, detection_arguments, device_argument, number, one_of
from mien.cli.words import counted
from mien.errors import MissingExtraError
from mien.recognition.views import KINDS

if TYPE_CHECKING:
    from mien.scale.job import Job, Outcome, Watcher


def arguments(parser: ArgumentParser) -> None:
    """Declare the options of ``mien scale predict``."""
    parser.add_argument("source", metavar="SRC", help="photos, Parquet files or tar shards: folder, file or URL")
    parser.add_argument("out", metavar="DST", help="new folder, or its URL in a store")
    add = parser.add_argument
    add("--address", metavar="A", help="Ray cluster: auto on its machines, or HOST:PORT (default: this computer)")
    add("--workers", type=count, metavar="N", help="number of workers (default: as many as fit)")
    add("--threads", type=count, default=1, metavar="N", help="CPUs of each worker (default: 1)")
    add("--gpus", type=number, default=0, metavar="G", help="GPUs of each worker, 0.5 for a half (default: 0)")
    add("--resume", action="store_true", help="process the blocks missing in DST")
    kinds = ("photos", "parquet", "webdataset")
    add("--kind", type=one_of(*kinds), metavar="K", help="photos, parquet or webdataset, if SRC has several")
    add("--block", type=count, default=4096, metavar="N", help="photos per block, a multiple of 16 (default: 4096)")
    add("--column", metavar="C", help="Parquet column with the encoded images (default: image, or the only one)")
    add("--names", metavar="C", help="Parquet column with the photos' names (default: FILE:ROW)")
    _recognizer_arguments(parser)
    add("--progress", action=BooleanOptionalAction, help="progress bar on stderr (default: if it is a terminal)")


def _recognizer_arguments(parser: ArgumentParser) -> None:
    add = parser.add_argument
    add("--model", default="default", metavar="M", help="name (see mien models), .onnx file or run folder")
    detection_arguments(parser)
    add(
        "--classes",
        metavar="C",
        help="restrict to these classes: fer2013 (seven), ferplus (eight), or happiness,sadness,…",
    )
    add("--views", type=one_of(*KINDS), default="single", metavar="V", help="test-time augmentation: flip, crops")
    device_argument(parser)


def run(options: Namespace) -> int:
    """Process the photos on the cluster and return the exit code."""
    try:
        from mien.scale import job
    except ModuleNotFoundError as error:
        raise MissingExtraError.for_extra(f"mien scale (no {error.name})", "scale") from error
    with _watching(options) as watch:
        outcome = job.predict(_job(options), resume=options.resume, watch=watch)
    _tell(options, outcome)
    return PARTLY if outcome.set_aside else DONE


def _job(options: Namespace) -> Job:
    from mien.scale.job import Job

    names = ("detector", "classes", "views", "max_faces", "min_size", "threshold")
    return Job(
        options.source,
        options.out,
        kind=options.kind,
        block=options.block,
        column=options.column,
        naming=options.names,
        model=options.model,
        options={name: getattr(options, name) for name in names} | _device(options),
        address=options.address,
        workers=options.workers,
        threads=options.threads,
        gpus=options.gpus,
    )


def _device(options: Namespace) -> dict[str, str]:
    """Return the device if one was chosen: it decides the last digits, as do the other options of the output."""
    return {} if options.device == "auto" else {"device": options.device}


def _tell(options: Namespace, outcome: Outcome) -> None:
    kept = f" ({outcome.kept} already existed)" if outcome.kept else ""
    rate = f"{outcome.photos / outcome.seconds:.1f} photos/s on {outcome.workers} workers" if outcome.photos else "done"
    sys.stdout.write(
        f"{counted(outcome.photos, 'photo')}, {counted(outcome.faces, 'face')}, {rate}\n"
        f"{counted(outcome.blocks, 'block')} in {options.out}{kept}\n"
    )
    if outcome.repeated:
        sys.stderr.write(f"mien: note: {outcome.repeated} blocks were restarted\n")
    if outcome.set_aside:
        sys.stderr.write(
            f"mien: unreadable: {counted(outcome.set_aside, 'photo')}, listed in {options.out}/_unreadable\n"
        )


@contextmanager
def _watching(options: Namespace) -> Iterator[Watcher]:
    """Show a progress bar of blocks with the time left."""
    from mien.scale.job import Watcher

    def waiting() -> None:
        sys.stderr.write("mien: note: no worker has started yet; the cluster may be full. Waiting (Ctrl-C stops)\n")

    if not (sys.stderr.isatty() if options.progress is None else options.progress):
        yield Watcher(waiting=waiting)
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from mien.cli.writing.terminal import console

    columns = (TextColumn("blocks"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console(sys.stderr), transient=sys.stderr.isatty()) as bar:
        task = bar.add_task("blocks", total=None)
        yield Watcher(lambda blocks: bar.update(task, total=blocks), lambda done: bar.advance(task), waiting)
