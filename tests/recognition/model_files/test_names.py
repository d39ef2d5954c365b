"""One name a model: whatever a user gives as a model leads to one file, or to an error that says what was expected."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support import write_model

from mien.errors import FileMissingError, ModelError
from mien.recognition.model_files import bundle, names
from mien.recognition.recognizer import load


def test_the_table_and_the_folder_agree() -> None:
    assert {file.name for file in names.WEIGHTS.glob("*.onnx")} == set(names.FILES.values())
    assert set(names.ALIASES.values()) <= set(names.FILES)
    assert not set(names.ALIASES) & set(names.FILES)


def test_names_and_aliases_of_before_still_work() -> None:
    for name in ("default", "fer7", "fer7-nano", "fer2013-four-block", "fer8", "nano"):
        assert names.locate(name).is_file()


@pytest.mark.parametrize("name", [*names.FILES, *names.ALIASES])
def test_a_model_carries_its_public_name(name: str) -> None:
    public = names.public(name)
    assert bundle.read(name).name == public
    assert names.locate(public or "") == names.locate(name)


def test_results_carry_a_name_that_is_taken_back() -> None:
    recognizer = load("default", detector="whole", threads=1)
    assert load(recognizer.name, detector="whole", threads=1).bundle.digest == recognizer.bundle.digest
    assert [each.name for each in recognizer.trained_on] == [each.name for each in bundle.read("default").trained_on]


def test_the_default_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(names.ALIASES, "default", "fer7-nano")
    assert names.shipped()[0] == "fer7-nano"
    assert sorted(names.shipped()) == sorted(names.FILES)
    assert names.locate("default") == names.locate("fer7-nano")
    assert set(names.aliases("fer7-nano")) == {"default", "nano"}
    assert names.aliases("ferplus8") == ("fer8",)


def test_a_run_folder_is_its_model_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = tmp_path / "runs" / "mine"
    run.mkdir(parents=True)
    written = write_model(run / "model.onnx", name="mine")
    monkeypatch.chdir(run.parent)
    for given in (run, str(run), "mine", "./mine", "mine/"):
        assert names.locate(given).resolve() == run / "model.onnx"
        assert bundle.read(given) == written


def test_a_path_is_never_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert names.public(Path("fer7")) is None
    with pytest.raises(FileMissingError, match="fer7"):
        bundle.read(Path("fer7"))


def test_a_run_folder_of_a_models_name_is_not_guessed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "default").mkdir()
    assert names.locate("default").parent == names.WEIGHTS  # a folder of anything else is no model
    write_model(tmp_path / "default" / "model.onnx", name="mine")
    with pytest.raises(ModelError, match=r"'default' is a model inside the package, and a run folder.*'\./default'"):
        names.locate("default")
    assert bundle.read("./default").name == "mine"


@pytest.mark.parametrize(
    ("file", "kind", "message"),
    [
        ("model.npz", ModelError, "classical baseline.*mien evaluate"),
        ("recipe.json", FileMissingError, "not exported.*mien export"),
        ("notes.txt", FileMissingError, r"no model\.onnx; expected.*ferplus8.*default"),
    ],
)
def test_folders_without_a_model_file(tmp_path: Path, file: str, kind: type[Exception], message: str) -> None:
    (tmp_path / file).write_text(json.dumps({}))
    with pytest.raises(kind, match=message):
        names.locate(tmp_path)


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("deepface", "no weights of other packages"),
        ("FER", "no weights"),
        ("mtcnn", "--detector mtcnn"),
        ("fer9", "fer7"),
    ],
)
def test_names_of_other_packages_are_explained(name: str, meant: str) -> None:
    with pytest.raises(ModelError) as caught:
        names.locate(name)
    assert meant in str(caught.value)
    assert ("Did you mean" in str(caught.value)) == (name == "fer9")
