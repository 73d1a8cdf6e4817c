"""The ISIC archive: photographs of skin lesions and their metadata, as you downloaded them.

`isic image download DIR` (isic-cli) writes JPEGs beside a `metadata.csv`; older downloads hold a
description of each image in JSON, of either API of isic-archive.com.
"""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from ..config import FOLDS, mix
from ..errors import DataError, UsageError
from ..files import read_json
from . import COLUMNS, RawDataset
from .folder import NO_GROUPS
from .tables import (
    MISSING,
    PATIENT_COLUMNS,
    TABLE_ENDINGS,
    normalise_patients,
    read_table,
    refuse_missing,
    require_columns,
    with_files,
    without_repeats,
)

CLASSES = ("benign", "malignant")
# What the archive and its challenges call a value; the first one that is not missing counts.
NAMES = {
    "image_id": ("isic_id", "image_name", "image_id", "image", "name"),
    "target": ("benign_malignant", "diagnosis_1", "iddx_1"),
    "patient": ("patient_id",),
    "lesion": ("lesion_id",),
    "licence": ("copyright_license", "license"),
    "age": ("age_approx", "age"),
    "sex": ("sex",),
    "localization": ("anatom_site_general", "anatom_site_general_challenge", "anatom_site_1"),
    "dx_type": ("diagnosis_confirm_type", "concomitant_biopsy"),
}
DESCRIPTIONS = "descriptions"  # the folder whose files are JSON without saying so
MANUAL = (
    "run `isic image download --limit 5000 DIR` (pip install isic-cli), which writes metadata.csv "
    "beside the images; DIR is then the source."
)


def read(source: Path, name: str = "isic") -> RawDataset:
    """The benign and malignant images of `source`: a CSV, or a folder that holds one or JSON.

    `group_id` is the patient, else the lesion, else the image. Images without either class are left
    out, by value in `findings`. Images are not opened. DataError for unusable metadata, no
    photograph of it, or one class only.
    """
    source = Path(source)
    table, path, findings = _metadata(source)
    table, findings["duplicate rows"] = without_repeats(_standard(table, path), path)
    table = _with_patients(table, path)
    table, pairing = with_files(table, source if source.is_dir() else source.parent, path, MANUAL)
    table, unlabelled = _labelled(table, path)
    table, ungrouped = _grouped(table)
    table, missing = normalise_patients(table, path)
    findings |= pairing | unlabelled | ungrouped | missing
    findings = {kind: found for kind, found in findings.items() if found}
    licence = _licence(table)
    table = table.sort_values("image_id")[list(COLUMNS)].reset_index(drop=True)
    return RawDataset(name, table, CLASSES, source, licence, findings)


def reduced(raw: RawDataset, count: int = 5000, seed: int = 0) -> RawDataset:
    """`count` images of `raw` in its class shares, drawn by `seed`; `raw` where it has no more.

    Patients are drawn one after the other, so that only the last ones come in part; `group_id`
    stays. UsageError when a class would keep fewer images than there are folds.
    """
    table = raw.table
    if count >= len(table):
        return raw
    groups = sorted(table["group_id"].unique())
    turn = pd.Series(np.random.default_rng(mix(seed)).permutation(len(groups)), index=groups)
    drawn = table.iloc[table["group_id"].map(turn).to_numpy().argsort(kind="stable")]
    quotas = _quotas(table["dx"].value_counts().sort_index(), count)
    kept = (drawn.groupby("dx").cumcount() < drawn["dx"].map(quotas)).reindex(table.index)
    left = {"left out by the reduction": table["image_id"][~kept].tolist()}
    table = table[kept].reset_index(drop=True)
    return replace(raw, table=table, findings=raw.findings | left)


