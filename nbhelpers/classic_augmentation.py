"""Classic augmentation of photographs, on batches and with a draw of its own for each image."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional

Augment = Callable[[Tensor, torch.Generator], Tensor]


def unchanged(images: Tensor, generator: torch.Generator) -> Tensor:
    """The images themselves: the augmentation of an arm that has none."""
    return images


@dataclass(frozen=True)
class Augmentation:
    """Classic augmentation of a batch in [-1, 1]: one of the 8 flips and quarter turns, a small
    affine map, colour, a grey rectangle. Fields are the largest strengths; the generator draws.
    """

    turn: float = 15.0  # degrees
    zoom: float = 0.15  # natural logarithm of the scale
    shift: float = 0.08  # share of half the side
    brightness: float = 0.15  # of the range [-1, 1]
    contrast: float = 0.25
    saturation: float = 0.25
    erase_chance: float = 0.25
    turns: bool = True  # whether flips and quarter turns mean the same

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        # drawn on the CPU, so that a GPU run sees the same augmentation
        draws = torch.rand(14, len(images), generator=generator).to(images.device)
        grid = functional.affine_grid(
            self._affine(draws[:6]), list(images.shape), align_corners=False
        )
        moved = functional.grid_sample(images, grid, padding_mode="reflection", align_corners=False)
        return self._erase(self._recolour(moved, draws[6:9]), draws[9:])

    def _affine(self, draws: Tensor) -> Tensor:
        """Maps (N, 2, 3) from output to input coordinates."""
        quarters = (draws[0] * 4).floor() * self.turns
        angle = quarters * (math.pi / 2) + _centred(draws[1]) * math.radians(self.turn)
        scale = (_centred(draws[2]) * self.zoom).exp()
        flip = ((draws[3] < 0.5) | (not self.turns)) * 2.0 - 1.0
        cos, sin = angle.cos() * scale, angle.sin() * scale
        x, y = _centred(draws[4]) * self.shift, _centred(draws[5]) * self.shift
        return torch.stack([cos * flip, -sin, x, sin * flip, cos, y], 1).view(-1, 2, 3)

    def _recolour(self, images: Tensor, draws: Tensor) -> Tensor:
        """Contrast about the image's mean, saturation about its grey, brightness: one 3 x 3 matrix
        and an offset an image.
        """
        contrast = (1 + _centred(draws[0]) * self.contrast).view(-1, 1, 1)
        saturation = (1 + _centred(draws[1]) * self.saturation).view(-1, 1, 1)
        eye = torch.eye(3, device=images.device)
        matrix = contrast * (saturation * eye + (1 - saturation) / 3)  # (N, 3, 3)
        mean = images.mean((1, 2, 3)).view(-1, 1, 1)
        offset = mean * (1 - contrast) + (_centred(draws[2]) * self.brightness).view(-1, 1, 1)
        flat = images.reshape(len(images), 3, -1)
        return torch.baddbmm(offset, matrix, flat).clamp(-1, 1).view(images.shape)

    def _erase(self, images: Tensor, draws: Tensor) -> Tensor:
        """A grey rectangle, a tenth to four tenths of the side, over some of the images."""
        size = images.shape[-1]
        place = (torch.arange(size, device=images.device) + 0.5) / size
        half = 0.05 + 0.15 * draws[2:4]
        across = (place - draws[0][:, None]).abs() < half[0][:, None]
        down = (place - draws[1][:, None]).abs() < half[1][:, None]
        chosen = (draws[4] < self.erase_chance).view(-1, 1, 1)
        hole = (down[:, :, None] & across[:, None, :] & chosen)[:, None]
        return images.masked_fill(hole, 0.0)


CLASSIC = Augmentation()


def upright(augment: Augment) -> Augment:
    """The same without flips and quarter turns, for images that have an up."""
    return replace(augment, turns=False) if isinstance(augment, Augmentation) else augment


def _centred(draw: Tensor) -> Tensor:
    return draw * 2 - 1
