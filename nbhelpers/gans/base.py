"""A GAN says what each player minimises; the one loop in `training` plays it."""

import copy
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from ..augment import diff_augment, policies
from ..blocks import NORMS, ConvDiscriminator, ConvGenerator
from ..config import mix
from ..errors import UsageError, one_of
from ..images import turned
from ..ranks import drawn


class Batch(NamedTuple):
    """What a step is played on."""

    image: Tensor  # (N, 3, S, S) in [-1, 1]
    label: Tensor | None = None  # int64 (N,)
    source: Tensor | None = None  # (N, C, S, S), what pix2pix translates


@dataclass(frozen=True)
class Masks:
    """Class maps uint8 (M, S, S) to be translated, and the class int64 (M,) of each image they were
    drawn for."""

    maps: np.ndarray
    labels: np.ndarray

    def draw(self, count: int, seed: int, label: Tensor | None = None) -> Tensor:
        """`count` maps uint8 (count, S, S), each in one of its 8 views: of the classes `label`
        (count,), or of any, also for a class that has none. A function of the seed; every map is
        drawn before one is drawn again.
        """
        random = np.random.default_rng(mix(seed, 6))
        wanted = np.zeros(count, int) if label is None else label.cpu().numpy()
        known = np.zeros(len(self.maps), int) if label is None else self.labels
        rows = np.empty(count, int)
        for c in np.unique(wanted):
            here, mine = np.flatnonzero(wanted == c), np.flatnonzero(known == c)
            mine = mine if len(mine) else np.arange(len(self.maps))
            rounds = [random.permutation(mine) for _ in range(-(-len(here) // len(mine)))]
            rows[here] = np.concatenate(rounds)[: len(here)]
        drawn, views = self.maps[rows], random.integers(0, 8, count)
        for view in range(1, 8):
            drawn[views == view] = turned(drawn[views == view], view)
        return torch.from_numpy(drawn)


class GAN(nn.Module):
    """Generator `G`, discriminator `D` and `G_average`, the running average of G that samples are
    drawn from. `masks` is where a G that translates masks finds some to be asked with.

    Subclasses set the paper's numbers as class attributes and return `{term: scalar}` from `d_loss`
    and `g_loss`. Every class attribute is a setting: the constructor takes another value by name,
    and `settings` holds them all, plain values, enough to build the same GAN again. UsageError for
    a name or a type that cannot be meant.
    """

    conditional = False  # G and D are told the diagnosis; one that is not ignores the label
    z_dim, width = 100, 64  # width: channels of the feature maps next to the image
    norm, _norms = "batch", NORMS  # of D: "batch", "spectral" or "none"
    n_critic = 1  # D steps for one G step
    learning_rate_d = learning_rate_g = 2e-4
    final_rate = 1.0  # share of both learning rates left at the end (half a cosine); 1: constant
    betas = (0.5, 0.999)
    augment, strength = "", 1.0  # what D looks through: see `augment.diff_augment`
    average_share = 0.05  # half-life of G_average as a share of the images seen; 0: G itself

    def __init__(self, image_size: int = 64, classes: int = 0, **settings):
        super().__init__()
        known = self.defaults()
        for name, value in settings.items():
            setattr(self, name, _checked(name, value, known))
        self.settings = {"image_size": image_size, "classes": classes, **known, **settings}
        policies(self.augment)  # refuses an unknown name now, not in the first step
        if self.conditional and classes < 1:
            raise UsageError(f"{type(self).__name__} is told the class: classes must be 1 or more.")
        self.G, self.D = self.networks(image_size, classes if self.conditional else 0)
        mixes = self.norm == "batch" or any(isinstance(m, nn.BatchNorm2d) for m in self.D.modules())
        if self.has_penalty() and mixes:
            raise UsageError(
                "norm is 'batch' under a penalty on each image's slope, and batch normalisation "
                "mixes the images of a batch: set norm to 'none' or 'spectral'."
            )
        one_of("norm", self.norm, self._norms)
        self.masks: Masks | None = None
        self.G_average = copy.deepcopy(self.G).requires_grad_(False).eval()

    @classmethod
    def defaults(cls) -> dict[str, object]:
        """The settings by name with the paper's values, those of the base class first."""
        kinds = [kind for kind in reversed(cls.__mro__) if issubclass(kind, GAN)]
        names = {name: None for kind in kinds for name in vars(kind) if name[0] != "_"}
        return {n: getattr(cls, n) for n in names if isinstance(getattr(cls, n), PLAIN)}

    def networks(self, image_size: int, classes: int) -> tuple[nn.Module, nn.Module]:
        """G and D. The convolutional pair that most GANs share; one whose idea is its networks
        brings its own."""
        G = ConvGenerator(image_size, self.z_dim, self.width, classes)
        return G, ConvDiscriminator(image_size, self.width, self.norm, classes)

    @property
    def translates(self) -> bool:
        """True for a G that is given masks and not noise."""
        return "mask_classes" in self.settings

    def noise(self, count: int) -> Tensor:
        """z (count, z_dim) from N(0, 1), drawn from torch's global random state."""
        normal = partial(torch.randn, device=next(self.parameters()).device)
        return drawn(normal, count, self.z_dim)

    def real(self, batch: Batch) -> Tensor:
        """The photographs as G would have to draw them now: (N, 3, s, s) in [-1, 1], s = S once G
        draws at full size."""
        return batch.image

    def fake(self, batch: Batch) -> Tensor:
        """As many generated images as `batch` has real ones, with the same labels: (N, 3, S, S) in
        [-1, 1]."""
        return self.G(self.noise(len(batch.image)), batch.label)

    def judge(self, image: Tensor, label: Tensor | None = None) -> Tensor:
        """D's logits (N,), of real and of generated images alike, as it sees them: through
        `augment`."""
        return self.D(diff_augment(image, self.augment, self.strength), label)

    def logits(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """D's logits (N,) of the photographs of `batch`, and of as many fakes, as they are."""
        real, fake = self.real(batch), self.fake(batch)
        return self.D(real, batch.label), self.D(fake, batch.label)

    def d_loss(self, batch: Batch) -> dict[str, Tensor]:
        """What D minimises, term by term."""
        raise NotImplementedError(f"{type(self).__name__} must define d_loss")

    def g_loss(self, batch: Batch) -> dict[str, Tensor]:
        """What G minimises, term by term."""
        raise NotImplementedError(f"{type(self).__name__} must define g_loss")

    def has_penalty(self) -> bool:
        """True when a term is taken from the slope of D at single images."""
        return False

    def follows_budget(self) -> bool:
        """True when a step depends on how much of the budget is spent: then a training whose
        budget grows is another training."""
        return self.final_rate != 1.0 or type(self).set_progress is not GAN.set_progress

    def after_d_step(self) -> None:
        """Called after every step of D's optimiser (WGAN clips its weights here)."""

    def set_progress(self, p: float) -> None:
        """Told before every step how much of the budget is spent, p in [0, 1] (ProGAN grows by
        it)."""

    @torch.no_grad()
    def update_average(self, decay: float) -> None:
        """Moves G_average towards G: average = decay * average + (1 - decay) * G, batch-norm
        statistics included. Single numbers (counts, how far ProGAN has grown) are copied."""
        for average, current in zip(_state(self.G_average), _state(self.G), strict=True):
            if average.is_floating_point() and average.dim():
                average.lerp_(current, 1.0 - decay)
            else:
                average.copy_(current)


PLAIN = (bool, int, float, str, tuple)


def _checked(name: str, value: object, known: dict[str, object]) -> object:
    """The value, when `name` is a setting and `value` is of its kind."""
    wanted = type(known[one_of("setting", name, known)])
    if type(value) is not wanted and not (wanted is float and type(value) is int):
        raise UsageError(f"setting {name} is {value!r}: expected {wanted.__name__}.")
    least = 0 if known[name] == 0 else {int: 1, float: 0}.get(wanted)
    if least is not None and not value >= least:
        raise UsageError(f"setting {name} is {value}: it must be at least {least}.")
    if wanted is tuple and [type(v) in (int, float) for v in value] != [True] * len(known[name]):
        raise UsageError(f"setting {name} is {value}: expected {len(known[name])} numbers.")
    return value


def _state(module: nn.Module) -> list[Tensor]:
    return [*module.parameters(), *module.buffers()]
