"""bfloat16 is for machines that compute in it; elsewhere it would make training ten times slower."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from corpora import bars

pytestmark = pytest.mark.train
pytest.importorskip("torch")

import torch  # noqa: E402

from mien.recipes.recipe import Recipe, load  # noqa: E402
from mien.training import arithmetic  # noqa: E402
from mien.training.fit import fit  # noqa: E402


def processor(monkeypatch: pytest.MonkeyPatch, *, bfloat16: bool) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: bfloat16)


def plan(**train: object) -> Recipe:
    return load("fer7-nano").with_values({f"train.{name}": value for name, value in train.items()})


@pytest.mark.parametrize(
    ("wanted", "there", "expected"),
    [(True, True, "bf16-mixed"), (True, False, "32-true"), (False, True, "32-true"), (False, False, "32-true")],
)
def test_bfloat16_needs_the_recipe_and_the_processor(
    wanted: bool, there: bool, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    processor(monkeypatch, bfloat16=there)
    assert arithmetic.arguments(plan(bfloat16=wanted))["precision"] == expected


@pytest.mark.parametrize("there", [True, False])
def test_a_gpu_counts_instead_of_its_processor(there: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    processor(monkeypatch, bfloat16=not there)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    # What it emulates does not count: a T4 takes bfloat16 and is slower for it.
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: including_emulation or there)
    found = arithmetic.arguments(plan(bfloat16=True))
    assert (found["precision"] == "bf16-mixed", found["accelerator"]) == (there, "gpu")


def test_this_machine_is_asked_in_a_way_that_its_torch_answers() -> None:
    cores = Path("/proc/cpuinfo")
    expected = (
        (True, False) if torch.cuda.is_available() or not cores.exists() else ("avx512_bf16" in cores.read_text(),)
    )
    assert arithmetic.has_bfloat16() in expected


@pytest.mark.parametrize(("there", "said"), [(False, "float32"), (True, "bfloat16")])
def test_a_run_computes_in_what_it_says(
    there: bool, said: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    processor(monkeypatch, bfloat16=there)
    seen = set()

    def look(module: torch.nn.Module, _: object, answer: torch.Tensor) -> None:
        if isinstance(module, torch.nn.Conv2d):
            seen.add(answer.dtype)

    faces = bars({"Training": 2, "PublicTest": 1, "PrivateTest": 1})
    recipe = plan(epochs=1, batch_size=7, sizes=()).with_values({"distil.answers": []})
    watch = torch.nn.modules.module.register_module_forward_hook(look)
    try:
        fit(recipe, faces, tmp_path / "run")
    finally:
        watch.remove()
    assert json.loads((tmp_path / "run" / "environment.json").read_text())["precision"] == said
    assert seen == {getattr(torch, said)}
