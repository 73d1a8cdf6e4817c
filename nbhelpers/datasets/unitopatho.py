"""UniToPatho: tiles of colorectal polyps (H&E, 1,812 px at 0.4415 um a pixel) from 292 slides.

Barbano et al. 2021, arXiv:2101.09991; doi:10.21227/9fsv-tm25. Each slide is another patient's.
"""

from pathlib import Path

from ..errors import DataError
from . import RawDataset
from .pairs import as_contract, by_id, paired, pictures_below
from .pannuke import PALETTE

CLASS_NAMES = {
    "HP": "hyperplastic polyp",
    "NORM": "normal tissue",
    "TA.HG": "tubular adenoma, high-grade dysplasia",
    "TA.LG": "tubular adenoma, low-grade dysplasia",
    "TVA.HG": "tubulo-villous adenoma, high-grade dysplasia",
    "TVA.LG": "tubulo-villous adenoma, low-grade dysplasia",
}
LICENCE = "as IEEE DataPort states it, Barbano et al. 2021, doi:10.21227/9fsv-tm25"
MASKS = "masks"
EXPECTED = (
    f"tiles in folders named {', '.join(CLASS_NAMES)}, masks of the same names in a folder named "
    f"{MASKS}, and names such as 100-B2-TAHG.ndpi_ROI__mpp0.44_reg000_crop_sk00003_(0,0,1812,1812)"
)


def read(source: Path, name: str = "unitopatho") -> RawDataset:
    """The tiles below `source` that have a mask, grouped by slide, which is by patient.

    Images are not opened. DataError for another layout, another form of name, or no pair at all.
    """
    files = pictures_below(source)
    tiles = [file for file in files if file.parent.name in CLASS_NAMES]
    masks = [file for file in files if file.parent.name == MASKS]
    if not tiles or not masks:
        seen = f"{len(tiles)} tiles and {len(masks)} masks among {len(files)} images"
        example = f" such as {files[0]}" if files else ""
        raise DataError(f"{source} holds {seen}{example}: expected {EXPECTED}.")
    table, findings = paired(*(by_id((f.stem for f in s), s) for s in (tiles, masks)), source)
    table["dx"] = [Path(path).parent.name for path in table["path"]]
    table["group_id"] = [_slide(Path(path)) for path in table["path"]]
    classes = tuple(dx for dx in CLASS_NAMES if dx in set(table["dx"]))
    others = [str(file) for file in files if file.parent.name not in (MASKS, *CLASS_NAMES)]
    findings |= {"images in no class folder": others} if others else {}
    table = as_contract(table, source)
    return RawDataset(name, table, classes, Path(source), LICENCE, findings, palette=PALETTE)


def _slide(file: Path) -> str:
    """What stands before ".ndpi", or before "_ROI" where there is no ".ndpi"."""
    slide, found, _ = file.stem.partition(".ndpi" if ".ndpi" in file.stem else "_ROI")
    if not (slide and found):
        raise DataError(f"{file} names no slide: expected {EXPECTED}.")
    return slide
