"""Reports leakage between splits: exact, near and mirrored duplicates, shared people, and splits of FER2013 with a
wrong name. Near duplicates are compared by pixels, so the corpus must be at its path.

Exit codes: 0 clean; 2 failed, the message says why; 3 leakage or a wrong name was found.

Next: mien train RECIPE --data MANIFEST
"""

from __future__ import annotations

import json
import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from mien.cli import DONE, PARTLY
from mien.cli.parser import number, one_of
from mien.cli.shared import watched
from mien.cli.words import counted
from mien.errors import DataError, OptionError
from mien.files import appearing

if TYPE_CHECKING:
    from mien.datasets.guard import Report
    from mien.datasets.manifest import Manifest

_SHOWN = 5


def arguments(parser: ArgumentParser) -> None:
    """Declare the options of ``mien data check``."""
    add = parser.add_argument
    add("manifest", type=Path, metavar="MANIFEST", help="written by mien data index or mien data split")
    add(
        "--drop-leaks", type=Path, metavar="OUT", help="write a manifest without leaked training images and listed rows"
    )
    add("--keep-near", action="store_true", help="--drop-leaks drops exact copies only")
    add("--augmented", action="store_true", help="also search for rotated, shifted and zoomed copies (6 × slower)")
    add("--distance", type=int, default=12, metavar="BITS", help="candidates: hash bits that may differ (default: 12)")
    add("--correlation", type=number, default=0.9, metavar="R", help="copies: minimum correlation (default: 0.9)")
    add("--pairs", type=Path, metavar="FILE", help="write all pairs, with their correlation, as CSV")
    add("--format", type=one_of("table", "json"), default="table", metavar="F", help="table (default) or json")
    add("--strict", action="store_true", help="fail unless clean")


def run(options: Namespace) -> int:
    """Check, print and optionally write; return the exit code."""
    from mien.datasets import guard, manifest

    if not 0 <= options.distance <= 32 or not 0 < options.correlation <= 1:
        raise OptionError("--distance takes 0 to 32 bits, --correlation a number above 0 and up to 1.")
    whole = manifest.read(options.manifest)
    report = guard.check(
        whole,
        distance=options.distance,
        correlation=options.correlation,
        augmented=options.augmented,
        watch=lambda steps: watched(steps, "comparing"),
    )
    if options.format == "json":
        sys.stdout.write(json.dumps(report.to_dict(), ensure_ascii=False) + "\n")
    else:
        sys.stdout.write("".join(f"{line}\n" for line in format_report(report, whole)))
    if options.pairs:
        _write_pairs(report, whole, options.pairs)
    if options.drop_leaks:
        _write_clean(report, whole, options)
    if options.strict and not report.clean:
        raise DataError(f"{options.manifest} is not clean; see the report above.")
    return DONE if report.clean else PARTLY


def format_report(report: Report, whole: Manifest) -> list[str]:
    """Return the report as text."""
    from mien.datasets import guard

    text = [f"{name or 'no split'}: {counted(number, 'image')}" for name, number in report.splits.items()]
    text += [f"FER2013: {part}" for part in report.parts]
    for leak in report.leaks:
        text.append(f"LEAK: {leak}")
        names = whole.take([row for pair in leak.pairs[:_SHOWN] for row in pair]).column("id")
        pairs = zip(names[::2], names[1::2], leak.evidence, strict=False)
        text += [f"    {held} = {training} ({value:.3f})" for training, held, value in pairs]
        text += [f"    … {len(leak.pairs)} pairs in all"] if len(leak.pairs) > _SHOWN else []
    text += [f"LEAK: {people}; split by subject (mien data split --by subject)" for people in report.subjects]
    text += [f"LISTED: {count} {guard.LISTED[flag]} ({flag})" for flag, count in report.listed.items()]
    if report.blank:
        blank = ", ".join(f"{name or 'no split'} {number}" for name, number in report.blank.items())
        text.append(f"blank images, not counted as copies: {blank}")
    text.append(
        f"images that equal an earlier one: {report.repeated}; groups of equal images with several labels: "
        f"{report.conflicts}"
    )
    if not report.with_subjects:
        text.append("the corpus names no subjects, so shared people cannot be detected")
    return [*text, "clean" if report.clean else "NOT CLEAN"]


def _write_pairs(report: Report, whole: Manifest, path: Path) -> None:
    import csv

    ids = whole.column("id")
    with appearing(path) as draft, draft.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(("kind", "training", "held_out", "training_id", "held_out_id", "correlation"))
        for leak in report.leaks:
            for (first, second), value in zip(leak.pairs, leak.evidence, strict=True):
                table.writerow((leak.kind, leak.training, leak.held_out, ids[first], ids[second], value))


def _write_clean(report: Report, whole: Manifest, options: Namespace) -> None:
    from mien.datasets import guard

    kinds = ("exact",) if options.keep_near else guard.KINDS
    clean = guard.drop_leaks(whole, report, kinds)
    clean.write(options.drop_leaks)
    dropped = len(whole) - len(clean)
    sys.stdout.write(f"{options.drop_leaks}: {counted(dropped, 'image')} dropped, {len(clean)} kept\n")
