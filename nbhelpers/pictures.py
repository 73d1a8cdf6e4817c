"""One picture off the disk, photograph or mask: opened, checked, cut square and made small.

A picture is a file, or a row of an array that is named like a file in a folder:
`fold1/images.npy/17`. Arrays are memory-mapped, so a row costs what a file would.
"""

import struct
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from .config import IMAGE_SIZES
from .datasets import LESION_PALETTE, Palette
from .errors import DataError

MAX_PIXELS = 100_000_000
# A JPEG is decoded at 1/2, 1/4 or 1/8 of its size when that leaves this many times the target:
# `make bench` measures the difference
OVERSAMPLING = 1.5
UNREADABLE = (
    OSError, SyntaxError, ValueError, EOFError, IndexError, struct.error,
    Image.DecompressionBombError,
)  # fmt: skip
TURNED = (5, 6, 7, 8)  # EXIF orientations whose width is stored as height
ORIENTATION = 274


def file_of(path: str | Path) -> Path:
    """The file on disk that holds the picture: itself, or the array it is a row of."""
    path = Path(path)
    return path.parent if path.parent.suffix == ".npy" else path


def _row(path: Path) -> np.ndarray | None:
    """The row that `images.npy/17` means; None for a picture in a file of its own."""
    file = file_of(path)
    return None if file == path else np.load(file, mmap_mode="r")[int(path.name)]


def read_image(path: Path, size: int, frame: str = "crop") -> tuple[np.ndarray, str]:
    """One photograph as uint8 (size, size, 3), and the colour mode it was stored in.

    EXIF rotation is applied; grey, palette, CMYK and alpha become RGB. DataError, with the reason,
    for a file that is truncated, no image, 16-bit or larger than 100 megapixels, and for a row of
    an array that is not (H, W, 3) of whole numbers 0 to 255.
    """
    path = Path(path)
    try:
        if (row := _row(path)) is not None:
            picture = Image.fromarray(_whole(row, (3,), 255).astype(np.uint8))
            return np.asarray(square(picture, size, frame, Image.Resampling.BICUBIC)), "RGB"
        with Image.open(path) as image:
            if image.width * image.height > MAX_PIXELS:
                raise DataError(f"{image.width} x {image.height} pixels, more than 100 megapixels")
            mode = image.mode
            # Pillow calls 16-bit colour RGB and halves its bits; what it will decode says so
            if mode.startswith(("I", "F")) or ";16" in str(image.tile):
                raise DataError(f"mode {mode} with more than 8 bits a channel")
            image.draft("RGB", (round(OVERSAMPLING * size),) * 2)
            upright = ImageOps.exif_transpose(image).convert("RGB")
    except UNREADABLE as error:
        raise DataError(
            f"{type(error).__name__}: {error}".replace(str(path), "the file")
        ) from error
    return np.asarray(square(upright, size, frame, Image.Resampling.BICUBIC)), mode


def _whole(row: np.ndarray, channels: tuple[int, ...], most: float) -> np.ndarray:
    """The row of an array; DataError when it has another shape than (H, W, *channels), or values
    that are no whole numbers from 0 to `most`."""
    if row.ndim < 2 or row.shape[2:] != channels:
        wanted = ", ".join(map(str, ("H", "W", *channels)))
        raise DataError(f"its shape is {row.shape}, expected ({wanted})")
    whole = np.isfinite(row) & (row == np.floor(row))
    wrong = int(np.sum(~(whole & (row >= 0) & (row <= most))))
    if wrong:
        raise DataError(f"{wrong} values are no whole numbers from 0 to {most:g}")
    return row


def try_image(path: str, size: int, frame: str = "crop") -> tuple[np.ndarray | None, str]:
    """The photograph and its mode; None and the reason where it cannot be read."""
    try:
        return read_image(Path(path), size, frame)
    except DataError as error:
        return None, str(error)


def read_readable(paths: Iterable[str], size: int) -> np.ndarray:
    """The photographs that can be read, uint8 (N, size, size, 3); the others are left out."""
    tried = (try_image(path, size)[0] for path in paths)
    return np.stack([image for image in tried if image is not None])


def is_readable(path: str) -> bool:
    """Whether `prepare` would keep this photograph."""
    return try_image(path, min(IMAGE_SIZES))[0] is not None


