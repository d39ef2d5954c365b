"""The public names, and what importing them costs."""

from __future__ import annotations

import subprocess
import sys

import pytest

import mien

HEAVY = ("cv2", "onnxruntime", "torch", "numpy", "PIL", "pandas")

BLOCKED = """
import sys
class Block:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {"torch", "torchvision", "lightning", "pandas", "matplotlib", "sklearn", "onnx"}:
            raise ImportError("blocked: " + name)
sys.meta_path.insert(0, Block())
"""


def run(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_import_loads_nothing_heavy() -> None:
    assert run(f"import mien, sys; print([name for name in {HEAVY} if name in sys.modules])") == "[]"


def test_every_public_name_loads_without_torch_or_pandas() -> None:
    code = f"{BLOCKED}\nfrom mien import *\nimport mien\nprint(*sorted(mien.__all__))\n" + "\n".join(
        f"import mien.{name}"
        for name in (
            "images",
            "preprocess",
            "recognition.recognizer",
            "recognition.detection.detect",
            "interpret.explain",
            "interpret.overlay",
            "drawing.draw",
        )
    )
    assert run(code) == " ".join(sorted(mien.__all__))


def test_loading_the_recognizer_module_costs_no_engine() -> None:
    assert (
        run("import mien, sys; mien.load; print([n for n in ('cv2', 'onnxruntime', 'PIL') if n in sys.modules])")
        == "[]"
    )


def test_names_are_listed_and_unknown_ones_refused() -> None:
    assert set(mien.__all__) <= set(dir(mien))
    assert mien.Recognizer.__module__ == "mien.recognition.recognizer"
    with pytest.raises(AttributeError, match="no attribute 'lod'"):
        getattr(mien, "lod")  # noqa: B009 - a plain attribute would be refused by the type checker
