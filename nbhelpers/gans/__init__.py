"""The GANs by name. A new one is a file here and a line in `GANS`."""

from .acgan import ACGAN
from .base import GAN, Batch, Masks
from .cgan import CGAN
from .dcgan import DCGAN
from .modern import Modern
from .pix2pix import Pix2Pix
from .progan import ProGAN
from .r3gan import R3GAN
from .sngan import SNGAN
from .wgan import WGAN, WGANGP

GANS: dict[str, type[GAN]] = {
    "dcgan": DCGAN,
    "cgan": CGAN,
    "wgan": WGAN,
    "wgan_gp": WGANGP,
    "sngan": SNGAN,
    "acgan": ACGAN,
    "progan": ProGAN,
    "pix2pix": Pix2Pix,
    "r3gan": R3GAN,
    "modern": Modern,
}

__all__ = [
    "ACGAN", "CGAN", "DCGAN", "GAN", "GANS", "R3GAN", "SNGAN", "WGAN", "WGANGP", "Batch", "Masks",
    "Modern",
    "Pix2Pix", "ProGAN",
]  # fmt: skip
