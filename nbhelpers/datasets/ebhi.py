"""EBHI-Seg: 2,228 pictures of colorectal biopsies (H&E, 224 px) with masks of their glands.

Shi et al. 2023, Frontiers in Medicine 10:1114673; doi:10.6084/m9.figshare.21540159.
"""

import os
import re
from pathlib import Path

from ..errors import DataError
from . import Palette, RawDataset
from .pairs import as_contract, by_id, paired, pictures_below

LICENCE = "CC BY 4.0, Shi et al. 2023, doi:10.6084/m9.figshare.21540159"
PALETTE: Palette = {"stroma": (0, 0, 0), "gland": (255, 255, 255)}
IMAGES, MASKS = "image", "label"
NAME = re.compile(r"(?P<patient>[^-]+)-(?P<slide>[^-]+)-(?P<magnification>\d+)-(?P<number>\d+)")
EXPECTED = (
    f"<class>/{IMAGES}/<name>.jpg (or .png) and <class>/{MASKS}/<name>.png, "
    "with names such as GT2012149-3-400-001: patient, slide, magnification, number"
)


def read(source: Path, name: str = "ebhi") -> RawDataset:
    """The pairs below `source`, grouped by patient: slides of one patient are never split.

    `source` holds the class folders, or a folder that does. Images are not opened. DataError for
    another layout, another form of name, or no pair at all.
    """
    files, findings = _nearest(pictures_below(source), Path(os.path.abspath(source)))
    images, masks = ([f for f in files if f.parent.name == part] for part in (IMAGES, MASKS))
    table, unpaired = paired(_by_name(images), _by_name(masks), source)
    table["dx"] = table["image_id"].str.split("/").str[0]
    table["group_id"] = [_patient(Path(path)) for path in table["path"]]
    classes = tuple(sorted(table["dx"].unique()))
    table = as_contract(table, source)
    return RawDataset(
        name, table, classes, Path(source), LICENCE, findings | unpaired, palette=PALETTE
    )


def _nearest(files: list[Path], source: Path) -> tuple[list[Path], dict[str, list[str]]]:
    """The images and masks of the class folders nearest to `source`; other copies as a finding."""
    inside = [file for file in files if file.parent.name in (IMAGES, MASKS)]
    roots = {file.parents[2] for file in inside if source in file.parents[1].parents}
    if not roots:
        seen = f"{len(files)} images such as {files[0]}" if files else "no image"
        raise DataError(f"{source} holds {seen}: expected {EXPECTED}.")
    nearest, *others = sorted(roots, key=lambda root: (len(root.parts), root))
    found = [file for file in inside if file.parents[2] == nearest]
    return found, {"other class folders": list(map(str, others))} if others else {}


def _by_name(files: list[Path]) -> dict[str, Path]:
    """Files by `<class>/<stem>`."""
    return by_id((f"{_class(file)}/{file.stem}" for file in files), files)


def _class(file: Path) -> str:
    """The class folder's name as it is written here: "High-grade IN" is high_grade_in."""
    return re.sub(r"[\s-]+", "_", file.parents[1].name.strip().lower())


def _patient(file: Path) -> str:
    if not (known := NAME.fullmatch(file.stem)):
        raise DataError(f"{file} has no name of EBHI-Seg's: expected {EXPECTED}.")
    return known["patient"]
