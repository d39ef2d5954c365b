"""What the verbs of the learning half share: reading the data with a progress bar, and the table of figures."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mien.errors import MissingExtraError

if TYPE_CHECKING:
    from mien.datasets.faces import FaceSet


def data_argument(parser: ArgumentParser) -> None:
    """Declare ``--data``."""
    parser.add_argument(
        "--data",
        type=Path,
        required=True,
        metavar="DATA",
        help="a manifest (.parquet), or a corpus: CSV, folder, zip or tar",
    )


def read_faces(path: Path) -> FaceSet:
    """Read a manifest or any corpus with a known layout, with a progress bar on stderr."""
    from mien.datasets import faces

    return faces.load(path, watch=lambda rows: watched(rows, "reading"))


def watched(rows: Iterable[Any], task: str) -> Iterable[Any]:
    """Wrap an iterable of unknown length in a progress bar on stderr, if that is a terminal."""
    from rich.console import Console
    from rich.progress import track

    console = Console(stderr=True)
    # Rich ends a bar that nobody sees with an empty line, which would stand among the errors.
    return track(rows, task, console=console, transient=True) if console.is_terminal else rows


def require_learning(verb: str) -> None:
    """Raise ``MissingExtraError`` if scikit-learn, which computes the figures, is not installed."""
    from importlib.util import find_spec

    if find_spec("sklearn") is None:
        raise MissingExtraError.for_extra(f"mien {verb}", "train")


def show_figures(metrics: dict[str, Any]) -> None:
    """Print a model file's headline figures as a table."""
    from rich.console import Console
    from rich.table import Table

    table = Table("split", "faces", "accuracy", "95 % interval", "macro F1", "ECE")
    for name in ("public_test", "private_test", "private_test_without_training_copies"):
        table.add_row(name.replace("_", " "), *figures(metrics[name]))
    Console().print(table)


def figures(values: dict[str, Any]) -> tuple[str, ...]:
    """Return faces, accuracy, interval, macro F1 and ECE as a table shows them."""
    low, high = values["interval"]
    return (
        str(values["faces"]),
        f"{values['accuracy']:.2%}",
        f"{low:.1%} – {high:.1%}",
        f"{values['macro_f1']:.3f}",
        f"{values['ece']:.3f}",
    )
