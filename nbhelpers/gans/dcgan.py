"""DCGAN: the first recipe that made convolutional GANs train. Radford, Metz, Chintala 2016,
arXiv:1511.06434.

New: an all-convolutional pair with batch normalisation in both players, Adam with beta1 = 0.5.
Equations: the minimax game of Goodfellow et al. 2014 with the non-saturating loss for G.
Differs from the paper: G_average, and one-sided label smoothing when `smoothing` is above 0.
"""

from torch import Tensor

from ..losses import cross_entropy_d, non_saturating_g
from .base import GAN, Batch


class DCGAN(GAN):
    """D tells real from fake; G wants its fakes called real."""

    learning_rate_d = learning_rate_g = 2e-4  # section 4
    betas = (0.5, 0.999)
    smoothing = 0.0

    def d_loss(self, batch: Batch) -> dict[str, Tensor]:
        real = self.judge(batch.image, batch.label)
        fake = self.judge(self.fake(batch), batch.label)
        return {"cross_entropy": cross_entropy_d(real, fake, self.smoothing)}

    def g_loss(self, batch: Batch) -> dict[str, Tensor]:
        return {"cross_entropy": non_saturating_g(self.judge(self.fake(batch), batch.label))}
