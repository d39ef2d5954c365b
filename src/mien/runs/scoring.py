"""Score a model on a corpus: which faces and splits to use, and whether they include the run's own test set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from mien.datasets.faces import FaceSet
from mien.errors import DataError
from mien.evaluation.evaluate import predict
from mien.evaluation.matching import match_classes
from mien.evaluation.predictions import Predictions
from mien.recognition.classifier import Watch
from mien.runs import models
from mien.runs.models import Loaded
from mien.training import parts

ALL = "all"
"""Name of the split that contains all faces of the data."""


@dataclass(frozen=True)
class Scoring:
    """A model and the faces that it is scored on.

    Attributes:
        faces: with the model's classes; the run's own data is split as in its recipe, other data as in the corpus.
        own: whether they are the data that the model's run was trained on.
        left_out: label → number of faces of a class that the model lacks.
    """

    loaded: Loaded
    faces: FaceSet
    own: bool
    left_out: dict[str, int]

    @cached_property
    def training(self) -> FaceSet | None:
        """The training set; None if the data has none."""
        return self._part_or_none(parts.TRAIN)

    def _part_or_none(self, split: str) -> FaceSet | None:
        try:
            return self.faces.part(split)
        except DataError:
            return None

    def splits(self, asked: Sequence[str]) -> list[str]:
        """Translate the requested splits to the data's own names, in that order; ``all`` stays.

        The default is the validation set, or all faces if the data is not split. Raises ``DataError``, naming the
        splits of the data, for an unknown one.
        """
        if not asked and not (self.faces.splits != "").any():
            return [ALL]
        names = [split if split == ALL else self.faces.split_named(split) for split in asked or [parts.VALIDATION]]
        return list(dict.fromkeys(names))

    def part(self, split: str) -> FaceSet:
        """Return the faces of a split, by a name from ``splits``."""
        return self.faces if split == ALL else self.faces.part(split)

    def excludes_copies(self, split: str) -> bool:
        """Check whether a split is also scored without copies of training faces: not the training set itself."""
        return self.training is not None and split != self.faces.split_named(parts.TRAIN)

    def find_tested_run(self, splits: Sequence[str]) -> Path | None:
        """Return the model's run if its own test set is among ``splits``, so that the scoring must be counted.

        Raises:
            OptionError: that run is not finished: only a final model may be scored on the test set.
        """
        run = self.loaded.run
        if run is None:
            return None
        if self.own:
            tested = any(split == ALL or models.is_test(split) for split in splits)
        else:
            tested = any(models.holds_test(run, self.part(split)) for split in splits)
        if not tested:
            return None
        models.check_finished(run)
        return run

    def predict(self, split: str, watch: Watch | None = None) -> Predictions:
        """Return the model's predictions on a split, one view per face."""
        return predict(self.loaded.model, self.part(split), self.training, watch)

    def notes(self) -> list[str]:
        """Return caveats for the reader of the metrics, one sentence each."""
        notes = list(self.loaded.notes)
        if self.loaded.run is not None and not self.own:
            notes.append(
                "This is not the data that the run was trained on: the splits are the data's own, and it is not known "
                "which of the faces are training faces of the model."
            )
        if self.left_out:
            counts = ", ".join(f"{label} {count}" for label, count in self.left_out.items())
            notes.append(f"Left out, not among the model's classes: {counts}.")
        return notes


def prepare(loaded: Loaded, faces: FaceSet) -> Scoring:
    """Match a model with a corpus.

    Raises:
        DataError: they have no class in common.
    """
    match = match_classes(faces, loaded.model.label_set)
    arranged = None if loaded.run is None else models.arrange(loaded.run, match.faces)
    return Scoring(loaded, match.faces if arranged is None else arranged, arranged is not None, match.left_out)
