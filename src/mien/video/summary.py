"""A page on a film: its people, what each showed over time, their strongest emotions; the figure as PNG and SVG too."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mien.datasets.figures import GREY, OKABE_ITO, new, styled
from mien.draw import COLOURS
from mien.evaluation.sheet import Sheet, Written
from mien.video.digest import Digest, clock

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from mien.video.digest import Life

_PEOPLE, _ROWS = 8, 30


def write(out: Path, name: str, told: Digest, notes: list[str]) -> Written:
    """Write the page, its figure and the same as Markdown into the folder ``out``.

    name: of the film.  notes: what the reader must know, such as damage.  Raises ``OptionError`` if ``out`` is a file.
    """
    out.mkdir(parents=True, exist_ok=True)
    sheet = Sheet(out)
    sheet.section("People")
    for note in notes:
        sheet.text(note, "warn")
    if told.lives:
        _people(sheet, told)
        _events(sheet, told)
    else:
        sheet.text("No face was found in any frame.")
    share = told.with_face / max(told.frames, 1)
    lead = (
        f"{told.frames:,} frames from {clock(told.begin)} to {clock(told.end)}; a face in {share:.0%} of them; "
        f"{len(told.lives):,} {'person' if len(told.lives) == 1 else 'people'}. "
        "An expression is not what a person feels."
    )
    return sheet.write(f"Emotions in {name}", lead, "summary")


def _people(sheet: Sheet, told: Digest) -> None:
    shown = told.longest(_ROWS)
    sheet.table(("person", "from", "to", "frames", "mostly", "share"), [_row(who, life, told) for who, life in shown])
    if len(told.lives) > len(shown):
        sheet.text(f"The {len(shown)} who were there longest, of {len(told.lives):,}.", "soft")
    sheet.section("Over time")
    caption = (
        "Height: smoothed probability of each emotion. White: the person was not seen. "
        "Triangles: where an emotion was strongest."
    )
    left_out = len(told.lives) - _PEOPLE
    more = f" Of {len(told.lives):,} people the {_PEOPLE} who were there longest." if left_out > 0 else ""
    sheet.figure("timeline", timeline(told), "Probability of each emotion over time, a strip a person", caption + more)


def _row(who: int, life: Life, told: Digest) -> tuple[object, ...]:
    best = int(life.total.argmax())
    share = f"{life.total[best] / life.frames:.0%}"
    return who, clock(life.first), clock(life.last), life.frames, told.labels[best], share


def _events(sheet: Sheet, told: Digest) -> None:
    sheet.section("Events")
    strongest = sorted(sorted(told.events, key=lambda event: -event.peak)[:_ROWS], key=lambda event: event.onset)
    if not strongest:
        sheet.text("No emotion but neutral was shown clearly.")
        return
    head = ("person", "emotion", "onset", "apex", "offset", "peak")
    rows = [(e.person, e.emotion, clock(e.onset), clock(e.apex), clock(e.offset), f"{e.peak:.0%}") for e in strongest]
    sheet.table(head, rows)
    if told.events_found > len(strongest):
        sheet.text(f"The {len(strongest)} strongest of {told.events_found:,}.", "soft")


@styled
def timeline(told: Digest) -> Figure:
    """A strip a person: the smoothed probabilities over time, stacked."""
    people = told.longest(_PEOPLE)
    figure = new(9.0, 0.95 * len(people) + 1.3)
    grid = figure.subplots(len(people), 2, width_ratios=(1, 11), squeeze=False)
    palette = {name: _colour(name, place) for place, name in enumerate(told.labels)}
    for (face, strip), (who, life) in zip(grid, people, strict=True):
        _face(face, who, life)
        _strip(strip, told, who, life, list(palette.values()))
    for axes in grid[:-1, 1]:
        axes.set_xticklabels([])
    grid[-1, 1].set_xlabel("seconds")
    from matplotlib.patches import Patch

    patches = [Patch(facecolor=colour, edgecolor="#555", linewidth=0.4, label=name) for name, colour in palette.items()]
    columns = len(palette) if len(palette) <= 7 else -(-len(palette) // 2)
    figure.legend(handles=patches, loc="outside upper center", ncols=columns, frameon=False, fontsize=9)
    return figure


def _strip(axes: Axes, told: Digest, who: int, life: Life, palette: list[str]) -> None:
    edges, shares = told.curve(life)
    heights = np.concatenate([shares, np.zeros((len(shares), 1))], axis=1)
    axes.stackplot(edges, heights, colors=palette, step="post", linewidth=0)
    apexes = [event.apex for event in told.events if event.person == who]
    if apexes:  # matplotlib takes the outline of no points for an endless one
        axes.plot(apexes, [1.1] * len(apexes), "v", color="black", markersize=5, clip_on=False)
    axes.set(
        xlim=(told.begin, max(told.end, told.begin + told.step)), ylim=(0, 1), yticks=(0, 1), yticklabels=("0", "1")
    )


def _face(axes: Axes, who: int, life: Life) -> None:
    if life.portrait is not None:
        axes.imshow(life.portrait)
    axes.set(xticks=(), yticks=(), ylabel=str(who))
    axes.yaxis.label.set(rotation=0, ha="right", va="center", fontweight="bold")
    axes.set_frame_on(False)


def _colour(name: str, place: int) -> str:
    known = COLOURS.get(name)
    if known is not None:
        return "#{:02x}{:02x}{:02x}".format(*known)
    return (GREY, *OKABE_ITO)[place % (len(OKABE_ITO) + 1)]
