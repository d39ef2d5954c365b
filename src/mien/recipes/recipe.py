"""Training recipes: TOML with strict keys, validated into frozen values before training.

A recipe holds everything that a run depends on except the data and the library versions; its digest identifies the run.
"""

from __future__ import annotations

import hashlib
import json
import tomllib
import types
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Self, TypeVar, get_args, overload

from pydantic import Field, ValidationError, model_validator

from mien import run_files
from mien.errors import FileMissingError, RecipeError, nearest
from mien.preprocess import PreprocessSpec
from mien.recipes.classical_table import ClassicalTable
from mien.recipes.tables import (
    POOLED,
    AugmentTable,
    CalibrateTable,
    ConsistencyTable,
    DataTable,
    DegradeTable,
    DistilTable,
    HarmoniseTable,
    HeadTable,
    LossTable,
    NetworkTable,
    SelfCureTable,
    Table,
    TrainTable,
)

SHIPPED = Path(__file__).parent
"""Folder of the recipes in the package."""

SMOKE = "smoke"
"""The built-in budget of every recipe: seconds of training on a few faces of any corpus."""

SMOKE_FACES = 128
"""Maximum number of faces per split in a smoke run."""


class Plan(Table):
    """Base of all recipes: name, data and preprocessing."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]*$")]
    about: str = ""
    data: DataTable = DataTable()
    preprocess: PreprocessSpec = PreprocessSpec()

    @model_validator(mode="after")
    def _parts_fit(self) -> Self:
        if self.data.hold_out and self.data.split != "own" and not self.data.folds:
            raise ValueError(
                f"data.hold_out goes with data.split = 'own'; split {self.data.split!r} takes data.shares instead"
            )
        return self

    def with_values(self, values: Mapping[str, Any]) -> Self:
        """Return the recipe with keys such as ``"train.rate"`` replaced.

        Raises:
            RecipeError: as ``parse``.
        """
        return _validate(type(self), merge(self.model_dump(mode="json", exclude_unset=True), _nest(values)))

    @property
    def is_smoke(self) -> bool:
        """Whether this is a recipe's smoke variant."""
        return self.name.endswith(f"-{SMOKE}")

    def digest(self) -> str:
        """Return the recipe's SHA-256 in hex; comments and explicit defaults do not change it.

        Keys at their default are left out, so that a new key does not change the digests of earlier runs.
        ``data.memory``, which changes no result, is left out, too.
        """
        data = self.data.model_copy(update={"memory": DataTable().memory})
        values = json.dumps(
            self.model_copy(update={"data": data}).model_dump(mode="json", exclude_defaults=True), sort_keys=True
        )
        return hashlib.sha256(values.encode()).hexdigest()


AnyPlan = TypeVar("AnyPlan", bound=Plan)


class ClassicalRecipe(Plan):
    """A classical baseline: hand-made features and a shallow classifier."""

    classical: ClassicalTable


class HeadRecipe(Plan):
    """A new last layer on a finished model's network; ``preprocess`` must be that model's."""

    head: HeadTable


