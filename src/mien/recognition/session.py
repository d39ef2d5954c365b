"""Run a network: the one place that knows ONNX Runtime."""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from functools import cache, partial
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from mien.cores import all_cores, usable_cores
from mien.errors import ModelError, OptionError, OutOfMemoryError
from mien.recognition import devices, memory
from mien.recognition.model_files import graph as graphs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

RUN_LIMIT = 600.0
"""Seconds that a network may take for a batch in the main thread."""


class Session(Protocol):
    """Anything that turns a batch of network inputs into logits."""

    def logits(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        """Map float32 (N, channels, size, size) to float32 (N, C)."""
        ...


class OnnxSession:
    """A network on ONNX Runtime; safe to use from several threads at once.

    Args:
        graph: a serialised ONNX ``ModelProto`` with input ``crops`` and output ``logits``.
        threads: CPU threads for one batch; None: the cores that the process may use.
        device: where it runs, see ``devices``.
        inputs: the (channels, height, width) and ``classes`` the number of outputs that the caller expects; checked.

    Raises:
        ModelError: the graph cannot be loaded or is not of that form.
    """

    def __init__(
        self,
        graph: bytes,
        threads: int | None = None,
        *,
        inputs: tuple[int, int, int] | None = None,
        classes: int | None = None,
        device: str = devices.AUTO,
    ) -> None:
        if threads is not None and threads < 1:
            raise OptionError(f"threads = {threads}: expected at least 1, or None for all cores.")
        graphs.check(graph)
        self._made_of = partial(OnnxSession, graph, threads, inputs=inputs, classes=classes, device=device)
        self._session = open_graph(graph, threads, device)
        with _reading_names():
            _check_names(self._session)
            expected = None if inputs is None else (None, *inputs)
            _check_shape("crops", self._session.get_inputs()[0], expected, 4)
            output = self._session.get_outputs()[0]
            _check_shape("logits", output, None if classes is None else (None, classes), 2)
        self._classes = output.shape[1] if isinstance(output.shape[1], int) else classes

    def __reduce__(self) -> tuple[Callable[[], OnnxSession], tuple[()]]:
        """Pickle and copy as what it is made of: a process that is handed a session loads the graph itself."""
        return self._made_of, ()

    def logits(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        """Map float32 (N, channels, size, size) to float32 (N, C); an empty batch to (0, C).

        Raises:
            ModelError: the batch has another shape, or the graph answers with one.
        """
        if len(batch) == 0 and self._classes is not None:
            return np.empty((0, self._classes), np.float32)
        return _answers(self._session, "logits", "crops", batch, self._classes)


class ForeignSession:
    """A network that Mien did not export, of which someone has written down what it takes and what it answers.

    Args:
        graph: a serialised ONNX ``ModelProto`` with one input, float32 (N, channels, size, size); N may be fixed to 1.
        inputs: the (channels, height, width) that it is said to take, and ``classes`` the number of its answers.
        output: the name of the output that holds them, float32 (N, C); '' where there is only one.
        probabilities: the answers are probabilities; their logarithm is then given as logits.

    Raises:
        ModelError: the graph cannot be loaded or is not of that form.
    """

    def __init__(
        self,
        graph: bytes,
        threads: int | None = None,
        *,
        inputs: tuple[int, int, int],
        classes: int,
        output: str = "",
        probabilities: bool = False,
        device: str = devices.AUTO,
    ) -> None:
        graphs.check(graph, loops=True)
        settings = {"inputs": inputs, "classes": classes, "output": output, "probabilities": probabilities}
        self._made_of = partial(ForeignSession, graph, threads, device=device, **settings)  # type: ignore[arg-type]
        self._session, self._classes, self._probabilities = open_graph(graph, threads, device), classes, probabilities
        with _reading_names():
            self._find(inputs, classes, output)

    def _find(self, inputs: tuple[int, int, int], classes: int, output: str) -> None:
        """Find the input and the output by their names and shapes."""
        nodes, outputs = self._session.get_inputs(), [node.name for node in self._session.get_outputs()]
        if len(nodes) != 1 or (output not in outputs if output else len(outputs) != 1):
            raise ModelError(
                f"The graph has {len(nodes)} inputs and the outputs {', '.join(outputs)}: expected one input, and "
                f"{f'an output {output!r}' if output else 'one output'}. Name the output in the adapter: output = NAME."
            )
        self._input, self._output = nodes[0].name, output or outputs[0]
        _check_shape(self._input, nodes[0], (None, *inputs), 4)
        _check_shape(self._output, self._session.get_outputs()[outputs.index(self._output)], (None, classes), 2)
        self._one_by_one = nodes[0].shape[0] == 1

    def __reduce__(self) -> tuple[Callable[[], ForeignSession], tuple[()]]:
        """Pickle and copy as what it is made of, as ``OnnxSession`` does."""
        return self._made_of, ()

    def logits(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        """Map float32 (N, channels, size, size) to float32 (N, C).

        Raises:
            ModelError: as ``OnnxSession.logits``.
        """
        step = 1 if self._one_by_one else max(len(batch), 1)
        parts = [batch[start : start + step] for start in range(0, len(batch), step)]
        outputs = [_answers(self._session, self._output, self._input, part, self._classes) for part in parts]
        answers = np.concatenate([np.empty((0, self._classes), np.float32), *outputs])
        # The smallest float32 stands for a probability of 0, whose logarithm no temperature could divide.
        return np.log(np.maximum(answers, np.finfo(np.float32).tiny)) if self._probabilities else answers


def _answers(
    session: Any, output: str, given: str, batch: NDArray[np.float32], classes: int | None
) -> NDArray[np.float32]:
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    failures = (state.InvalidArgument, state.RuntimeException, state.Fail, state.EPFail, state.NotImplemented)
    try:
        logits = np.asarray(_run(session, output, {given: batch}))
    except (*failures, UnicodeDecodeError) as error:
        if memory.is_lack(error):
            raise OutOfMemoryError(f"No memory left for a batch of shape {batch.shape}. Give it fewer faces.") from None
        raise ModelError(f"The model cannot run on a batch of shape {batch.shape}: {error}.") from None
    if logits.shape != (len(batch), classes or logits.shape[-1]) or logits.dtype != np.float32:
        raise ModelError(
            f"The model answered {logits.dtype} {logits.shape} to {len(batch)} faces: expected float32 "
            f"({len(batch)}, {classes or 'classes'}). Export the model again."
        )
    if not np.isfinite(logits).all():
        raise ModelError(
            f"The model answered {np.count_nonzero(~np.isfinite(logits))} of {logits.size} values that are not finite: "
            "its weights are damaged or overflow. Train or export the model again."
        )
    return logits


def _run(session: Any, output: str, given: dict[str, NDArray[np.float32]]) -> Any:
    """Run the network; Ctrl-C and ``RUN_LIMIT`` end it at its next operator.

    ONNX Runtime does not return to Python in between, so that in the main thread, the only one that Ctrl-C reaches, it
    runs in another thread: 0.3 ms a batch. In a new thread for each batch it took up to 2 ms.
    """
    if threading.current_thread() is not threading.main_thread():
        return session.run([output], given)[0]
    import onnxruntime

    options = onnxruntime.RunOptions()
    running = _runner(os.getpid()).submit(session.run, [output], given, options)
    try:
        return running.result(RUN_LIMIT)[0]
    except TimeoutError:
        raise ModelError(f"The model took more than {RUN_LIMIT:g} s. Give it fewer faces at once.") from None
    finally:
        options.terminate = True
        wait((running,))


@cache
def _runner(_: int) -> ThreadPoolExecutor:
    """Return the thread that runs networks for the main thread of this process: threads do not survive a fork."""
    return ThreadPoolExecutor(1, "mien-run")


def open_graph(graph: bytes, threads: int | None, device: str = devices.AUTO) -> Any:
    """Open a serialised ONNX ``ModelProto`` as ONNX Runtime's ``InferenceSession``.

    Args:
        graph: self-contained; see ``graph.check`` for files of strangers.
        threads: CPU threads; None: the cores that the process may use.
        device: see ``devices``.

    Raises:
        ModelError: ONNX Runtime cannot load it.
        OptionError: unknown device, or one that does not start.
        MissingExtraError: the device's provider is not installed.
    """
    import onnxruntime
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # warnings concern graph optimisation, which no user can act upon
    # Waiting threads would otherwise spin on the cores that detection and decoding need in the meantime.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if threads is None and usable_cores() < all_cores():
        threads = usable_cores()  # ONNX Runtime would count the whole machine, and leave the cores it is bound to
    if threads is not None:
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
    unusable = (state.InvalidProtobuf, state.InvalidGraph, state.NotImplemented, state.InvalidArgument)
    try:
        return devices.open_session(graph, options, device)
    except (*unusable, state.Fail, state.EPFail, state.RuntimeException, UnicodeDecodeError) as error:
        advice = "Export the model again" if device in (devices.AUTO, devices.CPU) else "Choose the device cpu"
        raise ModelError(f"ONNX Runtime cannot load the model: {error}. {advice}.") from None


@contextmanager
def _reading_names() -> Iterator[None]:
    """Raise ``ModelError`` for names that ONNX Runtime cannot turn into text; it accepts any bytes."""
    try:
        yield
    except UnicodeDecodeError as error:
        raise ModelError(f"The graph has names that are not UTF-8 ({error}). Export the model again.") from None


def _check_names(session: Any) -> None:
    names = [[node.name for node in nodes] for nodes in (session.get_inputs(), session.get_outputs())]
    if names != [["crops"], ["logits"]]:
        raise ModelError(
            f"The graph has inputs {names[0]} and outputs {names[1]}: expected one input 'crops' and one output "
            "'logits'. Export the model with Mien."
        )


def _check_shape(name: str, node: Any, expected: tuple[int | None, ...] | None, rank: int) -> None:
    """Compare the sizes that are fixed on both sides; a named (dynamic) size agrees with all."""
    shape = tuple(node.shape)
    sizes = zip(shape, expected or (), strict=False)
    differs = any(isinstance(have, int) and want is not None and have != want for have, want in sizes)
    if len(shape) != rank or differs or node.type != "tensor(float)":
        raise ModelError(
            f"The graph's {name!r} is {node.type} {shape}: expected tensor(float) {expected or f'of rank {rank}'} "
            "(None is free). The description and the graph do not belong together; export the model again."
        )
