"""Ensembles: several model files become one, whose probabilities are the weighted mean of theirs.

The mean is taken of calibrated probabilities, each member's with its own temperature, inside one ONNX graph, so that
the file is a model like any other.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray

from mien.datasets import terms
from mien.datasets.faces import FaceSet
from mien.errors import DataError, ModelError, OptionError
from mien.evaluation.evaluate import predict, report, summarise
from mien.evaluation.evaluated import KEYS
from mien.evaluation.matching import match_classes
from mien.evaluation.metrics.calibration import fit_threshold
from mien.evaluation.predictions import Predictions
from mien.export import mixture, shared_input
from mien.export.mixture import Member
from mien.export.parity import INT8_TOLERANCE, TOLERANCE, check_difference, generate_crops, is_quantised
from mien.preprocess import PreprocessSpec
from mien.recognition.classifier import Classifier
from mien.recognition.classifier import Crops as Faces
from mien.recognition.model_files import bundle, names
from mien.recognition.model_files.bundle import Bundle
from mien.recognition.model_files.corpus import USES, Corpus
from mien.recognition.session import OnnxSession

TRAIN, VALIDATION = "Training", "PublicTest"
"""FER2013's names of the splits, which ``FaceSet`` translates; ``mien.training.parts`` would import torch for them."""

COMPARED_FACES = 512
"""Faces of ``--data`` on which the ensemble is compared with its members, each run by itself."""


@dataclass(frozen=True)
class Ensemble:
    """What was written.

    Attributes:
        file: the ensemble's model file.
        members: name → weight, in the order given; the weights have the sum 1.
        derived: name → how a member's pixels are derived from the ensemble's; members that share them are left out.
    """

    file: Bundle
    members: dict[str, float]
    derived: dict[str, str]


def write(
    models: Sequence[str | Path],
    out: Path,
    *,
    weights: Sequence[float] | None = None,
    faces: FaceSet | None = None,
) -> Ensemble:
    """Write the ensemble of ``models`` as a model file, named after the file.

    Its classes have the first model's order. Its ``uncertain_below`` is the highest of the members' thresholds, which
    errs towards "uncertain": a mean of probabilities is never more confident than the most confident member. With
    ``faces`` it is fitted instead, as training does: the lowest confidence at and above which 80 % are right.

    Args:
        models: two or more, each a name, an alias, a model file or a run folder.
        out: a file that ends in ``.onnx``.
        weights: above 0, one for each model; they are divided by their sum. None weights all equally.
        faces: labelled crops whose validation set (all faces, if they are not split) no member was trained on. Members
            are compared with the ensemble on them, and its metrics on them are recorded.

    Raises:
        OptionError: fewer than two models, other weights, or an unusable ``out``.
        ModelError: models of different classes, the same model twice, or pixels that cannot be derived; an unusable
            model, as ``bundle.read``.
        DataError: faces without the models' classes, or without a validation set.
        FileMissingError: as ``bundle.read``.
    """
    _check_out(out, models)
    members = _read_members(models, weights)
    shared = shared_input.share({member.name: member.about.preprocess for member in members})
    graph = mixture.mix(members, shared)
    about = members[0].about
    classifier = Classifier(out.stem, hashlib.sha256(graph).hexdigest(), about.labels, shared, 1.0, OnnxSession(graph))
    metrics: dict[str, Any] = {"parity": _check_parity(classifier, members)}
    threshold = max(member.about.uncertain_below for member in members)
    if faces is not None:
        measured = _measure(classifier, members, faces)
        metrics, threshold = metrics | measured, measured["uncertain"]["confidence"]
    file = bundle.write(
        out,
        graph,
        name=out.stem,
        labels=about.labels,
        preprocess=shared,
        temperature=1.0,
        uncertain_below=threshold,
        metrics=metrics,
        provenance=_describe(members),
        licence=_join_licences(members),
        recipe_digest=_digest(members),
        trained_on=join_corpora(member.about for member in members),
    )
    return Ensemble(file, {member.name: member.weight for member in members}, _derived(members, shared))


def _check_out(out: Path, models: Sequence[str | Path]) -> None:
    if out.suffix != ".onnx":
        raise OptionError(f"The output {str(out)!r} does not end in .onnx; name a model file, such as pair.onnx.")
    if names.public(out.stem) is not None:
        raise OptionError(
            f"{out.stem!r} is the name of a model inside the package, which results of {out} would carry. Choose "
            "another."
        )
    if any(out.resolve() == names.locate(model).resolve() for model in models):
        raise OptionError(f"{out} is one of the members. Give the ensemble a file of its own.")


def _read_members(models: Sequence[str | Path], weights: Sequence[float] | None) -> list[Member]:
    if len(models) < 2:
        raise OptionError(f"{len(models)} model: an ensemble has two or more.")
    given = [1.0] * len(models) if weights is None else list(weights)
    if len(given) != len(models) or not all(weight > 0 and math.isfinite(weight) for weight in given):
        raise OptionError(
            f"Weights {', '.join(f'{weight:g}' for weight in given)} for {len(models)} models: expected one number "
            "above 0 for each model."
        )
    files = [bundle.read(model) for model in models]
    _check_different(files)
    for file in files[1:]:
        _check_classes(files[0], file)
    shares = [weight / math.fsum(given) for weight in given]
    return [Member(*entry) for entry in zip(_name(files), files, shares, strict=True)]


