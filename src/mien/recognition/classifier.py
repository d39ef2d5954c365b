"""Classify face crops: the one place where a network's logits become probabilities."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from mien.errors import OptionError
from mien.preprocess import Crops as Batch
from mien.preprocess import apply
from mien.recognition import devices, memory
from mien.recognition import views as several
from mien.recognition.session import OnnxSession

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mien.labels import LabelSet
    from mien.preprocess import PreprocessSpec
    from mien.recognition.model_files.bundle import Bundle
    from mien.recognition.session import Session

Watch = Callable[[Iterable[int]], Iterable[int]]


class Crops(Protocol):
    """Face crops, each uint8 (H, W, 3) RGB or (H, W) grey: a list, an array (N, H, W[, 3]), or what reads them late."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: slice, /) -> Batch: ...


BATCH = 256
"""Network inputs in one run: it bounds the memory, and larger batches are no faster on a CPU."""

_SIDE = 96
"""Size of network inputs up to which crops that are not in memory are computed by ``BATCH``."""


def batch_size(crops: Crops, spec: PreprocessSpec) -> int:
    """Return the crops to compute at once: ``BATCH``; of those not in memory only as many pixels as at 96 × 96.

    A convolution of 64 maps on 256 crops of 224 pixels takes 3.3 GB. Where crops fit into memory the number stays,
    since other batches are summed in another order, which changes the last digits of a loss.
    """
    in_memory = isinstance(crops, np.ndarray | list | tuple)
    return BATCH if in_memory else max(8, min(BATCH, BATCH * _SIDE**2 // spec.size**2))


def softmax(logits: NDArray[np.floating[Any]], temperature: float = 1.0) -> NDArray[np.float64]:
    """Return the probabilities (N, C) of logits (N, C) divided by the temperature, computed in float64."""
    scaled = logits.astype(np.float64) / temperature
    powers: NDArray[np.float64] = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    shares: NDArray[np.float64] = powers / powers.sum(axis=1, keepdims=True)
    return shares


@dataclass(frozen=True)
class Classifier:
    """Everything between face crops and probabilities: classes, preprocessing, network, calibration.

    Attributes:
        name: the model's public name.
        digest: SHA-256 (hex) of its graph or file.
        label_set: the classes, in the order of the network's outputs.
        preprocess: how a crop becomes the network's input.
        temperature: the logits are divided by it before softmax.
        session: computes the logits, whatever file format it was loaded from.
    """

    name: str
    digest: str
    label_set: LabelSet
    preprocess: PreprocessSpec
    temperature: float
    session: Session = field(repr=False)

    @classmethod
    def open(cls, model: Bundle, threads: int | None = None, *, device: str = devices.AUTO) -> Classifier:
        """Open the network of a model file; arguments and errors as ``OnnxSession``."""
        spec = model.preprocess
        inputs = (spec.channels, spec.size, spec.size)
        session = OnnxSession(model.graph, threads, inputs=inputs, classes=len(model.labels), device=device)
        return cls.of(model, session)

    @classmethod
    def of(cls, model: Bundle, session: Session) -> Classifier:
        """Return the classifier that a model file describes, with a network that is already open."""
        return cls(model.name, model.digest, model.labels, model.preprocess, model.temperature, session)

    def narrow(self, classes: LabelSet) -> Classifier:
        """Return a classifier of some of the classes; the others' probability is divided among them.

        Raises:
            OptionError: the model does not know one of them.
        """
        own = self.label_set.labels
        absent = [label for label in classes.labels if label not in own]
        if absent:
            raise OptionError(
                f"classes: the model does not know {', '.join(absent)}; it knows {', '.join(own)}. Leave them out."
            )
        session = _Columns(self.session, tuple(own.index(label) for label in classes.labels))
        return replace(self, label_set=classes, session=session)

    def classify(self, crops: Crops, views: str = "single", watch: Watch | None = None) -> NDArray[np.float64]:
        """Return the probabilities of N face crops, float64 (N, C), each row with sum 1.

        Args:
            crops: uint8 arrays, (H, W, 3) RGB or (H, W) grey, of any sizes; or one array (N, H, W[, 3]). N may be 0.
            views: the test-time augmentation whose probabilities are averaged, see ``views.KINDS``.
            watch: wraps the indices at which batches start, for a progress bar.

        Raises:
            ImageError: crops of another dtype or shape.
            OptionError: unknown ``views``.
        """
        count = several.KINDS[several.check(views)]
        rows = np.empty((len(crops), len(self.label_set)), np.float64)
        step = max(batch_size(crops, self.preprocess) // count, 1)
        starts = range(0, len(crops), step)
        for start in watch(starts) if watch else starts:
            shown = [view for crop in crops[start : start + step] for view in several.of(crop, views)]
            with memory.named(f"to classify {len(shown)} crops"):
                logits = self.session.logits(apply(shown, self.preprocess))
            values = self.to_probabilities(logits).reshape(-1, count, rows.shape[1])
            rows[start : start + len(values)] = values.mean(1)
        return rows

    def classify_inputs(self, batch: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return the probabilities of N network inputs as ``preprocess.apply`` gives them, float64 (N, C).

        Args:
            batch: float32 (N, channels, size, size).

        Raises:
            ModelError: another shape.
        """
        parts = [batch[start : start + BATCH] for start in range(0, max(len(batch), 1), BATCH)]
        return self.to_probabilities(np.concatenate([self.session.logits(part) for part in parts]))

    def logits(self, crops: Crops, watch: Watch | None = None) -> NDArray[np.float32]:
        """Return the logits of N face crops, float32 (N, C), N at least 1; arguments as ``classify``."""
        size = batch_size(crops, self.preprocess)
        starts = range(0, len(crops), size)
        batches = watch(starts) if watch else starts
        return np.concatenate([self.session.logits(apply(crops[i : i + size], self.preprocess)) for i in batches])

    def to_probabilities(self, logits: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
        """Return the probabilities of this network's logits (N, C), float64 (N, C)."""
        return softmax(logits, self.temperature)


@dataclass(frozen=True)
class _Columns:
    """Some columns of another session's logits, in another order."""

    session: Session = field(repr=False)
    columns: tuple[int, ...]

    def logits(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.ascontiguousarray(self.session.logits(batch)[:, self.columns])
