"""GANs small enough to be played in milliseconds, and what to play them on."""

import numpy as np
import torch

from nbhelpers.gans import GAN, GANS, Batch
from nbhelpers.training import Training

CPU = torch.device("cpu")
SMALL = {"width": 8, "z_dim": 16}
CLASSES = 3
PHOTOGRAPHS = np.random.default_rng(0).integers(0, 256, (40, 64, 64, 3), dtype=np.uint8)
LABELS = np.arange(40) % CLASSES


def build(name: str, size: int = 64, **settings) -> GAN:
    """The same first weights at every call."""
    torch.manual_seed(0)
    return GANS[name](size, CLASSES, **SMALL | settings)


def batch(size: int = 64, count: int = 8) -> Batch:
    torch.manual_seed(1)
    return Batch(torch.rand(count, 3, size, size) * 2 - 1, torch.arange(count) % 2)


def equal(one, other) -> bool:
    """Bit for bit, at any depth."""
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(equal(one[k], other[k]) for k in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(equal, one, other))
    return torch.equal(one, other) if isinstance(one, torch.Tensor) else one == other


def copied(module: torch.nn.Module) -> dict[str, torch.Tensor]:
    """The state of a module, as it is now."""
    return {name: value.clone() for name, value in module.state_dict().items()}


def run_to(training: Training, step: int) -> Training:
    """Plays until `step`, as if the process had been killed there after writing a checkpoint."""
    while training.step < step:
        terms = training._play()
        training.step += 1
        if training.at_log_point:
            training._log(terms)
    return training
