"""ProGAN: draw small first, then grow. Karras, Aila, Laine, Lehtinen 2018, arXiv:1710.10196.

New: both players start at 4 x 4 pixels and gain one resolution at a time, each faded in
(section 2); equalised learning rate and pixel normalisation keep the scales in hand (section 4);
D sees how much the images of a batch differ (section 3). Loss: WGAN-GP with a small pull of D's
scores to 0 (appendix A.1).
Differs from the paper: one 3 x 3 convolution a resolution in place of two and width / 2 channels
next to the image, a tenth of the work; the penalty on a share of the batch; images clamped to
[-1, 1]; two thirds of the budget grow, the last third trains the whole; told the diagnosis by
projection (conditional=False is the paper's).
All resolutions are there from the start and one number, the buffer `growth`, says how many play: so
average, optimisers and checkpoints need nothing special.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, interpolate, leaky_relu

from .. import ranks
from ..blocks import SMALLEST, rescaled, told, widths
from ..losses import gradient_penalty, wasserstein_d, wasserstein_g
from .base import GAN, Batch

GROWN = 2 / 3  # share of the budget after which every resolution plays


def growth(p: float, doublings: int) -> float:
    """How many doublings of the 4 x 4 image play when the share `p` of the budget is spent.

    Each doubling takes an equal part of the first two thirds: half of it at the size before, half
    of it fading in. 0 at the start, `doublings` from p = 2/3 on; whole numbers are phases without a
    fade.
    """
    parts = min(p / GROWN, 1.0) * doublings
    whole = math.floor(parts)
    return whole + max(0.0, 2.0 * (parts - whole) - 1.0)


class EqualConv(nn.Conv2d):
    """A same-size convolution with weights from N(0, 1), scaled by He's constant as it runs, so
    that Adam moves all weights at one relative speed. Section 4.1."""

    def __init__(self, channels_in: int, channels_out: int, side: int = 3, gain: float = 2**0.5):
        super().__init__(channels_in, channels_out, side, padding=side // 2)
        self.scale = gain / math.sqrt(channels_in * side**2)
        nn.init.normal_(self.weight)
        nn.init.zeros_(self.bias)

    def forward(self, x: Tensor) -> Tensor:
        return self._conv_forward(x, self.weight * self.scale, self.bias)


class GrowingGenerator(nn.Module):
    """z (N, z_dim), label int64 (N,) -> image (N, 3, s, s) in [-1, 1], s the size it has grown
    to."""

    def __init__(self, image_size: int, z_dim: int, width: int, classes: int):
        super().__init__()
        channels = _channels(image_size, width)
        self.register_buffer("growth", torch.tensor(float(len(channels) - 1)))
        self.embedding = nn.Embedding(classes, z_dim) if classes else None
        self.first = EqualConv(z_dim * (2 if classes else 1), channels[0] * SMALLEST**2, 1, 0.5)
        self.stages = nn.ModuleList(map(EqualConv, [channels[0], *channels], channels))
        self.to_image = nn.ModuleList(EqualConv(c, 3, 1, gain=1.0) for c in channels)

    def forward(self, z: Tensor, label: Tensor | None = None) -> Tensor:
        z = told(rescaled(z), self.embedding, label)
        x = self.first(z[:, :, None, None]).flatten(1)
        x = x.unflatten(1, (-1, SMALLEST, SMALLEST)).contiguous(memory_format=torch.channels_last)
        top, share = _level(self.growth)
        for level, stage in enumerate(self.stages[: top + 1]):
            before, x = x, interpolate(x, scale_factor=2.0) if level else x
            x = rescaled(leaky_relu(stage(x), 0.2))
        image = self.to_image[top](x)
        if share < 1.0:
            image = interpolate(self.to_image[top - 1](before), scale_factor=2.0).lerp(image, share)
        return image.float().clamp(-1.0, 1.0)


class GrowingDiscriminator(nn.Module):
    """image (N, 3, s, s) in [-1, 1], s the size it has grown to, label int64 (N,) -> score (N,)."""

    def __init__(self, image_size: int, width: int, classes: int):
        super().__init__()
        channels = _channels(image_size, width)
        self.register_buffer("growth", torch.tensor(float(len(channels) - 1)))
        self.from_image = nn.ModuleList(EqualConv(3, c, 1) for c in channels)
        self.stages = nn.ModuleList(map(EqualConv, channels[1:], channels))  # [0]: 8 x 8 to 4 x 4
        self.last = EqualConv(channels[0] + 1, channels[0])
        self.to_scores = EqualConv(channels[0] * SMALLEST**2, 1 + classes, 1, gain=1.0)

    def forward(self, image: Tensor, label: Tensor | None = None) -> Tensor:
        top, share = _level(self.growth)
        x = leaky_relu(self.from_image[top](image), 0.2)
        for level in reversed(range(top)):
            x = avg_pool2d(leaky_relu(self.stages[level](x), 0.2), 2)
            if share < 1.0 and level == top - 1:
                small = leaky_relu(self.from_image[level](avg_pool2d(image, 2)), 0.2)
                x = small.lerp(x, share)
        x = leaky_relu(self.last(torch.cat([x, _variety(x)], dim=1)), 0.2)
        scores = self.to_scores(x.flatten(1)[:, :, None, None]).flatten(1).float()
        if scores.shape[1] == 1:
            return scores[:, 0]
        return scores[:, 0] + scores[:, 1:].gather(1, label[:, None])[:, 0]


def _channels(image_size: int, width: int) -> list[int]:
    """Channels from 4 x 4 up to the image: 64 px, width 32 gives [256, 128, 64, 32, 16]."""
    return [*widths(image_size, width), width // 2]


def _level(growth: Tensor) -> tuple[int, float]:
    """The highest resolution that plays and how much of it is heard, in (0, 1]."""
    value = growth.item()
    top = math.ceil(value)
    return top, value - top + 1.0


def _variety(x: Tensor) -> Tensor:
    """The mean standard deviation over the batch as one constant map (N, 1, 4, 4). Section 3."""
    apart = x.float() - ranks.mean(x.float().mean(dim=0))
    deviation = (ranks.mean(apart.square().mean(dim=0)) + 1e-8).sqrt().mean()
    return deviation.to(x.dtype).expand(len(x), 1, *x.shape[2:])


class ProGAN(GAN):
    """WGAN-GP at the size of the moment."""

    conditional = True
    norm, _norms = "none", ("none",)  # its networks have no other
    betas, learning_rate_d, learning_rate_g = (0.0, 0.99), 1e-3, 1e-3  # appendix A.1
    penalty_weight, drift_weight, penalty_share = 10.0, 1e-3, 0.5
    growing = True  # False: plain training at the full size from the first step

    def networks(self, image_size: int, classes: int) -> tuple[nn.Module, nn.Module]:
        G = GrowingGenerator(image_size, self.z_dim, self.width, classes)
        return G, GrowingDiscriminator(image_size, self.width, classes)

    def set_progress(self, p: float) -> None:
        doublings = len(self.G.stages) - 1
        level = growth(p, doublings) if self.growing else doublings
        self.G.growth.fill_(level)
        self.D.growth.fill_(level)

    def real(self, batch: Batch) -> Tensor:
        """The photographs at G's size of the moment, detail that is fading in half there."""
        top, share = _level(self.D.growth)
        image = avg_pool2d(batch.image, batch.image.shape[-1] // (SMALLEST * 2**top))
        small = interpolate(avg_pool2d(image, 2), scale_factor=2.0) if share < 1.0 else image
        return small.lerp(image, share)

    def d_loss(self, batch: Batch) -> dict[str, Tensor]:
        image, label, fake = self.real(batch), batch.label, self.fake(batch)
        real = self.judge(image, label)
        part = slice(ranks.share(self.penalty_share, len(image)))
        penalty = gradient_penalty(self.judge, image[part], fake[part], label[part])
        return {
            "critic": wasserstein_d(real, self.judge(fake, label)),
            "penalty": self.penalty_weight * penalty,
            "drift": self.drift_weight * real.square().mean(),
        }

    def g_loss(self, batch: Batch) -> dict[str, Tensor]:
        return {"critic": wasserstein_g(self.judge(self.fake(batch), batch.label))}

    def has_penalty(self) -> bool:
        return True
