"""WGAN and WGAN-GP: a critic that scores in place of a judge that classifies.

WGAN: Arjovsky, Chintala, Bottou 2017, arXiv:1701.07875. WGAN-GP: Gulrajani et al. 2017,
arXiv:1704.00028. New: the critic's score differences estimate the Wasserstein-1 distance (eq. 2 of
WGAN), when the critic is 1-Lipschitz. WGAN clips its weights to get there, WGAN-GP asks for a slope
of 1.
Differs from the papers: the critic is told the diagnosis (conditional=False is the paper's), the
average of G is sampled, and WGAN takes Adam with beta1 = 0, which is its RMSProp with the first
steps corrected.
"""

import torch
from torch import Tensor

from ..losses import gradient_penalty, wasserstein_d, wasserstein_g
from .base import GAN, Batch


class WGAN(GAN):
    """Critic instead of classifier, kept Lipschitz by clipping its weights. Algorithm 1."""

    conditional = True
    n_critic, betas, clip = 5, (0.0, 0.99), 0.01
    learning_rate_d = learning_rate_g = 5e-5

    def d_loss(self, batch: Batch) -> dict[str, Tensor]:
        real = self.judge(batch.image, batch.label)
        return {"critic": wasserstein_d(real, self.judge(self.fake(batch), batch.label))}

    def g_loss(self, batch: Batch) -> dict[str, Tensor]:
        return {"critic": wasserstein_g(self.judge(self.fake(batch), batch.label))}

    @torch.no_grad()
    def after_d_step(self) -> None:
        for weight in self.D.parameters():
            weight.clamp_(-self.clip, self.clip)


class WGANGP(GAN):
    """Critic instead of classifier, kept 1-Lipschitz by a gradient penalty. Gulrajani et al. 2017,
    eq. 3."""

    conditional, norm = True, "none"  # no batch norm: the penalty is on each image's slope
    n_critic, betas, penalty_weight = 5, (0.0, 0.9), 10.0
    learning_rate_d = learning_rate_g = 1e-4

    def d_loss(self, batch: Batch) -> dict[str, Tensor]:
        image, label, fake = batch.image, batch.label, self.fake(batch)
        critic = wasserstein_d(self.judge(image, label), self.judge(fake, label))
        penalty = gradient_penalty(self.judge, image, fake, label)
        return {"critic": critic, "penalty": self.penalty_weight * penalty}

    def g_loss(self, batch: Batch) -> dict[str, Tensor]:
        return {"critic": wasserstein_g(self.judge(self.fake(batch), batch.label))}

    def has_penalty(self) -> bool:
        return True
