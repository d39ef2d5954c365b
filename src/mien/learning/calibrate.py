"""What a network is given before it ships: smoothed crops, scales, the balance of its classes, a temperature, a
threshold.

All of it is fitted on the validation part, or on the training part's class counts; nothing here sees the test part.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from mien.datasets.faces import FaceSet
from mien.errors import RecipeError
from mien.evaluation.calibration import Threshold, fit_temperature, fit_threshold, fit_vector
from mien.evaluation.checks import Floats
from mien.evaluation.leave_one_out import ANSWERED, choose_threshold
from mien.learning import corpora, parts
from mien.learning.degrade import degrade
from mien.learning.recipe import Plan, Recipe
from mien.learning.tables import CalibrateTable


def table_of(plan: Plan) -> CalibrateTable:
    """Return the plan's table; heads and baselines, which have none, are calibrated by its defaults."""
    return plan.calibrate if isinstance(plan, Recipe) else CalibrateTable()


def fitting_faces(plan: Plan, faces: FaceSet) -> FaceSet:
    """Return the validation part, N faces, and with ``calibrate.degraded`` all again as the recipe degrades them."""
    validation = faces.part(parts.VALIDATION)
    if not isinstance(plan, Recipe) or not plan.calibrate.degraded:
        return validation
    worse = degrade(validation.pixels, plan.degrade, np.random.default_rng(plan.train.seed))
    pixels, labels = np.concatenate([validation.pixels, worse]), np.tile(validation.labels, 2)
    twice = np.tile(np.arange(len(validation)), 2)
    datasets = None if validation.datasets is None else validation.datasets[twice]
    return FaceSet(faces.label_set, pixels, labels, validation.splits[twice], validation.ids * 2, datasets=datasets)


def shift(plan: Plan, faces: FaceSet) -> NDArray[np.float64]:
    """Return what ``calibrate.balance`` adds to the logits, float64 (C,): -balance · log(share of training faces)."""
    # A head's corpora may lack a class; it is never answered, whatever is added.
    counts = np.maximum(np.bincount(faces.part(parts.TRAIN).labels, minlength=len(faces.label_set)), 1)
    found: NDArray[np.float64] = -table_of(plan).balance * np.log(counts / counts.sum())
    return found


def smoothed(network: nn.Module, smooth: float) -> nn.Module:
    """Return ``network``, its first convolution changed so that it reads every crop smoothed.

    Turning, shifting and zooming a face resamples it, which smooths it a little, but a face that is read is not
    resampled: what Touvron et al. 2019 ("Fixing the train-test resolution discrepancy") found for sizes holds for
    sharpness. A pixel becomes ``1 - 2 smooth`` of itself and ``smooth`` of each neighbour, along rows, then along
    columns; bilinear resampling at random places does so with 1/6 on average. Put together with the kernels that
    follow, this costs a pixel more of them on each side, and no layer. Beyond the frame lie zeros, as before.
    Raises ``RecipeError`` as ``first_convolution``.
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

    Raises ``RecipeError`` if there is none, or one that ``smoothed`` cannot widen: dilated, or with a frame of
    something else than zeros.
    """
    first = next((module for module in network.modules() if isinstance(module, nn.Conv2d)), None)
    if first is None or first.dilation != (1, 1) or first.padding_mode != "zeros" or isinstance(first.padding, str):
        raise RecipeError(
            f"calibrate.smooth is for networks whose first convolution is undilated and framed by zeros; this one's is "
            f"{first}. Set calibrate.smooth = 0."
        )
    return first


class Scaled(nn.Module):
    """A network whose logits are scaled and shifted class by class; both are float64 (C,)."""

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


def scaled(network: nn.Module, answers: NDArray[np.float32], recipe: Recipe, faces: FaceSet) -> Scaled:
    """Return the network with what the recipe puts behind it.  answers: its logits on ``fitting_faces``, (N, C)."""
    scale, bias = np.ones(answers.shape[1]), np.zeros(answers.shape[1])
    if recipe.calibrate.method == "vector":
        fitted = fitting_faces(recipe, faces)
        scaling = fit_vector(answers, fitted.labels, _weights(recipe, fitted), _told_apart(recipe, fitted))
        scale, bias = scaling.scale, scaling.bias + _never(recipe, fitted)
    return Scaled(network, scale, bias + shift(recipe, faces))


def temperature(plan: Plan, answers: NDArray[np.float32], faces: FaceSet) -> float:
    """Return the temperature of logits (N, C) on ``fitting_faces``; balanced classes count as balance makes them."""
    fitted = fitting_faces(plan, faces)
    # Faces of the corpus stand for those of a world in which the rare classes are less rare (importance weights).
    weights = np.exp(shift(plan, faces))[fitted.labels]
    equal = _weights(plan, fitted)
    return fit_temperature(answers, fitted.labels, weights if equal is None else weights * equal)


def threshold(plan: Plan, probabilities: Floats, validation: FaceSet) -> Threshold:
    """Return the confidence below which an answer is uncertain, by probabilities (N, C) of the validation part.

    Several corpora count the same, and at least half of their faces are answered; where ``certain`` does not hold for
    so many, it is the confidence of the surer half.
    """
    right = table_of(plan).certain
    weights = _weights(plan, validation)
    if weights is None:
        return fit_threshold(probabilities, validation.labels, right)
    values = np.asarray(probabilities, np.float64)
    return choose_threshold(values, validation.labels, weights, right=right, answered=ANSWERED)[0]


def _weights(plan: Plan, faces: FaceSet) -> NDArray[np.float64] | None:
    table = plan.data.corpora
    return corpora.equal_weights(faces, table) if table.shares else None


def _never(plan: Plan, faces: FaceSet) -> NDArray[np.float64]:
    """Return what keeps classes that no corpus has from being answered, float64 (C,): their logits learned nothing."""
    known = _told_apart(plan, faces)
    return np.zeros(len(faces.label_set)) if known is None else np.where(known.any(axis=0), 0.0, -1e4)


def _told_apart(plan: Plan, faces: FaceSet) -> NDArray[np.bool_] | None:
    """Return bool (N, C): the classes that each face's corpus has, by its faces; None for a single corpus."""
    table = plan.data.corpora
    if not table.shares:
        return None
    known = np.zeros((len(faces), len(faces.label_set)), bool)
    for rows in corpora.groups(faces, table).values():
        known[np.ix_(rows, np.unique(faces.labels[rows]))] = True
    return known
