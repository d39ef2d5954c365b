"""Export a run folder to a self-describing model file: ONNX export, parity check, calibration, scoring."""

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

from mien import run_files
from mien.datasets.faces import FaceSet
from mien.errors import FileMissingError, ModelError, OptionError, TrainingError
from mien.evaluation.evaluate import report, summarise, to_predictions
from mien.evaluation.evaluated import KEYS
from mien.evaluation.metrics.calibration import Threshold, probability_gaps
from mien.evaluation.predictions import Predictions, join
from mien.export import provenance
from mien.export.parity import TOLERANCE
from mien.files import appearing
from mien.networks.consensus import Consensus
from mien.networks.torch_session import TorchSession
from mien.preprocess import PreprocessSpec, apply
from mien.recipes.recipe import ClassicalRecipe, HeadRecipe, Plan, Recipe, of_run
from mien.recognition.classifier import Classifier
from mien.recognition.model_files import bundle
from mien.recognition.session import OnnxSession, Session
from mien.training import calibrate, checkpoints, corpora, parts
from mien.training.fit import check_data
from mien.training.module import network_of

PARITY_FACES = 512
# Written into model files, which is why its wording stays.
LICENCE = (
    "Not stated by whoever trained these weights. The training images carry their owners' terms; check them before "
    "you pass the weights on."
)


def export(run: Path, faces: FaceSet, head: str = "") -> bundle.Bundle:
    """Write ``run/model.onnx`` from the run's best checkpoint and ``run/metrics.json``, and return the bundle.

    Args:
        head: for a network of several corpora, export this head instead of the consensus, as ``run/model-HEAD.onnx``
            and ``run/metrics-HEAD.json``; it is calibrated and scored on its own corpora's faces.
        faces: the faces that the run was trained on, with the test set. The temperature and the uncertainty threshold
            are fitted on the validation set; the test set is scored after everything is fixed, and each scoring is
            counted.

    Raises:
        FileMissingError: an unfinished run.
        ModelError: ONNX and PyTorch disagree.
        OptionError: other faces than the run's.
    """
    recipe = recipe_of(run)
    faces = parts.arrange(faces, recipe.data)
    check_data(run, parts.describe(faces))
    answering = 0
    if head:
        faces, answering = corpora.select_head(faces, recipe.data.corpora, head)
    public = faces.part(parts.VALIDATION)
    network = finish(run, recipe, faces, answering)
    graph = to_onnx(network, recipe.preprocess)
    scores = score(OnnxSession(graph), recipe, faces)
    difference = check_parity(network, scores.validation_logits, public, recipe.preprocess)
    metrics: dict[str, Any] = {"parity": difference, "uncertain": asdict(scores.threshold), **scores.metrics}
    suffix = f"-{head}" if head else ""
    record(run / f"metrics{suffix}.json", metrics)
    written = write(run / f"model{suffix}.onnx", graph, recipe, faces, scores, metrics=metrics)
    if not head:
        scores.write(run, written.digest)
    return written


def finish(run: Path, recipe: Recipe, faces: FaceSet, answering: int = 0) -> nn.Module:
    """Load the run's best network for export and add the calibration of its logits.

    Args:
        answering: the head to export, numbered as in ``Consensus``.
    """
    network = load_network(run, recipe, len(faces.label_set))
    if isinstance(network, Consensus):
        network.answering = answering
    if not recipe.calibrate.in_graph:
        return network
    uncalibrated = Classifier(recipe.name, "", faces.label_set, recipe.preprocess, 1.0, TorchSession(network))
    fitting = uncalibrated.logits(calibrate.fitting_faces(recipe, faces).pixels)
    return calibrate.scale_logits(network, fitting, recipe, faces)


