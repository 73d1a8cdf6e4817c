"""Modern: what small-data practice adds to the conditional GAN, each as a switch.

Not a paper: the recipe of this course, found switch by switch on HAM10000 (notebook 18 and
`benchmarks/gans_table.py --switches` show which pays at which budget). The switches: relativistic
pairs (Jolicoeur-Martineau 2019, eq. 4), penalties R1 and R2 on the slope at photographs and at
fakes (Mescheder et al. 2018, eq. 9 and 10), a condition that fades in (Shahbazi et al. 2022),
bilinear enlargement in place of transposed convolution (Odena et al. 2016), a low-pass filter on
the image (Karras et al. 2019), class-conditional normalisation in G (Miyato, Koyama 2018), label
smoothing (Salimans et al. 2016), and those every GAN here has: `augment` (DiffAugment, Zhao et al.
2020), `norm`, `average_share`, learning rates and their decay.
"""

from torch import Tensor, nn

from .. import ranks
from ..blocks import ConvDiscriminator, ConvGenerator, fade
from ..losses import cross_entropy_d, non_saturating_g, relativistic_d, zero_centred_penalty
from .base import GAN, Batch


class Modern(GAN):
    """The conditional GAN of `cgan` with everything that can be switched on."""

    conditional = True
    final_rate = 0.05
    upsampling, low_pass, class_norm = "transposed", True, True  # of G
    relativistic, smoothing = False, 0.0
    r1_weight, r2_weight, penalty_share = 0.0, 0.0, 0.25  # the share of the batch penalised
    fade_from, fade_to = 0.0, 0.0  # the condition's, as shares of the budget

    def networks(self, image_size: int, classes: int) -> tuple[nn.Module, nn.Module]:
        fade(0.0, self.fade_from, self.fade_to)  # refused now, not in the first step
        switches = {name: getattr(self, name) for name in ("upsampling", "low_pass", "class_norm")}
        G = ConvGenerator(image_size, self.z_dim, self.width, classes, **switches)
        return G, ConvDiscriminator(image_size, self.width, self.norm, classes)

    def d_loss(self, batch: Batch) -> dict[str, Tensor]:
        image, label, fake = batch.image, batch.label, self.fake(batch)
        real_logit, fake_logit = self.judge(image, label), self.judge(fake, label)
        if self.relativistic:
            terms = {"game": relativistic_d(real_logit, fake_logit)}
        else:
            terms = {"game": cross_entropy_d(real_logit, fake_logit, self.smoothing)}
        for name, weight, at in (("r1", self.r1_weight, image), ("r2", self.r2_weight, fake)):
            if weight:
                few = slice(ranks.share(self.penalty_share, len(image)))
                terms[name] = weight * zero_centred_penalty(self.judge, at[few], label[few])
        return terms

    def g_loss(self, batch: Batch) -> dict[str, Tensor]:
        fake_logit = self.judge(self.fake(batch), batch.label)
        if self.relativistic:
            return {"game": relativistic_d(fake_logit, self.judge(batch.image, batch.label))}
        return {"game": non_saturating_g(fake_logit)}

    def set_progress(self, p: float) -> None:
        heard = fade(p, self.fade_from, self.fade_to)
        self.G.condition.fill_(heard)
        self.D.condition.fill_(heard)

    def has_penalty(self) -> bool:
        return self.r1_weight + self.r2_weight > 0
