"""The referee: one process a peer that stays, asked in turns with all others; one answer at a time."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from peers.catalogue import Peer
from peers.environments import Made


class PeerError(Exception):
    """A peer that does not answer, in its own words."""


class Worker:
    """A peer's process: JSON lines in, JSON lines out, everything else into a log beside its environment.

    home: the peer's home folder, so that what it fetches or keeps touches nobody else's.
    """

    def __init__(self, peer: Peer, made: Made, log: Path) -> None:
        self.peer = peer
        self._log, self._home = log, str(made.folder / "home")
        self._process: subprocess.Popen[str] | None = None
        if made.failure:
            raise PeerError(f"not installed: {made.failure}")
        with log.open("w", encoding="utf-8") as errors:
            self._process = subprocess.Popen(
                made.command(peer), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True,
                env=surroundings(made),
            )  # fmt: skip

    def ask(self, what: str, **given: Any) -> dict[str, Any]:
        """Ask and wait. Raises ``PeerError`` with the peer's message, or with how its process ended."""
        process = self._process
        assert process is not None
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(json.dumps({"do": what, **given}) + "\n")
            process.stdin.flush()
            line = process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            raise PeerError(self._ended())
        found: dict[str, Any] = json.loads(line)
        if "error" in found:
            raise PeerError(_plain(str(found["error"]).replace(self._home, "~")))
        return found

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()

    def _ended(self) -> str:
        assert self._process is not None
        code = self._process.wait()
        how = f"signal {signal.Signals(-code).name}" if code < 0 else f"code {code}"
        lines = [line for line in self._log.read_text("utf-8", "replace").splitlines() if line.strip()]
        return f"its process ended with {how}: {_plain(lines[-1]) if lines else 'without a word'}"


def _plain(text: str) -> str:
    """Return the text in one line, without the little pictures that some peers put into their messages."""
    return " ".join(text.encode("ascii", "ignore").decode().split())


def surroundings(made: Made) -> Mapping[str, str]:
    """Return the environment variables of a peer's processes."""
    home = made.folder / "home"
    home.mkdir(exist_ok=True)
    left_out = ("PYTHONPATH", "PYTHONDONTWRITEBYTECODE", "OMP_NUM_THREADS")
    kept = {name: value for name, value in os.environ.items() if name not in left_out}
    return {**kept, "HOME": str(home), "USERPROFILE": str(home)}


def cold_command(peer: Peer, made: Made, photo: Path) -> Sequence[str]:
    """Return the whole process that reads one photo: Mien's own command, the worker's file for the others."""
    if peer.environment.name == "mien":
        return [made.script("mien"), "predict", str(photo), "--model", peer.options[0]]
    return made.command(peer, "--photo", str(photo))
