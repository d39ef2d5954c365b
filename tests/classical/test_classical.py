"""Classical baselines learn what can be learned, answer as scikit-learn does, and are read as they were written."""

from __future__ import annotations

import io
import json
import tomllib
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from corpora import bars
from numpy.typing import NDArray

pytest.importorskip("pydantic")

from pydantic import ValidationError

pytest.importorskip("sklearn")
pytest.importorskip("skimage")

from mien.classical import classical
from mien.classical.classical import ClassicalModel, load, save, train
from mien.classical.descriptors import descriptors
from mien.datasets.faces import FaceSet
from mien.errors import DataError, FileMissingError, ImageError, ModelError, RecipeError
from mien.preprocess import PreprocessSpec, apply
from mien.recipes.classical_table import ClassicalTable
from mien.recipes.recipe import SHIPPED
from mien.recognition.classifier import softmax

SPEC = PreprocessSpec()
TABLES = {
    "hog-svm": ClassicalTable(features="hog"),
    "lbp-svm": ClassicalTable(features="lbp"),
    "gabor-svm": ClassicalTable(features="gabor", cell=6, scales=2, orientations=4, scale=True),
    "pca-svm": ClassicalTable(features="pixels", components=20),
    "pca-linear": ClassicalTable(features="pixels", components=20, kernel="linear"),
    "pca-knn": ClassicalTable(features="pixels", components=20, classifier="knn", neighbours=3),
}


@pytest.fixture(scope="module")
def faces() -> FaceSet:
    return bars({"Training": 16, "PublicTest": 6})


@pytest.fixture(scope="module")
def models(faces: FaceSet) -> dict[str, ClassicalModel]:
    part = faces.part("Training")
    crops = apply(part.pixels, SPEC)
    return {name: train(table, crops, part.labels, len(part.label_set)) for name, table in TABLES.items()}


