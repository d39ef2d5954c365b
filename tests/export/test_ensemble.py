"""Ensembles answer with the mean of their members' probabilities, and are models like any other."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from corpora import bars, face
from numpy.typing import NDArray

pytestmark = pytest.mark.train
onnx = pytest.importorskip("onnx")
pytest.importorskip("sklearn")
pytest.importorskip("pydantic")

from support import linear_graph, noise, write_model  # noqa: E402

from mien.errors import DataError, FileMissingError, ModelError, OptionError  # noqa: E402
from mien.evaluation.metrics.calibration import fit_threshold  # noqa: E402
from mien.export import ensemble, mixture, quantise  # noqa: E402
from mien.labels import FER2013, FERPLUS, KDEF, LabelSet  # noqa: E402
from mien.preprocess import PreprocessSpec  # noqa: E402
from mien.recognition.classifier import Classifier  # noqa: E402
from mien.recognition.model_files import bundle, names  # noqa: E402
from mien.recognition.model_files.bundle import Bundle  # noqa: E402
from mien.recognition.model_files.corpus import Corpus  # noqa: E402
from mien.recognition.recognizer import load  # noqa: E402
from mien.recognition.session import OnnxSession  # noqa: E402

ABC = LabelSet("abc", ("anger", "fear", "neutral"))
SPEC = PreprocessSpec(size=8)
FIRST, SECOND = (0.7, 0.2, 0.1), (0.1, 0.3, 0.6)


def stating(probabilities: Sequence[float], temperature: float = 2.0, spec: PreprocessSpec = SPEC) -> bytes:
    """A graph that gives every crop the same probabilities, behind a temperature."""
    helper, classes = onnx.helper, len(probabilities)
    crops = helper.make_tensor_value_info("crops", onnx.TensorProto.FLOAT, ["N", spec.channels, spec.size, spec.size])
    logits = helper.make_tensor_value_info("logits", onnx.TensorProto.FLOAT, ["N", classes])
    nodes = [
        helper.make_node("Flatten", ["crops"], ["flat"]),
        helper.make_node("MatMul", ["flat", "weights"], ["nothing"]),
        helper.make_node("Add", ["nothing", "bias"], ["logits"]),
    ]
    constants = {
        "weights": np.zeros((spec.channels * spec.size**2, classes), np.float32),
        "bias": (np.log(probabilities) * temperature).astype(np.float32),
    }
    tensors = [onnx.numpy_helper.from_array(values, name) for name, values in constants.items()]
    graph = helper.make_graph(nodes, "stating", [crops], [logits], tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(model.SerializeToString())


def state(path: Path, probabilities: Sequence[float], labels: LabelSet = ABC, **changes: Any) -> Path:
    temperature = changes.get("temperature", 2.0)
    spec = changes.get("preprocess", SPEC)
    described = {"name": path.stem, "preprocess": spec, **changes}
    write_model(path, labels=labels, graph=stating(probabilities, temperature, spec), **described)
    return path


@pytest.fixture
def pair(tmp_path: Path) -> list[Path]:
    return [state(tmp_path / "first.onnx", FIRST), state(tmp_path / "second.onnx", SECOND, temperature=0.5)]


def classify(model: Path | Bundle, crops: Any) -> NDArray[np.float64]:
    return Classifier.open(model if isinstance(model, Bundle) else bundle.read(model), 1).classify(crops)


CROPS = [noise(8, 8, seed) for seed in range(3)]


@pytest.mark.parametrize(
    ("weights", "expected"),
    [(None, (0.4, 0.25, 0.35)), ([3, 1], (0.55, 0.225, 0.225)), ([0.2, 0.8], (0.22, 0.28, 0.5))],
)
def test_probabilities_are_the_weighted_mean(
    pair: list[Path], tmp_path: Path, weights: list[float] | None, expected: tuple[float, ...]
) -> None:
    written = ensemble.write(pair, tmp_path / "both.onnx", weights=weights)
    np.testing.assert_allclose(classify(tmp_path / "both.onnx", CROPS), [expected] * 3, atol=1e-6)
    assert written.file.temperature == 1
    total = sum(weights or (1, 1))
    assert list(written.members) == ["first", "second"]
    assert list(written.members.values()) == pytest.approx([weight / total for weight in weights or (1, 1)])


def test_classes_are_matched_by_name(pair: list[Path], tmp_path: Path) -> None:
    other = LabelSet("other", ("neutral", "anger", "fear"))
    turned = state(tmp_path / "turned.onnx", (SECOND[2], SECOND[0], SECOND[1]), other)
    written = ensemble.write([pair[0], turned], tmp_path / "both.onnx")
    assert written.file.labels == ABC
    np.testing.assert_allclose(classify(written.file, CROPS), [(0.4, 0.25, 0.35)] * 3, atol=1e-6)
    written = ensemble.write([turned, pair[0]], tmp_path / "both.onnx")
    assert written.file.labels == other
    np.testing.assert_allclose(classify(written.file, CROPS), [(0.35, 0.4, 0.25)] * 3, atol=1e-6)


def test_an_ensemble_can_be_a_member(pair: list[Path], tmp_path: Path) -> None:
    third = state(tmp_path / "third.onnx", (0.2, 0.2, 0.6))
    ensemble.write(pair, tmp_path / "two.onnx")
    written = ensemble.write([tmp_path / "two.onnx", third], tmp_path / "three.onnx", weights=[2, 1])
    np.testing.assert_allclose(classify(written.file, CROPS), [(1 / 3, 0.7 / 3, 1.3 / 3)] * 3, atol=1e-6)


def test_seeds_of_one_recipe_are_told_apart(tmp_path: Path) -> None:
    seeds = [tmp_path / "runs" / f"seed-{seed}" / "model.onnx" for seed in range(2)]
    for path, probabilities in zip(seeds, (FIRST, SECOND), strict=True):
        path.parent.mkdir(parents=True)
        state(path, probabilities, name="recipe")
    written = ensemble.write([path.parent for path in seeds], tmp_path / "both.onnx")
    digests = [bundle.read(path).digest[:8] for path in seeds]
    assert list(written.members) == [f"recipe ({digest})" for digest in digests]
    np.testing.assert_allclose(classify(written.file, CROPS), [(0.4, 0.25, 0.35)] * 3, atol=1e-6)


def test_the_smallest_probabilities_keep_their_order(tmp_path: Path) -> None:
    """1e-60 is no float32; its logarithm is."""
    paths = [
        state(tmp_path / "first.onnx", (1 - 3e-60, 1e-60, 2e-60), temperature=1.0),
        state(tmp_path / "second.onnx", (1 - 2e-60, 1e-60, 1e-60), temperature=1.0),
    ]
    file = ensemble.write(paths, tmp_path / "both.onnx").file
    narrowed = Classifier.open(file, 1).narrow(LabelSet("two", ("fear", "neutral"))).classify(CROPS)
    np.testing.assert_allclose(narrowed, [(0.4, 0.6)] * 3, rtol=1e-4)


@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan])
def test_logits_that_are_not_finite_are_refused_as_those_of_a_member(tmp_path: Path, value: float) -> None:
    weights = np.zeros((64, 3), np.float32)
    weights[0, 0] = value
    spec = PreprocessSpec(size=8, standardise="none", scale=1.0)
    good = write_model(tmp_path / "good.onnx", labels=ABC, preprocess=spec)
    bad = write_model(tmp_path / "bad.onnx", labels=ABC, preprocess=spec, graph=linear_graph(spec, 3, weights=weights))
    members = [mixture.Member("good", good, 0.5), mixture.Member("bad", bad, 0.5)]
    session = OnnxSession(mixture.mix(members, spec), 1)
    with pytest.raises(ModelError, match="not finite"):
        session.logits(np.ones((1, 1, 8, 8), np.float32))
    with pytest.raises(ModelError, match="not finite"):
        ensemble.write([tmp_path / "good.onnx", tmp_path / "bad.onnx"], tmp_path / "both.onnx")
    assert not (tmp_path / "both.onnx").exists()


SPECS = {
    "the same": [PreprocessSpec(size=16), PreprocessSpec(size=16)],
    "other values": [
        PreprocessSpec(size=16),
        PreprocessSpec(size=16, standardise="fixed", mean=0.4, std=0.3, channels=3),
        PreprocessSpec(size=16, standardise="none"),
    ],
    "equalised alike": [PreprocessSpec(size=16, clahe=True), PreprocessSpec(size=16, clahe=True, channels=3)],
    "sampled alike": [
        PreprocessSpec(size=16, interpolation="bilinear"),
        PreprocessSpec(size=16, interpolation="bilinear", standardise="none"),
    ],
    "grey and colour": [
        PreprocessSpec(size=16, interpolation="bicubic"),
        PreprocessSpec(size=16, interpolation="bicubic", grey=False, channels=3),
    ],
    "smaller and grey": [PreprocessSpec(size=14), PreprocessSpec(size=32, grey=False, channels=3)],
    "half and colour": [
        PreprocessSpec(size=32, grey=False, channels=3, standardise="fixed", mean=0.5, std=0.5),
        PreprocessSpec(size=16, grey=False, channels=3),
    ],
}


@pytest.mark.parametrize("kind", SPECS)
def test_members_read_what_they_would_read_of_the_same_crop(kind: str, tmp_path: Path) -> None:
    paths = []
    for index, spec in enumerate(SPECS[kind]):
        weights = np.random.default_rng(index).normal(0, 0.1, (spec.channels * spec.size**2, 7)).astype(np.float32)
        paths.append(tmp_path / f"{index}.onnx")
        graph = linear_graph(spec, 7, weights=weights)
        write_model(paths[-1], graph=graph, preprocess=spec, name=f"model {index}", temperature=1 + index)
    written = ensemble.write(paths, tmp_path / "both.onnx")
    size = max(spec.size for spec in SPECS[kind])
    crops = np.stack([*(noise(size, size, seed) for seed in range(20)), np.full((size, size, 3), 7, np.uint8)])
    expected = np.mean([classify(path, crops) for path in paths], axis=0)
    np.testing.assert_allclose(classify(written.file, crops), expected, atol=2e-5)
    assert written.file.preprocess.grey == all(spec.grey for spec in SPECS[kind])
    grey = np.stack([face(seed, size) for seed in range(5)])
    expected = np.mean([classify(path, grey) for path in paths], axis=0)
    np.testing.assert_allclose(classify(written.file, grey), expected, atol=2e-5)


def test_ways_of_reading_are_described(tmp_path: Path) -> None:
    for name, spec in {
        "small": PreprocessSpec(size=16),
        "large": PreprocessSpec(size=32, grey=False, channels=3),
    }.items():
        write_model(tmp_path / f"{name}.onnx", preprocess=spec, name=name)
    written = ensemble.write([tmp_path / "small.onnx", tmp_path / "large.onnx"], tmp_path / "both.onnx")
    assert written.derived == {"small": "in grey, shrunk to 16×16"}
    assert written.file.preprocess == PreprocessSpec(size=32, grey=False, channels=3, scale=1.0, standardise="none")


@pytest.mark.parametrize(
    ("specs", "message"),
    [
        ([PreprocessSpec(size=16), PreprocessSpec(size=16, clahe=True)], "model 1 equalises crops"),
        ([PreprocessSpec(size=16, clahe=True), PreprocessSpec(size=32, clahe=True)], "model 0, model 1 equalises"),
        (
            [PreprocessSpec(size=16, interpolation="bilinear"), PreprocessSpec(size=32)],
            r"model 0 \(bilinear\) resizes crops without averaging",
        ),
        (
            [PreprocessSpec(size=16, interpolation="bicubic"), PreprocessSpec(size=16)],
            r"expected preprocess\.interpolation = 'area' of all",
        ),
    ],
)
def test_pixels_that_cannot_be_derived_are_refused(specs: list[PreprocessSpec], message: str, tmp_path: Path) -> None:
    paths = [tmp_path / f"{index}.onnx" for index in range(len(specs))]
    for index, (path, spec) in enumerate(zip(paths, specs, strict=True)):
        write_model(path, preprocess=spec, name=f"model {index}")
    with pytest.raises(ModelError, match=message):
        ensemble.write(paths, tmp_path / "both.onnx")
    assert not (tmp_path / "both.onnx").exists()


def test_what_cannot_be_an_ensemble(pair: list[Path], tmp_path: Path) -> None:
    out = tmp_path / "both.onnx"
    with pytest.raises(OptionError, match="1 model: an ensemble has two or more"):
        ensemble.write(pair[:1], out)
    for weights in ([1.0], [1, 0], [1, -1], [1, np.nan], [1, np.inf]):
        with pytest.raises(OptionError, match="one number above 0 for each model"):
            ensemble.write(pair, out, weights=weights)
    with pytest.raises(ModelError, match=r"first is given twice .*weights let one count for more"):
        ensemble.write([pair[0], pair[0]], out)
    seven = write_model(tmp_path / "seven.onnx", labels=KDEF, preprocess=SPEC)
    with pytest.raises(ModelError, match=r"first lacks disgust, happiness, sadness, surprise\. The members"):
        ensemble.write([pair[0], tmp_path / "seven.onnx"], out)
    assert seven.labels == KDEF
    with pytest.raises(OptionError, match=r"does not end in \.onnx; name a model file, such as pair\.onnx"):
        ensemble.write(pair, tmp_path / "both")
    with pytest.raises(OptionError, match="'nano' is the name of a model inside the package"):
        ensemble.write(pair, tmp_path / "nano.onnx")
    with pytest.raises(OptionError, match="is one of the members"):
        ensemble.write(pair, pair[1])
    with pytest.raises(FileMissingError):
        ensemble.write([pair[0], tmp_path / "gone.onnx"], out)
    assert not out.exists()


def test_the_file_says_what_it_is_made_of(pair: list[Path], tmp_path: Path) -> None:
    free, bound = "free", "non-commercial"
    corpora = [
        (Corpus("fer2013", free, "pretraining"), Corpus("rafdb", bound)),
        (Corpus("fer2013", free), Corpus("imagenet", bound, "pretraining")),
    ]
    thresholds, licences = (0.6, 0.5), ("MIT", "CC0")
    provenance = ({"trained_on": "Training: 3 faces", "selected_on": "PublicTest: 1 face"}, {"trained_on": "train: 9"})
    for index, (path, probabilities) in enumerate(zip(pair, (FIRST, SECOND), strict=True)):
        state(
            path, probabilities, trained_on=corpora[index], uncertain_below=thresholds[index],
            licence=licences[index], provenance=provenance[index],
            metrics={"private_test": {"faces": 10, "accuracy": 0.9}}, recipe_digest=str(index) * 64,
        )  # fmt: skip
    file = ensemble.write(pair, tmp_path / "both.onnx", weights=[1, 3]).file
    assert file.name == "both"
    assert file.trained_on == (Corpus("fer2013", free), Corpus("rafdb", bound), corpora[1][1])
    assert file.uncertain_below == 0.6
    assert file.licence == "first: MIT second: CC0"
    assert set(file.metrics) == {"parity"}
    assert file.metrics["parity"] <= 1e-6
    assert file.provenance["trained_on"] == "first: Training: 3 faces; second: train: 9"
    assert file.provenance["selected_on"] == "first: PublicTest: 1 face; second: not stated"
    assert [(one["model"], one["weight"], one["recipe_digest"]) for one in file.provenance["members"]] == [
        ("first", 0.25, "0" * 64), ("second", 0.75, "1" * 64),
    ]  # fmt: skip
    other = ensemble.write(pair, tmp_path / "other.onnx", weights=[3, 1]).file
    assert len({file.recipe_digest, other.recipe_digest, "0" * 64, "1" * 64}) == 4
    again = ensemble.write(pair, tmp_path / "again.onnx", weights=[1, 3]).file
    assert (again.digest, again.recipe_digest) == (file.digest, file.recipe_digest)


def test_corpora_that_are_not_stated_are_those_of_the_member(pair: list[Path], tmp_path: Path) -> None:
    (first, second) = ensemble.write(pair, tmp_path / "both.onnx").file.trained_on
    assert (first.name, second.name) == ("first", "second")
    assert "not known" in first.terms


def test_the_threshold_is_fitted_on_the_validation_set(tmp_path: Path) -> None:
    faces = bars({"Training": 3, "PublicTest": 6, "PrivateTest": 4})
    paths = [tmp_path / "first.onnx", tmp_path / "second.onnx"]
    for index, path in enumerate(paths):
        write_model(path, graph=linear_bars(index), preprocess=PLAIN, name=path.stem, uncertain_below=0.9)
    written = ensemble.write(paths, tmp_path / "both.onnx", faces=faces)
    part = faces.part("PublicTest")
    probabilities = np.mean([classify(path, part.pixels) for path in paths], axis=0)
    expected = fit_threshold(probabilities, part.labels)
    assert 0 < expected.coverage < 1
    assert written.file.uncertain_below == pytest.approx(expected.confidence, abs=1e-6)
    metrics = written.file.metrics
    assert metrics["uncertain"]["coverage"] == expected.coverage
    assert metrics["public_test"]["faces"] == len(part) == 42
    assert metrics["public_test"]["accuracy"] == (probabilities.argmax(1) == part.labels).mean()
    assert metrics["members_by_themselves"]["compared"] == 42
    assert metrics["members_by_themselves"]["largest_difference"] <= 1e-6
    assert metrics["members_by_themselves"]["agreement"] == 1
    assert "private_test" not in metrics
    bare = replace(part, splits=np.full(len(part), ""))
    unsplit = ensemble.write(paths, tmp_path / "both.onnx", faces=bare)
    assert unsplit.file.metrics["validation"]["faces"] == 42
    assert unsplit.file.uncertain_below == written.file.uncertain_below


PLAIN = PreprocessSpec(size=48, standardise="none")


def linear_bars(seed: int) -> bytes:
    """A network that sums up the columns where ``bars`` puts the bar of a class, with noise."""
    weights = np.zeros((48, 48, 7), np.float32)
    for label in range(7):
        weights[:, 4 + 6 * label : 3 + 6 * (label + 1), label] = 0.02
    weights += np.random.default_rng(seed).normal(0, 0.2, weights.shape).astype(np.float32)
    return linear_graph(PLAIN, 7, weights=weights.reshape(-1, 7))


def test_data_without_a_validation_set_or_the_classes_are_refused(pair: list[Path], tmp_path: Path) -> None:
    faces = bars({"Training": 2})
    with pytest.raises(DataError, match="PublicTest"):
        ensemble.write(pair, tmp_path / "both.onnx", faces=faces)
    renamed = replace(faces, label_set=LabelSet("own", tuple("abcdefg")))
    with pytest.raises(DataError, match="No face has a class of the model"):
        ensemble.write(pair, tmp_path / "both.onnx", faces=renamed)
    assert not (tmp_path / "both.onnx").exists()


def test_float16_members(tmp_path: Path) -> None:
    spec = PreprocessSpec(size=16)
    whole = write_model(tmp_path / "whole.onnx", name="whole")
    write_model(tmp_path / "half.onnx", graph=quantise.float16(whole.graph), name="half", preprocess=spec)
    written = ensemble.write([tmp_path / "whole.onnx", tmp_path / "half.onnx"], tmp_path / "both.onnx")
    crops = [noise(16, 16, seed) for seed in range(9)]
    expected = np.mean([classify(tmp_path / f"{name}.onnx", crops) for name in ("whole", "half")], axis=0)
    np.testing.assert_allclose(classify(written.file, crops), expected, atol=1e-6)


def test_shipped_models_int8_among_them_read_a_photo(examples: Path, tmp_path: Path) -> None:
    members = ["fer7", "nano", "fer2013-four-block"]
    written = ensemble.write(members, tmp_path / "seven.onnx")
    assert written.file.labels == FER2013
    assert written.file.uncertain_below == max(bundle.read(name).uncertain_below for name in members)
    photo = examples / "astronaut.jpg"
    (own,), *others = (
        load(model, threads=1).predict(photo).faces for model in (str(tmp_path / "seven.onnx"), *members)
    )
    expected = np.mean([list(found.probabilities.values()) for (found,) in others], axis=0)
    np.testing.assert_allclose(list(own.probabilities.values()), expected, atol=1e-5)


def test_a_colour_and_a_grey_model_read_a_photo(examples: Path, tmp_path: Path) -> None:
    """``ferplus8`` reads the 112 pixels of ``world8`` in grey, shrunk to its 48."""
    out = tmp_path / "eight.onnx"
    written = ensemble.write(["world8", "ferplus8"], out)
    assert written.file.labels.labels == FERPLUS.labels
    assert written.derived == {"ferplus8": "in grey, shrunk to 48×48"}
    photo = examples / "astronaut.jpg"
    (own,), *others = (load(model, threads=1).predict(photo).faces for model in (out, "world8", "ferplus8"))
    expected = np.mean([list(found.probabilities.values()) for (found,) in others], axis=0)
    np.testing.assert_allclose(list(own.probabilities.values()), expected, atol=0.02)
    assert own.emotion == FERPLUS.labels[int(expected.argmax())]


def test_a_run_folder_is_taken(pair: list[Path], tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    shutil.copy(pair[1], tmp_path / "run" / "model.onnx")
    written = ensemble.write([pair[0], tmp_path / "run"], tmp_path / "both.onnx")
    np.testing.assert_allclose(classify(written.file, CROPS), [(0.4, 0.25, 0.35)] * 3, atol=1e-6)
    assert names.locate(tmp_path / "both.onnx") == tmp_path / "both.onnx"
