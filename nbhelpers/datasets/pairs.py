"""Photographs and masks in files of the same name: what the readers of tissue have in common."""

from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from ..errors import DataError
from . import COLUMNS
from .tables import image_files, normalise_patients


def pictures_below(source: Path) -> list[Path]:
    """Every image file below the folder `source`, absolute, shallow first. DataError for no
    folder."""
    if not Path(source).is_dir():
        raise DataError(f"{source} is no folder: name the one that the data set was unpacked to.")
    return [Path(path) for files in image_files(source) for path in files]


def by_id(ids: Iterable[str], paths: Iterable[Path]) -> dict[str, Path]:
    """The path of each id. DataError for an id that two paths have."""
    known: dict[str, Path] = {}
    for image_id, path in zip(ids, paths, strict=True):
        if image_id in known:
            raise DataError(f"{known[image_id]} and {path} have one name, {image_id}: keep one.")
        known[image_id] = path
    return known


def paired(
    images: dict[str, Path], masks: dict[str, Path], source: Path
) -> tuple[pd.DataFrame, dict[str, list[str]]]:
    """`image_id`, `path` and `mask_path` of the images that have a mask of their id, sorted; the
    ids that lack one of the two, by kind. DataError when every image does."""
    ids = sorted(images.keys() & masks.keys())
    if not ids:
        some = next(iter(images.values())).name if images else "none"
        raise DataError(
            f"none of the {len(images)} images (such as {some}) and {len(masks)} masks below "
            f"{source} belong together: a mask has its image's name. Unpack the data set again."
        )
    table = pd.DataFrame({"image_id": ids})
    table["path"], table["mask_path"] = ([str(d[i]) for i in ids] for d in (images, masks))
    findings = {
        "images without mask": sorted(images.keys() - masks.keys()),
        "masks without image": sorted(masks.keys() - images.keys()),
    }
    return table, {kind: found for kind, found in findings.items() if found}


def as_contract(table: pd.DataFrame, source: Path) -> pd.DataFrame:
    """`table` with all of COLUMNS, what is not known of a patient as missing; then the others."""
    table, _ = normalise_patients(table, source)
    return table[[*COLUMNS, *(name for name in table if name not in COLUMNS)]]
