"""Run folder → self-describing model file: exported, compared with PyTorch, calibrated on PublicTest, scored."""

from __future__ import annotations

import json
import logging
import warnings
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from mien.datasets.faces import FaceSet
from mien.errors import FileMissingError, ModelError
from mien.evaluation.calibration import fit_temperature, fit_threshold
from mien.evaluation.evaluate import logits, report, report_with_copies
from mien.learning.module import Classifier
from mien.learning.recipe import Recipe, parse
from mien.preprocess import PreprocessSpec, apply
from mien.recognition import bundle
from mien.recognition.session import OnnxSession, softmax

TOLERANCE = 1e-4
LICENCE = (
    "Not stated by whoever trained these weights. The training images carry their owners' terms; check them before "
    "you pass the weights on."
)


def export(run: Path, faces: FaceSet) -> bundle.Bundle:
    """Write ``run/model.onnx`` from the run's best checkpoint and ``run/metrics.json``, and return the bundle.

    faces: must hold Training, PublicTest and PrivateTest. The temperature and the uncertainty threshold are
    fitted on PublicTest; PrivateTest is scored after everything is fixed, and each scoring is recorded.
    Raises ``FileMissingError`` for an unfinished run, ``ModelError`` if ONNX and PyTorch disagree.
    """
    recipe = _recipe(run)
    network = load_network(run, recipe, len(faces.label_set))
    graph = to_onnx(network, recipe.preprocess)
    public = faces.part("PublicTest")
    answers = logits(OnnxSession(graph), recipe.preprocess, public)
    difference = parity(network, answers, public, recipe.preprocess)
    temperature = fit_temperature(answers, public.labels)
    threshold = fit_threshold(softmax(answers, temperature), public.labels)
    metrics: dict[str, Any] = {
        "parity": difference,
        "uncertain": asdict(threshold),
        "public_test": report(answers, public, faces.label_set, temperature),
        "private_test": _private(graph, recipe.preprocess, faces, temperature),
    }
    _record(run, metrics)
    return bundle.write(
        run / "model.onnx",
        graph,
        name=recipe.name,
        labels=faces.label_set,
        preprocess=recipe.preprocess,
        temperature=temperature,
        uncertain_below=threshold.confidence,
        metrics=_headline(metrics),
        provenance=_provenance(run, recipe, faces),
        licence=LICENCE,
        recipe_digest=recipe.digest(),
    )


def _recipe(run: Path) -> Recipe:
    path = run / "recipe.json"
    if not path.exists():
        raise FileMissingError(f"{run} holds no recipe.json; expected the folder that `mien train` wrote.")
    values = json.loads(path.read_text(encoding="utf-8"))
    values.pop("digest", None)
    return parse(values, str(path))


def load_network(run: Path, recipe: Recipe, classes: int) -> nn.Module:
    """Return the run's best network (averaged weights where the recipe averages) in evaluation mode, float32."""
    path = run / "checkpoints" / "best.ckpt"
    if not path.exists():
        raise FileMissingError(f"{run} holds no checkpoints/best.ckpt; finish the run with `mien train … --resume`.")
    checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    module = Classifier(recipe, classes)
    module.load_state_dict(checkpoint["state_dict"])
    return module.network.float().eval()


def to_onnx(network: nn.Module, spec: PreprocessSpec) -> bytes:
    """Return the network as ONNX bytes: ``crops`` float32 (N, channels, size, size) → ``logits`` (N, C)."""
    example = torch.zeros(2, spec.channels, spec.size, spec.size)
    faces = torch.export.Dim("faces", min=1, max=65_536)
    with warnings.catch_warnings(), _muted("torch.onnx", "onnxscript", "onnx_ir"):
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            network,
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


class _muted:  # noqa: N801
    """Silence named loggers within a ``with`` block."""

    def __init__(self, *names: str) -> None:
        self.loggers = [logging.getLogger(name) for name in names]

    def __enter__(self) -> None:
        self.levels = [logger.level for logger in self.loggers]
        for logger in self.loggers:
            logger.setLevel(logging.CRITICAL)

    def __exit__(self, *_: object) -> None:
        for logger, level in zip(self.loggers, self.levels, strict=True):
            logger.setLevel(level)


def parity(network: nn.Module, answers: NDArray[np.float32], faces: FaceSet, spec: PreprocessSpec) -> float:
    """Return the largest difference of probabilities between PyTorch and ONNX on up to 512 real crops.

    Raises ``ModelError`` above 1e-4.
    """
    with torch.inference_mode():
        own = network(torch.from_numpy(apply(faces.pixels[:512], spec))).numpy()
    difference = float(np.abs(softmax(own) - softmax(answers[: len(own)])).max())
    if not difference <= TOLERANCE:
        raise ModelError(f"ONNX and PyTorch differ by {difference:.2e} in probability; expected ≤ {TOLERANCE:.0e}.")
    return difference


def _private(graph: bytes, spec: PreprocessSpec, faces: FaceSet, temperature: float) -> dict[str, Any]:
    private = faces.part("PrivateTest")
    answers = logits(OnnxSession(graph), spec, private)
    return report_with_copies(answers, private, faces.part("Training"), temperature)


def _record(run: Path, metrics: dict[str, Any]) -> None:
    path = run / "metrics.json"
    earlier = json.loads(path.read_text(encoding="utf-8"))["private_scorings"] if path.exists() else 0
    path.write_text(json.dumps({**metrics, "private_scorings": earlier + 1}, indent=1), encoding="utf-8")


def _headline(metrics: dict[str, Any]) -> dict[str, Any]:
    keep = ("faces", "accuracy", "interval", "macro_f1", "ece")
    private = metrics["private_test"]
    return {
        "parity": metrics["parity"],
        "uncertain": metrics["uncertain"],
        "public_test": {key: metrics["public_test"][key] for key in keep},
        "private_test": {key: private[key] for key in keep},
        "private_test_without_training_copies": {key: private["without_training_copies"][key] for key in keep},
    }


def _provenance(run: Path, recipe: Recipe, faces: FaceSet) -> dict[str, Any]:
    environment = json.loads((run / "environment.json").read_text(encoding="utf-8"))
    return {
        "trained_on": _described(faces, "Training"),
        "selected_on": _described(faces, "PublicTest"),
        "recipe": recipe.name,
        "environment": environment,
    }


def _described(faces: FaceSet, split: str) -> str:
    return f"{split}: {len(faces.part(split))} faces with the labels of {faces.label_set.name}"
