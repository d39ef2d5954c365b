"""The corpora that a run's model was trained on, also through pretrained weights and teachers, with their terms."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from mien import run_files
from mien.datasets import terms
from mien.datasets.faces import FaceSet
from mien.errors import FileMissingError
from mien.recipes.recipe import HeadRecipe, Plan, Recipe
from mien.recognition.model_files import bundle, names
from mien.recognition.model_files.corpus import Corpus
from mien.training import parts


def collect_corpora(run: Path, recipe: Plan, faces: FaceSet) -> tuple[Corpus, ...]:
    """Collect the distinct corpora of a run: those of its training faces, its pretrained weights and its teachers.

    Args:
        run: a folder with ``data.json``, which names the teachers.
        faces: split as in the recipe.
    """
    corpora: dict[str, Corpus] = {}
    for corpus in (*training_corpora(faces), *pretraining_corpora(recipe), *_teacher_corpora(run, recipe)):
        corpora.setdefault(corpus.name, corpus)
    return tuple(corpora.values())


def training_corpora(faces: FaceSet) -> tuple[Corpus, ...]:
    """Return the corpora of the training faces; votes on faces of FER2013 are from FER+."""
    part = faces.part(parts.TRAIN)
    if part.datasets is None:
        return terms.corpora([""])
    corpora = np.unique(part.datasets).tolist()
    if "fer2013" in corpora and part.votes is not None:
        voted = part.votes[part.datasets == "fer2013"].sum() > 0
        corpora += ["ferplus"] if voted else []
    return terms.corpora(corpora)


def pretraining_corpora(recipe: Plan) -> tuple[Corpus, ...]:
    """Return the corpora of the recipe's pretrained weights."""
    if isinstance(recipe, HeadRecipe):
        return terms.corpora_of(bundle.read(recipe.head.trunk), "pretraining")
    if isinstance(recipe, Recipe) and recipe.network.start is not None:
        return terms.corpora_of(bundle.read(recipe.network.start), "pretraining")
    if isinstance(recipe, Recipe) and recipe.network.name.startswith("torchvision:"):
        # None is the backbone's own default: ImageNet weights.
        return () if recipe.network.pretrained is False else (terms.corpus("imagenet", "pretraining"),)
    if isinstance(recipe, Recipe) and recipe.network.name == "face_residual" and recipe.network.pretrained:
        return (terms.corpus("dlib_face_resnet29", "pretraining"),)
    return ()


def _teacher_corpora(run: Path, recipe: Plan) -> Iterable[Corpus]:
    recorded = json.loads((run / run_files.DATA).read_text(encoding="utf-8")).get("teachers", [])
    models = recipe.distil.models if isinstance(recipe, Recipe) else ()
    for teacher in recorded:
        yield from _of_teacher(teacher["model"], teacher["model_digest"], models)


def _of_teacher(name: str, digest: str, models: Sequence[str]) -> tuple[Corpus, ...]:
    """Return a teacher's corpora from its model file, or an entry for unknown corpora if the file is not available."""
    for model in (*models, *([name] if names.public(name) else [])):
        try:
            about = bundle.read(model)
        except FileMissingError:  # the teacher's file may be gone when a run is exported again
            continue
        if about.digest == digest:
            return terms.corpora_of(about, "distillation")
    return (Corpus(name, f"predictions of this model; its corpora are {terms.UNKNOWN}", "distillation"),)
