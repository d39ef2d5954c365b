"""Training recipes: TOML with strict keys, resolved to frozen values before anything is trained.

A recipe is all that a run depends on besides the data and the library versions; its digest names the run.
"""

from __future__ import annotations

import hashlib
import json
import tomllib
import types
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from mien.errors import FileMissingError, RecipeError, nearest
from mien.preprocess import PreprocessSpec

Fraction = Annotated[float, Field(ge=0, lt=1)]
Count = Annotated[int, Field(ge=1)]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class DataTable(_Table):
    """Which corpus is read; the path is given at run time."""

    corpus: Literal["fer2013"] = "fer2013"


class NetworkTable(_Table):
    """Which network, by its name in ``networks.NETWORKS``, and its dropout rates."""

    name: Literal["four_block"] = "four_block"
    spatial_dropout: Fraction = 0.25
    dropout: Fraction = 0.5


class AugmentTable(_Table):
    """Random changes to each training face; 0 switches a change off.

    flip: probability of mirroring. rotate: ± degrees. shift: ± fraction of the side. zoom: ± fraction of the size.
    erase: probability of blanking one rectangle of 2–15 % of the area.
    """

    flip: Annotated[float, Field(ge=0, le=1)] = 0.5
    rotate: Annotated[float, Field(ge=0, le=180)] = 0.0
    shift: Fraction = 0.0
    zoom: Fraction = 0.0
    erase: Annotated[float, Field(ge=0, le=1)] = 0.0


class Stage(_Table):
    """From which epoch (counted from 0) on the training images are how many pixels wide."""

    epoch: Annotated[int, Field(ge=0)]
    size: Annotated[int, Field(ge=16)]


class TrainTable(_Table):
    """The schedule.

    sizes:     image side by epoch; empty means the preprocess size throughout. Small images early save time
               (Howard 2018, progressive resizing); the last stage must be the preprocess size.
    warmup:    fraction of a one-cycle run in which the rate rises.
    decay:     weight decay, on matrices and kernels only: decaying biases and batch-norm gains only hurts.
    ema:       decay per step of the exponential moving average of the weights; 0 switches it off.
    patience:  epochs without a better PublicTest accuracy after which training stops; 0 never stops early.
    bfloat16:  autocast; channels_last: memory layout. Together 2.3 × faster than neither on a CPU with AVX-512.
    """

    epochs: Count
    batch_size: Annotated[int, Field(ge=2)] = 64
    sizes: tuple[Stage, ...] = ()
    optimizer: Literal["adam", "adamw", "sgd"] = "adamw"
    rate: Annotated[float, Field(gt=0)] = 1e-3
    decay: Annotated[float, Field(ge=0)] = 0.0
    schedule: Literal["constant", "one_cycle", "cosine"] = "one_cycle"
    warmup: Annotated[float, Field(gt=0, lt=1)] = 0.2
    label_smoothing: Fraction = 0.0
    ema: Fraction = 0.0
    patience: Annotated[int, Field(ge=0)] = 0
    bfloat16: bool = True
    channels_last: bool = True
    seed: Annotated[int, Field(ge=0)] = 0


class Recipe(_Table):
    """A whole training run."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]*$")]
    about: str = ""
    data: DataTable = DataTable()
    preprocess: PreprocessSpec = PreprocessSpec()
    network: NetworkTable = NetworkTable()
    augment: AugmentTable = AugmentTable()
    train: TrainTable

    @model_validator(mode="after")
    def _sizes_fit(self) -> Recipe:
        epochs = [stage.epoch for stage in self.train.sizes]
        if epochs and (epochs[0] != 0 or epochs != sorted(set(epochs)) or epochs[-1] >= self.train.epochs):
            raise ValueError("train.sizes must start at epoch 0, rise, and end before train.epochs")
        if epochs and self.train.sizes[-1].size != self.preprocess.size:
            raise ValueError(f"the last of train.sizes must be preprocess.size = {self.preprocess.size}")
        if len(epochs) > 1 and self.train.patience:
            raise ValueError("train.patience does not go with growing train.sizes: early epochs cannot be compared")
        return self

    def size_at(self, epoch: int) -> int:
        """Return the side in pixels of the training images in ``epoch``."""
        sizes = [stage.size for stage in self.train.sizes if stage.epoch <= epoch]
        return sizes[-1] if sizes else self.preprocess.size

    def digest(self) -> str:
        """Return the sha256, hex, of the resolved recipe; equal for files that differ in comments only."""
        values = json.dumps(self.model_dump(mode="json"), sort_keys=True)
        return hashlib.sha256(values.encode()).hexdigest()


def load(path: str | Path) -> Recipe:
    """Read a recipe file. Raises ``FileMissingError``, or ``RecipeError`` with one line per wrong key."""
    source = Path(path)
    try:
        values = tomllib.loads(source.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise FileMissingError(f"No recipe at {source}; the shipped ones are in the folder recipes/.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise RecipeError(f"{source} is not valid TOML: {error}") from error
    return parse(values, str(source))


def parse(values: dict[str, Any], source: str = "recipe") -> Recipe:
    """Build a recipe from nested values; ``source`` names them in errors. Raises ``RecipeError``."""
    try:
        # JSON mode is the one in which strict types still take a TOML array for a tuple.
        return Recipe.model_validate_json(json.dumps(values, default=str), strict=True)
    except ValidationError as error:
        lines = [_explain(dict(detail)) for detail in error.errors()]
        raise RecipeError(f"{source}: " + "; ".join(lines)) from error


def _explain(detail: dict[str, Any]) -> str:
    where = ".".join(str(part) for part in detail["loc"])
    if detail["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
        *parents, key = detail["loc"]
        allowed = _keys(tuple(str(parent) for parent in parents))
        return f"unknown key {where!r}.{nearest(str(key), allowed)} Known here: {', '.join(allowed)}"
    if detail["type"] == "missing":
        return f"{where!r} is required"
    given = "" if detail["type"] == "value_error" and not where else f"{where} = {detail['input']!r}: "
    message: str = detail["msg"]
    return given + message.removeprefix("Value error, ")


def _keys(parents: tuple[str, ...]) -> tuple[str, ...]:
    table: Any = Recipe
    for parent in parents:
        table = get_args(table)[0] if parent.isdigit() else table.model_fields[parent].annotation
    if isinstance(table, types.UnionType):
        table = get_args(table)[0]
    return tuple(getattr(table, "model_fields", None) or table.__dataclass_fields__)
