"""Walks through the noise of every GAN, left in a run for those who have no Python: the report's
slider shows them."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from . import sampling
from .files import write_json
from .gans import GAN
from .neighbours import Known
from .records import FOLDER_NAME, having, read_record

FRAMES = 9
FOLDER, LIST = "walks", "walks.json"
MOST_UNSEEN = (
    200  # photographs that say how far from its nearest training photograph one usually is
)
NUMBERS = {"type": "array", "items": {"type": "number"}, "minItems": FRAMES, "maxItems": FRAMES}
ROWS = having({
    "rows": {"type": "array", "items": {"type": "string"}, "minItems": 1},
    "distances": {"type": "array", "items": NUMBERS},
})  # fmt: skip
SCHEMA = {"type": "object", "propertyNames": FOLDER_NAME, "additionalProperties": ROWS}


def leave(
    run_folder: Path,
    gans: Mapping[str, GAN],
    known: Known,
    unseen: np.ndarray,
    classes: Sequence[str],
    seed: int,
) -> Path:
    """`run_folder/walks`: for each GAN a PNG of `FRAMES` images along the great circle between two
    noises, a row for each class where it is told one; and `walks.json` with the rows' names and how
    far each image is from its nearest training photograph (`known`), over the median of what
    `unseen` photographs uint8 (N, S, S, 3) are: 1 is as far, 0 is a copy.
    """
    usual = float(np.median(known.nearest(unseen[:MOST_UNSEEN]).distance))
    told = {}
    for name, gan in gans.items():
        rows = list(classes) if gan.conditional else ["all classes"]
        walks = [sampling.walk(gan, FRAMES, seed, label) for label in range(len(rows))]
        images = np.concatenate(walks)
        far = known.nearest(images).distance.reshape(len(rows), FRAMES) / max(usual, 1e-12)
        told[name] = {"rows": rows, "distances": np.round(far.astype(float), 2).tolist()}
        sheet = np.concatenate([np.concatenate(list(walk), axis=1) for walk in walks])
        sampling.write_picture(Path(run_folder) / FOLDER / f"{name}.png", Image.fromarray(sheet))
    return write_json(Path(run_folder) / FOLDER / LIST, told)


def left(run_folder: Path) -> dict[str, dict]:
    """What `leave` has listed of the GANs whose pictures are there; empty for a run without walks.
    DataError for a list that is damaged."""
    folder = Path(run_folder) / FOLDER
    if not (folder / LIST).exists():
        return {}
    told = read_record(folder / LIST, SCHEMA)
    return {name: rows for name, rows in told.items() if (folder / f"{name}.png").exists()}
