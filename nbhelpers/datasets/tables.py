"""What every reader of a table of photographs needs: read it, check it, find its files."""

import csv
import io
import os
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

import pandas as pd

from ..errors import DataError

IMAGE_ENDINGS = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp")
TABLE_ENDINGS = (".csv", ".tab", ".tsv")
MASK_ENDINGS = ("_segmentation", "_mask")
# ... or masks have their photographs' names, in a folder beside theirs
MASK_FOLDERS = ("mask", "masks", "label", "labels", "segmentation", "segmentations")
IMAGE_FOLDERS = ("image", "images", "img", "imgs")
PATIENT_COLUMNS = ("age", "sex", "localization", "dx_type")
MISSING = ("", "unknown", "nan", "na", "n/a", "none", "null")
OLDEST = 120  # years


def read_table(path: Path) -> pd.DataFrame:
    """The rows of a comma-, semicolon- or tab-separated file: text, columns named in small letters.

    The index is each row's line number in the file. DataError, with the line, when it is no table.
    """
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path} is not UTF-8 text ({error.reason}): save it again as 'CSV UTF-8'."
        ) from None
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}.") from None
    separator = max(",\t;", key=text.partition("\n")[0].count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    try:
        rows = {line: row for row in reader for line in [reader.line_num]}
    except csv.Error as error:
        raise DataError(
            f"{path}, line {reader.line_num}: {error}. Save it again as 'CSV UTF-8'."
        ) from None
    stripped = {line: [field.strip() for field in row] for line, row in rows.items()}
    return _table(path, {line: row for line, row in stripped.items() if any(row)})


def _table(path: Path, rows: dict[int, list[str]]) -> pd.DataFrame:
    if len(rows) < 2:
        raise DataError(f"{path} holds no rows below its column names: fetch it again.")
    (_, header), *body = rows.items()
    header = [name.lower() for name in header]
    repeated = [name for name, count in Counter(header).items() if count > 1]
    if repeated:
        raise DataError(f"{path} has several columns {repeated[0]!r}: rename all but one.")
    for line, row in body:
        if len(row) != len(header):
            raise DataError(
                f"{path}, line {line}: {len(row)} fields where the first line names {len(header)}."
            )
    return pd.DataFrame(
        [row for _, row in body], index=[line for line, _ in body], columns=header, dtype=str
    )


def require_columns(table: pd.DataFrame, columns: Iterable[str], path: Path) -> None:
    """Raises DataError that lists the columns `table` lacks and those it has."""
    lacking = [column for column in columns if column not in table]
    if lacking:
        raise DataError(
            f"{path} has no column {', '.join(lacking)}. Its columns: {', '.join(table.columns)}."
        )


def refuse_missing(table: pd.DataFrame, columns: Iterable[str], path: Path) -> None:
    """Raises DataError with the line of the first empty field in one of `columns`."""
    for column in columns:
        empty = table.index[table[column] == ""]
        if len(empty):
            raise DataError(
                f"{path}, line {empty[0]}, column {column}: empty ({len(empty)} rows). "
                "Fill it or remove the row."
            )


def without_repeats(table: pd.DataFrame, path: Path) -> tuple[pd.DataFrame, list[str]]:
    """One row an `image_id`, and the ids that had several. DataError if those differ."""
    distinct = table.drop_duplicates()
    clash = distinct[distinct["image_id"].duplicated(keep=False)].sort_values(
        "image_id", kind="stable"
    )
    if len(clash):
        first, second, *_ = clash.index
        raise DataError(
            f"{path}, lines {first} and {second}: {clash['image_id'].iloc[0]!r} twice, "
            "with different values. Keep one."
        )
    return distinct, sorted(table["image_id"][table["image_id"].duplicated()].unique())


def normalise_patients(
    table: pd.DataFrame, path: Path
) -> tuple[pd.DataFrame, dict[str, list[str]]]:
    """The table with `age` as float (NaN missing) and `sex`, `localization`, `dx_type` as text
    ("unknown" missing); the image ids that lack a value, by column. Absent columns are added.
    """
    table, findings = table.copy(), {}
    for column in PATIENT_COLUMNS:
        given = table[column] if column in table else pd.Series("", table.index, dtype=str)
        missing = given.str.lower().isin(MISSING)
        if column in table and missing.any():
            findings[f"missing {column}"] = sorted(table["image_id"][missing])
        table[column] = given.mask(missing, None if column == "age" else "unknown")
    table["age"] = _ages(table["age"], path)
    return table, findings


def _ages(given: pd.Series, path: Path) -> pd.Series:
    ages = pd.to_numeric(given, errors="coerce").astype(float)
    wrong = given.index[given.notna() & ~ages.between(0, OLDEST)]
    if len(wrong):
        raise DataError(
            f"{path}, line {wrong[0]}, column age: {given[wrong[0]]!r} is not 0 to {OLDEST} years."
        )
    return ages


def image_files(source: Path) -> tuple[list[str], list[str]]:
    """(photographs, lesion masks) below `source`: absolute paths, shallow first, links followed."""
    found, seen = [], set()
    for folder, subfolders, names in os.walk(os.path.abspath(source), followlinks=True):
        real = os.path.realpath(folder)
        if real in seen:  # a link to a folder that was visited, or to one above
            subfolders.clear()
            continue
        seen.add(real)
        subfolders[:] = [name for name in subfolders if not name.startswith((".", "__MACOSX"))]
        found += [os.path.join(folder, name) for name in names if _is_image(name)]
    found.sort(key=lambda path: (path.count(os.sep), path))
    folders = _folders(found)
    is_mask = [_masked(path, folders) is not None for path in found]
    images = [path for path, mask in zip(found, is_mask, strict=True) if not mask]
    return images, [path for path, mask in zip(found, is_mask, strict=True) if mask]


def _is_image(name: str) -> bool:
    return name.lower().endswith(IMAGE_ENDINGS) and not name.startswith(".")


def key(text: str) -> str:
    """`text` as names are compared: whatever its case, accent encoding and kind of slash."""
    return unicodedata.normalize("NFC", text).casefold().replace("\\", "/")


def stem(path: str) -> str:
    """The file name without folder and ending, ready to compare."""
    return key(os.path.splitext(os.path.basename(path))[0])


def match_masks(images: Sequence[str], masks: Sequence[str]) -> list[str]:
    """The mask of each image, "" where none: `<image>_segmentation.png` or `<image>_mask.png`
    beside it, or anywhere when no other image has that name; or a file of its name in a folder such
    as `masks/` beside its `images/`.
    """
    folders = _folders(images)
    owners = {path: owner for path in reversed(masks) if (owner := _masked(path, folders))}
    beside = {owner: path for path, owner in owners.items()}
    anywhere = {name: path for path, (_, name) in owners.items()}
    names = [stem(path) for path in images]
    times = Counter(names)
    return [
        beside.get((key(os.path.dirname(path)), name))
        or (anywhere.get(name, "") if times[name] == 1 else "")
        for path, name in zip(images, names, strict=True)
    ]


def _folders(paths: Iterable[str]) -> set[str]:
    return {key(os.path.dirname(path)) for path in paths}


def _masked(path: str, folders: set[str]) -> tuple[str, str] | None:
    """Folder and name of the photograph whose mask this file is, by how it is called or where it
    lies among `folders`; None for a photograph."""
    name, folder = stem(path), key(os.path.dirname(path))
    for ending in MASK_ENDINGS:
        if name.endswith(ending):
            return folder, name.removesuffix(ending)
    above, _, last = folder.rpartition("/")
    beside = (f"{above}/{images}" for images in IMAGE_FOLDERS if last in MASK_FOLDERS)
    return next(((images, name) for images in beside if images in folders), None)


def by_stem(paths: Iterable[str]) -> dict[str, list[str]]:
    """Paths grouped by their `stem`, in the order given."""
    groups = defaultdict(list)
    for path in paths:
        groups[stem(path)].append(path)
    return dict(groups)


def with_files(
    table: pd.DataFrame, folder: Path, path: Path, advice: str
) -> tuple[pd.DataFrame, dict[str, list[str]]]:
    """The rows whose photograph is below `folder`, with `path` and `mask_path`; what lacks a
    counterpart. DataError, with `advice`, when none is there."""
    images, masks = image_files(folder)
    copies = by_stem(images)
    files = table["image_id"].map(lambda image_id: copies.get(key(image_id), []))
    found = table[files.map(bool)].copy()
    if found.empty:
        there = f"{len(images)} images such as {Path(images[0]).name}" if images else "no image"
        raise DataError(
            f"no photograph of {path} is below {folder}: looked for "
            f"{table['image_id'].iloc[0]}.jpg (or .jpeg, .png), found {there}.\nNext, {advice}"
        )
    found["path"] = [paths[0] for paths in files if paths]
    found["mask_path"] = match_masks(found["path"].tolist(), masks)
    ids, times = table["image_id"], files.map(len)
    strays = set(copies) - set(ids.map(key))
    return found, {
        "duplicate ids": sorted(ids[times > 1]),
        "rows without image": sorted(ids[times == 0]),
        "images without row": sorted(Path(copies[stray][0]).name for stray in strays),
        "rows without mask": sorted(found["image_id"][found["mask_path"] == ""]) if masks else [],
    }