def write(
    path: Path,
    graph: bytes,
    recipe: Plan,
    faces: FaceSet,
    scores: Scored,
    *,
    metrics: dict[str, Any],
    licence: str = LICENCE,
    **origin: str,
) -> bundle.Bundle:
    """Write a scored graph as a model file in its run folder. origin: further entries of its provenance."""
    return bundle.write(
        path,
        graph,
        name=recipe.name + path.stem.removeprefix("model"),
        labels=faces.label_set,
        preprocess=recipe.preprocess,
        temperature=scores.predictions.about.temperature,
        uncertain_below=scores.threshold.confidence,
        metrics=summarise(metrics),
        provenance={**_provenance(path.parent, recipe, faces), **origin},
        licence=licence,
        recipe_digest=recipe.digest(),
        trained_on=provenance.collect_corpora(path.parent, recipe, faces),
    )


def recipe_of(run: Path) -> Recipe:
    """Return the recipe of a network's run folder.

    Raises:
        FileMissingError: other runs.
        OptionError: other runs.
    """
    recipe = graph_recipe_of(run)
    if isinstance(recipe, HeadRecipe):
        raise OptionError(
            f"{run} is a head on the finished model {recipe.head.trunk}, which is available as an ONNX graph only. "
            "Give the run of a network that mien train has trained."
        )
    return recipe


def graph_recipe_of(run: Path) -> Recipe | HeadRecipe:
    """Return the recipe of a run that has a graph.

    Raises:
        FileMissingError: a baseline's.
        OptionError: a baseline's.
    """
    recipe = of_run(run)
    if isinstance(recipe, ClassicalRecipe):
        raise OptionError(f"{run} is a classical baseline, which has no network. Give the run of a network.")
    return recipe


@dataclass(frozen=True)
class Scored:
    """The scores of a finished model.

    Attributes:
        metrics: of the validation and the test set, by the names of the splits.
        threshold: confidence below which a prediction is called uncertain.
        predictions: on both sets, with the fitted temperature.
        validation_logits: float32 (N, C).
    """

    metrics: dict[str, Any]
    threshold: Threshold
    predictions: Predictions
    validation_logits: NDArray[np.float32]

    def write(self, run: Path, digest: str) -> Path:
        """Write the predictions into the run folder; ``digest`` is that of their model file."""
        about = replace(self.predictions.about, model_digest=digest)
        return replace(self.predictions, about=about).write(run / run_files.PREDICTIONS)


def score(session: Session, plan: Plan, faces: FaceSet) -> Scored:
    """Score the validation and the test set, after fitting temperature and threshold on the validation set."""
    validation, training = faces.part(parts.VALIDATION), faces.part(parts.TRAIN)
    uncalibrated = Classifier(plan.name, "", faces.label_set, plan.preprocess, 1.0, session)
    fitting = uncalibrated.logits(calibrate.fitting_faces(plan, faces).pixels)
    validation_logits = fitting[: len(validation)]
    model = replace(uncalibrated, temperature=calibrate.temperature(plan, fitting, faces))
    validated = to_predictions(validation_logits, validation, training, model)
    threshold = calibrate.threshold(plan, validated.probabilities, validation)
    test = faces.part(parts.TEST)
    tested = to_predictions(model.logits(test.pixels), test, training, model)
    metrics = {
        _key(faces, parts.VALIDATION): report(validated),
        _key(faces, parts.TEST): report(tested, copies=True),
    }
    return Scored(metrics, threshold, join([validated, tested]), validation_logits)


def _key(faces: FaceSet, part: str) -> str:
    name = faces.split_named(part)
    return KEYS.get(name, name)


