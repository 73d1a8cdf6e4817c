"""A tiny MNIST: 60 pictures of noise in the IDX format, for the tests of digits."""

import gzip

import numpy as np

LABELS = np.arange(60, dtype=np.uint8) % 10
IMAGES = np.random.default_rng(0).integers(0, 256, (60, 28, 28), dtype=np.uint8)
TRAIN = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"
TEST = "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"


def packed(array):
    """A file of unsigned bytes in the IDX format."""
    header = [0x0800 + array.ndim, *array.shape]
    return b"".join(number.to_bytes(4, "big") for number in header) + array.tobytes()


def write(folder, names=TRAIN, images=IMAGES, labels=LABELS):
    """`folder`, now holding the two files; gzipped where the name says so."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, array in zip(names, (images, labels), strict=True):
        content = packed(array)
        (folder / name).write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    return folder