def read_mask(
    path: Path,
    size: int,
    frame: str = "crop",
    palette: Palette = LESION_PALETTE,
    photograph: Path | None = None,
) -> np.ndarray:
    """One mask as uint8 (size, size), cut like its photograph: value k is class k of `palette`.

    A file is decoded by nearest colour; a row of an array holds a channel for each class, of which
    the last is the background (PanNuke), or the classes themselves. A pixel that is made of several
    gets the class that fills most of it. DataError that names the file for a mask that cannot be
    read, holds other colours or broken numbers, or is of another size than its `photograph`.
    """
    return square_classes(read_class_map(path, palette, photograph), size, frame)


def read_class_map(path: Path, palette: Palette, photograph: Path | None = None) -> np.ndarray:
    """One mask as uint8 (H, W), at its own size; otherwise as `read_mask`."""
    path = Path(path)
    try:
        row = _row(path)
        labels = _decoded(path, palette) if row is None else _classes(row, len(palette))
        if photograph is not None and (known := picture_size(photograph)) != labels.shape[::-1]:
            sizes = " and ".join(f"{w} x {h}" for w, h in (labels.shape[::-1], known))
            raise DataError(f"mask and image {Path(photograph).name} are {sizes} pixels")
        return labels
    except (*UNREADABLE, DataError) as error:
        told = str(error).replace(str(path), "the file")
        raise DataError(
            f"{path} is no usable mask: {told}. Mend it, or take the pair out."
        ) from error


def picture_size(path: Path) -> tuple[int, int]:
    """Width and height of a photograph as it is looked at, without decoding it."""
    if (row := _row(Path(path))) is not None:
        return row.shape[1], row.shape[0]
    with Image.open(path) as image:
        turned = image.getexif().get(ORIENTATION) in TURNED
        return image.size[::-1] if turned else image.size


def _decoded(path: Path, palette: Palette) -> np.ndarray:
    """Class of each pixel of a mask file: the nearest colour, which must be nearer than half of the
    way between any two."""
    with Image.open(path) as image:
        colours = np.asarray(image.convert("RGB"))
    if colours.max() <= 1:  # classes 0 and 1 written as they are
        colours = colours * np.uint8(255)
    # one number a colour: a sort of numbers is twenty times quicker than one of rows
    numbers = colours.astype(np.uint32) @ np.array([1 << 16, 1 << 8, 1], np.uint32)  # (H, W)
    seen, pixels = np.unique(numbers, return_counts=True)
    triples = np.stack([seen >> 16, seen >> 8 & 255, seen & 255], axis=1)
    known = np.array(list(palette.values()), float)
    distance = np.linalg.norm(triples[:, None] - known, axis=2)  # (colours, classes)
    apart = np.linalg.norm(known[:, None] - known, axis=2)
    far = distance.min(1) > apart[apart > 0].min() / 2
    if far.any():
        listed = ", ".join(f"{name} {colour}" for name, colour in palette.items())
        raise DataError(
            f"{int(far.sum())} colours ({int(pixels[far].sum())} pixels) such as "
            f"{tuple(triples[far][0].tolist())} are near none of {listed}"
        )
    return distance.argmin(1).astype(np.uint8)[np.searchsorted(seen, numbers)]


def _classes(row: np.ndarray, count: int) -> np.ndarray:
    """Class of each pixel of a row: (H, W) as it is, (H, W, C) the first channel that is set, or 0,
    the background, where none of the first C - 1 is."""
    if row.ndim == 2:
        return _whole(row, (), count - 1).astype(np.uint8)
    things = _whole(row, (count,), np.inf)[..., :-1] > 0  # numbers of nuclei, each its own
    return np.where(things.any(-1), 1 + things.argmax(-1), 0).astype(np.uint8)


def square(image: Image.Image, size: int, frame: str, how: Image.Resampling) -> Image.Image:
    """`image` at (size, size): the centre square ("crop") or the whole frame with its aspect lost
    ("squeeze")."""
    width, height = image.size
    box = (0, 0, width, height)
    if frame == "crop":
        side = min(width, height)
        left, top = (width - side) / 2, (height - side) / 2
        box = (left, top, left + side, top + side)
    return image.resize((size, size), how, box=box)


def square_classes(labels: np.ndarray, size: int, frame: str = "crop") -> np.ndarray:
    """Class map uint8 (H, W) at (size, size): each pixel the class that fills most of it."""
    present, box = np.unique(labels), Image.Resampling.BOX
    filled = (Image.fromarray((labels == k) * np.uint8(255)) for k in present)
    shares = [np.asarray(square(picture, size, frame, box)) for picture in filled]
    return present[np.argmax(shares, axis=0)]