def load_network(run: Path, recipe: Recipe, classes: int) -> nn.Module:
    """Load the run's best network in evaluation mode, float32, with averaged weights and input smoothing if set."""
    path = run / run_files.CHECKPOINTS / "best.ckpt"
    if not path.exists():
        raise FileMissingError(f"{run} holds no checkpoints/best.ckpt; finish the run with `mien train … --resume`.")
    if not checkpoints.is_whole(path):
        raise TrainingError(f"{path} is truncated or damaged. Train again, into another folder.")
    checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    network = network_of(recipe, classes, trained=True)
    prefix = "network."  # self_cure has weights of its own, which the finished network does without
    state = checkpoint["state_dict"]
    weights = {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
    network.load_state_dict(weights)
    return calibrate.smooth_input(network.float().eval(), recipe.calibrate.smooth)


def to_onnx(network: nn.Module, spec: PreprocessSpec) -> bytes:
    """Export the network as ONNX bytes: ``crops`` float32 (N, channels, size, size) → ``logits`` (N, C)."""
    example = torch.zeros(2, spec.channels, spec.size, spec.size)
    faces = torch.export.Dim("faces", min=1, max=65_536)
    with warnings.catch_warnings(), mute("torch.onnx", "onnxscript", "onnx_ir"):
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            _fold_batch_norms(network),
            (example,),
            input_names=["crops"],
            output_names=["logits"],
            dynamic_shapes=({0: faces},),
            dynamo=True,
            external_data=False,
            verbose=False,
        )
    if program is None:
        raise ModelError("PyTorch exported no ONNX program. Update torch and onnxscript.")
    return _slim(program.model_proto)


def _fold_batch_norms(network: nn.Module) -> nn.Module:
    """Return a copy without in-place layers, whose batch norms are folded into the convolutions right before them.

    The exporter folds too, but only after tracing everything: MobileNetV2 took three times as long.
    """
    folded = copy.deepcopy(network)
    for part in list(folded.modules()):
        if hasattr(part, "inplace"):
            part.inplace = False  # type: ignore[assignment]
        if isinstance(part, nn.Sequential):
            for index, (first, second) in enumerate(itertools.pairwise(list(part))):
                if isinstance(first, nn.Conv2d) and isinstance(second, nn.BatchNorm2d):
                    part[index], part[index + 1] = fuse_conv_bn_eval(first, second), nn.Identity()
    return folded


def _slim(model: Any) -> bytes:
    # The exporter attaches a Python stack trace to every node, which takes space and holds local paths.
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
def mute(*names: str) -> Iterator[None]:
    """Silence the named loggers within a ``with`` block; '' is the root logger."""
    loggers = [logging.getLogger(name) for name in names]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def check_parity(network: nn.Module, exported: NDArray[np.float32], faces: FaceSet, spec: PreprocessSpec) -> float:
    """Return the largest difference of probabilities between PyTorch and ONNX on up to 512 real crops.

    Args:
        exported: the ONNX graph's logits on ``faces``, float32 (N, C).

    Raises:
        ModelError: above 1e-4.
    """
    with torch.inference_mode():
        own = network(torch.from_numpy(apply(faces.pixels[:PARITY_FACES], spec))).numpy()
    difference = float(probability_gaps(own, exported[: len(own)]).max())
    if not difference <= TOLERANCE:
        raise ModelError(f"ONNX and PyTorch differ by {difference:.2e} in probability; expected ≤ {TOLERANCE:.0e}.")
    return difference


def record(path: Path, metrics: dict[str, Any]) -> None:
    """Write the run's metrics to ``path``, a JSON file that also counts how often the test set has been scored."""
    earlier = json.loads(path.read_text(encoding="utf-8"))["test_scorings"] if path.exists() else 0
    with appearing(path) as draft:  # its presence marks the run as finished
        draft.write_text(json.dumps({**metrics, "test_scorings": earlier + 1}, indent=1), encoding="utf-8")


def _provenance(run: Path, recipe: Plan, faces: FaceSet) -> dict[str, Any]:
    teachers = json.loads((run / run_files.DATA).read_text(encoding="utf-8")).get("teachers", [])
    environment = json.loads((run / run_files.ENVIRONMENT).read_text(encoding="utf-8"))
    return {
        "trained_on": _describe(faces, parts.TRAIN),
        "selected_on": _describe(faces, parts.VALIDATION),
        "recipe": recipe.name,
        "environment": environment,
        **({"teachers": teachers} if teachers else {}),
    }


def _describe(faces: FaceSet, split: str) -> str:
    part = faces.part(split)
    return f"{faces.split_named(split)}: {len(part)} faces with the labels of {faces.label_set.name}"
