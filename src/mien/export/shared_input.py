"""The input that several networks share, and how each one's own input is derived from it inside the graph."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from mien.errors import ModelError
from mien.export.nodes import Nodes, normalise, shrink, to_grey
from mien.preprocess import PreprocessSpec


def share(specs: Mapping[str, PreprocessSpec]) -> PreprocessSpec:
    """Return the preprocessing whose output all networks can be fed from.

    Equal preprocessing is shared as it is. Networks that take the same pixels with other values share the pixels.
    Otherwise they share the pixels of the largest size, in colour if any network takes colour.

    Args:
        specs: name of a network → its preprocessing; at least one.

    Raises:
        ModelError: one network's pixels cannot be derived from the others'.
    """
    first, *others = specs.values()
    if all(spec == first for spec in others):
        return first
    if len({_pixels(spec) for spec in specs.values()}) > 1:
        _check_derivable(specs)
    grey = all(spec.grey for spec in specs.values())
    size = max(spec.size for spec in specs.values())
    raw = {"scale": 1.0, "standardise": "none", "mean": 0.0, "std": 1.0}
    return replace(first, grey=grey, size=size, channels=1 if grey else 3, **raw)  # type: ignore[arg-type]


def _pixels(spec: PreprocessSpec) -> tuple[object, ...]:
    """Return what decides on the pixels, in contrast to what is computed from their values."""
    equalised = (spec.clahe_clip, spec.clahe_tiles) if spec.clahe else None
    return spec.grey, equalised, spec.size, spec.interpolation


def _check_derivable(specs: Mapping[str, PreprocessSpec]) -> None:
    advice = "Give models of the same preprocessing (mien models NAME --json shows it)."
    equalised = [name for name, spec in specs.items() if spec.clahe]
    if equalised:
        raise ModelError(
            f"{', '.join(equalised)} equalises crops before they are resized (CLAHE), and the others take other "
            f"pixels: one cannot be derived from the other. {advice}"
        )
    sampled = [f"{name} ({spec.interpolation})" for name, spec in specs.items() if spec.interpolation != "area"]
    sizes = {spec.size for spec in specs.values()}
    if sampled and (len(sizes) > 1 or len({spec.interpolation for spec in specs.values()}) > 1):
        raise ModelError(
            f"{', '.join(sampled)} resizes crops without averaging, and the others take pixels of another size or "
            f"interpolation: expected preprocess.interpolation = 'area' of all where they differ. {advice}"
        )


def derive(nodes: Nodes, shared: PreprocessSpec, own: PreprocessSpec, given: str) -> str:
    """Add the nodes from the shared input to a network's own; return the name of that tensor.

    Args:
        nodes: takes the nodes.
        shared: what ``share`` returned.
        own: the network's preprocessing.
        given: the name of the shared input, float32 (N, channels, size, size).
    """
    if own == shared:
        return nodes.add("Identity", given)
    planes = to_grey(nodes, given) if own.grey and not shared.grey else given
    if own.size != shared.size:
        planes = shrink(nodes, planes, shared.size, own.size)
    return normalise(nodes, own, planes)


def describe(shared: PreprocessSpec, own: PreprocessSpec) -> str:
    """Return how a network's pixels are derived, such as ``in grey, shrunk to 48×48``; "" where they are shared."""
    colour = "in grey" if own.grey and not shared.grey else ""
    size = f"shrunk to {own.size}×{own.size}" if own.size != shared.size else ""
    return ", ".join(filter(None, (colour, size)))
