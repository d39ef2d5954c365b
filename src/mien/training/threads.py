"""The number of threads that PyTorch uses."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from mien.cores import usable_cores
from mien.recipes.recipe import Plan


@contextmanager
def limit(recipe: Plan) -> Iterator[None]:
    """Limit PyTorch within a ``with`` block to the usable cores, and to one thread in a smoke run.

    The batches of a smoke run are too small to parallelise: next to other processes, several threads mostly waited for
    each other and took ten times as long as one. ``OMP_NUM_THREADS`` takes precedence if set.
    """
    before = torch.get_num_threads()
    if not os.environ.get("OMP_NUM_THREADS"):
        torch.set_num_threads(1 if recipe.is_smoke else min(before, usable_cores()))
    try:
        yield
    finally:
        torch.set_num_threads(before)
