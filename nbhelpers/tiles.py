"""Masks of any size to images: tile by tile, so that memory grows with the image alone (12 bytes a
pixel until it is whole).

Tiles overlap. Where they do, their images are mixed with weights that rise from one edge to the
other, so that no tile ends abruptly; how well that works is measured by `seams`.
"""

import math
from collections.abc import Iterator

import numpy as np
import torch

from .config import mix
from .errors import UsageError
from .gans import GAN
from .sampling import decode

OVERLAP = 1 / 2  # of a tile's side; at 1/4 overlaps are softer than the middle of a tile
BATCH = 8  # tiles drawn at once


def large(
    gan: GAN, mask: np.ndarray, label: int = 0, seed: int = 0, overlap: float = OVERLAP
) -> np.ndarray:
    """The image uint8 (H, W, 3) that a GAN which translates makes of a mask uint8 (H, W).

    The mask is continued by reflection to a whole number of tiles of the GAN's size, and the image
    is cut back. UsageError for a GAN that does not translate, a mask that is no class map, or an
    overlap outside (0, 1/2].
    """
    if not gan.translates:
        raise UsageError("this GAN draws from noise: only one that translates takes a mask.")
    if mask.ndim != 2 or mask.dtype != np.uint8 or not mask.size:
        raise UsageError(f"the mask is {mask.shape} {mask.dtype}: expected uint8 (H, W).")
    if not 0 < overlap <= 0.5:
        raise UsageError(f"overlap is {overlap}: expected a share of a tile above 0, at most 0.5.")
    size = gan.settings["image_size"]
    corners = [starts(side, size, overlap) for side in mask.shape]
    whole = [c[-1] + size for c in corners]
    padded = np.pad(mask, [(0, w - s) for w, s in zip(whole, mask.shape, strict=True)], "reflect")
    total = np.zeros((*whole, 3), np.float32)
    weights = [_weights(side, size) for side in corners]
    tiles = [(i, j) for i in range(len(corners[0])) for j in range(len(corners[1]))]
    for n, group in enumerate(_groups(tiles)):
        places = [(corners[0][i], corners[1][j]) for i, j in group]
        given = np.stack([padded[y : y + size, x : x + size] for y, x in places])
        told = torch.full((len(given),), label)
        # another seed for each group, or what is drawn would repeat itself every BATCH tiles
        drawn = decode(gan, torch.from_numpy(given), told, mix(seed, n, 9))
        for (y, x), (i, j), image in zip(places, group, drawn, strict=True):
            share = weights[0][i][:, None, None] * weights[1][j][None, :, None]
            total[y : y + size, x : x + size] += share * image
    return total[: mask.shape[0], : mask.shape[1]].round().astype(np.uint8)


def starts(side: int, size: int, overlap: float = OVERLAP) -> list[int]:
    """Where tiles of `size` pixels begin along a side, each `overlap` of a tile before the last
    ends; the last may reach beyond the side."""
    step = size - round(overlap * size)
    count = 1 + max(0, -(-(side - size) // step))
    return [i * step for i in range(count)]


def _weights(corners: list[int], size: int) -> list[np.ndarray]:
    """How much each tile counts along a side, float32 (size,): 1 in all at every pixel, rising and
    falling in straight lines where two tiles lie upon each other."""
    whole, last = np.ones(size, np.float32), len(corners) - 1
    rise = whole.copy()
    if last:
        over = size - corners[1]
        rise[:over] = (np.arange(over) + 0.5) / over
    ends = range(last + 1)
    return [(rise if i > 0 else whole) * (rise[::-1] if i < last else whole) for i in ends]


def _groups(items: list) -> Iterator[list]:
    for i in range(0, len(items), BATCH):
        yield items[i : i + BATCH]


def seams(image: np.ndarray, size: int, overlap: float = OVERLAP) -> float:
    """Mean step in brightness across the edges of tiles over that between other neighbouring
    pixels, of an image uint8 (H, W, 3): 1 where no seam shows, more where one does.

    Steps are taken across both edges of every overlap, where a tile comes in or goes out.
    """
    grey, on, off = image.astype(np.float32).mean(axis=2), [], []
    for axis in (0, 1):
        step = np.abs(np.diff(grey, axis=axis)).mean(axis=1 - axis)  # between pixel i and i + 1
        begin = starts(grey.shape[axis], size, overlap)
        edges = {b - 1 for b in begin[1:]} | {b + size - 1 for b in begin[:-1]}
        edge = np.isin(np.arange(len(step)), list(edges))
        on.append(step[edge])
        off.append(step[~edge])
    if not sum(map(len, on)):
        raise UsageError(f"an image of {image.shape[:2]} is one tile of {size} px: it has no seam.")
    across, elsewhere = (float(np.concatenate(steps).mean()) for steps in (on, off))
    if not elsewhere:
        return math.inf if across else 1.0
    return across / elsewhere
