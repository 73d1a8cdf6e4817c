"""Mask files of any size to image files."""

from pathlib import Path

from PIL import Image

from . import sampling
from .datasets.tables import IMAGE_ENDINGS
from .errors import DataError, UsageError, one_of
from .files import read_json
from .pictures import read_class_map
from .tiles import large


def translate_files(folder: Path, masks: Path, to: Path, class_name: str, seed: int) -> Path:
    """`to`, holding a PNG for each mask file: what the GAN in `folder` draws for it, at its size.

    `masks` is a file or a folder of files in the colours that the GAN was trained with.
    UsageError for a GAN that does not translate or an unknown class; DataError for no mask, or one
    of other colours.
    """
    files = _mask_files(masks)
    if to.exists() and any(to.iterdir()):
        raise DataError(f"{to} is not empty: choose a new folder.")
    gan, classes = sampling.load_with_classes(folder)
    if not gan.translates:
        raise UsageError(f"{folder} draws from noise: `nbhelpers sample` asks it for images.")
    label = 0
    if gan.conditional:
        label = classes.index(one_of("class", class_name, classes))
    palette = read_json(folder / sampling.CARD)["data"]["palette"]
    for file in files:
        image = large(gan, read_class_map(file, palette), label, seed)
        sampling.write_picture(to / f"{file.stem}.png", Image.fromarray(image))
    return to


def _mask_files(masks: Path) -> list[Path]:
    if masks.is_file():
        return [masks]
    inside = sorted(masks.iterdir()) if masks.is_dir() else []
    files = [file for file in inside if file.suffix.lower() in IMAGE_ENDINGS]
    if not files:
        raise DataError(f"{masks} holds no mask: name an image file, or a folder of them.")
    return files
