"""The page, its figures, and what is measured for them."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import corpora
import cv2
import numpy as np
import pytest

pytest.importorskip("pyarrow")

from mien.datasets import index, manifest
from mien.datasets.quality import explore, measures
from mien.reporting import sheets


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> manifest.Manifest:
    folder = tmp_path_factory.mktemp("corpus")
    drawn = corpora.bars({"Training": 6, "PublicTest": 2})
    pixels = np.asarray(drawn.pixels)
    pixels[3] = pixels[-1]
    source = corpora.write_zip(drawn, folder / "faces.zip")
    return manifest.read(index.index([source], folder / "faces.parquet").path)


@pytest.fixture(scope="module")
def explored(faces: manifest.Manifest, tmp_path_factory: pytest.TempPathFactory) -> explore.Explored:
    return explore.explore(faces, tmp_path_factory.mktemp("page"), sample=40)


class _Links(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.sources: list[str] = []
        self.tags: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.sources += [value or "" for name, value in attrs if name in ("src", "href")]


def test_page_needs_nothing_but_itself(explored: explore.Explored) -> None:
    page = _Links()
    page.feed(explored.page.read_text("utf-8"))
    assert len(page.sources) > 10
    assert all(source.startswith(("data:image/", "#")) for source in page.sources)
    assert not page.tags & {"script", "link", "iframe"}


def test_every_figure_is_png_svg_and_pdf(explored: explore.Explored) -> None:
    kinds = {
        path.stem: {other.suffix for other in explored.figures if other.stem == path.stem} for path in explored.figures
    }
    assert {"classes", "weights", "samples", "means", "quality", "extremes", "duplicates", "pca2", "pca3"} == set(kinds)
    assert all(each == {".png", ".svg", ".pdf"} for each in kinds.values())
    assert all(path.stat().st_size > 1000 for path in explored.figures)


def test_facts_count_what_is_there(explored: explore.Explored) -> None:
    assert explored.facts["images"] == 56
    assert explored.facts["imbalance"] == 1
    assert set(explored.facts["weights"].values()) == {1.0}
    assert sum(leak["copies"] for leak in explored.facts["duplicates"]["leaks"] if leak["kind"] == "exact") == 1


def test_page_names_classes_and_what_is_missing(explored: explore.Explored) -> None:
    text = re.sub(r"<[^>]*>", " ", explored.page.read_text("utf-8"))
    assert "48 × 48" in text
    assert re.search(r"subject\s+56", text)


def test_broken_rows_are_listed(tmp_path: Path) -> None:
    drawn = corpora.bars({"Training": 3})
    source = corpora.write_csv(drawn, tmp_path / "fer2013.csv")
    with source.open("a") as file:
        file.write("9,1 2 3,Training\n")
    made = index.index([source], tmp_path / "m.parquet")
    assert made.problems == 1
    found = explore.explore(manifest.read(made.path), tmp_path / "page", problems=made.problem_file, sample=20)
    assert "fer2013.csv:23" in found.page.read_text("utf-8")


def test_measures_of_known_images(faces: manifest.Manifest) -> None:
    found = measures.measure(faces, sample=10)
    pixels = [image for batch in faces.images() for image in batch.pixels]
    assert np.allclose(found.values["brightness"], [image.mean() for image in pixels], atol=1e-3)
    assert np.allclose(found.values["contrast"], [image.std() for image in pixels], atol=1e-3)
    assert found.pixels.shape == (10, 48, 48)
    chosen = [pixels[place] for place in np.flatnonzero(faces.array("label") == "fear")]
    assert np.allclose(found.means["fear"], np.mean(chosen, axis=0))


def test_entropy_and_sharpness_order_images() -> None:
    halves = np.zeros((48, 48), np.uint8)
    halves[:, 24:] = 255
    assert measures.of_image(halves)["entropy"] == pytest.approx(1.0)
    flat = measures.of_image(np.full((48, 48), 7, np.uint8))
    assert (flat["sharpness"], flat["entropy"]) == (0.0, 0.0)


def test_noise_is_found_in_its_strength_and_edges_are_none() -> None:
    draw = np.random.default_rng(0)
    for deviation in (3, 10):
        noisy = np.clip(128 + draw.normal(0, deviation, (200, 200)), 0, 255).round().astype(np.uint8)
        assert measures.estimate_noise(noisy) == pytest.approx(deviation, rel=0.05)
    slope = np.add.outer(np.arange(60), np.arange(60)).astype(np.uint8)
    assert measures.estimate_noise(slope) == 0.0
    assert measures.estimate_noise(slope[:2]) == 0.0


def test_blocks_are_found_where_a_photo_was_compressed() -> None:
    blocks = np.kron(np.arange(36).reshape(6, 6) * 5, np.ones((8, 8))).astype(np.uint8)
    assert measures.measure_blocks(blocks) == pytest.approx((5 + 30) / 2)  # steps of 5 across and 30 down
    assert measures.measure_blocks(blocks[:, 4:-4].T.copy()) < measures.measure_blocks(blocks)
    assert measures.measure_blocks(blocks[:15]) == 0.0
    draw = np.random.default_rng(0)
    face = np.clip(cv2.GaussianBlur(draw.normal(128, 200, (96, 96)), (0, 0), 3), 0, 255).astype(np.uint8)
    coded = cv2.imencode(".jpg", face, [cv2.IMWRITE_JPEG_QUALITY, 5])[1]
    stored = np.asarray(cv2.imdecode(coded, cv2.IMREAD_GRAYSCALE), np.uint8)
    assert measures.measure_blocks(stored) > measures.measure_blocks(face) + 0.5


def test_extremes_are_chosen_among_the_rows_given() -> None:
    values = np.array([0, 0, 3, 1, 2], np.float32)
    assert measures.find_extremes(values, 2) == ([0, 1], [2, 4])
    assert measures.find_extremes(values, 2, values > 0) == ([3, 4], [2, 4])


def test_captions_stay_within_their_tile() -> None:
    tile = np.zeros((10, 10), np.uint8)
    narrow = sheets.draw_sheet([("heading", [(tile, "m" * 200)])], columns=3)
    white = np.asarray(narrow)[-20:, 2 * sheets.TILE :]
    assert (white == 255).all()


def test_names_of_rows_are_not_cut_off() -> None:
    from mien.reporting import figures

    tile = np.zeros((48, 48), np.uint8)
    drawn = figures.grid({"lowest\nbrightness": [(tile, "1")] * 3, "a much longer name": [(tile, "2")] * 3}, 3)
    figures.render(drawn, "png")
    box = drawn.axes[0].get_tightbbox()
    assert box.x0 >= 0
    assert box.x1 <= drawn.bbox.width
    assert [label.get_text() for label in drawn.axes[0].get_yticklabels()] == [
        "lowest\nbrightness",
        "a much longer name",
    ]


def test_classes_have_the_colours_of_annotated_pictures() -> None:
    from mien.drawing.draw import assign_colours
    from mien.reporting import figures

    labels = ("bored", "happiness", "tired")
    bars = figures.classes({"train": {"bored": 1, "happiness": 2, "tired": 3}}, labels).axes[0].patches
    assigned = assign_colours(labels)
    assert [bar.get_facecolor()[:3] for bar in bars] == [
        pytest.approx([part / 255 for part in assigned[label]]) for label in labels
    ]
    assert figures.colours(["", "bored"]) == {"": figures.GREY, "bored": "#aa00ff"}


def test_axes_of_shares_stop_at_the_whole() -> None:
    from mien.reporting import figures

    drawn = figures.new(3, 2)
    axes = drawn.subplots()
    axes.plot([0, 1], [0.3, 1.0])
    assert axes.get_ylim()[1] > 1
    figures.stop_at_whole(axes.yaxis)
    low, high = axes.get_ylim()
    assert high == 1.0
    assert 0 < low < 0.3


def test_plots_are_saved_for_papers(tmp_path: Path) -> None:
    from PIL import Image

    from mien.reporting import figures

    def draw() -> Any:
        drawn = figures.new(3, 2)
        drawn.subplots().plot([0, 1], [0, 1])
        return drawn

    _, paths = figures.save(draw(), tmp_path, "line")
    assert [path.name for path in paths] == ["line.png", "line.svg", "line.pdf"]
    with Image.open(paths[0]) as image:
        assert image.size == (900, 600)  # 3 × 2 inches of 300 dots
    assert paths[2].read_bytes().startswith(b"%PDF")
    again = tmp_path / "again"
    again.mkdir()
    assert [path.read_bytes() for path in figures.save(draw(), again, "line")[1]] == [
        path.read_bytes() for path in paths
    ]
