"""Transfer learning: a linear head on the frozen features of a finished model (the trunk), exported as one graph.

The trunk is never changed, so the features of a face are computed once and cached in a file. Fitting logistic
regression (scikit-learn) on them takes seconds on a CPU, where training the network took hours.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from mien import run_files
from mien.classical.trunk import BATCH, Trunk, check_preprocess, read_trunk
from mien.datasets.faces import FaceSet, Watch
from mien.datasets.pixels import checksum
from mien.errors import FileMissingError, ModelError
from mien.evaluation.metrics.calibration import log_loss, probability_gaps
from mien.export.export import LICENCE, PARITY_FACES, record, score, write
from mien.export.parity import TOLERANCE
from mien.files import appearing
from mien.preprocess import apply
from mien.recipes.recipe import HeadRecipe
from mien.recipes.tables import HeadTable
from mien.recognition.model_files import bundle
from mien.recognition.session import OnnxSession
from mien.training import parts
from mien.training.fit import check_data, prepare

Floats = NDArray[np.float32]

FILE = "head.npz"
FEATURES = "features-{}.npz"


def join(trunk: Trunk, head: Head) -> bytes:
    """Join the trunk and a head into one ONNX graph, ``crops`` → ``logits``."""
    model = onnx.ModelProto()
    model.CopyFrom(trunk.model)
    features = model.graph.output[0].name
    names = ["own_head.weight", "own_head.bias"]
    arrays = [
        onnx.numpy_helper.from_array(array, name) for array, name in zip((head.weight, head.bias), names, strict=True)
    ]
    del model.graph.output[:], model.graph.value_info[:]
    model.graph.node.append(onnx.helper.make_node("Gemm", [features, *names], ["logits"]))
    model.graph.initializer.extend(arrays)
    shape: list[str | int | None] = ["N", len(head.bias)]
    model.graph.output.append(onnx.helper.make_tensor_value_info("logits", onnx.TensorProto.FLOAT, shape))
    onnx.checker.check_model(model)
    serialised: bytes = model.SerializeToString()
    return serialised


@dataclass(frozen=True)
class Try:
    """One regularisation strength that was tried: its log-loss (nats) and accuracy on the validation set."""

    c: float
    log_loss: float
    accuracy: float


@dataclass(frozen=True)
class Head:
    """A linear layer: logits = features @ weight + bias.

    Attributes:
        weight: float32 (D, C).
        bias: float32 (C,).
        c: the chosen strength (inverse regularisation).
        tried: all strengths, in the recipe's order.
    """

    weight: Floats
    bias: Floats
    c: float
    tried: tuple[Try, ...]

    def save(self, path: Path) -> None:
        """Write the head as npz, whole or not at all."""
        tried = np.array([(attempt.c, attempt.log_loss, attempt.accuracy) for attempt in self.tried])
        with appearing(path) as draft, draft.open("wb") as file:
            np.savez(file, weight=self.weight, bias=self.bias, c=self.c, tried=tried)

    @classmethod
    def load(cls, path: Path) -> Head:
        """Read what ``save`` wrote. Raises ``FileMissingError``."""
        if not path.exists():
            raise FileMissingError(f"{path} does not exist; finish the run with mien train … --resume.")
        with np.load(path, allow_pickle=False) as file:
            tried = tuple(Try(*map(float, row)) for row in file["tried"])
            return cls(file["weight"], file["bias"], float(file["c"]), tried)


def fit(table: HeadTable, training: tuple[Floats, NDArray[np.int64]], held: tuple[Floats, NDArray[np.int64]]) -> Head:
    """Fit logistic regressions on standardised features and keep the one with the lowest log-loss on ``held``.

    Args:
        training, held: features float32 (N, D) and labels int64 (N,); every class has training faces.
    """
    features, labels = training
    mean, deviation = features.mean(0, dtype=np.float64), features.std(0, dtype=np.float64)
    gain = 1 / np.where(deviation > 1e-6, deviation, 1)  # constant features are not scaled
    scaled = (features - mean) * gain
    counts = np.bincount(labels)
    weights = dict(enumerate((len(labels) / (len(counts) * counts)) ** table.class_weights))
    tries, layers = [], list[tuple[Floats, Floats]]()
    for c in table.c:
        raw, bias = _regression(scaled, labels, c, weights)
        weight = gain[:, None] * raw
        layers.append((weight.astype(np.float32), (bias - mean @ weight).astype(np.float32)))
        tries.append(_evaluate(c, held[0] @ layers[-1][0] + layers[-1][1], held[1]))
    best = min(range(len(tries)), key=lambda index: tries[index].log_loss)
    return Head(*layers[best], tries[best].c, tuple(tries))


def _regression(
    features: NDArray[np.float64], labels: NDArray[np.int64], c: float, weights: dict[int, float]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    with warnings.catch_warnings():
        # A weak penalty on few faces converges slowly; the validation set judges the result like any other.
        warnings.simplefilter("ignore", ConvergenceWarning)
        model = LogisticRegression(C=c, max_iter=500, class_weight=weights).fit(features, labels)
    weight, bias = model.coef_.T, model.intercept_
    if weight.shape[1] == 1:  # for two classes scikit-learn only keeps the logit of the second
        return np.hstack([np.zeros_like(weight), weight]), np.array([0.0, bias[0]])
    return weight, bias


def _evaluate(c: float, logits: NDArray[Any], labels: NDArray[np.int64]) -> Try:
    return Try(c, log_loss(logits, labels, floor=1e-12), float((logits.argmax(1) == labels).mean()))


def train(
    recipe: HeadRecipe, faces: FaceSet, run: Path, *, resume: bool = False, watch: Watch | None = None
) -> dict[str, Any]:
    """Fit a head into the folder ``run``, export and score it; return the model file's metrics.

    Args:
        faces: training, validation and test set. The features are cached beside ``run``, in ``features-DIGEST.npz`` of
            the trunk, so that another run only computes those of new faces.
        watch: wraps the batches of faces still to do.

    Raises:
        RecipeError: the recipe's preprocessing is not the trunk's, and as ``read_trunk`` and ``fit.prepare``.
    """
    base = _matching_trunk(recipe)
    arranged = parts.arrange(faces, recipe.data)
    prepare(recipe, parts.describe(arranged), run, resume)
    _check_trunk(run, base)
    training, validation = arranged.part(parts.TRAIN), arranged.part(parts.VALIDATION)
    views = [np.asarray(training.pixels), np.asarray(validation.pixels)]
    if recipe.head.mirror:
        views.insert(1, views[0][:, :, ::-1])
    features = _features(base, views, run.parent, watch)
    labels = np.tile(training.labels, len(views) - 1)
    head = fit(recipe.head, (np.concatenate(features[:-1]), labels), (features[-1], validation.labels))
    head.save(run / FILE)
    return export(run, recipe, faces).metrics


def export(run: Path, recipe: HeadRecipe, faces: FaceSet) -> bundle.Bundle:
    """Write ``run/model.onnx`` and ``run/metrics.json`` of a fitted head; the test set is scored, and counted, once.

    Raises:
        ModelError: the joined graph differs from the head on the trunk's features, or the trunk's name now refers to
            another model than when the head was fitted, and as ``export.export`` does.
    """
    base, head = _matching_trunk(recipe), Head.load(run / FILE)
    _check_trunk(run, base)
    faces = parts.arrange(faces, recipe.data)
    check_data(run, parts.describe(faces))
    graph = join(base, head)
    scores = score(OnnxSession(graph), recipe, faces)
    crops = apply(faces.part(parts.VALIDATION).pixels[:PARITY_FACES], recipe.preprocess)
    own = base.features(crops) @ head.weight + head.bias
    difference = float(probability_gaps(own, scores.validation_logits[: len(own)]).max())
    if not difference <= TOLERANCE:
        raise ModelError(
            f"The joined graph differs from trunk and head by {difference:.2e} in probability; expected ≤ "
            f"{TOLERANCE:.0e}."
        )
    chosen = {"c": head.c, "features": len(head.weight), "tried": [asdict(attempt) for attempt in head.tried]}
    metrics = {"parity": difference, "head": chosen, "uncertain": asdict(scores.threshold), **scores.metrics}
    record(run / run_files.METRICS, metrics)
    written = write(
        run / run_files.MODEL, graph, recipe, faces, scores, metrics=metrics, licence=_licence(base),
        trunk=base.about.name, trunk_digest=base.about.digest,
    )  # fmt: skip
    scores.write(run, written.digest)
    return written


def _licence(base: Trunk) -> str:
    return f"{LICENCE} All but the last layer are those of {base.about.name}: {base.about.licence}"


def _check_trunk(run: Path, base: Trunk) -> None:
    """Raise ``ModelError`` if the run was exported before with another trunk of the same name."""
    if not (run / run_files.MODEL).exists():
        return
    fitted_on = bundle.read(run / run_files.MODEL).provenance.get("trunk_digest")
    if fitted_on != base.about.digest:
        raise ModelError(
            f"The head in {run} was fitted on another model than {base.about.name} (sha256 {base.about.digest[:12]}): "
            f"expected {str(fitted_on)[:12]}. Name that model in head.trunk, or train the head again."
        )


def _matching_trunk(recipe: HeadRecipe) -> Trunk:
    base = read_trunk(recipe.head.trunk)
    check_preprocess(base, recipe, "head")
    return base


def _features(base: Trunk, views: Sequence[NDArray[np.uint8]], folder: Path, watch: Watch | None) -> list[Floats]:
    """Return the features, float32 (N, D), of each stack of crops, uint8 (N, H, W); cached, see ``train``."""
    path = folder / FEATURES.format(base.about.digest[:12])
    cache = _read_cache(path)
    names = [[checksum(image) for image in stack] for stack in views]
    images = {
        name: image for stack, row in zip(views, names, strict=True) for image, name in zip(stack, row, strict=True)
    }
    missing = [name for name in images if name not in cache]
    batches: Any = [missing[start : start + BATCH] for start in range(0, len(missing), BATCH)]
    for batch in watch(batches) if watch else batches:
        crops = apply([images[name] for name in batch], base.about.preprocess)
        cache.update(zip(batch, base.features(crops), strict=True))
    if missing:
        with appearing(path) as draft, draft.open("wb") as file:
            np.savez(file, names=np.array(list(cache)), features=np.stack(list(cache.values())))
    return [np.stack([cache[name] for name in row]) for row in names]


def _read_cache(path: Path) -> dict[str, Floats]:
    if not path.exists():
        return {}
    with np.load(path, allow_pickle=False) as file:
        return dict(zip(file["names"].tolist(), file["features"], strict=True))
