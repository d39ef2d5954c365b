"""The parser that all verbs share: argparse, with errors of one line that name the nearest right word."""

from __future__ import annotations

import math
import re
from argparse import Action, ArgumentParser, ArgumentTypeError, Namespace, RawDescriptionHelpFormatter
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from mien.errors import OptionError, nearest
from mien.foreign import OPTIONS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


_NAME = "\0"
_SHORT = {"--out": "-o", "--quiet": "-q"}


class Parser(ArgumentParser):
    """The parser of one verb; ``error`` raises ``OptionError`` where argparse would print and exit."""

    def __init__(self, verb: str, summary: str, *, epilog: str | None = None) -> None:
        super().__init__(
            f"mien {verb}",
            description=summary,
            epilog=epilog,
            allow_abbrev=False,  # a shortened option would change its meaning when a longer one is added
            formatter_class=RawDescriptionHelpFormatter,
        )
        self._typed: Sequence[str] = ()

    def add_argument(self, *names: Any, **settings: Any) -> Action:
        """Declare an argument; ``--out`` and ``--quiet`` can be shortened in every verb that has them."""
        short = [_SHORT[name] for name in names if name in _SHORT]
        return super().add_argument(*short, *names, **settings)

    def parse(self, arguments: Sequence[str]) -> Namespace:
        """Parse; what comes after ``--`` is no option, also where it begins with a dash."""
        self._typed = list(arguments)
        if "--" not in arguments:
            return self.parse_intermixed_args(arguments)
        at = list(arguments).index("--")
        # argparse takes such names for options when they stand among others' positions; the mark hides the dash.
        names = [f"{_NAME}{name}" if name.startswith("-") and name != "-" else name for name in arguments[at + 1 :]]
        options = self.parse_intermixed_args([*arguments[:at], *names])
        return Namespace(**{key: _unmarked(value) for key, value in vars(options).items()})

    def error(self, message: str) -> NoReturn:
        """Raise ``OptionError``: what argparse found, the right option, where the options are listed."""
        if message.startswith("the following arguments are required"):
            message = self._misspelt() or message
        unknown = re.match(r"unrecognized arguments: (--[^\s=]+)", message)
        hint = self._hint(unknown[1]) if unknown else ""
        raise OptionError(f"{message.rstrip('.')}{'' if message.endswith('?') else '.'}{hint} See {self.prog} --help")

    def _misspelt(self) -> str:
        """Return argparse's message on the first option that is not there; it names what is missing before those."""
        options = takewhile(lambda word: word != "--", self._typed)
        names = (word.partition("=")[0] for word in options if word.startswith("--"))
        unknown = next((name for name in names if name not in self._option_string_actions), None)
        return "" if unknown is None else f"unrecognized arguments: {unknown}"

    def _hint(self, option: str) -> str:
        """Return what to write for an option that is not there: what other programs mean by it, or a near name."""
        own = [name for name in self._option_string_actions if name.startswith("--")]
        close = nearest(option, own, cutoff=0.75)
        meant = OPTIONS.get(option, "")
        if close or not meant:
            return close
        if meant.startswith("--"):
            return f" Did you mean {meant!r}?" if meant in own else ""
        return f" Instead: {meant}."


def _unmarked(value: Any) -> Any:
    if isinstance(value, list):
        return [_unmarked(one) for one in value]
    if isinstance(value, Path):
        return Path(str(value).removeprefix(_NAME))
    return value.removeprefix(_NAME) if isinstance(value, str) else value


def detector_argument(parser: ArgumentParser, default: str | None = "yunet", note: str = "default: yunet") -> None:
    """Declare ``--detector``; its value is checked where the detector is built."""
    text = f"yunet, haar, mtcnn; whole: the image is one face ({note})"
    parser.add_argument("--detector", default=default, metavar="D", help=text)


def detection_arguments(parser: ArgumentParser) -> None:
    """Declare ``--detector`` and which of its faces are kept, for verbs that read photos or frames."""
    detector_argument(parser)
    add = parser.add_argument
    add("--max-faces", type=count, metavar="N", help="keep the N largest faces of each image")
    add("--min-size", type=not_negative, metavar="PX", help="leave out faces smaller than PX pixels")
    add("--threshold", type=number, metavar="S", help="leave out faces that the detector scores below S")


def device_argument(parser: ArgumentParser) -> None:
    """Declare ``--device``; its value is checked where the model is loaded."""
    text = "auto (default), cpu, cuda, coreml, directml or openvino: where the networks run"
    parser.add_argument("--device", default="auto", metavar="D", help=text)


def one_of(*allowed: str) -> Callable[[str], str]:
    """Return an argparse type that takes one of ``allowed`` and suggests the nearest for anything else."""

    def check(text: str) -> str:
        if text not in allowed:
            raise ArgumentTypeError(f"{text!r} is none of {', '.join(allowed)}.{nearest(text, allowed)}")
        return text

    return check


def count(text: str) -> int:
    """Read a whole number from 1 up, as an argparse type."""
    if not text.isdecimal() or int(text) < 1:
        raise ArgumentTypeError(f"{text!r}: expected a whole number, 1 or more")
    return int(text)


def seed(text: str) -> int:
    """Read the seed of a draw, as an argparse type: the range that NumPy, scikit-learn and torch all take."""
    if not text.isdecimal() or int(text) > 2**32 - 1:
        raise ArgumentTypeError(f"{text!r}: expected a whole number from 0 to {2**32 - 1}")
    return int(text)


def number(text: str) -> float:
    """Read a finite number, as an argparse type; its range is checked where it is used."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ArgumentTypeError(f"{text!r}: expected a number")
    return value


def positive(text: str) -> float:
    """Read a number above 0, as an argparse type."""
    if (value := number(text)) <= 0:
        raise ArgumentTypeError(f"{text!r}: expected a number above 0")
    return value


def not_negative(text: str) -> float:
    """Read a number from 0 up, as an argparse type."""
    if (value := number(text)) < 0:
        raise ArgumentTypeError(f"{text!r}: expected a number, 0 or more")
    return value