class Recipe(Plan):
    """The training of a network."""

    network: NetworkTable = NetworkTable()
    harmonise: HarmoniseTable = HarmoniseTable()
    degrade: DegradeTable = DegradeTable()
    augment: AugmentTable = AugmentTable()
    loss: LossTable = LossTable()
    consistency: ConsistencyTable = ConsistencyTable()
    self_cure: SelfCureTable = SelfCureTable()
    distil: DistilTable = DistilTable()
    train: TrainTable
    calibrate: CalibrateTable = CalibrateTable()

    @model_validator(mode="after")
    def _sizes_fit(self) -> Recipe:
        epochs = [stage.epoch for stage in self.train.sizes]
        if epochs and (epochs[0] != 0 or epochs != sorted(set(epochs)) or epochs[-1] >= self.train.epochs):
            raise ValueError("train.sizes must start at epoch 0, rise, and end before train.epochs")
        if epochs and self.train.sizes[-1].size != self.preprocess.size:
            raise ValueError(f"the last of train.sizes must be preprocess.size = {self.preprocess.size}")
        if len(epochs) > 1 and self.train.patience:
            raise ValueError("train.patience excludes growing train.sizes: early epochs cannot be compared")
        if self.train.choose == "last" and self.train.patience:
            raise ValueError("train.patience needs an epoch to be selected; leave it out, or set train.choose")
        return self

    @model_validator(mode="after")
    def _phases_fit(self) -> Recipe:
        table = self.train
        if table.frozen > table.epochs:
            raise ValueError(f"train.frozen = {table.frozen} is more than train.epochs = {table.epochs}; lower it")
        if table.frozen and not self.network.name.startswith("torchvision:"):
            raise ValueError(f"train.frozen needs a backbone (torchvision:NAME); {self.network.name} has none")
        if 0 < table.frozen < table.epochs and not table.thaw_rate:
            raise ValueError("train.thaw_rate is required where train.frozen ends before train.epochs")
        return self

    @model_validator(mode="after")
    def _corpora_fit(self) -> Recipe:
        table = self.data.corpora
        if table.draws and table.draws < self.train.batch_size:
            raise ValueError(f"data.corpora.draws = {table.draws} is less than train.batch_size; raise it")
        if not table.shares and self.harmonise != HarmoniseTable():
            raise ValueError("[harmonise] needs data.corpora.shares, the sampling shares of the corpora")
        if table.heads and self.distil.models:
            raise ValueError(
                "data.corpora.heads excludes distil.models; give the teachers' predictions, distil.answers"
            )
        if table.heads and (self.augment.mixup or self.augment.cutmix):
            raise ValueError("augment.mixup and augment.cutmix exclude data.corpora.heads; set them to 0")
        return self

    @model_validator(mode="after")
    def _noise_methods_fit(self) -> Recipe:
        weights = {"consistency.weight": self.consistency.weight, "self_cure.weight": self.self_cure.weight}
        for key in (name for name, weight in weights.items() if weight):
            if self.network.name not in POOLED:
                raise ValueError(
                    f"{key} needs a network whose mean feature maps go into one linear layer ({', '.join(POOLED)}); "
                    f"{self.network.name} has none. Set network.name, or leave {key} out"
                )
            if self.data.corpora.heads or self.train.compile:
                raise ValueError(f"{key} excludes data.corpora.heads and train.compile; leave them out")
        mixed = self.augment.mixup or self.augment.cutmix or self.distil.answers or self.distil.models
        if self.self_cure.weight and mixed:
            raise ValueError(
                "self_cure.weight relabels whole faces, so it excludes augment.mixup, augment.cutmix and [distil]; "
                "leave them out"
            )
        return self

    @model_validator(mode="after")
    def _something_degrades(self) -> Recipe:
        if self.calibrate.degraded and self.degrade == DegradeTable():
            raise ValueError(
                "calibrate.degraded needs a [degrade] table with a probability above 0; or set it to false"
            )
        return self

    def size_at(self, epoch: int) -> int:
        """Return the side in pixels of the training images in ``epoch``."""
        sizes = [stage.size for stage in self.train.sizes if stage.epoch <= epoch]
        return sizes[-1] if sizes else self.preprocess.size


AnyRecipe = Recipe | ClassicalRecipe | HeadRecipe


def shipped() -> tuple[str, ...]:
    """Return the names of the recipes in the package, sorted."""
    return tuple(sorted(path.stem for path in SHIPPED.glob("*.toml")))


def load(path: str | Path, budget: str = "") -> Recipe:
    """Read a network's recipe from a file, or from the package by its name.

    Args:
        budget: a table ``[budget.NAME]`` of the file, whose keys replace the recipe's, or ``smoke``.

    Raises:
        FileMissingError: wrong keys, each in one line, or a recipe of another kind.
        RecipeError: wrong keys, each in one line, or a recipe of another kind.
    """
    recipe = load_any(path, budget)
    if not isinstance(recipe, Recipe):
        raise RecipeError(f"{path} {_describe_kind(recipe)}; expected a recipe with [train].")
    return recipe


