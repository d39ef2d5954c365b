"""Writes FOLDER/embedding.png, the embedding (what goes into the last dense layer) of a run's faces in two dimensions,
by PCA and by t-SNE, and FOLDER/embedding.csv with the points, the labels and what the network said.

Next: mien explain PHOTO --model RUN --method grad-cam
"""

from __future__ import annotations

import csv
import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from mien.cli import DONE, one_line
from mien.cli.learning import data_argument, read_faces
from mien.cli.parser import count, seed
from mien.errors import MissingExtraError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from mien.datasets.faces import FaceSet
    from mien.learning.features import Projection


def arguments(parser: ArgumentParser) -> None:
    """Declare the options of ``mien explain-embedding``."""
    add = parser.add_argument
    add("run", type=Path, metavar="RUN", help="folder of a training run")
    data_argument(parser)
    add("--split", default="PublicTest", metavar="S", help="part of the data (default: PublicTest, validation)")
    add("--faces", type=count, default=1500, metavar="N", help="draw at most N faces (default: 1500)")
    add("--seed", type=seed, default=0, metavar="N", help="seed of the draw and of t-SNE (default: 0)")
    add("--out", type=Path, default=Path("explained"), metavar="FOLDER", help="where to (default: explained)")


def run(options: Namespace) -> int:
    """Draw the embedding; return the exit code."""
    try:
        from mien.learning import feature_charts, features, parts
        from mien.learning.export import recipe_of
        from mien.learning.gradients import network_of_run
    except ModuleNotFoundError as error:
        raise MissingExtraError.for_extra(f"mien explain-embedding (no {error.name})", "train") from error
    recipe, network = recipe_of(options.run), network_of_run(options.run)
    whole = read_faces(options.data, recipe.data.label_scheme(), colour=not recipe.preprocess.grey)
    faces = parts.arrange(whole, recipe.data).part(options.split)
    faces = _drawn(faces, options.faces, options.seed)
    points, answers = features.embed(network, faces.pixels, recipe.preprocess)
    found = features.project(points, options.seed)
    right = float((answers == faces.labels).mean())
    title = f"{recipe.name}: {len(faces):,} faces of {options.split}, {points.shape[1]} dimensions, {right:.1%} right"
    options.out.mkdir(parents=True, exist_ok=True)
    picture, table = options.out / "embedding.png", options.out / "embedding.csv"
    picture.write_bytes(feature_charts.embedding(found, faces.labels, faces.label_set.labels, title))
    _write(table, faces, answers, found)
    sys.stdout.write(f"{one_line(str(picture))}\n{one_line(str(table))}\n")
    return DONE


def _drawn(faces: FaceSet, most: int, seed: int) -> FaceSet:
    import numpy as np

    mask = np.zeros(len(faces), bool)
    mask[np.random.default_rng(seed).permutation(len(faces))[:most]] = True
    return faces.where(mask)


def _write(path: Path, faces: FaceSet, answers: NDArray[np.int64], found: Projection) -> None:
    names = faces.label_set.labels
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(["id", "label", "answer", "pca_1", "pca_2", "tsne_1", "tsne_2"])
        for place, name in enumerate(faces.ids):
            said = (names[faces.labels[place]], names[answers[place]])
            writer.writerow([name, *said, *found.pca[place].tolist(), *found.tsne[place].tolist()])
