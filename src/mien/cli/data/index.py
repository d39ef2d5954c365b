"""SOURCE is a corpus: a folder, a zip, a tar or a CSV; nothing is unpacked. Several make one manifest.

Formats, detected or named with --format: corpora such as fer2013-csv, ckplus48, kdef and affectnet (docs/data.md lists
all, and so does the error at a wrong name), folders (…/happy/a.jpg), csv (columns path, label).

Images that cannot be read are left out, counted, and listed with the reason in MANIFEST.problems.csv. Exit codes:
0 all read; 2 failed, the message says why; 3 written, but there were problems.

Next: mien data check MANIFEST
"""

from __future__ import annotations

import json
import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mien.cli import DONE, PARTLY, one_line
from mien.cli.parser import count, one_of
from mien.cli.shared import watched
from mien.cli.words import counted
from mien.errors import OptionError

if TYPE_CHECKING:
    from rich.table import Table

    from mien.datasets.index import Indexed

RULES = ("corpus", "majority", "plurality")

SHOWN_NAMES = 8


def arguments(parser: ArgumentParser) -> None:
    """Declare the options of ``mien data index``."""
    add = parser.add_argument
    add("sources", nargs="+", type=Path, metavar="SOURCE", help="folder, zip, tar or CSV")
    add("--out", type=Path, required=True, metavar="FILE", help="the manifest, such as fer2013.parquet")
    add("--format", metavar="F", help="the corpus's format (default: detected)")
    add("--votes", type=Path, metavar="FER+", help="join FER+ votes: fer2013new.csv or its folder")
    add(
        "--vote-rule",
        type=one_of(*RULES),
        default="corpus",
        metavar="R",
        help="corpus: keep FER2013's labels (default); majority: use FER+'s; plurality: count as papers on FERPlus do",
    )
    add(
        "--last",
        type=count,
        default=3,
        metavar="N",
        help="CK+: last N frames of each sequence (default: 3)",
    )
    add("--no-neutral", action="store_true", help="CK+ sequences: leave out the neutral first frames")
    add("--angles", default="", metavar="A", help="KDEF: angles to read, such as S or HL,S,HR (default: all)")
    add("--own-classes", action="store_true", help="class folders or a CSV: keep your own class names")
    add("--people", default="", metavar="P", help="--own-classes: regular expression that finds the person in a path")
    add("--strict", action="store_true", help="fail at the first problem")
    add("--json", action="store_true", help="print the result as JSON")


def run(options: Namespace) -> int:
    """Index and print the result; return the exit code."""
    from mien.datasets.index import index
    from mien.datasets.own import check_pattern
    from mien.datasets.rows import Options

    if options.people and not options.own_classes:
        raise OptionError("--people needs --own-classes; readers of known corpora find the people themselves.")
    angles = tuple(angle.strip().upper() for angle in options.angles.split(",") if angle.strip())
    indexed = index(
        options.sources,
        options.out,
        reader=options.format,
        options=Options(
            options.last, not options.no_neutral, angles, options.own_classes, check_pattern(options.people)
        ),
        votes=options.votes,
        vote_rule=options.vote_rule,
        strict=options.strict,
        watch=lambda items: watched(items, "indexing"),
    )
    _show(indexed, options)
    return PARTLY if indexed.problems else DONE


def _show(indexed: Indexed, options: Namespace) -> None:
    from mien.datasets import manifest

    counts = manifest.read(indexed.path).counts()
    if options.json:
        facts = {**indexed.info(), "rows": indexed.rows, "flags": dict(indexed.flags), "counts": counts}
        sys.stdout.write(json.dumps(facts, ensure_ascii=False) + "\n")
    else:
        show_counts(counts)
        _print(_format_result(indexed))
    report_skipped(indexed)
    for problem in indexed.first_problems:
        sys.stderr.write(f"mien: {one_line(str(problem))}\n")
    if indexed.problem_file:
        kept = indexed.problems - indexed.dropped
        sys.stderr.write(
            f"mien: {counted(indexed.problems, 'problem')}, all in {indexed.problem_file}: "
            f"{counted(indexed.dropped, 'row')} left out, {kept} kept\n"
        )


def report_skipped(indexed: Indexed) -> None:
    """Report on stderr the number and names of hidden and system files that were skipped."""
    if indexed.passed_over:
        names = ", ".join(f"{name} {times}" for name, times in indexed.passed_over.most_common(SHOWN_NAMES))
        more = ", …" if len(indexed.passed_over) > SHOWN_NAMES else ""
        total = indexed.passed_over.total()
        sys.stderr.write(f"mien: note: {total} hidden or system files skipped: {one_line(names)}{more}\n")


def _format_result(indexed: Indexed) -> list[str]:
    lines = [
        f"{source['path']}: {source['rows']} images as {source['reader']} ({source['evidence']})"
        for source in indexed.sources
    ]
    if indexed.flags:
        lines.append("flags: " + ", ".join(f"{flag} {number}" for flag, number in sorted(indexed.flags.items())))
    if indexed.votes:
        joined = ", ".join(f"{kind} {number}" for kind, number in sorted(indexed.votes.items()))
        lines.append(f"FER+ votes: {joined} (ambiguous ones are dropped)")
    return [*lines, f"Next: mien data check {indexed.path}"]


def show_counts(counts: dict[str, dict[str, int]]) -> None:
    """Print a table of splits by classes."""
    from rich.console import Console

    Console().print(_counts_table(counts))


def _counts_table(counts: dict[str, dict[str, int]]) -> Table:
    from rich.table import Table

    labels = sorted({label for split in counts.values() for label in split})
    table = Table("class", *(split or "no split" for split in counts))
    for label in labels:
        table.add_row(label or "no label", *(str(row.get(label, 0)) for row in counts.values()))
    table.add_row("all", *(str(sum(row.values())) for row in counts.values()), style="bold")
    return table


def _print(lines: list[Any]) -> None:
    sys.stdout.write("".join(f"{one_line(line)}\n" for line in lines))
