"""A folder as the Hugging Face Hub shows models: card, config, ONNX file, and the network's weights as safetensors.

Nothing is sent anywhere; ``hf upload NAME FOLDER`` or ``git push`` does that.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mien import run_files
from mien.errors import FileMissingError, MissingExtraError, OptionError
from mien.files import appearing
from mien.recognition.model_files import bundle, names
from mien.recognition.model_files.bundle import Bundle

LIMITS = (
    "An expression is not a feeling: the classes name what faces show, as annotators called it. Do not decide about "
    "people by it."
)
CARD, CONFIG, WEIGHTS = "README.md", "config.json", "model.safetensors"


@dataclass(frozen=True)
class Written:
    """Paths of what was written; ``weights`` is None for a finished model, which has no PyTorch weights."""

    card: Path
    config: Path
    model: Path
    weights: Path | None


def write(source: str | Path, out: Path) -> Written:
    """Write a finished run, or a model by name or file, as a folder for the Hub into ``out``.

    Raises:
        FileMissingError: an unfinished run.
        OptionError: a folder in use.
        MissingExtraError: a run without safetensors, and as ``bundle.read``.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise OptionError(f"{out} is not an empty folder. Give another one.")
    run = None if names.public(str(source)) or not Path(source).is_dir() else Path(source)
    model = bundle.read(_model_of(run) if run else source)
    weights = _read_weights(run, model) if run else None  # first: it may fail, and must leave no folder behind
    out.mkdir(parents=True, exist_ok=True)
    graph = out / run_files.MODEL
    with appearing(graph) as draft:
        draft.write_bytes((_model_of(run) if run else names.locate(source)).read_bytes())
    for path, text in ((out / CONFIG, json.dumps(describe(model), indent=2)), (out / CARD, write_card(model, weights))):
        with appearing(path) as draft:
            draft.write_text(text + "\n", encoding="utf-8")
    if weights is not None:
        with appearing(out / WEIGHTS) as draft:
            draft.write_bytes(weights)
    return Written(out / CARD, out / CONFIG, graph, None if weights is None else out / WEIGHTS)


def _model_of(run: Path) -> Path:
    path = run / run_files.MODEL
    if not path.exists():
        raise FileMissingError(f"{run} has no model.onnx; finish the run with `mien train … --resume`.")
    return path


def _read_weights(run: Path, model: Bundle) -> bytes | None:
    """Return the best checkpoint's weights as safetensors; None for a run without checkpoints, such as a head's."""
    if not (run / run_files.CHECKPOINTS / "best.ckpt").exists():
        return None
    try:
        from safetensors.torch import save
    except ModuleNotFoundError as error:
        raise MissingExtraError.for_extra("Weights as safetensors", "hub") from error
    from mien.export.export import load_network, recipe_of

    network = load_network(run, recipe_of(run), len(model.labels))
    tensors = {name: tensor.contiguous().clone() for name, tensor in network.state_dict().items()}
    metadata = {"format": "pt", "recipe_digest": model.recipe_digest, "labels": ",".join(model.labels.labels)}
    content: bytes = save(tensors, metadata)
    return content


def describe(model: Bundle) -> dict[str, Any]:
    """Return the content of ``config.json``: classes by number, preprocessing, temperature and threshold."""
    classes = model.labels.labels
    return {
        "library_name": "mien",
        "model_type": "facial-emotion-recognition",
        "name": model.name,
        "label_set": model.labels.name,
        "id2label": {str(index): label for index, label in enumerate(classes)},
        "label2id": {label: index for index, label in enumerate(classes)},
        "input": {"name": "crops", "dtype": "float32", "shape": ["N", *_shape(model)]},
        "output": {"name": "logits", "dtype": "float32", "shape": ["N", len(classes)]},
        "preprocess": model.preprocess.to_dict(),
        "temperature": model.temperature,
        "uncertain_below": model.uncertain_below,
        "sha256": model.digest,
        "recipe_digest": model.recipe_digest,
    }


def _shape(model: Bundle) -> tuple[int, int, int]:
    spec = model.preprocess
    return spec.channels, spec.size, spec.size


def write_card(model: Bundle, weights: bytes | None = None) -> str:
    """Return the model card: the Hub's front matter, use, measurements, training data, licence."""
    files = [f"- `{run_files.MODEL}`: the network, which also describes itself to Mien"]
    files += [f"- `{WEIGHTS}`: the weights of the PyTorch network, before calibration"] * (weights is not None)
    sections = [
        *_front_matter(model),
        f"# {model.name}",
        "",
        _summarise(model),
        "",
        "```sh",
        f"mien predict photo.jpg --model {run_files.MODEL}",
        "```",
        "",
        *files,
        f"- `{CONFIG}`: classes, preprocessing, temperature and threshold for other programs",
        "",
        "## Measured",
        "",
        "| split | faces | accuracy | 95 % interval | macro F1 | ECE |",
        "| --- | --- | --- | --- | --- | --- |",
        *(_format_scores(name, values) for name, values in _scores(model).items()),
        "",
        "## Training",
        "",
        *(f"- {name.replace('_', ' ')}: {value}" for name, value in _training(model)),
        "",
        "## Licence and limits",
        "",
        model.licence,
        "",
        LIMITS,
    ]
    return "\n".join(sections)


def _summarise(model: Bundle) -> str:
    side, classes = model.preprocess.size, model.labels.labels
    return (
        f"Facial emotion recognition: a face crop of {side}×{side} pixels in, probabilities of {len(classes)} classes "
        f"out ({', '.join(classes)})."
    )


def _front_matter(model: Bundle) -> list[str]:
    scores = [
        {"type": "accuracy", "name": f"accuracy on {name}", "value": round(float(values["accuracy"]), 4)}
        for name, values in _scores(model).items()
    ]
    # JSON is YAML, and quotes every text as YAML needs it.
    index = [{"name": model.name, "results": [{"task": {"type": "image-classification"}, "metrics": [score]}]}
             for score in scores]  # fmt: skip
    lines: dict[str, Any] = {
        "library_name": "mien",
        "pipeline_tag": "image-classification",
        "license": "other",
        "tags": ["facial-emotion-recognition", "onnx"],
        **({"datasets_used": [corpus.name for corpus in model.trained_on]} if model.trained_on else {}),
        **({"model-index": index} if index else {}),
    }
    return ["---", *(f"{key}: {json.dumps(value, ensure_ascii=False)}" for key, value in lines.items()), "---", ""]


def _scores(model: Bundle) -> Mapping[str, Mapping[str, Any]]:
    return {
        name.replace("_", " "): values
        for name, values in model.metrics.items()
        if isinstance(values, dict) and {"faces", "accuracy", "interval", "macro_f1", "ece"} <= set(values)
    }


def _format_scores(name: str, values: Mapping[str, Any]) -> str:
    low, high = values["interval"]
    return (
        f"| {name} | {values['faces']:,} | {values['accuracy']:.2%} | {low:.1%} – {high:.1%} "
        f"| {values['macro_f1']:.3f} | {values['ece']:.3f} |"
    )


def _training(model: Bundle) -> list[tuple[str, object]]:
    known = [(name, value) for name, value in model.provenance.items() if isinstance(value, str)]
    return [*known, ("recipe digest", f"`{model.recipe_digest}`")]
