"""What the players minimise: pure functions of logits. Every function returns a scalar tensor, the
mean over the batch.

Logits are float (N,), the discriminator's raw output: no sigmoid has touched them. Cross-entropy
with target t is t softplus(-logit) + (1 - t) softplus(logit), which is exact where log(sigmoid)
would overflow.
"""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor
from torch.nn.functional import relu, softplus

from .ranks import drawn

Judge = Callable[[Tensor, Tensor | None], Tensor]  # images (N, ...), label (N,) -> logits (N,)


def cross_entropy_d(real: Tensor, fake: Tensor, smoothing: float | Tensor = 0.0) -> Tensor:
    """D's loss: call real images real and fakes fake. Goodfellow et al. 2014, eq. 1, negated.

    `smoothing` s moves the target of real images from 1 to 1 - s and leaves the fakes at 0
    (one-sided label smoothing, Salimans et al. 2016, section 3.4); as a tensor it gives each logit
    its own. Equals 2 log 2 for a D that
    always answers 0.
    """
    on_real = (1.0 - smoothing) * softplus(-real) + smoothing * softplus(real)
    return on_real.mean() + softplus(fake).mean()


def non_saturating_g(fake: Tensor) -> Tensor:
    """G's loss, -log D(G(z)): strong gradients while D wins. Goodfellow et al. 2014, section 3."""
    return softplus(-fake).mean()


def wasserstein_d(real: Tensor, fake: Tensor) -> Tensor:
    """The critic's loss: the negative of the distance that it estimates. Arjovsky et al. 2017,
    algorithm 1."""
    return fake.mean() - real.mean()


def wasserstein_g(fake: Tensor) -> Tensor:
    """G's loss: raise the critic's score of its images. Arjovsky et al. 2017, algorithm 1."""
    return -fake.mean()


def hinge_d(real: Tensor, fake: Tensor) -> Tensor:
    """D's loss: real logits above 1, fake ones below -1, and nothing beyond that. Miyato et al.
    2018, eq. 16."""
    return relu(1.0 - real).mean() + relu(1.0 + fake).mean()


def relativistic_d(real: Tensor, fake: Tensor) -> Tensor:
    """D's loss on pairs: each real image more real than its fake. Jolicoeur-Martineau 2019, eq. 4;
    Huang et al. 2024 (R3GAN), eq. 2. G's loss is the same with the pair exchanged."""
    return softplus(fake - real).mean()


def gradient_penalty(D: Judge, real: Tensor, fake: Tensor, label: Tensor | None = None) -> Tensor:
    """How far the critic's slope is from 1, squared, at points drawn uniformly between a real and a
    fake image. Gulrajani et al. 2017, eq. 3 (times lambda).

    The norm is taken image by image: a D that mixes the images of a batch (batch normalisation) has
    no such slope.
    """
    uniform = partial(torch.rand, device=real.device)
    share = drawn(uniform, len(real), *[1] * (real.dim() - 1))  # U[0, 1]
    between = share * real.detach() + (1.0 - share) * fake.detach()
    return (slope(D, between, label).norm(dim=1) - 1.0).square().mean()


def zero_centred_penalty(D: Judge, images: Tensor, label: Tensor | None = None) -> Tensor:
    """Half the mean squared slope of D at `images` (times gamma): R1 at real, R2 at generated ones.
    Mescheder et al. 2018, eq. 9 and 10."""
    return 0.5 * slope(D, images, label).square().sum(dim=1).mean()


def slope(D: Judge, images: Tensor, label: Tensor | None = None) -> Tensor:
    """The gradient of each image's logit with respect to that image, float32 (N, C * H * W); it can
    be differentiated again."""
    images = images.detach().requires_grad_(True)
    (gradient,) = torch.autograd.grad(D(images, label).sum(), images, create_graph=True)
    return gradient.flatten(1).float()
