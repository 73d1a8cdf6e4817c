"""The pair of pix2pix: a generator that translates a picture pixel by pixel, and a discriminator
that judges patches. Isola, Zhu, Zhou, Efros 2017, section 3.2 and appendix 6.1.
"""

import math
from functools import partial
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.functional import leaky_relu, one_hot

from .blocks import UPSAMPLINGS, convolution, dcgan_init
from .errors import UsageError, one_of
from .ranks import BatchNorm2d, drawn

WIDEST = 8  # times `width`: deeper maps get no wider
NOISY = 3  # decoder stages with dropout, the innermost ones


class UNet(nn.Module):
    """source (N, C, H, W), label int64 (N,) -> (N, outputs, H, W), any real numbers.

    Halves the sides down to 1 pixel of a picture of `image_size` and doubles them again; each
    doubling also gets the map of its size from the way down, past the bottleneck. The depth follows
    from the image size: 6 halvings at 64 px, 8 at 256 px. Larger sides are taken as long as they
    are multiples of 2^depth (the net has no dense layer). With `classes` the label is told as one
    plane a class. `noise` is the share that dropout takes away in the innermost stages, in training
    and in use: the only randomness that pix2pix has (section 3.1).
    """

    def __init__(
        self,
        image_size: int,
        inputs: int,
        outputs: int,
        width: int,
        classes: int = 0,
        noise: float = 0.5,
        upsampling: str = "transposed",
    ):
        super().__init__()
        up = UPSAMPLINGS[one_of("upsampling", upsampling, UPSAMPLINGS)]
        self.classes, self.noise = classes, noise
        depth = int(math.log2(image_size))
        channels = [width * min(2**i, WIDEST) for i in range(depth)]  # on the way down
        self.down, self.up = nn.ModuleList(), nn.ModuleList()
        for i, (narrow, wide) in enumerate(pairwise([inputs + classes, *channels])):
            self.down.append(nn.Sequential(nn.Conv2d(narrow, wide, 4, stride=2, padding=1)))
            if 0 < i < depth - 1:  # not on the picture itself, and not on a single pixel
                self.down[i].append(BatchNorm2d(wide))
        for i in reversed(range(1, depth)):
            given = channels[i] * (1 if i == depth - 1 else 2)  # the map below, and the one beside
            larger = up(given, channels[i - 1], bias=False)
            self.up.append(nn.Sequential(nn.ReLU(), larger, BatchNorm2d(channels[i - 1])))
        self.to_image = nn.Sequential(nn.ReLU(), up(2 * channels[0], outputs, bias=True))
        self.apply(dcgan_init)

    @property
    def multiple(self) -> int:
        """What both sides of a picture must be a multiple of, in pixels."""
        return 2 ** len(self.down)

    def forward(self, source: Tensor, label: Tensor | None = None) -> Tensor:
        if any(side % self.multiple for side in source.shape[-2:]):
            raise UsageError(
                f"a picture of {source.shape[-1]} x {source.shape[-2]} pixels does not halve "
                f"{len(self.down)} times: pass multiples of {self.multiple} px, or use tiles.large."
            )
        x, kept = told_class(source, label, self.classes), []
        for i, stage in enumerate(self.down):
            x = stage(leaky_relu(x, 0.2) if i else x)
            kept.append(x)
        kept.pop()
        for i, stage in enumerate(self.up):
            x = stage(x)
            if i < NOISY:
                x = dropout(x, self.noise)
            x = torch.cat([x, kept.pop()], dim=1)
        return self.to_image(x).float()


class Translator(UNet):
    """`UNet` that draws: source (N, C, H, W), label -> image (N, 3, H, W) in [-1, 1]."""

    def forward(self, source: Tensor, label: Tensor | None = None) -> Tensor:
        return super().forward(source, label).tanh()


class PatchDiscriminator(nn.Module):
    """image (N, 3, S, S) in [-1, 1], source (N, C, S, S), label -> logits (N, P, P).

    Each logit judges image and source within 70 x 70 pixels (section 6.1.2: C64-C128-C256-C512):
    "is this patch a photograph of what the source says?". Three halvings; `norm` as in
    `blocks.ConvDiscriminator`.
    """

    def __init__(self, inputs: int, width: int, norm: str, classes: int = 0):
        super().__init__()
        self.classes = classes
        channels = [3 + inputs + classes, width, 2 * width, 4 * width, 8 * width]
        self.stages = nn.Sequential()
        for i in range(4):
            stride = 2 if i < 3 else 1
            self.stages.append(convolution(channels[i], channels[i + 1], norm, stride, padding=1))
            if norm == "batch" and i > 0:
                self.stages.append(dcgan_init(BatchNorm2d(channels[i + 1])))
            self.stages.append(nn.LeakyReLU(0.2, inplace=True))
        self.to_logit = convolution(channels[-1], 1, norm, padding=1)

    def forward(self, image: Tensor, source: Tensor, label: Tensor | None = None) -> Tensor:
        told = told_class(torch.cat([image, source], dim=1), label, self.classes)
        return self.to_logit(self.stages(told))[:, 0].float()


def dropout(x: Tensor, share: float) -> Tensor:
    """Maps (N, C, H, W) of which about `share` is 0 and the rest larger, so that the mean stays.

    What is taken away follows from torch's random state and the shape. torch's own follows from the
    order in memory, too: a G fresh from training (channels last) and the same one loaded would draw
    other images.
    """
    kept = drawn(partial(torch.rand, device=x.device), *x.shape) >= share
    return x * kept / (1.0 - share)


def told_class(x: Tensor, label: Tensor | None, classes: int) -> Tensor:
    """Maps (N, C, H, W) with one plane a class behind them, 1 on the label's and 0 on the others;
    as they are with classes = 0."""
    if not classes:
        return x
    planes = one_hot(label, classes).to(x.dtype)[:, :, None, None]
    return torch.cat([x, planes.expand(-1, -1, *x.shape[-2:])], dim=1)


def mask_planes(masks: Tensor, classes: int) -> Tensor:
    """Class maps uint8 (N, S, S) as a source: float32 (N, classes, S, S), 1 where a pixel is of the
    plane's class. UsageError for a class the network does not know; masks on a GPU are not looked
    at, as that would wait for it in every step."""
    if masks.device.type == "cpu" and masks.max() >= classes:
        raise UsageError(
            f"a mask holds class {int(masks.max())} and the network knows {classes} (0 to "
            f"{classes - 1}): use masks of its data set, or fine-tune it on yours (--start-from)."
        )
    return one_hot(masks.long(), classes).permute(0, 3, 1, 2).float()
