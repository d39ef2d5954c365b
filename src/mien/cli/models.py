"""Without NAME a table of the models inside the package, and the corpora that they learned from, with their terms. With
NAME all that a model's file says of itself; NAME is a name, an alias, an .onnx file or a run folder.

Everything shown is read from the model files.

Next: mien models default
"""

from __future__ import annotations

import json
import sys
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from mien.cli import DONE
from mien.cli.shared import figures, scored

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from mien.recognition.model_files.bundle import Bundle
    from mien.recognition.model_files.corpus import Corpus

WIDTH = 80
_ALSO = 13
_COPIES = "_without_training_copies"
_TESTS = ("private_test", "test")
_CHOSEN_ON = ("public_test", "validation")


def arguments(parser: ArgumentParser) -> None:
    """Declare the options of ``mien models``."""
    parser.add_argument("models", nargs="*", metavar="NAME", help="name, alias, .onnx file or run folder")
    parser.add_argument("--json", action="store_true", help="print a JSON list with one object a model")


def run(options: Namespace) -> int:
    """Show the table, or a card for each model that is named; return the exit code."""
    from mien.recognition.model_files import bundle, names

    wanted = options.models or names.shipped()
    described = [Described.of(model, bundle.read(model)) for model in wanted]
    if options.json:
        sys.stdout.write(json.dumps([model.to_dict() for model in described], indent=1, ensure_ascii=False) + "\n")
        return DONE
    lines = (line for model in described for line in _card(model)) if options.models else _table(described)
    sys.stdout.writelines(f"{line}\n" for line in lines)
    return DONE


@dataclass(frozen=True)
class Headline:
    """A model's accuracy on a test set. part: the set's name in words.  faces: how many it has."""

    part: str
    faces: int
    accuracy: float


def headline(metrics: dict[str, Any]) -> Headline | None:
    """Return the accuracy on the test set among a model file's metrics; None where no test set was scored."""
    parts = {
        name: values
        for name, values in metrics.items()
        if isinstance(values, dict)
        and {"faces", "accuracy"} <= set(values)
        and not name.endswith(_COPIES)
        and name not in _CHOSEN_ON
    }
    name = next((name for name in _TESTS if name in parts), next(iter(parts), None))
    return None if name is None else Headline(words(name), parts[name]["faces"], parts[name]["accuracy"])


def words(part: str) -> str:
    """Return the name of a part of the data for people."""
    return {"private_test": "PrivateTest", "public_test": "PublicTest"}.get(part, part.replace("_", " "))


def size(bundle: Bundle) -> str:
    """Return a model's size for people."""
    megabytes = len(bundle.graph) / 1e6
    return f"{megabytes:.1f} MB" if megabytes >= 1 else f"{megabytes:.2f} MB"


