"""Calibrate a finished model file anew, by its recipe and on its faces; its network stays.

    python scripts/recalibrate_model.py world8 --recipe world8 --data fer2013.parquet --data rafdb.parquet … -o new.onnx

Class scales, temperature and the threshold of ``uncertain`` are fitted on the validation set; the test set is scored
once, afterwards. NEW.json beside the file has the metrics.
"""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path

from mien.cli.shared import read_recipe_faces
from mien.export.export import record, summarise
from mien.export.recalibrate import described, recalibrate
from mien.recipes import recipe as recipes
from mien.recognition.model_files import bundle


def main() -> None:
    """Write the file and print its metrics."""
    parser = ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", help="name or model file")
    parser.add_argument(
        "--recipe", required=True, help="name or file of its recipe, with the calibration that is wanted"
    )
    parser.add_argument("--data", type=Path, action="append", required=True, help="repeatable")
    parser.add_argument("-o", "--out", type=Path, required=True)
    options = parser.parse_args()
    recipe, model = recipes.load(options.recipe), bundle.read(options.model)
    graph, scores = recalibrate(model, recipe, read_recipe_faces(options.data, recipe))
    metrics = described(model, scores)
    record(options.out.with_suffix(".json"), metrics)
    written = bundle.write(
        options.out,
        graph,
        name=model.name,
        labels=model.labels,
        preprocess=model.preprocess,
        temperature=scores.predictions.about.temperature,
        uncertain_below=scores.threshold.confidence,
        metrics=summarise(metrics),
        provenance=model.provenance,
        licence=model.licence,
        recipe_digest=recipe.digest(),
        trained_on=model.trained_on,
    )
    print(f"{written.name}, sha256 {written.digest}, temperature {written.temperature:.4f}")
    print(scores.metrics)


if __name__ == "__main__":
    main()
