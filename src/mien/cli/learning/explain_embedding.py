"""Writes FOLDER/embedding.png, the embedding (what goes into the last dense layer) of a run's faces in two dimensions,
by PCA and t-SNE, and FOLDER/embedding.csv with the points, the labels and the predictions.

Next: mien explain PHOTO --model RUN --method grad-cam
"""

from __future__ import annotations

import csv
import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from mien import files
from mien.cli import DONE, one_line
from mien.cli.parser import count, seed
from mien.cli.shared import data_argument, read_recipe_faces
from mien.errors import MissingExtraError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from mien.datasets.faces import FaceSet
    from mien.interpret.features import Projection


def arguments(parser: ArgumentParser) -> None:
    """Declare the options of ``mien explain-embedding``."""
    add = parser.add_argument
    add("run", type=Path, metavar="RUN", help="folder of a training run")
    data_argument(parser)
    add("--split", default="PublicTest", metavar="S", help="split of the data (default: PublicTest, validation)")
    add("--faces", type=count, default=1500, metavar="N", help="draw at most N faces (default: 1500)")
    add("--seed", type=seed, default=0, metavar="N", help="seed of the draw and of t-SNE (default: 0)")
    add("--out", type=Path, default=Path("explained"), metavar="FOLDER", help="output folder (default: explained)")


def run(options: Namespace) -> int:
    """Draw the embedding; return the exit code."""
    import numpy as np

    try:
        from mien.export.export import recipe_of
        from mien.interpret import feature_plots, features
        from mien.interpret.gradients import network_of_run
        from mien.reporting import figures
        from mien.training import parts
    except ModuleNotFoundError as error:
        raise MissingExtraError.for_extra(f"mien explain-embedding (no {error.name})", "train") from error
    recipe, network = recipe_of(options.run), network_of_run(options.run)
    whole = read_recipe_faces(options.data, recipe)
    faces = parts.arrange(whole, recipe.data).part(options.split)
    faces = _draw(faces, options.faces, options.seed)
    points, predicted = features.embed(network, np.asarray(faces.pixels), recipe.preprocess)
    projection = features.project(points, options.seed)
    right = float((predicted == faces.labels).mean())
    title = f"{recipe.name}: {len(faces):,} faces of {options.split}, {points.shape[1]} dimensions, {right:.1%} right"
    options.out.mkdir(parents=True, exist_ok=True)
    drawn = feature_plots.embedding(projection, faces.labels, faces.label_set.labels, title)
    _, (picture, *_) = figures.save(drawn, options.out, "embedding")
    table = options.out / "embedding.csv"
    _write(table, faces, predicted, projection)
    sys.stdout.write(f"{one_line(str(picture))}\n{one_line(str(table))}\n")
    return DONE


def _draw(faces: FaceSet, most: int, seed: int) -> FaceSet:
    import numpy as np

    mask = np.zeros(len(faces), bool)
    mask[np.random.default_rng(seed).permutation(len(faces))[:most]] = True
    return faces.where(mask)


def _write(path: Path, faces: FaceSet, predicted: NDArray[np.int64], projection: Projection) -> None:
    names = faces.label_set.labels
    with files.appearing(path) as draft, draft.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(["id", "label", "answer", "pca_1", "pca_2", "tsne_1", "tsne_2"])
        for row, name in enumerate(faces.ids):
            labels = (names[faces.labels[row]], names[predicted[row]])
            writer.writerow([name, *labels, *projection.pca[row].tolist(), *projection.tsne[row].tolist()])
