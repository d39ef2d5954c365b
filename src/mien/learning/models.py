"""Any trained model, as evaluation takes it: a model file, a run folder, a checkpoint, a classical baseline."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mien import labels
from mien.datasets.faces import FaceSet
from mien.errors import DataError, FileMissingError, OptionError
from mien.evaluation import adapter as adapters
from mien.evaluation import predictions
from mien.evaluation.evaluate import Model
from mien.evaluation.evaluated import TESTS
from mien.files import appearing
from mien.learning import parts
from mien.learning.recipe import Recipe, of_run
from mien.recognition import bundle, names, view
from mien.recognition.session import OnnxSession

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class Loaded:
    """A model, the run folder it was trained in (None if that is not known), and what to tell of how it was loaded."""

    model: Model
    run: Path | None = None
    notes: tuple[str, ...] = ()


def load(
    place: str | Path,
    *,
    checkpoint: bool = False,
    adapter: str | Path | None = None,
    classes: str | None = None,
    threads: int | None = None,
) -> Loaded:
    """Load a shipped model by name or alias, a model file, a run folder, or a classical run's ``model.npz``.

    checkpoint: of a run folder take ``checkpoints/best.ckpt``, not ``model.onnx``.
    adapter:    the note that makes a foreign ONNX file a model.
    classes:    which of its classes are told apart, as ``view.classes`` reads them; None takes all.
    Raises ``FileMissingError`` and ``ModelError``, and ``OptionError`` for options that do not go with the place.
    """
    found = _load(place, checkpoint, adapter, threads)
    return found if classes is None else _some(found, view.classes(classes, found.model.label_set.labels))


def _some(found: Loaded, wanted: labels.LabelSet) -> Loaded:
    model = found.model
    session = view.narrowed(model.session, model.label_set, wanted)
    told = (
        f"Of its {len(model.label_set)} classes the model tells {len(wanted)} apart here: {', '.join(wanted.labels)}."
    )
    return replace(found, model=replace(model, label_set=wanted, session=session), notes=(*found.notes, told))


def _load(place: str | Path, checkpoint: bool, adapter: str | Path | None, threads: int | None) -> Loaded:
    path = Path(place)
    if adapter is not None:
        return Loaded(adapters.load(path, adapter, threads))
    if checkpoint and not path.is_dir():
        raise OptionError(f"{place} is no run folder; only those have checkpoints. Leave --checkpoint out.")
    if checkpoint:
        return _checkpoint(path)
    if path.is_dir() and names.public(place) is None:
        return _run(path, threads)
    return _classical(path) if path.suffix == ".npz" else _file(place, threads)


def _run(run: Path, threads: int | None) -> Loaded:
    if (run / "model.onnx").exists():
        return _file(run / "model.onnx", threads)
    if (run / "model.npz").exists():
        return _classical(run / "model.npz")
    told = (
        "finish it with `mien train … --resume`, or evaluate its best epoch so far with --checkpoint"
        if (run / "recipe.json").exists()
        else "expected a folder that `mien train` wrote, or a model file"
    )
    raise FileMissingError(f"{run} holds neither model.onnx nor model.npz; {told}.")


def _file(place: str | Path, threads: int | None) -> Loaded:
    found = bundle.read(place)
    session = OnnxSession(found.graph, threads, classes=len(found.labels))
    model = Model(found.name, found.digest, found.labels, found.preprocess, found.temperature, session)
    run = Path(place).parent
    trained_here = Path(place).is_file() and _recipe_digest(run) == found.recipe_digest
    return Loaded(model, run if trained_here else None)


def _recipe_digest(run: Path) -> str | None:
    recorded = run / "recipe.json"
    return str(json.loads(recorded.read_text(encoding="utf-8"))["digest"]) if recorded.exists() else None


def _classical(path: Path) -> Loaded:
    from mien.learning import classical

    session, run = classical.load(path), path.parent
    plan = of_run(run)
    temperature = _recorded(run, "metrics.json", "its figures")["temperature"]
    return Loaded(Model(plan.name, _digest(path), _classes(run), plan.preprocess, temperature, session), run)


def _checkpoint(run: Path) -> Loaded:
    from mien.learning.export import load_network

    plan, classes = of_run(run), _classes(run)
    if not isinstance(plan, Recipe):
        raise OptionError(f"{run} is a classical baseline or a head, which has no checkpoints. Leave --checkpoint out.")
    session = TorchSession(load_network(run, plan, len(classes)))
    temperature, notes = _temperature(run, plan)
    digest = _digest(run / "checkpoints" / "best.ckpt")
    return Loaded(Model(f"{plan.name} (best.ckpt)", digest, classes, plan.preprocess, temperature, session), run, notes)


def _temperature(run: Path, plan: Recipe) -> tuple[float, tuple[str, ...]]:
    if plan.calibrate.in_graph:
        told = "The scale and bias of each class are in model.onnx only: the checkpoint's confidences are its own."
        return 1.0, (told,)
    if (run / "model.onnx").exists():
        return bundle.read(run / "model.onnx").temperature, ()
    return 1.0, (
        "No temperature has been fitted, as the run has not been exported: confidences are the network's own.",
    )


@dataclass(frozen=True)
class TorchSession:
    """A network in PyTorch, in evaluation mode on the CPU, as a session."""

    network: nn.Module = field(repr=False)

    def logits(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        """Map float32 (N, channels, size, size) to float32 (N, C)."""
        import torch

        with torch.inference_mode():
            answers: NDArray[np.float32] = self.network(torch.from_numpy(batch)).numpy()
        return answers


def _classes(run: Path) -> labels.LabelSet:
    recorded = _recorded(run, "data.json", "its label set")
    own = recorded.get("classes")
    return labels.own(own).classes if own else labels.scheme(recorded["label_set"]).classes


def _recorded(run: Path, name: str, what: str) -> dict[str, Any]:
    path = run / name
    if not path.exists():
        raise FileMissingError(f"{run} holds no {name} with {what}; expected the folder that `mien train` wrote.")
    values: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return values


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def arranged(run: Path, faces: FaceSet) -> FaceSet | None:
    """Return faces in the parts of the run's recipe if they are those that it was trained on, else None.

    faces: with the classes of the run's label set.
    """
    try:
        found = parts.arrange(faces, of_run(run).data)
    except DataError:  # the recipe cannot even be applied to them, so they are others
        return None
    same = parts.described(found)["digest"] == _recorded(run, "data.json", "the digest of its data")["digest"]
    return found if same else None


def is_test(split: str) -> bool:
    """Say whether a part of this name is one that is only scored."""
    return split in TESTS


def holds_test(run: Path, faces: FaceSet) -> bool:
    """Say whether at least half of the test faces that the run was scored on are among ``faces``, pixel for pixel."""
    path = run / "predictions.parquet"
    if not path.exists():
        return False
    found = predictions.read(path)
    tested = np.array([is_test(split) for split in found.split.tolist()])
    if found.crops is None or not tested.any():
        return False
    given = {image.tobytes() for image in faces.pixels}
    return bool(np.mean([crop.tobytes() in given for crop in found.crops[tested]]) >= 0.5)


def check_finished(run: Path) -> None:
    """Raise ``OptionError`` for a run without figures: what is not fixed must not be scored on the test part."""
    if not (run / "metrics.json").exists():
        raise OptionError(
            f"{run} is not finished, so its test part is not to be looked at. Finish it with `mien train … --resume`, "
            "or evaluate on the validation part."
        )


def count_scoring(run: Path) -> int:
    """Record in ``run/metrics.json`` that the test part was scored once more, and return how often that makes.

    Raises ``OptionError`` as ``check_finished``.
    """
    check_finished(run)
    path = run / "metrics.json"
    values = json.loads(path.read_text(encoding="utf-8"))
    values["test_scorings"] = int(values["test_scorings"]) + 1
    with appearing(path) as draft:
        draft.write_text(json.dumps(values, indent=1), encoding="utf-8")
    return int(values["test_scorings"])
