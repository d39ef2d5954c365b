"""One model on one corpus: which faces, in whose parts, and whether they are the run's own test part."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from mien.datasets.faces import FaceSet
from mien.errors import DataError
from mien.evaluation.evaluate import Watch, predict
from mien.evaluation.matching import match_classes
from mien.evaluation.predictions import Predictions
from mien.learning import models, parts
from mien.learning.models import Loaded

ALL = "all"
"""The split that is every face of the data, whatever part it belongs to."""


@dataclass(frozen=True)
class Scoring:
    """A model and the faces it can answer.

    faces:    with the model's classes. Of a run's own data they are in the parts of its recipe, else in the corpus's.
    own:      whether they are what the model's run was trained on.
    left_out: label → faces of a class that the model lacks.
    """

    loaded: Loaded
    faces: FaceSet
    own: bool
    left_out: dict[str, int]

    @cached_property
    def training(self) -> FaceSet | None:
        """The training part; None if the data has none."""
        return self._part_or_none(parts.TRAIN)

    def _part_or_none(self, split: str) -> FaceSet | None:
        try:
            return self.faces.part(split)
        except DataError:
            return None

    def splits(self, asked: Sequence[str]) -> list[str]:
        """Return the data's own names of the splits asked for, in that order, ``all`` among them.

        None asked for is the validation part, and of data without any parts all faces. Raises ``DataError`` naming
        the parts there are.
        """
        if not asked and not (self.faces.splits != "").any():
            return [ALL]
        names = [split if split == ALL else self.faces.split_named(split) for split in asked or [parts.VALIDATION]]
        return list(dict.fromkeys(names))

    def part(self, split: str) -> FaceSet:
        """Return the faces of a split as ``splits`` names it."""
        return self.faces if split == ALL else self.faces.part(split)

    def tells_copies(self, split: str) -> bool:
        """Say whether figures of a split are also told without copies of training faces: not of the training part."""
        return self.training is not None and split != self.faces.split_named(parts.TRAIN)

    def tested_run(self, splits: Sequence[str]) -> Path | None:
        """Return the model's run if its own test part is among ``splits``, so that the scoring is to be counted.

        Raises ``OptionError`` if that run is not finished: what is not fixed must not be scored on the test part.
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
        """Return the model's answers on a split, one view of each face."""
        return predict(self.loaded.model, self.part(split), self.training, watch)

    def notes(self) -> list[str]:
        """Return what must be known to read the figures, a sentence each."""
        found = list(self.loaded.notes)
        if self.loaded.run is not None and not self.own:
            found.append(
                "These are not the faces that the run was trained on as it was: the parts are the data's own, and "
                "which of the faces are training faces of the model is not known."
            )
        if self.left_out:
            told = ", ".join(f"{label} {count}" for label, count in self.left_out.items())
            found.append(f"Left out, not among the model's classes: {told}.")
        return found


def prepare(loaded: Loaded, faces: FaceSet) -> Scoring:
    """Bring a model and a corpus together. Raises ``DataError`` if they have no class in common."""
    found = match_classes(faces, loaded.model.label_set)
    arranged = None if loaded.run is None else models.arranged(loaded.run, found.faces)
    return Scoring(loaded, found.faces if arranged is None else arranged, arranged is not None, found.left_out)
