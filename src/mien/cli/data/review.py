"""REVIEW is a CSV with the columns id, action (drop, relabel, keep) and new_label, as written by mien data clean.

Next: mien data check OUT
"""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path

from mien.cli import DONE


def arguments(parser: ArgumentParser) -> None:
    """Declare the arguments of ``mien data apply-review``."""
    add = parser.add_argument
    add("manifest", type=Path, metavar="MANIFEST", help="the manifest that was reviewed")
    add("review", type=Path, metavar="REVIEW", help="review.csv, edited")
    add("out", type=Path, metavar="OUT", help="the new manifest")


def run(options: Namespace) -> int:
    """Apply, write and print the changes; return the exit code."""
    from mien.datasets import manifest
    from mien.datasets.quality import review

    whole = manifest.read(options.manifest)
    kept = review.apply(whole, review.read(options.review))
    written = kept.write(options.out)
    counts = kept.info["review"]
    sys.stdout.write(
        f"{written}: {counts['drop']} dropped, {counts['relabel']} relabelled, {len(kept)} of {len(whole)} rows left\n"
        f"Next: mien data check {written}\n"
    )
    return DONE
