"""SNGAN: D made Lipschitz by construction. Miyato, Kataoka, Koyama, Yoshida 2018, arXiv:1802.05957.

New: every weight of D is divided by its largest singular value (eq. 8), estimated by one step of
power iteration, so D's slope is bounded without a penalty. Loss: hinge (eq. 16 and 17); optimiser:
setting C of table 1.
Differs from the paper: the convolutional pair of this course in place of its 3 x 3 stack; D is told
the diagnosis by projection (Miyato, Koyama 2018); conditional=False is the paper's.
"""

from torch import Tensor

from ..losses import hinge_d, wasserstein_g
from .base import GAN, Batch


class SNGAN(GAN):
    """Hinge loss, spectral norm in D."""

    conditional, norm = True, "spectral"
    learning_rate_d = learning_rate_g = 2e-4
    betas = (0.5, 0.999)

    def d_loss(self, batch: Batch) -> dict[str, Tensor]:
        real = self.judge(batch.image, batch.label)
        return {"hinge": hinge_d(real, self.judge(self.fake(batch), batch.label))}

    def g_loss(self, batch: Batch) -> dict[str, Tensor]:
        return {"hinge": wasserstein_g(self.judge(self.fake(batch), batch.label))}
