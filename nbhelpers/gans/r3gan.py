"""R3GAN, made small: a relativistic game with two penalties and no tricks. Huang, Gokaslan,
Kuleshov, Tompkin 2024, arXiv:2501.05441.

New: D compares each photograph with a fake (eq. 2), and its slope is penalised at both (R1 and R2,
eq. 3 and 4): this game converges locally (section 2), so plain residual networks without any
normalisation are enough.
Differs from the paper: far narrower, one residual block a resolution, ordinary in place of grouped
convolutions; diagnosis by projection, its weight fading in between 10 % and 30 % of the budget
(Shahbazi et al. 2022, arXiv:2201.06578), because a condition heard from the start makes few images
collapse; penalties on a share of the batch, their weight going down to a tenth.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, interpolate, leaky_relu

from .. import ranks
from ..blocks import SMALLEST, fade, told, widths
from ..losses import relativistic_d, zero_centred_penalty
from .base import GAN, Batch


class Residual(nn.Module):
    """x + conv(act(conv(act(x)))), the last convolution starting at 0: at first it changes
    nothing."""

    def __init__(self, channels: int):
        super().__init__()
        self.first = _he(nn.Conv2d(channels, channels, 3, padding=1))
        self.last = nn.Conv2d(channels, channels, 3, padding=1)
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.last(leaky_relu(self.first(leaky_relu(x, 0.2)), 0.2))


class ResidualGenerator(nn.Module):
    """z (N, z_dim), label int64 (N,) -> image (N, 3, S, S) in [-1, 1]."""

    def __init__(self, image_size: int, z_dim: int, width: int, classes: int):
        super().__init__()
        channels = _channels(image_size, width)
        self.register_buffer("condition", torch.ones(()))
        self.embedding = nn.Embedding(classes, z_dim) if classes else None
        self.first = nn.Linear(z_dim * (2 if classes else 1), channels[0] * SMALLEST**2)
        self.change = nn.ModuleList(map(_one_by_one, channels[:-1], channels[1:]))
        self.blocks = nn.ModuleList(map(Residual, channels))
        self.to_image = nn.Conv2d(channels[-1], 3, 1)

    def forward(self, z: Tensor, label: Tensor | None = None) -> Tensor:
        z = told(z, self.embedding, label, self.condition)
        x = self.first(z).unflatten(1, (-1, SMALLEST, SMALLEST))
        x = self.blocks[0](x.contiguous(memory_format=torch.channels_last))
        for change, block in zip(self.change, self.blocks[1:], strict=True):
            x = block(interpolate(change(x), scale_factor=2.0, mode="bilinear"))
        return self.to_image(leaky_relu(x, 0.2)).tanh().float()


class ResidualDiscriminator(nn.Module):
    """image (N, 3, S, S) in [-1, 1], label int64 (N,) -> logit (N,): G's road walked back."""

    def __init__(self, image_size: int, width: int, classes: int):
        super().__init__()
        channels = _channels(image_size, width)[::-1]
        self.register_buffer("condition", torch.ones(()))
        self.from_image = nn.Conv2d(3, channels[0], 1)
        self.blocks = nn.ModuleList(map(Residual, channels))
        self.change = nn.ModuleList(map(_one_by_one, channels[:-1], channels[1:]))
        self.to_features = _he(nn.Conv2d(channels[-1], channels[-1], SMALLEST))  # 4 x 4 -> 1 x 1
        self.to_logit = nn.Linear(channels[-1], 1)
        self.embedding = nn.Embedding(classes, channels[-1]) if classes else None

    def forward(self, image: Tensor, label: Tensor | None = None) -> Tensor:
        x = self.blocks[0](self.from_image(image))
        for change, block in zip(self.change, self.blocks[1:], strict=True):
            x = block(change(avg_pool2d(x, 2)))
        f = leaky_relu(self.to_features(leaky_relu(x, 0.2)).flatten(1), 0.2).float()  # (N, d)
        logit = self.to_logit(f)[:, 0].float()
        if self.embedding is None:
            return logit
        return logit + self.condition * (f * self.embedding(label)).sum(1) / math.sqrt(f.shape[1])


def _channels(image_size: int, width: int) -> list[int]:
    """Channels from 4 x 4 up to the image: 64 px, width 32 gives [192, 128, 64, 32, 16]."""
    return [min(c, 6 * width) for c in (*widths(image_size, width), width // 2)]


def _he(layer: nn.Module) -> nn.Module:
    nn.init.kaiming_normal_(layer.weight, a=0.2)
    nn.init.zeros_(layer.bias)
    return layer


def _one_by_one(channels_in: int, channels_out: int) -> nn.Module:
    layer = nn.Conv2d(channels_in, channels_out, 1, bias=False)
    nn.init.normal_(layer.weight, 0.0, channels_in**-0.5)
    return layer


class R3GAN(GAN):
    """The relativistic pairing loss with R1 and R2."""

    conditional = True
    norm, _norms = "none", ("none",)  # its networks have no other
    z_dim, betas = 64, (0.0, 0.99)
    learning_rate_d = learning_rate_g = 2e-4  # at 5e-4 G saturated within 300 steps of 8
    final_rate = 0.1
    penalty_weight, final_penalty, penalty_share = 2.0, 0.1, 0.5  # gamma; its share at the end
    fade_from, fade_to = 0.1, 0.3  # the condition's, as shares of the budget
    _p = 0.0  # share of the budget that is spent

    def networks(self, image_size: int, classes: int) -> tuple[nn.Module, nn.Module]:
        fade(0.0, self.fade_from, self.fade_to)  # refused now, not in the first step
        G = ResidualGenerator(image_size, self.z_dim, self.width, classes)
        return G, ResidualDiscriminator(image_size, self.width, classes)

    def d_loss(self, batch: Batch) -> dict[str, Tensor]:
        image, label, fake = batch.image, batch.label, self.fake(batch)
        game = relativistic_d(self.judge(image, label), self.judge(fake, label))
        few = slice(ranks.share(self.penalty_share, len(image)))
        r1 = zero_centred_penalty(self.judge, image[few], label[few])
        r2 = zero_centred_penalty(self.judge, fake[few], label[few])
        gamma = self.penalty_weight * self.final_penalty**self._p
        return {"game": game, "r1": gamma * r1, "r2": gamma * r2}

    def g_loss(self, batch: Batch) -> dict[str, Tensor]:
        fake = self.judge(self.fake(batch), batch.label)
        return {"game": relativistic_d(fake, self.judge(batch.image, batch.label))}

    def set_progress(self, p: float) -> None:
        self._p = p
        heard = fade(p, self.fade_from, self.fade_to)
        self.G.condition.fill_(heard)
        self.D.condition.fill_(heard)

    def has_penalty(self) -> bool:
        return True
