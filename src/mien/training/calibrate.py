"""Calibration before export: input smoothing, vector scaling, class balance, temperature and confidence threshold.

Everything is fitted on the validation set, or on the training set's class counts; the test set is never used here.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from mien.datasets.faces import FaceSet
from mien.errors import RecipeError
from mien.evaluation.metrics.calibration import (
    Threshold,
    VectorScaling,
    fit_temperature,
    fit_threshold,
    fit_vector,
)
from mien.evaluation.metrics.checks import Floats
from mien.evaluation.protocol.leave_one_out import ANSWERED, choose_threshold
from mien.recipes.recipe import Plan, Recipe
from mien.recipes.tables import CalibrateTable
from mien.training import corpora, parts
from mien.training.degrade import degrade


def table_of(plan: Plan) -> CalibrateTable:
    """Return the recipe's calibration table; heads and baselines have none and use its defaults."""
    return plan.calibrate if isinstance(plan, Recipe) else CalibrateTable()


def fitting_faces(plan: Plan, faces: FaceSet) -> FaceSet:
    """Return the validation set, N faces; with ``calibrate.degraded``, append a degraded copy of each."""
    validation = faces.part(parts.VALIDATION)
    if not isinstance(plan, Recipe) or not plan.calibrate.degraded:
        return validation
    plain = np.asarray(validation.pixels)
    worse = degrade(plain, plan.degrade, np.random.default_rng(plan.train.seed))
    pixels, labels = np.concatenate([plain, worse]), np.tile(validation.labels, 2)
    twice = np.tile(np.arange(len(validation)), 2)
    datasets = None if validation.datasets is None else validation.datasets[twice]
    return FaceSet(faces.label_set, pixels, labels, validation.splits[twice], validation.ids * 2, datasets=datasets)


def shift(plan: Plan, faces: FaceSet) -> NDArray[np.float64]:
    """Return the logit offsets of ``calibrate.balance``, float64 (C,): -balance · log(share of training faces)."""
    # A head's corpora may lack a class; it is never predicted, whatever its offset.
    counts = np.maximum(np.bincount(faces.part(parts.TRAIN).labels, minlength=len(faces.label_set)), 1)
    offsets: NDArray[np.float64] = -table_of(plan).balance * np.log(counts / counts.sum())
    return offsets


def smooth_input(network: nn.Module, smooth: float) -> nn.Module:
    """Fold a smoothing filter into the first convolution of ``network``, in place, and return the network.

    Rotation, shift and zoom resample a training face, which smooths it slightly, but faces are not resampled at
    inference: what Touvron et al. 2019 ("Fixing the train-test resolution discrepancy") found for sizes holds for
    sharpness. A pixel becomes ``1 - 2 smooth`` of itself and ``smooth`` of each neighbour, along rows, then along
    columns; bilinear resampling at random positions does so with 1/6 on average. Folding the filter widens the
    kernels by one pixel on each side and adds no layer. Padding stays zero.

    Raises:
        RecipeError: as ``first_convolution``.
    """
    if not smooth:
        return network
    first = first_convolution(network)
    line = torch.tensor([smooth, 1 - 2 * smooth, smooth], dtype=torch.float64)
    kernels = first.weight.detach().double()
    spread = functional.conv2d(kernels.flatten(0, 1)[:, None], torch.outer(line, line)[None, None], padding=2)
    first.weight = nn.Parameter(spread.reshape(*kernels.shape[:2], *spread.shape[2:]).to(first.weight))
    height, width = first.kernel_size
    first.kernel_size = (height + 2, width + 2)
    first.padding = (int(first.padding[0]) + 1, int(first.padding[1]) + 1)
    return network


def first_convolution(network: nn.Module) -> nn.Conv2d:
    """Return the convolution that reads the crops.

    Raises:
        RecipeError: there is none, or one that ``smooth_input`` cannot widen: dilated, or not zero-padded.
    """
    first = next((module for module in network.modules() if isinstance(module, nn.Conv2d)), None)
    if first is None or first.dilation != (1, 1) or first.padding_mode != "zeros" or isinstance(first.padding, str):
        raise RecipeError(
            f"calibrate.smooth needs a first convolution that is undilated and zero-padded; this network has {first}. "
            "Set calibrate.smooth = 0."
        )
    return first


