"""``mien data explore``: describe a corpus before anything is trained on it; a page with its plots."""

from __future__ import annotations

import csv
from collections import Counter
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mien.datasets import guard
from mien.datasets.manifest import BLANK, Manifest
from mien.datasets.quality.measures import MEASURES, Measured, find_extremes, measure
from mien.errors import MissingExtraError
from mien.reporting import figures, page, sheets

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    Watch = Callable[[Iterable[Any]], Iterable[Any]]

DISTANCE = 4
"""Maximum hash distance of near duplicates here; ``mien data check`` searches further and compares more pixels."""

SAMPLES, PAIRS, PROBLEMS = 10, 12, 50


@dataclass(frozen=True)
class Explored:
    """The page written, the PNG, SVG and PDF file of every plot, and the facts in JSON-ready form."""

    page: Path
    figures: tuple[Path, ...]
    facts: dict[str, Any]


@dataclass
class _Work:
    manifest: Manifest
    out: Path
    measured: Measured
    report: guard.Report
    wanted: dict[str, list[int]]
    images: dict[int, NDArray[np.uint8]]
    written: list[Path] = field(default_factory=list)

    def tiles(self, name: str, texts: Sequence[str] | None = None) -> list[tuple[NDArray[np.uint8], str]]:
        """Return the images stored under a name in ``wanted``, each with a caption."""
        rows = self.wanted[name]
        return [(self.images[row], text) for row, text in zip(rows, texts or [""] * len(rows), strict=True)]

    def figure(self, name: str, drawn: Figure, text: str) -> str:
        """Write a plot as PNG, SVG and PDF, and return its HTML for the page."""
        content, paths = figures.save(drawn, self.out, name)
        self.written += paths
        return page.figure(sheets.data_uri(content), text)


def explore(
    manifest: Manifest,
    out: str | Path,
    *,
    problems: str | Path | None = None,
    sample: int = 3000,
    seed: int = 0,
    watch: Watch | None = None,
) -> Explored:
    """Write ``index.html`` and its plots into the folder ``out``.

    Args:
        manifest: the corpus.
        out: the folder to write to.
        problems: the list that indexing wrote, ``MANIFEST.problems.csv``; it need not exist.
        sample: number of images in the PCA.
        seed: of the random samples.
        watch: wraps the iterable of images, for a progress bar.

    Raises:
        DataError, FileMissingError: a source is missing or has changed.
        MissingExtraError: without ``mien[train]``.
    """
    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    work = _gather(manifest, folder, sample, seed, watch)
    balance = _measure_balance(manifest)
    listed = Path(problems) if problems else None
    sections = [
        ("Shape and types", _describe_shape(work)),
        ("Missing and broken", _describe_missing(manifest, listed)),
        ("Classes", _describe_classes(work, balance)),
        ("Samples", [_show_samples(work)]),
        ("Mean faces", [_show_means(work)]),
        ("Image quality", _show_quality(work)),
        ("Duplicates", _describe_duplicates(work)),
        ("Principal components", _project(work)),
    ]
    names = ", ".join(Path(source["path"]).name for source in manifest.info.get("sources", []))
    lead = f"{len(manifest):,} images of {names or 'a manifest'}, as Mien {manifest.info.get('mien', '')} indexed them."
    written = page.write(folder / "index.html", "What the data holds", lead, sections)
    facts = {"images": len(manifest), "counts": manifest.counts(), **balance, "duplicates": work.report.to_dict()}
    return Explored(written, tuple(work.written), facts)


