"""Photographs with masks on disk, in class folders: what `--dataset folder` reads."""

from pathlib import Path

import numpy as np
from PIL import Image

from nbhelpers.datasets import read
from nbhelpers.prepare import Prepared, prepare

COLOURS = {"mel": (200, 150, 120), "nv": (200, 170, 160)}


def write_pairs(folder: Path, of_a_class: int = 24, size: tuple[int, int] = (80, 60)) -> Path:
    """A dark disc on skin, anywhere, in `of_a_class` photographs of each class, with its mask."""
    width, height = size
    y, x = np.mgrid[:height, :width]
    for c, (dx, colour) in enumerate(COLOURS.items()):
        for i in range(of_a_class):
            random = np.random.default_rng((c, i))
            middle = random.uniform(0.35, 0.65, 2) * (height, width)
            disc = np.hypot(y - middle[0], x - middle[1]) < height * random.uniform(0.1, 0.3)
            pixels = np.where(disc[..., None], np.array(colour) // 3, colour)
            pixels = np.clip(pixels + random.normal(0, 8, pixels.shape), 0, 255)
            (folder / dx).mkdir(parents=True, exist_ok=True)
            name = folder / dx / f"{dx}_{i:03d}"
            Image.fromarray(pixels.astype(np.uint8)).save(f"{name}.jpg", quality=95)
            Image.fromarray(disc).save(f"{name}_mask.png")
    return folder


def masked(folder: Path, size: int = 64, of_a_class: int = 24) -> Prepared:
    """The same, prepared in `folder`."""
    side = max(80, size + 20)
    raw = read("folder", write_pairs(folder / "raw", of_a_class, (side, side - 10)))
    return prepare(raw, folder / f"pairs-{size}", size)
