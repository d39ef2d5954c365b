"""Write docs/systems/A.md to E.md from docs/runs and from what was counted and timed, docs/systems/A.json to E.json.

    python scripts/system_pages.py            # from what is committed; no corpus is read, nothing is trained
    python scripts/system_pages.py --speed    # also time system A's two networks anew; the machine must be at rest

`mien reproduce` writes both files where corpora are at hand. Every number and every verdict of the pages is computed;
a test compares them with what this script writes.
"""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from dataclasses import replace
from pathlib import Path

from mien.reproduction import speed
from mien.reproduction.finding import Evidence
from mien.reproduction.reproduce import write_page

ROOT = Path(__file__).parents[1]
PAGES, RUNS = ROOT / "docs/systems", ROOT / "docs/runs"


def write(system: str, out: Path = PAGES) -> Path:
    """Write one system's page into the folder ``out`` and return its path."""
    return write_page(system, RUNS, PAGES / f"{system}.json", out)


def main() -> None:
    """Write the five pages and print their paths."""
    parser = ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--speed", action="store_true", help="time system A's networks anew")
    if parser.parse_args().speed:
        counted = PAGES / "A.json"
        replace(Evidence.read(counted), speed=speed.measure()).write(counted)
    for system in "ABCDE":
        sys.stdout.write(f"{write(system)}\n")


if __name__ == "__main__":
    main()
