"""Devices: both networks run where it was said, a missing one is an error that says what to install."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support import linear_graph, write_model

import mien
from mien.cli import VERBS, load_verb, main
from mien.errors import MienError, MienWarning, MissingExtraError, OptionError
from mien.preprocess import PreprocessSpec
from mien.recognition import devices, session
from mien.recognition.detection import yunet
from mien.recognition.detection.detect import get_detector
from mien.recognition.session import OnnxSession
from mien.web.models import Models
from mien.web.settings import Settings

onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("onnx")

SPEC = PreprocessSpec(size=16)
GRAPH = linear_graph(SPEC, 7)
RECOGNISE = (
    "predict", "video", "watch", "explain", "explain-layers", "evaluate", "audit", "scale predict", "bench", "serve",
)  # fmt: skip


class Machine:
    """An ONNX Runtime that claims to have providers: it notes who is given which, and computes on the CPU."""

    def __init__(
        self, monkeypatch: pytest.MonkeyPatch, *names: str, starts: bool = True, error: str = "", missing: str = ""
    ) -> None:
        self.opened: list[tuple[list[Any], Any]] = []
        self.running = self.most = 0
        self.guard = threading.Lock()
        real, machine = onnxruntime.InferenceSession, self
        claimed = [devices.DEVICES[name].provider for name in (*names, "cpu")]

        class Claiming:
            def __init__(self, graph: bytes, options: Any, *, providers: list[Any], enable_fallback: int) -> None:
                assert not enable_fallback  # it would print to stdout
                machine.opened.append((providers, options))
                if error and len(providers) > 1:
                    raise RuntimeError(error)
                self.inner = real(graph, options, providers=["CPUExecutionProvider"])
                self.get_inputs, self.get_outputs = self.inner.get_inputs, self.inner.get_outputs
                self.disable_fallback = self.inner.disable_fallback
                names = [one if isinstance(one, str) else one[0] for one in providers]
                self.get_providers = lambda: names if starts else names[-1:]

            def run(self, *given: Any) -> Any:
                with machine.guard:
                    machine.running += 1
                    machine.most = max(machine.most, machine.running)
                threading.Event().wait(0.01)
                try:
                    return self.inner.run(*given)
                finally:
                    with machine.guard:
                        machine.running -= 1

        monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: claimed)
        monkeypatch.setattr(onnxruntime, "InferenceSession", Claiming)
        monkeypatch.setattr(onnxruntime, "preload_dlls", lambda: sys.stdout.write(missing), raising=False)
        monkeypatch.setattr(devices, "_missing_driver", list)
        devices._load_cuda.cache_clear()
        monkeypatch.setattr(devices, "_warned", set())
        yunet._opened.cache_clear()

    @property
    def providers(self) -> list[str]:
        """The first provider of each session, in the order of opening."""
        return [one[0] if isinstance(one[0], str) else one[0][0] for one, _ in self.opened]


@pytest.fixture(autouse=True)
def _fresh() -> Any:
    yield
    yunet._opened.cache_clear()
    devices._load_cuda.cache_clear()


@pytest.fixture
def model(tmp_path: Path) -> Path:
    write_model(tmp_path / "m.onnx")
    return tmp_path / "m.onnx"


@pytest.mark.parametrize("name", ["gpu", "CUDA", "", 0])
def test_an_unknown_name_says_which_there_are(name: Any) -> None:
    with pytest.raises(OptionError, match=r"expected one of auto, cpu, cuda, .*; available here: cpu"):
        OnnxSession(GRAPH, device=name)


@pytest.mark.parametrize(
    ("name", "command"),
    [
        ("cuda", "onnxruntime-gpu"),
        ("coreml", "Expected macOS"),
        ("directml", "pip install onnxruntime-directml"),
        ("openvino", "pip install onnxruntime-openvino"),
    ],
)
def test_a_missing_provider_says_what_to_install(monkeypatch: pytest.MonkeyPatch, name: str, command: str) -> None:
    Machine(monkeypatch, "openvino" if name == "cuda" else "cuda")
    with pytest.raises(MissingExtraError, match=command) as caught:
        OnnxSession(GRAPH, device=name)
    assert f"available here: cpu, {'openvino' if name == 'cuda' else 'cuda'}" in str(caught.value)


@pytest.mark.parametrize("detector", ["yunet", "haar", "whole"])
def test_detectors_know_devices_too(detector: str) -> None:
    with pytest.raises(MienError, match="device = 'directml'"):
        get_detector(detector, device="directml")


@pytest.mark.parametrize(
    ("there", "chosen"), [((), "CPU"), (("cuda",), "CUDA"), (("coreml", "directml", "openvino"), "CPU")]
)
def test_auto_takes_cuda_or_the_cpu(monkeypatch: pytest.MonkeyPatch, there: tuple[str, ...], chosen: str) -> None:
    machine = Machine(monkeypatch, *there)
    OnnxSession(GRAPH)
    get_detector("yunet")
    assert machine.providers == [f"{chosen}ExecutionProvider"] * 2


@pytest.mark.parametrize("name", devices.DEVICES)
def test_both_networks_run_there(monkeypatch: pytest.MonkeyPatch, model: Path, name: str, examples: Path) -> None:
    expected = mien.load(model).predict(examples / "astronaut.jpg")
    machine = Machine(monkeypatch, *devices.DEVICES)
    recognizer = mien.load(model, device=name)
    assert machine.providers == [devices.DEVICES[name].provider] * 2
    assert recognizer.predict(examples / "astronaut.jpg").faces == expected.faces
    again = pickle.loads(pickle.dumps(recognizer))
    assert again.predict(examples / "astronaut.jpg").faces == expected.faces
    assert set(machine.providers) == {devices.DEVICES[name].provider}


def test_cuda_computes_in_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(monkeypatch, "cuda")
    OnnxSession(GRAPH, device="cuda")
    assert machine.opened[0][0][0][1]["use_tf32"] == "0"


LACKING = (
    "Failed to load libcublasLt.so.13: libcublasLt.so.13: cannot open shared object file: No such file or directory\n"
    "Failed to load libcurand.so.10: libcurand.so.10: cannot open shared object file: No such file or directory\n"
    "Please follow https://onnxruntime.ai/docs/install/#cuda-and-cudnn to install CUDA.\n"
)
"""What ``onnxruntime.preload_dlls`` prints where two libraries are missing."""

RAISED = (
    "/onnxruntime_src/onnxruntime/core/providers/cuda/cuda_call.cc:129 std::conditional_t<THRW, void, Status> CudaCall "
    "CUDA failure 100: no CUDA-capable device is detected ; GPU=-1 ; hostname=box ; expr=cudaSetDevice(device_id);"
)
"""What ONNX Runtime raises where CUDA's libraries are there and the GPU is not."""

