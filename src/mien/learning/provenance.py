"""Run → the corpora that its model learned from, also through starting weights and teachers, with their terms."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from mien.datasets import terms
from mien.datasets.faces import FaceSet
from mien.errors import FileMissingError
from mien.learning import parts
from mien.learning.recipe import HeadRecipe, Plan, Recipe
from mien.recognition import bundle, names
from mien.recognition.corpus import Corpus

UNKNOWN = "not known here"


def trained_on(run: Path, recipe: Plan, faces: FaceSet) -> tuple[Corpus, ...]:
    """Return the corpora of a run, each once: of its training faces, its starting weights and its teachers.

    run: a folder with ``data.json``, which names the teachers.  faces: in the parts of the recipe.
    """
    found: dict[str, Corpus] = {}
    for each in (*training(faces), *starting(recipe), *_teachers(run, recipe)):
        found.setdefault(each.name, each)
    return tuple(found.values())


def training(faces: FaceSet) -> tuple[Corpus, ...]:
    """Return the corpora of the training faces; votes on faces of FER2013 are FER+'s."""
    part = faces.part(parts.TRAIN)
    if part.datasets is None:
        return terms.corpora([""])
    corpora = np.unique(part.datasets).tolist()
    if "fer2013" in corpora and part.votes is not None:
        voted = part.votes[part.datasets == "fer2013"].sum() > 0
        corpora += ["ferplus"] if voted else []
    return terms.corpora(corpora)


def starting(recipe: Plan) -> tuple[Corpus, ...]:
    """Return what the weights that training starts from were trained on."""
    if isinstance(recipe, HeadRecipe):
        return _of_model(bundle.read(recipe.head.trunk), "pretraining")
    if isinstance(recipe, Recipe) and recipe.network.name.startswith("torchvision:"):
        # Left out, it is the backbone's own default: ImageNet's weights.
        return () if recipe.network.pretrained is False else (terms.corpus("imagenet", "pretraining"),)
    if isinstance(recipe, Recipe) and recipe.network.name == "face_residual" and recipe.network.pretrained:
        return (terms.corpus("dlib_face_resnet29", "pretraining"),)
    return ()


def _teachers(run: Path, recipe: Plan) -> Iterable[Corpus]:
    recorded = json.loads((run / "data.json").read_text(encoding="utf-8")).get("teachers", [])
    models = recipe.distil.models if isinstance(recipe, Recipe) else ()
    for teacher in recorded:
        yield from _of_teacher(teacher["model"], teacher["model_digest"], models)


def _of_teacher(name: str, digest: str, models: Sequence[str]) -> tuple[Corpus, ...]:
    """Return the corpora of a teacher: from its model file if that is at hand, else that they are not recorded."""
    for model in (*models, *([name] if names.public(name) else [])):
        try:
            about = bundle.read(model)
        except FileMissingError:  # a teacher's file need not lie here any more when a run is exported again
            continue
        if about.digest == digest:
            return _of_model(about, "distillation")
    return (Corpus(name, f"predictions of this model; its corpora are {UNKNOWN}", "distillation"),)


def _of_model(about: bundle.Bundle, use: str) -> tuple[Corpus, ...]:
    if not about.trained_on:
        return (Corpus(about.name, f"weights of this model; its corpora are {UNKNOWN}", use),)
    return tuple(replace(each, use=use) for each in about.trained_on)
