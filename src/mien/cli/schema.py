"""Prints a JSON Schema (draft 2020-12) of what Mien writes:

photo  a line of `mien predict --format jsonl`, an item of the list of `--format json`, or ImageResult.to_dict()
video  a line of `mien video --format jsonl`, or FrameResult.to_dict()

Next: mien schema > result.schema.json
"""

from __future__ import annotations

import sys
from importlib.resources import files
from typing import TYPE_CHECKING

from mien.cli import DONE
from mien.cli.parser import one_of

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

SCHEMAS = {"photo": "result.schema.json", "video": "frame.schema.json"}


def arguments(parser: ArgumentParser) -> None:
    """Declare the options of ``mien schema``."""
    parser.add_argument(
        "of", nargs="?", default="photo", type=one_of(*SCHEMAS), metavar="OF", help="photo (default) or video"
    )


def run(options: Namespace) -> int:
    """Print the schema; return the exit code."""
    sys.stdout.write(files("mien").joinpath(SCHEMAS[options.of]).read_text("utf-8"))
    return DONE
