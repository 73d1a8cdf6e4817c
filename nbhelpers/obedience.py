"""Does G draw what it is asked for? Small digits, on which a conditional GAN shows it in seconds,
and a reader that has learned from real images only.

A lesion drawn under the wrong name looks plausible to most of us; a 7 drawn for a 3 does not.
"""

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from PIL import Image
from sklearn.svm import SVC

from . import neighbours, sampling
from .config import Preset
from .datasets import digits, idx
from .errors import MetricError
from .gan_jobs import Job
from .gans import GAN
from .prepare import Prepared
from .splits import assign_folds, parts

SIZE = 32  # pixels a side: a quarter of the work of 64, and enough for a digit
PER_CLASS = 170  # scikit-learn has 174 of its rarest digit
COARSE = 8  # pixels a side that the reader looks at
OF_EACH = 50  # images of a class that are generated and read
MOST = 200  # real images of a class that the reader learns from, and that it is tested on
IMAGES = {"smoke": 320, "laptop": 6_000, "full": 60_000}  # shown to D
SETTINGS = {"width": 24, "z_dim": 64, "learning_rate_d": 1e-3, "learning_rate_g": 1e-3}

Describe = Callable[[np.ndarray], np.ndarray]


def small_digits(raw: Path) -> Prepared:
    """The first 170 of each digit at 32 pixels, in five folds, in memory: MNIST's from the files in
    `raw`, scikit-learn's where there are none. Nothing is written."""
    files = idx.find(raw)
    name = digits.MNIST if files else digits.SCIKIT_LEARN
    grey, labels, ids = idx.load(files) if files else digits.load_scikit_learn()
    rows = digits.first_of_each(labels, PER_CLASS)
    images = np.stack([_enlarged(grey[row]) for row in rows])
    named = [ids[row] for row in rows]
    table = pd.DataFrame({"image_id": named, "group_id": named})
    table["label"] = labels[rows].astype(np.int64)
    table["dx"] = table["label"].astype(str)
    table["fold"] = assign_folds(table)
    manifest = {"source": name, "licence": digits.LICENCES[name], "upright": True}
    manifest["sha256"] = {"images.npy": hashlib.sha256(images).hexdigest()}
    return Prepared(Path(raw), images, table, digits.CLASSES, None, manifest)


def _enlarged(digit: np.ndarray) -> np.ndarray:
    """A grey digit uint8 (s, s) as uint8 (32, 32, 3)."""
    return np.asarray(Image.fromarray(digit).resize((SIZE, SIZE)).convert("RGB"))


def digits_job(gan: str, preset: Preset, seed: int, **settings: float) -> Job:
    """A short training of `gan` on `small_digits`, in the settings that digits take."""
    return Job(gan, IMAGES[preset.name], 16, seed, settings=SETTINGS | settings)


def coarse(images: np.ndarray) -> np.ndarray:
    """Means of 8 x 8 blocks in [0, 1], float32 (N, 192), of images uint8 (N, S, S, 3)."""
    count, side = len(images), images.shape[1] // COARSE
    blocks = images.reshape(count, COARSE, side, COARSE, side, 3)
    return (blocks.mean((2, 4)) / 255).reshape(count, -1).astype(np.float32)


class Reader:
    """Names the class of images, having learned from real ones: a support vector machine on
    `describe(images)`, pixels or an encoder's features, in which every class weighs the same."""

    def __init__(self, images: np.ndarray, labels: np.ndarray, describe: Describe = coarse):
        if len(np.unique(labels)) < 2:
            raise MetricError("the reader was given images of one class: give it two at least.")
        self.describe = describe
        self.machine = SVC(C=10.0, class_weight="balanced").fit(describe(images), labels)

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """The class that it reads from each image, int64 (N,)."""
        return self.machine.predict(self.describe(images))

    def agreement(self, images: np.ndarray, labels: np.ndarray) -> pd.Series:
        """Share of the images of each class in `labels` (N,) that it reads as that class. The mean
        of it is the balanced accuracy."""
        return pd.Series(self(images) == labels).groupby(np.asarray(labels)).mean()


def obeyed(gan: GAN, prepared: Prepared, seed: int, describe: Describe = coarse) -> pd.DataFrame:
    """How a conditional GAN of fold 0 obeys, a row for each class.

    `real`: share of the test part that a reader of the training part names rightly, the most that
    can be hoped for. `generated`: share of the samples that it names as what was asked for.
    `spread`: typical distance of two samples over that of two training images; nan where there is
    one.
    """
    part, truth = parts(prepared.table, 0), prepared.table["label"].to_numpy()
    known, unseen = (_at_most(part[name], truth) for name in ("train", "test"))
    reader = Reader(prepared.images[known], truth[known], describe)
    classes = np.arange(len(prepared.classes))
    asked = np.repeat(classes, OF_EACH)
    made = sampling.generate(gan, len(asked), seed, torch.from_numpy(asked))
    real = reader.agreement(prepared.images[unseen], truth[unseen])
    table = pd.DataFrame({"real": real}, index=classes)
    table["generated"] = reader.agreement(made, asked)
    of_class = [prepared.images[known[truth[known] == c]] for c in classes]
    table["spread"] = [_spread(made[asked == c], of_class[c]) for c in classes]
    return table.set_axis(list(prepared.classes))


def _at_most(rows: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """`rows`, of each class the first `MOST`."""
    return np.concatenate([rows[truth[rows] == c][:MOST] for c in np.unique(truth[rows])])


def _spread(made: np.ndarray, known: np.ndarray) -> float:
    if len(known) < 2:
        return np.nan
    return neighbours.spread(made, neighbours.typical_distance(known))
