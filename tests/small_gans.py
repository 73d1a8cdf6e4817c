"""GANs small enough to be played in milliseconds, and what to play them on."""

import numpy as np
import torch

from nbhelpers.gans import GAN, GANS, Batch, Masks
from nbhelpers.training import Training
from nbhelpers.training_images import TrainingImages
from nbhelpers.unet import mask_planes

CPU = torch.device("cpu")
SMALL = {"width": 8, "z_dim": 16}
CLASSES = 3
PHOTOGRAPHS = np.random.default_rng(0).integers(0, 256, (40, 64, 64, 3), dtype=np.uint8)
LABELS = np.arange(40) % CLASSES
MASKS = (PHOTOGRAPHS[..., 0] > 128).astype(np.uint8)  # of two classes, for GANs that translate


def build(name: str, size: int = 64, **settings) -> GAN:
    """The same first weights at every call."""
    torch.manual_seed(0)
    gan = GANS[name](size, CLASSES, **SMALL | settings)
    gan.masks = Masks(MASKS, LABELS) if gan.translates else None
    return gan


def batch(size: int = 64, count: int = 8) -> Batch:
    torch.manual_seed(1)
    image = torch.rand(count, 3, size, size) * 2 - 1
    source = mask_planes((image[:, 0] > 0).byte(), 2)
    return Batch(image, torch.arange(count) % 2, source)


def stream(gan: GAN, labels: np.ndarray = LABELS) -> TrainingImages:
    """The photographs to train on, with their masks for a GAN that translates them."""
    masks = (MASKS, 2) if gan.translates else ()
    return TrainingImages(PHOTOGRAPHS, labels, CPU, False, *masks)


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
