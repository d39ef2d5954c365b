"""YuNet on ONNX Runtime beside the same file in OpenCV: equal boxes, points and scores, at any size."""

from __future__ import annotations

import io
import threading
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest
from support import noise, write_model

from mien import images
from mien.errors import ModelError
from mien.recognition.detection import yunet
from mien.recognition.detection.detect import get_detector
from mien.recognition.detection.yunet_graph import rewrite

if TYPE_CHECKING:
    from numpy.typing import NDArray

FILE = yunet.model_file()
ENGINE = yunet.Engine(FILE)
THRESHOLD = 0.5


@pytest.fixture(scope="module")
def photo(examples: Path) -> NDArray[np.uint8]:
    return images.load(examples / "astronaut.jpg")


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    yield
    cv2.setNumThreads(before)


def by_opencv(pixels: NDArray[np.uint8], threshold: float = THRESHOLD) -> NDArray[np.float32]:
    model = np.frombuffer(FILE.read_bytes(), np.uint8)
    size = (pixels.shape[1], pixels.shape[0])
    engine = cv2.FaceDetectorYN.create("onnx", model, np.empty(0, np.uint8), size, threshold, 0.3, 5000)
    rows = engine.detect(cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR))[1]
    return np.empty((0, 15), np.float32) if rows is None else np.asarray(rows, np.float32)


def assert_equal(pixels: NDArray[np.uint8], threshold: float = THRESHOLD) -> int:
    """Compare the two and return how many faces there are."""
    expected, rows = by_opencv(pixels, threshold), yunet.search(ENGINE, pixels, threshold)
    assert rows.dtype == np.float32
    assert rows.shape == expected.shape
    np.testing.assert_allclose(rows[:, :14], expected[:, :14], atol=0.01)  # pixels; 0.0001 were seen
    np.testing.assert_allclose(rows[:, 14], expected[:, 14], atol=1e-5)
    return len(rows)


def scene(photo: NDArray[np.uint8], height: int, width: int, seed: int) -> NDArray[np.uint8]:
    """Return noise with the photo pasted in at four sizes, in part over one another."""
    rng, canvas = np.random.default_rng(seed), noise(height, width, seed)
    for share in (0.9, 0.5, 0.4, 0.3):
        side = int(share * min(height, width))
        top, left = int(rng.integers(0, height - side + 1)), int(rng.integers(0, width - side + 1))
        canvas[top : top + side, left : left + side] = cv2.resize(photo, (side, side), interpolation=cv2.INTER_AREA)
    return canvas


@pytest.mark.parametrize(("size", "least"), [((320, 320), 3), ((333, 500), 3), ((640, 427), 3), ((97, 641), 1), ((65, 64), 0)])  # fmt: skip # noqa: E501
def test_equals_opencv_at_any_size(photo: NDArray[np.uint8], size: tuple[int, int], least: int) -> None:
    assert sum(assert_equal(scene(photo, *size, seed)) for seed in range(3)) >= least


def test_equals_opencv_in_overlaps_and_at_a_low_threshold(photo: NDArray[np.uint8]) -> None:
    turned = np.ascontiguousarray(np.rot90(photo))
    assert assert_equal(turned, 0.05) > assert_equal(photo, 0.7) == 1


@pytest.mark.data
@pytest.mark.parametrize("corpus", ["kdef_frontal350.zip", "ckplus350.zip"])
def test_equals_opencv_on_the_corpora(data_dir: Path, corpus: str) -> None:
    with zipfile.ZipFile(data_dir / corpus) as archive:
        names = [name for name in archive.namelist() if name.lower().endswith((".png", ".jpg"))][::40]
        counts = [assert_equal(images.load(io.BytesIO(archive.read(name)))) for name in names]
    assert len(counts) > 9
    assert min(counts) > 0


