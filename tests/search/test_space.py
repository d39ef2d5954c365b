"""What a search may change is read, tried on the recipe, and refused with one line that says what to do."""

from __future__ import annotations

from typing import Any

import pytest

pytestmark = pytest.mark.train
pytest.importorskip("torch")
optuna = pytest.importorskip("optuna")

from mien.errors import MienError, OptionError, RecipeError  # noqa: E402
from mien.recipes.recipe import Recipe, parse  # noqa: E402
from mien.search.space import FIXED, Choice, Dimension, defaults, read, value_of  # noqa: E402


@pytest.fixture(scope="module")
def recipe() -> Recipe:
    return parse(
        {
            "name": "small",
            "preprocess": {"size": 16},
            "network": {"name": "conv_pool", "dropout": 0.25},
            "train": {"epochs": 4, "batch_size": 16, "rate": 0.003},
        }
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("train.rate=1e-4:1e-1:log", Dimension("train.rate", 1e-4, 0.1, log=True)),
        ("train.decay=0:0.01", Dimension("train.decay", 0.0, 0.01)),
        ("train.batch_size=8:64", Dimension("train.batch_size", 8, 64, whole=True)),
        ("train.batch_size=8:64:log", Dimension("train.batch_size", 8, 64, log=True, whole=True)),
        (" train.epochs = 2:6 ", Dimension("train.epochs", 2, 6, whole=True)),
        ("network.spatial_dropout=0:0.5", Dimension("network.spatial_dropout", 0.0, 0.5)),  # the recipe leaves it out
        ("train.batch_size=16, 32,64", Dimension("train.batch_size", choices=(16, 32, 64))),
        ("train.rate=0.1,1e-3", Dimension("train.rate", choices=(0.1, 0.001))),
        ("train.bfloat16=true,false", Dimension("train.bfloat16", choices=(True, False))),
        ("train.optimizer=adam,'sgd'", Dimension("train.optimizer", choices=("adam", "sgd"))),
        (
            "network.name=conv_pool,torchvision:shufflenet_v2_x0_5",
            Dimension("network.name", choices=("conv_pool", "torchvision:shufflenet_v2_x0_5")),
        ),
    ],
)
def test_reads(text: str, expected: Dimension, recipe: Recipe) -> None:
    if "torchvision" in text:
        recipe = recipe.with_values({"network.dropout": None, "preprocess.size": 32})
    assert read([text], recipe) == (expected,)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("train.rate", "expected KEY=LOW:HIGH, KEY=LOW:HIGH:log or KEY=a,b,c"),
        ("=1:2", "expected KEY=LOW:HIGH"),
        ("train.rate=", "expected KEY=LOW:HIGH"),
        ("train.rate=1:2:lin", "'lin' after the range; only 'log'"),
        ("train.rate=1:2:log:log", "'log:log' after the range"),
        ("train.optimizer=1:2", "train.optimizer = 'adamw' is not a number; give choices"),
        ("train.bfloat16=0:1", "train.bfloat16 = True is not a number"),
        ("train.sizes=16:48", r"train.sizes = \[\] is not a number"),
        ("train.rate=low:1", "'low' is not a number"),
        ("train.rate=0.1:inf", "inf is not a finite number"),
        ("train.batch_size=8:16.5", "16.5 is not a whole number"),
        ("train.rate=0.1:0.1", "expected LOW below HIGH"),
        ("train.rate=1:0.1", "expected LOW below HIGH"),
        ("train.decay=0:0.1:log", "a logarithmic range starts above 0"),
        ("train.rate=0.1", "two or more different choices"),
        ("train.rate=0.1,0.1", "two or more different choices"),
        ("train.rate=0.1,0.2,0.1", "two or more different choices"),
        ("train", "expected KEY"),
        ("train=1,2", "train is a table of the recipe; name one of its keys, such as train.epochs"),
    ],
)
def test_refuses_with_what_was_expected(text: str, says: str, recipe: Recipe) -> None:
    with pytest.raises(OptionError, match=says) as caught:
        read([text], recipe)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("train.rat=0.1,0.2", "unknown key 'train.rat'. Did you mean 'rate'"),
        ("trian.rate=0.1:0.2", "unknown key 'trian'. Did you mean 'train'"),
        ("train.rate.low=1,2", "train.rate = {'low': 0}: Input should be a valid number"),
        ("name.first=a,b", "name = "),
        ("train.rate=0:0.1", "train.rate = 0.0: Input should be greater than 0"),
        ("train.rate=-1,0.1", "train.rate = -1: Input should be greater than 0"),
        ("train.optimizer=adam,lion", "train.optimizer = 'lion'"),
        ("train.batch_size=16,many", "train.batch_size = 'many'"),
        ("train.batch_size=16,", "train.batch_size = ''"),
        ("train.rate=0.1:0.2,0.3", "train.rate = '0.1:0.2'"),
        ("network.name=conv_pool,conv_pol", "Did you mean 'conv_pool'"),
        ("network.stride=1,2", "network.stride is no option of conv_pool"),
        ("train.frozen=1,2", "train.frozen needs a backbone"),
    ],
)
def test_keys_and_values_are_tried_on_the_recipe(text: str, says: str, recipe: Recipe) -> None:
    with pytest.raises(RecipeError) as caught:
        read([text], recipe)
    assert says in str(caught.value)


