"""The C code of an int8 network answers as the integer reference, bit for bit, and as ONNX Runtime, nearly always."""

from __future__ import annotations

import itertools
import re
import shutil
import subprocess
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from corpora import face
from support import write_model

pytestmark = pytest.mark.train
pytest.importorskip("torch")

import torch  # noqa: E402

onnx = pytest.importorskip("onnx")
torch.set_num_threads(1)

from mien.cli import main  # noqa: E402
from mien.datasets.faces import FaceSet  # noqa: E402
from mien.errors import FileMissingError, ImageError, ModelError  # noqa: E402
from mien.export import export, quantise  # noqa: E402
from mien.export.c import c_code, layers, memory_plan, numpy_reference, quantised_graph  # noqa: E402
from mien.export.c.compiled_size import COMPILERS, measure  # noqa: E402
from mien.labels import LabelSet  # noqa: E402
from mien.networks.networks import build  # noqa: E402
from mien.preprocess import PreprocessSpec, apply  # noqa: E402
from mien.recognition.classifier import softmax  # noqa: E402
from mien.recognition.model_files import bundle  # noqa: E402
from mien.recognition.session import OnnxSession  # noqa: E402
from mien.training import calibrate  # noqa: E402

STRICT = ("-std=c99", "-pedantic", "-Wall", "-Wextra", "-Wconversion", "-Werror", "-O2")
CHECKED = (*STRICT, "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
MAIN = """
#include "mien_model.h"
#include <stdio.h>
int main(void) {
    static uint8_t crop[MIEN_SIDE * MIEN_SIDE];
    uint8_t logits[MIEN_CLASSES];
    float probabilities[MIEN_CLASSES];
    while (fread(crop, 1, sizeof crop, stdin) == sizeof crop) {
        mien_logits(crop, logits);
        printf("%d", mien_read(crop, probabilities));
        for (int label = 0; label < MIEN_CLASSES; label++)
            printf(" %d %.9g", logits[label], (double)probabilities[label]);
        printf("\\n");
    }
    for (int label = 0; label < MIEN_CLASSES; label++) printf("%s|", mien_labels[label]);
    printf("%s %.9g %.9g", mien_digest, (double)MIEN_TEMPERATURE, (double)MIEN_UNCERTAIN_BELOW);
    return 0;
}
"""


def run_c(folder: Path, crops: np.ndarray, flags: tuple[str, ...]) -> tuple[np.ndarray, np.ndarray, np.ndarray, str]:
    """Compile and run; return labels (N,), logits (N, C), probabilities (N, C), and the last line."""
    if not shutil.which("gcc"):
        pytest.skip("needs a C compiler: gcc")
    (folder / "main.c").write_text(MAIN)
    built = subprocess.run(
        ["gcc", *flags, "-o", "answer", "main.c", c_code.SOURCE],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    if flags is CHECKED and "cannot find" in built.stderr:
        pytest.skip("needs gcc's sanitisers")
    assert built.returncode == 0, built.stderr
    done = subprocess.run([folder / "answer"], input=crops.tobytes(), capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    *lines, last = done.stdout.decode().splitlines()
    table = np.array([line.split() for line in lines], np.float64)
    return table[:, 0].astype(int), table[:, 1::2].astype(np.uint8), table[:, 2::2], last


def crops_of(side: int) -> np.ndarray:
    """Faces, noise, and crops that are hard to standardise: black, white, nearly blank, one bright pixel."""
    draw = np.random.default_rng(5)
    pictures = [face(seed, side) for seed in range(40)]
    noise = draw.integers(0, 256, (20, side, side))
    plain = [np.zeros((side, side)), np.full((side, side), 255), draw.integers(100, 102, (side, side))]
    bright = np.zeros((side, side))
    bright[0, 0] = 255
    return np.stack([*pictures, *noise, *plain, bright, np.full((side, side), 255) - bright]).astype(np.uint8)


class Wide(torch.nn.Module):
    """Mien's residual network with all that it may have, and the scales that vector calibration adds."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(1)
        network = build("residual", 7, 1, 24, widths=(16, 32), blocks=1, attention="se", separable=True)
        for norm in (part for part in network.modules() if isinstance(part, torch.nn.BatchNorm2d)):
            torch.nn.init.uniform_(norm.weight, 0.5, 1.5)
            torch.nn.init.normal_(norm.bias, 0, 0.3)
        self.scaled = calibrate.Scaled(network.eval(), np.linspace(0.8, 1.5, 7), np.linspace(-0.02, 0.03, 7))

    def forward(self, crops: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.scaled(crops)
        return logits


class Odd(torch.nn.Sequential):
    """What Mien's own networks do not have: groups, strides, padded and overlapping pools, other activations."""

    def __init__(self) -> None:
        super().__init__(
            *(torch.nn.Conv2d(3, 8, 5, stride=2, padding=1), torch.nn.ReLU6(), torch.nn.MaxPool2d(3, 2, 1)),
            *(torch.nn.Conv2d(8, 12, (3, 1), padding=(1, 0), groups=4), torch.nn.Tanh()),
            *(torch.nn.Conv2d(12, 12, 2, groups=2), torch.nn.Sigmoid(), torch.nn.AdaptiveAvgPool2d(1)),
            *(torch.nn.Flatten(), torch.nn.Linear(12, 4, bias=False)),
        )


def wide(path: Path) -> bundle.Bundle:
    spec = PreprocessSpec(size=24)
    return quantised(path, Wide().eval(), spec)


def odd(path: Path) -> bundle.Bundle:
    torch.manual_seed(2)
    spec = PreprocessSpec(size=27, channels=3, standardise="fixed", mean=0.4, std=0.3)
    labels = LabelSet("odd", ('say "hi"', "back\\slash", "Ärger??/", "*/"))
    return quantised(path, Odd().eval(), spec, labels=labels, name="a */ name", licence="*/ none")


def flat(path: Path) -> bundle.Bundle:
    torch.manual_seed(3)
    return quantised(path, build("conv_pool", 7, 1, 16).eval(), PreprocessSpec(size=16))


def quantised(path: Path, network: torch.nn.Module, spec: PreprocessSpec, **about: Any) -> bundle.Bundle:
    graph = export.to_onnx(network, spec)
    write_model(path.with_name("model.onnx"), graph=graph, preprocess=spec, **about)
    return write_model(path, graph=quantise.int8(graph, apply(crops_of(spec.size), spec)), preprocess=spec, **about)


def equalised(path: Path) -> bundle.Bundle:
    """As system A prepares crops: CLAHE of tiles that divide the side, then a fixed scale."""
    torch.manual_seed(4)
    spec = PreprocessSpec(size=32, clahe=True, standardise="none")
    return quantised(path, build("conv_pool", 7, 1, 32).eval(), spec)


def uneven(path: Path) -> bundle.Bundle:
    """CLAHE whose tiles reach over the crop's edge, and which clips late."""
    torch.manual_seed(5)
    spec = PreprocessSpec(size=27, clahe=True, clahe_tiles=4, clahe_clip=12.5)
    return quantised(path, build("conv_pool", 7, 1, 27).eval(), spec)


MODELS = {"wide": wide, "odd": odd, "flat": flat, "equalised": equalised, "uneven": uneven}


@pytest.fixture(scope="module")
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path: Path = tmp_path_factory.mktemp("models") / "model-int8.onnx"
    MODELS[request.param](path)
    return path


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model and its int8 form."""
    path: Path = tmp_path_factory.mktemp("run") / "model-int8.onnx"
    wide(path)
    return path.parent


every_model = pytest.mark.parametrize("model", MODELS, indirect=True)


@every_model
def test_the_c_code_answers_as_the_reference_bit_for_bit(model: Path, tmp_path: Path) -> None:
    written = c_code.write(model, tmp_path)
    about, crops = bundle.read(model), crops_of(written.network.crop.shape[0])
    expected = numpy_reference.logits(written.network, crops)
    assert np.ptp(expected, axis=1).mean() > 20  # the faces are told apart
    for flags in (STRICT, CHECKED):
        labels, logits, probabilities, last = run_c(tmp_path, crops, flags)
        np.testing.assert_array_equal(logits, expected)
        np.testing.assert_array_equal(labels, expected.argmax(1))
    real = expected.astype(np.float32) * np.float32(written.network.logits.scale)
    np.testing.assert_allclose(probabilities, softmax(real, about.temperature), atol=1e-6)
    words, digest, temperature, below = re.fullmatch(r"(.*)\|(\S+) (\S+) (\S+)", last).groups()  # type: ignore[union-attr]
    assert tuple(words.split("|")) == about.labels.labels
    assert digest == about.digest
    assert [float(temperature), float(below)] == pytest.approx([about.temperature, about.uncertain_below], rel=1e-6)


@every_model
def test_the_reference_answers_as_onnx_runtime(model: Path) -> None:
    about = bundle.read(model)
    network = quantised_graph.read(about)
    crops = np.stack([face(seed, network.crop.shape[0]) for seed in range(300)])
    own, scale = numpy_reference.logits(network, crops).astype(int), network.logits.scale
    theirs = np.rint(OnnxSession(about.graph).logits(apply(crops, about.preprocess)) / scale) + network.logits.zero
    assert np.abs(own - theirs).max() <= 3
    assert np.abs(own - theirs).mean() <= 0.1
    assert (own.argmax(1) == theirs.argmax(1)).mean() >= 0.99


def test_limits_that_change_nothing_are_no_layer(run: Path) -> None:
    """Those behind the first max-pool, which keep ONNX Runtime from computing the convolution before it in integers."""
    about = bundle.read(run / "model-int8.onnx")
    assert "Clip" in [node.op_type for node in onnx.load_model_from_string(about.graph).graph.node]
    kinds = [type(layer) for layer in quantised_graph.read(about).layers]
    assert kinds[:2] == [layers.Conv, layers.MaxPool]
    assert kinds[2] is not layers.Table


@every_model
def test_the_source_needs_no_library(model: Path, tmp_path: Path) -> None:
    c_code.write(model, tmp_path)
    text = (tmp_path / "mien_model.c").read_text("ascii") + (tmp_path / "mien_model.h").read_text("ascii")
    assert set(re.findall(r"#include\s*(\S+)", text)) == {'"mien_model.h"', "<stdint.h>"}
    assert not re.search(r"\b(malloc|calloc|realloc|free|printf|mem\w+)\s*\(", text)


@every_model
def test_sizes_are_computed_and_measured(model: Path, tmp_path: Path) -> None:
    written = c_code.write(model, tmp_path)
    header = (tmp_path / "mien_model.h").read_text("ascii")
    assert f"{written.constants} bytes of constants" in header
    assert f"#define MIEN_SCRATCH_BYTES {written.scratch}" in header
    parameters = sum(layer.weights.size for layer in written.network.layers if isinstance(layer, layers.Conv))
    assert written.constants > parameters
    if written.measured is None:
        pytest.skip("needs a C compiler: gcc")
    assert f"{written.measured}" in header
    assert written.scratch <= written.measured.ram <= written.scratch + 64
    assert written.constants < written.measured.flash < written.constants + 12_000


def test_without_a_compiler_the_header_says_so(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert c_code.write(run, tmp_path / "c").measured is None
    assert "not measured: no C compiler was found" in (tmp_path / "c" / "mien_model.h").read_text("ascii")


def test_a_compiler_that_refuses_is_told(tmp_path: Path) -> None:
    if not any(map(shutil.which, COMPILERS)):
        pytest.skip("needs a C compiler: gcc")
    (tmp_path / "broken.c").write_text("int broken(")
    with pytest.raises(ModelError, match=r"gcc .*C code"):
        measure(tmp_path / "broken.c")


@every_model
def test_maps_that_are_needed_together_share_no_memory(model: Path) -> None:
    network = quantised_graph.read(bundle.read(model))
    places, size = memory_plan.plan_memory(network)
    last = {maps.name: step for step, layer in enumerate(network.layers) for maps in layers.sources(layer)}
    alive = {network.crop.name: network.crop}
    for step, layer in enumerate(network.layers):
        alive[layer.result.name] = layer.result
        ranges = [(places[name], places[name] + maps.size) for name, maps in alive.items()]
        assert all(a[1] <= b[0] for a, b in itertools.pairwise(sorted(ranges)))
        assert max(end for _, end in ranges) <= size
        alive = {name: maps for name, maps in alive.items() if last.get(name, len(network.layers)) > step}
    every = network.crop.size + sum(layer.result.size for layer in network.layers)
    assert size < every


@pytest.mark.parametrize("factor", [0.75, 1.0, 1.5, 3e-5, 0.999999999999, 12345.678, 2.0**-40, 0.0])
def test_a_factor_is_a_multiplier_and_a_shift(factor: float) -> None:
    multiplier, shift = layers.to_fixed(factor)
    assert 0 <= multiplier < 2**31
    assert 1 <= shift <= 62
    error = abs(Fraction(multiplier, 2**shift) - Fraction(factor))
    assert error <= Fraction(factor) / 2**30 + Fraction(1, 2**63)
    with pytest.raises(ModelError, match="scale of"):
        layers.to_fixed(2.0**31)


def test_integers_standardise_as_preprocess_does() -> None:
    maps = layers.Maps("crop", (48, 48, 1), 0.018, 120)
    spec = PreprocessSpec()
    network = layers.IntegerNetwork(bundle.read("fer2013-four-block"), maps, (), maps)
    crops = crops_of(48)
    own = np.stack([numpy_reference.enter(network, crop) for crop in crops]).astype(int)
    theirs = numpy_reference.quantise(apply(crops, spec), maps).astype(int)
    gaps = np.abs(own[..., 0] - theirs[:, 0])
    assert gaps.max() <= 1
    assert (gaps > 0).mean() < 0.001
    assert (own[60:63] == 120).all()  # black, white, and less than a grey level of deviation


def test_run_folders_and_files_from_the_command_line(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["export", str(run), "--c", str(tmp_path / "run")]) == 0
    printed = capsys.readouterr().out
    scratch = re.search(r"RAM: +([\d,]+) bytes", printed)
    assert scratch is not None
    assert (
        f"#define MIEN_SCRATCH_BYTES {scratch[1].replace(',', '')}" in (tmp_path / "run" / "mien_model.h").read_text()
    )
    assert bundle.read(run / "model-int8.onnx").digest in printed
    assert main(["export", str(run / "model-int8.onnx"), "--c", str(tmp_path / "file")]) == 0
    for name in ("mien_model.h", "mien_model.c"):
        assert (tmp_path / "file" / name).read_bytes() == (tmp_path / "run" / name).read_bytes()


def test_what_cannot_be_written(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ModelError, match=r"tiny is not quantised.*--int8"):
        quantised_graph.read(bundle.read(run / "model.onnx"))
    copy = shutil.copytree(run, tmp_path / "run")
    (copy / "model-int8.onnx").unlink()
    with pytest.raises(FileMissingError, match=r"no model-int8\.onnx.*--int8"):
        c_code.write(copy, tmp_path / "c")
    graph = bundle.read(run / "model-int8.onnx").graph
    spec = PreprocessSpec(size=24, grey=False, channels=3)
    with pytest.raises(ModelError, match="colour"):
        quantised_graph.read(write_model(tmp_path / "other.onnx", graph=graph, preprocess=spec))
    with pytest.raises(ImageError, match=r"expected uint8 \(N, 24, 24\)"):
        numpy_reference.logits(quantised_graph.read(bundle.read(run / "model-int8.onnx")), crops_of(16))
    assert main(["export", str(run)]) == 2
    assert "needs --data DATA" in capsys.readouterr().err


def changed(run: Path, path: Path, change: Any) -> bundle.Bundle:
    """Return the run's int8 file with a changed graph."""
    model = onnx.load_model_from_string(bundle.read(run / "model-int8.onnx").graph)
    change(model.graph)
    return write_model(path, graph=model.SerializeToString(), preprocess=PreprocessSpec(size=24))


def first(graph: Any, kind: str) -> Any:
    return next(node for node in graph.node if node.op_type == kind)


def rename(graph: Any) -> None:
    node = first(graph, "Sigmoid")
    node.op_type, node.name = "Selu", "the_gate"


def dilate(graph: Any) -> None:
    next(each for each in first(graph, "Conv").attribute if each.name == "dilations").ints[:] = [2, 2]


def grow(graph: Any) -> None:
    name = first(graph, "Conv").input[2].removesuffix("_DequantizeLinear_Output")
    names = [name, f"{name}_quantized"]
    found = next(each for each in graph.initializer if each.name in names)
    values = onnx.numpy_helper.to_array(found) * 0 + np.int32(2**31 - 9)
    found.CopyFrom(onnx.numpy_helper.from_array(values.astype(np.int32), found.name))


def pick(graph: Any) -> None:
    axes = first(graph, "ReduceMean").input[1]
    found = next(each for each in graph.initializer if each.name == axes)
    found.CopyFrom(onnx.numpy_helper.from_array(np.array([1], np.int64), axes))


def unquantise(graph: Any) -> None:
    graph.node.remove(next(n for n in graph.node if n.op_type == "QuantizeLinear" and n.input[0].startswith("sigmoid")))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (rename, r"'the_gate' \(Selu\).*Conv, Gemm.*Train one of"),
        (dilate, r"\(Conv\).*no dilation"),
        (grow, r"\(Conv\).*exceed 32 bits"),
        (pick, r"\(ReduceMean\).*not over the axes \[1\]"),
        (unquantise, r"\(Sigmoid\).*output is not quantised"),
    ],
)
def test_nodes_without_an_integer_layer_are_named(change: Any, says: str, run: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=says):
        quantised_graph.read(changed(run, tmp_path / "changed.onnx", change))


@pytest.mark.data
def test_the_shipped_network_on_real_faces(fer2013_faces: FaceSet, tmp_path: Path) -> None:
    about = bundle.read("fer2013-four-block")
    training = fer2013_faces.part("Training").where(np.arange(28_709) % 112 == 0)
    graph = quantise.int8(about.graph, apply(training.pixels, about.preprocess))
    labels, spec = about.labels, about.preprocess
    write_model(tmp_path / "model.onnx", graph=graph, labels=labels, preprocess=spec, temperature=about.temperature)
    written = c_code.write(tmp_path / "model.onnx", tmp_path)
    assert written.constants <= 2_000_000
    assert written.scratch <= 512_000
    test = fer2013_faces.part("PrivateTest").pixels[:150]
    own = numpy_reference.logits(written.network, test)
    assert (own.argmax(1) == OnnxSession(graph).logits(apply(test, spec)).argmax(1)).mean() >= 0.99
    _, logits, _, _ = run_c(tmp_path, test[:40], (*STRICT, "-O3", "-march=native"))
    np.testing.assert_array_equal(logits, own[:40])
