"""Where networks run: ONNX Runtime's execution providers by short names, and what to install for a missing one."""

from __future__ import annotations

import contextlib
import ctypes
import io
import os
import re
import threading
import warnings
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any

from mien.errors import MienWarning, MissingExtraError, OptionError, nearest

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

AUTO, CPU = "auto", "cpu"


@dataclass(frozen=True)
class Device:
    """An execution provider of ONNX Runtime.

    Attributes:
        provider: its name there.
        package: what to install instead of onnxruntime, '' for onnxruntime itself.
        options: its settings, such that results stay those of the CPU up to rounding.
        needs: what else the machine must have.
        serial: whether a session of it takes one call at a time.
    """

    provider: str
    package: str = ""
    options: Mapping[str, str] = field(default_factory=dict)
    needs: str = ""
    serial: bool = False

    def advise(self) -> str:
        """Return what to run where ONNX Runtime lacks the provider."""
        if not self.package:
            return f"Expected {self.needs or 'onnxruntime'}. Run: pip install --upgrade onnxruntime"
        return f"Expected {self.needs}. Run: pip uninstall onnxruntime && pip install {self.package}"


DEVICES: dict[str, Device] = {
    CPU: Device("CPUExecutionProvider"),
    # TF32 keeps 10 bits of a weight. Trying all algorithms would be repeated for each size of photo.
    "cuda": Device(
        "CUDAExecutionProvider",
        "'onnxruntime-gpu[cuda,cudnn]'",
        {"use_tf32": "0", "cudnn_conv_algo_search": "HEURISTIC"},
        "an NVIDIA GPU with its driver, CUDA and cuDNN",
    ),
    "coreml": Device("CoreMLExecutionProvider", needs="macOS"),
    "directml": Device("DmlExecutionProvider", "onnxruntime-directml", needs="Windows with DirectX 12", serial=True),
    "openvino": Device("OpenVINOExecutionProvider", "onnxruntime-openvino", needs="an Intel processor or GPU"),
}
"""Short name → provider."""

NAMES = (AUTO, *DEVICES)


def available() -> tuple[str, ...]:
    """Return the names whose providers the installed ONNX Runtime has; ``cpu`` is always among them."""
    import onnxruntime

    offered = onnxruntime.get_available_providers()
    return tuple(name for name, device in DEVICES.items() if device.provider in offered)


def resolve(name: str) -> str:
    """Return the name of the device that is meant: for ``auto`` ``cuda`` where it is available, else ``cpu``.

    CoreML comes with every ONNX Runtime for macOS, computes in half precision and takes a while to compile, so that
    ``auto`` leaves it alone; DirectML and OpenVINO are chosen by name for their own rounding.

    Raises:
        OptionError: no such name.
        MissingExtraError: the installed ONNX Runtime lacks the provider.
    """
    if name not in NAMES:
        raise OptionError(
            f"device = {name!r}: expected one of {', '.join(NAMES)}; available here: {', '.join(available())}."
            f"{nearest(str(name), NAMES)}"
        )
    offered = available()
    if name == AUTO:
        return "cuda" if "cuda" in offered else CPU
    if name not in offered:
        device = DEVICES[name]
        raise MissingExtraError(
            f"device = {name!r}: the installed ONNX Runtime has no {device.provider}; available here: "
            f"{', '.join(offered)}. {device.advise()}"
        )
    return name


def open_session(graph: bytes, options: Any, name: str) -> Any:
    """Open a graph on a device as ONNX Runtime's ``InferenceSession``.

    Args:
        graph: a serialised ONNX ``ModelProto``.
        options: ONNX Runtime's ``SessionOptions``; settings that the device needs are added.
        name: a device or ``auto``, which takes the CPU where CUDA is installed and does not start, with one
            ``MienWarning`` a process that says why.

    Raises:
        OptionError, MissingExtraError: as ``resolve``; also where the device's provider does not start.
    """
    resolved = resolve(name)
    device = DEVICES[resolved]
    if device.serial:
        options.enable_mem_pattern = False  # DirectML refuses it
    session, reason = _start(graph, options, device)
    if reason:
        _report(name, device, reason)
    session = session or _start(graph, options, DEVICES[CPU])[0]
    # ONNX Runtime would otherwise answer an error of the device by running on the CPU without a word.
    session.disable_fallback()
    return _Serial(session) if device.serial else session


