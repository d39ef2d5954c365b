"""The rectangle around a face: as the detector gives it, as whole pixels, as a slice of an array."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import NamedTuple


class Edges(NamedTuple):
    """The edges of a box in whole pixels; ``right`` and ``bottom`` are the first column and row outside."""

    left: int
    top: int
    right: int
    bottom: int


class Extent(NamedTuple):
    """The upper left corner and the size of a box in whole pixels."""

    x: int
    y: int
    width: int
    height: int


@dataclass(frozen=True)
class Box:
    """A rectangle in pixels of the upright picture; it may lie partly outside."""

    left: float
    top: float
    width: float
    height: float

    @property
    def right(self) -> float:
        """The right edge."""
        return self.left + self.width

    @property
    def bottom(self) -> float:
        """The lower edge."""
        return self.top + self.height

    @property
    def xyxy(self) -> Edges:
        """The edges in whole pixels: ``left``, ``top``, ``right``, ``bottom``; below 0 outside the picture."""
        return Edges(round(self.left), round(self.top), round(self.right), round(self.bottom))

    @property
    def xywh(self) -> Extent:
        """Upper left corner and size in whole pixels, with the edges of ``xyxy``."""
        left, top, right, bottom = self.xyxy
        return Extent(left, top, right - left, bottom - top)

    @property
    def slices(self) -> tuple[slice, slice]:
        """Rows and columns: ``pixels[box.slices]`` is the part of a box that lies in the picture."""
        left, top, right, bottom = (max(edge, 0) for edge in self.xyxy)
        return slice(top, bottom), slice(left, right)

    def scaled(self, factor: float) -> Box:
        """Return the same box in a picture that is ``factor`` times as large."""
        return Box(self.left * factor, self.top * factor, self.width * factor, self.height * factor)

    def to_dict(self) -> dict[str, float]:
        """Return ``{"left", "top", "width", "height"}``."""
        return asdict(self)
