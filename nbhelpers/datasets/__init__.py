"""Raw data sets: each reader turns what lies on disk into one table. Raw files are never
changed."""

from dataclasses import dataclass, field, replace
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pandas as pd

from ..errors import one_of

PHANTOM_TISSUE = "phantom-histology"
TISSUE = (PHANTOM_TISSUE, "ebhi", "pannuke", "unitopatho")  # stained with H&E, masks of glands
READERS = ("phantom", "ham10000", "isic", "digits", "folder", *TISSUE)
BUILT_IN = ("phantom", PHANTOM_TISSUE)
DOWNLOADED = ("ham10000", "digits")  # what `nbhelpers download` fetches
MADE = "made_by_nbhelpers"  # what a reader writes into a raw folder, beside the raw files
COLUMNS = (
    "image_id", "path", "group_id", "dx", "age", "sex", "localization", "dx_type", "mask_path",
)  # fmt: skip

Palette = dict[str, tuple[int, int, int]]  # name and colour of each class of a mask
LESION_PALETTE: Palette = {"skin": (0, 0, 0), "lesion": (255, 255, 255)}


@dataclass(frozen=True)
class RawDataset:
    """Photographs and what is known of them.

    `table` has one row an image, sorted by `image_id`: `path` (absolute), `group_id` (the lesion,
    or the patient), `dx` (one of `classes`), `age` (years, NaN where missing), `sex`,
    `localization`, `dx_type` ("unknown" where missing),
    `mask_path` ("" where none); a column `fold` where a data set brings its own split. `palette`
    names the classes of a mask, the background first, each with its colour. `findings` lists what
    the reader repaired or left out, by kind.
    `upright`: a flip or a turn can change an image's class, as with digits, not with lesions.
    """

    name: str
    table: pd.DataFrame
    classes: tuple[str, ...]
    source: Path
    licence: str
    findings: dict[str, list[str]] = field(default_factory=dict)
    upright: bool = False
    palette: Palette = field(default_factory=lambda: dict(LESION_PALETTE))


def is_built_in(name: str, source: str | Path) -> bool:
    """Whether it needs no download: phantoms, and digits where no `source` is named, as
    scikit-learn's stand in for MNIST."""
    return name in BUILT_IN or (name == "digits" and not source)


def make_built_in(name: str, folder: Path, source: str | Path, phantom_images: int) -> None:
    """What `is_built_in`, made in `folder` unless it is there. Nothing for other data sets."""
    if is_built_in(name, source):
        counts = [phantom_images] if name in BUILT_IN else []
        _module(name).make(folder, *counts)


def read(name: str, source: Path) -> RawDataset:
    """The raw data set `name` found in `source`. UsageError for an unknown name, DataError for
    unusable files."""
    return _module(one_of("dataset", name, READERS)).read(Path(source))


def only(raw: RawDataset, classes: list[str]) -> RawDataset:
    """The images of some classes, in the order given. UsageError for one that is not there."""
    wanted = [one_of("class", name.strip(), raw.classes) for name in classes]
    table = raw.table[raw.table["dx"].isin(wanted)].reset_index(drop=True)
    return replace(raw, table=table, classes=tuple(dict.fromkeys(wanted)))


def _module(name: str) -> ModuleType:
    return import_module(f".{name.replace('-', '_')}", __package__)
