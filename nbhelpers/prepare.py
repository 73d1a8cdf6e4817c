"""From photographs of any size to one array: square crop, antialiased resize, clean table,
lesion-grouped folds.

Writes a *prepared* folder: `images.npy` uint8 (N, S, S, 3), `masks.npy` uint8 (N, S, S) when the
source has masks, `table.csv`, `bad_images.csv`, `manifest.json`. The same input gives the same
bytes. A mask's values are the places of its classes in the manifest's `palette`.
"""

import csv
import hashlib
import io
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from .config import FOLDS, check_stored_size
from .datasets import Palette, RawDataset
from .errors import DataError, one_of
from .files import (
    new_array,
    refuse_full_disk,
    sha256_file,
    whole_folder,
    write_atomic,
    write_json,
)
from .near_duplicates import merge_groups
from .pictures import file_of, read_mask, try_image
from .progress import progress
from .records import FOLDER_NAME, PALETTE, TEXT, TRUTH, WHOLE, having, read_record
from .splits import assign_folds

FILES = {"images.npy", "masks.npy", "table.csv", "bad_images.csv", "manifest.json"}
FRAMES = ("crop", "squeeze")
DIGESTS = {name: TEXT for name in ("images.npy", "table.csv", "masks.npy")}
MANIFEST = {
    "classes": {"type": "array", "items": FOLDER_NAME, "minItems": 1, "uniqueItems": True},
    "sha256": having(DIGESTS, ("images.npy", "table.csv")) | {"additionalProperties": False},
    "source": TEXT, "licence": TEXT, "size": WHOLE, "images": WHOLE, "lesions": WHOLE,
    "bad_images": WHOLE, "findings": {"type": "object"}, "examples": {"type": "object"},
}  # fmt: skip
SINCE = {"upright": TRUTH, "palette": PALETTE}  # absent from data that an earlier version prepared
KEPT = ("image_id", "group_id", "label", "dx", "fold", "lesion_id",
        "age", "sex", "localization", "dx_type")  # fmt: skip


@dataclass(frozen=True)
class Prepared:
    """A prepared folder, opened. `images` is memory-mapped; `table` has one row an image, in the
    same order."""

    folder: Path
    images: np.ndarray  # uint8 (N, S, S, 3)
    table: (
        pd.DataFrame
    )  # image_id, group_id, label, dx, fold, lesion_id, age, sex, localization, dx_type
    classes: tuple[str, ...]
    masks: np.ndarray | None  # uint8 (N, S, S), a class of `palette` in each pixel
    manifest: dict

    @property
    def image_size(self) -> int:
        return self.images.shape[1]

    @property
    def upright(self) -> bool:
        """Whether a flip or a turn can change an image's class; absent from data prepared before
        digits."""
        return self.manifest.get("upright", False)

    @property
    def palette(self) -> Palette:
        """Name and colour of each class of a mask, in the order of their values; the first is the
        background. DataError for data that an earlier version prepared."""
        if "palette" not in self.manifest:
            raise DataError(f"{self.folder} was prepared by an earlier version: run 02 again.")
        return {name: tuple(colour) for name, colour in self.manifest["palette"].items()}


def prepare(
    raw: RawDataset,
    to: Path,
    size: int,
    frame: str = "crop",
    folds: int = FOLDS,
    strict: bool = False,
) -> Prepared:
    """The prepared folder `to`, made from `raw` unless it is there already from the same input and
    settings.

    Unreadable images are left out and listed in `bad_images.csv`; with `strict` the first one is a
    DataError, and so is an image or a row of the source that lacks the other.
    """
    settings = {
        "size": check_stored_size(size),
        "frame": one_of("frame", frame, FRAMES),
        "folds": folds,
    }
    wanted = {**settings, "source": raw.name, "input": _fingerprint(raw)}
    wanted["palette"] = {name: list(colour) for name, colour in raw.palette.items()}
    wanted["classes"] = list(raw.classes)  # their order is that of the labels
    manifest = to / "manifest.json"
    if manifest.exists():
        there = _manifest(to)
        if {name: there.get(name) for name in wanted} == wanted:
            return load_prepared(to)
    _refuse_foreign(to)
    if strict:
        _refuse_unpaired(raw)
    with whole_folder(to) as building:
        _build(raw, building, wanted, strict)
    return load_prepared(to)


