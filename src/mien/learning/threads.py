"""How many threads PyTorch computes with."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from mien.cores import usable_cores
from mien.learning.recipe import Plan


@contextmanager
def limited(recipe: Plan) -> Iterator[None]:
    """Within the block compute with no more threads than there are usable cores, in a smoke run with one.

    The batches of a smoke run are too small to share: beside other work its threads mostly waited for each other, ten
    times as long as one of them took alone. ``OMP_NUM_THREADS`` wins where it is set.
    """
    before = torch.get_num_threads()
    if not os.environ.get("OMP_NUM_THREADS"):
        torch.set_num_threads(1 if recipe.is_smoke else min(before, usable_cores()))
    try:
        yield
    finally:
        torch.set_num_threads(before)
