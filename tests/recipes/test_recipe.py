"""A wrong recipe is answered in one line that names the key and the remedy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.train
pytest.importorskip("pydantic")

from mien.errors import FileMissingError, RecipeError  # noqa: E402
from mien.recipes.recipe import load, load_any, of_run, parse, shipped, smoke  # noqa: E402

GOOD: dict[str, Any] = {"name": "x", "train": {"epochs": 3}}
MOBILE = {"name": "torchvision:mobilenet_v2"}
CURED = {"network": {"name": "residual"}, "self_cure": {"weight": 1.0}}
GROWING = [{"epoch": 0, "size": 32}, {"epoch": 2, "size": 48}]
TEXT = """
name = "mine"
[augment]
rotate = 15.0
[train]
epochs = 40
batch_size = 64
ema = 0.999
sizes = [{ epoch = 0, size = 32 }, { epoch = 20, size = 48 }]
[budget.2core]
about = "half"
[budget.2core.train]
epochs = 20
sizes = [{ epoch = 0, size = 40 }, { epoch = 10, size = 48 }]
"""


@pytest.mark.parametrize("name", shipped())
def test_shipped_recipes_load_and_are_named_as_their_files(name: str) -> None:
    assert load_any(name).name == name
    assert load_any(name, "smoke").name == f"{name}-smoke"


def test_budgets_of_a_shipped_recipe() -> None:
    whole, short = load("fer2013-four-block"), load("fer2013-four-block", "2core")
    assert (whole.train.epochs, short.train.epochs) == (72, 35)
    assert (short.name, short.augment.erase, short.augment.flip) == ("fer2013-four-block-2core", 0.0, 0.5)
    assert short.train.rate == whole.train.rate
    assert short.digest() != whole.digest()


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
        ({"network": {"kind": "vgg"}}, "unknown key 'network.kind'. Known keys: name, spatial_dropout"),
        ({"network": {"attention": "sa"}}, "network.attention = 'sa': Input should be 'se' or 'cbam'"),
        ({"network": {"stride": 3}}, "network.stride = 3"),
        ({"loss": {"name": "hinge"}}, "Input should be 'cross_entropy' or 'focal'"),
        ({"loss": {"class_weights": 2.0}}, "loss.class_weights = 2.0"),
        ({"data": {"corpus": "fer2013"}}, "unknown key 'data.corpus'"),
        ({"data": {"shares": [70.0, 30.0]}}, "data.shares = [70.0, 30.0]"),
        ({"data": {"split": "subject", "hold_out": 0.1}}, "data.hold_out goes with data.split = 'own'"),
        ({"train": {"epochs": 3, "label_smoothing": 0.1}}, "unknown key 'train.label_smoothing'"),
        (
            {"train": {"epochs": 3, "frozen": 1}},
            "train.frozen needs a backbone (torchvision:NAME); four_block has none",
        ),
        ({"train": {"epochs": 3, "frozen": 4}, "network": MOBILE}, "train.frozen = 4 is more than train.epochs = 3"),
        ({"train": {"epochs": 3, "frozen": 1}, "network": MOBILE}, "train.thaw_rate is required"),
        ({"train": {"epochs": 3, "sizes": [{"epoch": 1, "size": 48}]}}, "must start at epoch 0"),
        ({"train": {"epochs": 3, "sizes": [{"epoch": 0, "size": 32}]}}, "must be preprocess.size = 48"),
        ({"train": {"epochs": 3, "sizes": GROWING, "patience": 2}}, "train.patience excludes growing train.sizes"),
        ({"preprocess": {"size": 4}}, "expected 8 to 1024 pixels"),
        ({"train": {"epochs": 3, "choose": "last", "patience": 2}}, "train.patience needs an epoch to be selected"),
        ({"consistency": {"weight": -1.0}}, "consistency.weight = -1.0"),
        ({"consistency": {"weight": 5.0}}, "consistency.weight needs a network whose mean feature maps go into one"),
        ({"self_cure": {"weight": 1.0}}, "(residual, face_residual); four_block has none"),
        ({"self_cure": {"high": 1.0}}, "self_cure.high = 1.0"),
        ({"self_cure": {"relable_from": 3}}, "unknown key 'self_cure.relable_from'. Did you mean 'relabel_from'?"),
        ({**CURED, "augment": {"mixup": 0.2}}, "self_cure.weight relabels whole faces, so it excludes augment.mixup"),
        ({**CURED, "distil": {"models": ["fer7"]}}, "and [distil]; leave them out"),
        (
            {**CURED, "train": {"epochs": 3, "compile": True}},
            "self_cure.weight excludes data.corpora.heads and train.c",
        ),
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


def test_a_default_that_is_spelled_out_leaves_the_digest() -> None:
    spelled = {"name": "x", "data": {"oversample": 0.0, "shares": [70.0, 15.0, 15.0]}, "loss": {"gamma": 2.0}}
    assert parse({**spelled, "train": {"epochs": 3, "choose": "accuracy"}}).digest() == parse(GOOD).digest()
    assert parse({**GOOD, "loss": {"gamma": 1.0}}).digest() != parse(GOOD).digest()


def test_memory_changes_no_result_and_no_digest() -> None:
    assert parse({**GOOD, "data": {"memory": 8.0}}).digest() == parse(GOOD).digest()
    assert (
        parse({**GOOD, "data": {"memory": 8.0, "limit": 9}}).digest() == parse({**GOOD, "data": {"limit": 9}}).digest()
    )


def test_with_values_replaces_keys_and_keeps_the_others() -> None:
    before = parse({"name": "x", "augment": {"rotate": 5.0}, "train": {"epochs": 3, "rate": 0.1}})
    after = before.with_values({"train.rate": 0.01, "augment.shift": 0.1, "name": "y"})
    assert (after.name, after.train.rate, after.train.epochs) == ("y", 0.01, 3)
    assert (after.augment.rotate, after.augment.shift, before.train.rate) == (5.0, 0.1, 0.1)
    with pytest.raises(RecipeError, match=r"unknown key 'train\.rat'\. Did you mean 'rate'"):
        before.with_values({"train.rat": 1.0})


def write(folder: Path, text: str) -> Path:
    (folder / "mine.toml").write_text(text)
    return folder / "mine.toml"


def test_a_budget_goes_over_the_recipe(tmp_path: Path) -> None:
    path = write(tmp_path, TEXT)
    short = load(path, "2core")
    assert (short.name, short.about, short.train.epochs, short.train.batch_size) == ("mine-2core", "half", 20, 64)
    assert [short.size_at(epoch) for epoch in (0, 9, 10)] == [40, 40, 48]
    assert short.augment.rotate == 15.0
    assert load(path).train.epochs == 40


def test_an_unknown_budget_names_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"no budget '2cores'; it has 2core, smoke\. Did you mean '2core'"):
        load(write(tmp_path, TEXT), "2cores")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ("[budget.8core.train]\nepohs = 3\n", "[budget.8core]: unknown key 'train.epohs'. Did you mean 'epochs'?"),
        ("[budget.8core.train]\nepochs = 5\n", "[budget.8core]: train.sizes must start at epoch 0"),
        ("[budget]\nepochs = 5\n", "'budget' must hold tables"),
    ],
)
def test_a_wrong_budget_is_an_error_though_nobody_asked_for_it(tmp_path: Path, change: str, says: str) -> None:
    text = TEXT.partition("[budget")[0] if change.startswith("[budget]") else TEXT
    with pytest.raises(RecipeError) as caught:
        load(write(tmp_path, text + change))
    assert says in str(caught.value)


def test_the_smoke_budget_is_two_small_epochs_and_all_else_the_recipes_own(tmp_path: Path) -> None:
    small = load(write(tmp_path, TEXT), "smoke")
    assert (small.train.epochs, small.train.batch_size, small.train.sizes, small.train.ema) == (2, 8, (), 0.5)
    assert small.augment.rotate == 15.0
    assert (small.data.limit, small.is_smoke) == (128, True)


@pytest.mark.parametrize("name", shipped())
def test_a_smoke_variant_says_what_it_is_and_nothing_of_the_published_run(name: str) -> None:
    small, whole = load_any(name, "smoke"), load_any(name)
    assert small.about.startswith(f"Smoke run of {name}: ")
    assert "say nothing about" in small.about
    assert not any(word in small.about for word in ("published", "ImageNet"))
    assert not whole.is_smoke


def test_the_smoke_budget_relabels_in_its_second_epoch() -> None:
    assert smoke(parse({**GOOD, **CURED})).self_cure.relabel_from == 1
    assert smoke(parse(GOOD)).self_cure.relabel_from == parse(GOOD).self_cure.relabel_from


@pytest.mark.parametrize(("epochs", "frozen", "left"), [(10, 3, 1), (10, 10, 2), (10, 0, 0), (1, 1, 2)])
def test_the_smoke_budget_keeps_the_phases(epochs: int, frozen: int, left: int) -> None:
    train = {"epochs": epochs, "frozen": frozen, "thaw_rate": 1e-4}
    small = smoke(parse({"name": "x", "network": MOBILE, "train": train}))
    assert small.train.frozen == left
    assert small.network.pretrained is False


def test_missing_and_malformed_files(tmp_path: Path) -> None:
    with pytest.raises(FileMissingError, match="in the package, which has fer2013-four-block"):
        load(tmp_path / "none.toml")
    (tmp_path / "bad.toml").write_text("name = ")
    with pytest.raises(RecipeError, match="not valid TOML"):
        load(tmp_path / "bad.toml")


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b"7", b"\xff", b'{"name": 3}', b"[" * 100_000])
def test_a_damaged_recipe_of_a_run_is_named(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "recipe.json").write_bytes(content)
    with pytest.raises(RecipeError, match=r"recipe\.json"):
        of_run(tmp_path)