@dataclass(frozen=True)
class Described:
    """A model file's content and the other names that it goes by."""

    bundle: Bundle
    aliases: tuple[str, ...]

    @classmethod
    def of(cls, model: str, bundle: Bundle) -> Described:
        """Describe ``bundle``, which was read as ``model``."""
        from mien.recognition.model_files import names

        name = names.public(model)
        return cls(bundle, names.aliases(name) if name else ())

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-ready values."""
        bundle, best = self.bundle, headline(self.bundle.metrics)
        return {
            "model": bundle.name,
            "aliases": list(self.aliases),
            "labels": list(bundle.labels.labels),
            "bytes": len(bundle.graph),
            "headline": asdict(best) if best else None,
            "trained_on": [corpus.to_dict() for corpus in bundle.trained_on],
            "preprocess": bundle.preprocess.to_dict(),
            "temperature": bundle.temperature,
            "uncertain_below": bundle.uncertain_below,
            "metrics": bundle.metrics,
            "provenance": bundle.provenance,
            "licence": bundle.licence,
            "recipe_digest": bundle.recipe_digest,
            "digest": bundle.digest,
        }


def _table(models: Sequence[Described]) -> Iterator[str]:
    rows = [("model", "also", "classes", "input", "size", "accuracy")]
    for model in models:
        best = headline(model.bundle.metrics)
        measured = f"{best.accuracy * 100:.1f} % of {best.faces:,}" if best else "not measured"
        also = textwrap.wrap(", ".join(model.aliases), _ALSO, break_long_words=False, break_on_hyphens=False) or [""]
        bundle = model.bundle
        rows.append((bundle.name, also[0], str(len(bundle.labels)), _input(bundle), size(bundle), measured))
        rows += [("", more, "", "", "", "") for more in also[1:]]
    yield from _aligned(rows)
    parts = sorted({best.part for model in models if (best := headline(model.bundle.metrics))})
    if parts:
        yield ""
        yield from textwrap.wrap(
            f"Accuracy on {', '.join(parts)}, by the labels that the model learned; models of other classes cannot be "
            "compared by it. mien models NAME shows all that was measured.",
            WIDTH,
        )
    yield ""
    learned = [(model.bundle.name, corpus) for model in models for corpus in model.bundle.trained_on]
    if learned:
        yield "trained on"
        yield from _items(_corpora(learned))
    silent = [model.bundle.name for model in models if not model.bundle.trained_on]
    if silent:
        yield f"The corpora of {', '.join(silent)} are not stated in the file."


def _corpora(pairs: Iterable[tuple[str, Corpus]]) -> list[tuple[str, str]]:
    """Return each corpus with its terms, then the models that learned from it."""
    takers: dict[tuple[str, str], list[str]] = {}
    for model, corpus in pairs:
        use = "" if corpus.use == "training" else f" ({corpus.use})"
        takers.setdefault((corpus.name, corpus.terms), []).append(f"{model}{use}")
    return [
        item
        for (name, terms), models in takers.items()
        for item in ((name, terms), ("", f"learned by {', '.join(models)}"))
    ]


def _card(model: Described) -> Iterator[str]:
    bundle, made = model.bundle, model.bundle.provenance
    yield bundle.name
    facts = {
        "also": ", ".join(model.aliases),
        "classes": f"{len(bundle.labels)}: {', '.join(bundle.labels.labels)}",
        "input": _input(bundle),
        "size": size(bundle),
        "temperature": f"{bundle.temperature:.3f}",
        "uncertain": _uncertain(bundle),
        "recipe": f"{made['recipe']}, sha256 {bundle.recipe_digest[:12]}" if "recipe" in made else "",
        "trained": str(made.get("trained_on", "")),
        "selected": str(made.get("selected_on", "")),
        "licence": bundle.licence,
        "sha256": bundle.digest,
    }
    yield from _items([(key, value) for key, value in facts.items() if value])
    parts = [(_part(name), *figures(values)) for name, values in scored(bundle.metrics).items()]
    if parts:
        yield ""
        yield from _aligned([("measured on", "faces", "accuracy", "95 % interval", "macro F1", "ECE"), *parts])
    yield ""
    yield "trained on" if bundle.trained_on else "The corpora are not stated in the file."
    yield from _items([(corpus.name, f"{corpus.use}: {corpus.terms}") for corpus in bundle.trained_on])
    yield ""


def _part(name: str) -> str:
    return "  without duplicates" if name.endswith(_COPIES) else words(name)


def _uncertain(bundle: Bundle) -> str:
    chosen = bundle.metrics.get("uncertain")
    share = ""
    if isinstance(chosen, dict) and {"accuracy", "coverage"} <= set(chosen):
        share = f", which leaves {chosen['coverage']:.1%} of the validation set, {chosen['accuracy']:.1%} of it right"
    return f"below {bundle.uncertain_below:.2f}{share}"


def _input(bundle: Bundle) -> str:
    spec = bundle.preprocess
    return f"{spec.size}×{spec.size} {'grey' if spec.grey else 'colour'}"


def _items(pairs: Sequence[tuple[str, str]]) -> Iterator[str]:
    """Yield names and, in a column of their own, texts, in lines of at most 80 letters."""
    indent = " " * (4 + max((len(name) for name, _ in pairs), default=0))
    for name, text in pairs:
        yield from textwrap.wrap(text, WIDTH, initial_indent=f"  {name}".ljust(len(indent)), subsequent_indent=indent)


def _aligned(rows: Sequence[tuple[str, ...]]) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
