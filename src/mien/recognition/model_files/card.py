"""The card of a model: what its file says of itself, as values, as JSON and as text of 80 columns."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from os import PathLike
from typing import TYPE_CHECKING, Any

from mien.recognition.model_files import bundle as bundles
from mien.recognition.model_files import names

if TYPE_CHECKING:
    from mien.recognition.model_files.bundle import Bundle
    from mien.recognition.model_files.corpus import Corpus

WIDTH = 80
_DEDUPLICATED = "_without_training_copies"
_TESTS = ("private_test", "test")
_CHOSEN_ON = ("public_test", "validation")


@dataclass(frozen=True)
class Headline:
    """A model's accuracy on a test set.

    Attributes:
        part: the set's name in words.
        faces: how many it has.
        accuracy: 0 to 1.
    """

    part: str
    faces: int
    accuracy: float


@dataclass(frozen=True, repr=False)
class ModelCard:
    """What a model file says of itself; ``print`` shows it in 80 columns.

    Attributes:
        bundle: the file's content.
        aliases: other names that ``mien.load`` knows the model by.
    """

    bundle: Bundle
    aliases: tuple[str, ...] = ()

    @classmethod
    def read(cls, model: str | PathLike[str] = "default") -> ModelCard:
        """Read the card of a model inside the package, of a model file or of a run folder; nothing else is loaded.

        Raises:
            FileMissingError: as ``mien.load`` does.
            ModelError: as ``mien.load`` does.
        """
        return cls.of(model, bundles.read(model))

    @classmethod
    def of(cls, model: str | PathLike[str], bundle: Bundle) -> ModelCard:
        """Return the card of ``bundle``, which was read as ``model``."""
        name = names.public(model)
        return cls(bundle, names.aliases(name) if name else ())

    def __repr__(self) -> str:
        best = self.headline
        measured = f", {best.accuracy:.1%} of {best.faces:,} faces of {best.part}" if best else ""
        return f"<ModelCard {self.name}: {len(self.labels)} classes, {self.size}{measured}>"

    def __str__(self) -> str:
        return "\n".join(_lines(self))

    @property
    def name(self) -> str:
        """The model's public name, as results carry it."""
        return self.bundle.name

    @property
    def labels(self) -> tuple[str, ...]:
        """Class names, in the order of the model file."""
        return self.bundle.labels.labels

    @property
    def bytes(self) -> int:
        """Bytes of the model file, its description left out."""
        return len(self.bundle.graph)

    @property
    def size(self) -> str:
        """``bytes`` for people, such as ``6.3 MB``."""
        megabytes = self.bytes / 1e6
        return f"{megabytes:.1f} MB" if megabytes >= 1 else f"{megabytes:.2f} MB"

    @property
    def input(self) -> str:
        """What the network takes, such as ``48×48 grey`` or ``112×112 RGB``."""
        spec = self.bundle.preprocess
        return f"{spec.size}×{spec.size} {'grey' if spec.grey else 'RGB'}"

    @property
    def metrics(self) -> dict[str, Any]:
        """All that was measured, by the split that it was measured on."""
        return self.bundle.metrics

    @property
    def headline(self) -> Headline | None:
        """The accuracy on the test set; None where no test set was scored."""
        return headline(self.metrics)

    @property
    def trained_on(self) -> tuple[Corpus, ...]:
        """The corpora that the model learned from, with their terms; empty where the file does not say."""
        return self.bundle.trained_on

    @property
    def licence(self) -> str:
        """The licence of the weights."""
        return self.bundle.licence

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-ready values."""
        bundle, best = self.bundle, self.headline
        return {
            "model": self.name,
            "aliases": list(self.aliases),
            "labels": list(self.labels),
            "bytes": self.bytes,
            "headline": asdict(best) if best else None,
            "trained_on": [corpus.to_dict() for corpus in self.trained_on],
            "preprocess": bundle.preprocess.to_dict(),
            "temperature": bundle.temperature,
            "uncertain_below": bundle.uncertain_below,
            "metrics": bundle.metrics,
            "provenance": bundle.provenance,
            "licence": bundle.licence,
            "recipe_digest": bundle.recipe_digest,
            "digest": bundle.digest,
        }


def headline(metrics: dict[str, Any]) -> Headline | None:
    """Return the accuracy on the test set among a model file's metrics; None where no test set was scored."""
    parts = {
        name: values
        for name, values in metrics.items()
        if isinstance(values, dict)
        and {"faces", "accuracy"} <= set(values)
        and not name.endswith(_DEDUPLICATED)
        and name not in _CHOSEN_ON
    }
    name = next((name for name in _TESTS if name in parts), next(iter(parts), None))
    return None if name is None else Headline(words(name), parts[name]["faces"], parts[name]["accuracy"])