def test_a_picture_smaller_than_a_cell_of_the_network(photo: NDArray[np.uint8]) -> None:
    tiny = cv2.resize(photo[62:172, 172:272], (20, 24), interpolation=cv2.INTER_AREA)
    for pixels in (tiny, noise(1, 1), noise(1, 300), noise(31, 33)):
        rows = yunet.search(ENGINE, np.asarray(pixels, np.uint8), 0.7)
        assert np.isfinite(rows).all()


def test_threads_search_at_the_same_time(photo: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch) -> None:
    detector, both = get_detector("yunet"), threading.Barrier(2, timeout=30)
    search = yunet.search

    def met(*given: object) -> NDArray[np.float32]:
        both.wait()
        return search(*given)  # type: ignore[arg-type]

    alone = detector.detect(photo)
    monkeypatch.setattr(yunet, "search", met)
    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(detector.detect, [photo, photo])) == [alone, alone]


def test_opencv_sets_the_threads_and_detectors_share_a_network(monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[int | None] = []

    def noted(graph: bytes, threads: int | None, *_: object) -> bytes:
        opened.append(threads)
        return graph

    monkeypatch.setattr(yunet, "open_graph", noted)
    monkeypatch.setattr(yunet, "usable_cores", lambda: 4)
    monkeypatch.setattr(cv2, "getNumThreads", lambda: 3)
    yunet._opened.cache_clear()
    yunet._cores.cache_clear()
    try:
        get_detector("yunet"), get_detector("yunet", threshold=0.2)
        monkeypatch.setattr(cv2, "getNumThreads", lambda: 4)
        get_detector("yunet")
        assert opened == [3, None]
    finally:
        yunet._opened.cache_clear()
        yunet._cores.cache_clear()


def test_a_damaged_file_is_an_error_that_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = FILE.read_bytes()
    file = tmp_path / FILE.name
    monkeypatch.setattr(yunet, "model_file", lambda: file)
    for content in (whole[:-100], b"\xff" * 50, b""):
        file.write_bytes(content)
        with pytest.raises(ModelError, match=r"damaged.*pip install"):
            get_detector("yunet")


def test_the_body_of_the_network_stays_as_it_is() -> None:
    onnx = pytest.importorskip("onnx")
    before, after = (
        onnx.load_from_string(content).graph for content in (FILE.read_bytes(), rewrite(FILE.read_bytes()))
    )
    onnx.checker.check_model(rewrite(FILE.read_bytes()))
    body = [node for node in before.node if node.op_type in ("Conv", "Relu", "MaxPool", "Resize", "Add")]
    body = [node for node in body if not any(name.startswith("bbox_head.") for name in node.input)]
    assert [node.op_type for node in after.node[:2]] == ["Transpose", "Cast"]
    assert list(after.node)[2 : len(body) + 2] == body
    assert [node.op_type for node in after.node][len(body) + 2 :] == ["Conv"] * 6
    shapes = [[size.dim_value or size.dim_param for size in one.type.tensor_type.shape.dim] for one in after.input]
    assert shapes == [[1, "height", "width", 3]]
    weights = {tensor.name: tensor for tensor in before.initializer if not tensor.name.startswith("bbox_head.")}
    kept = {tensor.name: tensor for tensor in after.initializer if tensor.name in weights}
    stem, red_first = (onnx.numpy_helper.to_array(tensors.pop("420")) for tensors in (weights, kept))
    assert kept == weights
    np.testing.assert_array_equal(red_first, stem[:, ::-1])


def test_another_network_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_model(tmp_path / "other.onnx")
    monkeypatch.setattr(yunet, "model_file", lambda: tmp_path / "other.onnx")
    with pytest.raises(ModelError, match="damaged"):
        get_detector("yunet")


@pytest.mark.parametrize("threshold", [0.0, 1.0])
def test_the_ends_of_the_threshold(photo: NDArray[np.uint8], threshold: float) -> None:
    assert bool(len(yunet.search(ENGINE, photo[:128, :128], threshold))) is (threshold == 0.0)
