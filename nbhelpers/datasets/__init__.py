"""Raw data sets: each reader turns what lies on disk into one table. Raw files are never
changed."""

from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path

import pandas as pd

from ..errors import one_of

READERS = ("phantom", "ham10000", "digits", "folder")
MADE = "made_by_nbhelpers"  # what a reader writes into a raw folder, beside the raw files
COLUMNS = (
    "image_id", "path", "group_id", "dx", "age", "sex", "localization", "dx_type", "mask_path",
)  # fmt: skip


@dataclass(frozen=True)
class RawDataset:
    """Photographs and what is known of them.

    `table` has one row an image, sorted by `image_id`: `path` (absolute), `group_id` (the lesion),
    `dx` (one of `classes`), `age` (years, NaN where missing), `sex`, `localization`, `dx_type`
    ("unknown" where missing),
    `mask_path` ("" where none). `findings` lists what the reader repaired or left out, by kind.
    `upright`: a flip or a turn can change an image's class, as with digits, not with lesions.
    """

    name: str
    table: pd.DataFrame
    classes: tuple[str, ...]
    source: Path
    licence: str
    findings: dict[str, list[str]] = field(default_factory=dict)
    upright: bool = False


def is_built_in(name: str, source: str | Path) -> bool:
    """Whether it needs no download: phantoms, and digits where no `source` is named, as
    scikit-learn's stand in for MNIST."""
    return name == "phantom" or (name == "digits" and not source)


def make_built_in(name: str, folder: Path, source: str | Path, phantom_images: int) -> None:
    """What `is_built_in`, made in `folder` unless it is there. Nothing for other data sets."""
    if is_built_in(name, source):
        counts = [phantom_images] if name == "phantom" else []
        import_module(f".{name}", __package__).make(folder, *counts)


def read(name: str, source: Path) -> RawDataset:
    """The raw data set `name` found in `source`. UsageError for an unknown name, DataError for
    unusable files."""
    module = import_module(f".{one_of('dataset', name, READERS)}", __package__)
    return module.read(Path(source))
