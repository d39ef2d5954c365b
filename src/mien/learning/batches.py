"""Which faces stand in which batch of which epoch."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Sampler

from mien.errors import OptionError


class ShuffledBatches(Sampler[list[int]]):
    """Full batches of indices in an order drawn from seed and epoch alone, so that a resumed run sees the same one.

    chances: each face's probability of being drawn, with replacement, (N,) summing to 1; None draws each face once.
    rounds:  epochs after which the same batches come again (``distil.rounds``); 0: never.
    draws:   how many faces an epoch draws by ``chances``; 0 takes as many as there are.
    Where several processes train together each gets its share of every batch.
    """

    def __init__(
        self,
        faces: int,
        size: int,
        seed: int,
        chances: NDArray[np.float64] | None = None,
        *,
        rounds: int = 0,
        draws: int = 0,
    ) -> None:
        if faces < size:
            raise OptionError(f"train.batch_size = {size} is more than the {faces} training faces; lower it.")
        self.faces, self.size, self.seed, self.epoch, self.chances = faces, size, seed, 0, chances
        self.rounds, self.draws = rounds, draws or faces

    def set_epoch(self, epoch: int) -> None:
        """Take the epoch's number; Lightning calls this before each epoch."""
        self.epoch = epoch % self.rounds if self.rounds else epoch

    def __len__(self) -> int:
        return self.draws // self.size

    def __iter__(self) -> Iterator[list[int]]:
        generator = np.random.default_rng((self.seed, self.epoch))
        if self.chances is None:
            order = generator.permutation(self.faces)
        else:
            order = generator.choice(self.faces, self.draws, p=self.chances)
        first, step = place()
        for batch in order[: len(self) * self.size].reshape(-1, self.size):
            yield batch[first::step].tolist()


def place() -> tuple[int, int]:
    """Return this process's number among those that train together, and how many they are; (0, 1) where it is alone."""
    distributed = torch.distributed.is_available() and torch.distributed.is_initialized()
    return (torch.distributed.get_rank(), torch.distributed.get_world_size()) if distributed else (0, 1)
