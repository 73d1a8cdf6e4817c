"""Photographs: decoding them once, and reading them in every epoch.

The usual way of decoding is Pillow's full decode, then a crop and a resize, one photograph after
the other. The usual way of an epoch is torchvision's ImageFolder behind a DataLoader of two
processes. Photographs are phantoms of HAM10000's full size, 600 x 450 pixels.
"""

import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from unittest import mock

import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader
from torchvision.datasets import ImageFolder
from torchvision.transforms import v2
from windows import Row, rows, sparse_photographs, speeds

from nbhelpers import pictures, prepare, training_images
from nbhelpers.config import cores
from nbhelpers.datasets import phantom
from nbhelpers.training_images import Budget, TrainingImages

SIZE = 64
COUNT = 160  # photographs
BATCH = 64
MEMORY = (10_000, 1_000_000)  # images
TURNS = 200  # batches of a window: one takes a millisecond
READ = 300  # batches whose reading may not cost memory


def measured() -> list[Row]:
    by_class, data = photographs()
    paths = sorted(map(str, by_class.rglob("*.jpg")))
    return [*_decoding(paths), *_epoch(by_class, data), *_memory()]


@cache
def _folder() -> tempfile.TemporaryDirectory:
    """Is removed when the benchmark ends."""
    return tempfile.TemporaryDirectory()


@cache
def photographs() -> tuple[Path, prepare.Prepared]:
    """Phantoms in a folder a diagnosis, as ImageFolder wants them, and the same prepared."""
    folder = Path(_folder().name)
    raw = phantom.read(phantom.make(folder / "raw", COUNT, 0, 600, 450))
    for path, dx in zip(raw.table["path"], raw.table["dx"], strict=True):
        place = folder / "by_class" / dx
        place.mkdir(parents=True, exist_ok=True)
        (place / Path(path).name).symlink_to(path)
    return folder / "by_class", prepare.prepare(raw, folder / "prepared", SIZE)


def _decoding(paths: list[str]) -> list[Row]:
    def fully(path: str) -> np.ndarray:
        with Image.open(path) as image:
            full = image.convert("RGB")
        return np.asarray(pictures.square(full, SIZE, "crop", Image.Resampling.BICUBIC))

    def read(path: str) -> np.ndarray:
        return pictures.read_image(Path(path), SIZE)[0]

    ways = {
        "full decode": lambda: len([fully(path) for path in paths]),
        "here, one thread": lambda: len([read(path) for path in paths]),
        f"here, {cores()} threads": lambda: len(list(prepare._in_parallel(read, paths, ""))),
    }
    apart = np.abs(np.stack([fully(path) - 1.0 * read(path) for path in paths])).mean()
    return [
        *rows("data", "prepare", "photographs/s", speeds(ways, 3)),
        Row("data", "prepare", "grey levels between both ways, mean", apart, "of 255"),
    ]


def folder_batches(folder: Path, batch: int = BATCH) -> DataLoader:
    """The usual way to read an epoch: batches float32 (batch, 3, S, S) in [-1, 1] and labels."""
    steps = [v2.Resize(SIZE), v2.CenterCrop(SIZE), v2.ToImage()]
    steps += [v2.ToDtype(torch.float32, scale=True), v2.Normalize([0.5] * 3, [0.5] * 3)]
    data = ImageFolder(folder, v2.Compose(steps))
    return DataLoader(data, batch, shuffle=True, num_workers=2, drop_last=True)


def _epoch(folder: Path, data: prepare.Prepared) -> list[Row]:
    """ImageFolder neither flips nor turns, so both are timed here."""
    labels, budget = data.table["label"].to_numpy(), Budget(COUNT, BATCH)

    def packed(upright: bool) -> Callable[[], int]:
        stream = TrainingImages(data.images, labels, torch.device("cpu"), upright)

        def batches() -> int:
            return sum(len(stream.batch(stream.rows(k, budget)).image) for k in range(TURNS))

        return batches

    ways = {
        "ImageFolder": lambda: sum(len(image) for image, _ in folder_batches(folder)),
        "prepared": packed(upright=True),
        "prepared, flipped and turned": packed(upright=False),
    }
    return rows("data", "epoch", "photographs/s", speeds(ways, 3))


def _memory() -> list[Row]:
    """Memory that reading so many batches takes, of arrays that lie on the disk, each in a process
    of its own. The last one's is a file of 12 GB."""
    return [
        Row("memory", "batches from the disk", f"{count:,} images", _needed(count), "MB")
        for count in MEMORY
    ]


def _needed(count: int) -> float:
    call = [sys.executable, __file__, str(count)]
    return float(subprocess.run(call, check=True, capture_output=True, text=True).stdout)


def _own_megabytes() -> float:
    """Memory of this process alone, without what it shares with the disk's cache."""
    status = Path("/proc/self/status").read_text().splitlines()
    return next(float(line.split()[1]) / 1e3 for line in status if line.startswith("RssAnon"))


def _read_batches(count: int) -> None:
    """Prints by how many MB this process grows."""
    with tempfile.TemporaryDirectory() as folder:
        images = sparse_photographs(Path(folder) / "images.npy", count)
        before = _own_megabytes()
        stream = on_disk(images)
        for k in range(READ):
            stream.batch(stream.rows(k, Budget(READ * BATCH, BATCH)))
        print(_own_megabytes() - before)


def on_disk(images: np.ndarray) -> TrainingImages:
    """Training images that are read from the disk by batch, however few they are."""
    with mock.patch.object(training_images, "RESIDENT_BYTES", 0):
        return TrainingImages(images, np.zeros(len(images), np.uint8), torch.device("cpu"))


if __name__ == "__main__":
    _read_batches(int(sys.argv[1]))
