"""``mien evaluate MODEL --suite``: one table, files, a cache that changes no number, scorings counted, mistakes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from corpora import bars, face, pack_zip, png, write_zip
from support import write_model

pytest.importorskip("sklearn")
pytest.importorskip("pydantic")
pytest.importorskip("pyarrow")

from mien.cli import main
from mien.datasets import terms
from mien.evaluation.protocol import face_crops
from mien.files import cache_folder
from mien.labels import FER2013, FERPLUS
from mien.recipes.recipe import parse_any

CODES = {"anger": "AN", "happiness": "HA", "fear": "AF"}


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """FER2013 and KDEF, small; MIEN_DATA names their folder, and the cache lies beside it."""
    folder = tmp_path / "data"
    folder.mkdir()
    write_zip(bars({"Training": 1, "PublicTest": 2, "PrivateTest": 3}), folder / "fer2013.zip")
    photos = {f"KDEF/{word}/A{actor}{code}S.png": png(face(seed, 120))
              for seed, (word, code, actor) in enumerate((word, code, actor) for word, code in CODES.items()
                                                         for actor in ("F01", "M02"))}  # fmt: skip
    pack_zip(folder / "kdef_frontal350.zip", photos)
    monkeypatch.setenv("MIEN_DATA", str(folder))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr("sys.platform", "linux")
    return folder


@pytest.fixture
def model(tmp_path: Path) -> Path:
    write_model(tmp_path / "tiny.onnx", trained_on=terms.corpora(["fer2013"]))
    return tmp_path / "tiny.onnx"


def suite(*arguments: object) -> int:
    return main(["evaluate", *map(str, arguments), "--suite"])


def test_one_table_and_its_files(data: Path, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert suite(model, "--out", tmp_path / "out") == 0
    printed = capsys.readouterr().out
    assert printed == (tmp_path / "out" / "suite.md").read_text()
    assert "| FER2013 PrivateTest † | 21 |" in printed
    assert "| FER2013 PrivateTest, own frame † | 21 | – |" in printed
    assert "| KDEF | 6 | 0.0% |" in printed  # no face in noise: each is scored in the corpus's own frame
    assert "- RAF-DB has no row: rafdb_train.zip is not in the data folder." in printed
    assert "- FER+ has no row: ferplus is not in the data folder." in printed
    (values,) = json.loads((tmp_path / "out" / "suite.json").read_text())
    assert [(row["corpus"], row["frame"]) for row in values["rows"]] == [
        ("fer2013", "detector"), ("fer2013", "own"), ("kdef", "detector")
    ]  # fmt: skip
    assert len((tmp_path / "out" / "suite.csv").read_text().splitlines()) == 4
    assert values["rows"][2]["gaps"]["sex"]["groups"]["female"]["faces"] == 3


def test_the_cache_changes_no_number_and_spares_the_detector(
    data: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert suite(model, "--out", tmp_path / "first") == 0
    assert len(list((cache_folder() / "crops").iterdir())) == 2  # the own frame needs none
    monkeypatch.setattr(face_crops, "cut", None)
    original = face_crops.cut_out

    def only_own(samples: object, frame: str, *rest: object) -> object:
        assert frame == "own"
        return original(samples, frame, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(face_crops, "cut_out", only_own)
    assert suite(model, "--out", tmp_path / "second") == 0
    assert (tmp_path / "first" / "suite.json").read_text() == (tmp_path / "second" / "suite.json").read_text()


def test_the_cache_may_lie_elsewhere(data: Path, model: Path, tmp_path: Path) -> None:
    assert suite(model, "--corpora", "kdef", "--cache", tmp_path / "mine") == 0
    assert len(list((tmp_path / "mine").iterdir())) == 1
    assert not cache_folder().exists()


def test_only_validation_parts(data: Path, model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert suite(model, "--validation") == 0
    printed = capsys.readouterr().out
    assert "| FER2013 PublicTest † | 14 |" in printed
    assert "PrivateTest" not in printed
    assert "- KDEF has no row: it has no validation set" in printed


def test_a_quick_look_at_some_corpora(data: Path, model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert suite(model, "--corpora", "fer2013", "--limit", 7) == 0
    printed = capsys.readouterr().out
    assert "| 7 of 21 |" in printed
    assert "KDEF" not in printed
    assert "at most 7 faces of each corpus" in printed


def test_several_models_and_one_that_knows_no_class(
    data: Path, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pack_zip(data / "affectnet_contempt.zip", {"contempt/contempt/1.png": png(face(1))})
    write_model(tmp_path / "eight.onnx", name="eight", labels=FERPLUS)
    assert suite(model, tmp_path / "eight.onnx", "--corpora", "kdef", "--data", data) == 0
    printed = capsys.readouterr().out
    assert printed.index("**tiny**") < printed.index("**eight**")
    assert printed.count("| KDEF") == 2
    few = write_model(tmp_path / "few.onnx", name="few", labels=type(FER2013)("few", ("sadness", "surprise")))
    assert suite(tmp_path / f"{few.name}.onnx", model, "--corpora", "kdef") == 0
    assert "- KDEF has no row: KDEF: no face has a class of the model" in capsys.readouterr().out


def run_folder(folder: Path) -> Path:
    plan = parse_any({"name": "r", "preprocess": {"size": 16}, "train": {"epochs": 1, "batch_size": 8, "rate": 0.01}})
    folder.mkdir()
    write_model(folder / "model.onnx", recipe_digest=plan.digest(), preprocess=plan.preprocess)
    (folder / "recipe.json").write_text(json.dumps({"digest": plan.digest(), **plan.model_dump(mode="json")}))
    return folder


def test_every_scoring_of_a_test_part_is_counted(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = run_folder(tmp_path / "run")
    (run / "metrics.json").write_text(json.dumps({"test_scorings": 1}))
    assert suite(run, "--validation") == 0
    assert "scored" not in capsys.readouterr().out
    assert suite(run, "--out", tmp_path / "out") == 0
    assert "scored 2 times with this run" in capsys.readouterr().out
    assert json.loads((run / "metrics.json").read_text())["test_scorings"] == 2
    assert json.loads((tmp_path / "out" / "suite.json").read_text())[0]["test_scorings"] == 2


def test_an_unfinished_run_is_not_scored_on_test_parts(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = run_folder(tmp_path / "run")
    assert suite(run) == 2
    assert "is not finished" in capsys.readouterr().err
    assert suite(run, "--validation", "--corpora", "fer2013") == 0


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--views", "flip"], "--suite with --views: the protocol fixes"),
        (["--data", ".", "--data", "."], "--suite with several --data"),
        (["--corpora", "kdeff"], "Did you mean 'kdef'"),
        (["--corpora", "rafdb"], "No corpus could be scored. RAF-DB: rafdb_train.zip is not in"),
        (["--data", "nowhere"], "'nowhere' is not a folder. Set MIEN_DATA"),
        (["--out", "suite.json"], "expected a folder"),
    ],
)
def test_mistakes_are_one_line(
    arguments: list[str], says: str, data: Path, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert suite(model, *arguments) == 2
    printed = capsys.readouterr().err
    assert says in printed
    assert printed.splitlines()[-1].startswith("mien: error: ")


def test_a_suites_options_need_the_suite(data: Path, model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", str(model), "--data", str(data / "fer2013.zip"), "--limit", "3", "--validation"]) == 2
    assert "--validation, --limit without --suite" in capsys.readouterr().err


def test_without_a_data_folder(
    model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("MIEN_DATA", raising=False)
    assert suite(model) == 2
    assert "Set MIEN_DATA, or give --data FOLDER" in capsys.readouterr().err


@pytest.mark.data
def test_a_shipped_model_scores_as_with_photos(data_dir: Path, tmp_path: Path) -> None:
    """The suite's row of CK+ is that of ``mien evaluate --photos``, every face of which is found."""
    photos = ["fer7", "--photos", str(data_dir / "ckplus350.zip"), "--classes", "fer2013", "--out", str(tmp_path / "p")]
    assert main(["evaluate", *photos]) == 0
    assert suite("fer7", "--data", data_dir, "--corpora", "ckplus350", "--out", tmp_path / "s", "--cache", tmp_path / "c") == 0  # fmt: skip # noqa: E501
    expected = json.loads((tmp_path / "p" / "metrics.json").read_text())
    scores = json.loads((tmp_path / "s" / "suite.json").read_text())[0]["rows"][0]["scores"]
    assert expected["found"] == 1
    assert scores["faces"] == expected["photos"] == 401
    for name in ("accuracy", "macro_f1", "balanced_accuracy"):
        assert scores[name]["value"] == expected["of_found"][name]
    assert scores["ece"]["value"] == pytest.approx(expected["of_found"]["ece"])
