"""ACGAN: D has a second head that names the class. Odena, Olah, Shlens 2017, arXiv:1610.09585.

New: D answers "real or fake?" without being told the class, and "which class?" (eq. 2 and 3); G is
told a class and wants both answers right.
Differs from the paper: the convolutional pair of this course, `class_weight` for the second answer
(the paper's is 1), G_average.
"""

from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from ..augment import diff_augment
from ..errors import UsageError
from ..losses import cross_entropy_d, non_saturating_g
from .base import GAN, Batch


class ACGAN(GAN):
    """Source and class: L_S + L_C for D, L_C - L_S (non-saturating) for G."""

    conditional = True
    learning_rate_d = learning_rate_g = 2e-4
    betas, class_weight = (0.5, 0.999), 1.0

    def networks(self, image_size: int, classes: int) -> tuple[nn.Module, nn.Module]:
        if not classes:
            raise UsageError("conditional is False, and ACGAN's D names the class: take dcgan.")
        G, D = super().networks(image_size, classes)
        D.condition.zero_()  # D(image) is the source alone, as `health` asks it
        return G, D

    def answers(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """D's source logits (N,) and class logits (N, classes)."""
        return self.D.answers(diff_augment(image, self.augment, self.strength))

    def d_loss(self, batch: Batch) -> dict[str, Tensor]:
        real, real_class = self.answers(batch.image)
        fake, fake_class = self.answers(self.fake(batch))
        classes = cross_entropy(real_class, batch.label) + cross_entropy(fake_class, batch.label)
        return {"source": cross_entropy_d(real, fake), "class": self.class_weight * classes}

    def g_loss(self, batch: Batch) -> dict[str, Tensor]:
        fake, fake_class = self.answers(self.fake(batch))
        classes = cross_entropy(fake_class, batch.label)
        return {"source": non_saturating_g(fake), "class": self.class_weight * classes}