def _refuse_foreign(to: Path) -> None:
    """Raises DataError when `to` holds anything but an earlier prepared folder: it is replaced."""
    if to.exists() and not to.is_dir():
        raise DataError(f"{to} is a file: name a folder.")
    there = {path.name for path in to.iterdir()} if to.exists() else set()
    foreign = sorted(there - FILES if "manifest.json" in there else there)
    if foreign:
        raise DataError(
            f"{to} holds {foreign[0]}, no prepared data: choose an empty folder (--to)."
        )


def _refuse_unpaired(raw: RawDataset) -> None:
    for kind in ("rows without image", "images without row"):
        if found := raw.findings.get(kind):
            raise DataError(
                f"{raw.source}: {len(found)} {kind}, such as {found[0]}: mend the table, or leave "
                "strict off."
            )


def _fingerprint(raw: RawDataset) -> str:
    """SHA-256 of the table and of every file's size: changes when the input does, wherever it
    lies."""
    files = {name: raw.table[name] for name in ("path", "mask_path")}
    sizes = {
        name: [os.stat(file_of(p)).st_size if p else 0 for p in paths]
        for name, paths in files.items()
    }
    text = raw.table.assign(**sizes).to_csv(index=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _build(raw: RawDataset, folder: Path, wanted: dict, strict: bool) -> None:
    size, frame = wanted["size"], wanted["frame"]
    planes = 4 if (raw.table["mask_path"] != "").all() else 3
    refuse_full_disk(folder, planes * size**2 * len(raw.table))
    images = new_array(folder / "images.npy", (len(raw.table), size, size, 3))
    modes, bad = {}, {}
    work = _in_parallel(lambda path: try_image(path, size, frame), raw.table["path"], "decoding")
    for i, (image, told) in enumerate(work):
        if image is None:
            bad[i] = told
        else:
            images[i - len(bad)] = image
            modes[told] = modes.get(told, 0) + 1
    _report_bad(raw, bad, folder, strict)
    if bad:
        images = images[: len(images) - len(bad)]
        np.save(folder / "fewer.npy", images)
        os.replace(folder / "fewer.npy", folder / "images.npy")
    table = raw.table.drop(index=raw.table.index[list(bad)]).reset_index(drop=True)
    table["lesion_id"] = table["group_id"]
    table["group_id"], merged = merge_groups(images, table)
    table["label"] = table["dx"].map({dx: i for i, dx in enumerate(raw.classes)}).astype(int)
    if "fold" in table:  # an official split, which photographs of one lesion must not cross
        table["fold"] = table.groupby("group_id")["fold"].transform("min")
    else:
        table["fold"] = assign_folds(table, wanted["folds"])
    merged |= _build_masks(raw, table, folder, size, frame)
    write_atomic(folder / "table.csv", table[list(KEPT)].to_csv(index=False).encode())
    images.flush()
    _write_manifest(raw, table, folder, wanted, modes, len(bad), {**raw.findings, **merged})


def _build_masks(raw: RawDataset, table: pd.DataFrame, folder: Path, size: int, frame: str) -> dict:
    """Writes `masks.npy` when every image has a mask; what there is to tell about them."""
    without = table["image_id"][table["mask_path"] == ""]
    if not without.empty:
        told = "no masks.npy, as some images have no mask"
        return {told: list(without)} if len(without) < len(table) else {}
    pairs = list(zip(table["mask_path"], table["path"], strict=True))
    work = _in_parallel(lambda p: read_mask(p[0], size, frame, raw.palette, p[1]), pairs, "masks")
    masks = new_array(folder / "masks.npy", (len(table), size, size))
    empty = []
    for i, mask in enumerate(work):
        masks[i] = mask
        empty += [i] if mask.min() == mask.max() else []
    masks.flush()
    if len(empty) == len(table):
        raise DataError(
            f"{pairs[0][0]}: it holds one class only, as all {len(table)} masks do: expected "
            f"{', '.join(raw.palette)}."
        )
    return {"masks of one class only": list(table["image_id"].iloc[empty])} if empty else {}


def _write_manifest(raw, table, folder, wanted, modes, bad, findings) -> None:
    arrays = sorted(folder.glob("*.npy"))
    facts = {
        "upright": raw.upright,
        "images": len(table),
        "lesions": int(table["lesion_id"].nunique()),
        "groups": int(table["group_id"].nunique()),
        "counts": table["dx"].value_counts().sort_index().to_dict(),
        "bad_images": bad,
        "colour_modes": dict(sorted(modes.items())),
        "findings": {kind: len(found) for kind, found in findings.items()},
        "examples": {kind: found[:5] for kind, found in findings.items()},
        "licence": raw.licence,
        "sha256": {file.name: sha256_file(file) for file in [*arrays, folder / "table.csv"]},
    }
    write_json(folder / "manifest.json", wanted | facts)


def _in_parallel(work: Callable, paths: Sequence, label: str) -> Iterator:
    """`work` of every path, in order. Threads do: Pillow decodes and resizes outside Python's
    lock."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        yield from progress(pool.map(work, paths), label, total=len(paths), unit="images")


def _report_bad(raw: RawDataset, bad: dict[int, str], folder: Path, strict: bool) -> None:
    rows = [
        (raw.table["image_id"].iloc[i], raw.table["path"].iloc[i], why) for i, why in bad.items()
    ]
    if rows and (strict or len(rows) == len(raw.table)):
        raise DataError(
            f"{rows[0][1]}: {rows[0][2]}. "
            f"{len(rows)} bad images: replace them, or leave strict off."
        )
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([("image_id", "file", "reason"), *rows])
    write_atomic(folder / "bad_images.csv", text.getvalue().encode())


def load_prepared(folder: Path) -> Prepared:
    """The prepared data in `folder`. DataError when it is missing or its files do not match their
    hashes."""
    folder = Path(folder)
    if not (folder / "manifest.json").exists():
        raise DataError(
            f"{folder} is missing: run notebook 02, or "
            "`nbhelpers prepare NAME --source DIR --size S`."
        )
    manifest = _manifest(folder)
    there = {name for name in DIGESTS if (folder / name).exists()}
    for name in sorted(there | manifest["sha256"].keys()):
        expected = manifest["sha256"].get(name)
        if not (folder / name).exists() or sha256_file(folder / name) != expected:
            raise DataError(f"{folder / name} is damaged: delete {folder} and run 02 again.")
    text = {"image_id": str, "group_id": str, "lesion_id": str, "dx": str}
    table = pd.read_csv(
        folder / "table.csv", dtype=text, keep_default_na=False, na_values={"age": [""]}
    )
    names = np.array(manifest["classes"], dtype=object)
    known = table["label"].isin(range(len(names))).all()
    if not known or (names[table["label"]] != table["dx"]).any():
        raise DataError(
            f"{folder}: manifest.json names other classes than table.csv: delete it, run 02 again."
        )
    masks = folder / "masks.npy"
    return Prepared(
        folder,
        np.load(folder / "images.npy", mmap_mode="r"),
        table,
        tuple(manifest["classes"]),
        np.load(masks, mmap_mode="r") if masks.exists() else None,
        manifest,
    )


def _manifest(folder: Path) -> dict:
    return read_record(folder / "manifest.json", having(MANIFEST | SINCE, MANIFEST))
