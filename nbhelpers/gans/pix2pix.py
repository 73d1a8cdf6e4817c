"""pix2pix: from a mask to a photograph that fits it. Isola, Zhu, Zhou, Efros 2017,
arXiv:1611.07004, eq. 1 to 4.

New: G does not invent, it translates. It is given a source (here a mask: which pixel is gland,
nucleus, lesion), and the photograph that belongs to it is known, so that a plain distance can be
minimised as well: the L1 term settles what is where, the GAN term what it looks like close by.
Differs from the paper: masks come as one plane a class and not as colours; batches of more than one
with batch normalisation whose running statistics are used when sampling (the paper's batch of one
makes it instance normalisation, whose statistics would differ from tile to tile of a large image);
samples come from G_average; the class may be told (`conditional`).
"""

from functools import partial

import torch
from torch import Tensor, nn

from ..augment import diff_augment, policies
from ..errors import UsageError
from ..losses import cross_entropy_d, non_saturating_g
from ..ranks import drawn
from ..unet import PatchDiscriminator, Translator
from .base import GAN, Batch


class Pix2Pix(GAN):
    """G(mask) against D(image, mask), and G near to the photograph."""

    mask_classes = 2  # planes of a mask; follows from the data
    z_dim = 0  # dropout is the only noise (section 3.1)
    noise_share = 0.5  # what dropout takes away
    l1_weight = 100.0  # lambda of eq. 4
    gan_weight = 1.0  # 0 leaves L1 alone (figure 4)
    smoothing = 0.0  # a photograph's target is drawn from U(1 - smoothing, 1) for each patch
    upsampling = "transposed"

    def networks(self, image_size: int, classes: int) -> tuple[nn.Module, nn.Module]:
        if {"flip", "translation"} & set(policies(self.augment)):
            raise UsageError(
                f"augment is {self.augment!r}: a photograph that moves no longer fits its mask. "
                "Use colour or cutout; turns and flips of both are made anyway."
            )
        if self.noise_share >= 1:
            raise UsageError(f"noise_share is {self.noise_share}: it must be below 1.")
        G = Translator(
            image_size, self.mask_classes, 3, self.width, classes, self.noise_share, self.upsampling
        )
        return G, PatchDiscriminator(self.mask_classes, self.width, self.norm, classes)

    def fake(self, batch: Batch) -> Tensor:
        return self.G(batch.source, batch.label)

    def judge(self, image: Tensor, label: Tensor | None = None, source: Tensor | None = None):
        return self.D(diff_augment(image, self.augment, self.strength), source, label)

    def logits(self, batch: Batch) -> tuple[Tensor, Tensor]:
        asked = batch.source, batch.label
        return tuple(
            self.D(x, *asked).mean(dim=(1, 2)) for x in (self.real(batch), self.fake(batch))
        )

    def d_loss(self, batch: Batch) -> dict[str, Tensor]:
        label, source = batch.label, batch.source
        real = self.judge(self.real(batch), label, source)
        fake = self.judge(self.fake(batch), label, source)
        smoothing = self.smoothing * drawn(partial(torch.rand, device=real.device), *real.shape)
        # half: "which slows down the rate at which D learns relative to G" (section 3.3)
        return {"cross_entropy": 0.5 * cross_entropy_d(real, fake, smoothing)}

    def g_loss(self, batch: Batch) -> dict[str, Tensor]:
        fake = self.fake(batch)
        judged = self.judge(fake, batch.label, batch.source)
        return {
            "cross_entropy": self.gan_weight * non_saturating_g(judged),
            "l1": self.l1_weight * (fake - batch.image).abs().mean(),
        }
