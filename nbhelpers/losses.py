"""What the players minimise: pure functions of logits. Every function returns a scalar tensor, the
mean over the batch.

Logits are float (N,), the discriminator's raw output: no sigmoid has touched them. Cross-entropy
with target t is t softplus(-logit) + (1 - t) softplus(logit), which is exact where log(sigmoid)
would overflow.
"""

from torch import Tensor
from torch.nn.functional import softplus


def cross_entropy_d(real: Tensor, fake: Tensor, smoothing: float = 0.0) -> Tensor:
    """D's loss: call real images real and fakes fake. Goodfellow et al. 2014, eq. 1, negated.

    `smoothing` s moves the target of real images from 1 to 1 - s and leaves the fakes at 0
    (one-sided label smoothing, Salimans et al. 2016, section 3.4). Equals 2 log 2 for a D that
    always answers 0.
    """
    on_real = (1.0 - smoothing) * softplus(-real) + smoothing * softplus(real)
    return on_real.mean() + softplus(fake).mean()


def non_saturating_g(fake: Tensor) -> Tensor:
    """G's loss, -log D(G(z)): strong gradients while D wins. Goodfellow et al. 2014, section 3."""
    return softplus(-fake).mean()
