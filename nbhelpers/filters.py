"""Which generated images may teach: those that look like their class, are no copies, and lie where
photographs lie. Every threshold is what validation photographs get, which nobody has learned from.
"""

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from .classifier import predict, views_of
from .detectors import HASH, PIXELS, Detector, Witnesses
from .errors import LeakageError
from .extras import Pool
from .features import Encoder, lesion_encoder, lesion_network
from .files import sha256_file, write_atomic
from .neighbours import unit
from .prepare import Prepared
from .splits import parts

REASONS = ("unlike its class", "copy", "outlier")
LEAST_LIKE = 0.1  # share of a class's validation photographs that the first threshold leaves out
OUTLYING = 0.05  # share of a class's validation photographs that the last threshold leaves out
FEWEST = 10  # photographs of a class below which the threshold is taken from all classes


def passes(
    made: Pool, prepared: Prepared, fold: int, path: Path, device: torch.device, seed: int = 0
) -> tuple[np.ndarray, pd.DataFrame]:
    """Which generated images pass, bool (N,), and a table: class, made, those left out by each
    reason (an image counts for the first that applies), kept.

    The lesion encoder in `path` has learned the fold's training part; LeakageError when it has seen
    another lesion. MetricError with fewer than ten validation lesions.
    """
    rows, table = parts(prepared.table, fold), prepared.table
    encoder, network = lesion_encoder(path, device), lesion_network(path)[0].to(device)
    groups = table["group_id"].to_numpy()
    if not set(encoder.training_groups) <= set(groups[rows["train"]]):
        raise LeakageError(
            f"{encoder.name} has seen lesions outside the training part of fold {fold}: train it "
            "for this fold."
        )
    train, seen = (
        Pool(prepared.images[rows[part]], table["label"].to_numpy()[rows[part]])
        for part in ("train", "validation")
    )
    unlike = _unlike(made, seen, lambda x: predict(network, x, device, views=views_of(prepared)))
    witnesses = Witnesses.of(seen.images, groups[rows["validation"]], seed)
    eyes = (Detector(eye, train.images, witnesses) for eye in (PIXELS, HASH))
    copied = np.any([eye.accused(eye.nearest(made.images)) for eye in eyes], axis=0)
    outlying = _outlying(made, seen, train, encoder)
    first = np.select([unlike, copied, outlying], [0, 1, 2], default=len(REASONS))
    counts = pd.crosstab(made.labels, first).reindex(
        index=range(len(prepared.classes)), columns=range(len(REASONS) + 1), fill_value=0
    )
    found = counts.set_axis([*REASONS, "kept"], axis=1)
    found.insert(0, "made", counts.sum(axis=1))
    found.insert(0, "class", prepared.classes)
    return first == len(REASONS), found


def write_passed(made: Path, passed: np.ndarray) -> Path:
    """`passed.npz` beside the synthetic set `made`: which of its images pass, and whose SHA-256 it
    had, for `nbhelpers export --only`."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, passed=passed, of=np.array(sha256_file(made)))
    return write_atomic(made.with_name("passed.npz"), buffer.getvalue())


def _unlike(made: Pool, seen: Pool, softmax: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """Whose class gets less softmax than nine of ten validation photographs of it get."""
    own = softmax(made.images)[np.arange(len(made.labels)), made.labels]
    real = softmax(seen.images)[np.arange(len(seen.labels)), seen.labels]
    return own < _quantiles(real, seen.labels, LEAST_LIKE, made.labels)


def _outlying(made: Pool, seen: Pool, train: Pool, encoder: Encoder) -> np.ndarray:
    """Who is farther from the training images of its class than 95 % of validation's are."""
    known = unit(encoder(train.images))

    def apart(pool: Pool) -> np.ndarray:
        asked, found = unit(encoder(pool.images)), np.empty(len(pool.labels))
        for c in np.unique(pool.labels):
            mine = pool.labels == c
            found[mine] = 1 - (asked[mine] @ known[train.labels == c].T).max(1, initial=-1)
        return found

    return apart(made) > _quantiles(apart(seen), seen.labels, 1 - OUTLYING, made.labels)


def _quantiles(
    values: np.ndarray, labels: np.ndarray, level: float, wanted: np.ndarray
) -> np.ndarray:
    """The quantile of each wanted class; of all classes where a class has few values."""
    limits = {}
    for c in np.unique(wanted):
        mine = values[labels == c]
        limits[c] = np.quantile(mine if len(mine) >= FEWEST else values, level)
    return np.array([limits[c] for c in wanted])