def _check_different(files: Sequence[Bundle]) -> None:
    given = [(file.digest, file.preprocess, file.labels.labels, file.temperature) for file in files]
    repeated = next((file for file, key in zip(files, given, strict=True) if given.count(key) > 1), None)
    if repeated is not None:
        raise ModelError(
            f"{repeated.name} is given twice (sha256 {repeated.digest[:16]}…). Give different models; weights let one "
            "count for more."
        )


def _name(files: Sequence[Bundle]) -> list[str]:
    names_given = [file.name for file in files]
    return [file.name if names_given.count(file.name) == 1 else f"{file.name} ({file.digest[:8]})" for file in files]


def _check_classes(first: Bundle, other: Bundle) -> None:
    own, theirs = set(first.labels.labels), set(other.labels.labels)
    if own != theirs:
        lacking = [
            f"{file.name} lacks {', '.join(sorted(classes))}"
            for file, classes in ((first, theirs - own), (other, own - theirs))
            if classes
        ]
        raise ModelError(
            f"{first.name} and {other.name} have different classes: {'; '.join(lacking)}. The members of an ensemble "
            "need the same classes, in any order."
        )


def _check_parity(classifier: Classifier, members: Sequence[Member]) -> float:
    """Return the largest difference in probability to the members' mean on generated crops of the ensemble's size.

    Raises:
        ModelError: above 1e-4, or 0.05 with int8 members, of which a value between two steps may round the other way.
    """
    crops = generate_crops(classifier.preprocess)
    allowed = max(INT8_TOLERANCE if is_quantised(member.about.graph) else TOLERANCE for member in members)
    expected = average(members, crops)
    return check_difference(classifier.classify(crops), expected, allowed, (classifier.name, "the mean of its members"))


def average(members: Sequence[Member], crops: Faces) -> NDArray[np.float64]:
    """Return the weighted mean of the probabilities of members that run each by itself, float64 (N, C).

    Args:
        members: the columns are in the first one's order of classes.
        crops: as for ``Classifier.classify``.
    """
    classes = members[0].about.labels.labels
    total = np.zeros((len(crops), len(classes)))
    for member in members:
        columns = [member.about.labels.labels.index(label) for label in classes]
        total += member.weight * Classifier.open(member.about).classify(crops)[:, columns]
    return total


def _measure(classifier: Classifier, members: Sequence[Member], faces: FaceSet) -> dict[str, Any]:
    """Return what a model file's ``metrics`` have of the ensemble on the validation set, with the fitted threshold."""
    faces = match_classes(faces, classifier.label_set).faces
    split, part, training = _select(faces)
    predictions = predict(classifier, part, training)
    return {
        "uncertain": asdict(fit_threshold(predictions.probabilities, predictions.labels)),
        "members_by_themselves": _compare(members, part, predictions),
        **summarise({split: report(predictions, copies=training is not None)}),
    }


def _select(faces: FaceSet) -> tuple[str, FaceSet, FaceSet | None]:
    """Return the key of the validation set in ``metrics``, its faces, and the training set if there is one."""
    if not (faces.splits != "").any():
        return "validation", faces, None
    name = faces.split_named(VALIDATION)
    try:
        training = faces.part(TRAIN)
    except DataError:
        training = None
    return KEYS.get(name, name), faces.part(name), training


def _compare(members: Sequence[Member], part: FaceSet, predictions: Predictions) -> dict[str, Any]:
    """Compare the ensemble with the mean of its members, each with its own way from crop to input."""
    expected = average(members, part.pixels[:COMPARED_FACES])
    own = predictions.probabilities[: len(expected)]
    gaps = np.abs(own - expected).max(1)
    return {
        "compared": len(expected),
        "largest_difference": float(gaps.max()),
        "mean_difference": float(gaps.mean()),
        "agreement": float((own.argmax(1) == expected.argmax(1)).mean()),
    }


def _describe(members: Sequence[Member]) -> dict[str, Any]:
    """Return the ensemble's ``provenance``: its members, and what each was trained and selected on."""
    entries = [
        {
            "model": member.name,
            "weight": member.weight,
            "digest": member.about.digest,
            "recipe_digest": member.about.recipe_digest,
        }
        for member in members
    ]
    stated = {
        key: "; ".join(f"{member.name}: {member.about.provenance.get(key, 'not stated')}" for member in members)
        for key in ("trained_on", "selected_on")
    }
    versions = {"onnx": onnx.__version__, "onnxruntime": onnxruntime.__version__}
    return {"members": entries, **stated, "environment": versions}


def _digest(members: Sequence[Member]) -> str:
    content = [[member.about.digest, member.weight] for member in members]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def _join_licences(members: Sequence[Member]) -> str:
    licences = {member.name: member.about.licence for member in members}
    if len(set(licences.values())) == 1:
        return members[0].about.licence
    return " ".join(f"{name}: {licence}" for name, licence in licences.items())


def join_corpora(files: Iterable[Bundle]) -> tuple[Corpus, ...]:
    """Return the corpora of all files, each once, with the use that shaped the weights most.

    A file that states none is listed by its own name.
    """
    joined: dict[tuple[str, str], Corpus] = {}
    for file in files:
        for corpus in file.trained_on or terms.corpora_of(file, "training"):
            known = joined.setdefault((corpus.name, corpus.terms), corpus)
            if USES.index(corpus.use) < USES.index(known.use):
                joined[corpus.name, corpus.terms] = corpus
    return tuple(joined.values())


def _derived(members: Sequence[Member], shared: PreprocessSpec) -> dict[str, str]:
    ways = {member.name: shared_input.describe(shared, member.about.preprocess) for member in members}
    return {name: way for name, way in ways.items() if way}
