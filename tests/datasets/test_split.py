"""Splits: exact shares, every class everywhere, every person in one part, the same again with the same seed."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

pytest.importorskip("pyarrow")

from mien.datasets import split
from mien.datasets.arrow import pa
from mien.datasets.manifest import COLUMNS, Manifest
from mien.errors import DataError, OptionError


def table(labels: list[str | None], subjects: list[str] | None = None, splits: list[str] | None = None) -> Manifest:
    count = len(labels)
    names = [str(place) for place in range(count)]
    texts = {"session": [""] * count, "pose": [""] * count, "source": ["s"] * count, "dataset": ["d"] * count}
    numbers = {"width": [48] * count, "height": [48] * count, "phash": list(range(count))}
    values = {
        **texts, **numbers, "id": names, "member": names, "sha256": names, "label": labels,
        "subject": subjects or [""] * count, "split": splits or [""] * count, "votes": [None] * count,
        "flags": [[] for _ in names],
    }  # fmt: skip
    return Manifest(pa.Table.from_pydict(values, COLUMNS))


@pytest.fixture(scope="module")
def corpus() -> Manifest:
    """60 people with 4 to 12 images each; classes of 40 %, 30 %, 20 % and 10 %."""
    draw = np.random.default_rng(1)
    people = [f"P{person:02d}" for person in range(60) for _ in range(draw.integers(4, 13))]
    labels = draw.choice(["happiness", "neutral", "fear", "disgust"], len(people), p=[0.4, 0.3, 0.2, 0.1])
    return table(labels.tolist(), people)


def test_system_a_and_c_shares() -> None:
    labels: list[str | None] = [*["happiness"] * 5000, *["disgust"] * 1530]
    assert Counter(split.ratios(table(labels), (80, 20)).column("split")) == {"train": 5224, "test": 1306}
    parts = Counter(split.ratios(table(labels), (0.7, 0.15, 0.15)).column("split"))
    assert parts == {"train": 4570, "validation": 980, "test": 980}


def test_stratified_keeps_class_proportions(corpus: Manifest) -> None:
    made = split.ratios(corpus, (70, 15, 15), seed=3)
    total = Counter(corpus.column("label"))
    for part, share in {"train": 0.7, "validation": 0.15, "test": 0.15}.items():
        for label, count in made.counts()[part].items():
            assert abs(count - share * total[label]) <= 2


def test_subjects_stay_together_and_shares_are_near(corpus: Manifest) -> None:
    made = split.ratios(corpus, (70, 15, 15), by="subject")
    homes: dict[str, set[str]] = {}
    for subject, part in zip(made.column("subject"), made.column("split"), strict=True):
        homes.setdefault(subject, set()).add(part)
    assert {len(parts) for parts in homes.values()} == {1}
    total = Counter(corpus.column("label"))
    for part, share in {"train": 0.7, "validation": 0.15, "test": 0.15}.items():
        for label, count in made.counts()[part].items():
            assert abs(count / total[label] - share) < 0.05
    image_level = split.ratios(corpus, (80, 20))
    sides = [set(image_level.where(image_level.array("split") == side).column("subject")) for side in ("train", "test")]
    assert sides[0] & sides[1]


@pytest.mark.parametrize("by", ["image", "subject"])
def test_folds_test_every_row_once(corpus: Manifest, by: str) -> None:
    made = split.folds(corpus, 5, by=by, seed=2)
    tested = np.sum([fold.array("split") == "test" for fold in made], axis=0)
    assert (tested == 1).all()
    sizes = [(fold.array("split") == "test").sum() for fold in made]
    assert max(sizes) - min(sizes) <= (4 if by == "image" else 40)
    for number, fold in enumerate(made, 1):
        assert fold.info["split"] == {"method": "folds", "by": by, "folds": 5, "seed": 2, "fold": number}
        if by == "subject":
            sides = [set(fold.where(fold.array("split") == side).column("subject")) for side in ("train", "test")]
            assert not sides[0] & sides[1]


@pytest.mark.parametrize("by", ["image", "subject"])
def test_seed_decides(corpus: Manifest, by: str) -> None:
    first, again, other = (split.ratios(corpus, (80, 20), by=by, seed=seed) for seed in (1, 1, 2))
    assert first.column("split") == again.column("split") != other.column("split")
    assert first.info["split"] == {"method": "ratios", "by": by, "shares": [0.8, 0.2], "seed": 1}


def test_same_subject_name_in_two_corpora_is_two_people() -> None:
    corpus = table(["fear", "anger"] * 4, ["F01"] * 8).with_column("dataset", ["kdef"] * 4 + ["jaffe"] * 4)
    made = split.ratios(corpus, (50, 50), by="subject")
    assert set(zip(made.column("dataset"), made.column("split"), strict=True)) in (
        {("kdef", "train"), ("jaffe", "test")}, {("kdef", "test"), ("jaffe", "train")},
    )  # fmt: skip


def test_rows_without_label_get_no_split() -> None:
    made = split.ratios(table([None, *["fear", "anger"] * 10]), (50, 50))
    assert Counter(made.column("split")) == {"": 1, "train": 10, "test": 10}


def test_official() -> None:
    corpus = table(["fear", "fear"], splits=["Training", "PublicTest"])
    assert split.official(corpus).column("split") == ["Training", "PublicTest"]
    with pytest.raises(DataError, match="1 of 2 rows have no official split"):
        split.official(table(["fear", "fear"], splits=["Training", ""]))
    with pytest.raises(DataError, match="index the corpus again"):
        split.official(split.ratios(table(["fear", "anger"] * 5), (80, 20)))


def test_refusals() -> None:
    plain = table(["fear", "anger"] * 5)
    with pytest.raises(DataError, match="10 of 10 rows name no subject"):
        split.ratios(plain, (80, 20), by="subject")
    with pytest.raises(DataError, match="every class"):
        split.ratios(table(["fear", "anger", "anger", "anger"]), (50, 50))
    with pytest.raises(DataError, match="1 people cannot fill 2"):
        split.ratios(table(["fear"] * 3, ["A"] * 3), (50, 50), by="subject")
    with pytest.raises(DataError, match="rarest class has 5"):
        split.folds(plain, 6)
    for shares in ((1,), (1, 1, 1, 1), (1, 0), (2, -1)):
        with pytest.raises(OptionError, match="expected 2 or 3 positive"):
            split.ratios(plain, shares)
    with pytest.raises(OptionError, match="at least 2"):
        split.folds(plain, 1)
    with pytest.raises(OptionError, match="image, subject"):
        split.ratios(plain, (80, 20), by="person")
