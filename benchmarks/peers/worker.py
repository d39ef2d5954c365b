"""The loop in which a Python peer is asked; runs in the peer's environment, on NumPy and the standard library alone.

    python worker.py peer_fer.py [OPTION …]             answers JSON lines on stdin, one for one, on stdout
    python worker.py peer_fer.py --photo FILE [OPTION …]   reads one photo and ends: the cold start
    python worker.py peer_fer.py --imports [OPTION …]      imports the library and ends

A peer's file has ``CLASSES``, the peer's words for the scores it gives, in order; ``imports(options)``, which imports
the library and returns its version; and ``load(options)``, which returns an object with ``crops(faces)``: list of
uint8 (48, 48) grey arrays → list of rows of scores, and ``photo(path)`` → row of the largest face, or None without one.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import time
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import numpy as np


class Loop:
    """One peer that is asked."""

    def __init__(self, peer: Any, options: list[str]) -> None:
        self.peer, self.options = peer, options
        self.reader: Any = None
        self.faces: list[Any] = []

    def imports(self) -> dict[str, Any]:
        """Import the library."""
        return {"version": self.peer.imports(self.options)}

    def load(self) -> dict[str, Any]:
        """Load the network."""
        self.reader = self.peer.load(self.options)
        return {"classes": list(self.peer.CLASSES)}

    def crops(self, file: str) -> dict[str, Any]:
        """Answer to all crops of an .npy file, 64 at a time; they stay for ``time``."""
        self.faces = list(np.load(file))
        rows = []
        for start in range(0, len(self.faces), 64):
            rows += [list(map(float, row)) for row in self.reader.crops(self.faces[start : start + 64])]
        return {"rows": rows}

    def photos(self, paths: list[str]) -> dict[str, Any]:
        """Answer to photos, one by one."""
        rows = [self.reader.photo(path) for path in paths]
        return {"rows": [None if row is None else list(map(float, row)) for row in rows]}

    def time(self, batch: int, seconds: float) -> dict[str, Any]:
        """Time crops in batches, batch after batch over all that there are; the median of one call."""
        faces = self.faces * -(-batch // len(self.faces))  # again from the first where there are too few
        batches = [faces[start : start + batch] for start in range(0, len(faces) - batch + 1, batch)]
        return {"seconds": _median([lambda faces=faces: self.reader.crops(faces) for faces in batches], seconds)}

    def time_photos(self, paths: list[str], seconds: float) -> dict[str, Any]:
        """Time photos from the file on; the median of one."""
        return {"seconds": _median([lambda path=path: self.reader.photo(path) for path in paths], seconds)}

    def memory(self) -> dict[str, Any]:
        """Return the most memory held so far in bytes, None where the system does not tell it of this process alone."""
        status = Path("/proc/self/status")
        if not status.exists():
            return {"bytes": None}
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return {"bytes": int(line.split()[1]) * 1024}


def _median(calls: list[Any], budget: float) -> float:
    calls[0]()
    taken: list[float] = []
    while not taken or sum(taken) < budget:
        begun = time.perf_counter()
        calls[len(taken) % len(calls)]()
        taken.append(time.perf_counter() - begun)
    return statistics.median(taken)


def main() -> None:
    """Be one peer's worker."""
    file, *words = sys.argv[1:]
    spec = spec_from_file_location("peer", Path(__file__).with_name(file))
    assert spec is not None
    assert spec.loader is not None
    peer = module_from_spec(spec)
    spec.loader.exec_module(peer)
    if words[:1] == ["--imports"]:
        peer.imports(words[1:])
        return
    if words[:1] == ["--photo"]:
        peer.imports(words[2:])
        print(peer.load(words[2:]).photo(words[1]))
        return
    answer_lines(Loop(peer, words))


def answer_lines(loop: Loop) -> None:
    """Answer each line ``{"do": …}`` with a line; an exception is answered as its text."""
    channel = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # libraries print what they like; the lines stay clean
    for line in sys.stdin:
        asked = json.loads(line)
        try:
            found = getattr(loop, asked.pop("do"))(**asked)
        except Exception as error:  # noqa: BLE001 - whatever a peer raises is the result of asking it
            found = {"error": f"{type(error).__name__}: {error}"}
        channel.write(json.dumps(found) + "\n")
        channel.flush()


if __name__ == "__main__":
    main()
