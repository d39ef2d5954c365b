"""SOURCE is a corpus: a folder, a zip, a tar or a CSV; nothing is unpacked. Several make one manifest.

Formats, found by themselves or named with --format: fer2013-csv, fer2013-folders, ferplus, ckplus, ckplus48, kdef,
jaffe, rafdb, rafdb-folders, affectnet, affectnet7, affectnet-contempt, taiwanese, folders (…/happy/a.jpg), csv (columns
path, label).

What cannot be read is left out, counted, and listed with its reason in MANIFEST.problems.csv. Exit codes: 0 all read;
2 failed, the message says why; 3 written, but there were problems.

Next: mien data check MANIFEST
"""

from __future__ import annotations

import json
import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mien.cli import DONE, PARTLY, one_line
from mien.cli.learning import watched
from mien.cli.parser import count, one_of
from mien.cli.words import counted
from mien.errors import OptionError

if TYPE_CHECKING:
    from rich.table import Table

    from mien.datasets.index import Indexed

RULES = ("corpus", "majority")

SHOWN_NAMES = 8


def arguments(parser: ArgumentParser) -> None:
    """Declare the options of ``mien data index``."""
    add = parser.add_argument
    add("sources", nargs="+", type=Path, metavar="SOURCE", help="folder, zip, tar or CSV")
    add("--out", type=Path, required=True, metavar="FILE", help="the manifest, such as fer2013.parquet")
    add("--format", metavar="F", help="the corpus's format (default: found by itself)")
    add("--votes", type=Path, metavar="FER+", help="join FER+ votes: fer2013new.csv or the folder that holds it")
    add(
        "--vote-rule",
        type=one_of(*RULES),
        default="corpus",
        metavar="R",
        help="corpus: keep FER2013's labels (default); majority: take FER+'s",
    )
    add("--last", type=count, default=3, metavar="N", help="CK+ sequences: the last N frames are the apex (default: 3)")
    add("--no-neutral", action="store_true", help="CK+ sequences: leave out the neutral first frames")
    add("--angles", default="", metavar="A", help="KDEF: angles to read, such as S or HL,S,HR (default: all)")
    add("--own-classes", action="store_true", help="class folders or a CSV: keep the classes' names, whatever they are")
    add("--people", default="", metavar="P", help="--own-classes: regular expression that finds the person in a path")
    add("--strict", action="store_true", help="fail at the first problem")
    add("--json", action="store_true", help="print what was found as JSON")


def run(options: Namespace) -> int:
    """Index, print what was found; return the exit code."""
    from mien.datasets.index import index
    from mien.datasets.own import pattern
    from mien.datasets.rows import Options

    if options.people and not options.own_classes:
        raise OptionError("--people goes with --own-classes; known corpora say themselves who is on an image.")
    angles = tuple(angle.strip().upper() for angle in options.angles.split(",") if angle.strip())
    found = index(
        options.sources,
        options.out,
        reader=options.format,
        options=Options(options.last, not options.no_neutral, angles, options.own_classes, pattern(options.people)),
        votes=options.votes,
        vote_rule=options.vote_rule,
        strict=options.strict,
        watch=lambda items: watched(items, "indexing"),
    )
    _show(found, options)
    return PARTLY if found.problems else DONE


def _show(found: Indexed, options: Namespace) -> None:
    from mien.datasets import manifest

    counts = manifest.read(found.path).counts()
    if options.json:
        told = {**found.info(), "rows": found.rows, "flags": dict(found.flags), "counts": counts}
        sys.stdout.write(json.dumps(told, ensure_ascii=False) + "\n")
    else:
        show_counts(counts)
        _print(_lines(found))
    say_passed_over(found)
    for problem in found.first_problems:
        sys.stderr.write(f"mien: {one_line(str(problem))}\n")
    if found.problem_file:
        kept = found.problems - found.dropped
        sys.stderr.write(
            f"mien: {counted(found.problems, 'problem')}, all in {found.problem_file}: "
            f"{counted(found.dropped, 'row')} left out, {kept} kept\n"
        )


def say_passed_over(found: Indexed) -> None:
    """Say on stderr how many hidden and system files were passed over, and by which names."""
    if found.passed_over:
        names = ", ".join(f"{name} {times}" for name, times in found.passed_over.most_common(SHOWN_NAMES))
        more = ", …" if len(found.passed_over) > SHOWN_NAMES else ""
        total = found.passed_over.total()
        sys.stderr.write(f"mien: note: {total} hidden or system files passed over: {one_line(names)}{more}\n")


def _lines(found: Indexed) -> list[str]:
    lines = [
        f"{each['path']}: {each['rows']} images as {each['reader']} ({each['evidence']})" for each in found.sources
    ]
    if found.flags:
        lines.append("flags: " + ", ".join(f"{flag} {number}" for flag, number in sorted(found.flags.items())))
    if found.votes:
        joined = ", ".join(f"{kind} {number}" for kind, number in sorted(found.votes.items()))
        lines.append(f"FER+ votes: {joined} (ambiguous ones are dropped)")
    return [*lines, f"Next: mien data check {found.path}"]


def show_counts(counts: dict[str, dict[str, int]]) -> None:
    """Print a table of splits by classes."""
    from rich.console import Console

    Console().print(_table(counts))


def _table(counts: dict[str, dict[str, int]]) -> Table:
    from rich.table import Table

    nouns = sorted({noun for split in counts.values() for noun in split})
    table = Table("class", *(split or "no split" for split in counts))
    for noun in nouns:
        table.add_row(noun or "no label", *(str(row.get(noun, 0)) for row in counts.values()))
    table.add_row("all", *(str(sum(row.values())) for row in counts.values()), style="bold")
    return table


def _print(lines: list[Any]) -> None:
    sys.stdout.write("".join(f"{one_line(line)}\n" for line in lines))
