"""What is wrong with a recipe or with its data is one line that names the key and the remedy, before any work."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from corpora import bars, pack_zip, peaks, write_zip

pytestmark = pytest.mark.train
torch = pytest.importorskip("torch")
torch.set_num_threads(1)

from mien.cli import FAILED, main  # noqa: E402

RECIPE = """
name = "mine"
[preprocess]
size = 16
[train]
epochs = 1
batch_size = 8
"""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Corpora by what they lack, and one that is whole."""
    folder = tmp_path_factory.mktemp("data")
    faces = bars({"Training": 8, "PublicTest": 2, "PrivateTest": 2})
    disgust = faces.label_set.index("disgust")
    lacks = {"validation": faces.splits == "PublicTest", "test": faces.splits == "PrivateTest",
             "training": faces.splits == "Training", "disgust": faces.labels == disgust,
             "nothing": np.zeros(len(faces), bool)}  # fmt: skip
    for name, missing in lacks.items():
        write_zip(faces.where(~missing), folder / f"{name}.zip")
    pack_zip(folder / "parts.zip", peaks(8))  # CK+48 has none
    return folder


def refused(arguments: list[str], run: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """Return the one line with which ``mien train`` refuses, below the bar of a training that has not begun.

    The run folder stays free for the next try.
    """
    assert main(["train", *arguments, "--out", str(run)]) == FAILED
    printed = capsys.readouterr()
    *bar, told = printed.err.splitlines()
    assert told.startswith("mien: error: ")
    assert [line for line in bar if "seed 0" not in line] == []
    assert printed.out == ""
    assert not run.exists()
    return told


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ("batchsize = 8", "mine.toml: unknown key 'train.batchsize'. Did you mean 'batch_size'?"),
        ("rate = 'fast'", "mine.toml: train.rate = 'fast': Input should be a valid number"),
        ("patience = 1.5", "train.patience = 1.5: Input should be a valid integer"),
        ("[losses]\ngamma = 1.0", "unknown key 'losses'. Did you mean 'loss'? Known keys: name, about, data"),
        ("[data]\nscheme = 'fer2014'", "data.scheme = 'fer2014': No label set 'fer2014'; there are fer2013, ferplus"),
        ("[budget.2core.train]\nepochs = 0", "[budget.2core]: train.epochs = 0: Input should be greater than"),
        ("rate = ", "mine.toml is not valid TOML"),
    ],
)
def test_a_wrong_file(change: str, says: str, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine.toml").write_text(RECIPE + change)
    arguments = [str(tmp_path / "mine.toml"), "--data", str(data / "nothing.zip")]
    assert says in refused(arguments, tmp_path / "run", capsys)


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ("train.rat=0.1", "unknown key 'train.rat'. Did you mean 'rate'?"),
        ("train=3", "train = 3: "),
        ("train.epochs", "'train.epochs': expected KEY=VALUE, such as train.rate=0.01"),
        ("train.epochs=two", "train.epochs = 'two': Input should be a valid integer"),
        ("train.decay=inf", "train.decay = inf: Input should be a finite number"),
        ("preprocess.scale=nan", "preprocess.scale = nan: Input should be a finite number"),
        ("classical.cell=8", "unknown key 'classical'"),
        ("data.scheme=ferplus", "No training face of contempt. Add some, or set data.scheme to a label set without"),
        ("data.votes=true", "data.votes = true, but the data has no votes; index it with"),
        ("data.split=subject", "no subjects, so it cannot be split by subject; set data.split = 'image'"),
        ("loss={name='focal', alpha=[1.0, 2.0]}", "loss.alpha has 2 values for 7 classes; give one, or one per class"),
        ("preprocess.size=8", "preprocess.size = 8 (or a stage of train.sizes) is smaller than the 4 pools"),
        ("network.name=four_blok", "No network 'four_blok'; known are four_block"),
        ("network.stride=1", "network.stride is no option of four_block"),
        ("train.batch_size=4096", "train.batch_size = 4096 is more than the 56 training faces"),
    ],
)
def test_a_wrong_setting(
    setting: str, says: str, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine.toml").write_text(RECIPE)
    arguments = [str(tmp_path / "mine.toml"), "--data", str(data / "nothing.zip"), "--set", setting]
    assert says in refused(arguments, tmp_path / "run", capsys)


@pytest.mark.parametrize(
    ("lacks", "says"),
    [
        ("training", "No split 'Training'; this data has PrivateTest, PublicTest. data.split = 'image' or 'subject'"),
        ("validation", "No split 'PublicTest'; this data has PrivateTest, Training. Set data.hold_out = 0.1"),
        ("test", "No split 'PrivateTest'; this data has PublicTest, Training. Add the data's test set, or set"),
        ("parts", "No split 'Training'; this data has no split at all. data.split = 'image' or 'subject' draws a"),
        ("disgust", "No training face of disgust. Add some, or set data.scheme to a label set without it."),
        ("all", "all.zip does not exist; expected a folder, a zip, a tar or a CSV file."),
    ],
)
def test_data_that_lacks_something(
    lacks: str, says: str, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine.toml").write_text(RECIPE)
    arguments = [str(tmp_path / "mine.toml"), "--data", str(data / f"{lacks}.zip")]
    assert says in refused(arguments, tmp_path / "run", capsys)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["hog-svn"], "No recipe at hog-svn, and no recipe of this name in the package, which has"),
        (["system-b", "--budget", "2kore"], "system-b has no budget '2kore'; it has 2core, smoke. Did you mean"),
        (["hog-svm", "--set", "classical.cell=40"], "need crops of at least 120 pixels for hog; these have 48"),
        (["pca-knn", "--set", "classical.neighbours=99"], "neighbours = 99 is more than the 56 training faces"),
        (["pca-knn", "--set", "preprocess.channels=3"], "Set preprocess.channels = 1"),
        (["hog-svm", "--set", "train.rate=0.1"], "unknown key 'train'"),
        (["hog-svm", "--seeds", "2"], "hog-svm has no randomness, so --seeds would repeat one run"),
        (["system-b", "--folds", "3", "--seeds", "2"], "--folds and --seeds exclude each other"),
        (["system-b", "--set", "data.folds=3"], "fold 0 of 3: expected two folds or more"),
        (["system-b", "--set", "data.folds=3", "--set", "data.fold=1"], "set data.split to subject or image"),
        (["system-b", "--seeds", "0"], "'0': expected a whole number, 1 or more"),
    ],
)
def test_a_wrong_call_of_a_shipped_recipe(
    arguments: list[str], says: str, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = refused([*arguments, "--data", str(data / "nothing.zip")], tmp_path / "run", capsys)
    assert says in found


@pytest.mark.parametrize("name", ["densenet121", "vit_b_16"])
def test_a_backbone_that_cannot_take_the_crops(
    name: str, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine.toml").write_text(RECIPE)
    table = f"network={{name='torchvision:{name}', pretrained=false}}"
    arguments = [str(tmp_path / "mine.toml"), "--data", str(data / "nothing.zip"), "--set", table]
    found = refused(arguments, tmp_path / "run", capsys)
    assert f"preprocess.size = 16 (or a stage of train.sizes) does not work with torchvision:{name}: " in found
