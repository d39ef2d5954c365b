"""Peers' words become FER2013's classes, their figures are those of pencil and paper, and every row can be shown."""

from __future__ import annotations

from pathlib import Path
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


class Scripted:
    """A peer that sees happiness where a picture's corner is bright, and no face in pictures with a dark one."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, int]] = []

    def ask(self, what: str, **given: Any) -> dict[str, Any]:
        import numpy as np
        from PIL import Image

        if what == "photos":
            corners = [int(np.asarray(Image.open(path))[0, 0, 0]) for path in given["paths"]]
            rows = [None if corner < 50 else [0.0, 0.6, 0.2] for corner in corners]
        else:
            rows = [[0.0, 0.0, 0.5] for _ in np.load(given["file"])]
        self.asked.append((what, len(rows)))
        return {"rows": rows}


def test_a_peer_in_the_suite(tmp_path: Path) -> None:
    pytest.importorskip("sklearn")
    pytest.importorskip("pyarrow")
    import numpy as np
    from corpora import pack_zip, png
    from peers import suite

    bright, dark = (png(np.full((60, 50), level, np.uint8)) for level in (200, 10))
    files = {"CK+/happy/S010_001_00000001.png": bright, "CK+/happy/S010_001_00000002.png": dark,
             "CK+/sad/S011_001_00000001.png": dark, "CK+/contempt/S012_001_00000001.png": bright}  # fmt: skip
    pack_zip(tmp_path / "ckplus350.zip", files)
    asked = suite.prepare(tmp_path, tmp_path, "ckplus350,kdef", None)
    assert [corpus.material.entry.name for corpus in asked] == ["ckplus350"]
    assert asked[0].crops.shape == (3, 48, 48)
    fer, worker = next(peer for peer in catalogue.PEERS if peer.name == "fer"), Scripted()
    found = suite.result(fer, worker, ("contempt", "happy", "sad"), asked, version="1.0", limit=None)
    assert worker.asked == [("photos", 3), ("crops", 2)]  # the whole picture where no face is found
    (row,) = found.rows
    assert (row.classes, row.left_out, row.trained) == (("happiness", "sadness"), {"contempt": 1}, None)
    assert row.scores.faces == 3
    assert row.scores.accuracy.value == pytest.approx(2 / 3)
    assert row.scores.answered is None
    assert row.detected is not None
    assert row.detected.value == pytest.approx(1 / 3)
    none = suite.result(fer, worker, ("contempt", "fear", "disgust"), asked, version="1.0", limit=None)
    assert (none.rows, list(none.skipped)) == ((), ["CK+ 350"])


def test_scores_become_shares() -> None:
    pytest.importorskip("pyarrow")
    import numpy as np
    from peers import suite

    shares = suite.probabilities([[0.5, 0.25, 0.25], [0.9, 0.0, 0.0], [0.2, -0.1, 0.4]], [1, 2])
    np.testing.assert_allclose(shares, np.array([[0.5, 0.5], [0.5, 0.5], [0.0, 1.0]]))
