"""Batch sampling: shuffled or weighted batches that depend on seed and epoch only."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Sampler

from mien.errors import OptionError


class ShuffledBatches(Sampler[list[int]]):
    """Full batches of indices, in an order that depends on seed and epoch only, so that a resumed run repeats it.

    Args:
        chances: each face's probability of being drawn, with replacement, (N,) summing to 1; None draws each face once.
        rounds: epochs after which the same batches repeat (``distil.rounds``); 0: never.
        draws: number of faces that an epoch draws by ``chances``; 0 means the size of the training set. In distributed
            training each process gets its share of every batch.
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
            raise OptionError(f"train.batch_size = {size} is more than the {faces} training faces. Lower it.")
        self.faces, self.size, self.seed, self.epoch, self.chances = faces, size, seed, 0, chances
        self.rounds, self.draws = rounds, draws or faces

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch's number; Lightning calls this before each epoch."""
        self.epoch = epoch % self.rounds if self.rounds else epoch

    def __len__(self) -> int:
        return self.draws // self.size

    def __iter__(self) -> Iterator[list[int]]:
        generator = np.random.default_rng((self.seed, self.epoch))
        if self.chances is None:
            order = generator.permutation(self.faces)
        else:
            order = generator.choice(self.faces, self.draws, p=self.chances)
        rank, processes = get_rank()
        for batch in order[: len(self) * self.size].reshape(-1, self.size):
            yield batch[rank::processes].tolist()


def get_rank() -> tuple[int, int]:
    """Return this process's rank in distributed training and the number of processes; (0, 1) for a single process."""
    distributed = torch.distributed.is_available() and torch.distributed.is_initialized()
    return (torch.distributed.get_rank(), torch.distributed.get_world_size()) if distributed else (0, 1)
