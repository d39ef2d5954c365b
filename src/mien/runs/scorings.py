"""How often the test faces of a run were scored before it, by other versions of its recipe.

Each scoring of a test set is an occasion to choose by it. A run folder counts its own scorings; trying again with a
changed recipe begins a new folder and would begin a new count.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mien import run_files
from mien.errors import DataError
from mien.evaluation.evaluated import KEYS, TESTS
from mien.files import appearing

EARLIER = "earlier_scorings"
"""Key of ``metrics.json``: the runs of other versions of the recipe that scored the same test faces before."""


def note_earlier(run: Path, name: str) -> list[dict[str, Any]]:
    """Record in ``run/metrics.json`` which finished runs beside it scored its test faces before; return them.

    Args:
        name: the recipe's name. A run counts if its recipe has this name and other settings (another seed is none), and
            its data is the same. Each entry has run, recipe (digest), scorings and accuracy; whoever trains again for a
            reason may add it as ``why``.
    """
    earlier = [entry for folder in _beside(run) if (entry := _compare(folder, run, name))]
    if earlier:
        path = run / run_files.METRICS
        metrics = {**_read(path), EARLIER: earlier}
        with appearing(path) as draft:
            draft.write_text(json.dumps(metrics, indent=1), encoding="utf-8")
    return earlier


def describe(run: Path) -> str:
    """Return a sentence on the earlier scorings in ``run/metrics.json``, "" if there were none.

    Raises:
        DataError: entries of another form.
    """
    path = run / run_files.METRICS
    entries = _read(path).get(EARLIER, [])
    try:
        count = sum(int(entry["scorings"]) for entry in entries)
        runs = ", ".join(_describe(entry) for entry in entries)
    except (KeyError, TypeError) as error:
        raise DataError(f"{path}: {EARLIER} is not a list of scorings ({error}); restore the original.") from error
    if not entries:
        return ""
    times = "once" if count == 1 else f"{count} times"
    return f"Its test faces had been scored {times} before, by another version of this recipe: {runs}."


def _describe(entry: dict[str, Any]) -> str:
    why = f" ({entry['why']})" if "why" in entry else ""
    run, recipe = entry["run"], entry["recipe"][:12]
    return f"{100 * entry['accuracy']:.1f} % in the run `{run}` with recipe `{recipe}`{why}"


def _beside(run: Path) -> Iterator[Path]:
    """Yield the finished run folders beside ``run``, and those of several seeds beside its parent."""
    own = run.resolve()
    parents = [run.parent, run.parent.parent] if run.name.startswith("seed-") else [run.parent]
    for folder in parents:
        for metrics in sorted([*folder.glob(f"*/{run_files.METRICS}"), *folder.glob(f"*/seed-*/{run_files.METRICS}")]):
            if metrics.parent.resolve() != own:
                yield metrics.parent


def _compare(folder: Path, run: Path, name: str) -> dict[str, Any] | None:
    own, other = (_read(path / run_files.RECIPE) for path in (run, folder))
    data = [_read(path / run_files.DATA).get("digest") for path in (run, folder)]
    if other.get("name") != name or None in data or data[0] != data[1] or _settings(own) == _settings(other):
        return None
    return summarise(folder)


def summarise(run: Path) -> dict[str, Any] | None:
    """Return a finished run's scoring as an entry of ``earlier_scorings``; None if its test faces were not scored."""
    metrics = _read(run / run_files.METRICS)
    test = next((metrics[key] for split in TESTS if (key := KEYS.get(split, split)) in metrics), None)
    if test is None:
        return None
    return {
        "run": run.name,
        "recipe": _read(run / run_files.RECIPE)["digest"],
        "scorings": metrics.get("test_scorings", 1),
        "accuracy": test["accuracy"],
    }


def _settings(recipe: dict[str, Any]) -> dict[str, Any]:
    """Return what a recipe sets, without its texts and its seed."""
    values = {key: value for key, value in recipe.items() if key not in ("digest", "name", "about")}
    train = {key: value for key, value in values.get("train", {}).items() if key != "seed"}
    return {**values, "train": train}


def _read(path: Path) -> dict[str, Any]:
    values: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    return values
