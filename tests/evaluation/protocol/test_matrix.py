"""The matrix names every model and corpus, what was left out, and whether a difference is more than chance."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from corpora import bars

from mien.datasets.faces import FaceSet

pytest.importorskip("pyarrow")
pytest.importorskip("sklearn")

from mien.evaluation.predictions import Predictions, from_faces
from mien.evaluation.protocol.matrix import Cell, make_cell, render_markdown


def answered(faces: FaceSet, wrong: int, name: str) -> Predictions:
    """Certain answers of which the first ``wrong`` are wrong."""
    predicted = np.where(np.arange(len(faces)) < wrong, (faces.labels + 1) % 7, faces.labels)
    rows = np.full((len(faces), 7), 0.05)
    rows[np.arange(len(faces)), predicted] = 0.7
    none = np.zeros(len(faces), bool)
    return from_faces(rows, faces, none, model=name, model_digest=name, temperature=1.0)


def cells() -> list[Cell]:
    faces = bars({"test": 10})
    few = faces.where(faces.labels != 6)
    good, poor = answered(faces, 7, "good"), answered(faces, 35, "poor")
    about = {"corpus": "a.zip", "split": "test", "left_out": {}}
    other = {"corpus": "b.zip", "split": "all", "left_out": {"contempt": 4}}
    return [
        make_cell(good, None, model="good", **about),
        make_cell(poor, good, model="poor", **about),
        make_cell(answered(few, 0, "good"), None, model="good", **other),
        make_cell(
            answered(replace(few, ids=few.ids[::-1]), 0, "poor"), answered(few, 0, "good"), model="poor", **other
        ),
    ]


def test_the_table() -> None:
    lines = render_markdown(cells()).splitlines()
    assert lines[0] == "| model | a.zip (test) | b.zip (all) |"
    assert lines[1] == "| --- | --- | --- |"
    assert lines[2].startswith("| good | 90.0% (")
    assert ", F1 0.886, 70 faces |" in lines[2]  # (6/13 + 20/27 + 5) / 7
    assert lines[2].count("70 faces") == 1
    assert "| 100.0% (100.0% – 100.0%), F1 1.000, 60 faces |" in lines[2]
    assert lines[3].startswith("| poor | 50.0% (")


def test_the_notes() -> None:
    text = render_markdown(cells())
    assert "- good on b.zip: no faces of neutral; left out contempt 4." in text
    assert "- poor on a.zip: against the first model p = 3.4e-07 (McNemar, chi-squared)." in text


def test_models_on_other_faces_are_not_tested_against_each_other() -> None:
    found = cells()[3].to_dict()
    assert isinstance(found["against_first"], str)
    assert "differ in their sources" in found["against_first"]
    assert cells()[1].to_dict()["against_first"]["only_first"] == 28
