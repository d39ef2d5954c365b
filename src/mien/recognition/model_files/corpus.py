"""A corpus as a model file names it: what the weights have seen, and under which terms."""

from __future__ import annotations

from dataclasses import asdict, dataclass

USES = ("training", "pretraining", "distillation")


@dataclass(frozen=True)
class Corpus:
    """One corpus that a model learned from.

    Attributes:
        name: as in manifests, such as ``fer2013``.
        terms: under which the corpus is given out, in one line.
        use: ``training``; ``pretraining``, of the weights that training started from; ``distillation``, through the
            predictions of a teacher.
    """

    name: str
    terms: str
    use: str = "training"

    def __post_init__(self) -> None:
        for key, value in asdict(self).items():
            if not isinstance(value, str) or not value or not value.isprintable():
                raise TypeError(f"trained_on has {key} = {value!r}, expected one line of text")
        if self.use not in USES:
            raise TypeError(f"trained_on has use = {self.use!r}, expected one of {', '.join(USES)}")

    def to_dict(self) -> dict[str, str]:
        """Return the fields, JSON-ready."""
        return asdict(self)


def parse(values: object) -> tuple[Corpus, ...]:
    """Read what ``Corpus.to_dict`` gave, in a list. Raises ``TypeError``."""
    if not isinstance(values, list) or not all(isinstance(value, dict) for value in values):
        raise TypeError(f"trained_on is {values!r}, expected a list of objects")
    wrong = next((sorted(value) for value in values if set(value) != {"name", "terms", "use"}), None)
    if wrong is not None:
        raise TypeError(f"trained_on has an object with {', '.join(wrong) or 'nothing'}, expected name, terms and use")
    return tuple(Corpus(**value) for value in values)
