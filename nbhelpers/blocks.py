"""The convolutional pair that DCGAN and its relatives share, so that comparing them compares
objectives, not networks.

Radford, Metz, Chintala 2016 (DCGAN), section 3: strided convolutions in place of pooling, no hidden
dense layers, batch normalisation, ReLU in G, LeakyReLU(0.2) in D, tanh at the end, weights from
N(0, 0.02).
"""

import math
from functools import partial
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize, pad
from torch.nn.utils.parametrizations import spectral_norm

from .errors import UsageError, one_of
from .ranks import BatchNorm2d

SMALLEST = 4  # pixels a side of the first feature map of G and the last of D
NORMS = ("batch", "spectral", "none")


def widths(image_size: int, width: int) -> list[int]:
    """Channels from 4 x 4 up to half the image size, halving on the way: 64 px, width 64 gives
    [512, 256, 128, 64]."""
    stages = int(math.log2(image_size // SMALLEST))
    return [width * 2**i for i in reversed(range(stages))]


class ConvGenerator(nn.Module):
    """z (N, z_dim), label int64 (N,) -> image (N, 3, S, S) in [-1, 1]. With classes = 0 the label
    is ignored.

    The buffer `condition` in [0, 1] says how much of the label is heard (`told`). `upsampling`:
    "transposed" (DCGAN) or "bilinear", an enlargement before a 3 x 3 convolution (Odena et al.
    2016: no checkerboard). `low_pass`: the image passes `LowPass` before the tanh. `class_norm`:
    its normalisations are `ClassBatchNorm`.
    """

    def __init__(
        self,
        image_size: int,
        z_dim: int,
        width: int,
        classes: int = 0,
        upsampling: str = "transposed",
        low_pass: bool = False,
        class_norm: bool = False,
    ):
        super().__init__()
        up = UPSAMPLINGS[one_of("upsampling", upsampling, UPSAMPLINGS)]
        channels = widths(image_size, width)
        self.embedding = nn.Embedding(classes, z_dim) if classes else None
        self.register_buffer("condition", torch.ones(()))
        inputs = 2 * z_dim if classes else z_dim
        self.first = nn.Linear(inputs, channels[0] * SMALLEST**2, bias=False)
        by_class = class_norm and classes
        norm = partial(ClassBatchNorm, classes) if by_class else BatchNorm2d
        self.stages = nn.Sequential(norm(channels[0]), nn.ReLU(inplace=True))
        for wide, narrow in pairwise(channels):
            self.stages.extend([up(wide, narrow, bias=False), norm(narrow)])
            self.stages.append(nn.ReLU(inplace=True))
        self.to_image = up(channels[-1], 3, bias=True)
        if low_pass:
            self.to_image = nn.Sequential(self.to_image, LowPass())
        self.apply(dcgan_init)

    def forward(self, z: Tensor, label: Tensor | None = None) -> Tensor:
        hidden = self.first(told(z, self.embedding, label, self.condition))
        hidden = hidden.unflatten(1, (-1, SMALLEST, SMALLEST))  # (N, C, 4, 4)
        for stage in self.stages:
            told_too = (label, self.condition) if isinstance(stage, ClassBatchNorm) else ()
            hidden = stage(hidden, *told_too)
        return self.to_image(hidden).tanh().float()  # (N, 3, S, S)


class ConvDiscriminator(nn.Module):
    """image (N, 3, S, S) in [-1, 1], label int64 (N,) -> logit (N,). With classes = 0 the label is
    ignored.

    `norm`: "batch" (DCGAN; not under a per-image penalty), "spectral" (SNGAN) or "none" (WGAN-GP).
    With classes the logit is u(f) + <sum of f over its 4 x 4 places, e_y>, f being the last feature
    map and e_y a learned vector of the class (the projection of Miyato, Koyama 2018, eq. 3).
    """

    def __init__(self, image_size: int, width: int, norm: str, classes: int = 0):
        super().__init__()
        one_of("norm", norm, NORMS)
        channels = [3, *reversed(widths(image_size, width))]
        self.register_buffer("condition", torch.ones(()))
        self.stages = nn.Sequential()
        for i, (narrow, wide) in enumerate(pairwise(channels)):
            self.stages.append(convolution(narrow, wide, norm, stride=2, padding=1))
            if norm == "batch" and i > 0:  # not on the image itself: DCGAN section 3
                self.stages.append(dcgan_init(BatchNorm2d(wide)))
            self.stages.append(nn.LeakyReLU(0.2, inplace=True))
        self.to_logit = convolution(channels[-1], 1, norm)  # 4 x 4 -> 1 x 1
        self.to_classes = None
        if classes:
            self.to_classes = _normed(nn.Linear(channels[-1], classes, bias=False), norm)
            if norm != "spectral":  # f is a sum over 4 x 4 places: first logits stay small
                self.to_classes.weight.data /= SMALLEST

    def answers(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """u(f) (N,), and <f, e_y> of every class y (N, classes)."""
        f = self.stages(image)
        logit = self.to_logit(f).flatten().float()
        if self.to_classes is None:
            return logit, logit.new_zeros(len(image), 0)
        return logit, self.to_classes(f.sum(dim=(2, 3))).float()

    def forward(self, image: Tensor, label: Tensor | None = None) -> Tensor:
        logit, of_class = self.answers(image)
        if self.to_classes is None:
            return logit
        return logit + self.condition * of_class.gather(1, label[:, None])[:, 0]


class ClassBatchNorm(nn.Module):
    """Batch normalisation of (N, C, H, W) with a scale and a shift of its own for each class.

    Dumoulin, Shlens, Kudlur 2017, eq. 5, for style; de Vries et al. 2017; in G by Miyato, Koyama
    2018, section 4. Starts as plain normalisation; `condition` in [0, 1] says how much of the class
    is heard.
    """

    def __init__(self, classes: int, channels: int):
        super().__init__()
        self.norm = BatchNorm2d(channels)
        self.of_class = nn.Embedding(classes, 2 * channels)
        nn.init.zeros_(self.of_class.weight)

    def forward(self, x: Tensor, label: Tensor, condition: Tensor | float = 1.0) -> Tensor:
        scale, shift = (condition * self.of_class(label))[:, :, None, None].chunk(2, dim=1)
        return torch.addcmul(shift, self.norm(x), 1.0 + scale)


class LowPass(nn.Module):
    """The binomial filter (1, 2, 1) / 4 along rows and columns of (N, C, H, W), edges repeated.

    Its gain is 0 for the finest stripes and checkerboards, which transposed convolutions leave
    behind (Odena et al. 2016), and 1 for a plain area. StyleGAN has it behind each enlargement
    (Karras, Laine, Aila 2019, section 2, after Zhang 2019); here it is the last thing before the
    tanh.
    """

    def forward(self, x: Tensor) -> Tensor:
        x = pad(x, (1, 1, 1, 1), mode="replicate")
        x = (x[..., :-2] + 2 * x[..., 1:-1] + x[..., 2:]) / 4
        return (x[..., :-2, :] + 2 * x[..., 1:-1, :] + x[..., 2:, :]) / 4


def fade(p: float, start: float, end: float) -> float:
    """How much of a condition is heard at share `p` of a budget: 0 up to `start`, 1 from `end`
    on. UsageError when it would end before it starts."""
    if end < start:
        raise UsageError(f"fade_to is {end}, below fade_from {start}: set it to {start} or more.")
    if p < start:
        return 0.0
    return 1.0 if p >= end else (p - start) / (end - start)


def told(
    z: Tensor, embedding: nn.Embedding | None, label: Tensor | None, condition: Tensor | float = 1.0
) -> Tensor:
    """Noise (N, d) with a learned vector of the class beside it: (N, 2 d); without an embedding z
    as it is.

    The vector has length 1, as a one-hot label has, and the noise about sqrt(d). Made as long as
    the noise it drowns it: G then draws one picture a class (measured on HAM10000, where variety
    fell to a twentieth of the photographs').
    """
    if embedding is None:
        return z
    return torch.cat([z, condition * normalize(embedding(label))], dim=1)


def rescaled(vectors: Tensor) -> Tensor:
    """Each vector along the second axis of (N, d, ...) brought to the length sqrt(d) that noise
    from N(0, 1) has. On maps (N, C, H, W) it is ProGAN's pixel normalisation (section 4.2)."""
    return vectors * vectors.square().mean(dim=1, keepdim=True).add(1e-8).rsqrt()


def _transposed(channels_in: int, channels_out: int, bias: bool) -> nn.Module:
    return nn.ConvTranspose2d(channels_in, channels_out, 4, stride=2, padding=1, bias=bias)


def _bilinear(channels_in: int, channels_out: int, bias: bool) -> nn.Module:
    larger = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False)
    return nn.Sequential(larger, nn.Conv2d(channels_in, channels_out, 3, padding=1, bias=bias))


UPSAMPLINGS = {"transposed": _transposed, "bilinear": _bilinear}


def convolution(
    channels_in: int, channels_out: int, norm: str, stride: int = 1, padding: int = 0
) -> nn.Module:
    return _normed(nn.Conv2d(channels_in, channels_out, 4, stride, padding), norm)


def _normed(layer: nn.Module, norm: str) -> nn.Module:
    """The layer, initialised; under norm="spectral" its weight is divided by its largest singular
    value."""
    return spectral_norm(dcgan_init(layer)) if norm == "spectral" else dcgan_init(layer)


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
