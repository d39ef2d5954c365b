"""What a run's model file says that it learned from: training faces, starting weights, teachers."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from corpora import bars
from support import write_model

pytest.importorskip("pydantic")
pytest.importorskip("pyarrow")

from mien.datasets import terms
from mien.datasets.faces import FaceSet
from mien.export import provenance
from mien.recipes.recipe import AnyRecipe, parse_any
from mien.recognition.model_files import bundle
from mien.recognition.model_files.corpus import Corpus

TRAIN = {"epochs": 1, "batch_size": 8, "rate": 0.01}
RESEARCH = Corpus("kdef", terms.TERMS["kdef"].terms)


def recipe(**tables: Any) -> AnyRecipe:
    return parse_any(
        {"name": "small", **({} if "head" in tables or "classical" in tables else {"train": TRAIN}), **tables}
    )


def faces(*names: str, voted: bool = False) -> FaceSet:
    """Return faces of whose training part each corpus has as many; the test part is of another corpus."""
    found = bars({"Training": len(names), "PublicTest": 1, "PrivateTest": 1})
    votes = np.eye(7, dtype=np.float32)[found.labels] if voted else None
    corpora = np.array([*names] * 7 + ["ckplus"] * 14)
    return replace(found, datasets=corpora, votes=votes)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    (tmp_path / "data.json").write_text("{}")
    return tmp_path


def stated(run: Path, plan: AnyRecipe, given: FaceSet) -> list[tuple[str, str]]:
    return [(each.name, each.use) for each in provenance.collect_corpora(run, plan, given)]


def test_the_corpora_of_the_training_faces_only(run: Path) -> None:
    assert stated(run, recipe(), faces("rafdb", "fer2013")) == [("fer2013", "training"), ("rafdb", "training")]


def test_votes_on_fer2013_are_those_of_ferplus(run: Path) -> None:
    assert [name for name, _ in stated(run, recipe(), faces("fer2013", voted=True))] == ["fer2013", "ferplus"]
    assert [name for name, _ in stated(run, recipe(), faces("ferplus", voted=True))] == ["fer2013", "ferplus"]
    assert [name for name, _ in stated(run, recipe(), faces("taiwanese", voted=True))] == ["taiwanese"]


def test_own_data_state_no_terms(run: Path) -> None:
    (own,) = provenance.collect_corpora(run, recipe(), faces("holiday"))
    assert own == Corpus("holiday", "own data (terms not stated)")
    (unnamed,) = provenance.collect_corpora(run, recipe(), replace(faces("x"), datasets=None))
    assert unnamed.terms == "own data (terms not stated)"


@pytest.mark.parametrize(
    ("options", "expected"), [({}, True), ({"pretrained": True}, True), ({"pretrained": False}, False)]
)
def test_a_backbone_starts_from_imagenet(run: Path, options: dict[str, Any], expected: bool) -> None:
    plan = recipe(network={"name": "torchvision:mobilenet_v2", **options}, preprocess={"channels": 3})
    assert (("imagenet", "pretraining") in stated(run, plan, faces("fer2013"))) == expected


def test_a_head_starts_from_what_its_trunk_has_learned(run: Path, tmp_path: Path) -> None:
    trunk = tmp_path / "trunk.onnx"
    write_model(trunk, trained_on=[RESEARCH, Corpus("imagenet", "for research", "pretraining")])
    plan = recipe(head={"trunk": str(trunk)})
    assert stated(run, plan, faces("holiday")) == [
        ("holiday", "training"), ("kdef", "pretraining"), ("imagenet", "pretraining"),
    ]  # fmt: skip
    write_model(trunk)
    told = provenance.collect_corpora(run, plan, faces("holiday"))[-1]
    assert (told.name, told.use) == ("tiny", "pretraining")
    assert "not known" in told.terms


def test_teachers_bring_their_corpora(run: Path, tmp_path: Path) -> None:
    teacher = write_model(tmp_path / "teacher.onnx", trained_on=[RESEARCH, Corpus("fer2013", "for a contest")])
    plan = recipe(distil={"models": [str(tmp_path / "teacher.onnx")]})
    recorded = {"teachers": [{"model": "tiny", "model_digest": teacher.digest}]}
    (run / "data.json").write_text(json.dumps(recorded))
    assert stated(run, plan, faces("fer2013")) == [("fer2013", "training"), ("kdef", "distillation")]
    (tmp_path / "teacher.onnx").unlink()
    told = provenance.collect_corpora(run, plan, faces("fer2013"))[-1]
    assert (told.name, told.use) == ("tiny", "distillation")
    assert "not known" in told.terms


def test_a_teacher_known_by_its_predictions_is_looked_up_in_the_package(run: Path) -> None:
    own = bundle.read("ferplus8")
    for digest, expected in ((own.digest, ["kdef", "fer2013", "ferplus"]), ("0" * 64, ["kdef", "ferplus8"])):
        recorded = {"teachers": [{"model": "ferplus8", "model_digest": digest, "answers": "1" * 64}]}
        (run / "data.json").write_text(json.dumps(recorded))
        assert [name for name, _ in stated(run, recipe(), faces("kdef"))] == expected
