"""Run folder → self-describing model file: exported, compared with PyTorch, calibrated on PublicTest, scored."""

from __future__ import annotations

import copy
import itertools
import json
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn.utils import fuse_conv_bn_eval

from mien.datasets.faces import FaceSet
from mien.errors import FileMissingError, ModelError, OptionError, TrainingError
from mien.evaluation.calibration import Threshold
from mien.evaluation.evaluate import Model, logits, report, to_predictions
from mien.evaluation.evaluated import KEYS
from mien.evaluation.predictions import Predictions, join
from mien.files import appearing
from mien.learning import calibrate, checkpoints, corpora, parts, provenance
from mien.learning.consensus import Consensus
from mien.learning.fit import check_data
from mien.learning.models import TorchSession
from mien.learning.module import network_of
from mien.learning.recipe import ClassicalRecipe, HeadRecipe, Plan, Recipe, of_run
from mien.preprocess import PreprocessSpec, apply
from mien.recognition import bundle
from mien.recognition.session import OnnxSession, Session, softmax

TOLERANCE = 1e-4
PARITY_FACES = 512
LICENCE = (
    "Not stated by whoever trained these weights. The training images carry their owners' terms; check them before "
    "you pass the weights on."
)


def export(run: Path, faces: FaceSet, head: str = "") -> bundle.Bundle:
    """Write ``run/model.onnx`` from the run's best checkpoint and ``run/metrics.json``, and return the bundle.

    head: of a network of several corpora, answers in this head's sense are written instead of the consensus, as
    ``run/model-HEAD.onnx`` and ``run/metrics-HEAD.json``; it is calibrated and scored on its own corpora's faces.
    faces: what the run was trained on, with its test part. The temperature and the uncertainty threshold are
    fitted on the validation part; the test part is scored after everything is fixed, and each scoring is recorded.
    Raises ``FileMissingError`` for an unfinished run, ``ModelError`` if ONNX and PyTorch disagree, ``OptionError``
    for other faces than the run's.
    """
    recipe = recipe_of(run)
    faces = parts.arrange(faces, recipe.data)
    check_data(run, parts.described(faces))
    answering = 0
    if head:
        faces, answering = corpora.spoken(faces, recipe.data.corpora, head)
    public = faces.part(parts.VALIDATION)
    network = finished(run, recipe, faces, answering)
    graph = to_onnx(network, recipe.preprocess)
    found = scored(OnnxSession(graph), recipe, faces)
    difference = parity(network, found.validation_logits, public, recipe.preprocess)
    metrics: dict[str, Any] = {"parity": difference, "uncertain": asdict(found.threshold), **found.figures}
    suffix = f"-{head}" if head else ""
    record(run / f"metrics{suffix}.json", metrics)
    written = write(run / f"model{suffix}.onnx", graph, recipe, faces, found, metrics=metrics)
    if not head:
        found.write(run, written.digest)
    return written


def finished(run: Path, recipe: Recipe, faces: FaceSet, answering: int = 0) -> nn.Module:
    """Return the run's best network as it is exported, with what calibration puts behind its logits.

    answering: of several corpora's heads, as ``Consensus`` counts them.
    """
    network = load_network(run, recipe, len(faces.label_set))
    if isinstance(network, Consensus):
        network.answering = answering
    if not recipe.calibrate.in_graph:
        return network
    answers = logits(TorchSession(network), recipe.preprocess, calibrate.fitting_faces(recipe, faces))
    return calibrate.scaled(network, answers, recipe, faces)


def write(
    path: Path,
    graph: bytes,
    recipe: Plan,
    faces: FaceSet,
    found: Scored,
    *,
    metrics: dict[str, Any],
    licence: str = LICENCE,
    **origin: str,
) -> bundle.Bundle:
    """Write a scored graph as a model file in its run folder. origin: what its provenance says besides the run's."""
    return bundle.write(
        path,
        graph,
        name=recipe.name + path.stem.removeprefix("model"),
        labels=faces.label_set,
        preprocess=recipe.preprocess,
        temperature=found.predictions.about.temperature,
        uncertain_below=found.threshold.confidence,
        metrics=headline(metrics),
        provenance={**_provenance(path.parent, recipe, faces), **origin},
        licence=licence,
        recipe_digest=recipe.digest(),
        trained_on=provenance.trained_on(path.parent, recipe, faces),
    )