def _quotas(sizes: pd.Series, count: int) -> pd.Series:
    """How many of `count` images each class gets, by largest remainder. UsageError for too few."""
    least = -(-FOLDS * sizes.sum() // sizes.min())
    if count < least:
        raise UsageError(
            f"count {count} leaves class {sizes.idxmin()!r} fewer than {FOLDS} images, one a fold: "
            f"ask for {min(least, sizes.sum())} or more."
        )
    exact = sizes * count / sizes.sum()
    quotas = np.floor(exact).astype(int)
    remainders = (exact - quotas).sort_values(ascending=False, kind="stable")
    quotas[remainders.index[: count - quotas.sum()]] += 1
    return quotas


def _metadata(source: Path) -> tuple[pd.DataFrame, Path, dict[str, list[str]]]:
    """The metadata as they stand, where they are from, and files that were not read."""
    if source.is_file():
        return read_table(source), source, {}
    if not source.is_dir():
        raise DataError(f"{source} does not exist.\nNext, {MANUAL}")
    files = _files_below(source)
    tables = [file for file in files if file.suffix.lower() in TABLE_ENDINGS]
    descriptions = [file for file in files if _is_description(file)]
    if not tables and not descriptions:
        seen = ", ".join(file.name for file in files[:5]) or "nothing"
        raise DataError(f"{source} holds no metadata, CSV or JSON, but {seen}.\nNext, {MANUAL}")
    if not tables:
        return _from_descriptions(descriptions, source), source, {}
    nearest = [file for file in tables if len(file.parts) == len(tables[0].parts)]
    if len(nearest) > 1:
        names = ", ".join(file.relative_to(source).as_posix() for file in nearest)
        raise DataError(
            f"{source} holds several tables ({names}): name the one that is meant as the source, "
            "or join them."
        )
    others = [file.relative_to(source).as_posix() for file in tables[1:] + descriptions]
    return read_table(tables[0]), tables[0], {"other metadata files": others}


def _files_below(source: Path) -> list[Path]:
    """The files below `source`, shallow first, without hidden ones."""
    found = []
    for folder, subfolders, names in os.walk(source):
        subfolders[:] = [name for name in subfolders if not name.startswith((".", "__MACOSX"))]
        found += [Path(folder, name) for name in names if not name.startswith(".")]
    return sorted(found, key=lambda file: (len(file.parts), file))


def _is_description(file: Path) -> bool:
    unnamed = not file.suffix and file.parent.name.lower() == DESCRIPTIONS
    return unnamed or file.suffix.lower() == ".json"


def _from_descriptions(files: list[Path], source: Path) -> pd.DataFrame:
    """A row for each file, as text; the index is its name below `source`."""
    rows = [_described(file) for file in files]
    index = [file.relative_to(source).as_posix() for file in files]
    return pd.DataFrame(rows, index=index, dtype=str).fillna("")


def _described(file: Path) -> dict[str, str]:
    """The values that a description gives, by their names in the archive. DataError if it is
    none."""
    record = read_json(file)
    known = record if isinstance(record, dict) else {}
    meta = known.get("metadata", known.get("meta"))
    if not isinstance(meta, dict) or not known.keys() & {"isic_id", "name"}:
        raise DataError(
            f"{file} describes no image of the ISIC archive: expected isic_id and metadata, or "
            "name and meta. Fetch it again, or move it elsewhere."
        )
    # a "dataset" of the old API has the licence, and a name that is not the image's
    parts = known.get("dataset"), meta.get("acquisition"), meta.get("clinical"), known
    values = {n.lower(): v for part in parts if isinstance(part, dict) for n, v in part.items()}
    return {
        name: "" if value is None else str(value).strip()
        for name, value in values.items()
        if not isinstance(value, dict | list)
    }


def _standard(table: pd.DataFrame, path: Path) -> pd.DataFrame:
    """The values under the names of NAMES, "" where missing; absent: those of a patient only."""
    there = {wanted: [name for name in names if name in table] for wanted, names in NAMES.items()}
    for wanted in ("image_id", "target"):
        if not there[wanted]:
            require_columns(table, [" or ".join(NAMES[wanted])], path)
    if "concomitant_biopsy" in table:  # yes or no: only a yes says how a diagnosis was made
        taken = table["concomitant_biopsy"].str.lower() == "true"
        table = table.assign(concomitant_biopsy=np.where(taken, "concomitant biopsy", ""))
    kept = [wanted for wanted in NAMES if there[wanted] or wanted not in PATIENT_COLUMNS]
    found = pd.DataFrame({wanted: _first(table, there[wanted]) for wanted in kept})
    image = there["image_id"][0]
    refuse_missing(found.rename(columns={"image_id": image}), [image], path)
    said = table[there["target"]].apply(lambda column: column.str.lower())
    return found.assign(torn=np.all([said.eq(dx).any(axis=1) for dx in CLASSES], axis=0))


def _first(table: pd.DataFrame, names: list[str]) -> pd.Series:
    """In each row the first value that is not missing, "" where all are."""
    found = pd.Series("", table.index, dtype=str)
    for name in names:
        given = table[name].mask(table[name].str.lower().isin(MISSING), "")
        found = found.mask(found == "", given)
    return found


def _with_patients(table: pd.DataFrame, path: Path) -> pd.DataFrame:
    """The table with the patient of a lesion in all of its rows. DataError where it has two."""
    known = table[(table["patient"] != "") & (table["lesion"] != "")]
    known = known.drop_duplicates(["patient", "lesion"])
    again = known["lesion"][known["lesion"].duplicated()]
    if len(again):
        raise DataError(
            f"{path}, line {again.index[0]}: lesion {again.iloc[0]!r} has another patient than "
            "in a row before. Correct one of them."
        )
    owner = dict(zip(known["lesion"], known["patient"], strict=True))
    rows = zip(table["patient"], table["lesion"], strict=True)
    return table.assign(patient=[patient or owner.get(lesion, "") for patient, lesion in rows])


def _labelled(table: pd.DataFrame, path: Path) -> tuple[pd.DataFrame, dict[str, list[str]]]:
    """The benign and malignant rows, with `dx`; the others, by what they say."""
    said = table["target"].str.lower().replace("", "unlabelled")
    known = said.isin(CLASSES)
    if said[known].nunique() < len(CLASSES):
        counts = ", ".join(f"{count} {value}" for value, count in said.value_counts().items())
        raise DataError(
            f"{path} has photographs that are {counts}: bring benign and malignant ones, "
            "two of each or more."
        )
    left = {
        f"left out as {value}": sorted(rows["image_id"])
        for value, rows in table[~known].groupby(said[~known])
    }
    table = table.assign(dx=said)[known]
    torn = sorted(table["image_id"][table["torn"]])
    return table, left | {"benign_malignant and diagnosis_1 differ": torn}


def _grouped(table: pd.DataFrame) -> tuple[pd.DataFrame, dict[str, list[str]]]:
    """The table with `group_id`; the rows for which it is no patient."""
    patient, lesion, image = table["patient"], table["lesion"], table["image_id"]
    by_lesion, alone = (patient == "") & (lesion != ""), (patient == "") & (lesion == "")
    group = patient.mask(by_lesion, lesion).mask(alone, image)
    return table.assign(group_id=group), {
        "grouped by lesion only": sorted(image[by_lesion]),
        "no groups": [NO_GROUPS] if alone.all() else [],
        "rows without group": [] if alone.all() else sorted(image[alone]),
    }


def _licence(table: pd.DataFrame) -> str:
    named = sorted(set(table["licence"]) - {""})
    told = ", ".join(named) or "not in the metadata, see isic-archive.com"
    return f"ISIC archive, a licence for each image (copyright_license): {told}"
