"""A pytest plugin that hides every package but the base install's and pytest's: ``python -m pytest -p bare``.

What stays in reach is what the metadata of mien asks for without extras. Programs that a test starts see all packages.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec, PathFinder
from importlib.metadata import PackageNotFoundError, packages_distributions, requires
from types import ModuleType

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOTS = ("mien", "pytest", "pytest-cov", "pytest-xdist", "packaging", "pip", "setuptools")


def needed(roots: Sequence[str]) -> set[str]:
    """Return the distributions that those of ``roots`` need without extras, these among them."""
    found: set[str] = set()
    left = [canonicalize_name(name) for name in roots]
    while left:
        name = left.pop()
        if name in found:
            continue
        found.add(name)
        try:
            wanted = [Requirement(line) for line in requires(name) or ()]
        except PackageNotFoundError:
            continue
        left += [
            canonicalize_name(each.name) for each in wanted if not each.marker or each.marker.evaluate({"extra": ""})
        ]
    return found


def others() -> frozenset[str]:
    """Return the top-level modules of all other distributions."""
    kept = needed(ROOTS)
    owners = packages_distributions().items()
    return frozenset(top for top, names in owners if not kept & {canonicalize_name(name) for name in names})


class Bare(PathFinder):
    """Finds modules as Python does, but for those of other distributions."""

    hidden = others()

    @classmethod
    def find_spec(
        cls, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return where a module is; None for one that is hidden."""
        return None if fullname.partition(".")[0] in cls.hidden else super().find_spec(fullname, path, target)


sys.meta_path[sys.meta_path.index(PathFinder)] = Bare
