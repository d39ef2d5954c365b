"""Measure whole processes: wall time and peak memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mien.errors import MienError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

# Linux attributes the memory of the parent to the child on fork, so a small launcher starts the measured process.
_LAUNCHER = """
import json, subprocess, sys, time
begun = time.perf_counter()
done = subprocess.run(sys.argv[1:], stdin=subprocess.DEVNULL, capture_output=True)
seconds = time.perf_counter() - begun
try:
    import resource
    memory = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
except ImportError:
    memory = None
text = [part.decode("utf-8", "replace") for part in (done.stdout, done.stderr)]
print(json.dumps([seconds, memory, done.returncode, *text]))
"""


@dataclass(frozen=True)
class Whole:
    """A finished process: wall time in seconds, peak resident memory in bytes (None on Windows), and its output."""

    seconds: float
    memory: int | None
    code: int
    output: str
    errors: str


def run(command: Sequence[str], environment: Mapping[str, str] | None = None) -> Whole:
    """Run ``command`` as a process without stdin; any exit code is a result.

    Raises:
        MienError: it cannot start.
    """
    # Write bytecode, as an installed package has it: compile once, not at every start.
    variables = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    launch = [sys.executable, "-I", "-S", "-c", _LAUNCHER, *command]
    done = subprocess.run(
        launch, env={**variables, **(environment or {})}, capture_output=True, text=True, encoding="utf-8", check=False
    )
    if done.returncode:
        raise MienError(f"Cannot start {command[0]!r}: {done.stderr.strip().splitlines()[-1]}. Check that it exists.")
    return Whole(*json.loads(done.stdout))


def succeed(command: Sequence[str], environment: Mapping[str, str] | None = None) -> Whole:
    """Run ``command`` as ``run`` does.

    Raises:
        MienError: with the end of its error output if it fails.
    """
    whole = run(command, environment)
    if whole.code:
        raise MienError(f"{' '.join(command[:4])} … exited with code {whole.code}: {whole.errors.strip()[-500:]}")
    return whole
