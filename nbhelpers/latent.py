"""The noise of a generator as a space to move in: the directions that show most, noise kept near
its middle, and G as it is now in place of its running average.

Noise z comes from N(0, 1) and so does its coordinate along any direction of length 1: a step of 1
is one standard deviation, whichever the direction.
"""

import copy
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from .errors import UsageError
from .gans import GAN
from .sampling import BLOCK, decode, fixed_noise

ANCHORS = 8  # noises at which the slope of G is taken
STEP = 0.1  # standard deviations to either side, for the slope


class Directions(NamedTuple):
    """Directions of the noise, the one that shows most first."""

    vectors: Tensor  # float32 (count, z_dim), of length 1, at right angles to one another
    share: Tensor  # float32 (count,), of the image's squared change; that of all z_dim is 1


def directions(gan: GAN, count: int, seed: int, anchors: int = ANCHORS) -> Directions:
    """The `count` directions of the noise along which the pixels of G_average change most, each
    towards brighter images: a function of the seed.

    Eigenvectors of the mean of J^T J over `anchors` noises, classes in turn, J being the slope of
    the image with respect to z (Ramesh, Choi, LeCun 2018, arXiv:1812.01161; Wang, Ponce 2021,
    arXiv:2101.06006, with pixels in place of a perceptual distance: they found the directions of
    few places to hold for most). UsageError for a GAN that is given masks, and for more directions
    than the noise has.
    """
    if gan.translates:
        raise UsageError("this GAN is given masks and no noise: it has no directions to move in.")
    if not 1 <= count <= gan.z_dim:
        raise UsageError(f"count is {count}: choose from 1 to {gan.z_dim}, the length of z.")
    squared, brighter = torch.zeros(gan.z_dim, gan.z_dim).double(), torch.zeros(gan.z_dim).double()
    for i, z in enumerate(fixed_noise(gan.z_dim, anchors, seed)):
        slope = _slope(gan, z, i)  # (z_dim, pixels)
        squared, brighter = squared + slope @ slope.T, brighter + slope.mean(1)
    strength, vectors = torch.linalg.eigh(squared)  # the weakest first
    strength, vectors = strength.flip(0).clamp(min=0), vectors.T.flip(0)
    vectors[vectors @ brighter < 0] *= -1
    return Directions(vectors[:count].float(), (strength / strength.sum())[:count].float())


@torch.no_grad()
def _slope(gan: GAN, z: Tensor, anchor: int) -> Tensor:
    """How the image changes along each coordinate at one noise z (z_dim,), by central differences:
    float64 (z_dim, pixels), in units of [-1, 1]."""
    G, device = gan.G_average.eval(), next(gan.G_average.parameters()).device
    steps = STEP * torch.eye(len(z))
    label = torch.full((2 * len(z),), anchor % max(1, gan.settings["classes"]), device=device)
    asked = torch.cat([z + steps, z - steps]).to(device)
    images = [G(*part) for part in zip(asked.split(BLOCK), label.split(BLOCK), strict=True)]
    there, back = torch.cat(images).flatten(1).cpu().double().chunk(2)
    return (there - back) / (2 * STEP)


def placed(z: Tensor, vectors: Tensor, coordinates: Tensor) -> Tensor:
    """Noise z (..., z_dim) moved along `vectors` (K, z_dim), at right angles and of length 1, to
    have the `coordinates` (..., K) there; across them it stays as it is."""
    return z + (coordinates - z @ vectors.T) @ vectors


def moved_along(
    gan: GAN, z: Tensor, vectors: Tensor, coordinates: Tensor, label: int = 0
) -> np.ndarray:
    """Images uint8 (K, steps, S, S, 3) of one noise z (z_dim,): in each row its coordinate along
    one of `vectors` (K, z_dim) takes the values `coordinates` (steps,), and nothing else changes.
    All are of the class `label` where the GAN is told one."""
    rows = [placed(z, vector[None], coordinates[:, None]) for vector in vectors]
    asked = torch.cat(rows)
    images = decode(gan, asked, torch.full((len(asked),), label))
    return images.reshape(len(vectors), len(coordinates), *images.shape[1:])


def truncated(z_dim: int, count: int, seed: int, threshold: float) -> Tensor:
    """z (count, z_dim) from N(0, 1) without what is further from 0 than `threshold`.

    Brock, Donahue, Simonyan 2019 (BigGAN), section 3.1, draw such entries again. Here every entry
    of `fixed_noise` goes to its quantile of the distribution this leads to, so that an image can be
    followed from one threshold to the next; infinity leaves all as it is. UsageError for a
    threshold that is not above 0.
    """
    if not threshold > 0:
        raise UsageError(f"threshold is {threshold}: it must be above 0, 2 for example.")
    z = fixed_noise(z_dim, count, seed)
    below = torch.special.ndtr(torch.tensor(-threshold, dtype=torch.float64))
    squeezed = torch.special.ndtri(below + torch.special.ndtr(z.double()) * (1 - 2 * below))
    return squeezed.float().clamp(-threshold, threshold)


def without_average(gan: GAN) -> GAN:
    """A copy of the GAN that is sampled from G as its last step left it, not from the running
    average of its steps."""
    twin = copy.deepcopy(gan)
    twin.G_average = twin.G
    return twin
