"""Logits become probabilities in one module: no second softmax, no second division by a temperature.

A second copy drifts: it forgets the temperature, or works in another precision, and no error says so.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "src" / "mien"
SOFTMAX, LOGARITHM, DIVISION, POWERS = "softmax", "log_softmax", "division by a temperature", "exp of x - max"

ALLOWED = {
    ("recognition/classifier.py", SOFTMAX): "the one definition, which the classifier calls",
    ("recognition/classifier.py", DIVISION): "the one definition",
    ("recognition/classifier.py", POWERS): "the one definition",
    ("evaluation/metrics/calibration.py", SOFTMAX): "fits temperatures and class scales before there is a classifier",
    ("evaluation/metrics/calibration.py", DIVISION): "starts the search for class scales at 1 / temperature",
    ("datasets/quality/suspects.py", SOFTMAX): "calibrates a regression on HOG features, which has no network",
    ("training/distillation.py", DIVISION): "softens probabilities of teachers, also those read from a file",
    ("training/losses.py", LOGARITHM): "a loss in PyTorch, which needs its gradient",
    ("training/self_cure.py", SOFTMAX): "how sure the network is of a label during training, on PyTorch's device",
    ("networks/consensus.py", LOGARITHM): "a loss in PyTorch, which needs its gradient",
    ("export/whole.py", SOFTMAX): "an ONNX node in a graph for use without Mien, compared with the classifier",
    ("export/mixture.py", LOGARITHM): "an ONNX node for each member of an ensemble, compared with the classifier",
    ("export/c/c_code.py", DIVISION): "a table for C code, which cannot call Python",
}


def breaches(source: str) -> set[str]:
    """Return which of the four ways to make probabilities of logits a module's source contains."""
    if not re.search(r"softmax|temperature|exp2?\(", source, re.IGNORECASE):  # most files, and parsing costs the most
        return set()
    return {kind for node in ast.walk(ast.parse(source)) for kind in _kinds(node)}


def _kinds(node: ast.AST) -> Iterator[str]:
    for name in _names(node):
        if name.lower() in (SOFTMAX, LOGARITHM, "logsoftmax"):
            yield SOFTMAX if name.lower() == SOFTMAX else LOGARITHM
    if isinstance(node, (ast.BinOp, ast.AugAssign)) and isinstance(node.op, ast.Div):
        divisor = node.right if isinstance(node, ast.BinOp) else node.value
        if any("temperature" in name for part in ast.walk(divisor) for name in _names(part)):
            yield DIVISION
    if _called(node) in ("exp", "exp2") and any(map(_is_minus_maximum, ast.walk(node))):
        yield POWERS


def _is_minus_maximum(node: ast.AST) -> bool:
    if not (isinstance(node, ast.BinOp) and isinstance(node.op, ast.Sub)):
        return False
    return any(_called(part) in ("max", "amax") for part in ast.walk(node.right))


def _called(node: ast.AST) -> str:
    """Return the name of the function that a node calls, '' for no call."""
    function = node.func if isinstance(node, ast.Call) else None
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


def _names(node: ast.AST) -> tuple[str, ...]:
    """Return the names that a node uses or defines; a string counts too, as operators of ONNX are named by strings."""
    if isinstance(node, ast.Constant):
        return (node.value,) if isinstance(node.value, str) else ()
    fields = [getattr(node, key, None) for key in ("id", "attr", "name", "asname", "arg")]
    return tuple(name for name in fields if isinstance(name, str))


def test_probabilities_are_made_in_one_module() -> None:
    seen = {
        (path.relative_to(SOURCE).as_posix(), kind)
        for path in SOURCE.rglob("*.py")
        for kind in breaches(path.read_text(encoding="utf-8"))
    }
    assert sorted(seen - set(ALLOWED)) == [], "pass the logits to mien.recognition.classifier.Classifier instead"
    assert sorted(set(ALLOWED) - seen) == [], "these exceptions are no longer needed: remove them"


@pytest.mark.parametrize(
    ("source", "kind"),
    [
        ("from scipy.special import softmax as shares", SOFTMAX),
        ("torch.nn.functional.softmax(logits, 1)", SOFTMAX),
        ("make_node('Softmax', ['x'], ['y'])", SOFTMAX),
        ("logits.log_softmax(1)", LOGARITHM),
        ("logits / model.temperature", DIVISION),
        ("powers = p ** (1 / temperature)", DIVISION),
        ("logits /= temperatures[0]", DIVISION),
        ("np.exp((x - x.max(axis=1, keepdims=True)) * heat)", POWERS),
        ("np.exp(x - np.max(x))", POWERS),
    ],
)
def test_a_second_copy_is_noticed(source: str, kind: str) -> None:
    assert breaches(source) == {kind}


@pytest.mark.parametrize(
    "source",
    ["np.exp(-(x**2) / width)", "np.exp(-max(x, 0) / 4)", "temperature * 2", "'the softmax of logits'", "x / x.sum()"],
)
def test_other_formulas_pass(source: str) -> None:
    assert not breaches(source)