CAUSES = [
    ({"starts": False, "missing": LACKING}, r"cannot load libcublasLt\.so\.13, libcurand\.so\.10"),
    ({"error": RAISED, "missing": LACKING}, r"CUDA failure 100: no CUDA-capable device is detected"),
    ({"starts": False}, "ONNX Runtime logged why"),
]


@pytest.mark.parametrize(("broken", "cause"), CAUSES)
def test_a_provider_that_does_not_start_is_no_silent_cpu(
    monkeypatch: pytest.MonkeyPatch, broken: dict[str, Any], cause: str, capsys: pytest.CaptureFixture[str]
) -> None:
    machine = Machine(monkeypatch, "cuda", **broken)
    with pytest.raises(OptionError, match=rf"CUDAExecutionProvider did not start \({cause}\)\. Expected an NVIDIA GPU"):
        OnnxSession(GRAPH, device="cuda")
    assert machine.providers == ["CUDAExecutionProvider"]
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(("broken", "cause"), CAUSES)
def test_auto_says_once_why_it_takes_the_cpu(
    monkeypatch: pytest.MonkeyPatch, broken: dict[str, Any], cause: str, capsys: pytest.CaptureFixture[str]
) -> None:
    machine = Machine(monkeypatch, "cuda", **broken)
    says = (
        rf"auto': CUDAExecutionProvider did not start \({cause}\), so the networks run on the CPU\. Expected .* driver"
    )
    with pytest.warns(MienWarning, match=says):
        network = OnnxSession(GRAPH)
    get_detector("yunet")  # a second warning would be an error
    assert network.logits(np.ones((1, 1, 16, 16), np.float32)).shape == (1, 7)
    assert machine.providers.count("CUDAExecutionProvider") == 2
    assert capsys.readouterr().out == ""


