"""A GAN says what each player minimises; the one loop in `training` plays it."""

import copy
from typing import NamedTuple

import torch
from torch import Tensor, nn


class Batch(NamedTuple):
    """What a step is played on."""

    image: Tensor  # (N, 3, S, S) in [-1, 1]
    label: Tensor | None = None  # int64 (N,)
    source: Tensor | None = None  # (N, C, S, S), what pix2pix translates


class GAN(nn.Module):
    """Generator `G`, discriminator `D` and `G_average`, the running average of G that samples are
    drawn from.

    Subclasses set the paper's numbers as class attributes, keep their constructor's arguments in
    `settings` (plain values, enough to build the same GAN again) and return `{term: scalar}` from
    `d_loss` and
    `g_loss`.
    """

    z_dim = 100
    n_critic = 1  # D steps for one G step
    learning_rate_d = learning_rate_g = 2e-4
    betas = (0.5, 0.999)

    def __init__(self, G: nn.Module, D: nn.Module, settings: dict[str, int | float | str]):
        super().__init__()
        self.G, self.D, self.settings = G, D, settings
        self.G_average = copy.deepcopy(G).requires_grad_(False).eval()

    def noise(self, count: int) -> Tensor:
        """z (count, z_dim) from N(0, 1), drawn from torch's global random state."""
        return torch.randn(count, self.z_dim, device=next(self.parameters()).device)

    def fake(self, batch: Batch) -> Tensor:
        """As many generated images as `batch` has real ones, with the same labels: (N, 3, S, S) in
        [-1, 1]."""
        return self.G(self.noise(len(batch.image)), batch.label)

    def d_loss(self, batch: Batch) -> dict[str, Tensor]:
        """What D minimises, term by term."""
        raise NotImplementedError(f"{type(self).__name__} must define d_loss")

    def g_loss(self, batch: Batch) -> dict[str, Tensor]:
        """What G minimises, term by term."""
        raise NotImplementedError(f"{type(self).__name__} must define g_loss")

    def after_d_step(self) -> None:
        """Called after every step of D's optimiser (WGAN clips its weights here)."""

    def set_progress(self, p: float) -> None:
        """Told before every step how much of the budget is spent, p in [0, 1] (ProGAN grows by
        it)."""

    @torch.no_grad()
    def update_average(self, decay: float) -> None:
        """Moves G_average towards G: average = decay * average + (1 - decay) * G, batch-norm
        statistics included."""
        for average, current in zip(_state(self.G_average), _state(self.G), strict=True):
            if average.is_floating_point():
                average.lerp_(current, 1.0 - decay)
            else:
                average.copy_(current)


def _state(module: nn.Module) -> list[Tensor]:
    return [*module.parameters(), *module.buffers()]
