"""``mien audit``: tables, files, counted looks at a test part, and mistakes, with a small network."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from corpora import bars, pack_zip, png, write_zip
from support import write_model

pytest.importorskip("sklearn")
pytest.importorskip("pydantic")
pytest.importorskip("pyarrow")
pytest.importorskip("matplotlib")

from mien.cli import main
from mien.datasets import faces, manifest
from mien.datasets.index import index
from mien.recipes.recipe import parse_any
from mien.training import parts

FACES = bars({"Training": 4, "PublicTest": 6, "PrivateTest": 3})


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("audit")
    corpus = write_zip(FACES, folder / "fer.zip")
    indexed = manifest.read(index([corpus], folder / "plain.parquet").path)
    sexes = ["woman" if place % 2 else "man" for place in range(len(indexed))]
    indexed.with_own("sex", sexes).write(folder / "own.parquet")
    words = [f"S{place:03}_001_00000017.png" for place in range(4)]
    other = pack_zip(folder / "contempt.zip", {f"CK+48/contempt/{word}": png(FACES.pixels[0]) for word in words})
    write_model(folder / "tiny.onnx")
    return {"corpus": corpus, "own": folder / "own.parquet", "other": other, "model": folder / "tiny.onnx"}


def run(places: dict[str, Path], out: Path, *arguments: object, data: str = "own") -> int:
    return main(["audit", str(places["model"]), "--data", str(places[data]), "--out", str(out), *map(str, arguments)])


def test_tables_and_files(places: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--by", "sex", "--corruptions", "blur,glasses", "--faces", "20", "--smallest", "10"]
    assert run(places, tmp_path / "out", *options, "--details") == 0
    printed = capsys.readouterr().out
    for words in (
        "Do slices differ?",
        "By sex",
        "woman",
        "By brightness",
        "Slices: mean grey level, 0–255.",
        "mean of all",
        "glasses",
    ):
        assert words in printed
    assert str(tmp_path / "out" / "audit.html") in printed
    found = json.loads((tmp_path / "out" / "audit.json").read_text())
    assert (found["split"], found["figures"]["faces"], found["data"]) == ("PublicTest", 42, ["own.parquet"])
    assert found["robustness"]["faces"] == 20
    assert [each["name"] for each in found["slicings"][0]["slices"]] == ["man", "woman"]
    assert "test_scorings" not in found


def test_a_summary_says_the_same_in_ten_lines(
    places: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = [
        "--by",
        "sex",
        "--by",
        "label",
        "--corruptions",
        "blur,glasses,noise",
        "--faces",
        "20",
        "--smallest",
        "4",
    ]
    assert run(places, tmp_path / "out", *options) == 0
    lines = capsys.readouterr().out.splitlines()
    written = json.loads((tmp_path / "out" / "audit.json").read_text())
    assert len(lines) <= 10
    assert lines[0] == "tiny on PublicTest of own.parquet"
    assert lines[1].startswith(f"all faces: 42, accuracy {written['figures']['accuracy']:.1%} (")
    contrasts = {slicing["by"]: slicing["contrast"] for slicing in written["slicings"]}
    assert contrasts["label"]["differs"]
    (differing,) = [line for line in lines if line.startswith("slices differ by: ")]
    for by, contrast in contrasts.items():
        assert (f"{by} (worst " in differing) == bool(contrast and contrast["differs"]), by
    assert f"worst {contrasts['label']['worst']}" in differing
    (drop,) = [line for line in lines if line.startswith("relative drop under corruption, 20 faces: ")]
    worst = max(written["robustness"]["corrupted"], key=lambda result: result["drop"])
    assert f": {worst['name']} {worst['drop']:.1%}, " in drop
    assert f"mean of all 3: {written['robustness']['drop']:.1%}" in drop
    assert lines[-1].startswith(str(tmp_path / "out" / "audit.html"))
    assert "--details" in lines[-1]


def test_some_classes_only(places: dict[str, Path], tmp_path: Path) -> None:
    assert run(places, tmp_path / "out", "--classes", "happy,sad,neutral", "--corruptions", "none") == 0
    found = json.loads((tmp_path / "out" / "audit.json").read_text())
    assert found["labels"] == ["happiness", "sadness", "neutral"]
    assert found["figures"]["faces"] == 18
    assert sum(found["left_out"].values()) > 0


def test_a_corpus_read_directly_and_no_corruptions(places: dict[str, Path], tmp_path: Path) -> None:
    assert run(places, tmp_path / "out", "--corruptions", "none", "--split", "all", "--by", "label", data="corpus") == 0
    found = json.loads((tmp_path / "out" / "audit.json").read_text())
    assert (found["robustness"], found["figures"]["faces"]) == (None, 91)
    assert not (tmp_path / "out" / "corruptions.png").exists()
    assert sum(name.startswith("label = ") for name in found["too_small"]) == 7


def test_a_look_at_a_runs_test_part_is_counted(
    places: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run_folder = tmp_path / "run"
    values = {"name": "r", "preprocess": {"size": 16}, "train": {"epochs": 1, "batch_size": 8, "rate": 0.01}}
    plan = parse_any(values)
    run_folder.mkdir()
    write_model(run_folder / "model.onnx", recipe_digest=plan.digest(), preprocess=plan.preprocess)
    (run_folder / "recipe.json").write_text(json.dumps({"digest": plan.digest(), **plan.model_dump(mode="json")}))
    (run_folder / "metrics.json").write_text(json.dumps({"test_scorings": 1}))
    (run_folder / "data.json").write_text(json.dumps(parts.describe(faces.load(places["corpus"]))))
    own = {**places, "model": run_folder}
    assert run(own, tmp_path / "public", "--corruptions", "none", data="corpus") == 0
    assert "has now been scored" not in capsys.readouterr().out
    private = ["--corruptions", "none", "--split", "PrivateTest"]
    assert run(own, tmp_path / "private", *private, data="corpus") == 0
    assert "has now been scored 2 times" in capsys.readouterr().out
    assert json.loads((run_folder / "metrics.json").read_text())["test_scorings"] == 2
    assert json.loads((tmp_path / "private" / "audit.json").read_text())["test_scorings"] == 2


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ("own --by sexe", "Did you mean 'sex'"),
        ("corpus --by sex", "No column 'sex' to slice by; the data has label, id, split, dataset."),
        ("own --by id", "identifier"),
        ("own --by session", "'session' is empty"),
        ("own --corruptions blurr", "Did you mean 'blur'"),
        ("own --split PublicTests", "Did you mean 'PublicTest'"),
        ("own --faces 0", "expected a whole number, 1 or more"),
        ("own --seed -1", "--seed: '-1': expected"),
        ("own --landmarks yunnet", "Did you mean 'yunet'"),
        ("other", "No face has a class of the model"),
    ],
)
def test_mistakes_are_one_line(
    arguments: str, says: str, places: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, *options = arguments.split()
    assert run(places, tmp_path / "out", *options, data=data) == 2
    printed = capsys.readouterr().err
    assert says in printed
    assert printed.splitlines()[-1].startswith("mien: error: ")
    assert not (tmp_path / "out").exists()


def test_a_file_is_no_folder(places: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    assert run(places, tmp_path / "file") == 2
    assert "is a file" in capsys.readouterr().err
