"""Tables of an audit as text, shared by the terminal, the HTML page and ``audit.md``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mien.evaluation.robustness.audit import Audit, Robustness
from mien.evaluation.robustness.corruptions import SEVERITIES, describe
from mien.evaluation.robustness.slices import Contrast, Slice, Slicing
from mien.reporting import markdown

MARK = "too few"
"""Marks a slice that is shown but not tested."""


@dataclass(frozen=True)
class Table:
    """A table of text cells. head: column names.  rows: one cell a column.  note: a sentence below it, or ''."""

    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""

    def markdown(self) -> str:
        """Return a headed Markdown table."""
        lines = [f"## {self.title}", "", *markdown.format_table(self.head, self.rows), ""]
        return "\n".join([*lines, *([self.note, ""] if self.note else [])])


def format_share(value: float) -> str:
    """Format a share as a percentage."""
    return f"{value:.1%}"


def format_points(difference: float) -> str:
    """Format a difference of two shares in percentage points."""
    return f"{100 * difference:.1f} points"


def format_interval(low_high: Sequence[float]) -> str:
    """Format an interval of shares as percentages."""
    return f"{low_high[0]:.1%} – {low_high[1]:.1%}"


def format_p_value(value: float) -> str:
    """Format a p-value; values below 0.001 are shown as such."""
    return f"{value:.3f}" if value >= 0.001 else "< 0.001"


def tabulate_slices(audit: Audit) -> list[Table]:
    """Return the table of tests, then one table for each slicing."""
    return [tabulate_contrasts(audit.slicings), *(tabulate_slicing(slicing) for slicing in audit.slicings)]


def tabulate_contrasts(slicings: Sequence[Slicing]) -> Table:
    """Return the table that tests whether the slices of each slicing differ."""
    rows = tuple(_format_contrast(slicing) for slicing in slicings)
    note = (
        "p: the probability of differences this large among all slices, not only the two named, if accuracy does not "
        "depend on the slice; Holm-corrected over the rows. Slices with too few faces or unknown values are not tested."
    )
    return Table("Do slices differ?", ("by", "best", "worst", "difference", "p", "test", "verdict"), rows, note)


def _format_contrast(slicing: Slicing) -> tuple[str, ...]:
    contrast = slicing.contrast
    if contrast is None:
        return (slicing.by, "–", "–", "–", "–", "–", "fewer than two slices are large enough")
    verdict = "differ" if contrast.differs else "no significant difference"
    difference, p_value = format_points(contrast.difference), format_p_value(contrast.adjusted)
    return (slicing.by, contrast.best, contrast.worst, difference, p_value, contrast.method, verdict)


def tabulate_slicing(slicing: Slicing) -> Table:
    """Return the table of all slices of one slicing, with small ones marked."""
    head = ("slice", "faces", "accuracy", "95 %", "by its classes", "macro F1", "its 95 %", "")
    unit = f"Slices: {slicing.unit}. " if slicing.unit else ""
    note = f"{unit}By its classes: the accuracy expected if each class's recall were that of all faces."
    if any(part.small for part in slicing.slices):
        note += " Too few: shown but not tested."
    return Table(f"By {slicing.by}", head, tuple(_format_slice(part) for part in slicing.slices), note)


def _format_slice(part: Slice) -> tuple[str, ...]:
    low, high = part.macro_f1_interval
    accuracy = (format_share(part.accuracy), format_interval(part.interval), format_share(part.expected))
    mark = MARK if part.small else ""
    return (part.name, f"{part.faces:,}", *accuracy, f"{part.macro_f1:.3f}", f"{low:.3f} – {high:.3f}", mark)


def tabulate_corruptions(robustness: Robustness) -> list[Table]:
    """Return the table of accuracy by corruption and severity, and the table of their strengths."""
    head = ("corruption", *(f"severity {severity}" for severity in SEVERITIES), "mean", "relative drop")
    rows = [
        (result.name, *map(format_share, result.accuracy), format_share(result.mean), format_share(result.drop))
        for result in robustness.corrupted
    ]
    rows.append(("mean of all", *[""] * len(SEVERITIES), format_share(robustness.mean), format_share(robustness.drop)))
    clean = f"{format_share(robustness.clean)} ({format_interval(robustness.interval)})"
    note = (
        f"{robustness.faces:,} faces; clean accuracy {clean}; always predicting the largest class gives "
        f"{format_share(robustness.majority)}. Relative drop: the share of the clean accuracy that is lost. Glasses "
        f"and masks are placed by the landmarks of {robustness.landmarks:,} of the faces, and for the other "
        f"{robustness.faces - robustness.landmarks:,} at the average landmarks of aligned crops."
    )
    names = [result.name for result in robustness.corrupted]
    strengths = Table("Severities", ("corruption", "in", "severity 1 to 5"), tuple(describe(names)))
    return [Table("Accuracy under corruption", head, tuple(rows), note), strengths]


def tabulate_all_faces(audit: Audit) -> Table:
    """Return the table of metrics on all faces."""
    values = audit.figures
    accuracy = (format_share(values["accuracy"]), format_interval(values["interval"]))
    f1 = (f"{values['macro_f1']:.3f}", "{:.3f} – {:.3f}".format(*values["macro_f1_interval"]))
    row = (f"{values['faces']:,}", *accuracy, *f1, f"{values['ece']:.3f}")
    return Table("All faces", ("faces", "accuracy", "95 %", "macro F1", "macro F1 95 %", "ECE"), (row,))


def build_tables(audit: Audit) -> list[Table]:
    """Return all tables in display order."""
    worse = tabulate_corruptions(audit.robustness) if audit.robustness else []
    return [tabulate_all_faces(audit), *tabulate_slices(audit), *worse]


_WORST = 3
"""Corruptions that a summary names."""


def summarise(audit: Audit) -> list[str]:
    """Return what the tables say in at most eight lines: all faces, slices that differ, the worst corruptions."""
    values = audit.figures
    accuracy = f"accuracy {format_share(values['accuracy'])} ({format_interval(values['interval'])})"
    first = f"all faces: {values['faces']:,}, {accuracy}, macro F1 {values['macro_f1']:.3f}, ECE {values['ece']:.3f}"
    return [first, *_summarise_slices(audit.slicings), *_summarise_corruptions(audit.robustness)]


def _summarise_slices(slicings: Sequence[Slicing]) -> list[str]:
    tested = [(slicing, slicing.contrast) for slicing in slicings if slicing.contrast is not None]
    differing = [_describe_extremes(slicing, contrast) for slicing, contrast in tested if contrast.differs]
    equal = [slicing.by for slicing, contrast in tested if not contrast.differs]
    untested = [slicing.by for slicing in slicings if slicing.contrast is None]
    small = sum(part.small for slicing in slicings for part in slicing.slices)
    lines = {
        "slices differ by": "; ".join(differing),
        "no significant difference by": ", ".join(equal),
        "not tested, fewer than two slices are large enough": ", ".join(untested),
        "slices with too few faces to be tested": str(small or ""),
    }
    return [f"{name}: {text}" for name, text in lines.items() if text]


def _describe_extremes(slicing: Slicing, contrast: Contrast) -> str:
    accuracy = {part.name: part.accuracy for part in slicing.slices}
    worst, best = (f"{name} {format_share(accuracy[name])}" for name in (contrast.worst, contrast.best))
    return f"{slicing.by} (worst {worst}, best {best}, p {format_p_value(contrast.adjusted)})"


def _summarise_corruptions(robustness: Robustness | None) -> list[str]:
    if robustness is None:
        return []
    falling = sorted(robustness.corrupted, key=lambda result: -result.drop)
    named = ", ".join(f"{result.name} {format_share(result.drop)}" for result in falling[:_WORST])
    mean = f"mean of all {len(falling)}: {format_share(robustness.drop)}"
    return [f"relative drop under corruption, {robustness.faces:,} faces: {named} ({mean})"]
