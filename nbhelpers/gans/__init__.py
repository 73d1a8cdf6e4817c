"""The GANs by name. A new one is a file here and a line in `GANS`."""

from .base import GAN, Batch
from .dcgan import DCGAN

GANS: dict[str, type[GAN]] = {"dcgan": DCGAN}

__all__ = ["DCGAN", "GAN", "GANS", "Batch"]
