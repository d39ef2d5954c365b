"""Terms of use of each corpus and each set of pretrained weights; model files include them in one line."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from mien.datasets.formats.readers import READERS
from mien.datasets.rows import Terms
from mien.recognition.model_files.bundle import Bundle
from mien.recognition.model_files.corpus import Corpus

_WEIGHTS = (
    Terms(
        "dlib_face_resnet29",
        "dlib's face-recognition network, starting weights",
        "weights: CC0, dedicated to the public domain by their author",
        "Davis King, dlib; trained on about 3 million faces",
    ),
    Terms(
        "imagenet",
        "ImageNet-1k, starting weights of torchvision",
        "images: non-commercial research and education; weights as torchvision gives them out",
        "Russakovsky et al. 2015, ImageNet Large Scale Visual Recognition Challenge",
    ),
)
"""Of weights that networks start from; those of a corpus stand in its reader's module."""

TERMS: dict[str, Terms] = {
    terms.name: terms for terms in (*(reader.terms for reader in READERS.values()), *_WEIGHTS) if terms is not None
}
"""Name, as manifests and model files have it → terms."""

OWN, UNKNOWN = "own data (terms not stated)", "not known here"

_LABELS_ONLY = {"ferplus": "fer2013"}
"""Corpora of labels → the corpus whose images they label."""


def corpus(name: str, use: str = "training") -> Corpus:
    """Build the record of a corpus for a model file; a name that is not in ``TERMS`` is a user's own data."""
    known = TERMS.get(name)
    printable = "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in name)
    return Corpus(printable or "own", known.terms if known else OWN, use)


def corpora(names: Iterable[str]) -> tuple[Corpus, ...]:
    """Build the records of a run's corpora, without repeats; FER+ also adds FER2013, whose images it labels."""
    names_used = [
        corpus_name for name in names for corpus_name in (_LABELS_ONLY.get(name), name) if corpus_name is not None
    ]
    return tuple(corpus(name) for name in dict.fromkeys(names_used))


def corpora_of(about: Bundle, use: str) -> tuple[Corpus, ...]:
    """Return the corpora that a model file states, with another use; an entry of its own name if it states none."""
    if not about.trained_on:
        return (Corpus(about.name, f"weights of this model; its corpora are {UNKNOWN}", use),)
    return tuple(replace(one, use=use) for one in about.trained_on)
