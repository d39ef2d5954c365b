"""Whatever takes a model takes its name, an alias, its file and its run folder, and means the same by all of them."""

from __future__ import annotations

import json
import shutil
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mien.cli import main
from mien.recognition.model_files import bundle, names

Photo = Callable[[Path, int], Path]


@pytest.fixture
def run(tmp_path: Path, model: Path) -> Path:
    folder = tmp_path / "runs" / "mine"
    folder.mkdir(parents=True)
    shutil.copy(model, folder / "model.onnx")
    return folder


def given(model: Path, run: Path) -> list[str]:
    return [str(model), str(run / "model.onnx"), str(run)]


def read_by(model: str, photo: Path, capsys: pytest.CaptureFixture[str]) -> Any:
    assert main(["predict", str(photo), "--model", model, "--detector", "whole", "--format", "json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_predict(model: Path, run: Path, tmp_path: Path, photo: Photo, capsys: pytest.CaptureFixture[str]) -> None:
    path = photo(tmp_path / "a.png", 0)
    first, *others = [read_by(each, path, capsys) for each in given(model, run)]
    assert others == [first, first]
    assert first[0]["model"] == "linear"


@pytest.mark.parametrize("name", ["nano", "fer7-nano"])
def test_results_say_the_public_name(
    name: str, tmp_path: Path, photo: Photo, capsys: pytest.CaptureFixture[str]
) -> None:
    path = photo(tmp_path / "a.png", 0)
    assert read_by(name, path, capsys)[0]["model"] == "fer7-nano"


def test_explain(model: Path, run: Path, tmp_path: Path, photo: Photo) -> None:
    path, found = photo(tmp_path / "a.png", 0), []
    for number, each in enumerate(given(model, run)):
        out = tmp_path / str(number)
        assert main(["explain", str(path), "--model", each, "--detector", "whole", "--out", str(out)]) == 0
        found.append((out / "a.json").read_text())
    assert found == [found[0]] * 3


def test_evaluate_on_photos(model: Path, run: Path, tmp_path: Path, photo: Photo) -> None:
    pytest.importorskip("sklearn")
    for number, word in enumerate(("happy", "sad")):
        photo(tmp_path / "photos" / word / "a.png", number)
    found = []
    for number, each in enumerate(given(model, run)):
        out = tmp_path / str(number)
        options = ["--photos", str(tmp_path / "photos"), "--detector", "whole", "--out", str(out)]
        assert main(["evaluate", each, *options]) == 0
        found.append((out / "metrics.json").read_text())
    assert found == [found[0]] * 3


def test_evaluate_by_an_alias() -> None:
    pytest.importorskip("pydantic")
    pytest.importorskip("pyarrow")
    from mien.runs import models

    assert {models.load(each).model.name for each in ("fer8", "ferplus8")} == {"ferplus8"}


def test_video(model: Path, run: Path) -> None:
    pytest.importorskip("scipy")
    from mien.cli.video import recognizer_of

    limits = {"detector": "whole", "max_faces": None, "min_size": None, "threshold": None, "threads": 1}
    limits["device"] = "auto"
    found = {recognizer_of(Namespace(model=each, **limits)).bundle.digest for each in given(model, run)}
    assert found == {bundle.read(model).digest}


def test_serve(model: Path, run: Path) -> None:
    pytest.importorskip("fastapi")
    from mien.web.models import Models
    from mien.web.settings import Settings

    served = Models.load(Settings(models=("nano", str(run)), detector="whole"))
    assert list(served.networks) == ["fer7-nano", "linear"]
    assert [each["aliases"] for each in served.describe()] == [["nano"], ["mine"]]
    assert {served.model_name(each) for each in ("nano", "fer7-nano", None)} == {"fer7-nano"}
    assert {served.model_name(each) for each in ("linear", "mine")} == {"linear"}
    assert served.describe()[0]["trained_on"] == [each.to_dict() for each in bundle.read("nano").trained_on]


def test_two_runs_of_one_recipe_are_served_by_their_folders(run: Path) -> None:
    pytest.importorskip("fastapi")
    from mien.errors import OptionError
    from mien.web.models import Models
    from mien.web.settings import Settings

    other = shutil.copytree(run, run.parent / "other")
    served = Models.load(Settings(models=(str(run), str(other)), detector="whole"))
    assert list(served.networks) == ["mine", "other"]
    assert [each.name for each in served.networks.values()] == ["mine", "other"]  # as results will say
    with pytest.raises(OptionError, match="same name"):
        Models.load(Settings(models=(str(run), str(run)), detector="whole"))


def test_all_shipped_models_are_served_by_default() -> None:
    pytest.importorskip("fastapi")
    from mien.web.models import Models
    from mien.web.settings import Settings

    served = Models.load(Settings(detector="whole"))
    assert list(served.networks) == list(names.shipped())
    assert served.model_name("default") == served.model_name(None) == names.public("default")


def test_scale(model: Path, run: Path, tmp_path: Path) -> None:
    pytest.importorskip("ray")
    pytest.importorskip("pyarrow")
    from mien.scale import job
    from mien.scale.storage import Store
    from mien.scale.worker import Reader

    out = Store.at(str(tmp_path / "out"))
    for each in given(model, run):
        work = job._make_work(job.Job("photos", "out", model=each, options={"detector": "whole"}), out)
        assert work.content == model.read_bytes()
        Reader(work).ready()
    assert job._make_work(job.Job("photos", "out", model="nano"), out).content is None
