"""HAM10000: 10,015 dermatoscopic photographs of 7,470 lesions in seven classes.

Tschandl, Rosendahl, Kittler 2018, Scientific Data 5:180161; doi:10.7910/DVN/DBW86T.
"""

import os
from pathlib import Path

import pandas as pd

from ..archives import extract
from ..download import Remote, fetch
from ..errors import DataError
from ..locks import one_process
from . import COLUMNS, RawDataset
from .tables import (
    TABLE_ENDINGS,
    normalise_patients,
    read_table,
    refuse_missing,
    require_columns,
    with_files,
    without_repeats,
)

CLASS_NAMES = {
    "akiec": "actinic keratosis or intraepithelial carcinoma (Bowen's disease)",
    "bcc": "basal cell carcinoma",
    "bkl": "benign keratosis-like lesion",
    "df": "dermatofibroma",
    "mel": "melanoma",
    "nv": "melanocytic nevus",
    "vasc": "vascular lesion",
}
CLASSES = tuple(CLASS_NAMES)
MALIGNANT = ("akiec", "bcc", "mel")
LICENCE = "CC BY-NC 4.0, Tschandl, Rosendahl and Kittler 2018, doi:10.7910/DVN/DBW86T"
METADATA = "HAM10000_metadata"
METADATA_COLUMNS = ("lesion_id", "image_id", "dx", "dx_type", "age", "sex", "localization")
MANUAL = (
    "open https://doi.org/10.7910/DVN/DBW86T in a browser and put HAM10000_metadata.csv and the "
    "unpacked HAM10000_images_part_1.zip and _2.zip into one folder, or unpack the Kaggle copy "
    "kmader/skin-cancer-mnist-ham10000 there; that folder is then the source."
)


def _remote(name: str, address: str, md5: str) -> Remote:
    url = f"https://dataverse.harvard.edu/api/access/datafile/{address}"
    return Remote(name=name, url=url, md5=md5, licence=LICENCE, manual=MANUAL)


# Ids and hashes as published by third parties: the first download is what proves them.
FILES = {
    "metadata": _remote(
        f"{METADATA}.csv", "4338392?format=original", "8f85fb1aa29d80a2797247e434deb79d"
    ),
    "images_part_1": _remote(
        "HAM10000_images_part_1.zip", "3172585", "4639bfa73ab251610530a97c898e6e46"
    ),
    "images_part_2": _remote(
        "HAM10000_images_part_2.zip", "3172584", "da43d6cc50f6613013be07e8986b384b"
    ),
    "masks": _remote(
        "HAM10000_segmentations_lesion_tschandl.zip", "3838943", "6e8d252e09cfdb0189199f15985a5b84"
    ),
}


def download(to: Path) -> Path:
    """`to`, holding the metadata and one folder for each archive; what is there already is kept.

    The zips (about 3 GB) stay in `to/archives` until you delete them. DownloadError when a file
    cannot be had.
    """
    to = Path(to)
    fetch(FILES["metadata"], to)
    for part in ("images_part_1", "images_part_2", "masks"):
        _unpacked(FILES[part], to)
    return to


def _unpacked(remote: Remote, to: Path) -> None:
    folder = to / Path(remote.name).stem
    if folder.exists():
        return
    with one_process(folder):
        if not folder.exists():
            extract(fetch(remote, to / "archives"), folder)


def read(source: Path, name: str = "ham10000") -> RawDataset:
    """The data set below `source`, as Dataverse or Kaggle (doubled folders) lay it out, or flat.

    Images are not opened. DataError for an unusable table, an unknown class, or no image at all.
    """
    path, findings = _find_metadata(Path(source))
    table = read_table(path)
    require_columns(table, METADATA_COLUMNS, path)
    refuse_missing(table, ("lesion_id", "image_id", "dx"), path)
    _refuse_unknown_class(table, path)
    table, findings["duplicate rows"] = without_repeats(table[list(METADATA_COLUMNS)], path)
    table, missing = normalise_patients(table, path)
    table, pairing = with_files(table, Path(source), path, MANUAL)
    table = table.rename(columns={"lesion_id": "group_id"}).sort_values("image_id")[list(COLUMNS)]
    findings = {kind: found for kind, found in (findings | missing | pairing).items() if found}
    return RawDataset(name, table.reset_index(drop=True), CLASSES, Path(source), LICENCE, findings)


def _find_metadata(source: Path) -> tuple[Path, dict[str, list[str]]]:
    """The metadata file nearest to `source`, under any ending, and the others as a finding."""
    if not source.is_dir():
        raise DataError(
            f"{source} is no folder: name the one that holds {METADATA}.csv, "
            "or run nbhelpers download ham10000."
        )
    endings = ("", *TABLE_ENDINGS)
    names = {f"{METADATA.lower()}{ending}": rank for rank, ending in enumerate(endings)}
    found = [
        Path(folder, file)
        for folder, _, files in os.walk(source)
        for file in files
        if file.lower() in names
    ]
    if not found:
        seen = ", ".join(sorted(path.name for path in source.iterdir())[:5]) or "nothing"
        raise DataError(
            f"{source} holds no {METADATA}.csv (or .tab, or no ending), but {seen}.\nNext, {MANUAL}"
        )
    found.sort(key=lambda path: (len(path.parts), names[path.name.lower()]))
    return found[0], {
        "other metadata files": [path.relative_to(source).as_posix() for path in found[1:]]
    }


def _refuse_unknown_class(table: pd.DataFrame, path: Path) -> None:
    wrong = table["dx"][~table["dx"].isin(CLASSES)]
    if len(wrong):
        raise DataError(
            f"{path}, line {wrong.index[0]}, column dx: {wrong.iloc[0]!r} ({len(wrong)} rows) "
            f"is not one of {', '.join(CLASSES)}."
        )
