"""PanNuke: 7,901 pictures of 19 tissues (H&E, 256 px) with every nucleus outlined and named.

Gamper et al. 2019, ECDP, and 2020, arXiv:2003.10778; warwick.ac.uk/fac/cross_fac/tia/data/pannuke.
"""

import os
import re
from glob import glob
from pathlib import Path

import numpy as np
import pandas as pd

from ..errors import DataError
from . import Palette, RawDataset
from .pairs import as_contract

LICENCE = "CC BY-NC-SA 4.0, Gamper et al. 2019 and 2020, Tissue Image Analytics Centre, Warwick"
PALETTE: Palette = {
    "background": (255, 255, 255),
    "neoplastic": (0, 0, 255),
    "inflammatory": (0, 128, 0),
    "connective": (255, 0, 0),
    "dead": (0, 191, 191),
    "epithelial": (191, 0, 191),
}
SHAPES = {"images": (3,), "masks": (len(PALETTE),), "types": ()}  # of a pixel; types has no pixels
FOLD = re.compile(r"fold[ _-]?([1-9]\d*)", re.IGNORECASE)
EXPECTED = "fold1/images.npy, fold1/masks.npy and fold1/types.npy, or as Warwick's zips unpack"
NO_GROUPS = (
    "PanNuke names no slides: each image counts as its own, "
    "so pictures of one slide can end on both sides of a split"
)


def read(source: Path, name: str = "pannuke") -> RawDataset:
    """The folds below `source`: a row for each row of `images.npy`, classes being tissues.

    Column `fold` is the official fold, from 0. Of the arrays only headers and types are read.
    DataError for a fold that lacks an array, or whose arrays do not belong together.
    """
    folds = _folds(Path(os.path.abspath(source)))
    table = pd.concat([_rows(number, arrays) for number, arrays in sorted(folds.items())])
    table = as_contract(table.reset_index(drop=True), source)
    classes, findings = tuple(sorted(table["dx"].unique())), {"no groups": [NO_GROUPS]}
    table = table.sort_values("image_id", ignore_index=True)
    return RawDataset(name, table, classes, Path(source), LICENCE, findings, palette=PALETTE)


def _folds(source: Path) -> dict[int, dict[str, Path]]:
    """The three arrays of each fold, by its number. DataError where one is missing, or twice."""
    names = glob("**/*.npy", root_dir=source, recursive=True)
    files = sorted(source / name for name in names if Path(name).stem in SHAPES)
    if not files:
        raise DataError(f"{source} holds none of PanNuke's arrays: expected {EXPECTED}.")
    folds: dict[int, dict[str, Path]] = {}
    for file in files:
        arrays = folds.setdefault(_fold(file), {})
        if file.stem in arrays:
            raise DataError(f"{arrays[file.stem]} and {file} are of one fold: keep one of them.")
        arrays[file.stem] = file
    for number, arrays in folds.items():
        if lacking := [f"{kind}.npy" for kind in SHAPES if kind not in arrays]:
            there = next(iter(arrays.values()))
            raise DataError(f"fold {number} has {there}, but no {lacking[0]}: expected {EXPECTED}.")
    return folds


def _fold(file: Path) -> int:
    """The number of the folder nearest to `file` that is named for a fold: "Fold 1" or "fold1"."""
    found = [fold for part in file.parts if (fold := FOLD.fullmatch(part))]
    if not found:
        raise DataError(f"{file} lies in no folder of a fold: expected {EXPECTED}.")
    return int(found[-1][1])


def _rows(number: int, files: dict[str, Path]) -> pd.DataFrame:
    """One row an image of a fold, after its arrays are found to belong together."""
    arrays = {kind: _opened(files[kind], pixel) for kind, pixel in SHAPES.items()}
    counts = {kind: len(array) for kind, array in arrays.items()}
    if len(set(counts.values())) > 1:
        told = ", ".join(f"{files[kind]} {count}" for kind, count in counts.items())
        raise DataError(f"the arrays of fold {number} differ in length: {told}. Unpack them again.")
    ids = [f"fold{number}/{i:05d}" for i in range(counts["images"])]
    paths = {kind: [str(files[kind] / str(i)) for i in range(len(ids))] for kind in files}
    return pd.DataFrame({
        "image_id": ids, "path": paths["images"], "mask_path": paths["masks"], "group_id": ids,
        "dx": _tissues(arrays["types"], files["types"]), "fold": number - 1,
    })  # fmt: skip


def _opened(file: Path, pixel: tuple[int, ...]) -> np.ndarray:
    """The array in `file`, memory-mapped. DataError when it is damaged, of another shape, or
    pickled: unpickling runs whatever program a file holds."""
    try:
        array = np.load(file, mmap_mode="r", allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        if "Python objects" not in str(error):
            why = type(error).__name__
            raise DataError(f"{file} is no whole array ({why}): unpack it again.") from error
        raise DataError(
            f"{file} is a pickled array of objects, which is never opened, as it can run any "
            "program. Where you trust it, convert it: "
            f"np.save({str(file)!r}, np.load({str(file)!r}, allow_pickle=True).astype(str))"
        ) from None
    wanted = ("N", "H", "W", *pixel) if pixel else ("N",)
    if array.ndim != len(wanted) or array.shape[3:] != pixel:
        told = ", ".join(map(str, wanted)) + ("" if pixel else ",")
        raise DataError(f"{file} has the shape {array.shape}, expected ({told}): unpack it again.")
    return array


def _tissues(types: np.ndarray, file: Path) -> list[str]:
    """Tissues as classes are named here: "Bile-duct", as text or bytes, is bile_duct."""
    if types.dtype.kind not in "SU":
        raise DataError(f"{file} holds {types.dtype}, no names of tissues: unpack it again.")
    return [str(name).lower().replace("-", "_") for name in types.astype(str)]
