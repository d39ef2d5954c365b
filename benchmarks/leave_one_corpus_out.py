"""Does a model's confidence hold on a corpus that its calibration has not seen? One table for each model.

Usage: python benchmarks/leave_one_corpus_out.py MODEL … [--data FOLDER] [--cache FOLDER]

Class scales, temperature and the threshold of ``uncertain`` are fitted on the validation parts of all corpora but one,
end to end, and reported on that one: its validation part, or of KDEF and CK+, which are never fitted on, all of it.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mien.datasets import protocol
from mien.evaluation.protocol import face_crops, leave_one_out, suite
from mien.recognition.classifier import Classifier
from mien.recognition.detection.detect import get_detector
from mien.recognition.model_files import bundle

FITTED = ("rafdb", "affectnet7", "taiwanese", "ferplus")
TESTED = ("kdef", "ckplus350")


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+", metavar="MODEL", help="name, model file or run folder")
    parser.add_argument("--data", type=Path, default=os.environ.get("MIEN_DATA"), help="default: MIEN_DATA")
    parser.add_argument("--cache", type=Path, help="folder of crops that are kept")
    options = parser.parse_args()
    entries = [entry for entry in protocol.PROTOCOL if entry.name in (*FITTED, *TESTED)]
    detector = get_detector("yunet")
    read = [protocol.read(entry, options.data, entry.part(validation=True) or "") for entry in entries]
    cut = [face_crops.collect(material, "detector", detector, options.cache) for material in read]
    for model in options.models:
        about = bundle.read(model)
        lines = leave_one_out.table(_results(about, read, cut))
        sys.stdout.write(f"\n**{about.name}**\n\n" + "\n".join(lines) + "\n")


def _results(
    about: bundle.Bundle, read: list[protocol.Material], cut: list[face_crops.Crops]
) -> tuple[leave_one_out.LeftOut, ...]:
    model, labels = Classifier.open(about), about.labels.labels
    logits, targets, classes = {}, {}, {}
    for material, crops in zip(read, cut, strict=True):
        name = material.entry.name
        rows = [row for row, sample in enumerate(material.samples) if sample.label in labels]
        logits[name] = model.logits([crops.pixels[row] for row in rows])
        targets[name] = _targets([material.samples[row].label for row in rows], labels)
        classes[name] = [labels.index(label) for label in suite.select_classes(material.entry, labels)]
    return leave_one_out.leave_one_out(logits, targets, classes_by_corpus=classes, fitted_on=FITTED)


def _targets(names: list[str], labels: tuple[str, ...]) -> NDArray[np.int64]:
    return np.array([labels.index(name) for name in names], np.int64)


if __name__ == "__main__":
    main()
