"""Your own photographs: a folder of class folders, or a CSV that names image, class and lesion."""

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import pandas as pd

from ..errors import DataError
from ..files import names_a_folder
from . import COLUMNS, RawDataset
from .tables import (
    PATIENT_COLUMNS,
    TABLE_ENDINGS,
    image_files,
    key,
    match_masks,
    normalise_patients,
    read_table,
    refuse_missing,
    without_repeats,
)

# Accepted column names; the first one present counts. A patient keeps more apart than a lesion.
IMAGE_COLUMNS = ("image", "path", "file", "image_id")
LABEL_COLUMNS = ("label", "dx", "class", "target")
GROUP_COLUMNS = ("group", "group_id", "patient_id", "lesion_id")
LICENCE = "your own images: their licence is known to you only"
NO_GROUPS = (
    "no group column: each image counts as its own lesion, "
    "so repeats of one lesion can end on both sides of a split"
)
SPLIT_NAMES = {"train", "training", "val", "valid", "validation", "test"}


def read(source: Path, name: str = "folder") -> RawDataset:
    """The data set in `source`: a CSV, a folder holding exactly one CSV, or class folders.

    Images are not opened. DataError for no image, one class only, or a class with a single image.
    """
    source = Path(source)
    table_path = _table_in(source)
    table, findings = _from_table(table_path) if table_path else _from_class_folders(source)
    table = table.sort_values("image_id")[list(COLUMNS)].reset_index(drop=True)
    classes = _usable_classes(table, table_path or source)
    findings = {kind: found for kind, found in findings.items() if found}
    return RawDataset(name, table, classes, source, LICENCE, findings)


def _table_in(source: Path) -> Path | None:
    """The CSV to read, or None where class folders are meant."""
    if source.is_file():
        return source
    if not source.is_dir():
        raise DataError(f"{source} does not exist: name a folder of class folders, or a CSV file.")
    tables = [path for path in sorted(source.iterdir()) if path.suffix.lower() in TABLE_ENDINGS]
    tables = [path for path in tables if not path.name.startswith(".")]
    if len(tables) > 1:
        names = ", ".join(path.name for path in tables)
        raise DataError(
            f"{source} holds several tables ({names}): name the one that is meant as the source."
        )
    return tables[0] if tables else None


def _from_class_folders(source: Path) -> tuple[pd.DataFrame, dict[str, list[str]]]:
    images, masks = image_files(source)
    inside = [path for path in images if "/" in _below(path, source)]
    if not inside:
        raise DataError(
            f"{source} holds no class folders with images ({len(images)} are directly in it). "
            "Make one folder for each class, or add a CSV with the columns image and label."
        )
    ids = [_below(path, source) for path in inside]
    table = pd.DataFrame({"image_id": ids, "path": inside, "group_id": ids})
    table["dx"] = [image_id.split("/")[0] for image_id in ids]
    table["mask_path"] = match_masks(inside, masks)
    table, _ = normalise_patients(table, source)
    outside = [Path(path).name for path in images if path not in set(inside)]
    return table, {"no groups": [NO_GROUPS], "images outside class folders": outside}


def _below(path: str, folder: Path) -> str:
    return Path(path).relative_to(os.path.abspath(folder)).as_posix()


def _from_table(path: Path) -> tuple[pd.DataFrame, dict[str, list[str]]]:
    table = read_table(path)
    image, label = (_column(table, names, path) for names in (IMAGE_COLUMNS, LABEL_COLUMNS))
    group = next((column for column in GROUP_COLUMNS if column in table), None)
    refuse_missing(table, (image, label), path)
    table = table.assign(image_id=table["image_id"] if "image_id" in table else table[image])
    table = table.assign(file=table[image], dx=table[label], group_id=table[group] if group else "")
    columns = ["image_id", "file", "dx", "group_id", *(c for c in PATIENT_COLUMNS if c in table)]
    table, repeated = without_repeats(table[columns], path)
    ungrouped = table["group_id"] == ""
    table["group_id"] = table["group_id"].mask(ungrouped, table["image_id"])
    findings = {"no groups": [] if group else [NO_GROUPS], "duplicate rows": repeated}
    if group:
        findings["rows without group"] = sorted(table["image_id"][ungrouped])
    table, missing = normalise_patients(table, path)
    table, pairing = _with_files(table, path)
    return table, findings | missing | pairing