def recipe_of(run: Path) -> Recipe:
    """Return the recipe of a network's run folder. Raises ``FileMissingError``, ``OptionError`` for other runs."""
    found = graph_recipe_of(run)
    if isinstance(found, HeadRecipe):
        raise OptionError(
            f"{run} is a head on the finished model {found.head.trunk}, whose network is known as a graph only. Give "
            "the run of a network that mien train has trained."
        )
    return found


def graph_recipe_of(run: Path) -> Recipe | HeadRecipe:
    """Return the recipe of a run that has a graph. Raises ``FileMissingError``, ``OptionError`` for a baseline's."""
    found = of_run(run)
    if isinstance(found, ClassicalRecipe):
        raise OptionError(f"{run} is a classical baseline, which has no network. Give the run of a network.")
    return found


@dataclass(frozen=True)
class Scored:
    """What a finished model is worth.

    figures:     of the validation and the test part, by the parts' names.
    threshold:   confidence below which an answer is called uncertain.
    predictions: of both parts, with the fitted temperature.
    validation_logits: float32 (N, C).
    """

    figures: dict[str, Any]
    threshold: Threshold
    predictions: Predictions
    validation_logits: NDArray[np.float32]

    def write(self, run: Path, digest: str) -> Path:
        """Write the predictions into the run folder, as those of the model file with ``digest``."""
        about = replace(self.predictions.about, model_digest=digest)
        return replace(self.predictions, about=about).write(run / "predictions.parquet")


def scored(session: Session, plan: Plan, faces: FaceSet) -> Scored:
    """Score the validation and the test part. Temperature and threshold are fitted on the former, before the latter
    is looked at.
    """
    validation, training = faces.part(parts.VALIDATION), faces.part(parts.TRAIN)
    fitting = logits(session, plan.preprocess, calibrate.fitting_faces(plan, faces))
    answers, temperature = fitting[: len(validation)], calibrate.temperature(plan, fitting, faces)
    model = Model(plan.name, "", faces.label_set, plan.preprocess, temperature, session)
    chosen = to_predictions(answers, validation, training, model)
    threshold = calibrate.threshold(plan, chosen.probabilities, validation)
    test = faces.part(parts.TEST)
    tested = to_predictions(logits(session, plan.preprocess, test), test, training, model)
    figures = {
        _key(faces, parts.VALIDATION): report(chosen),
        _key(faces, parts.TEST): report(tested, copies=True),
    }
    return Scored(figures, threshold, join([chosen, tested]), answers)


def _key(faces: FaceSet, part: str) -> str:
    name = faces.split_named(part)
    return KEYS.get(name, name)


def load_network(run: Path, recipe: Recipe, classes: int) -> nn.Module:
    """Return the run's best network in evaluation mode, float32: averaged where the recipe averages, and smoothed."""
    path = run / "checkpoints" / "best.ckpt"
    if not path.exists():
        raise FileMissingError(f"{run} holds no checkpoints/best.ckpt; finish the run with `mien train … --resume`.")
    if not checkpoints.is_whole(path):
        raise TrainingError(f"{path} is cut off or damaged. Train again, into another folder.")
    checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    network = network_of(recipe, classes, trained=True)
    weights = {key.removeprefix("network."): value for key, value in checkpoint["state_dict"].items()}
    network.load_state_dict(weights)
    return calibrate.smoothed(network.float().eval(), recipe.calibrate.smooth)


def to_onnx(network: nn.Module, spec: PreprocessSpec) -> bytes:
    """Return the network as ONNX bytes: ``crops`` float32 (N, channels, size, size) → ``logits`` (N, C)."""
    example = torch.zeros(2, spec.channels, spec.size, spec.size)
    faces = torch.export.Dim("faces", min=1, max=65_536)
    with warnings.catch_warnings(), muted("torch.onnx", "onnxscript", "onnx_ir"):
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            _folded(network),
            (example,),
            input_names=["crops"],
            output_names=["logits"],
            dynamic_shapes=({0: faces},),
            dynamo=True,
            external_data=False,
            verbose=False,
        )
    if program is None:
        raise ModelError("PyTorch exported nothing; expected an ONNX program. Update torch and onnxscript.")
    return _slim(program.model_proto)


