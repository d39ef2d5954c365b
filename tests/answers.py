"""Answers of models that were never trained, and the folders that ``mien evaluate`` and ``mien train`` would write."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np

from mien.evaluation.evaluate import report
from mien.evaluation.predictions import About, Predictions, join
from mien.labels import FER2013, LabelSet

RECIPE: dict[str, Any] = {
    "name": "small",
    "preprocess": {"size": 16},
    "network": {"name": "four_block"},
    "train": {"epochs": 6, "batch_size": 8, "rate": 0.01},
}


def answers(
    faces: int, split: str = "PrivateTest", *, seed: int = 0, classes: LabelSet = FER2013, model: str = "drawn"
) -> Predictions:
    """Predictions that are right for about two faces of three, on faces that ``faces`` and ``split`` settle."""
    order = np.arange(faces)
    draw = np.random.default_rng(seed)
    labels = order % len(classes)
    logits = draw.normal(0, 1, (faces, len(classes)))
    logits[order, labels] += 1.7
    shares = np.exp(logits)
    pixels = np.random.default_rng(faces).integers(0, 256, (faces, 16, 16)).astype(np.uint8)
    return Predictions(
        classes,
        shares / shares.sum(1, keepdims=True),
        labels.astype(np.int64),
        np.full(faces, split),
        np.array([f"{split}_{row}" for row in order]),
        order % 10 == 0,
        About(model, "0" * 64, "1" * 64, 1.0),
        pixels,
    )


def evaluated(folder: Path, *parts: Predictions, **changes: Any) -> Path:
    """Write what ``mien evaluate --out`` writes; ``changes`` go into metrics.json."""
    folder.mkdir(parents=True)
    join(parts).write(folder / "predictions.parquet")
    figures = {str(each.split[0]) or "all": report(each, copies=True) for each in parts}
    (folder / "metrics.json").write_text(json.dumps({"parts": figures, "notes": [], **changes}))
    return folder


def trained(folder: Path, *parts: Predictions, recipe: dict[str, Any] = RECIPE, **changes: Any) -> Path:
    """Write what ``mien train`` writes and the report reads; of a network with six epochs, the third the best."""
    evaluated(folder, *parts)
    keys = {"PublicTest": "public_test", "PrivateTest": "private_test"}
    figures = json.loads((folder / "metrics.json").read_text())["parts"]
    named = {keys.get(part, part): values for part, values in figures.items()}
    (folder / "metrics.json").write_text(json.dumps({**named, "test_scorings": 1, **changes}))
    (folder / "recipe.json").write_text(json.dumps({"digest": "2" * 64, **recipe}))
    if "train" in recipe:
        history(folder / "history.csv", recipe["preprocess"]["size"])
    return folder


def history(path: Path, size: int) -> None:
    """Write six epochs whose validation loss rises after the third while the training loss falls."""
    names = ("epoch", "size", "rate", "loss", "accuracy", "validation_loss", "validation_accuracy", "minutes")
    validation = (1.8, 1.2, 1.0, 1.2, 1.4, 1.6)
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(names)
        for epoch, loss in enumerate(validation):
            accuracy = 0.9 - loss / 4
            writer.writerow((epoch, size, 0.01 / (epoch + 1), 1.9 - epoch / 4, 0.2 + epoch / 10, loss, accuracy, epoch))
