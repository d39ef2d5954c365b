"""Measure what it costs the members of an ensemble to read the largest member's crop instead of their own.

    python benchmarks/ensemble_crops.py world8 ferplus8 --data fer2013.zip rafdb_train.zip

For each corpus, prints the difference in probability between the ensemble and the mean of its members, each run by
itself: the largest over the classes of a face, its mean and maximum over the faces, and how often both predict the same
class. Labels are not looked at, and faces of test sets are left out.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np

from mien.datasets import faces as corpora
from mien.evaluation.evaluated import is_test
from mien.export import ensemble
from mien.export.mixture import Member
from mien.recognition.classifier import Classifier
from mien.recognition.model_files import bundle


def compare(file: bundle.Bundle, models: list[str], corpus: Path, limit: int) -> str:
    """Return a row of the table: corpus, faces, their size, mean and largest difference, agreement."""
    faces = corpora.load(corpus, colour=not file.preprocess.grey, limit=limit)
    faces = faces.where(np.array([not is_test(split) for split in faces.splits.tolist()]))
    members = [Member(model, bundle.read(model), 1 / len(models)) for model in models]
    expected = ensemble.average(members, faces.pixels)
    own = Classifier.open(file).classify(faces.pixels)
    gaps = np.abs(own - expected).max(1)
    same = (own.argmax(1) == expected.argmax(1)).mean()
    size = faces.pixels.shape[1]
    return f"| {corpus.name} | {len(faces)} | {size} | {gaps.mean():.4f} | {gaps.max():.3f} | {100 * same:.1f} % |"


def main() -> None:
    """Write the ensemble, compare it on each corpus and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+")
    parser.add_argument("--data", type=Path, nargs="+", required=True)
    parser.add_argument("--limit", type=int, default=40, help="faces of each corpus, split and label at most")
    options = parser.parse_args()
    print("| corpus | faces | their size | mean difference | largest | same label |\n|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        file = ensemble.write(options.models, Path(folder) / "ensemble.onnx").file
        for corpus in options.data:
            print(compare(file, options.models, corpus, options.limit), flush=True)


if __name__ == "__main__":
    main()
