"""The convolutional pair that DCGAN and its relatives share, so that comparing them compares
objectives, not networks.

Radford, Metz, Chintala 2016 (DCGAN), section 3: strided convolutions in place of pooling, no hidden
dense layers, batch normalisation, ReLU in G, LeakyReLU(0.2) in D, tanh at the end, weights from
N(0, 0.02).
"""

import math
from itertools import pairwise

from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from .errors import one_of

SMALLEST = 4  # pixels a side of the first feature map of G and the last of D
NORMS = ("batch", "spectral", "none")


def widths(image_size: int, width: int) -> list[int]:
    """Channels from 4 x 4 up to half the image size, halving on the way: 64 px, width 64 gives
    [512, 256, 128, 64]."""
    stages = int(math.log2(image_size // SMALLEST))
    return [width * 2**i for i in reversed(range(stages))]


class ConvGenerator(nn.Module):
    """z (N, z_dim) -> image (N, 3, S, S) in [-1, 1]. The label is ignored."""

    def __init__(self, image_size: int, z_dim: int, width: int):
        super().__init__()
        channels = widths(image_size, width)
        self.first = nn.Linear(z_dim, channels[0] * SMALLEST**2, bias=False)
        self.stages = nn.Sequential(nn.BatchNorm2d(channels[0]), nn.ReLU(inplace=True))
        for wide, narrow in pairwise(channels):
            up = nn.ConvTranspose2d(wide, narrow, 4, stride=2, padding=1, bias=False)
            self.stages.extend([up, nn.BatchNorm2d(narrow), nn.ReLU(inplace=True)])
        self.to_image = nn.ConvTranspose2d(channels[-1], 3, 4, stride=2, padding=1)
        self.apply(dcgan_init)

    def forward(self, z: Tensor, label: Tensor | None = None) -> Tensor:
        hidden = self.first(z).unflatten(1, (-1, SMALLEST, SMALLEST))  # (N, C, 4, 4)
        return self.to_image(self.stages(hidden)).tanh().float()  # (N, 3, S, S)


class ConvDiscriminator(nn.Module):
    """image (N, 3, S, S) in [-1, 1] -> logit (N,). The label is ignored.

    `norm`: "batch" (DCGAN; not under a per-image penalty), "spectral" (SNGAN) or "none" (WGAN-GP).
    """

    def __init__(self, image_size: int, width: int, norm: str):
        super().__init__()
        one_of("norm", norm, NORMS)
        channels = [3, *reversed(widths(image_size, width))]
        self.stages = nn.Sequential()
        for i, (narrow, wide) in enumerate(pairwise(channels)):
            self.stages.append(_convolution(narrow, wide, norm, stride=2, padding=1))
            if norm == "batch" and i > 0:  # not on the image itself: DCGAN section 3
                self.stages.append(dcgan_init(nn.BatchNorm2d(wide)))
            self.stages.append(nn.LeakyReLU(0.2, inplace=True))
        self.to_logit = _convolution(channels[-1], 1, norm)  # 4 x 4 -> 1 x 1

    def forward(self, image: Tensor, label: Tensor | None = None) -> Tensor:
        return self.to_logit(self.stages(image)).flatten().float()  # (N, 1, 1, 1) -> (N,)


def _convolution(
    channels_in: int, channels_out: int, norm: str, stride: int = 1, padding: int = 0
) -> nn.Module:
    """A 4 x 4 convolution, its weight divided by its largest singular value under
    norm="spectral"."""
    convolution = dcgan_init(nn.Conv2d(channels_in, channels_out, 4, stride, padding))
    return spectral_norm(convolution) if norm == "spectral" else convolution


def dcgan_init(module: nn.Module) -> nn.Module:
    """The module, initialised: weights from N(0, 0.02), batch-norm gains from N(1, 0.02), biases 0.
    DCGAN, section 4."""
    if isinstance(module, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
        nn.init.normal_(module.weight, 0.0, 0.02)
    elif isinstance(module, nn.BatchNorm2d):
        nn.init.normal_(module.weight, 1.0, 0.02)
    if getattr(module, "bias", None) is not None:
        nn.init.zeros_(module.bias)
    return module
