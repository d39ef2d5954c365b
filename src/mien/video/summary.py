"""Write a page on a video: people, their emotions over time, and the strongest events, with the plot as PNG and SVG."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mien.drawing.percents import percent
from mien.reporting.document import Sheet, Written
from mien.reporting.figures import colours, new, styled
from mien.video.digest import Digest, format_time

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from mien.video.digest import Life

_PEOPLE, _ROWS = 8, 30


def write(out: Path, name: str, digest: Digest, notes: list[str]) -> Written:
    """Write the page as HTML and Markdown, with its plot, into the folder ``out``.

    Args:
        name: of the video.
        notes: warnings for the reader, such as damage.  Raises ``OptionError`` if ``out`` is a file.
    """
    out.mkdir(parents=True, exist_ok=True)
    sheet = Sheet(out)
    sheet.section("People")
    for note in notes:
        sheet.text(note, "warn")
    if digest.lives:
        _add_people(sheet, digest)
        _add_events(sheet, digest)
    else:
        sheet.text("No face was detected in any frame.")
    share = digest.with_face / max(digest.frames, 1)
    span = f"from {format_time(digest.begin)} to {format_time(digest.end)}"
    lead = (
        f"{digest.frames:,} frames {span}; a face in {share:.0%} of them; "
        f"{len(digest.lives):,} {'person' if len(digest.lives) == 1 else 'people'}. "
        "Expressions do not show what a person feels."
    )
    return sheet.write(f"Emotions in {name}", lead, "summary")


def _add_people(sheet: Sheet, digest: Digest) -> None:
    shown = digest.longest(_ROWS)
    sheet.table(
        ("person", "from", "to", "frames", "mostly", "share"), [_format_row(who, life, digest) for who, life in shown]
    )
    if len(digest.lives) > len(shown):
        sheet.text(f"The {len(shown)} people seen longest, of {len(digest.lives):,}.", "soft")
    sheet.section("Over time")
    caption = (
        "Height: smoothed probability of each emotion. White: the person was not seen. Triangles: apex of an event."
    )
    left_out = len(digest.lives) - _PEOPLE
    more = f" Of {len(digest.lives):,} people, the {_PEOPLE} seen longest." if left_out > 0 else ""
    alt = "Probability of each emotion over time, one strip for each person"
    sheet.figure("timeline", draw_timeline(digest), alt, caption + more)


def _format_row(who: int, life: Life, digest: Digest) -> tuple[object, ...]:
    best = int(life.total.argmax())
    share = percent(life.total[best] / life.frames)
    return who, format_time(life.first), format_time(life.last), life.frames, digest.labels[best], share


def _add_events(sheet: Sheet, digest: Digest) -> None:
    sheet.section("Events")
    strongest = sorted(sorted(digest.events, key=lambda event: -event.peak)[:_ROWS], key=lambda event: event.onset)
    if not strongest:
        sheet.text("No emotion other than neutral was shown clearly.")
        return
    head = ("person", "emotion", "onset", "apex", "offset", "peak")
    rows = [
        (e.person, e.emotion, format_time(e.onset), format_time(e.apex), format_time(e.offset), percent(e.peak))
        for e in strongest
    ]
    sheet.table(head, rows)
    if digest.events_found > len(strongest):
        sheet.text(f"The {len(strongest)} strongest of {digest.events_found:,}.", "soft")


@styled
def draw_timeline(digest: Digest) -> Figure:
    """Plot the stacked smoothed probabilities over time, one strip for each person."""
    people = digest.longest(_PEOPLE)
    figure = new(9.0, 0.95 * len(people) + 1.3)
    grid = figure.subplots(len(people), 2, width_ratios=(1, 11), squeeze=False)
    palette = colours(digest.labels)
    for (face, strip), (who, life) in zip(grid, people, strict=True):
        _draw_face(face, who, life)
        _draw_strip(strip, digest, who, life, list(palette.values()))
    for axes in grid[:-1, 1]:
        axes.set_xticklabels([])
    grid[-1, 1].set_xlabel("seconds")
    figure.supylabel("probability, person by person", fontsize=9)
    from matplotlib.patches import Patch

    patches = [Patch(facecolor=colour, edgecolor="#555", linewidth=0.4, label=name) for name, colour in palette.items()]
    columns = len(palette) if len(palette) <= 7 else -(-len(palette) // 2)
    figure.legend(handles=patches, loc="outside upper center", ncols=columns, frameon=False, fontsize=9)
    return figure


def _draw_strip(axes: Axes, digest: Digest, who: int, life: Life, palette: list[str]) -> None:
    edges, shares = digest.curve(life)
    heights = np.concatenate([shares, np.zeros((len(shares), 1))], axis=1)
    axes.stackplot(edges, heights, colors=palette, step="post", linewidth=0)
    apexes = [event.apex for event in digest.events if event.person == who]
    if apexes:  # matplotlib computes infinite bounds for an empty list of points
        axes.plot(apexes, [1.1] * len(apexes), "v", color="black", markersize=5, clip_on=False)
    axes.set(
        xlim=(digest.begin, max(digest.end, digest.begin + digest.step)),
        ylim=(0, 1),
        yticks=(0, 1),
        yticklabels=("0", "1"),
    )


def _draw_face(axes: Axes, who: int, life: Life) -> None:
    if life.portrait is not None:
        axes.imshow(life.portrait)
    axes.set(xticks=(), yticks=(), ylabel=str(who))
    axes.yaxis.label.set(rotation=0, ha="right", va="center", fontweight="bold")
    axes.set_frame_on(False)
