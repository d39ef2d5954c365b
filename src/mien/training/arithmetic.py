"""Training precision: bfloat16 where the hardware has instructions for it, float32 elsewhere."""

from __future__ import annotations

from typing import Any

import torch

from mien.recipes.recipe import Recipe


def arguments(recipe: Recipe) -> dict[str, Any]:
    """Return the arguments of Lightning's trainer for precision, accelerator and gradient clipping."""
    return {
        "precision": "bf16-mixed" if precision(recipe) == "bfloat16" else "32-true",
        "accelerator": "gpu" if torch.cuda.is_available() else "cpu",
        "gradient_clip_val": recipe.train.clip or None,
    }


def precision(recipe: Recipe) -> str:
    """Return ``"bfloat16"`` if the recipe asks for it and the hardware supports it, otherwise ``"float32"``."""
    return "bfloat16" if recipe.train.bfloat16 and has_bfloat16() else "float32"


def has_bfloat16() -> bool:
    """Check whether the GPU, or without one the CPU, has bfloat16 instructions.

    PyTorch emulates bfloat16 where they are missing, in slow fallback loops (pytorch/pytorch#118499 and #183815): a
    step of ``fer7`` took 13 times as long in bfloat16 as in float32 on two cores with AVX2. ARM CPUs count as
    unsupported, because nothing has been measured there.
    """
    if torch.cuda.is_available():
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return bool(torch.cpu._is_avx512_bf16_supported())
