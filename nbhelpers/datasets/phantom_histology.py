"""The built-in tissue: drawn colorectal glands in EBHI-Seg's layout, with masks of six classes.

Names read PHT0007-1-400-003: patient, slide, magnification and number as EBHI-Seg writes them, yet
plainly a phantom's. A tile depends only on the seed, its patient and its number, never on how many
threads draw.
"""

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image

from ..errors import DataError, UsageError
from ..files import write_json
from ..progress import progress
from . import RawDataset, ebhi
from .drawn import Drawn
from .histology_drawing import PALETTE, draw_staining, draw_tile, look

VERSION = 1
LICENCE = "MIT; drawn by a program, no patient is shown"
GRADES = {"normal": 0, "adenoma": 1, "carcinoma": 2}
MARKER = "phantom_histology.json"
FEWEST, LEAST_PATIENTS = 45, 5  # five folds of each class need patients of their own
TILES, USUAL, MOST = 3, 5, 7  # of a patient: at the least, mostly, at the most


@dataclass(frozen=True)
class Patient:
    """One patient to draw: number, diagnosis (of GRADES) and number of tiles."""

    number: int
    dx: str
    tiles: int

    @property
    def names(self) -> list[str]:
        """For example PHT0007-1-400-003, one a tile."""
        return [f"PHT{self.number:04d}-1-400-{n:03d}" for n in range(1, self.tiles + 1)]


def make(folder: Path, count: int = 1000, seed: int = 0, size: int = 160) -> Path:
    """`folder`, holding `count` // 2 drawn tiles of `size` x `size` pixels and their masks.

    `count` is what a preset draws of lesions; tissue takes longer. Same arguments, same bytes. A
    complete folder is left alone and a half-written one made again; `phantom_histology.json` is
    written last. UsageError for fewer than 45 tiles; DataError when the folder holds other settings
    or other files.
    """
    names = frozenset({*GRADES, ebhi.IMAGES, ebhi.MASKS, MARKER})
    pictures = (f"*/{ebhi.IMAGES}/*.jpg", f"*/{ebhi.MASKS}/*.png")
    settings = _checked(count, seed, size)
    return Drawn(settings, MARKER, names, "PHT", pictures, count // 2).make(folder, _write)


def read(source: Path) -> RawDataset:
    """The drawn tissue in `source`, read as EBHI-Seg is. DataError when it is not complete."""
    if not (Path(source) / MARKER).exists():
        raise DataError(
            f"{source} holds no drawn tissue: run `nbhelpers prepare phantom-histology` first."
        )
    raw = ebhi.read(source, "phantom-histology")
    return replace(raw, licence=LICENCE, palette=dict(PALETTE))


def _checked(count: int, seed: int, size: int) -> dict[str, int]:
    if count // 2 < FEWEST:
        raise UsageError(
            f"count is {count}, half of which is drawn: three classes in five folds need at least "
            f"{FEWEST} tiles, which is {2 * FEWEST}."
        )
    if seed < 0:
        raise UsageError(f"seed is {seed}: choose a number from 0 up.")
    if size < 64:
        raise UsageError(f"size is {size}: nuclei are too small to be seen, choose at least 64.")
    return {"version": VERSION, "count": count, "seed": seed, "size": size}


def _write(folder: Path, settings: dict[str, int]) -> None:
    for dx in GRADES:
        for part in (ebhi.IMAGES, ebhi.MASKS):
            (folder / dx / part).mkdir(parents=True)
    patients = plan(settings["count"] // 2, settings["seed"])
    # Threads, not processes: numpy lets go of the interpreter, and any script can start them.
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        jobs = pool.map(lambda patient: _write_patient(folder, patient, settings), patients)
        for _ in progress(jobs, "drawing tissue", total=len(patients), unit="patients"):
            pass
    write_json(folder / MARKER, settings)


def _write_patient(folder: Path, patient: Patient, settings: dict[str, int]) -> None:
    """Draws a patient's tiles: one tissue, one staining, another place each time."""
    stream = [settings["seed"], patient.number]
    rng = np.random.default_rng(stream)
    # Grades stray towards their neighbours: that, and no wrong label, makes classes overlap
    tissue = look(GRADES[patient.dx] + np.clip(rng.normal(0, 0.2), -0.45, 0.45))
    staining = draw_staining(rng)
    for number, name in enumerate(patient.names, 1):
        rng = np.random.default_rng([*stream, number])
        image, classes = draw_tile(tissue, staining, rng, settings["size"])
        place = folder / patient.dx
        Image.fromarray(image).save(place / ebhi.IMAGES / f"{name}.jpg", quality=92)
        mask = Image.fromarray(classes)
        mask.putpalette(np.array(list(PALETTE.values()), np.uint8).tobytes())
        mask.save(place / ebhi.MASKS / f"{name}.png")


def plan(tiles: int, seed: int) -> list[Patient]:
    """The patients of `tiles` tiles, shared out evenly over the classes: 3 to 7 tiles a patient, 5
    on average from 75 tiles up, and at least 5 patients a class."""
    rng = np.random.default_rng([seed, 0])
    shares = {dx: (tiles + grade) // len(GRADES) for dx, grade in GRADES.items()}
    counts = {dx: _tiles(share, rng) for dx, share in shares.items()}
    numbers = iter((rng.permutation(sum(map(len, counts.values()))) + 1).tolist())
    return [Patient(next(numbers), dx, n) for dx, each in counts.items() for n in each]


def _tiles(tiles: int, rng: np.random.Generator) -> list[int]:
    """Tiles of each patient of a class, `tiles` in all."""
    patients, spare = max(LEAST_PATIENTS, round(tiles / USUAL)), MOST - TILES
    taken = rng.choice(patients * spare, tiles - patients * TILES, replace=False)
    return (TILES + np.bincount(taken // spare, minlength=patients)).tolist()