def test_a_missing_driver_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    Machine(monkeypatch, "cuda")
    monkeypatch.setattr(devices, "_missing_driver", lambda: ["libcuda.so.1"])
    assert devices._load_cuda() == "cannot load libcuda.so.1"


@pytest.mark.parametrize(("name", "most"), [("directml", 1), ("cuda", 4)])
def test_directml_takes_one_call_at_a_time(monkeypatch: pytest.MonkeyPatch, name: str, most: int) -> None:
    machine = Machine(monkeypatch, name)
    network, barrier = OnnxSession(GRAPH, device=name), threading.Barrier(4)
    batch = np.ones((1, 1, 16, 16), np.float32)

    def run(_: int) -> Any:
        barrier.wait()
        return network.logits(batch)

    with ThreadPoolExecutor(4) as pool:
        assert len({row.tobytes() for row in pool.map(run, range(4))}) == 1
    assert (machine.most == 1) is (most == 1)
    assert machine.opened[0][1].enable_mem_pattern is (name != "directml")


@pytest.mark.parametrize("verb", RECOGNISE)
def test_verbs_that_recognise_take_a_device(verb: str) -> None:
    if verb == "serve":
        pytest.importorskip("fastapi")
    parser, _ = load_verb(verb)
    assert "--device" in parser.format_help()
    assert verb in VERBS


def test_the_command_line_says_it_in_one_line(model: Path, examples: Path, capsys: pytest.CaptureFixture[str]) -> None:
    photo = str(examples / "astronaut.jpg")
    assert main(["predict", photo, "--model", str(model), "--device", "cuda"]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "pip install 'onnxruntime-gpu" in error
    assert main(["predict", photo, "--model", str(model), "--device", "cpu"]) == 0


def test_the_server_hands_its_device_on(monkeypatch: pytest.MonkeyPatch, model: Path) -> None:
    machine = Machine(monkeypatch, "openvino")
    settings = Settings.from_environment({"MIEN_DEVICE": "openvino", "MIEN_MODELS": str(model)})
    models = Models.load(settings)
    models.recognizer(None, None, 1)
    assert set(machine.providers) == {"OpenVINOExecutionProvider"}
    assert len(machine.opened) > 1


def test_one_call_takes_a_device(monkeypatch: pytest.MonkeyPatch, model: Path, examples: Path) -> None:
    machine = Machine(monkeypatch, "openvino")
    mien.predict(examples / "astronaut.jpg", model=str(model), device="openvino")
    assert set(machine.providers) == {"OpenVINOExecutionProvider"}


@pytest.mark.parametrize(("usable", "every", "expected"), [(3, 8, 3), (8, 8, 0), (1, 2, 1)])
def test_affinity_and_quota_bound_the_threads(
    monkeypatch: pytest.MonkeyPatch, usable: int, every: int, expected: int
) -> None:
    """0 leaves the number to ONNX Runtime, which takes the machine's."""
    monkeypatch.setattr(session, "usable_cores", lambda: usable)
    monkeypatch.setattr(session, "all_cores", lambda: every)
    machine = Machine(monkeypatch)
    OnnxSession(GRAPH)
    OnnxSession(GRAPH, 2)
    assert [options.intra_op_num_threads for _, options in machine.opened] == [expected, 2]


def test_threads_hold_for_the_detector(monkeypatch: pytest.MonkeyPatch, model: Path) -> None:
    machine = Machine(monkeypatch)
    mien.load(model, threads=2)
    assert [options.intra_op_num_threads for _, options in machine.opened] == [2, 2]


_BOUND = """
import os
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
import sys
from mien.recognition.session import OnnxSession
count = lambda: len(os.listdir("/proc/self/task"))
graph = sys.stdin.buffer.read()
alone = OnnxSession(graph, 1)
before = count()
network = OnnxSession(graph)
print(count() - before)
"""


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="needs Linux's affinity")
def test_a_process_bound_to_one_core_starts_no_threads() -> None:
    done = subprocess.run([sys.executable, "-c", _BOUND], input=GRAPH, capture_output=True, check=True)
    assert int(done.stdout) == 0