def noisy(classes: int, count: int = 60, side: int = 24) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Crops whose classes overlap, so that machines have votes to tie and borders to get wrong."""
    draw = np.random.default_rng(classes)
    labels = draw.integers(0, classes, count)
    crops = draw.normal(0, 1, (count, 1, side, side))
    crops[np.arange(count), 0, labels * 3] += 0.6
    return crops.astype(np.float32), labels


@pytest.mark.parametrize("name", TABLES)
def test_it_learns(models: dict[str, ClassicalModel], faces: FaceSet, name: str) -> None:
    public = faces.part("PublicTest")
    answers = models[name].logits(apply(public.pixels, SPEC))
    assert (answers.argmax(1) == public.labels).mean() >= 0.9
    assert answers.dtype == np.float32
    shares = softmax(answers)
    assert np.isfinite(shares).all()
    assert shares.max(1).mean() > 1.5 / 7


@pytest.mark.parametrize("classes", [2, 3, 7])
@pytest.mark.parametrize("changes", [{}, {"kernel": "linear"}, {"class_weights": True, "gamma": 0.01, "scale": True}])
def test_support_vectors_answer_as_scikit_learn_predicts(classes: int, changes: dict[str, Any]) -> None:
    from sklearn.svm import SVC

    table = ClassicalTable(features="pixels", components=15, **changes)
    crops, labels = noisy(classes, 120)
    model = train(table, crops, labels, classes)
    own = model.projection(descriptors(crops, table)).astype(np.float64)
    weights = "balanced" if table.class_weights else None
    machine = SVC(kernel=table.kernel, gamma=table.gamma or "scale", class_weight=weights, break_ties=classes > 2)
    others, _ = noisy(classes, 400)
    seen = model.projection(descriptors(others, table)).astype(np.float64)
    machine.fit(own, labels)
    answers = model.logits(others)
    assert len(set(answers.argmax(1).tolist())) == classes
    # libsvm stops within 1e-3 of the optimum, wherever it then is: a face on a border may change sides.
    assert (answers.argmax(1) == machine.predict(seen)).mean() >= 0.99
    if classes > 2:
        assert np.isclose(answers, machine.decision_function(seen), atol=2e-3).mean() >= 0.99


@pytest.mark.parametrize("classes", [3, 7])
def test_votes_and_ties_are_counted_as_scikit_learn_counts_them(classes: int) -> None:
    from sklearn.svm import SVC

    crops, labels = noisy(classes, 120)
    rows, others = crops.reshape(120, -1), noisy(classes, 400)[0].reshape(400, -1)
    machine = SVC(break_ties=True, decision_function_shape="ovo").fit(rows, labels)
    own = classical._votes(machine.decision_function(others), classes)
    machine.decision_function_shape = "ovr"
    np.testing.assert_allclose(own, machine.decision_function(others), atol=1e-9)
    np.testing.assert_array_equal(own.argmax(1), machine.predict(others))


def test_neighbours_answer_as_scikit_learn_predicts() -> None:
    from sklearn.neighbors import KNeighborsClassifier

    table = ClassicalTable(features="pixels", classifier="knn", neighbours=4)
    crops, labels = noisy(5, 120)
    model = train(table, crops, labels, 5)
    rows = model.projection(descriptors(crops, table))
    others, _ = noisy(5, 300)
    seen = model.projection(descriptors(others, table))
    reference = KNeighborsClassifier(4, algorithm="brute").fit(rows, labels)
    answers = softmax(model.logits(others))
    np.testing.assert_array_equal(answers.argmax(1), reference.predict(seen))
    np.testing.assert_allclose(answers, (reference.predict_proba(seen) * 4 + 1) / (4 + 5), atol=1e-6)


@pytest.mark.parametrize("name", TABLES)
def test_a_saved_model_answers_the_same(
    models: dict[str, ClassicalModel], faces: FaceSet, tmp_path: Path, name: str
) -> None:
    save(models[name], tmp_path / "model.classical")
    again = load(tmp_path / "model.classical")
    assert again.table == TABLES[name]
    crops = apply(faces.pixels, SPEC)
    np.testing.assert_array_equal(again.logits(crops), models[name].logits(crops))
    assert again.logits(crops[:0]).shape == (0, 7)


def test_a_class_without_faces_is_never_answered(faces: FaceSet) -> None:
    part = faces.part("Training").where(~np.isin(faces.part("Training").labels, (0, 4)))
    model = train(TABLES["pca-svm"], apply(part.pixels, SPEC), part.labels, 7)
    answers = model.logits(apply(faces.pixels, SPEC))
    assert answers.shape[1] == 7
    assert set(answers.argmax(1).tolist()) == {1, 2, 3, 5, 6}


def test_mirrored_faces_are_learned_too(faces: FaceSet) -> None:
    part, places = faces.part("Training"), np.array([0, 2])
    chosen = part.where(np.isin(part.labels, places))  # bars left of the middle, so that mirrored ones are new
    crops = apply(chosen.pixels, SPEC)
    plain = train(ClassicalTable(features="pixels", classifier="knn", neighbours=1), crops, chosen.labels, 7)
    both = train(
        ClassicalTable(features="pixels", classifier="knn", neighbours=1, mirror=True), crops, chosen.labels, 7
    )
    mirrored = crops[..., ::-1]
    assert (both.logits(mirrored).argmax(1) == chosen.labels).all()
    assert (plain.logits(mirrored).argmax(1) == chosen.labels).mean() < 0.9


@pytest.mark.parametrize(("features", "length"), [("hog", 5 * 5 * 4 * 8), ("lbp", 36 * 59), ("gabor", 36 * 40)])
def test_descriptors_have_their_published_length(faces: FaceSet, features: Any, length: int) -> None:
    table = ClassicalTable(features=features)
    crops = apply(faces.pixels[:3], SPEC)
    found = descriptors(crops, table)
    assert found.shape == (3, length)
    assert found.dtype == np.float32
    assert descriptors(crops[:0], table).shape == (0, length)
    np.testing.assert_allclose(descriptors(crops[1:2], table), found[1:2], atol=1e-5)


@pytest.mark.parametrize("features", ["hog", "lbp", "gabor"])
def test_brightness_and_contrast_do_not_matter(faces: FaceSet, features: Any) -> None:
    table = ClassicalTable(features=features)
    raw = PreprocessSpec(standardise="none", scale=1 / 256)  # exact in binary: no gradient crosses a bin by rounding
    found = descriptors(apply(faces.pixels[:3] // 2, raw), table)
    brighter = descriptors(apply(faces.pixels[:3] // 2 + 100, raw), table)
    np.testing.assert_allclose(found, brighter, atol=2e-3 * float(found.max()))


def test_a_gabor_filter_answers_to_its_own_direction_and_wavelength() -> None:
    table = ClassicalTable(features="gabor", scales=3, orientations=4)
    x = np.arange(48)
    waves = np.cos(2 * np.pi * x / 8)[None, :] * np.ones((48, 1))  # 8 pixels: the third half-octave from 4 on
    crops = np.stack([waves, waves.T]).astype(np.float32)[:, None]
    energies = descriptors(crops, table).reshape(2, 3, 4, 36).mean(-1)
    assert [np.unravel_index(one.argmax(), one.shape) for one in energies] == [(2, 0), (2, 2)]


def test_long_work_can_be_watched(faces: FaceSet) -> None:
    part, seen = faces.part("Training"), []

    def watch(items: Iterable[Any]) -> Iterable[Any]:
        seen.append(list(items))
        return seen[-1]

    train(ClassicalTable(features="pixels", mirror=True), apply(part.pixels, SPEC), part.labels, 7, watch)
    assert [len(items) for items in seen] == [1, 1, 21]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"features": "hog", "cell": 30}, r"cell = 30, block = 2.* at least 60 pixels for hog; these have 24"),
        ({"features": "lbp", "radius": 12}, "radius = 12 need crops of at least 25"),
        ({"features": "gabor", "cell": 25}, "at least 25 pixels for gabor"),
        ({"components": 61}, "components = 61: 60 training faces .* at most 60. Lower it"),
        ({"features": "lbp", "cell": 24, "components": 60}, "at most 59"),
        ({"classifier": "knn", "neighbours": 61}, "neighbours = 61 is more than the 60 training faces; lower it"),
    ],
)
def test_impossible_values_are_named(changes: dict[str, Any], message: str) -> None:
    crops, labels = noisy(3)
    with pytest.raises(RecipeError, match=message):
        train(ClassicalTable(**{"features": "pixels", **changes}), crops, labels, 3)


def test_data_that_does_not_fit_is_refused() -> None:
    table = ClassicalTable(features="pixels")
    crops, labels = noisy(3)
    with pytest.raises(ImageError, match=r"\(60, 3, 24, 24\).*channels = 1"):
        train(table, np.repeat(crops, 3, 1), labels, 3)
    with pytest.raises(DataError, match="59 labels for 60 crops"):
        train(table, crops, labels[1:], 3)
    with pytest.raises(DataError, match="each from 0 to 1"):
        train(table, crops, labels, 2)
    with pytest.raises(DataError, match="at least two classes"):
        train(table, crops, labels * 0, 3)
    with pytest.raises(ModelError, match=r"trained on \(N, 1, 24, 24\)"):
        train(table, crops, labels, 3).logits(crops[:, :, 1:, 1:])


@pytest.mark.parametrize(
    "values",
    [{"classifier": "knn", "class_weights": True}, {"kernel": "linear", "gamma": 0.1}, {"c": 0}, {"colour": 1}],
)
def test_the_table_refuses_what_does_not_go_together(values: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        ClassicalTable(**values)


def archive(**members: NDArray[Any]) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=True, **members)
    return buffer.getvalue()


def test_foreign_files_are_refused(models: dict[str, ClassicalModel], tmp_path: Path) -> None:
    with pytest.raises(FileMissingError, match="No model at"):
        load(tmp_path / "none")
    plain = io.BytesIO()
    np.save(plain, np.zeros(3))
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as file:
        file.writestr("schema.json", "{}")
    header = np.array(json.dumps({"format": "another"}))
    foreign = {
        "empty": b"", "text": b"no model", "array": plain.getvalue(), "zip": packed.getvalue(),
        "other": archive(header=header), "pickled": archive(header=np.array({}, object)),
    }  # fmt: skip
    for name, content in foreign.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ModelError, match="not a classical model of Mien"):
            load(tmp_path / name)
    with pytest.raises(ModelError, match="not a classical model of Mien"):
        load(tmp_path)


@pytest.mark.parametrize(
    "change",
    [
        {"support": np.zeros((3, 20), np.float32)},
        {"offsets": np.full(21, np.nan)},
        {"present": np.arange(6)},
        {"gain": np.ones(2304)},
    ],
)
def test_a_damaged_model_is_refused(
    models: dict[str, ClassicalModel], tmp_path: Path, change: dict[str, NDArray[Any]]
) -> None:
    save(models["pca-svm"], tmp_path / "model")
    with np.load(tmp_path / "model") as file:
        arrays = dict(file)
    (tmp_path / "model").write_bytes(archive(**{**arrays, **change}))
    with pytest.raises(ModelError, match=classical.FORMAT):
        load(tmp_path / "model")


@pytest.mark.parametrize(("offset", "value"), [(10, 99), (8, 1)], ids=["compression", "encrypted"])
def test_an_archive_that_cannot_be_unpacked_is_refused(
    models: dict[str, ClassicalModel], tmp_path: Path, offset: int, value: int
) -> None:
    """The zip's reader raises ``NotImplementedError`` and ``RuntimeError`` for these."""
    save(models["pca-svm"], tmp_path / "model")
    content = bytearray((tmp_path / "model").read_bytes())
    entry = -1
    while (entry := content.find(b"PK\x01\x02", entry + 1)) >= 0:
        content[entry + offset] = value
    (tmp_path / "model").write_bytes(content)
    with pytest.raises(ModelError, match=classical.FORMAT):
        load(tmp_path / "model")


def test_the_shipped_recipes_fit_the_crops_they_ask_for() -> None:
    found = {}
    for path in SHIPPED.glob("*.toml"):
        values = tomllib.loads(path.read_text(encoding="utf-8"))
        if "classical" in values:
            found[values["name"]] = ClassicalTable.model_validate_json(json.dumps(values["classical"]), strict=True)
            spec = PreprocessSpec(**values["preprocess"])
            assert len(descriptors(np.zeros((1, 1, spec.size, spec.size), np.float32), found[path.stem])) == 1
    assert set(found) == {"hog-svm", "lbp-svm", "gabor-svm", "pca-svm", "pca-knn"}


def test_a_member_whose_header_is_no_dictionary_is_refused(tmp_path: Path) -> None:
    text = b"{'descr': '<f4', 'fortran_order': (False, 'shape': (1,), }".ljust(117) + b"\n"
    member = b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text
    with zipfile.ZipFile(tmp_path / "model.npz", "w") as file:
        file.writestr("header.npy", member)
    with pytest.raises(ModelError, match="not a classical model of Mien"):
        load(tmp_path / "model.npz")
