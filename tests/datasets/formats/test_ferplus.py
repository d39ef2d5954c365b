"""FER+ votes: the authors' rules, and the three ways that lead from an image to its row."""

from __future__ import annotations

from pathlib import Path

import pytest
from corpora import bars, members, pack_zip, plant, write_csv

pytest.importorskip("pyarrow")

from mien.datasets import manifest
from mien.datasets.faces import FaceSet
from mien.datasets.index import index
from mien.errors import DataError, FileMissingError, OptionError
from mien.labels import FERPLUS, NO_FACE, UNKNOWN, distribution, majority, plurality

HEADER = "Usage,Image name,neutral,happiness,surprise,sadness,anger,disgust,fear,contempt,unknown,NF"
TABLE = "path,ferplus_row,usage,image_name,match,fer_classes_in_group"


@pytest.mark.parametrize(
    ("votes", "verdict"),
    [
        ((0, 10, 0, 0, 0, 0, 0, 0, 0, 0), "happiness"),
        ((6, 1, 1, 1, 1, 0, 0, 0, 0, 0), "neutral"),  # single votes do not count
        ((5, 5, 0, 0, 0, 0, 0, 0, 0, 0), UNKNOWN),  # half is not more than half
        ((4, 3, 3, 0, 0, 0, 0, 0, 0, 0), UNKNOWN),
        ((0, 0, 0, 0, 0, 0, 0, 0, 8, 2), UNKNOWN),
        ((0, 0, 0, 0, 0, 0, 0, 0, 0, 10), NO_FACE),
        ((1, 1, 1, 1, 1, 1, 1, 1, 1, 1), UNKNOWN),
        ((0, 0, 0, 0, 0, 0, 0, 7, 3, 0), "contempt"),
    ],
)
def test_majority(votes: tuple[int, ...], verdict: str) -> None:
    assert majority(votes) == verdict


@pytest.mark.parametrize(
    ("votes", "verdict"),
    [
        ((5, 5, 0, 0, 0, 0, 0, 0, 0, 0), "neutral"),  # the first among equals
        ((1, 0, 0, 0, 0, 0, 0, 2, 4, 3), "contempt"),  # unknown and NF have more, and are no emotions
        ((0, 0, 0, 0, 0, 0, 1, 0, 0, 9), "fear"),
        ((0, 0, 0, 0, 0, 0, 0, 0, 1, 9), NO_FACE),
    ],
)
def test_plurality(votes: tuple[int, ...], verdict: str) -> None:
    assert plurality(votes) == verdict
    with pytest.raises(DataError, match="expected 10 counts"):
        plurality(votes[1:])


def test_distribution() -> None:
    shares = distribution((4, 0, 0, 1, 3, 2, 0, 0, 0, 0))
    assert shares is not None
    assert dict(zip(FERPLUS.labels, shares, strict=True))["neutral"] == pytest.approx(4 / 9)
    assert sum(shares) == pytest.approx(1)
    assert distribution((0, 5, 0, 0, 0, 0, 0, 0, 5, 0)) is None
    assert distribution((0, 0, 0, 0, 0, 0, 0, 0, 0, 10)) is None
    with pytest.raises(DataError, match="expected 10 counts"):
        majority((1, 2))


@pytest.fixture
def faces() -> FaceSet:
    return bars({"Training": 1})  # one face of each class


def votes_of(number: int) -> str:
    counts = ["0"] * 10
    counts[number] = "8"
    return ",".join(counts)


def votes_file(faces: FaceSet) -> str:
    rows = [f"{split},fer{number:07d}.png,{votes_of(number)}" for number, split in enumerate(faces.splits)]
    rows[6] = f"Training,,{votes_of(9)}"  # FER+ names no image where there is no face
    return "\n".join([HEADER, *rows]) + "\n"


