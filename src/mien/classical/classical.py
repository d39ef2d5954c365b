"""Classical baselines: descriptors → scaling → principal components → support vectors or neighbours.

scikit-learn fits; the fitted parameters are kept as plain arrays and applied with NumPy. So a model file is an npz of
arrays without pickled objects: it works with every version of scikit-learn and cannot execute code when opened.
(We considered ``skops``: it restores libsvm's own tables, whose indices libsvm follows unchecked.)
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mien.classical.descriptors import CHUNK, check, descriptors
from mien.datasets.faces import Watch
from mien.datasets.sources.streams import BROKEN
from mien.errors import DataError, FileMissingError, MissingExtraError, ModelError, RecipeError
from mien.files import appearing
from mien.recipes.classical_table import ClassicalTable
from mien.recognition.model_files import bundle

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
Arrays = Mapping[str, NDArray[Any]]

FORMAT = "mien-classical-1"


@dataclass(frozen=True)
class Projection:
    """(features − mean) × gain, then principal components where there are any.

    Attributes:
        mean, gain: float32 (D,).
        axes: float32 (P, D), or (0, D) for no components.
    """

    mean: Floats
    gain: Floats
    axes: Floats

    def __call__(self, features: Floats) -> Floats:
        """Return float32 (N, P), or (N, D) without components."""
        scaled: Floats = (features - self.mean) * self.gain
        return scaled @ self.axes.T if len(self.axes) else scaled


@dataclass(frozen=True)
class Vectors:
    """A one-against-one support-vector machine.

    Attributes:
        support: float32 (V, P).
        weights: float64 (V, pairs).
        offsets: float64 (pairs,).
        gamma: of the RBF kernel exp(−gamma · distance²). 0 is the linear kernel: ``weights`` (P, pairs) are then the
            hyperplanes, and ``support`` is empty.
    """

    support: Floats
    weights: Doubles
    offsets: Doubles
    classes: int
    gamma: float

    def logits(self, features: Floats) -> Doubles:
        """Return votes, plus the summed decisions scaled to ± 1/3 to break ties, as scikit-learn's ``ovr`` does."""
        known = kernel(features, self.support, self.gamma) if self.gamma else features.astype(np.float64)
        return _votes(known @ self.weights + self.offsets, self.classes)


def _votes(decisions: Doubles, classes: int) -> Doubles:
    """Turn pairwise decisions (N, pairs), positive for a pair's first class, into scores (N, classes)."""
    votes, sums = np.zeros((2, len(decisions), classes))
    for column, (first, second) in enumerate(combinations(range(classes), 2)):
        won = decisions[:, column] >= 0
        votes[:, first] += won
        votes[:, second] += ~won
        sums[:, first] += decisions[:, column]
        sums[:, second] -= decisions[:, column]
    scores: Doubles = votes + sums / (3 * (np.abs(sums) + 1))
    return scores


@dataclass(frozen=True)
class Neighbours:
    """The training faces: features float32 (V, P), and class indices int64 (V,) in ``places``, a key of the file."""

    examples: Floats
    places: NDArray[np.int64]
    classes: int
    neighbours: int

    def logits(self, features: Floats) -> Doubles:
        """Return the log of each class's share of the neighbours' votes, with one vote added to each (Laplace)."""
        from sklearn.neighbors import NearestNeighbors

        search = NearestNeighbors(n_neighbors=self.neighbours, algorithm="brute").fit(self.examples)
        nearest = self.places[search.kneighbors(features, return_distance=False)]
        votes = (nearest[:, :, None] == np.arange(self.classes)).sum(1)
        shares: Doubles = np.log((votes + 1) / (self.neighbours + self.classes))
        return shares


@dataclass(frozen=True)
class ClassicalModel:
    """A trained baseline; a ``Session``, so that it is evaluated like a network.

    Attributes:
        side: of the crops in pixels.
        classes: K, the number of logits.
        present: int64, the classes with training faces; the others are never predicted.
    """

    table: ClassicalTable
    side: int
    classes: int
    present: NDArray[np.int64]
    projection: Projection
    head: Vectors | Neighbours

    def logits(self, batch: Floats) -> Floats:
        """Map float32 (N, 1, S, S) to float32 (N, K): an svm's votes with ties broken, or logs of neighbours' shares.

        The largest is the predicted class. Their softmax is not calibrated before a temperature is fitted
        (``calibration.fit_temperature``).

        Raises:
            ModelError: crops of another shape than those of training.
        """
        if batch.shape[1:] != (1, self.side, self.side):
            raise ModelError(
                f"Crops of shape {batch.shape}: this model was trained on (N, 1, {self.side}, {self.side}). "
                "Use the preprocess table of its recipe."
            )
        logits = np.empty((len(batch), self.classes), np.float32)
        for start in range(0, len(batch), CHUNK):  # a kernel of all faces at once would be N × V numbers
            rows = slice(start, start + CHUNK)
            scores = self.head.logits(self.projection(descriptors(batch[rows], self.table)))
            logits[rows] = scores.min(1, keepdims=True) - 1
            logits[rows, self.present] = scores
        return logits


