"""The tables of an audit, as words: the terminal, the page and ``audit.md`` show the same ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mien.evaluation import markdown
from mien.evaluation.audit import Audit, Robustness
from mien.evaluation.corruptions import SEVERITIES, described
from mien.evaluation.slices import Slice, Slicing

MARK = "too few"
"""Beside a slice that is shown and not judged."""


@dataclass(frozen=True)
class Table:
    """head: the columns.  rows: as many cells each.  told: a sentence under it, or ''."""

    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    told: str = ""

    def markdown(self) -> str:
        """Return a headed Markdown table."""
        lines = [f"## {self.title}", "", *markdown.table(self.head, self.rows), ""]
        return "\n".join([*lines, *([self.told, ""] if self.told else [])])


def share(value: float) -> str:
    """Return a share as a table says it."""
    return f"{value:.1%}"


def points(difference: float) -> str:
    """Return a difference of two shares in percentage points."""
    return f"{100 * difference:.1f} points"


def interval(low_high: Sequence[float]) -> str:
    """Return an interval of shares."""
    return f"{low_high[0]:.1%} – {low_high[1]:.1%}"


def p_value(value: float) -> str:
    """Return a p-value; below a thousandth only that it is."""
    return f"{value:.3f}" if value >= 0.001 else "< 0.001"


def slice_tables(found: Audit) -> list[Table]:
    """Return the table of the tests, then one for each slicing."""
    return [contrasts(found.slicings), *(of_slicing(each) for each in found.slicings)]


def contrasts(slicings: Sequence[Slicing]) -> Table:
    """Return whether the slices of each slicing differ."""
    rows = tuple(_contrast(each) for each in slicings)
    told = (
        "p: how often chance alone makes slices so unequal, all of them and not only the two named; Holm's correction "
        "over the rows. Slices with too few faces, and those of faces of which nothing is known, are not tested."
    )
    return Table("Do slices differ?", ("by", "best", "worst", "difference", "p", "test", "verdict"), rows, told)


def _contrast(slicing: Slicing) -> tuple[str, ...]:
    found = slicing.contrast
    if found is None:
        return (slicing.by, "–", "–", "–", "–", "–", "fewer than two slices are large enough")
    verdict = "differ" if found.differs else "no more than chance would"
    return (
        slicing.by, found.best, found.worst, points(found.difference), p_value(found.adjusted), found.method, verdict,
    )  # fmt: skip


def of_slicing(slicing: Slicing) -> Table:
    """Return every slice of one slicing, the small ones marked."""
    head = ("slice", "faces", "accuracy", "95 %", "by its classes", "macro F1", "its 95 %", "")
    unit = f"Slices: {slicing.unit}. " if slicing.unit else ""
    told = f"{unit}By its classes: what the slice would have if each class were read as well in it as in all faces."
    if any(each.small for each in slicing.slices):
        told += " Too few: shown, but not judged."
    return Table(f"By {slicing.by}", head, tuple(_slice(each) for each in slicing.slices), told)


def _slice(found: Slice) -> tuple[str, ...]:
    low, high = found.macro_f1_interval
    return (
        found.name, f"{found.faces:,}", share(found.accuracy), interval(found.interval), share(found.expected),
        f"{found.macro_f1:.3f}", f"{low:.3f} – {high:.3f}", MARK if found.small else "",
    )  # fmt: skip


def corruption_tables(found: Robustness) -> list[Table]:
    """Return accuracy by corruption and severity, and the strengths."""
    head = ("corruption", *(f"severity {each}" for each in SEVERITIES), "mean", "relative drop")
    rows = [(each.name, *map(share, each.accuracy), share(each.mean), share(each.drop)) for each in found.corrupted]
    rows.append(("mean of all", *[""] * len(SEVERITIES), share(found.mean), share(found.drop)))
    told = (
        f"{found.faces:,} faces; as they are {share(found.clean)} ({interval(found.interval)}); who always answers "
        f"with their largest class has {share(found.majority)}. Relative drop: the share of the clean accuracy that is "
        f"lost. Glasses and masks lie at the landmarks of {found.landmarks:,} of the faces, and for the other "
        f"{found.faces - found.landmarks:,} where eyes and mouth are on average in aligned crops."
    )
    names = [each.name for each in found.corrupted]
    strengths = Table("What the severities are", ("corruption", "in", "severity 1 to 5"), tuple(described(names)))
    return [Table("Accuracy on faces made worse", head, tuple(rows), told), strengths]


def heading(found: Audit) -> Table:
    """Return the figures on all faces."""
    values = found.figures
    row = (
        f"{values['faces']:,}", share(values["accuracy"]), interval(values["interval"]), f"{values['macro_f1']:.3f}",
        "{:.3f} – {:.3f}".format(*values["macro_f1_interval"]), f"{values['ece']:.3f}",
    )  # fmt: skip
    return Table("All faces", ("faces", "accuracy", "95 %", "macro F1", "macro F1 95 %", "ECE"), (row,))


def all_tables(found: Audit) -> list[Table]:
    """Return all tables in the order in which they are shown."""
    worse = corruption_tables(found.robustness) if found.robustness else []
    return [heading(found), *slice_tables(found), *worse]
