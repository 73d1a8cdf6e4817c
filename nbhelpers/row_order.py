"""Which images a classifier sees at which step: an array of row numbers, made before training."""

import math

import numpy as np

from .config import mix
from .errors import TrainingError


def real_order(labels: np.ndarray, steps: int, batch: int, power: float, seed: int) -> np.ndarray:
    """Row numbers int64 (steps, batch) of the real images each step shows: epoch after epoch, a
    function of (seed, epoch).

    An image's weight is its class's count to the power `-power`: 0 as they come, 0.5 in between, 1
    all classes alike. Within an epoch each image comes floor or ceil of its expected number of
    times.
    """
    if len(labels) < batch:
        raise TrainingError(
            f"{len(labels)} training images make no batch of {batch}: lower it, or bring more."
        )
    weight = np.bincount(labels)[labels] ** -float(power)
    epochs = math.ceil(steps * batch / len(labels))
    rows = np.concatenate([_epoch(weight, mix(seed, epoch)) for epoch in range(epochs)])
    return rows[: steps * batch].reshape(steps, batch)


def _epoch(weight: np.ndarray, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    shuffled = rng.permutation(len(weight))
    reach = np.cumsum(weight[shuffled])
    # an evenly spaced ruler laid over the weights: no image is drawn often by chance
    ruler = (np.arange(len(weight)) + rng.random()) * (reach[-1] / len(weight))
    hits = np.searchsorted(reach, ruler, side="right").clip(max=len(weight) - 1)
    return rng.permutation(shuffled[hits])