def _start(graph: bytes, options: Any, device: Device) -> tuple[Any, str]:
    """Open a graph on a device; return the session, None if there is none, and why the device did not start, or ''.

    Where the provider's library cannot be loaded, ONNX Runtime logs it and returns a session on the CPU; where the
    library finds no device, it raises, or prints to stdout if it may fall back.
    """
    import onnxruntime

    cpu = DEVICES[CPU].provider
    if device.provider == cpu:
        return onnxruntime.InferenceSession(graph, options, providers=[cpu], enable_fallback=0), ""
    with _lock:
        missing = _load_cuda() if device is DEVICES["cuda"] else ""
    providers = [(device.provider, dict(device.options)), cpu]
    try:
        session = onnxruntime.InferenceSession(graph, options, providers=providers, enable_fallback=0)
    except (ValueError, RuntimeError) as error:  # those that ONNX Runtime itself falls back on
        return None, _shorten(str(error))
    started = device.provider in session.get_providers()
    return session, "" if started else missing or "ONNX Runtime logged why"


def _report(name: str, device: Device, reason: str) -> None:
    """Raise ``OptionError`` for a device that was asked for and did not start; for ``auto`` warn, once a process."""
    cause = f"{device.provider} did not start ({reason})"
    if name != AUTO:
        raise OptionError(
            f"device = {name!r}: {cause}. Expected {device.needs}. Install what is missing, or choose the device cpu."
        )
    with _lock:
        known = cause in _warned
        _warned.add(cause)
    if not known:
        warnings.warn(
            f"device = 'auto': {cause}, so the networks run on the CPU. Expected {device.needs}. Install what is "
            "missing, or choose the device cpu to run without this warning.",
            MienWarning,
            stacklevel=3,
        )


def _shorten(message: str) -> str:
    """Return the reason in an error of ONNX Runtime: CUDA's own words, without source lines and the host's name."""
    failure = re.search(r"(?:CUDA|CUDNN|CUBLAS)\w* failure [^;]+", message)
    return (failure[0] if failure else " ".join(message.split())[:200]).strip()


_lock = threading.Lock()
_warned: set[str] = set()


@cache
def _load_cuda() -> str:
    """Load CUDA and cuDNN from their wheels; return what is missing of the driver and of them, or ''.

    ONNX Runtime looks for them on the system's path only, and so does not see what ``onnxruntime-gpu[cuda,cudnn]``
    installs. Once a process; under ``_lock``, as it takes stdout for a moment.
    """
    import onnxruntime

    printed = io.StringIO()  # the only way in which preload_dlls names what it lacks
    with contextlib.redirect_stdout(printed):
        getattr(onnxruntime, "preload_dlls", lambda: None)()  # from ONNX Runtime 1.21 on
    absent = [*_missing_driver(), *re.findall(r"Failed to load ([^\s:]+)", printed.getvalue())]
    return f"cannot load {', '.join(absent)}" if absent else ""


def _missing_driver() -> list[str]:
    """Return the name of the NVIDIA driver's library if it cannot be loaded."""
    library = "nvcuda.dll" if os.name == "nt" else "libcuda.so.1"
    try:
        ctypes.CDLL(library)
    except OSError:
        return [library]
    return []


class _Serial:
    """A session whose provider takes one call at a time; called by several threads, they wait for each other."""

    def __init__(self, session: Any) -> None:
        self._session, self._lock = session, threading.Lock()
        self.get_inputs, self.get_outputs = session.get_inputs, session.get_outputs
        self.get_providers = session.get_providers

    def run(self, names: Sequence[str], inputs: Mapping[str, Any], options: Any = None) -> Any:
        """Run as ``InferenceSession.run``."""
        with self._lock:
            return self._session.run(names, inputs, options)
