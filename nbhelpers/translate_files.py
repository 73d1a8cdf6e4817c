"""Mask files of any size to image files."""

from pathlib import Path

from PIL import Image

from . import sampling
from .datasets.tables import IMAGE_ENDINGS
from .errors import DataError, UsageError, one_of
from .pictures import read_class_map
from .tiles import large


def translate_files(folder: Path, masks: Path, to: Path, class_name: str, seed: int) -> Path:
    """`to`, holding a PNG for each mask file: what the GAN in `folder` draws for it, at its size.

    `masks` is a file or a folder of files in the colours that the GAN was trained with.
    UsageError for a GAN that does not translate or a class that it was not trained on; DataError,
    before the first is drawn, for no mask, one of other colours, or two of one name.
    """
    files = _mask_files(masks)
    if to.exists() and any(to.iterdir()):
        raise DataError(f"{to} is not empty: choose a new folder.")
    gan, classes = sampling.load_with_classes(folder)
    if not gan.translates:
        raise UsageError(f"{folder} draws from noise: `nbhelpers sample` asks it for images.")
    card, label = sampling.read_card(folder, "class"), 0
    if gan.conditional:
        trained = classes if card["class"] == "all" else [card["class"]]
        label = classes.index(one_of("class", class_name, trained))
    elif class_name:
        raise UsageError(f"{folder} is told no class: leave --class out.")
    palette = sampling.read_card(folder, "data.palette")["data"]["palette"]
    for file in files:  # drawing takes long: what cannot be read is told before
        read_class_map(file, palette)
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
    by_stem: dict[str, Path] = {}
    for file in files:
        if (other := by_stem.setdefault(file.stem, file)) != file:
            raise DataError(f"{other} and {file} would both become {file.stem}.png: rename one.")
    return files