def load_any(path: str | Path, budget: str = "") -> AnyRecipe:
    """Read a recipe of any kind: of a network, a classical baseline or a head; arguments and errors as in ``load``."""
    budgets = variants(path)
    if budget not in budgets:
        known = tuple(name for name in budgets if name)
        raise RecipeError(f"{path} has no budget {budget!r}; it has {', '.join(known)}.{nearest(budget, known)}")
    return budgets[budget]


def variants(path: str | Path) -> dict[str, AnyRecipe]:
    """Return budget → recipe, with '' for the recipe itself; all are validated. Errors as in ``load``."""
    source = _find(path)
    try:
        values = tomllib.loads(source.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise FileMissingError(
            f"No recipe at {source}, and no recipe of this name in the package, which has {', '.join(shipped())}."
            f"{nearest(str(path), shipped())}"
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise RecipeError(f"{source} is not valid TOML: {error}") from error
    return _variants(values, str(source))


def _find(path: str | Path) -> Path:
    return SHIPPED / f"{path}.toml" if str(path) in shipped() else Path(path)


def _variants(values: dict[str, Any], source: str) -> dict[str, AnyRecipe]:
    budgets = values.pop("budget", {})
    if not isinstance(budgets, dict) or not all(isinstance(table, dict) for table in budgets.values()):
        raise RecipeError(f"{source}: 'budget' must hold tables such as [budget.2core.train].")
    kind = _kind(values)
    recipes: dict[str, AnyRecipe] = {"": _validate(kind, values, source)}
    for name, table in budgets.items():
        changed = merge(values, {**table, "name": f"{recipes[''].name}-{name}"})
        recipes[name] = _validate(kind, changed, f"{source} [budget.{name}]")
    return {**recipes, SMOKE: smoke(recipes[""])}


def _describe_kind(recipe: ClassicalRecipe | HeadRecipe) -> str:
    classical = isinstance(recipe, ClassicalRecipe)
    return f"is a {'classical baseline' if classical else 'head on a finished model'}, which has no network of its own"


@overload
def smoke(recipe: Recipe) -> Recipe: ...
@overload
def smoke(recipe: ClassicalRecipe) -> ClassicalRecipe: ...
@overload
def smoke(recipe: HeadRecipe) -> HeadRecipe: ...
def smoke(recipe: AnyRecipe) -> AnyRecipe:
    """Return the recipe's smoke variant: two epochs of small batches, few faces, no pretrained weights or teachers.

    It gets its own ``about``, because the recipe's does not apply to it.
    """
    limit = min(recipe.data.limit or SMOKE_FACES, SMOKE_FACES)
    common = {"name": f"{recipe.name}-{SMOKE}", "data.limit": limit}
    if isinstance(recipe, HeadRecipe):
        about = _smoke_about(recipe, limit, "one strength")
        return recipe.with_values({**common, "about": about, "head.c": recipe.head.c[:1]})
    if isinstance(recipe, ClassicalRecipe):
        components = min(recipe.classical.components, 8)
        about = _smoke_about(recipe, limit, "a reduced classifier")
        return recipe.with_values({**common, "about": about, "classical.components": components})
    frozen = 2 if recipe.train.frozen == recipe.train.epochs else min(recipe.train.frozen, 1)
    values: dict[str, Any] = {
        **common,
        "about": _smoke_about(recipe, limit, "two epochs from random weights"),
        "train.epochs": 2,
        "train.frozen": frozen,
        "train.batch_size": 8,
        "train.sizes": [],
        "train.ema": min(recipe.train.ema, 0.5),
        "distil.answers": [],
        "distil.models": [],
        "distil.rounds": 0,
        "preprocess.size": min(recipe.preprocess.size, 48),
    }
    if recipe.network.name.startswith("torchvision:") or recipe.network.pretrained:
        values["network.pretrained"] = False
    if recipe.network.start is not None:
        values["network.start"] = None
    if recipe.data.corpora.draws:
        values["data.corpora.draws"] = 64
    if recipe.self_cure.weight:
        values["self_cure.relabel_from"] = min(recipe.self_cure.relabel_from, 1)
    return recipe.with_values(values)


def _smoke_about(recipe: Plan, limit: int, what: str) -> str:
    return (
        f"Smoke run of {recipe.name}: {what}, at most {limit} faces of each split. It shows that the recipe runs; its "
        f"metrics say nothing about {recipe.name}."
    )


def parse(values: dict[str, Any], source: str = "recipe") -> Recipe:
    """Build a network's recipe from nested values; ``source`` names them in errors. Raises ``RecipeError``."""
    return _validate(Recipe, values, source)


def parse_any(values: dict[str, Any], source: str = "recipe") -> AnyRecipe:
    """Build a recipe of any kind; arguments and errors as in ``parse``."""
    return _validate(_kind(values), values, source)


def of_run(run: Path) -> AnyRecipe:
    """Read the recipe of a run folder.

    Raises:
        FileMissingError: a damaged file.
        RecipeError: a damaged file.
    """
    path = run / run_files.RECIPE
    if not path.exists():
        raise FileMissingError(f"{run} has no recipe.json; expected a folder that `mien train` wrote.")
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise RecipeError(f"{path} is damaged: {error}. Copy the run again, or train again.") from error
    if not isinstance(values, dict):
        raise RecipeError(f"{path} holds {type(values).__name__}, expected a JSON object as `mien train` writes it.")
    values.pop("digest", None)
    return parse_any(values, str(path))


def _kind(values: Mapping[str, Any]) -> type[AnyRecipe]:
    return ClassicalRecipe if "classical" in values else HeadRecipe if "head" in values else Recipe


def _validate(kind: type[AnyPlan], values: dict[str, Any], source: str = "recipe") -> AnyPlan:
    try:
        # Only in JSON mode do strict types accept a TOML array for a tuple.
        return kind.model_validate_json(json.dumps(values, default=str), strict=True)
    except ValidationError as error:
        lines = list(dict.fromkeys(_explain(dict(detail), kind) for detail in error.errors()))
        raise RecipeError(f"{source}: " + "; ".join(lines)) from error


def merge(values: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Merge nested ``changes`` into a copy of nested ``values``."""
    merged = dict(values)
    for key, value in changes.items():
        both = isinstance(value, Mapping) and isinstance(merged.get(key), Mapping)
        merged[key] = merge(merged[key], value) if both else value
    return merged


def _nest(values: Mapping[str, Any]) -> dict[str, Any]:
    """Turn ``{"train.rate": 1}`` into ``{"train": {"rate": 1}}``."""
    tables: dict[str, Any] = {}
    for key, value in values.items():
        nested = value
        for table in reversed(key.split(".")):
            nested = {table: nested}
        tables = merge(tables, nested)
    return tables


def _explain(detail: dict[str, Any], kind: type[Plan]) -> str:
    where = ".".join(str(part) for part in detail["loc"])
    if detail["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
        *parents, key = detail["loc"]
        allowed = keys(tuple(str(parent) for parent in parents), kind)
        return f"unknown key {where!r}.{nearest(str(key), allowed)} Known keys: {', '.join(allowed)}"
    if detail["type"] == "missing":
        return f"{where!r} is required"
    given = "" if detail["type"] == "value_error" and not where else f"{where} = {detail['input']!r}: "
    message: str = detail["msg"]
    return given + message.removeprefix("Value error, ")


def keys(parents: tuple[str, ...] = (), kind: type[Plan] = Recipe) -> tuple[str, ...]:
    """Return the keys of a kind of recipe or, with ``parents``, of a table in it."""
    table: Any = kind
    for parent in parents:
        table = get_args(table)[0] if parent.isdigit() else table.model_fields[parent].annotation
    if isinstance(table, types.UnionType):
        table = get_args(table)[0]
    return tuple(getattr(table, "model_fields", None) or table.__dataclass_fields__)
