"""The built-in data set: drawn skin lesions in HAM10000's layout, for machines without data.

Lesion ids read PHA_0000001 and image ids PHM_0000001: HAM10000's form, yet plainly phantoms.
Shares, ages, sexes, sites and ways of diagnosis follow HAM10000_metadata.csv (Tschandl et al.
2018). A photograph depends only on the seed and its lesion, never on how many threads draw.
"""

import csv
import io
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image

from ..errors import DataError, UsageError
from ..files import write_atomic, write_json
from ..progress import progress
from . import RawDataset, ham10000
from .drawn import Drawn
from .phantom_drawing import draw_lesion
from .phantom_photograph import draw_setting, photograph

VERSION = 1
LICENCE = "MIT; drawn by a program, no patient is shown"
MOST_REPEATS = 6
COLUMNS = ("lesion_id", "image_id", "dx", "dx_type", "age", "sex", "localization")
PARTS = ("HAM10000_images_part_1", "HAM10000_images_part_2")
MASKS = "HAM10000_segmentations_lesion_tschandl"
METADATA, MARKER = "HAM10000_metadata.csv", "phantom.json"


@dataclass(frozen=True)
class Patients:
    """A diagnosis in HAM10000: images, lesions, age's mean and deviation (years), women's share."""

    images: int
    lesions: int
    age: float
    age_deviation: float
    women: float


PATIENTS = {
    "akiec": Patients(327, 228, 66.5, 11.5, 0.32),
    "bcc": Patients(514, 327, 66.8, 13.7, 0.38),
    "bkl": Patients(1099, 727, 64.3, 14.1, 0.42),
    "df": Patients(115, 73, 53.0, 13.6, 0.45),
    "mel": Patients(1113, 614, 60.7, 15.2, 0.38),
    "nv": Patients(6705, 5403, 46.5, 15.2, 0.48),
    "vasc": Patients(142, 98, 51.4, 21.6, 0.51),
}
# The commonest values of dx_type and localization in HAM10000, with their per cent.
DX_TYPES = {
    "akiec": "histo 100",
    "bcc": "histo 100",
    "bkl": "histo 70, consensus 24, confocal 6",
    "df": "consensus 52, histo 48",
    "mel": "histo 100",
    "nv": "follow_up 55, histo 37, consensus 8",
    "vasc": "consensus 53, histo 47",
}
LEG, ARM = "lower extremity", "upper extremity"
LOCALIZATIONS = {
    "akiec": f"face 35, {LEG} 20, {ARM} 19, back 9, scalp 4, hand 4, chest 4, neck 3, abdomen 2",
    "bcc": f"back 36, face 20, {LEG} 11, {ARM} 10, chest 9, neck 4, abdomen 4, scalp 4, trunk 2",
    "bkl": f"face 29, back 18, {LEG} 16, {ARM} 10, chest 7, trunk 7, abdomen 4, scalp 3, neck 3",
    "df": f"{LEG} 71, {ARM} 21, abdomen 4, back 2, foot 2",
    "mel": f"back 29, {ARM} 19, {LEG} 17, face 9, chest 6, abdomen 6, trunk 4, neck 3, foot 2",
    "nv": f"{LEG} 22, back 21, trunk 19, abdomen 13, {ARM} 10, foot 4, chest 3, face 2, neck 1",
    "vasc": f"trunk 22, abdomen 19, {LEG} 19, back 16, {ARM} 8, face 6, chest 4, hand 3, neck 2",
}
UNKNOWN = {"age": 0.006, "sex": 0.006, "localization": 0.023}  # shares of HAM10000's images


@dataclass(frozen=True)
class Lesion:
    """One lesion to draw: its number, its photographs' numbers, and the metadata they share."""

    number: int
    photographs: tuple[int, ...]
    facts: dict[str, str]

    @property
    def lesion_id(self) -> str:
        """For example PHA_0000001."""
        return f"PHA_{self.number:07d}"

    @property
    def image_ids(self) -> list[str]:
        """For example PHM_0000001, one a photograph."""
        return [f"PHM_{number:07d}" for number in self.photographs]


def make(
    folder: Path, count: int = 1000, seed: int = 0, width: int = 200, height: int = 150
) -> Path:
    """`folder`, holding `count` drawn photographs with metadata and masks as HAM10000 has them.

    Photographs are `width` x `height` pixels. Same arguments, same bytes. A complete folder is left
    alone and a half-written one made again; `phantom.json` is written last. UsageError for fewer
    than 100 photographs; DataError when the folder holds other settings or other files.
    """
    names = frozenset({*PARTS, MASKS, METADATA, MARKER})
    pictures = (f"{PARTS[0][:-1]}*/*.jpg", f"{MASKS}/*.png")
    settings = _checked(count, seed, width, height)
    return Drawn(settings, MARKER, names, "PHM_", pictures, count).make(folder, _write)


def read(source: Path) -> RawDataset:
    """The phantom data set in `source`, read as HAM10000 is. DataError when it is not complete."""
    if not (Path(source) / MARKER).exists():
        raise DataError(
            f"{source} holds no phantom data set: run `nbhelpers prepare phantom` first."
        )
    return replace(ham10000.read(source, "phantom"), licence=LICENCE)


