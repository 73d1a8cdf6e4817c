"""Handwritten digits, the sanity check of conditional GANs: MNIST, or scikit-learn's without it.

MNIST: 70,000 grey images of 28 x 28 pixels, white on black (LeCun, Bottou, Bengio, Haffner 1998,
Proceedings of the IEEE 86:2278). scikit-learn's: 1,797 of 8 x 8 (Alpaydin, Kaynak 1998,
doi:10.24432/C50P49). Both are arrays: they are written once as PNG files, one folder a digit, in
the subfolder `made_by_nbhelpers`, and read from there as any class folders are.
"""

import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from ..download import Remote, fetch
from ..errors import DataError
from ..files import read_json, sha256_file, write_json
from ..locks import one_process
from ..progress import progress
from . import MADE, RawDataset, idx
from . import folder as class_folders
from .idx import MANUAL

VERSION = 1
MNIST, SCIKIT_LEARN = "MNIST", "scikit-learn digits"
LICENCES = {
    MNIST: "CC BY-SA 3.0, LeCun, Cortes and Burges; LeCun et al. 1998, Proc. IEEE 86:2278",
    SCIKIT_LEARN: "CC BY 4.0, Alpaydin and Kaynak 1998, doi:10.24432/C50P49, "
    "as scikit-learn ships it",
}
CLASSES = tuple("0123456789")
PER_CLASS = 1000  # digits of each class that are used: the first ones, the training file's before
MARKER = "digits.json"
NO_WRITERS = (
    "who wrote a digit is not told: each counts as its own group, "
    "so one person's hand is on both sides of a split"
)


def _remote(name: str, md5: str) -> Remote:
    # the copy that torchvision asks first; names and hashes are torchvision's, too
    url = f"https://ossci-datasets.s3.amazonaws.com/mnist/{name}"
    return Remote(name=name, url=url, md5=md5, licence=LICENCES[MNIST], manual=MANUAL)


FILES = {
    "train-images": _remote("train-images-idx3-ubyte.gz", "f68b3c2dcbeaaa9fbdd348bbdeb94873"),
    "train-labels": _remote("train-labels-idx1-ubyte.gz", "d53e105ee54ea40749a09fcbcd1e9432"),
    "t10k-images": _remote("t10k-images-idx3-ubyte.gz", "9fb629c4189551a2d022fa330f9573f3"),
    "t10k-labels": _remote("t10k-labels-idx1-ubyte.gz", "ec29112dd5afa0611ce80d1b7f02629c"),
}


def download(to: Path) -> Path:
    """`to`, holding MNIST's four files (11 MB); what is there already is kept.

    DownloadError when one cannot be had or has another hash.
    """
    for remote in FILES.values():
        fetch(remote, Path(to))
    return Path(to)


def make(folder: Path) -> Path:
    """The class folders of PNG files made from the MNIST files in `folder`, at most `PER_CLASS` of
    each digit; from scikit-learn's digits where `folder` is absent or empty.

    They lie in `folder/made_by_nbhelpers`; complete ones are left alone, half-written or outdated
    ones made again, and nothing else is touched. DataError, naming the file, for broken or missing
    MNIST files, and for a folder of other files.
    """
    folder = Path(folder).expanduser().absolute()
    files = idx.find(folder)
    if not files:
        _refuse_foreign(folder)
    name = MNIST if files else SCIKIT_LEARN
    settings = {"version": VERSION, "name": name, "per_class": PER_CLASS}
    settings["sha256"] = {part: sha256_file(path) for part, path in files.items()}
    to = _place(folder, name)
    try:
        if not _complete(to, settings):
            to.parent.mkdir(parents=True, exist_ok=True)
            with one_process(to):
                if not _complete(to, settings):
                    load = (lambda: idx.load(files)) if files else load_scikit_learn
                    _write(load, to, settings)
    except OSError as error:
        raise DataError(
            f"{to} cannot be written ({error.strerror}): copy MNIST's files into a folder where "
            "you may write; data/raw/digits is found by itself."
        ) from error
    return to


