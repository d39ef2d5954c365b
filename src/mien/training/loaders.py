"""The loaders of training and validation set: batches of preprocessed faces and their targets."""

from __future__ import annotations

import torch
from torch.utils.data import BatchSampler, DataLoader, Dataset, Sampler, SequentialSampler, TensorDataset

from mien.datasets.faces import FaceSet
from mien.datasets.lazy import LazyPixels, Pixels
from mien.preprocess import PreprocessSpec, apply
from mien.recipes.recipe import Recipe
from mien.recipes.tables import DegradeTable
from mien.recognition.classifier import batch_size
from mien.training import corpora, distillation, parts
from mien.training.batches import ShuffledBatches
from mien.training.degrade import DegradedFaces
from mien.training.harmonise import CorpusFaces
from mien.training.losses import class_weights


class PreparedFaces(Dataset[tuple[torch.Tensor, ...]]):
    """Batches of faces that are read and preprocessed when asked for: a list of indices → crops and targets."""

    def __init__(self, pixels: Pixels, targets: torch.Tensor, spec: PreprocessSpec) -> None:
        self.pixels, self.targets, self.spec = pixels, targets, spec

    def __len__(self) -> int:
        return len(self.pixels)

    def __getitem__(self, rows: list[int]) -> tuple[torch.Tensor, ...]:
        return torch.from_numpy(apply(self.pixels[rows], self.spec)), self.targets[rows]


class NumberedFaces(Dataset[tuple[torch.Tensor, ...]]):
    """The batches of other faces with the indices of their rows, int64 (B,), behind them."""

    def __init__(self, faces: Dataset[tuple[torch.Tensor, ...]]) -> None:
        self.faces = faces

    def __getitem__(self, rows: list[int]) -> tuple[torch.Tensor, ...]:
        return (*self.faces[rows], torch.tensor(rows))


def training_loader(recipe: Recipe, faces: FaceSet) -> DataLoader[tuple[torch.Tensor, ...]]:
    """Return the loader of the training set: float32 crops (N, C, S, S) and targets (N, K), sampled anew each epoch.

    With ``self_cure`` also the indices of the faces in the training set, int64 (N,).
    """
    part = faces.part(parts.TRAIN)
    targets = torch.from_numpy(distillation.targets(parts.targets(part, recipe.data), part, recipe.distil))
    if recipe.data.corpora.shares:
        return _corpora_loader(recipe, part, targets)
    chances = class_weights(list(part.counts().values()), recipe.data.oversample)[part.labels]
    batches = ShuffledBatches(
        len(part),
        recipe.train.batch_size,
        recipe.train.seed,
        chances / chances.sum() if recipe.data.oversample else None,
        rounds=recipe.distil.rounds,
    )
    if recipe.degrade != DegradeTable():
        prepared: Dataset[tuple[torch.Tensor, ...]] = DegradedFaces(part.pixels, targets, recipe)
    else:
        prepared = _prepare_faces(recipe, part, targets)
    return _loader(NumberedFaces(prepared) if recipe.self_cure.weight else prepared, batches)


def _corpora_loader(recipe: Recipe, part: FaceSet, targets: torch.Tensor) -> DataLoader[tuple[torch.Tensor, ...]]:
    table = recipe.data.corpora
    batches = ShuffledBatches(
        len(part),
        recipe.train.batch_size,
        recipe.train.seed,
        corpora.sampling_probabilities(part, table),
        draws=table.draws,
    )
    drawn = CorpusFaces(part, targets, recipe, lambda: batches.epoch)
    return _loader(NumberedFaces(drawn) if recipe.self_cure.weight else drawn, batches)


def validation_loader(recipe: Recipe, faces: FaceSet) -> DataLoader[tuple[torch.Tensor, ...]]:
    """Return the loader of the validation set: float32 crops (N, C, S, S) and labels int64 (N,), in order."""
    part = faces.part(parts.VALIDATION)
    batches = BatchSampler(SequentialSampler(part.ids), batch_size(part.pixels, recipe.preprocess), drop_last=False)
    return _loader(_prepare_faces(recipe, part, torch.from_numpy(part.labels)), batches)


def _prepare_faces(recipe: Recipe, part: FaceSet, targets: torch.Tensor) -> Dataset[tuple[torch.Tensor, ...]]:
    """Preprocess all faces at once if the results fit into memory, otherwise those of each batch."""
    spec = recipe.preprocess
    size = 4 * len(part) * spec.channels * spec.size**2 / 2**30
    # float32 takes four bytes where the pixels take one.
    if isinstance(part.pixels, LazyPixels) or size > 4 * recipe.data.memory:
        return PreparedFaces(part.pixels, targets, spec)
    return TensorDataset(torch.from_numpy(apply(part.pixels, spec)), targets)


def _loader(
    faces: Dataset[tuple[torch.Tensor, ...]], batches: Sampler[list[int]]
) -> DataLoader[tuple[torch.Tensor, ...]]:
    # Indexing a whole batch at once costs a hundredth of collating it image by image.
    return DataLoader(faces, sampler=batches, batch_size=None)
