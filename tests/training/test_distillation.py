"""Teachers' answers become the stated share of each face's own target, face by face, or the recipe is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from corpora import bars
from support import write_model

pytestmark = pytest.mark.train
pytest.importorskip("pydantic")
pytest.importorskip("lightning")
pytest.importorskip("pyarrow")

import torch  # noqa: E402

import mien  # noqa: E402
from mien.datasets.faces import FaceSet  # noqa: E402
from mien.errors import DataError, FileMissingError, OptionError, RecipeError  # noqa: E402
from mien.evaluation.predictions import from_faces  # noqa: E402
from mien.export.export import export  # noqa: E402
from mien.labels import LabelSet  # noqa: E402
from mien.preprocess import PreprocessSpec, apply  # noqa: E402
from mien.recipes import recipe  # noqa: E402
from mien.recipes.recipe import Recipe  # noqa: E402
from mien.recipes.tables import DataTable, DistilTable  # noqa: E402
from mien.recognition.model_files.bundle import read  # noqa: E402
from mien.training import distillation, fit, parts  # noqa: E402
from mien.training.module import LightningClassifier  # noqa: E402


@pytest.fixture(scope="module")
def faces() -> FaceSet:
    return bars({"Training": 4, "PublicTest": 2})


def answered(path: Path, faces: FaceSet, seed: int) -> np.ndarray:
    """Write random answers on ``faces`` as a file of predictions and return them."""
    shares = np.random.default_rng(seed).dirichlet(np.ones(len(faces.label_set)), len(faces))
    about = {"model": f"teacher-{seed}", "model_digest": str(seed) * 64, "temperature": 1.0}
    from_faces(shares, faces, np.zeros(len(faces), bool), crops=False, **about).write(path)
    return shares


def own(faces: FaceSet) -> np.ndarray:
    return parts.targets(faces, DataTable())


def test_without_teachers_targets_stay(faces: FaceSet) -> None:
    np.testing.assert_array_equal(distillation.targets(own(faces), faces, DistilTable()), own(faces))


def test_heads_keep_their_targets_and_the_teachers_follow_as_a_row_of_their_own(tmp_path: Path, faces: FaceSet) -> None:
    training = faces.part("Training")
    shares = answered(tmp_path / "a.parquet", training, 1)
    heads = np.stack([own(training), np.zeros_like(own(training))], axis=1)
    mixed = distillation.targets(heads, training, DistilTable(answers=(str(tmp_path / "a.parquet"),)))
    np.testing.assert_array_equal(mixed[:, :2], heads)
    np.testing.assert_allclose(mixed[:, 2], shares, atol=1e-6)


def test_the_share_is_the_teachers_mean_of_the_same_face(tmp_path: Path, faces: FaceSet) -> None:
    training = faces.part("Training")
    order = np.random.default_rng(5).permutation(len(faces))
    shuffled = replace(
        faces,
        pixels=faces.pixels[order],
        labels=faces.labels[order],
        splits=faces.splits[order],
        ids=tuple(faces.ids[place] for place in order),
    )
    first = answered(tmp_path / "a.parquet", training, 1)
    second = answered(tmp_path / "b.parquet", shuffled, 2)  # more faces, in another order
    rows = [shuffled.ids.index(name) for name in training.ids]
    table = DistilTable(answers=(str(tmp_path / "a.parquet"), str(tmp_path / "b.parquet")), share=0.7)
    found = distillation.targets(own(training), training, table)
    np.testing.assert_allclose(found, 0.3 * own(training) + 0.35 * (first + second[rows]), atol=1e-6)
    assert found.dtype == np.float32


def test_temperature_softens(tmp_path: Path, faces: FaceSet) -> None:
    shares = answered(tmp_path / "a.parquet", faces, 1)
    table = DistilTable(answers=(str(tmp_path / "a.parquet"),), share=1.0, temperature=2.0)
    roots = np.sqrt(shares)
    found = distillation.targets(own(faces), faces, table)
    np.testing.assert_allclose(found, roots / roots.sum(1, keepdims=True), atol=1e-6)


def test_answers_that_do_not_fit(tmp_path: Path, faces: FaceSet) -> None:
    answered(tmp_path / "a.parquet", faces.part("PublicTest"), 1)
    table = DistilTable(answers=(str(tmp_path / "a.parquet"),))
    with pytest.raises(DataError, match=r"28 of 42 .*Training_0"):
        distillation.targets(own(faces), faces, table)
    other = replace(faces, label_set=LabelSet("other", tuple("abcdefg")))
    answered(tmp_path / "a.parquet", other, 1)
    with pytest.raises(DataError, match="with the labels of other, the recipe trains those of fer2013"):
        distillation.targets(own(faces), faces, table)
    missing = DistilTable(answers=(str(tmp_path / "b.parquet"),))
    for call in (lambda: distillation.targets(own(faces), faces, missing), lambda: distillation.describe(missing)):
        with pytest.raises(FileMissingError, match=r"--split Training .*--set distil\.answers=\[\]"):
            call()


def test_a_run_learns_from_its_teachers_and_records_them(tmp_path: Path) -> None:
    faces = bars({"Training": 16, "PublicTest": 8, "PrivateTest": 4})
    training = faces.part("Training")
    wrong = np.eye(7)[(training.labels + 1) % 7]  # teachers that always name the next class
    about = {"model": "liar", "model_digest": "f" * 64, "temperature": 1.0}
    path = from_faces(wrong, training, np.zeros(len(training), bool), crops=False, **about).write(
        tmp_path / "a.parquet"
    )
    plan = recipe.parse(
        {
            "name": "taught",
            "preprocess": {"size": 16},
            "augment": {"flip": 0.0},
            "distil": {"answers": [str(path)], "share": 1.0},
            "train": {"epochs": 12, "batch_size": 16, "rate": 0.01},
            "network": {"name": "residual", "widths": [8, 16], "blocks": 1, "dropout": 0.0},
        }
    )
    rows: list[fit.Epoch] = []
    fit.fit(plan, faces, tmp_path / "run", watch=rows.append)
    assert rows[-1].accuracy > 0.8  # of the teachers' answers
    assert rows[-1].validation_accuracy < 0.2  # of the truth
    (teacher,) = json.loads((tmp_path / "run" / "data.json").read_text())["teachers"]
    assert (teacher["model"], teacher["model_digest"]) == ("liar", "f" * 64)
    exported = export(tmp_path / "run", faces)
    assert exported.provenance["teachers"] == [teacher]
    answered(path, training, 3)  # the same file name, other answers
    with pytest.raises(OptionError, match=r"other teachers .*liar.*teacher-3"):
        fit.fit(plan, faces, tmp_path / "run", resume=True)


def model_taught(tmp_path: Path, **distil: object) -> Recipe:
    """Return a recipe whose teacher is the model file ``tmp_path/teacher.onnx``."""
    return recipe.parse(
        {
            "name": "taught-anew",
            "preprocess": {"size": 16},
            "augment": {"flip": 0.5, "rotate": 10.0},
            "distil": {"models": [str(tmp_path / "teacher.onnx")], "share": 1.0, **distil},
            "train": {"epochs": 12, "batch_size": 16, "rate": 0.01, "sizes": []},
            "network": {"name": "residual", "widths": [8, 16], "blocks": 1, "dropout": 0.0},
        }
    )


def test_models_answer_the_augmented_faces(tmp_path: Path) -> None:
    faces = bars({"Training": 16, "PublicTest": 8, "PrivateTest": 4})
    truth = replace(faces, labels=(faces.labels + 1) % 7)  # the teacher learns the next class of each face
    teaching = model_taught(tmp_path, models=[], share=0.0)
    fit.fit(teaching, truth, tmp_path / "teaching")
    export(tmp_path / "teaching", truth)
    (tmp_path / "teaching" / "model.onnx").rename(tmp_path / "teacher.onnx")
    plan = model_taught(tmp_path)
    rows: list[fit.Epoch] = []
    fit.fit(plan, faces, tmp_path / "run", watch=rows.append)
    assert rows[-1].validation_accuracy < 0.2  # of the truth, which the student never saw
    (teacher,) = json.loads((tmp_path / "run" / "data.json").read_text())["teachers"]
    assert teacher == {"model": "taught-anew", "model_digest": read(tmp_path / "teacher.onnx").digest}

    crops = apply(faces.pixels, plan.preprocess)
    answers = mien.load(tmp_path / "teacher.onnx", detector="whole").classify(np.asarray(faces.pixels))
    np.testing.assert_allclose(distillation.predict(crops, plan.distil), answers, atol=1e-5)


def test_rounds_bring_the_same_faces_and_answers_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_model(tmp_path / "teacher.onnx")
    faces = bars({"Training": 16, "PublicTest": 8, "PrivateTest": 4})
    plan = model_taught(tmp_path, rounds=2, share=0.75).with_values({"train.epochs": 5})
    asked: list[np.ndarray] = []
    seen: list[tuple[torch.Tensor, torch.Tensor]] = []
    ask, see = distillation.predict, LightningClassifier.training_step

    def note(crops: np.ndarray, table: Any) -> np.ndarray:
        asked.append(crops)
        return ask(crops, table)

    monkeypatch.setattr(distillation, "predict", note)

    def look(module: LightningClassifier, batch: tuple[torch.Tensor, torch.Tensor], number: int) -> torch.Tensor:
        seen.append(batch)
        return see(module, batch, number)

    monkeypatch.setattr(LightningClassifier, "training_step", look)
    fit.fit(plan, faces, tmp_path / "run")
    steps = len(seen) // 5
    assert steps > 1
    assert len(asked) == 2 * steps
    for step in range(2 * steps, len(seen)):
        for now, before in zip(seen[step], seen[step - 2 * steps], strict=True):
            torch.testing.assert_close(now, before, rtol=0, atol=0)
    assert not torch.equal(seen[0][0], seen[steps][0])  # the second round has faces of its own
    crops, targets = seen[0]
    rest = targets.numpy() - 0.75 * ask(crops.numpy(), plan.distil)
    np.testing.assert_allclose(np.sort(rest, axis=1)[:, -1], 0.25, atol=1e-5)  # the faces' own labels
    np.testing.assert_allclose(np.sort(rest, axis=1)[:, :-1], 0, atol=1e-5)


def test_rounds_of_no_models(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"distil\.rounds .*distil\.models"):
        model_taught(tmp_path, models=[], rounds=4)


def test_a_model_that_does_not_fit(tmp_path: Path, faces: FaceSet) -> None:
    write_model(tmp_path / "teacher.onnx")
    with pytest.raises(DataError, match=r"takes PreprocessSpec\(.*the recipe makes .*distil\.answers"):
        fit.fit(model_taught(tmp_path).with_values({"preprocess.size": 24}), faces, tmp_path / "run")
    with pytest.raises(RecipeError, match=r"distil\.answers and distil\.models exclude each other"):
        model_taught(tmp_path, answers=["a.parquet"])
    other = LabelSet("other", tuple("abcdefg"))
    with pytest.raises(DataError, match="labels of fer2013; the recipe trains those of other"):
        distillation.check_models(model_taught(tmp_path).distil, other, PreprocessSpec())
