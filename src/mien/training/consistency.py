"""Erasing attention consistency for noisy labels (EAC; Zhang et al., ECCV 2022, arXiv:2207.10299).

A network that memorises a wrong label attends to whatever part of the face fits it, and to another part in the mirror
image. So the network reads each augmented face, with a rectangle erased from most of the faces that it sees, and its
mirror image; the loss adds the mean squared difference between the attention maps of the face and the mirrored maps
of the mirror image. Labels are learned from the face alone: the mirror image only has to agree.
"""

from __future__ import annotations

import torch
from torch.nn import functional


def attention_maps(maps: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """Return class activation maps (Zhou et al. 2016), float32 (N, C, h, w).

    Args:
        maps: last feature maps, float (N, width, h, w).
        weights: of the linear layer behind their means, (C, width). As in the authors' code no gradient flows into
            them: the maps shall agree, not the weights shrink.
    """
    # Not in bfloat16: the loss is a small difference of maps.
    with torch.autocast(maps.device.type, enabled=False):
        return torch.einsum("nihw,ci->nchw", maps.float(), weights.detach().float())


def consistency_loss(maps: torch.Tensor, mirrored: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """Return the mean squared difference of the attention maps of faces and of their mirror images, mirrored back.

    Args:
        maps: last feature maps of the faces, float (N, width, h, w).
        mirrored: those of their mirror images, same shape.
        weights: as in ``attention_maps``.
    """
    return functional.mse_loss(attention_maps(maps, weights), attention_maps(mirrored, weights).flip(3))
