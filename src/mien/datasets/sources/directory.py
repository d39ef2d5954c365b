"""The member table of an archive: sorted names with two integers each, in flat buffers."""

from __future__ import annotations

from array import array
from collections.abc import Iterator

import numpy as np

from mien.datasets.arrow import pa, pc

_WIDTH = 2
_CHUNK = 2048


class Directory:
    """``add`` every member, ``freeze``, then iterate and look up. 300,000 members take about 20 MB."""

    def __init__(self) -> None:
        self._text, self._ends = bytearray(), array("i", [0])
        self._values = array("q")
        self._near: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._names)

    def add(self, name: str, *numbers: int) -> None:
        """Append one member with up to two integers."""
        # Tars allow names that are not valid Unicode; their invalid bytes are escaped.
        self._text += name.encode("utf-8", "backslashreplace")
        self._ends.append(len(self._text))
        self._values.extend((*numbers, 0, 0)[:_WIDTH])

    def freeze(self, *, order: bool = False) -> list[str]:
        """Sort by name, drop repeated names and return them.

        Args:
            order: iterate in the order of the first integer, the position in the archive, instead of by name.
        """
        # Arrow uses the filled buffers themselves: a copy would double peak memory.
        names = pa.StringArray.from_buffers(len(self._ends) - 1, pa.py_buffer(self._ends), pa.py_buffer(self._text))
        rank = pc.sort_indices(names).to_numpy()  # stable, and byte order of UTF-8 is Python's order of str
        # Each table is sorted and freed before the next: memory peaks here.
        numbers = np.frombuffer(self._values, np.int64).reshape(-1, _WIDTH)[rank]
        self._values = array("q")
        names = names.take(pa.array(rank))
        self._text, self._ends = bytearray(), array("i", [0])
        again = np.concatenate([[False], pc.equal(names[1:], names[:-1]).to_numpy(zero_copy_only=False)])[: len(rank)]
        repeated = names.filter(pa.array(again)).to_pylist()
        self._names, self._numbers = (names.filter(pa.array(~again)), numbers[~again]) if repeated else (names, numbers)
        self._order = np.argsort(self._numbers[:, 0], kind="stable") if order else None
        pa.default_memory_pool().release_unused()
        return repeated  # type: ignore[no-any-return]

    def __iter__(self) -> Iterator[str]:
        for start in range(0, len(self._names), _CHUNK):
            indices = np.arange(start, min(start + _CHUNK, len(self._names)))
            indices = indices if self._order is None else self._order[indices]
            names = self._names.take(pa.array(indices)).to_pylist()
            # Content is nearly always requested in iteration order: remember this chunk's indices.
            self._near = dict(zip(names, indices.tolist(), strict=True))
            yield from names

    def find(self, name: str) -> int:
        """Return the index of a name, -1 if there is none."""
        near = self._near.get(name)
        if near is not None:
            return near
        low, high = 0, len(self._names)
        while low < high:
            middle = (low + high) // 2
            if self._names[middle].as_py() < name:
                low = middle + 1
            else:
                high = middle
        return low if low < len(self._names) and self._names[low].as_py() == name else -1

    def numbers(self, index: int) -> list[int]:
        """Return the two integers of the member at an index."""
        return self._numbers[index].tolist()  # type: ignore[no-any-return]
