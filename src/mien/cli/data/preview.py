"""Shows training faces as the network sees them: preprocessed by the recipe, then augmented.

Next: mien train RECIPE --data DATA
"""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path

from mien.cli import DONE
from mien.cli.parser import count, seed
from mien.cli.shared import chosen_recipe, data_argument, read_recipe_faces, recipe_arguments, require_learning


def arguments(parser: ArgumentParser) -> None:
    """Declare the options of ``mien data preview``."""
    add = parser.add_argument
    recipe_arguments(parser)
    data_argument(parser)
    add("--out", type=Path, required=True, metavar="FILE", help="the image to write (.png)")
    add("--count", type=count, default=32, metavar="N", help="faces in the batch (default: 32)")
    add("--seed", type=seed, default=0, metavar="N", help="seed of the draw and the augmentation (default: 0)")


def run(options: Namespace) -> int:
    """Draw the batch and print its summary; return the exit code."""
    require_learning("data preview")
    from mien.training import preview

    recipe = chosen_recipe(options)
    faces = read_recipe_faces(options.data, recipe)
    summary = preview.write(recipe, faces, options.out, count=options.count, seed=options.seed)
    sys.stdout.write(f"{options.out}: {summary}\nNext: mien train {options.recipe} --data {options.data[0]}\n")
    return DONE