def _column(table: pd.DataFrame, names: Sequence[str], path: Path) -> str:
    """The first of `names` that is a column; DataError naming all of them where none is."""
    found = [name for name in names if name in table]
    if not found:
        raise DataError(
            f"{path} has no column {' or '.join(names)}. Its columns: {', '.join(table.columns)}. "
            "Rename one; where class folders are meant, move this table out of there."
        )
    return found[0]


def _with_files(table: pd.DataFrame, path: Path) -> tuple[pd.DataFrame, dict[str, list[str]]]:
    """The rows whose image exists, with `path` and `mask_path`; what lacks a counterpart."""
    images, masks = image_files(path.parent)
    whole = _by_name(images, (key(_below(image, path.parent)) for image in images))
    last = _by_name(images, (key(os.path.basename(image)) for image in images))
    files = [_file(name, line, (whole, last), path) for line, name in table["file"].items()]
    found = table.assign(path=files)[[bool(file) for file in files]].copy()
    if found.empty:
        raise DataError(
            f"none of the images in {path} exists: looked for {table['file'].iloc[0]!r}, with and "
            f"without ending, among {len(images)} images below {path.parent}. "
            "Write image paths relative to the table's folder."
        )
    found["mask_path"] = match_masks(found["path"].tolist(), masks)
    return found, {
        "rows without image": sorted(table["image_id"][[not file for file in files]]),
        "images without row": sorted(
            _below(image, path.parent) for image in set(images) - set(files)
        ),
    }


def _by_name(images: Sequence[str], names: Iterable[str]) -> dict[str, list[str]]:
    """The images of each name, with and without its ending."""
    known: dict[str, list[str]] = {}
    for image, name in zip(images, names, strict=True):
        for form in {name, os.path.splitext(name)[0]}:
            known.setdefault(form, []).append(image)
    return known


def _file(name: str, line: int, indexes: Sequence[dict[str, list[str]]], path: Path) -> str:
    """The image that `name` means, "" when there is none. DataError when it could be several."""
    itself = os.path.abspath(os.path.join(path.parent, name))
    if os.path.isfile(itself):
        return itself
    found = next((i[key(name)] for i in indexes if key(name) in i), [""])
    if len(found) > 1:
        raise DataError(
            f"{path}, line {line}: {name!r} could be {found[0]} or {found[1]}. "
            f"Write its path below {path.parent}."
        )
    return found[0]


def _usable_classes(table: pd.DataFrame, where: Path) -> tuple[str, ...]:
    """The class names, sorted. DataError where nothing could be learnt or split."""
    counts = Counter(table["dx"])
    classes = tuple(sorted(counts))
    if len(table) == 1:
        raise DataError(
            f"{where} gives one image only ({table['image_id'].iloc[0]}): "
            "bring two of each class or more."
        )
    if len(classes) == 1:
        raise DataError(
            f"{where} gives one class only ({classes[0]!r}, {len(table)} images): bring another, "
            "or name the folder that directly holds the class folders."
        )
    if {name.lower() for name in classes} <= SPLIT_NAMES:
        raise DataError(
            f"{where} holds {', '.join(classes)}, a ready split: splits are made here, by lesion. "
            "Put all images into class folders, or list them in a CSV."
        )
    for name in classes:
        if not names_a_folder(name):
            raise DataError(
                f"class {name!r} in {where} is no name of a folder, which images of a class are "
                "written to: give it one without slashes."
            )
    alone = [name for name in classes if counts[name] == 1]
    if alone:
        raise DataError(
            f"class {alone[0]!r} in {where} has a single image: bring more, or leave the class out."
        )
    return classes