def train(
    table: ClassicalTable, crops: Floats, labels: NDArray[np.int64], classes: int, watch: Watch | None = None
) -> ClassicalModel:
    """Fit a baseline on crops, float32 (N, 1, S, S), and labels, int64 (N,) below ``classes``.

    Args:
        watch: wraps each iterable of the work, for a progress bar: the chunks of faces whose features are computed
            (twice with ``mirror``), then the pairs of classes for which a machine is fitted.

    Raises:
        RecipeError: values that the data does not allow.
        DataError: labels that do not match the crops.
        MissingExtraError: without scikit-learn or scikit-image.
    """
    check_faces(table, crops, labels, classes)
    features = descriptors(crops, table, watch)
    if table.mirror:
        features = np.concatenate([features, descriptors(np.ascontiguousarray(crops[..., ::-1]), table, watch)])
        labels = np.concatenate([labels, labels])
    projection = _fit_projection(table, features)
    present, targets = np.unique(labels.astype(np.int64), return_inverse=True)
    head = _fit_head(table, projection(features), targets.astype(np.int64), len(present), watch)
    return ClassicalModel(table, crops.shape[-1], classes, present, projection, head)


def _fit_head(
    table: ClassicalTable, features: Floats, targets: NDArray[np.int64], classes: int, watch: Watch | None
) -> Vectors | Neighbours:
    if table.classifier == "knn":
        return Neighbours(features, targets, classes, table.neighbours)
    return _fit_vectors(table, features, targets, classes, watch)


def _check_installed() -> None:
    try:
        import skimage  # noqa: F401
        import sklearn  # noqa: F401
    except ImportError as error:
        raise MissingExtraError.for_extra("A classical baseline", "train") from error


def check_faces(table: ClassicalTable, crops: Floats, labels: NDArray[np.int64], classes: int) -> None:
    """Check the arguments of ``train`` before any work is done; raises as ``train`` does."""
    _check_installed()
    check(crops, table)
    if len(labels) != len(crops) or len(set(labels.tolist())) < 2 or labels.min() < 0 or labels.max() >= classes:
        raise DataError(
            f"{len(labels)} labels for {len(crops)} crops and {classes} classes: expected one label per crop, each "
            f"from 0 to {classes - 1}, of at least two classes."
        )
    faces = len(crops) * (2 if table.mirror else 1)
    if table.classifier == "knn" and table.neighbours > faces:
        raise RecipeError(
            f"classical.neighbours = {table.neighbours} is more than the {faces} training faces; lower it."
        )
    most = min(faces, descriptors(crops[:1], table).shape[1])
    if table.components > most:
        raise RecipeError(
            f"classical.components = {table.components}: {faces} training faces and their features allow at most "
            f"{most}. Lower it, or set 0 for none."
        )


def _fit_projection(table: ClassicalTable, features: Floats) -> Projection:
    mean, gain = features.mean(0, dtype=np.float64).astype(np.float32), np.ones(features.shape[1], np.float32)
    if table.scale:
        deviation = features.std(0, dtype=np.float64)
        gain = (1 / np.where(deviation > 1e-6, deviation, 1)).astype(np.float32)  # constant features are not scaled
    axes = np.empty((0, len(mean)), np.float32)
    if table.components:
        from sklearn.decomposition import PCA

        axes = PCA(table.components, random_state=0).fit((features - mean) * gain).components_.astype(np.float32)
    return Projection(mean, gain, axes)


def _fit_vectors(
    table: ClassicalTable, features: Floats, targets: NDArray[np.int64], classes: int, watch: Watch | None
) -> Vectors:
    """Fit one machine per pair of classes, as libsvm does internally, but on a kernel matrix computed by BLAS.

    The result is the same, faster, and progress can be shown per pair; it needs 8 bytes × the square of a pair's faces.
    """
    from sklearn.svm import SVC

    gamma, pairs = _gamma(table, features), list(combinations(range(classes), 2))
    weights, offsets = np.zeros((len(features), len(pairs))), np.zeros(len(pairs))
    costs = len(targets) / (classes * np.bincount(targets)) if table.class_weights else np.ones(classes)
    for column, (first, second) in enumerate(watch(pairs) if watch else pairs):
        rows = np.flatnonzero((targets == first) | (targets == second))
        balance = {True: costs[first], False: costs[second]}
        machine = SVC(C=table.c, kernel="precomputed", class_weight=balance)
        machine.fit(kernel(features[rows], features[rows], gamma), targets[rows] == first)
        weights[rows[machine.support_], column] = machine.dual_coef_[0]
        offsets[column] = machine.intercept_[0]
    if table.kernel == "linear":
        return Vectors(features[:0], features.T.astype(np.float64) @ weights, offsets, classes, 0.0)
    used = weights.any(1)
    return Vectors(features[used], weights[used], offsets, classes, gamma)


