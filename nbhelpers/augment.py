"""Augmentation of image batches (N, C, S, S), drawn from torch's global random state: the caller's
seed decides."""

import torch
from torch import Tensor


def dihedral(images: Tensor) -> Tensor:
    """Each image in one of its 8 flips and quarter turns, at random. A lesion has no up and no
    left."""
    coin = torch.rand(3, len(images), 1, 1, 1, device=images.device) < 0.5
    images = torch.where(coin[0], images.flip(-1), images)
    images = torch.where(coin[1], images.flip(-2), images)
    return torch.where(coin[2], images.transpose(-1, -2), images)
