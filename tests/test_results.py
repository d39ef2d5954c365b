"""Results: the JSON shape, the table, the annotated picture."""

from __future__ import annotations

import builtins
import errno
import io
import json
from dataclasses import FrozenInstanceError, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mien.errors import FileMissingError, MissingExtraError, OptionError
from mien.labels import FER2013
from mien.pose import estimate
from mien.results import Box, Face, ImageResult

VALUES = (0.1, 0.05, 0.05, 0.6, 0.1, 0.05, 0.05)
MARKS = ((12.0, 14.0), (24.0, 14.0), (18.0, 20.0), (13.0, 26.0), (23.0, 26.0))
FACE = Face(Box(8.25, 6.0, 20.0, 24.0), 0.9, MARKS, FER2013.labels, VALUES, False)
PIXELS = np.full((48, 64, 3), 90, np.uint8)
RESULT = ImageResult("a.jpg", 64, 48, (FACE, replace(FACE, landmarks=None, uncertain=True)), "tiny", "yunet", PIXELS)


def test_emotion_is_the_most_probable_label() -> None:
    assert (FACE.emotion, FACE.confidence) == ("happiness", 0.6)
    assert list(FACE.probabilities) == list(FER2013.labels)
    assert replace(FACE, values=(0.5, 0.5, 0, 0, 0, 0, 0)).emotion == "anger"


def test_to_dict_survives_json_unrounded() -> None:
    read = json.loads(json.dumps(RESULT.to_dict(), allow_nan=False))
    assert read == RESULT.to_dict()
    assert list(read) == ["source", "width", "height", "model", "detector", "faces"]
    face = read["faces"][0]
    first = ["box", "score", "landmarks", "emotion", "confidence", "uncertain", "quality", "pose", "probabilities"]
    assert list(face) == first
    assert face["pose"] == estimate(MARKS).to_dict()  # type: ignore[union-attr]
    assert read["faces"][1]["pose"] is None
    assert face["box"] == {"left": 8.25, "top": 6.0, "width": 20.0, "height": 24.0}
    assert face["landmarks"] == [list(mark) for mark in MARKS]
    assert read["faces"][1]["landmarks"] is None


def test_equality_ignores_pixels_and_results_are_frozen() -> None:
    assert replace(RESULT, pixels=None) == RESULT
    assert replace(RESULT, width=65) != RESULT
    with pytest.raises(FrozenInstanceError):
        RESULT.width = 3  # type: ignore[misc]
    assert "array" not in repr(RESULT)
    assert repr(RESULT) == "<ImageResult a.jpg 64×48, 2 faces: happiness 60%, happiness? 60%>"
    assert repr(replace(RESULT, faces=())) == "<ImageResult a.jpg 64×48, 0 faces>"
    assert repr(FACE) == "<Face happiness 60%, 20×24 at 8,6>"


def test_to_pandas() -> None:
    pytest.importorskip("pandas")
    table = RESULT.to_pandas()
    assert table.shape == (2, 14 + 7)
    assert table["yaw"][0] == FACE.pose.yaw  # type: ignore[union-attr]
    assert table[["yaw", "pitch", "roll"]].isna()[1:].all(axis=None)
    assert table["emotion"].tolist() == ["happiness", "happiness"]
    assert table["face"].tolist() == [0, 1]
    assert table[[f"p_{label}" for label in FER2013.labels]].sum(axis=1).tolist() == pytest.approx([1, 1])
    empty = replace(RESULT, faces=()).to_pandas()
    assert len(empty) == 0
    assert list(empty) == list(table)[:14]