def _gamma(table: ClassicalTable, features: Floats) -> float:
    if table.kernel == "linear":
        return 0.0
    return table.gamma or 1 / (features.shape[1] * max(float(features.var(dtype=np.float64)), 1e-12))


def kernel(faces: Floats, others: Floats, gamma: float) -> Doubles:
    """Return float64 (N, V): exp(−gamma · distance²) of every pair, or for gamma 0 the inner products.

    In float64, as in libsvm: in float32, faces near a decision boundary would change class.
    """
    left, right = faces.astype(np.float64), others.astype(np.float64)
    products: Doubles = left @ right.T
    if not gamma:
        return products
    products *= -2  # in place: for 12,000 faces this matrix takes a gigabyte
    products += (left**2).sum(1)[:, None]
    products += (right**2).sum(1)
    np.maximum(products, 0, out=products)
    products *= -gamma
    return np.exp(products, out=products)


def save(model: ClassicalModel, path: str | Path) -> None:
    """Write the model as npz: its arrays, and a JSON header with format, table, side and number of classes."""
    header = {"format": FORMAT, "table": model.table.model_dump(), "side": model.side, "classes": model.classes,
              "trunk": _trunk_digest(model.table)}  # fmt: skip
    parts: dict[str, Any] = vars(model.projection) | vars(model.head)
    with (
        appearing(Path(path)) as draft,
        draft.open("wb") as file,
    ):  # np.savez appends .npz to a name, but not to an open file
        np.savez(file, header=np.array(json.dumps(header)), present=model.present, **parts)


def _trunk_digest(table: ClassicalTable) -> str:
    return bundle.read(table.trunk).digest if table.trunk else ""


def load(path: str | Path) -> ClassicalModel:
    """Read what ``save`` wrote.

    Raises:
        FileMissingError: any other file.
        ModelError: any other file.
    """
    source = Path(path)
    try:
        with np.load(source, allow_pickle=False) as file:
            return _restore({name: file[name] for name in file.files})
    except FileNotFoundError as error:
        raise FileMissingError(f"No model at {source}; train one from a recipe with a [classical] table.") from error
    except (*BROKEN, KeyError, TypeError) as error:
        raise ModelError(f"{source} is not a classical model of Mien ({FORMAT}): {error}. Train it again.") from error


def _restore(arrays: Arrays) -> ClassicalModel:
    header = json.loads(str(arrays["header"]))
    if header["format"] != FORMAT:
        raise ValueError(f"its format is {header['format']!r}")
    table = ClassicalTable.model_validate(header["table"])
    if header.get("trunk", "") != _trunk_digest(table):
        raise ValueError(f"its trunk {table.trunk} is another model now than when it was fitted")
    side, classes = int(header["side"]), int(header["classes"])
    projection = Projection(*(_array(arrays, name, np.float32) for name in ("mean", "gain", "axes")))
    present = _array(arrays, "present", np.int64)
    head = _vectors(arrays) if table.classifier == "svm" else _neighbours(arrays)
    model = ClassicalModel(table, side, classes, present, projection, head)
    # Predicting one blank face checks that the arrays belong together; it takes a millisecond.
    if head.classes != len(present) or not np.isfinite(model.logits(np.zeros((1, 1, side, side), np.float32))).all():
        raise ValueError("its arrays do not belong together")
    return model


def _vectors(arrays: Arrays) -> Vectors:
    support, weights = _array(arrays, "support", np.float32), _array(arrays, "weights", np.float64)
    offsets = _array(arrays, "offsets", np.float64)
    return Vectors(support, weights, offsets, int(arrays["classes"]), float(arrays["gamma"]))


def _neighbours(arrays: Arrays) -> Neighbours:
    examples, targets = _array(arrays, "examples", np.float32), _array(arrays, "places", np.int64)
    return Neighbours(examples, targets, int(arrays["classes"]), int(arrays["neighbours"]))


def _array(arrays: Arrays, name: str, dtype: type[Any]) -> NDArray[Any]:
    if arrays[name].dtype != dtype:
        raise TypeError(f"{name} is {arrays[name].dtype}, not {np.dtype(dtype)}")
    return arrays[name]