class Scaled(nn.Module):
    """A network with a scale and a bias per class on its logits; both are float64 (C,)."""

    scale: torch.Tensor
    bias: torch.Tensor

    def __init__(self, network: nn.Module, scale: NDArray[np.float64], bias: NDArray[np.float64]) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("scale", torch.from_numpy(scale.astype(np.float32)))
        self.register_buffer("bias", torch.from_numpy(bias.astype(np.float32)))
        self.eval()

    def forward(self, crops: torch.Tensor) -> torch.Tensor:
        """Map float (N, C, S, S) to logits (N, classes)."""
        logits: torch.Tensor = self.network(crops) * self.scale + self.bias
        return logits


def scale_logits(network: nn.Module, logits: NDArray[np.float32], recipe: Recipe, faces: FaceSet) -> Scaled:
    """Add the recipe's vector scaling and class balance to a network.

    Args:
        logits: the network's on ``fitting_faces``, float32 (N, C).
    """
    scale, bias = np.ones(logits.shape[1]), np.zeros(logits.shape[1])
    if recipe.calibrate.method == "vector":
        scaling = fit_scaling(logits, recipe, faces)
        scale, bias = scaling.scale, scaling.bias
    return Scaled(network, scale, bias + shift(recipe, faces))


def fit_scaling(logits: NDArray[np.float32], recipe: Recipe, faces: FaceSet) -> VectorScaling:
    """Fit the recipe's vector scaling to logits (N, C) of ``fitting_faces``, weighted as ``corpora.group_weights``."""
    fitted = fitting_faces(recipe, faces)
    known = _known_classes(recipe, fitted) if recipe.calibrate.absent == "masked" else None
    scaling = fit_vector(logits, fitted.labels, _weights(recipe, fitted), known)
    return VectorScaling(scaling.scale, scaling.bias + _mask_unknown(recipe, fitted))


def temperature(plan: Plan, logits: NDArray[np.float32], faces: FaceSet) -> float:
    """Fit the temperature of logits (N, C) on ``fitting_faces``, weighted to the class prior of ``balance``."""
    fitted = fitting_faces(plan, faces)
    # Importance-weight the faces to the target class prior, in which the rare classes are less rare.
    weights = np.exp(shift(plan, faces))[fitted.labels]
    of_corpora = _weights(plan, fitted)
    return fit_temperature(logits, fitted.labels, weights if of_corpora is None else weights * of_corpora)


def threshold(plan: Plan, probabilities: Floats, validation: FaceSet) -> Threshold:
    """Fit the confidence threshold for certain predictions on probabilities (N, C) of the validation set.

    With several corpora, weighted as ``corpora.group_weights`` says, coverage is at least one half: if the accuracy
    ``certain`` is not reached at that coverage, the threshold is the one of the more confident half.
    """
    accuracy = table_of(plan).certain
    weights = _weights(plan, validation)
    if weights is None:
        return fit_threshold(probabilities, validation.labels, accuracy)
    values = np.asarray(probabilities, np.float64)
    return choose_threshold(values, validation.labels, weights, right=accuracy, answered=ANSWERED)[0]


def _weights(plan: Plan, faces: FaceSet) -> NDArray[np.float64] | None:
    table = plan.data.corpora
    return corpora.group_weights(faces, table) if table.shares else None


def _mask_unknown(plan: Plan, faces: FaceSet) -> NDArray[np.float64]:
    """Return logit offsets, float64 (C,), that rule out classes without faces in any corpus: they are untrained."""
    known = _known_classes(plan, faces)
    return np.zeros(len(faces.label_set)) if known is None else np.where(known.any(axis=0), 0.0, -1e4)


def _known_classes(plan: Plan, faces: FaceSet) -> NDArray[np.bool_] | None:
    """Return bool (N, C): the classes with faces in each face's corpus; None for a single corpus."""
    table = plan.data.corpora
    if not table.shares:
        return None
    known = np.zeros((len(faces), len(faces.label_set)), bool)
    for rows in corpora.groups(faces, table).values():
        known[np.ix_(rows, np.unique(faces.labels[rows]))] = True
    return known