def test_to_pandas_without_pandas(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def refuse(name: str, *args: Any, **kwargs: Any) -> Any:
        if name == "pandas":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(MissingExtraError, match=r"Run: pip install pandas$"):
        RESULT.to_pandas()


@pytest.mark.parametrize("name", ["out.jpg", "out.PNG", "out.webp", "out.bmp", "out.tif", "out.gif", "é 表情.jpeg"])
def test_save_picture(tmp_path: Path, name: str) -> None:
    RESULT.save(tmp_path / name)
    with Image.open(tmp_path / name) as picture:
        assert picture.size == (64, 48)
        assert np.ptp(np.asarray(picture.convert("RGB"))) > 50


def test_save_json(tmp_path: Path) -> None:
    replace(RESULT, source="é.jpg", pixels=None).save(str(tmp_path / "out.json"))
    text = (tmp_path / "out.json").read_text("utf-8")
    assert json.loads(text)["faces"] == RESULT.to_dict()["faces"]
    assert "é.jpg" in text


def test_save_refusals(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=r"Did you mean '.jpg'"):
        RESULT.save(tmp_path / "a.jpge")
    with pytest.raises(FileMissingError, match="No such folder"):
        RESULT.save(tmp_path / "none" / "a.png")
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(OptionError, match="Cannot write"):
        RESULT.save(tmp_path / "folder.png")


def test_without_pixels() -> None:
    bare = replace(RESULT, pixels=None)
    with pytest.raises(OptionError, match="keep_pixels=True"):
        bare.draw()
    with pytest.raises(OptionError, match="keep_pixels=True"):
        bare.save("never.png")
    assert bare._repr_png_() is None


def test_blur_hides_every_face(tmp_path: Path) -> None:
    noisy = np.random.default_rng(0).integers(0, 255, (200, 200, 3), np.uint8)
    face = replace(FACE, box=Box(50, 50, 100, 100))
    result = replace(RESULT, width=200, height=200, faces=(face,), pixels=noisy)
    result.save(tmp_path / "hidden.png", blur=True)
    inside = slice(80, 140), slice(60, 140)
    assert np.asarray(Image.open(tmp_path / "hidden.png"))[inside].std() < noisy[inside].std() / 4
    assert (np.asarray(result.draw())[inside] == noisy[inside]).all()


def test_notebook_picture() -> None:
    content = RESULT._repr_png_()
    assert content is not None
    assert content.startswith(b"\x89PNG")


def test_a_full_disk_leaves_no_half_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from mien.drawing import saving

    def half(path: Path, content: bytes) -> int:
        with path.open("wb") as file:
            file.write(content[: len(content) // 2])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", half)
    with pytest.raises(OptionError, match=r"a\.jpg.*No space left"):
        saving.write(tmp_path / "a.jpg", b"0123456789")
    assert list(tmp_path.iterdir()) == []


def test_a_result_is_a_sequence_of_faces() -> None:
    assert len(RESULT) == 2
    assert list(RESULT) == list(RESULT.faces) == [RESULT[0], RESULT[1]]
    assert RESULT[-1:] == RESULT.faces[-1:]
    assert RESULT
    assert not replace(RESULT, faces=())
    with pytest.raises(IndexError):
        RESULT[2]


def test_largest_and_sorted() -> None:
    small, large = (replace(FACE, box=Box(left, 0, side, side), score=side / 100) for left, side in ((40, 5), (1, 30)))
    sure = replace(FACE, box=Box(20, 0, 9, 9), values=(0.9, 0.1, 0, 0, 0, 0, 0), score=0.2)
    result = replace(RESULT, faces=(small, large, sure))
    assert result.largest == large
    assert replace(RESULT, faces=()).largest is None
    assert result.sorted().faces == (large, sure, small)
    assert result.sorted("position").faces == (large, sure, small)
    assert result.sorted("confidence")[0] == sure
    assert result.sorted("score").faces == (large, sure, small)
    with pytest.raises(OptionError, match="Did you mean 'position'"):
        result.sorted("positions")


def test_to_json_is_to_dict() -> None:
    assert json.loads(RESULT.to_json()) == json.loads(RESULT.to_json(indent=2)) == RESULT.to_dict()
    assert "\n" not in RESULT.to_json()


def test_plot_is_the_drawn_picture() -> None:
    assert np.array_equal(RESULT.plot(), np.asarray(RESULT.draw()))
    assert np.array_equal(RESULT.plot(labels="de", blur=True), np.asarray(RESULT.draw(labels="de", blur=True)))


def test_show(monkeypatch: pytest.MonkeyPatch) -> None:
    from PIL import ImageShow

    shown: list[Image.Image] = []

    def show(picture: Image.Image) -> bool:
        shown.append(picture)
        return True

    monkeypatch.setattr(ImageShow, "show", show)
    RESULT.show()
    assert shown[0].size == (64, 48)
    monkeypatch.setattr(ImageShow, "show", lambda _: False)
    with pytest.raises(OptionError, match=r"result.save\("):
        RESULT.show()
    with pytest.raises(OptionError, match="keep_pixels=True"):
        replace(RESULT, pixels=None).show()


@pytest.mark.parametrize("shape", [(900, 3000, 3), (3000, 1500, 3), (1199, 1200, 3)])
def test_a_notebook_shows_1200_pixels_at_most(shape: tuple[int, int, int]) -> None:
    pixels = np.full(shape, 90, np.uint8)
    box = Box(shape[1] / 2, shape[0] / 2, shape[1] / 4, shape[0] / 4)
    result = replace(RESULT, width=shape[1], height=shape[0], pixels=pixels, faces=(replace(FACE, box=box),))
    content = result._repr_png_()
    assert content is not None
    picture = Image.open(io.BytesIO(content))
    assert max(picture.size) == 1200
    painted = (np.asarray(picture) != 90).any(axis=2)
    edge = round(picture.width / 2)
    assert painted[round(picture.height * 0.6), edge - 2 : edge + 3].any()