def _gather(manifest: Manifest, folder: Path, sample: int, seed: int, watch: Watch | None) -> _Work:
    """Measure and compare the images, and read all that will be shown at once: opening a large zip takes a while."""
    measured = measure(manifest, sample=sample, seed=seed, watch=watch)
    report = guard.check(manifest, distance=DISTANCE, images=measured.images)
    measured.images = {}
    labels, draw = manifest.array("label"), np.random.default_rng(seed)
    wanted: dict[str, list[int]] = {}
    for name in _class_names(manifest):
        rows = np.flatnonzero(labels == name)
        wanted[f"class {name}"] = draw.choice(rows, min(SAMPLES, len(rows)), replace=False).tolist()
    blank = manifest.flagged(BLANK)  # the lowest of every measure, and nothing to look at
    for name, numbers in measured.values.items():
        wanted[f"lowest\n{name}"], wanted[f"highest\n{name}"] = find_extremes(numbers, SAMPLES, ~blank)
    for kind in guard.KINDS:
        pairs = [pair for leak in report.leaks if leak.kind == kind for pair in leak.pairs][: PAIRS // 2]
        wanted[f"{kind}\npairs"] = [row for pair in pairs for row in pair]
    images = _thumbnails(manifest, [row for rows in wanted.values() for row in rows])
    return _Work(manifest, folder, measured, report, wanted, images)


def _class_names(manifest: Manifest) -> list[str]:
    return sorted(set(manifest.array("label").tolist()) - {""})


def training_split(counts: dict[str, dict[str, int]]) -> str:
    """Return the training split: by name, else the largest split."""
    known = [name for name in ("Training", "train") if name in counts]
    return known[0] if known else max(counts, key=lambda name: sum(counts[name].values()))


def _measure_balance(manifest: Manifest) -> dict[str, Any]:
    counts = manifest.counts()
    split = training_split(counts)
    row = {name: count for name, count in counts[split].items() if name}
    if not row:
        return {"split": split, "imbalance": 1.0, "weights": {}}
    weights = {name: sum(row.values()) / len(row) / count for name, count in row.items()}
    return {"split": split, "imbalance": max(row.values()) / min(row.values()), "weights": weights}


def _describe_shape(work: _Work) -> list[str]:
    rows = work.manifest
    sizes = Counter(zip(rows.column("width"), rows.column("height"), strict=True))
    shown = [(f"{width} × {height}", count) for (width, height), count in sizes.most_common(8)]
    if len(sizes) > 8:
        shown.append((f"{len(sizes) - 8} other sizes", len(rows) - sum(count for _, count in shown)))
    sources = [
        (Path(source["path"]).name, source["reader"], int(source["rows"])) for source in rows.info.get("sources", [])
    ]
    kinds = [("grey", len(rows) - work.measured.colour), ("RGB", work.measured.colour)]
    note = "Pixels are 8-bit unsigned integers, 0 to 255. A file whose three channels are equal counts as grey."
    return [
        page.table(("source", "format", "images"), sources),
        page.table(("width × height", "images"), shown),
        page.table(("colour", "images"), [kind for kind in kinds if kind[1]]),
        page.paragraph(note, "soft"),
    ]


def _describe_missing(manifest: Manifest, listed: Path | None) -> list[str]:
    optional = ("label", "split", "subject", "session", "pose")
    gaps = [(name, int((manifest.array(name) == "").sum())) for name in optional]
    gaps.append(("votes", sum(votes is None for votes in manifest.column("votes"))))
    flags = Counter(flag for flags in manifest.column("flags") for flag in flags)
    parts = [
        page.table(("column", "rows without a value"), gaps),
        page.table(("flag", "rows"), sorted(flags.items()) or [("none", 0)]),
    ]
    problems, dropped = manifest.info.get("problems", 0), manifest.info.get("dropped", 0)
    if not problems:
        return [*parts, page.paragraph("Indexing found no broken rows.")]
    parts.append(page.paragraph(f"Indexing found {problems:,} problems; {dropped:,} rows were left out.", "warn"))
    if listed is None or not listed.exists():
        return [*parts, page.paragraph("The list of them that indexing wrote is missing beside the manifest.", "soft")]
    with listed.open(newline="", encoding="utf-8") as file:
        rows = [(row["where"], row["what"], row["kept"]) for row in islice(csv.DictReader(file), PROBLEMS)]
    rest = (
        [page.paragraph(f"Only the first {PROBLEMS} are shown; {listed.name} lists all.", "soft")]
        if problems > PROBLEMS
        else []
    )
    return [*parts, page.table(("where", "what", "kept"), rows), *rest]


def _describe_classes(work: _Work, balance: dict[str, Any]) -> list[str]:
    names, counts = _class_names(work.manifest), work.manifest.counts()
    if not names:
        return [page.paragraph("No row has a label.", "warn")]
    unlabelled = sum(row.get("", 0) for row in counts.values())
    ordered = guard.sort_splits(counts)
    drawn = figures.classes({split: {n: counts[split].get(n, 0) for n in names} for split in ordered}, names)
    note = (
        f"Imbalance ratio, largest class over smallest, of {balance['split'] or 'all images'}: "
        f"{balance['imbalance']:.1f}. A class weight is N / (classes × count)."
    )
    parts = [
        work.figure("classes", drawn, "Bar chart of the number of images per class in each split"),
        page.paragraph(note),
        work.figure(
            "weights",
            figures.weights(balance["weights"], balance["imbalance"], balance["split"]),
            "Bar chart of the class weights",
        ),
    ]
    return [*parts, page.paragraph(f"{unlabelled:,} rows have no label.", "warn")] if unlabelled else parts


def _show_samples(work: _Work) -> str:
    rows = {name: work.tiles(f"class {name}") for name in _class_names(work.manifest)}
    if not rows:
        return page.paragraph("No row has a label.")
    return work.figure("samples", figures.grid(rows, SAMPLES), f"{SAMPLES} images of each class, drawn at random")


def _show_means(work: _Work) -> str:
    means = work.measured.means
    if not means:
        return page.paragraph("No row has a label.")
    tiles = [(np.clip(mean, 0, 255).astype(np.uint8), name) for name, mean in means.items()]
    drawn = figures.grid({"": tiles}, len(tiles))
    return work.figure("means", drawn, "The mean face of each class") + page.paragraph(
        "The sharper a mean face, the more consistent the framing of its images.", "soft"
    )


def _show_quality(work: _Work) -> list[str]:
    values = work.measured.values
    drawn = figures.qualities(values, MEASURES)
    parts = [work.figure("quality", drawn, f"Histograms of {', '.join(values)}")]
    rows = {}
    for name, numbers in values.items():
        for side in (f"lowest\n{name}", f"highest\n{name}"):
            rows[side] = work.tiles(side, [_format_short(float(numbers[at])) for at in work.wanted[side]])
    parts.append(work.figure("extremes", figures.grid(rows, SAMPLES), "The images with the most extreme values"))
    blank = int(work.manifest.flagged(BLANK).sum())
    return [*parts, page.paragraph(f"Blank images (all pixels have one value), which are not shown: {blank:,}.")]


def _format_short(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _describe_duplicates(work: _Work) -> list[str]:
    report = work.report
    leaks = [(leak.kind, leak.training, leak.held_out, leak.copies) for leak in report.leaks]
    summary = (
        f"{report.repeated:,} images are pixel-identical to an earlier one; {report.conflicts:,} groups of identical "
        "images have more than one label. mien data check searches further and can drop copies from the training split."
    )
    parts = [page.paragraph(summary)]
    parts += [page.paragraph(f"{shared}.", "warn") for shared in report.subjects]
    parts += [page.paragraph(str(split), "" if split.expected else "warn") for split in report.parts]
    if not leaks:
        return [*parts, page.paragraph("No image occurs in more than one split.")]
    parts.append(page.table(("kind of copy", "in", "also in", "images"), leaks))
    labels = work.manifest.array("label")
    names = [f"{kind}\npairs" for kind in guard.KINDS]
    rows = {name: work.tiles(name, labels[work.wanted[name]].tolist()) for name in names if work.wanted[name]}
    drawn = figures.grid(rows, PAIRS)
    return [*parts, work.figure("duplicates", drawn, "Pairs of copies in two splits, with their labels")]


def _project(work: _Work) -> list[str]:
    try:
        from sklearn.decomposition import PCA
    except ImportError:
        raise MissingExtraError.for_extra("mien data explore", "train") from None
    measured = work.measured
    flat = measured.pixels.reshape(len(measured.pixels), -1).astype(np.float32) / 255
    if len(flat) < 4 or not flat.var(axis=0).any():
        return [page.paragraph("Too few different images for principal components.")]
    model = PCA(3, svd_solver="randomized", random_state=0).fit(flat)
    points, labels = model.transform(flat), work.manifest.array("label")[measured.sample]
    share = model.explained_variance_ratio_.tolist()
    note = (
        f"{len(flat):,} random images of 48 × 48 pixels, projected on their first principal components. "
        "Classes that overlap here cannot be separated by raw pixels."
    )
    return [
        page.paragraph(note, "soft"),
        work.figure("pca2", figures.scatter(points[:, :2], labels, share[:2]), "Scatter of two components by class"),
        work.figure("pca3", figures.scatter(points, labels, share), "Scatter of three components by class"),
    ]


def _thumbnails(manifest: Manifest, rows: list[int]) -> dict[int, NDArray[np.uint8]]:
    """Return row → its image, scaled down to at most 96 pixels a side."""
    distinct = sorted(set(rows))
    images = manifest.pixels(np.array(distinct, np.int64)) if distinct else []
    shown = (image if max(image.shape[:2]) <= 96 else np.asarray(sheets.thumbnail(image)) for image in images)
    return dict(zip(distinct, shown, strict=True))