def _folded(network: nn.Module) -> nn.Module:
    """Return a copy whose batch norms are folded into the convolutions right before them, and that works out of place.

    The exporter folds too, but traces all of it first: MobileNetV2 took three times as long.
    """
    found = copy.deepcopy(network)
    for part in list(found.modules()):
        if hasattr(part, "inplace"):
            part.inplace = False  # type: ignore[assignment]
        if isinstance(part, nn.Sequential):
            for place, (first, second) in enumerate(itertools.pairwise(list(part))):
                if isinstance(first, nn.Conv2d) and isinstance(second, nn.BatchNorm2d):
                    part[place], part[place + 1] = fuse_conv_bn_eval(first, second), nn.Identity()
    return found


def _slim(model: Any) -> bytes:
    # The exporter writes a Python stack trace beside every node: paths of the machine it ran on, and bulk.
    for node in model.graph.node:
        del node.metadata_props[:]
        node.doc_string = ""
    for value in (*model.graph.value_info, *model.graph.input, *model.graph.output, *model.graph.initializer):
        del value.metadata_props[:]
    del model.metadata_props[:]
    del model.graph.metadata_props[:]
    serialised: bytes = model.SerializeToString()
    return serialised


@contextmanager
def muted(*names: str) -> Iterator[None]:
    """Silence named loggers within a ``with`` block; '' is the root."""
    loggers = [logging.getLogger(name) for name in names]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def parity(network: nn.Module, answers: NDArray[np.float32], faces: FaceSet, spec: PreprocessSpec) -> float:
    """Return the largest difference of probabilities between PyTorch and ONNX on up to 512 real crops.

    Raises ``ModelError`` above 1e-4.
    """
    with torch.inference_mode():
        own = network(torch.from_numpy(apply(faces.pixels[:PARITY_FACES], spec))).numpy()
    difference = float(np.abs(softmax(own) - softmax(answers[: len(own)])).max())
    if not difference <= TOLERANCE:
        raise ModelError(f"ONNX and PyTorch differ by {difference:.2e} in probability; expected ≤ {TOLERANCE:.0e}.")
    return difference


def record(path: Path, metrics: dict[str, Any]) -> None:
    """Write the run's metrics to ``path``, a JSON file which also counts how often the test part has been scored."""
    earlier = json.loads(path.read_text(encoding="utf-8"))["test_scorings"] if path.exists() else 0
    with appearing(path) as draft:  # its presence says that the run is finished
        draft.write_text(json.dumps({**metrics, "test_scorings": earlier + 1}, indent=1), encoding="utf-8")


def headline(metrics: dict[str, Any]) -> dict[str, Any]:
    """Return what of a run's metrics goes into its model file."""
    keep = ("faces", "accuracy", "interval", "macro_f1", "ece")
    found: dict[str, Any] = {}
    for name, values in metrics.items():
        if not isinstance(values, dict) or "macro_f1" not in values:
            found[name] = values
            continue
        found[name] = {key: values[key] for key in keep}
        if "without_training_copies" in values:
            clean = values["without_training_copies"]
            found[f"{name}_without_training_copies"] = {key: clean[key] for key in keep}
    return found


def _provenance(run: Path, recipe: Plan, faces: FaceSet) -> dict[str, Any]:
    taught = json.loads((run / "data.json").read_text(encoding="utf-8")).get("teachers", [])
    environment = json.loads((run / "environment.json").read_text(encoding="utf-8"))
    return {
        "trained_on": _described(faces, parts.TRAIN),
        "selected_on": _described(faces, parts.VALIDATION),
        "recipe": recipe.name,
        "environment": environment,
        **({"teachers": taught} if taught else {}),
    }


def _described(faces: FaceSet, split: str) -> str:
    part = faces.part(split)
    return f"{faces.split_named(split)}: {len(part)} faces with the labels of {faces.label_set.name}"