def test_original_csv_joins_by_line(faces: FaceSet, tmp_path: Path) -> None:
    plant(tmp_path, {"fer2013new.csv": votes_file(faces)})
    path = write_csv(faces, tmp_path / "fer2013.csv")
    found = index([path], tmp_path / "m.parquet", votes=tmp_path)
    whole = manifest.read(found.path)
    assert found.votes == {"unique": 7}
    assert [votes.index(8) for votes in whole.column("votes")] == [0, 1, 2, 3, 4, 5, 9]
    assert whole.column("label") == ["anger", "disgust", "fear", "happiness", "sadness", "surprise", "neutral"]
    assert whole.column("flags")[6] == [NO_FACE]
    counted = manifest.read(index([path], tmp_path / "p.parquet", votes=tmp_path, vote_rule="plurality").path)
    taken = manifest.read(index([path], tmp_path / "m.parquet", votes=tmp_path, vote_rule="majority").path)
    assert taken.column("label") == ["neutral", "happiness", "surprise", "sadness", "anger", "disgust", None]
    assert counted.column("label") == taken.column("label")  # eight votes of ten are both
    assert len(FaceSet.from_manifest(taken)) == 6


def test_part_of_the_original_csv_is_refused(faces: FaceSet, tmp_path: Path) -> None:
    text = votes_file(faces).replace("Training,fer0000000", "PublicTest,fer0000000")
    plant(tmp_path, {"fer2013new.csv": text})
    path = write_csv(faces, tmp_path / "fer2013.csv")
    with pytest.raises(DataError, match=r"fer2013\.csv:2 \(Training\) is not row 0"):
        index([path], tmp_path / "m.parquet", votes=tmp_path)


def test_kaggle_folders_join_by_table(faces: FaceSet, tmp_path: Path) -> None:
    files: dict[str, bytes | str] = dict(members(faces))
    path = pack_zip(tmp_path / "fer.zip", files)
    names = {name.split("/")[1]: name.replace(".png", ".jpg") for name in files}
    table = [
        TABLE,
        f"{names['angry']},4,Training,fer0000004.png,unique,1",
        f"{names['happy']},1,Training,fer0000001.png,duplicate_image,1",
        f"{names['sad']},3,Training,fer0000003.png,duplicate_image,2",
    ]
    plant(tmp_path / "ferplus", {"fer2013new.csv": votes_file(faces), "fer2013_to_ferplus.csv": "\n".join(table)})
    found = index([path], tmp_path / "m.parquet", votes=tmp_path / "ferplus", vote_rule="majority")
    assert found.votes == {"unique": 1, "duplicate": 1, "ambiguous": 1, "without votes": 4}
    whole = manifest.read(found.path)
    assert whole.info["votes"] == found.votes
    rows = dict(zip((name.split("/")[1] for name in whole.column("id")), range(len(whole)), strict=True))
    assert "sad" not in rows  # whose votes these are cannot be said
    assert whole.column("label")[rows["angry"]] == "anger"
    assert whole.column("flags")[rows["happy"]] == ["duplicate"]
    assert whole.column("flags")[rows["fear"]] == ["no_votes"]
    assert whole.column("label")[rows["fear"]] is None


def test_missing_or_broken_votes(faces: FaceSet, tmp_path: Path) -> None:
    path = write_csv(faces, tmp_path / "fer2013.csv")
    with pytest.raises(FileMissingError, match=r"fer2013new\.csv"):
        index([path], tmp_path / "m.parquet", votes=tmp_path)
    plant(tmp_path, {"fer2013new.csv": votes_file(faces).replace("8", "many", 1)})
    with pytest.raises(DataError, match=r"fer2013new\.csv:2"):
        index([path], tmp_path / "m.parquet", votes=tmp_path)
    plant(tmp_path, {"fer2013new.csv": votes_file(faces)})
    with pytest.raises(OptionError, match="No vote rule 'most'"):
        index([path], tmp_path / "m.parquet", votes=tmp_path, vote_rule="most")
