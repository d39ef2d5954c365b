"""Terms of use of each corpus and each set of pretrained weights; model files include them in one line."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from mien.recognition.model_files.corpus import Corpus


@dataclass(frozen=True)
class Terms:
    """title: the full name.  terms: one line, as the owners state them.  source: the paper or the distributor."""

    title: str
    terms: str
    source: str


_RESEARCH = "non-commercial research only"

TERMS: dict[str, Terms] = {
    "fer2013": Terms(
        "FER2013",
        "images belong to their owners on the web; given out for a research contest",
        "Goodfellow et al. 2013, Challenges in Representation Learning",
    ),
    "ferplus": Terms(
        "FER+, ten votes for each face of FER2013",
        "votes: MIT licence (Microsoft); the images are FER2013's",
        "Barsoum et al. 2016, Training Deep Networks for Facial Expression Recognition with Crowd-Sourced Labels",
    ),
    "ckplus": Terms(
        "Extended Cohn-Kanade (CK+)",
        f"{_RESEARCH}, by agreement with the owners",
        "Lucey et al. 2010, The Extended Cohn-Kanade Dataset",
    ),
    "kdef": Terms(
        "Karolinska Directed Emotional Faces (KDEF)",
        f"{_RESEARCH}, after registration; pictures may not be passed on",
        "Lundqvist, Flykt and Öhman 1998, Karolinska Institutet",
    ),
    "jaffe": Terms(
        "Japanese Female Facial Expression (JAFFE)",
        f"{_RESEARCH}, by agreement with the owners",
        "Lyons et al. 1998, Coding Facial Expressions with Gabor Wavelets",
    ),
    "rafdb": Terms(
        "Real-world Affective Faces Database (RAF-DB)",
        f"{_RESEARCH}, by agreement with the owners",
        "Li, Deng and Du 2017, Reliable Crowdsourcing and Deep Locality-Preserving Learning",
    ),
    "affectnet": Terms(
        "AffectNet",
        f"{_RESEARCH}, by agreement with the owners",
        "Mollahosseini, Hasani and Mahoor 2017, AffectNet",
    ),
    "affectnet7": Terms(
        "AffectNet, seven classes, nearly balanced",
        f"as AffectNet: {_RESEARCH}",
        "a selection from AffectNet (Mollahosseini, Hasani and Mahoor 2017)",
    ),
    "affectnet_contempt": Terms(
        "AffectNet, faces of contempt, cleaned by hand",
        f"as AffectNet: {_RESEARCH}",
        "a selection from AffectNet (Mollahosseini, Hasani and Mahoor 2017)",
    ),
    "taiwanese": Terms(
        "Taiwanese Corpora of Chinese Emotions, posed expressions",
        "academic use only",
        "Chen, Cho and Tseng 2013",
    ),
    "dlib_face_resnet29": Terms(
        "dlib's face-recognition network, starting weights",
        "weights: CC0, dedicated to the public domain by their author",
        "Davis King, dlib; trained on about 3 million faces",
    ),
    "imagenet": Terms(
        "ImageNet-1k, starting weights of torchvision",
        "images: non-commercial research and education; weights as torchvision gives them out",
        "Russakovsky et al. 2015, ImageNet Large Scale Visual Recognition Challenge",
    ),
}
"""Name, as manifests and model files have it → terms."""

OWN = "own data (terms not stated)"

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
