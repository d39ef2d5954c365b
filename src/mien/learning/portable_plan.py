"""Where maps lie in the scratch array of the C code."""

from __future__ import annotations

from collections.abc import Sequence

from mien.learning.portable_layers import IntegerNetwork, sources


def planned(network: IntegerNetwork) -> tuple[dict[str, int], int]:
    """Return where in the scratch array each maps begin, by name, and its size in bytes.

    Maps share memory when no layer needs both; the largest are placed first, each as low as it fits.
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
    place = 0
    for start, stop in taken:
        if place + size <= start:
            break
        place = max(place, stop)
    return place
