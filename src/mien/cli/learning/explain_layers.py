"""Writes FOLDER/filters.png, the filters of the first layer, and FOLDER/NAME.layers.png for each PHOTO: the strongest
feature maps of each stage of the network, for the best face detected in it.

Next: mien explain PHOTO --model RUN --method layer-cam
"""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from mien import run_files
from mien.cli import DONE, one_line
from mien.cli.parser import detector_argument, device_argument
from mien.errors import MissingExtraError

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    from matplotlib.figure import Figure
    from numpy.typing import NDArray


def arguments(parser: ArgumentParser) -> None:
    """Declare the options of ``mien explain-layers``."""
    add = parser.add_argument
    add("run", type=Path, metavar="RUN", help="folder of a training run")
    add("paths", nargs="*", metavar="PHOTO", help="photo, folder or pattern")
    detector_argument(parser)
    device_argument(parser)
    add("--out", type=Path, default=Path("explained"), metavar="FOLDER", help="output folder (default: explained)")


def run(options: Namespace) -> int:
    """Draw filters and feature maps; return the exit code."""
    try:
        from mien.interpret import feature_plots, features
        from mien.interpret.gradients import network_of_run
    except ModuleNotFoundError as error:
        raise MissingExtraError.for_extra(f"mien explain-layers (no {error.name})", "train") from error
    network = network_of_run(options.run)
    options.out.mkdir(parents=True, exist_ok=True)
    _write(options.out, "filters", feature_plots.filters(*features.first_filters(network)))
    for source, face in _faces(options):
        if face is None:
            sys.stdout.write(f"{one_line(str(source))}  no face\n")
            continue
        picture = feature_plots.feature_maps(face, features.feature_maps(network, face))
        _write(options.out, f"{source.stem}.layers", picture)
    return DONE


def _faces(options: Namespace) -> Iterator[tuple[Path, NDArray[np.float32] | None]]:
    """Yield each photo and the network's input of its best face, None without a face."""
    from mien import preprocess
    from mien.recognition.crop import cut
    from mien.recognition.folder import find_images
    from mien.recognition.recognizer import load

    if not options.paths:
        return
    recognizer = load(options.run / run_files.MODEL, detector=options.detector, device=options.device, max_faces=1)
    for source in find_images(options.paths):
        result = recognizer.predict(source)
        if result.pixels is None or not result.faces:
            yield source, None
            continue
        face = result.faces[0]
        crop = cut(result.pixels, face.box, face.landmarks, recognizer.detector.crop)
        yield source, preprocess.apply([crop], recognizer.bundle.preprocess)[0]


def _write(folder: Path, name: str, drawn: Figure) -> None:
    from mien.reporting import figures

    _, (path, *_) = figures.save(drawn, folder, name)
    sys.stdout.write(f"{one_line(str(path))}\n")
