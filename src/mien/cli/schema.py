"""Prints the JSON Schema (draft 2020-12) of a photo's result: a line of `mien predict --format jsonl`, an item of the
list of `--format json`, or ImageResult.to_dict().

Next: mien schema > result.schema.json
"""

from __future__ import annotations

import sys
from importlib.resources import files
from typing import TYPE_CHECKING

from mien.cli import DONE

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace


def arguments(parser: ArgumentParser) -> None:
    """Declare the options of ``mien schema``: none but those of every verb."""


def run(_options: Namespace) -> int:
    """Print the schema; return the exit code."""
    sys.stdout.write(files("mien").joinpath("result.schema.json").read_text("utf-8"))
    return DONE
