"""Float16 files, graphs with preprocessing inside and torch.export programs answer as their model file."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from corpora import bars, face

pytestmark = pytest.mark.train
torch = pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")
torch.set_num_threads(1)

import onnxruntime  # noqa: E402
from support import write_model  # noqa: E402

from mien.cli import main  # noqa: E402
from mien.datasets.faces import FaceSet  # noqa: E402
from mien.errors import ModelError  # noqa: E402
from mien.export import export, quantise, whole  # noqa: E402
from mien.preprocess import PreprocessSpec, apply  # noqa: E402
from mien.recipes import recipe  # noqa: E402
from mien.recognition.classifier import softmax  # noqa: E402
from mien.recognition.model_files import bundle  # noqa: E402
from mien.recognition.recognizer import load  # noqa: E402
from mien.recognition.session import OnnxSession  # noqa: E402
from mien.training.fit import fit  # noqa: E402


@pytest.fixture(scope="module")
def faces() -> FaceSet:
    return bars({"Training": 10, "PublicTest": 6, "PrivateTest": 6})


@pytest.fixture(scope="module")
def run(faces: FaceSet, tmp_path_factory: pytest.TempPathFactory) -> Path:
    values = {
        "name": "small", "preprocess": {"size": 16}, "network": {"name": "residual", "widths": [8], "blocks": 1},
        "calibrate": {"method": "vector"}, "train": {"epochs": 1, "batch_size": 16, "rate": 0.01},
    }  # fmt: skip
    folder = tmp_path_factory.mktemp("runs") / "small"
    fit(recipe.parse(values), faces, folder)
    export.export(folder, faces)
    return folder


def test_a_float16_file_is_half_the_size_and_answers_the_same(run: Path, faces: FaceSet) -> None:
    written = quantise.halve(run, faces)
    source, found = bundle.read(run / "model.onnx"), bundle.read(run / quantise.HALF)
    assert found.name == "small-float16"
    assert found.provenance["halved_from"] == source.digest != found.digest == written.digest
    tensors = onnx.load_model_from_string(found.graph).graph.initializer
    kernels = [tensor.data_type for tensor in tensors if len(tensor.dims) == 4]
    assert kernels
    assert set(kernels) == {onnx.TensorProto.FLOAT16}
    crops = apply(faces.part("PublicTest").pixels, source.preprocess)
    before, after = (softmax(OnnxSession(each.graph).logits(crops)) for each in (source, found))
    assert 0 < np.abs(before - after).max() <= 5e-3
    assert found.metrics["agreement"] == (before.argmax(1) == after.argmax(1)).mean()
    metrics = json.loads((run / "metrics-float16.json").read_text())
    assert metrics["private_test"]["accuracy"] == found.metrics["private_test"]["accuracy"]


def test_a_whole_file_takes_grey_crops_and_answers_probabilities(run: Path, faces: FaceSet) -> None:
    difference = whole.whole(run, faces)
    source = bundle.read(run / "model.onnx")
    session = onnxruntime.InferenceSession(run / whole.WHOLE)
    crops = np.stack([*(face(seed, 16) for seed in range(30)), np.zeros((16, 16)), np.full((16, 16), 9)]).astype(
        np.uint8
    )
    (own,) = session.run(["probabilities"], {"crops": crops})
    given = softmax(OnnxSession(source.graph).logits(apply(crops, source.preprocess)), source.temperature)
    np.testing.assert_allclose(own, given, atol=1e-5)
    about = json.loads(session.get_modelmeta().custom_metadata_map[whole.KEY])
    assert about["labels"] == list(source.labels.labels)
    assert (about["made_from"], about["difference"]) == (source.digest, difference)
    with pytest.raises(ModelError, match="without Mien's description"):
        bundle.read(run / whole.WHOLE)


@pytest.mark.parametrize(
    "spec",
    [
        PreprocessSpec(size=16, standardise="fixed", mean=0.4, std=0.3, channels=3),
        PreprocessSpec(size=16, standardise="none"),
        PreprocessSpec(size=16, grey=False, channels=3, standardise="fixed", mean=0.4, std=0.3),
    ],
    ids=["fixed", "none", "colour"],
)
def test_every_way_to_standardise_goes_inside(spec: PreprocessSpec, tmp_path: Path) -> None:
    source = write_model(tmp_path / "tiny.onnx", preprocess=spec)
    session = onnxruntime.InferenceSession(whole.with_preprocessing(source).SerializeToString())
    crops = np.stack([face(seed, 16) for seed in range(10)])
    crops = crops if spec.grey else np.stack([crops, crops[::-1], 255 - crops], axis=-1)
    (own,) = session.run(None, {"crops": crops})
    given = softmax(OnnxSession(source.graph).logits(apply(crops, spec)), source.temperature)
    np.testing.assert_allclose(own, given, atol=1e-5)


@pytest.mark.parametrize(("name", "most"), [("default", 1e-4), ("fer7", 1e-4), ("nano", 0.05)])
def test_a_model_of_the_package_is_written_whole_by_its_name(
    name: str, most: float, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["export", name, "--whole", "--out", str(tmp_path / "out")]) == 0
    assert "on generated crops" in capsys.readouterr().out
    spec = bundle.read(name).preprocess
    shape = (3, spec.size, spec.size) if spec.grey else (3, spec.size, spec.size, 3)
    crops = np.random.default_rng(1).integers(0, 256, shape, np.uint8)
    session = onnxruntime.InferenceSession(str(tmp_path / "out" / whole.WHOLE), providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {"crops": crops})
    np.testing.assert_allclose(found, load(name, detector="whole").classify(crops), atol=most)


def test_clahe_cannot_go_inside(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"CLAHE.*preprocess\.clahe = false"):
        whole.with_preprocessing(write_model(tmp_path / "tiny.onnx", preprocess=PreprocessSpec(size=16, clahe=True)))


def test_a_torch_program_answers_as_the_model_file(run: Path, faces: FaceSet) -> None:
    assert whole.program(run, faces) <= 1e-4
    extra = {"mien.json": ""}
    loaded = torch.export.load(run / whole.PROGRAM, extra_files=extra).module()
    source = bundle.read(run / "model.onnx")
    crops = apply(faces.part("PrivateTest").pixels, source.preprocess)
    with torch.inference_mode():
        own = loaded(torch.from_numpy(crops)).numpy()
    np.testing.assert_allclose(own, OnnxSession(source.graph).logits(crops), atol=1e-3)
    assert json.loads(extra["mien.json"])["made_from"] == source.digest
