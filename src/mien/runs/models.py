"""Load any trained model for evaluation: a model file, a run folder, a checkpoint, a classical baseline."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from mien import labels, run_files
from mien.datasets.faces import FaceSet
from mien.errors import DataError, FileMissingError, OptionError
from mien.evaluation import adapter as adapters
from mien.evaluation import predictions
from mien.evaluation.evaluated import TESTS
from mien.files import appearing
from mien.recipes.recipe import Recipe, of_run
from mien.recognition import devices
from mien.recognition.classifier import Classifier
from mien.recognition.model_files import bundle, names
from mien.training import parts


@dataclass(frozen=True)
class Loaded:
    """A model, its run folder (None if unknown), and notes for the user on how it was loaded."""

    model: Classifier
    run: Path | None = None
    notes: tuple[str, ...] = ()


def load(
    source: str | Path,
    *,
    checkpoint: bool = False,
    adapter: str | Path | None = None,
    classes: str | None = None,
    threads: int | None = None,
    device: str = devices.AUTO,
) -> Loaded:
    """Load a shipped model by name or alias, a model file, a run folder, or a classical run's ``model.npz``.

    Args:
        checkpoint: use ``checkpoints/best.ckpt`` of a run folder, not ``model.onnx``.
        adapter: the file that describes a foreign ONNX model.
        threads, device: of ONNX models, as for ``OnnxSession``.
        classes: subset of the model's classes, in the syntax of ``labels.choose``; None uses all.

    Raises:
        FileMissingError: options that do not apply to the source.
        ModelError: options that do not apply to the source.
        OptionError: options that do not apply to the source.
    """
    loaded = _load(source, checkpoint, adapter, threads, device)
    return loaded if classes is None else _restrict(loaded, labels.choose(classes, loaded.model.label_set.labels))


def _restrict(loaded: Loaded, subset: labels.LabelSet) -> Loaded:
    whole = len(loaded.model.label_set)
    note = f"Restricted to {len(subset)} of the model's {whole} classes: {', '.join(subset.labels)}."
    return replace(loaded, model=loaded.model.narrow(subset), notes=(*loaded.notes, note))


def _load(source: str | Path, checkpoint: bool, adapter: str | Path | None, threads: int | None, device: str) -> Loaded:
    path = Path(source)
    if adapter is not None:
        return Loaded(adapters.load(path, adapter, threads, device))
    if checkpoint and not path.is_dir():
        raise OptionError(f"{source} is no run folder, so it has no checkpoints. Leave --checkpoint out.")
    if checkpoint:
        return _checkpoint(path)
    if path.is_dir() and names.public(source) is None:
        return _run(path, threads, device)
    return _classical(path) if path.suffix == ".npz" else _file(source, threads, device)


def _run(run: Path, threads: int | None, device: str) -> Loaded:
    if (run / run_files.MODEL).exists():
        return _file(run / run_files.MODEL, threads, device)
    if (run / run_files.CLASSICAL).exists():
        return _classical(run / run_files.CLASSICAL)
    advice = (
        "finish it with `mien train … --resume`, or evaluate its best epoch so far with --checkpoint"
        if (run / run_files.RECIPE).exists()
        else "expected a folder that `mien train` wrote, or a model file"
    )
    raise FileMissingError(f"{run} has neither model.onnx nor model.npz; {advice}.")


def _file(source: str | Path, threads: int | None, device: str) -> Loaded:
    file = bundle.read(source)
    run = Path(source).parent
    trained_here = Path(source).is_file() and _recipe_digest(run) == file.recipe_digest
    return Loaded(Classifier.open(file, threads, device=device), run if trained_here else None)


def _recipe_digest(run: Path) -> str | None:
    recorded = run / run_files.RECIPE
    return str(json.loads(recorded.read_text(encoding="utf-8"))["digest"]) if recorded.exists() else None


def _classical(path: Path) -> Loaded:
    from mien.classical import classical

    session, run = classical.load(path), path.parent
    plan = of_run(run)
    temperature = _read_record(run, run_files.METRICS, "its metrics")["temperature"]
    return Loaded(Classifier(plan.name, _digest(path), _classes(run), plan.preprocess, temperature, session), run)


def _checkpoint(run: Path) -> Loaded:
    from mien.export.export import load_network
    from mien.networks.torch_session import TorchSession

    plan, classes = of_run(run), _classes(run)
    if not isinstance(plan, Recipe):
        raise OptionError(f"{run} is a classical baseline or a head, which has no checkpoints. Leave --checkpoint out.")
    session = TorchSession(load_network(run, plan, len(classes)))
    temperature, notes = _temperature(run, plan)
    digest = _digest(run / run_files.CHECKPOINTS / "best.ckpt")
    name = f"{plan.name} (best.ckpt)"
    return Loaded(Classifier(name, digest, classes, plan.preprocess, temperature, session), run, notes)


def _temperature(run: Path, plan: Recipe) -> tuple[float, tuple[str, ...]]:
    if plan.calibrate.in_graph:
        note = "The scale and bias of each class are in model.onnx only: the checkpoint's confidences are uncalibrated."
        return 1.0, (note,)
    if (run / run_files.MODEL).exists():
        return bundle.read(run / run_files.MODEL).temperature, ()
    return 1.0, ("The run has not been exported, so no temperature has been fitted: confidences are uncalibrated.",)


def _classes(run: Path) -> labels.LabelSet:
    recorded = _read_record(run, run_files.DATA, "its label set")
    own = recorded.get("classes")
    return labels.own(own).classes if own else labels.scheme(recorded["label_set"]).classes


def _read_record(run: Path, name: str, what: str) -> dict[str, Any]:
    path = run / name
    if not path.exists():
        raise FileMissingError(f"{run} has no {name} with {what}; expected a folder that `mien train` wrote.")
    values: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return values


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def arrange(run: Path, faces: FaceSet) -> FaceSet | None:
    """Split the faces as in the run's recipe if they are the faces that it was trained on, else return None.

    Args:
        faces: with the classes of the run's label set.
    """
    try:
        arranged = parts.arrange(faces, of_run(run).data)
    except DataError:  # the recipe cannot be applied to them, so they are other faces
        return None
    same = parts.describe(arranged)["digest"] == _read_record(run, run_files.DATA, "the digest of its data")["digest"]
    return arranged if same else None


def is_test(split: str) -> bool:
    """Check whether this is the name of a test set."""
    return split in TESTS


def holds_test(run: Path, faces: FaceSet) -> bool:
    """Check whether at least half of the test faces that the run was scored on are among ``faces``, pixel for pixel.

    Faces that were too many for memory were recorded without crops; they are compared by their sources.
    """
    path = run / run_files.PREDICTIONS
    if not path.exists():
        return False
    scored = predictions.read(path)
    tested = np.array([is_test(split) for split in scored.split.tolist()])
    if not tested.any():
        return False
    if scored.crops is None:
        return bool(np.isin(scored.source[tested], faces.ids).mean() >= 0.5)
    given = {image.tobytes() for image in faces.pixels}
    return bool(np.mean([crop.tobytes() in given for crop in scored.crops[tested]]) >= 0.5)


def check_finished(run: Path) -> None:
    """Raise ``OptionError`` for a run without metrics: a model may only be scored on the test set once it is final."""
    if not (run / run_files.METRICS).exists():
        raise OptionError(
            f"{run} is not finished, so it must not be scored on its test set. Finish it with `mien train … --resume`, "
            "or evaluate on the validation set."
        )


def count_scoring(run: Path) -> int:
    """Increment the count of test scorings in ``run/metrics.json`` and return it.

    Raises:
        OptionError: as ``check_finished``.
    """
    check_finished(run)
    path = run / run_files.METRICS
    values = json.loads(path.read_text(encoding="utf-8"))
    values["test_scorings"] = int(values["test_scorings"]) + 1
    with appearing(path) as draft:
        draft.write_text(json.dumps(values, indent=1), encoding="utf-8")
    return int(values["test_scorings"])
