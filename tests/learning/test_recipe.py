"""A wrong recipe is answered in one line that names the key and the remedy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.train
pytest.importorskip("pydantic")

from mien.errors import FileMissingError, RecipeError  # noqa: E402
from mien.learning.recipe import load, parse  # noqa: E402

GOOD: dict[str, Any] = {"name": "x", "train": {"epochs": 3}}
GROWING = [{"epoch": 0, "size": 32}, {"epoch": 2, "size": 48}]
RECIPES = sorted((Path(__file__).parents[2] / "recipes").glob("*.toml"))


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_shipped_recipes_load_and_are_named_as_their_files(path: Path) -> None:
    assert load(path).name == path.stem


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"trian": {}}, "unknown key 'trian'. Did you mean 'train'?"),
        ({"train": {"epochs": 3, "batchsize": 8}}, "Did you mean 'batch_size'?"),
        ({"preprocess": {"sise": 48}}, "unknown key 'preprocess.sise'. Did you mean 'size'?"),
        ({"train": {"epochs": 3, "sizes": [{"epok": 0, "size": 48}]}}, "Did you mean 'epoch'?"),
        ({"train": {"epochs": "3"}}, "train.epochs = '3': Input should be a valid integer"),
        ({"train": {"epochs": 0}}, "train.epochs = 0: Input should be greater than or equal to 1"),
        ({"train": {}}, "'train.epochs' is required"),
        ({"augment": {"shift": 2.0}}, "augment.shift = 2.0"),
        ({"network": {"name": "four_blok"}}, "Input should be 'four_block'"),
        ({"train": {"epochs": 3, "sizes": [{"epoch": 1, "size": 48}]}}, "must start at epoch 0"),
        ({"train": {"epochs": 3, "sizes": [{"epoch": 0, "size": 32}]}}, "must be preprocess.size = 48"),
        ({"train": {"epochs": 3, "sizes": GROWING, "patience": 2}}, "train.patience does not go with growing"),
        ({"preprocess": {"size": 4}}, "expected 8 to 1024 pixels"),
    ],
)
def test_mistakes_name_key_and_remedy(change: dict[str, Any], says: str) -> None:
    with pytest.raises(RecipeError) as caught:
        parse({**GOOD, **change}, "mine.toml")
    assert says in str(caught.value)
    assert str(caught.value).startswith("mine.toml: ")
    assert "\n" not in str(caught.value)


def test_sizes_follow_the_epochs() -> None:
    recipe = parse({"name": "x", "train": {"epochs": 3, "sizes": GROWING}})
    assert [recipe.size_at(epoch) for epoch in range(3)] == [32, 32, 48]


def test_digest_ignores_comments_and_sees_values(tmp_path: Path) -> None:
    texts = ["name='x'\n[train]\nepochs=3\n", "# said\nname = 'x'\n[train]\nepochs = 3\nseed = 0\n"]
    digests = []
    for text in texts:
        (tmp_path / "r.toml").write_text(text)
        digests.append(load(tmp_path / "r.toml").digest())
    assert digests[0] == digests[1] != parse({"name": "x", "train": {"epochs": 4}}).digest()


def test_missing_and_malformed_files(tmp_path: Path) -> None:
    with pytest.raises(FileMissingError, match="recipes/"):
        load(tmp_path / "none.toml")
    (tmp_path / "bad.toml").write_text("name = ")
    with pytest.raises(RecipeError, match="not valid TOML"):
        load(tmp_path / "bad.toml")
