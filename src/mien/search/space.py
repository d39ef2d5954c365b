"""Search spaces: keys of a recipe, each with a range or choices, validated before anything is trained."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from mien.errors import OptionError
from mien.recipes.recipe import Recipe
from mien.training.module import network_of

if TYPE_CHECKING:
    from optuna import Trial

Choice = bool | int | float | str

FIXED = ("name", "about", "data.scheme", "data.classes", "data.split", "data.shares", "data.hold_out", "data.seed")
"""Keys that a search must not change: names, and everything that determines the validation set of the trials."""


@dataclass(frozen=True)
class Dimension:
    """One key of a search with its choices or, if there are none, with its range, both ends included.

    Attributes:
        log: sampled uniformly over the logarithm.
        whole: integers only.
    """

    key: str
    low: float = 0.0
    high: float = 0.0
    log: bool = False
    whole: bool = False
    choices: tuple[Choice, ...] = ()

    def __str__(self) -> str:
        if self.choices:
            return f"{self.key}={','.join(str(choice) for choice in self.choices)}"
        return f"{self.key}={self.low:g}:{self.high:g}{':log' if self.log else ''}"

    def holds(self, value: Any) -> bool:
        """Check whether ``value`` is in the range or among the choices; None, a network's own default, never is."""
        if self.choices:
            return value in self.choices
        return isinstance(value, int | float) and self.low <= value <= self.high

    def suggest(self, trial: Trial) -> Choice:
        """Sample a value for an Optuna trial."""
        if self.choices:
            return cast("Choice", trial.suggest_categorical(self.key, self.choices))
        if self.whole:
            return trial.suggest_int(self.key, int(self.low), int(self.high), log=self.log)
        return trial.suggest_float(self.key, self.low, self.high, log=self.log)

    def ends(self) -> tuple[Choice, ...]:
        """Return the values that the recipe must accept: the choices, or the ends of the range."""
        if self.choices:
            return self.choices
        return (int(self.low), int(self.high)) if self.whole else (self.low, self.high)


def read(texts: Sequence[str], recipe: Recipe) -> tuple[Dimension, ...]:
    """Read ``KEY=LOW:HIGH``, ``KEY=LOW:HIGH:log`` or ``KEY=a,b,c`` for keys such as ``train.rate``.

    Ends and choices are validated on the recipe one by one.

    Raises:
        RecipeError: a key that the recipe or its network does not have and a value that they do not accept.
        OptionError: an impossible range or a key that must not change.
    """
    space = tuple(_read(text, recipe) for text in texts)
    keys = [dimension.key for dimension in space]
    for key in keys:
        if keys.count(key) > 1:
            raise OptionError(f"The key {key} is in the space {keys.count(key)} times; give it once.")
    if not space:
        raise OptionError("The space is empty; give at least one key, such as train.rate=1e-4:1e-1:log.")
    return space


def value_of(recipe: Recipe, key: str) -> Any:
    """Return the recipe's value of ``key``, JSON-ready.

    Raises:
        RecipeError: naming the nearest if there is none.
    """
    value: Any = recipe.model_dump(mode="json")
    for name in key.split("."):
        if not isinstance(value, dict) or name not in value:
            recipe.with_values({key: 0})  # raises a better message for an unknown key
            raise OptionError(f"{key} is no single value of a recipe; name one, such as train.rate.")
        value = value[name]
    if isinstance(value, dict):
        raise OptionError(f"{key} is a table of the recipe; name one of its keys, such as {key}.{next(iter(value))}.")
    return value


def _read(text: str, recipe: Recipe) -> Dimension:
    key, equals, values = (part.strip() for part in text.partition("="))
    if not equals or not key or not values:
        raise OptionError(f"Space {text!r}: expected KEY=LOW:HIGH, KEY=LOW:HIGH:log or KEY=a,b,c.")
    if key in FIXED:
        raise OptionError(
            f"Space {text!r}: {key} does not affect training, or moves faces between splits; leave it out."
        )
    current = value_of(recipe, key)
    # torchvision:resnet18 has a colon too, but only occurs among choices.
    ranged = ":" in values and "," not in values
    dimension = _range(text, key, values, current) if ranged else _choices(text, key, values)
    for value in dimension.ends():
        changed = recipe.with_values({key: value})
        if key.startswith("network."):
            network_of(changed, 2, trained=True)  # only the network itself knows its options
    return dimension


def _range(text: str, key: str, values: str, current: Any) -> Dimension:
    low, high, *rest = values.split(":")
    if rest not in ([], ["log"]):
        raise OptionError(f"Space {text!r}: {':'.join(rest)!r} after the range; only 'log' is allowed there.")
    if isinstance(current, bool | str | list):
        raise OptionError(f"Space {text!r}: {key} = {current!r} is not a number; give choices, KEY=a,b,c.")
    whole = isinstance(current, int)
    first, last = _number(text, low, whole), _number(text, high, whole)
    if first >= last:
        raise OptionError(f"Space {text!r}: expected LOW below HIGH.")
    if rest and first <= 0:
        raise OptionError(f"Space {text!r}: a logarithmic range starts above 0.")
    return Dimension(key, first, last, bool(rest), whole)


def _number(text: str, literal: str, whole: bool) -> float:
    try:
        value = float(literal)
    except ValueError:
        raise OptionError(f"Space {text!r}: {literal!r} is not a number.") from None
    if not math.isfinite(value) or (whole and value != int(value)):
        raise OptionError(f"Space {text!r}: {literal} is not a {'whole' if whole else 'finite'} number.")
    return value


def _choices(text: str, key: str, values: str) -> Dimension:
    choices = tuple(_parse_literal(text.strip()) for text in values.split(","))
    if len(set(choices)) < 2 or len(set(choices)) < len(choices):
        raise OptionError(
            f"Space {text!r}: expected two or more different choices, KEY=a,b,c, or a range, KEY=LOW:HIGH."
        )
    return Dimension(key, choices=choices)


def _parse_literal(text: str) -> Choice:
    """Parse a TOML value; bare words are strings."""
    try:
        value: Any = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text
    return value if isinstance(value, bool | int | float | str) else text


def defaults(space: Sequence[Dimension], recipe: Recipe) -> Mapping[str, Any]:
    """Return the recipe's own values of the searched keys; None for a network's own default."""
    return {dimension.key: value_of(recipe, dimension.key) for dimension in space}