@pytest.mark.parametrize("key", FIXED)
def test_what_decides_about_the_faces_may_not_change(key: str, recipe: Recipe) -> None:
    with pytest.raises(OptionError, match=f"{key} does not affect training, or moves faces"):
        read([f"{key}=1,2"], recipe)


def test_a_key_is_given_once_and_one_at_least(recipe: Recipe) -> None:
    with pytest.raises(OptionError, match=r"train\.rate is in the space 2 times; give it once"):
        read(["train.rate=0.1,0.2", "train.rate=0.1:0.2"], recipe)
    with pytest.raises(OptionError, match="The space is empty; give at least one key"):
        read([], recipe)


def test_own_values(recipe: Recipe) -> None:
    space = read(["train.rate=0.001:0.1", "network.spatial_dropout=0:0.5", "train.epochs=2,4"], recipe)
    assert defaults(space, recipe) == {"train.rate": 0.003, "network.spatial_dropout": None, "train.epochs": 4}
    assert [each.holds(value) for each, value in zip(space, defaults(space, recipe).values(), strict=True)] == [
        True,
        False,
        True,
    ]
    with pytest.raises(MienError, match=r"unknown key 'train\.nothing'"):
        value_of(recipe, "train.nothing")


@pytest.mark.parametrize(
    ("dimension", "inside", "outside"),
    [
        (Dimension("a", 1, 2), [1, 1.5, 2], [0.99, 2.01, None, "1"]),
        (Dimension("a", choices=("x", 3)), ["x", 3, 3.0], ["y", 2, None]),
    ],
)
def test_holds(dimension: Dimension, inside: list[Any], outside: list[Any]) -> None:
    assert [value for value in inside + outside if dimension.holds(value)] == inside


@pytest.mark.parametrize(
    ("text", "kind", "low", "high"),
    [("train.rate=1e-4:1e-1:log", float, 1e-4, 0.1), ("train.batch_size=8:11", int, 8, 11)],
)
def test_draws_lie_in_the_range_and_the_recipe_takes_them(
    text: str, kind: type, low: float, high: float, recipe: Recipe
) -> None:
    (dimension,) = read([text], recipe)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    drawn: list[Any] = [dimension.suggest(study.ask()) for _ in range(60)]
    assert {type(value) for value in drawn} == {kind}
    assert all(low <= value <= high for value in drawn)
    if kind is int:
        assert set(drawn) == {8, 9, 10, 11}
    else:  # a third of the decades lies below 1e-3; of an even draw it would be one in a hundred
        assert 10 <= sum(value < 1e-3 for value in drawn) <= 30
    for value in drawn[:5]:
        assert value_of(recipe.with_values({dimension.key: value}), dimension.key) == value


def test_choices_are_all_drawn(recipe: Recipe) -> None:
    (dimension,) = read(["train.optimizer=adam,sgd,adamw"], recipe)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    drawn: set[Choice] = {dimension.suggest(study.ask()) for _ in range(40)}
    assert drawn == {"adam", "sgd", "adamw"}


@pytest.mark.parametrize(
    "text", ["train.rate=0.0001:0.1:log", "train.batch_size=8:64", "train.bfloat16=True,False", "train.decay=0:0.01"]
)
def test_a_dimension_tells_what_it_is(text: str, recipe: Recipe) -> None:
    """A folder's study is recognised by this text."""
    (dimension,) = read([text.replace("True", "true").replace("False", "false")], recipe)
    assert str(dimension) == text
