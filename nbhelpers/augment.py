"""Augmentation of image batches, drawn from torch's global random state: the caller's seed decides.

`dihedral` is applied to photographs as they are loaded. `diff_augment` is what D looks through:
photographs and fakes (N, C, S, S) alike, in its own step and in G's, so it must be differentiable,
and G never learns to draw it (Zhao, Liu, Lin, Zhu, Han 2020, arXiv:2006.10738, eq. 5 to 7).
"""

from functools import cache, partial

import torch
from torch import Tensor

from .errors import one_of
from .ranks import drawn


def dihedral(images: Tensor) -> Tensor:
    """Stored images (N, S, S, C), each in one of its 8 flips and quarter turns, at random. A lesion
    has no up and no left."""
    count, size = images.shape[:2]
    coin = drawn(_uniform(images), 3, count, axis=1) < 0.5
    views = _views(size, images.device)[coin[0] + 2 * coin[1] + 4 * coin[2]]
    pixels = views + size**2 * torch.arange(count, device=images.device)[:, None]
    return images.flatten(0, 2).index_select(0, pixels.flatten()).view(images.shape)


@cache
def _views(size: int, device: torch.device) -> Tensor:
    """Where the pixels of each view come from, int64 (8, S * S). A gather has one pass over the
    images; to flip all of them and choose has three."""
    views = [torch.arange(size**2).view(size, size)]
    for change in (Tensor.fliplr, Tensor.flipud, Tensor.t):
        views += [change(view) for view in views]
    return torch.stack([view.flatten() for view in views]).to(device)


def diff_augment(images: Tensor, policy: str, strength: float = 1.0) -> Tensor:
    """`images` in [-1, 1] after every transformation that `policy` names, such as
    "translation,colour"; "" changes nothing.

    Each image gets its own draw. `strength` multiplies how far a transformation goes: 1 is the
    paper's for translation, and half of the paper's for cutout and colour, which starve D at 64 px.
    UsageError for a name that is not in `POLICIES`.
    """
    for name in policies(policy):
        images = POLICIES[name](images, strength)
    return images


def policies(policy: str) -> list[str]:
    """The names in a policy, each known."""
    return [one_of("augmentation", name.strip(), POLICIES) for name in policy.split(",") if name]


def flip(images: Tensor, strength: float) -> Tensor:
    """Half of the images mirrored, left to right; fewer, not less far, below strength 1."""
    coin = drawn(_uniform(images), len(images), 1, 1, 1) < 0.5 * min(strength, 1.0)
    return torch.where(coin, images.flip(-1), images)


def translation(images: Tensor, strength: float) -> Tensor:
    """Shifted by up to 1/8 of a side, times strength, in whole pixels; what moves in is 0
    (grey)."""
    size = images.shape[-1]
    most = round(size / 8 * strength)
    steps = partial(torch.randint, -most, most + 1, device=images.device)
    dy, dx = drawn(steps, 2, len(images), 1, axis=1)
    here = torch.arange(size, device=images.device)
    rows, columns = here + dy, here + dx  # (N, S): where each pixel comes from
    inside = ((rows >= 0) & (rows < size))[:, :, None] & ((columns >= 0) & (columns < size))[
        :, None
    ]
    rows, columns = rows.clamp(0, size - 1), columns.clamp(0, size - 1)
    first = torch.arange(len(images), device=images.device)[:, None, None]
    moved = images.permute(0, 2, 3, 1)[first, rows[:, :, None], columns[:, None, :]]  # (N, S, S, C)
    return (moved * inside[..., None]).permute(0, 3, 1, 2)


def cutout(images: Tensor, strength: float) -> Tensor:
    """A square of a quarter of a side, times strength, set to 0 (grey); its centre may lie
    anywhere."""
    size = images.shape[-1]
    half = size / 8 * strength
    y, x = size * drawn(_uniform(images), 2, len(images), 1, axis=1)
    here = torch.arange(size, device=images.device) + 0.5
    rows, columns = (here - y).abs() < half, (here - x).abs() < half  # (N, S)
    return images * ~(rows[:, None, :, None] & columns[:, None, None, :])


def colour(images: Tensor, strength: float) -> Tensor:
    """Weak changes of brightness (up to 0.25 either way), saturation (0.5 to 1.5) and contrast
    (0.75 to 1.25)."""
    u = 2.0 * drawn(_uniform(images), 3, len(images), 1, 1, 1, axis=1) - 1.0  # U[-1, 1]
    images = images + 0.25 * strength * u[0]
    grey = images.mean(dim=1, keepdim=True)
    images = grey + (images - grey) * (1.0 + 0.5 * strength * u[1])
    middle = images.mean(dim=(1, 2, 3), keepdim=True)
    return middle + (images - middle) * (1.0 + 0.25 * strength * u[2])


def _uniform(images: Tensor) -> partial:
    """What draws from U[0, 1) where the images are."""
    return partial(torch.rand, device=images.device)


POLICIES = {"flip": flip, "translation": translation, "cutout": cutout, "colour": colour}
