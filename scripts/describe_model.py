"""Give a finished model file its public name, its corpora and its licence; its network stays byte for byte.

    python scripts/describe_model.py src/mien/weights/ferplus8.onnx --name ferplus8 --training fer2013 ferplus

Corpora are named as in ``mien.datasets.terms``, which has their terms. ``mien export`` writes both by itself; this is
for files of before, and for weights whose history no run folder tells.
"""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path

from mien.datasets.terms import TERMS, corpora, corpus
from mien.recognition.model_files.bundle import Bundle, rewrite


def main() -> None:
    """Rewrite the file and show what it says now."""
    parser = ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", type=Path, help="a model file, which is written anew")
    parser.add_argument("--name", help="its public name (default: as it is)")
    parser.add_argument("--training", nargs="+", default=[], choices=TERMS, metavar="CORPUS")
    parser.add_argument("--pretraining", nargs="+", default=[], choices=TERMS, metavar="CORPUS")
    parser.add_argument("--distillation", nargs="+", default=[], choices=TERMS, metavar="CORPUS")
    parser.add_argument("--licence", help="of the weights, in a sentence or two (default: as it is)")
    options = parser.parse_args()
    told = describe(
        options.file,
        options.name,
        options.training,
        options.pretraining,
        options.distillation,
        licence=options.licence,
    )
    print(f"{told.name}, sha256 {told.digest}")
    print("\n".join(f"{each.name} ({each.use}): {each.terms}" for each in told.trained_on))


def describe(
    file: Path,
    name: str | None,
    training: list[str],
    pretraining: list[str],
    distillation: list[str],
    *,
    licence: str | None = None,
) -> Bundle:
    """Write the description anew; without any corpus those of the file stay."""
    stated = [
        *corpora(training),
        *(corpus(each, "pretraining") for each in pretraining),
        *(corpus(each, "distillation") for each in distillation),
    ]
    return rewrite(file, name=name, trained_on=stated or None, licence=licence)


if __name__ == "__main__":
    main()
