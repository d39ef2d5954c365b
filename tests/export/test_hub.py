"""Folders for the Hugging Face Hub hold what the model file says, and weights that load back."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from corpora import bars

pytestmark = pytest.mark.train
torch = pytest.importorskip("torch")
yaml = pytest.importorskip("yaml")
safetensors = pytest.importorskip("safetensors.torch")
torch.set_num_threads(1)

from mien.cli import main  # noqa: E402
from mien.errors import FileMissingError, MissingExtraError, OptionError  # noqa: E402
from mien.export import export, hub  # noqa: E402
from mien.recipes import recipe  # noqa: E402
from mien.recognition.model_files import bundle, names  # noqa: E402
from mien.training.fit import fit  # noqa: E402


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    faces = bars({"Training": 4, "PublicTest": 2, "PrivateTest": 2})
    values = {
        "name": "small", "preprocess": {"size": 16}, "network": {"name": "residual", "widths": [8], "blocks": 1},
        "train": {"epochs": 1, "batch_size": 16, "rate": 0.01},
    }  # fmt: skip
    folder = tmp_path_factory.mktemp("runs") / "small"
    fit(recipe.parse(values), faces, folder)
    export.export(folder, faces)
    return folder


def front_matter(card: Path) -> dict[str, object]:
    values: dict[str, object] = yaml.safe_load(card.read_text(encoding="utf-8").split("---\n")[1])
    return values


def test_a_run_with_its_weights(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written = hub.write(run, tmp_path / "hub")
    model = bundle.read(run / "model.onnx")
    assert bundle.read(written.model) == model
    config = json.loads(written.config.read_text(encoding="utf-8"))
    assert [config["id2label"][str(index)] for index in range(7)] == list(model.labels.labels)
    assert config["preprocess"] == model.preprocess.to_dict()
    assert (config["temperature"], config["sha256"]) == (model.temperature, model.digest)
    assert written.weights is not None
    network = export.load_network(run, export.recipe_of(run), 7)
    loaded = safetensors.load_file(written.weights)
    assert set(loaded) == set(network.state_dict())
    assert all(torch.equal(loaded[name], tensor) for name, tensor in network.state_dict().items())
    card = written.card.read_text(encoding="utf-8")
    accuracy = model.metrics["private_test"]["accuracy"]
    assert f"| private test | 14 | {accuracy:.2%} |" in card
    assert model.licence in card
    with pytest.raises(OptionError, match="is not an empty folder"):
        hub.write(run, tmp_path / "hub")
    monkeypatch.setitem(__import__("sys").modules, "safetensors.torch", None)
    with pytest.raises(MissingExtraError, match=r"mien\[hub\]"):
        hub.write(run, tmp_path / "other")
    assert not (tmp_path / "other").exists()


def test_a_finished_model_by_its_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", "default", "--hub", str(tmp_path / "hub")]) == 0
    folder = tmp_path / "hub"
    assert {path.name for path in folder.iterdir()} == {"README.md", "config.json", "model.onnx"}
    assert (folder / "model.onnx").read_bytes() == names.locate("default").read_bytes()
    values = front_matter(folder / "README.md")
    assert values["library_name"] == "mien"
    assert values["model-index"]
    assert str(folder / "config.json") in capsys.readouterr().out


def test_an_unfinished_run_is_refused(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    with pytest.raises(FileMissingError, match=r"has no model\.onnx; finish the run"):
        hub.write(tmp_path / "run", tmp_path / "hub")
    assert not (tmp_path / "hub").exists()


def test_the_front_matter_quotes_every_text(tmp_path: Path) -> None:
    from dataclasses import replace

    odd = replace(bundle.read("default"), name='a: "b" #c')
    (tmp_path / "README.md").write_text(hub.write_card(odd), encoding="utf-8")
    index = front_matter(tmp_path / "README.md")["model-index"]
    assert isinstance(index, list)
    assert index[0]["name"] == 'a: "b" #c'
    assert np.isfinite(index[0]["results"][0]["metrics"][0]["value"])
