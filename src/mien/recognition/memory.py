"""Memory that an engine could not get, said as what it is: the photo at hand may be whole, and the model too."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from mien.errors import OutOfMemoryError

_NO_MEMORY = -4
"""OpenCV's error code ``StsNoMem``."""

_SAID = ("Failed to allocate memory", "bad_alloc", "bad allocation")
"""What ONNX Runtime and the C++ library write where memory is lacking."""


def is_lack(error: Exception) -> bool:
    """Tell whether an error of OpenCV or ONNX Runtime is of lacking memory; neither raises ``MemoryError``."""
    return getattr(error, "code", None) == _NO_MEMORY or any(words in str(error) for words in _SAID)


@contextmanager
def named(what: str) -> Iterator[None]:
    """Raise ``OutOfMemoryError`` in place of an engine's error of lacking memory within the block.

    Args:
        what: was being done, such as ``"to find faces"``.
    """
    try:
        yield
    except _engine_errors() as error:
        if not is_lack(error):
            raise
        raise OutOfMemoryError(f"No memory left {what}. Read fewer or smaller pictures at once.") from error


def _engine_errors() -> tuple[type[Exception], ...]:
    import cv2
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    return cv2.error, state.Fail, state.RuntimeException
