"""MNIST's files: found in the layouts that people have them in, checked, read as arrays.

The IDX format: four bytes of magic number, four for each dimension (big-endian), then the values.
"""

import gzip
import math
import re
import zlib
from pathlib import Path

import numpy as np

from ..errors import DataError

SIDE = 28  # pixels
MAGIC = {"images": 0x00000803, "labels": 0x00000801}  # unsigned bytes in three dimensions, in one
MOST_BYTES = 64 * 2**20  # unpacked; MNIST's largest file has 47,040,016
NAME = re.compile(r"(train|t10k)-(images|labels)[-.]idx[13]-ubyte(\.gz)?", re.IGNORECASE)
LAYOUTS = (".", "raw", "MNIST/raw")  # flat, or as torchvision keeps them; FashionMNIST/raw is not
MANUAL = (
    "take the four files from any copy of MNIST, for example what "
    "torchvision.datasets.MNIST(DIR, download=True) leaves in DIR/MNIST/raw, and put them into one "
    "folder; that folder is then the source."
)
AGAIN = "Delete it and run `nbhelpers download digits`, or copy it again."


def find(folder: Path) -> dict[str, Path]:
    """MNIST's files in the first of `LAYOUTS` that holds any: {"train-images": path, …}, or {}."""
    for place in (Path(folder) / layout for layout in LAYOUTS):
        found: dict[str, Path] = {}
        for path in sorted(place.iterdir()) if place.is_dir() else []:
            name = NAME.fullmatch(path.name)
            if name and path.is_file():
                found.setdefault(f"{name[1]}-{name[2]}".lower(), path)  # plain comes before .gz
        if found:
            return found
    return {}


def load(files: dict[str, Path]) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Images uint8 (N, 28, 28), labels uint8 (N,) and ids of the training and test files there."""
    loaded = [(part, *_pair(part, files)) for part in ("train", "t10k") if _has(part, files)]
    ids = [f"{part}_{i:05d}" for part, images, _ in loaded for i in range(len(images))]
    images, labels = (np.concatenate([one[k] for one in loaded]) for k in (1, 2))
    absent = [digit for digit in range(10) if not (labels == digit).any()]
    if absent:
        where = next(iter(files.values())).parent
        raise DataError(f"the MNIST files in {where} hold no {absent[0]}: {MANUAL}")
    return images, labels, ids


def _has(part: str, files: dict[str, Path]) -> bool:
    return any(f"{part}-{kind}" in files for kind in MAGIC)


def _pair(part: str, files: dict[str, Path]) -> tuple[np.ndarray, np.ndarray]:
    """The images and labels of "train" or "t10k", proven to belong together."""
    for kind in MAGIC:
        if f"{part}-{kind}" not in files:
            other = next(path for name, path in files.items() if name.startswith(part))
            missing = f"{part}-{kind}-idx{MAGIC[kind] & 0xFF}-ubyte"
            raise DataError(
                f"{other} is there and {missing} is not: put it into {other.parent}, "
                "or run `nbhelpers download digits`."
            )
    image_path, label_path = (files[f"{part}-{kind}"] for kind in MAGIC)
    images, labels = read(image_path, "images"), read(label_path, "labels")
    if len(images) != len(labels):
        raise DataError(
            f"{image_path} holds {len(images):,} images and {label_path.name} {len(labels):,} "
            "labels: they are not of one set. Copy both again."
        )
    wrong = np.flatnonzero(labels > 9)
    if len(wrong):
        raise DataError(
            f"{label_path}, label {wrong[0]}: {labels[wrong[0]]} is no digit 0 to 9 ({len(wrong)} "
            f"such labels): another data set in MNIST's format, or damage. {AGAIN}"
        )
    return images, labels


def read(path: Path, kind: str) -> np.ndarray:
    """The array in an IDX file, plain or gzipped: uint8 (N, 28, 28) for `kind` "images", uint8 (N,)
    for "labels".

    DataError for another magic number, other dimensions, and fewer or more bytes than the header
    says.
    """
    content = _unpacked(path)
    if content[:4] != MAGIC[kind].to_bytes(4, "big"):
        raise DataError(
            f"{path} begins with {content[:4].hex() or 'nothing'} where MNIST's {kind} begin with "
            f"{MAGIC[kind]:08x}: it is another file. {AGAIN}"
        )
    header = 4 * (1 + content[3])  # the magic number's last byte counts the dimensions
    shape = np.frombuffer(content[4:header].ljust(header - 4, b"\0"), ">u4").tolist()
    promised = header + math.prod(shape)
    if len(content) != promised:
        raise DataError(
            f"{path} is cut short or changed: {len(content):,} bytes unpacked, and {promised:,} by "
            f"its header. {AGAIN}"
        )
    if shape[1:] not in ([], [SIDE, SIDE]):
        raise DataError(
            f"{path} holds images of {shape[1]} x {shape[2]} pixels, no MNIST: those have "
            f"{SIDE} x {SIDE}. For your own images use the data set folder."
        )
    return np.frombuffer(content, np.uint8, offset=header).reshape(shape)


def _unpacked(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            packed = file.read(2) == b"\x1f\x8b"  # the name does not always tell
        with (gzip.open if packed else open)(path, "rb") as file:
            return file.read(MOST_BYTES)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path} cannot be unpacked ({error}). {AGAIN}") from error