def _checked(count: int, seed: int, width: int, height: int) -> dict[str, int]:
    if count < 100:
        raise UsageError(f"count is {count}: seven classes in five folds need at least 100.")
    if seed < 0:
        raise UsageError(f"seed is {seed}: choose a number from 0 up.")
    if min(width, height) < 32:
        raise UsageError(f"width x height is {width} x {height}: choose at least 32 for each.")
    return {"version": VERSION, "count": count, "seed": seed, "width": width, "height": height}


def _write(folder: Path, settings: dict[str, int]) -> None:
    for name in (*PARTS, MASKS):
        (folder / name).mkdir()
    lesions = plan(settings["count"], settings["seed"])
    _write_metadata(folder / METADATA, lesions)
    # Threads, not processes: numpy lets go of the interpreter, and any script can start them.
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        jobs = pool.map(lambda lesion: _write_lesion(folder, lesion, settings), lesions)
        for _ in progress(jobs, "drawing phantoms", total=len(lesions), unit="lesions"):
            pass
    write_json(folder / MARKER, settings)


def _write_metadata(path: Path, lesions: list[Lesion]) -> None:
    text = io.StringIO()
    table = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    table.writeheader()
    for lesion in lesions:
        for image_id in lesion.image_ids:
            ids = {"lesion_id": lesion.lesion_id, "image_id": image_id}
            table.writerow(ids | lesion.facts)
    write_atomic(path, text.getvalue().encode())


def _write_lesion(folder: Path, lesion: Lesion, settings: dict[str, int]) -> None:
    """Draws a lesion once and photographs it as often as the plan says."""
    width, height = settings["width"], settings["height"]
    stream = [settings["seed"], lesion.number]
    rng = np.random.default_rng(stream)
    maps, setting = draw_lesion(lesion.facts["dx"], rng, 3 * height // 2), draw_setting(rng)
    for number, image_id in zip(lesion.photographs, lesion.image_ids, strict=True):
        rng = np.random.default_rng([*stream, number])
        image, mask = photograph(maps, setting, rng, width, height)
        part = folder / PARTS[number > settings["count"] // 2]
        Image.fromarray(image).save(part / f"{image_id}.jpg", quality=92)
        Image.fromarray(mask).save(folder / MASKS / f"{image_id}_segmentation.png")


def plan(count: int, seed: int) -> list[Lesion]:
    """The lesions of `count` photographs, class by class, as HAM10000 shares them out.

    Every class has at least 10 lesions from 300 photographs up, and at least 5 below: five folds
    need them.
    """
    rng = np.random.default_rng([seed, 0])
    sizes = _class_sizes(count)
    numbers = iter((rng.permutation(sum(k for _, k in sizes.values())) + 1).tolist())
    photographs = iter((rng.permutation(count) + 1).tolist())
    lesions = []
    for dx, (images, distinct) in sizes.items():
        for repeats in _repeats(images, distinct, rng):
            taken = tuple(sorted(next(photographs) for _ in range(repeats)))
            lesions.append(Lesion(next(numbers), taken, _facts(dx, rng)))
    _forget(lesions, rng)
    return lesions


def _class_sizes(count: int) -> dict[str, tuple[int, int]]:
    """Images and lesions of each class; what the small classes need is taken from the moles."""
    least, known = 10 if count >= 300 else 5, sum(p.images for p in PATIENTS.values())
    images = {dx: max(least, round(count * p.images / known)) for dx, p in PATIENTS.items()}
    images["nv"] += count - sum(images.values())
    return {
        dx: (images[dx], max(least, round(images[dx] * p.lesions / p.images)))
        for dx, p in PATIENTS.items()
    }


def _repeats(images: int, lesions: int, rng: np.random.Generator) -> list[int]:
    """Photographs of each lesion, 1 to MOST_REPEATS, `images` in all: mostly one, seldom many."""
    spare = MOST_REPEATS - 1
    chances = np.repeat(rng.dirichlet(np.full(lesions, 1.5)), spare) / spare
    taken = rng.choice(lesions * spare, images - lesions, replace=False, p=chances)
    return (1 + np.bincount(taken // spare, minlength=lesions)).tolist()


def _facts(dx: str, rng: np.random.Generator) -> dict[str, str]:
    """What the metadata say of one lesion, age rounded to five years as in HAM10000."""
    patients = PATIENTS[dx]
    age = min(max(rng.normal(patients.age, patients.age_deviation), 0), 85)
    return {
        "dx": dx,
        "dx_type": _one(DX_TYPES[dx], rng),
        "age": f"{5 * round(age / 5):.1f}",
        "sex": "female" if rng.random() < patients.women else "male",
        "localization": _one(LOCALIZATIONS[dx], rng),
    }


def _one(percents: str, rng: np.random.Generator) -> str:
    """One of the names in "name 35, other name 20, ...", as often as it says."""
    names, shares = zip(*(entry.rsplit(" ", 1) for entry in percents.split(", ")), strict=True)
    shares = np.array(shares, float)
    return names[rng.choice(len(names), p=shares / shares.sum())]


def _forget(lesions: list[Lesion], rng: np.random.Generator) -> None:
    """Leaves out what HAM10000's records leave out: at least one age, one sex and one site."""
    for name, share in UNKNOWN.items():
        for index in rng.choice(len(lesions), max(1, round(share * len(lesions))), replace=False):
            lesions[index].facts[name] = "" if name == "age" else "unknown"
