"""cGAN: both players are told the class. Mirza, Osindero 2014, arXiv:1411.1784, eq. 2.

New: G draws *this* diagnosis, D asks whether an image is a real one *of this diagnosis*.
Differs from the paper: convolutional players (DCGAN's). G gets the label as a learned vector beside
the noise, a dense layer on the one-hot label; D compares its features with a learned vector of the
class, the projection of Miyato, Koyama 2018, arXiv:1802.05637, eq. 3, in place of concatenation.
"""

from .dcgan import DCGAN


class CGAN(DCGAN):
    """DCGAN's game, played class by class: D(x | y) against G(z | y)."""

    conditional = True
