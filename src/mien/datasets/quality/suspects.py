"""Score every image with models not trained on it: is it a face, and how probable is its label?"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from mien.datasets.manifest import Manifest
from mien.errors import DataError, MissingExtraError
from mien.preprocess import grey
from mien.recognition.classifier import softmax

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mien.recognition.detection.detect import Detector

    Watch = Callable[[Iterable[Any]], Iterable[Any]]

SIDE, TILE, MOSAIC = 48, 106, 6
_BORDER = 6
_DEVIATION = 4.0
"""Standard deviation in grey levels below which an image counts as blank."""


def score_images(
    manifest: Manifest, detector: Detector, watch: Watch | None = None
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Compute face scores and HOG features in one pass over the pixels.

    A face score is the highest detection score anywhere on the image, enlarged and with its border replicated. 36
    images are tiled into one picture, so that the detector runs once and takes a sixth of the time. Blank and nearly
    blank images score 0.

    Args:
        manifest: N images.
        detector: with a threshold near 0, so that it also scores non-faces.
        watch: wraps the iterable of images, for a progress bar.

    Returns:
        Face scores, float32 (N,) from 0 to 1, and HOG features, float32 (N, 900).
    """
    scores, features, tiles = list[float](), [], list[Any]()
    hog = _hog()
    for batch in manifest.images(watch=watch):
        for image in batch.pixels:
            small = _resize(grey(image))
            features.append(hog.compute(small))
            tiles.append(small)
            if len(tiles) == MOSAIC**2:
                scores += _score_tiles(tiles, detector)
                tiles = []
    scores += _score_tiles(tiles, detector) if tiles else []
    return np.array(scores, np.float32), np.stack(features).astype(np.float32)


def _hog() -> Any:
    import cv2

    return cv2.HOGDescriptor((SIDE, SIDE), (16, 16), (8, 8), (8, 8), 9)


def _resize(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    import cv2

    if image.shape == (SIDE, SIDE):
        return image
    mode = cv2.INTER_AREA if min(image.shape) > SIDE else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(image, (SIDE, SIDE), interpolation=mode), np.uint8)


def _score_tiles(tiles: list[NDArray[np.uint8]], detector: Detector) -> list[float]:
    import cv2

    picture = np.zeros((MOSAIC * TILE, MOSAIC * TILE), np.uint8)
    for index, image in enumerate(tiles):
        bordered = cv2.copyMakeBorder(image, *(_BORDER,) * 4, cv2.BORDER_REPLICATE)
        row, column = divmod(index, MOSAIC)
        area = picture[row * TILE : (row + 1) * TILE, column * TILE : (column + 1) * TILE]
        area[:] = cv2.resize(bordered, (TILE, TILE), interpolation=cv2.INTER_CUBIC)
    best = np.zeros(MOSAIC**2)
    for detection in detector.detect(np.repeat(picture[:, :, None], 3, axis=2)):
        row = int((detection.box.top + detection.box.height / 2) // TILE)
        column = int((detection.box.left + detection.box.width / 2) // TILE)
        if 0 <= row < MOSAIC and 0 <= column < MOSAIC:
            best[row * MOSAIC + column] = max(best[row * MOSAIC + column], detection.score)
    return [score if image.std() >= _DEVIATION else 0.0 for score, image in zip(best.tolist(), tiles, strict=False)]


def predict_out_of_fold(
    features: NDArray[np.float32],
    labels: NDArray[np.int64],
    groups: NDArray[Any],
    *,
    folds: int = 4,
    seed: int = 0,
    watch: Watch | None = None,
) -> NDArray[np.float32]:
    """Predict class probabilities by cross-validation, each row with a classifier not fitted on it.

    HOG → PCA → random Fourier features of an RBF kernel → ridge regression on one-hot labels: a closed-form RBF
    classifier that takes a minute for 28,709 faces on one core and finds wrong labels of FER2013 better than logistic
    regression or discriminant analysis on the same features (``docs/explore.md``).

    Args:
        features: float32 (N, D), HOG features.
        labels: int64 (N,), class codes from 0 to C - 1.
        groups: (N,); images of one group (equal pixels) share a fold, so that no copy of a test row is trained on.
        folds: number of folds.
        seed: of the folds and of the random features.
        watch: wraps the iterable of folds, for a progress bar.

    Returns:
        float32 (N, C), probabilities.

    Raises:
        DataError: fewer than two classes or too few groups.
    """
    try:
        from sklearn.decomposition import PCA
        from sklearn.kernel_approximation import RBFSampler
        from sklearn.linear_model import Ridge
        from sklearn.model_selection import GroupKFold
        from sklearn.pipeline import make_pipeline
    except ImportError:
        raise MissingExtraError.for_extra("mien data clean", "train") from None
    classes = int(labels.max()) + 1
    if len(np.unique(labels)) < 2 or len(np.unique(groups)) < 2 * folds:
        raise DataError(f"{len(labels)} images of {len(np.unique(labels))} classes are too few to cross-check labels.")
    targets = np.eye(classes, dtype=np.float32)[labels]
    scores = np.zeros((len(labels), classes), np.float32)
    parts: Iterable[Any] = GroupKFold(folds, shuffle=True, random_state=seed).split(features, labels, groups)
    for train, held_out in watch(parts) if watch else parts:
        size = min(256, len(train), features.shape[1])
        reduce = PCA(size, svd_solver="randomized", random_state=seed).fit(
            features[train][:: max(1, len(train) // 8000)]
        )
        spread = float(np.sqrt((reduce.transform(features[train[:2000]]) ** 2).sum(axis=1).mean()))
        kernel = RBFSampler(gamma=0.25 / max(spread, 1e-6) ** 2, n_components=1200, random_state=seed)
        model = make_pipeline(kernel, Ridge(alpha=0.1, solver="cholesky"))
        model.fit(reduce.transform(features[train]), targets[train])
        scores[held_out] = model.predict(reduce.transform(features[held_out]))
    return _calibrate(scores, labels)


def _calibrate(scores: NDArray[np.float32], labels: NDArray[np.int64]) -> NDArray[np.float32]:
    """Convert scores to probabilities with the single temperature that minimises the log-loss."""
    best, least = np.zeros_like(scores), np.inf
    for temperature in np.geomspace(0.03, 1.0, 15):
        shares = softmax(scores, float(temperature))
        loss = -float(np.log(shares[np.arange(len(labels)), labels] + 1e-9).mean())
        if loss < least:
            best, least = shares.astype(np.float32), loss
    return best


def find_doubtful(probabilities: NDArray[np.float32], labels: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return bool (N,): labels that are wrong by confident learning (Northcutt et al. 2021, ``cleanlab``)."""
    try:
        from cleanlab.filter import find_label_issues
    except ImportError:
        raise MissingExtraError.for_extra("mien data clean", "train") from None
    issues = find_label_issues(labels, probabilities, filter_by="both", n_jobs=1)
    return np.asarray(issues, bool)
