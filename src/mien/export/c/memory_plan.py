"""Memory planning: offsets of the maps in the scratch array of the C code."""

from __future__ import annotations

from collections.abc import Sequence

from mien.export.c.layers import IntegerNetwork, sources


def plan_memory(network: IntegerNetwork) -> tuple[dict[str, int], int]:
    """Return the maps' offsets in the scratch array, by name, and the array's size in bytes.

    Maps share memory if no layer needs both; the largest are placed first, each at the lowest free offset.
    """
    begin, end = {network.crop.name: 0}, {network.crop.name: 0}
    every = {network.crop.name: network.crop}
    for step, layer in enumerate(network.layers, 1):
        begin[layer.result.name], every[layer.result.name] = step, layer.result
        end |= {maps.name: step for maps in (*sources(layer), layer.result) if maps.values is None}
    end[network.logits.name] = len(network.layers) + 1
    placed: dict[str, int] = {}
    for maps in sorted(every.values(), key=lambda maps: -maps.size):
        beside = [
            (placed[other], placed[other] + every[other].size)
            for other in placed
            if begin[other] <= end[maps.name] and begin[maps.name] <= end[other]
        ]
        placed[maps.name] = _lowest(maps.size, sorted(beside))
    return placed, max(placed[name] + every[name].size for name in placed)


def _lowest(size: int, taken: Sequence[tuple[int, int]]) -> int:
    offset = 0
    for start, stop in taken:
        if offset + size <= start:
            break
        offset = max(offset, stop)
    return offset
