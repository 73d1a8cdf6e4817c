"""Decoding: photographs a second of `prepare` against the usual way, and how far the pixels differ.

The usual way is Pillow's full decode of every photograph, then a crop and a resize, one after the
other. Photographs are phantoms drawn at HAM10000's full size, 600 x 450 pixels, unless `--source`
names a folder of JPEG files. Interleaved rounds, so that a noisy machine disturbs both alike.
"""

import argparse
import resource
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

from nbhelpers import pictures, prepare
from nbhelpers.datasets import phantom

ROUNDS = 3


def usual_way(path: str, size: int) -> np.ndarray:
    """Full decode, centre square, bicubic resize: uint8 (size, size, 3)."""
    with Image.open(path) as image:
        full = image.convert("RGB")
    return np.asarray(prepare.square(full, size, "crop", Image.Resampling.BICUBIC))


def seconds(work) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def compare(paths: list[str], size: int) -> None:
    """Prints one line for `size`: both speeds, their ratio, the difference in grey levels."""
    ways = {
        "usual": lambda: [usual_way(path, size) for path in paths],
        "one": lambda: [pictures.read_image(Path(path), size) for path in paths],
        "all": lambda: list(
            prepare._in_parallel(lambda path: pictures.read_image(Path(path), size), paths, "")
        ),
    }
    taken = {name: [] for name in ways}
    for _ in range(ROUNDS):
        for name, work in ways.items():
            taken[name].append(seconds(work))
    speed = {name: len(paths) / np.median(times) for name, times in taken.items()}
    pairs = [(usual_way(p, size).astype(int), pictures.read_image(Path(p), size)[0]) for p in paths]
    difference = np.abs(np.stack([a - b for a, b in pairs]))
    print(
        f"{size:4d} px  usual {speed['usual']:6.0f}/s  one thread {speed['one']:6.0f}/s "
        f"({speed['one'] / speed['usual']:.1f}x)  all cores {speed['all']:6.0f}/s "
        f"({speed['all'] / speed['usual']:.1f}x)  difference mean {difference.mean():.2f}, "
        f"99 % below {np.percentile(difference, 99):.0f} of 255"
    )


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--source", type=Path, help="a folder of JPEG files")
    arguments.add_argument("--count", type=int, default=300)
    chosen = arguments.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        source = chosen.source or phantom.make(Path(folder) / "raw", chosen.count, 0, 600, 450)
        paths = sorted(map(str, source.rglob("*.jpg")))[: chosen.count]
        with Image.open(paths[0]) as first:
            print(f"{len(paths)} photographs of {first.width} x {first.height} pixels")
        for size in (64, 128):
            compare(paths, size)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(f"peak memory {peak:.2f} GB")


if __name__ == "__main__":
    main()
