"""Servers around a small network, and small photos."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from support import gradient, noise

if TYPE_CHECKING:
    import httpx

    from mien.recognition.recognizer import Recognizer

    Serve = Callable[..., str]

collect_ignore_glob = [] if find_spec("fastapi") and find_spec("httpx") else ["test_*.py", "middleware/*"]
"""Nothing here can be imported without the extra ``serve``."""


@pytest.fixture(scope="session")
def recognizer(model: Path) -> Recognizer:
    from serving import Quarters

    from mien.recognition.recognizer import load

    return load(model, detector=Quarters(), threads=1)


@pytest.fixture
def serve(recognizer: Recognizer) -> Iterator[Serve]:
    """Start servers with the settings given; all are stopped at the end."""
    from serving import serving

    from mien.web.settings import Settings

    with ExitStack() as stack:
        yield lambda given=None, **values: stack.enter_context(
            serving(Settings(**{"threads": 2, "log_level": "error", **values}), given or recognizer)
        )


@pytest.fixture(scope="session")
def address(recognizer: Recognizer) -> Iterator[str]:
    """One server with the default limits, for all tests that do not change them."""
    from serving import serving

    from mien.web.settings import Settings

    with serving(Settings(threads=2, log_level="error"), recognizer) as found:
        yield found


@pytest.fixture
def client(address: str) -> Iterator[httpx.Client]:
    import httpx

    with httpx.Client(base_url=address, timeout=30) as found:
        yield found


@pytest.fixture(scope="session")
def photo() -> bytes:
    from serving import encoded

    return encoded(noise(40, 60))


@pytest.fixture(scope="session")
def smooth() -> bytes:
    from serving import encoded

    return encoded(gradient(40, 60))


@pytest.fixture(scope="session")
def nobody() -> bytes:
    from serving import encoded

    return encoded(np.zeros((40, 60, 3), np.uint8))
