"""``predict`` takes a picture, several, a folder or a pattern, and ``Recognizer`` is called and entered."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support import Nobody, Quarters, noise

import mien
from mien.errors import ImageError, OptionError
from mien.recognition.crop import CropSpec
from mien.recognition.detection.detect import Detection
from mien.recognition.many import ImageResults
from mien.recognition.recognizer import Recognizer, load
from mien.results import Box, ImageResult


@pytest.fixture(scope="module")
def recognizer(model: Path) -> Recognizer:
    return load(model, detector=Quarters(), threads=1)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "photos" / "sub").mkdir(parents=True)
    for number, name in enumerate(("1.png", "2.png", "sub/3.png")):
        Image.fromarray(noise(20 + number, 30, number)).save(tmp_path / "photos" / name)
    (tmp_path / "photos" / "broken.jpg").write_bytes(b"\xff\xd8\xff broken")
    return tmp_path / "photos"


def test_one_picture_gives_one_result(recognizer: Recognizer, folder: Path) -> None:
    for one in (folder / "1.png", str(folder / "1.png"), (folder / "1.png").read_bytes(), noise(9, 9)):
        assert isinstance(recognizer.predict(one), ImageResult)
    with (folder / "1.png").open("rb") as file:
        assert recognizer(file).faces == recognizer.predict(folder / "1.png").faces


def test_several_pictures_give_a_list(recognizer: Recognizer) -> None:
    pictures = np.stack([noise(20, 30, seed) for seed in range(5)])
    results = recognizer.predict(list(pictures), batch=2)
    assert isinstance(results, ImageResults)
    for many in (tuple(pictures), iter(pictures), pictures):
        assert len(recognizer.predict(many)) == 5
    assert [result.faces[0].box for result in results] == [Box(0, 0, 15, 10)] * 5
    assert all(result.pixels is not None for result in results)
    assert recognizer.predict([]) == []


def test_a_folder_and_a_pattern(recognizer: Recognizer, folder: Path) -> None:
    results = recognizer.predict(folder)
    assert isinstance(results, ImageResults)
    assert [Path(str(result.source)).name for result in results] == ["1.png", "2.png", "3.png"]
    assert [Path(entry.source).name for entry in results.unreadable] == ["broken.jpg"]
    assert results[0].pixels is None
    kept = recognizer.predict(folder, keep_pixels=True)
    assert isinstance(kept, ImageResults)
    assert kept[0].pixels is not None
    assert recognizer.predict(str(folder / "*.png")) == results[:2]
    small = recognizer.predict(folder, max_pixels=30 * 21)
    assert isinstance(small, ImageResults)
    assert [Path(entry.source).name for entry in small.unreadable] == ["broken.jpg", "3.png"]


def test_several_results_are_a_table_and_json(recognizer: Recognizer, folder: Path, tmp_path: Path) -> None:
    results = recognizer.predict(folder)
    assert isinstance(results, ImageResults)
    entries = json.loads(results.to_json())
    assert entries == [*(result.to_dict() for result in results), results.unreadable[0].to_dict()]
    results.save(tmp_path / "out.json")
    assert json.loads((tmp_path / "out.json").read_text("utf-8")) == entries
    with pytest.raises(OptionError, match=r"ending in \.json"):
        results.save(tmp_path / "out.csv")


def test_the_table_is_the_csv(recognizer: Recognizer, folder: Path, tmp_path: Path, model: Path) -> None:
    pandas = pytest.importorskip("pandas")
    from mien.cli import PARTLY, main

    out = tmp_path / "faces.csv"
    command = ["predict", str(folder), "--out", str(out), "--model", str(model), "--detector", "whole"]
    assert main(command) == PARTLY
    written = pandas.read_csv(out, keep_default_na=False)
    written = written[written["error"] == ""].drop(columns="error").astype({"face": int}).reset_index(drop=True)
    table = load(model, detector="whole").predict(folder).to_pandas()
    assert list(table) == list(written)
    numbers = table.select_dtypes("number").columns
    assert np.allclose(table[numbers], written[numbers].astype(float), atol=1e-6)
    assert (table["emotion"] == written["emotion"]).all()
    none = load(model, detector=Nobody()).predict([noise(9, 9)]).to_pandas()
    assert (len(none), list(none)) == (0, list(table))


def test_called_and_entered(model: Path) -> None:
    with load(model, detector="whole", threads=1) as recognizer:
        picture = noise(20, 20)
        assert recognizer(picture) == recognizer.predict(picture)
    assert repr(recognizer).startswith("<Recognizer tiny, detector whole: anger, ")


def test_read_is_deprecated(recognizer: Recognizer) -> None:
    picture = noise(20, 20)
    with pytest.deprecated_call(match="Write: predict"):
        assert recognizer.read(picture) == recognizer.predict(picture)
    with pytest.deprecated_call(match="Write: predict"):
        assert recognizer.read_many([picture]) == [recognizer.predict(picture)]


def test_max_pixels_holds_for_each_call_and_for_all(model: Path) -> None:
    recognizer = load(model, detector="whole", max_pixels=100)
    with pytest.raises(ImageError, match="at most 100"):
        recognizer.predict(noise(20, 20))
    assert recognizer.predict(noise(20, 20), max_pixels=400).width == 20


class Group:
    """A detector that finds a small sure face, a large one and a middling one."""

    name = "group"
    crop = CropSpec(1.0, 0.0, False)

    def detect(self, _pixels: object) -> tuple[Detection, ...]:
        sides = ((5, 0.9), (20, 0.8), (10, 0.7))
        return tuple(Detection(Box(0, 0, side, side), score, None) for side, score in sides)


@pytest.mark.parametrize(("most", "sides"), [(1, [20]), (2, [20, 10]), (3, [5, 20, 10]), (None, [5, 20, 10])])
def test_max_faces_takes_the_largest(model: Path, most: int | None, sides: list[int]) -> None:
    recognizer = load(model, detector=Group(), threads=1)
    recognizer.max_faces = most
    assert [face.box.width for face in recognizer.predict(noise(30, 30))] == sides
    with pytest.raises(OptionError, match="max_faces = 0"):
        load(model, max_faces=0)


def test_shortcuts(examples: Path, model: Path) -> None:
    assert mien.list_models()[0] == mien.load().name
    result = mien.predict(examples / "astronaut.jpg", model=str(model))
    assert result == mien.load(model).predict(examples / "astronaut.jpg")
    explanation = mien.explain(examples / "astronaut.jpg", 1, model=str(model))
    assert explanation.result == result
