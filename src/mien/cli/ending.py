"""Handle SIGTERM and SIGHUP, with which containers and services stop, like Ctrl-C."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import FrameType


@contextmanager
def ended_well() -> Iterator[None]:
    """Raise ``KeyboardInterrupt`` at SIGTERM or SIGHUP within the block, so that it closes its files.

    Ignored signals stay ignored, as ``nohup`` requires. Outside the main thread nothing changes.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    signals = [signal.SIGTERM, *([signal.SIGHUP] if hasattr(signal, "SIGHUP") else [])]
    before = {number: signal.getsignal(number) for number in signals}
    taken = [number for number, handler in before.items() if handler != signal.SIG_IGN]

    def end(_number: int, _frame: FrameType | None) -> None:
        for number in taken:  # a second signal must not interrupt the cleanup
            signal.signal(number, signal.SIG_IGN)
        raise KeyboardInterrupt

    for number in taken:
        signal.signal(number, end)
    try:
        yield
    finally:
        for number in taken:
            signal.signal(number, before[number] or signal.SIG_DFL)