def words(part: str) -> str:
    """Return the name of a split for people."""
    return {"private_test": "PrivateTest", "public_test": "PublicTest"}.get(part, part.replace("_", " "))


def scored(metrics: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the entries that are the scores of a split."""
    return {name: values for name, values in metrics.items() if isinstance(values, dict) and "macro_f1" in values}


def figures(values: dict[str, Any]) -> tuple[str, ...]:
    """Format faces, accuracy, interval, macro F1 and ECE for a table."""
    low, high = values["interval"]
    return (
        str(values["faces"]),
        f"{values['accuracy']:.2%}",
        f"{low:.1%} – {high:.1%}",
        f"{values['macro_f1']:.3f}",
        f"{values['ece']:.3f}",
    )


def items(pairs: Sequence[tuple[str, str]]) -> Iterator[str]:
    """Yield names and, in a column of their own, texts, in lines of at most 80 letters."""
    indent = " " * (4 + max((len(name) for name, _ in pairs), default=0))
    for name, text in pairs:
        yield from textwrap.wrap(text, WIDTH, initial_indent=f"  {name}".ljust(len(indent)), subsequent_indent=indent)


def aligned(rows: Sequence[tuple[str, ...]]) -> Iterator[str]:
    """Yield the rows of a table, each column as wide as its widest cell."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def _lines(card: ModelCard) -> Iterator[str]:
    bundle, made = card.bundle, card.bundle.provenance
    yield card.name
    facts = {
        "also": ", ".join(card.aliases),
        "classes": f"{len(card.labels)}: {', '.join(card.labels)}",
        "input": card.input,
        "size": card.size,
        "temperature": f"{bundle.temperature:.3f}",
        "uncertain": _uncertain(bundle),
        "recipe": f"{made['recipe']}, sha256 {bundle.recipe_digest[:12]}" if "recipe" in made else "",
        "members": _members(made.get("members")),
        "trained": str(made.get("trained_on", "")),
        "selected": str(made.get("selected_on", "")),
        "licence": bundle.licence,
        "sha256": bundle.digest,
    }
    yield from items([(key, value) for key, value in facts.items() if value])
    rows = [(_split(name), *figures(values)) for name, values in scored(card.metrics).items()]
    if rows:
        yield ""
        yield from aligned([("measured on", "faces", "accuracy", "95 % interval", "macro F1", "ECE"), *rows])
    yield ""
    yield "trained on" if card.trained_on else "The corpora are not stated in the file."
    yield from items([(corpus.name, f"{corpus.use}: {corpus.terms}") for corpus in card.trained_on])


def _members(members: object) -> str:
    """Return the members of an ensemble with their weights; "" for other models."""
    if not isinstance(members, list) or not all(isinstance(one, dict) for one in members):
        return ""
    return ", ".join(f"{one.get('model')} {one.get('weight', 0):.3g}" for one in members)


def _split(name: str) -> str:
    return "  without duplicates" if name.endswith(_DEDUPLICATED) else words(name)


def _uncertain(bundle: Bundle) -> str:
    chosen = bundle.metrics.get("uncertain")
    share = ""
    if isinstance(chosen, dict) and {"accuracy", "coverage"} <= set(chosen):
        share = f", which leaves {chosen['coverage']:.1%} of the validation set, {chosen['accuracy']:.1%} of it right"
    return f"below {bundle.uncertain_below:.2f}{share}"