def read(source: Path) -> RawDataset:
    """The digits in `source`: MNIST's IDX files, plain or gzipped, flat or in `MNIST/raw`, or what
    `make` left there. `name` and a printed line say whose digits they are.

    Classes are "0" to "9", so a label is its digit. `upright`: no flip or turn keeps a digit.
    DataError where there is neither, and for broken files.
    """
    source = Path(source)
    if not idx.find(source) and not _place(source, SCIKIT_LEARN).is_dir():
        raise DataError(
            f"{source} holds no MNIST: run `nbhelpers download digits`, or leave the source out "
            "for scikit-learn's digits. To get it elsewhere, " + MANUAL
        )
    made = make(source)
    told = read_json(made / MARKER)
    print(_whose(told), flush=True)
    findings = {"no groups": [NO_WRITERS]}
    if told["left_out"]:
        findings["left out"] = [f"{told['left_out']:,} beyond the first {PER_CLASS:,} of a digit"]
    raw = class_folders.read(made, told["name"])
    known = {"source": source, "licence": LICENCES[raw.name], "findings": findings}
    return replace(raw, **known, upright=True)


def _place(folder: Path, name: str) -> Path:
    return folder / MADE / name.replace(" ", "-").lower()


def _whose(told: dict) -> str:
    if told["name"] == MNIST:
        return f"digits: MNIST, {told['images']:,} images of 28 x 28 pixels"
    return (
        f"digits: no MNIST here, so scikit-learn's {told['images']:,} digits of 8 x 8 pixels stand "
        "in; `nbhelpers download digits` fetches MNIST"
    )


def load_scikit_learn() -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Images uint8 (1797, 8, 8), 0..16 stretched to 0..255, labels (1797,) and ids."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    images = np.uint8(np.rint(digits.images * (255 / 16)))
    return images, digits.target, [f"sklearn_{i:04d}" for i in range(len(images))]


def _refuse_foreign(folder: Path) -> None:
    """DataError where `folder` holds files that are not MNIST's: a stand-in would hide them."""
    if folder.exists() and not folder.is_dir():
        raise DataError(f"{folder} is a file: name the folder that holds MNIST's files.")
    there = [path.name for path in folder.iterdir()] if folder.exists() else []
    foreign = sorted(name for name in there if name != MADE and not name.startswith("."))
    if foreign:
        raise DataError(
            f"{folder} holds {foreign[0]} and none of MNIST's files ({FILES['train-images'].name}, "
            f"…): run `nbhelpers download digits`, or {MANUAL}"
        )


def _complete(to: Path, settings: dict) -> bool:
    """Whether `to` holds all the PNG files that these settings give."""
    try:
        told = read_json(to / MARKER)
    except DataError:
        return False
    same = {key: told.get(key) for key in settings} == settings
    return same and sum(1 for _ in to.glob("*/*.png")) == told["images"]


def first_of_each(labels: np.ndarray, count: int) -> np.ndarray:
    """Row numbers of the first `count` of each digit, ascending."""
    return np.sort(np.concatenate([np.flatnonzero(labels == d)[:count] for d in range(10)]))


def _write(load: Callable, to: Path, settings: dict) -> None:
    """The PNG files and their marker, all of them or none: written beside `to`, then moved."""
    images, labels, ids = load()
    rows = first_of_each(labels, PER_CLASS)
    draft = to.with_name(f".{to.name}.partial")  # one process at a time is here
    shutil.rmtree(draft, ignore_errors=True)
    try:
        for digit in CLASSES:
            (draft / digit).mkdir(parents=True)
        for row in progress(rows, "writing digits", unit="images"):
            Image.fromarray(images[row]).save(draft / str(labels[row]) / f"{ids[row]}.png")
        counts = {"images": len(rows), "left_out": len(images) - len(rows)}
        write_json(draft / MARKER, settings | counts)
        shutil.rmtree(to, ignore_errors=True)
        os.replace(draft, to)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
