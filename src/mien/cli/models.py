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
from typing import TYPE_CHECKING

from mien.cli import DONE

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from mien.recognition.model_files.card import ModelCard
    from mien.recognition.model_files.corpus import Corpus

_ALSO = 13


def arguments(parser: ArgumentParser) -> None:
    """Declare the options of ``mien models``."""
    parser.add_argument("models", nargs="*", metavar="NAME", help="name, alias, .onnx file or run folder")
    parser.add_argument("--json", action="store_true", help="print a JSON list with one object a model")


def run(options: Namespace) -> int:
    """Show the table, or a card for each model that is named; return the exit code."""
    from mien.recognition.model_files import names
    from mien.recognition.model_files.card import ModelCard

    cards = [ModelCard.read(model) for model in options.models or names.shipped()]
    if options.json:
        sys.stdout.write(json.dumps([card.to_dict() for card in cards], indent=1, ensure_ascii=False) + "\n")
        return DONE
    lines = (f"{card}\n" for card in cards) if options.models else _table(cards)
    sys.stdout.writelines(f"{line}\n" for line in lines)
    return DONE


def _table(cards: Sequence[ModelCard]) -> Iterator[str]:
    from mien.recognition.model_files.card import WIDTH, aligned, items

    rows = [("model", "also", "classes", "input", "size", "accuracy")]
    for card in cards:
        best = card.headline
        measured = f"{best.accuracy * 100:.1f} % of {best.faces:,}" if best else "not measured"
        also = textwrap.wrap(", ".join(card.aliases), _ALSO, break_long_words=False, break_on_hyphens=False) or [""]
        rows.append((card.name, also[0], str(len(card.labels)), card.input, card.size, measured))
        rows += [("", more, "", "", "", "") for more in also[1:]]
    yield from aligned(rows)
    parts = sorted({best.part for card in cards if (best := card.headline)})
    if parts:
        yield ""
        yield from textwrap.wrap(
            f"Accuracy on {', '.join(parts)}, by the labels that the model learned; models of other classes or corpora "
            "cannot be compared by it. mien models NAME shows all that was measured.",
            WIDTH,
        )
    yield ""
    learned = [(card.name, corpus) for card in cards for corpus in card.trained_on]
    if learned:
        yield "trained on"
        yield from items(_corpora(learned))
    silent = [card.name for card in cards if not card.trained_on]
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
