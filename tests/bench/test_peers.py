"""Peers' words become FER2013's classes, their figures are those of pencil and paper, and every row can be shown."""

from __future__ import annotations

from typing import Any

import pytest
from peers import catalogue, scoring

from mien.errors import DataError
from mien.labels import FER2013


def test_peers_words() -> None:
    words = ("angry", "disgusted", "fearful", "happy", "sad", "surprised", "neutral")
    rows = [[float(place == best) for place in range(7)] for best in range(7)]
    assert scoring.answers(rows, words).tolist() == list(range(7))
    assert scoring.answers(rows[:1], tuple(reversed(words))).tolist() == [FER2013.index("neutral")]


def test_contempt_is_left_out_and_a_missing_face_is_no_class() -> None:
    words = ("Contempt", "Happiness", "Anger")
    rows = [[0.9, 0.06, 0.04], None, [0.2, 0.4, 0.4]]
    assert scoring.answers(rows, words).tolist() == [FER2013.index("happiness"), -1, FER2013.index("happiness")]
    with pytest.raises(DataError, match="boredom"):
        scoring.answers(rows, ("boredom", "happy", "angry"))


def test_figures_count_a_missing_face_as_wrong() -> None:
    pytest.importorskip("sklearn")
    import numpy as np

    found = scoring.figures(np.array([3, 3, -1, 0]), [3, 3, 3, 0])
    assert (found["faces"], found["found"], found["accuracy"]) == (4, 0.75, 0.75)
    # happiness: precision 1, recall 2/3; anger: both 1
    assert found["macro_f1"] == pytest.approx((0.8 + 1.0) / 2)
    assert found["interval"][0] < 0.75 < found["interval"][1]


def test_every_peer_has_a_worker_and_says_what_is_special() -> None:
    peers = [catalogue.mien("default"), *catalogue.PEERS]
    assert all((catalogue.HERE / peer.worker).is_file() and peer.note for peer in peers)
    assert len({peer.name for peer in peers}) == len(peers)
    assert catalogue.mien("runs/mine/model.onnx").name == "Mien, model"


def test_tables_and_picture() -> None:
    pytest.importorskip("matplotlib")
    from peers import tables

    once = {"median": 0.01, "low": 0.01, "high": 0.02}
    shared: dict[str, Any] = {"note": "Note.", "trained": True, "failures": [], "version": "1.0"}
    scored = {"accuracy": 0.7, "interval": [0.6, 0.8], "macro_f1": 0.65, "found": 0.9}
    ran = {
        **shared, "name": "one", "reason": "", "accuracy": dict.fromkeys(tables.CORPORA, scored),
        "batch 1": once, "batch 64": once, "photo": once, "cold": once, "imports": once,
        "cold_memory": 1e8, "memory": 2e8, "size": 3e8,
    }  # fmt: skip
    failed = {**shared, "name": "two", "reason": "no weights", "imports": once, "size": 1e8}
    result = {"machine": "here", "asked": {"rounds": 1, "faces": {"KDEF": 10}}, "peers": [ran, failed]}
    text = tables.markdown(result)
    assert "70.0% (60.0% – 80.0%, face found in 90.0%) | 0.650" in text
    assert "| 70.0% |\n" in text  # the mean
    assert "| one 1.0 | 10 (10 – 20) | 10 (10 – 20) | 100 |" in text
    assert "- two 1.0: Note. **Fails**: no weights" in text
    assert tables.picture(result).startswith(b"\x89PNG")
