"""Every measure and its direction; pairs of images, and distances of sets. Higher is not always
better: see `METRICS`.

Set measures take features (N, d) of an encoder and compare two clouds of points.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from .errors import MetricError, one_of
from .paired import PAIRED, haarpsi, mdsi, ms_gmsd, ms_ssim, psnr, score, ssim
from .set_metrics import (
    FEWEST,
    fid,
    fid_warning,
    intervals,
    kid,
    mmd2,
    neighbourhood,
)

__all__ = [
    "COLUMNS", "FEWEST", "METRICS", "PAIRED", "Metric", "fid", "fid_warning", "haarpsi",
    "intervals", "kid", "mdsi", "mmd2", "ms_gmsd", "ms_ssim", "neighbourhood",
    "pair_intervals", "psnr", "same_class_pairs", "score", "ssim", "three_columns",
]  # fmt: skip

MOST_PSNR = 100.0  # dB; two identical images have an infinite one
RESAMPLES = 400
COLUMNS = ("real-real", "real-generated", "generated-generated")


@dataclass(frozen=True)
class Metric:
    """How to read one measure. `kind` is paired, set or audit."""

    label: str
    better: str  # "higher", "lower", or "near floor"
    identical: float  # its value for a thing compared with itself
    kind: str
    note: str


METRICS = {
    "psnr": Metric("PSNR (dB)", "higher", np.inf, "paired", "pixels only: a flat image does well"),
    "ssim": Metric("SSIM", "higher", 1.0, "paired", "local means, contrasts and structure"),
    "ms_gmsd": Metric("MS-GMSD", "lower", 0.0, "paired", "spread of gradient differences"),
    "mdsi": Metric("MDSI", "lower", 0.0, "paired", "gradient and colour differences"),
    "haarpsi": Metric("HaarPSI", "higher", 1.0, "paired", "agreement of Haar wavelets"),
    "kid": Metric("KID x1000", "lower", 0.0, "set", "unbiased in n; compare within one encoder"),
    "fid": Metric("FID", "lower", 0.0, "set", "biased in n; compare within one encoder and n"),
    "precision": Metric("precision", "higher", 1.0, "set", "generated images among real ones"),
    "recall": Metric("recall", "higher", 1.0, "set", "real images among generated ones"),
    "density": Metric("density", "higher", 1.0, "set", "how deep among real ones; may pass 1"),
    "coverage": Metric("coverage", "higher", 1.0, "set", "real images with a generated one nearby"),
    "sharpness": Metric("sharpness distance (dB)", "lower", 0.0, "set", "detail, image by image"),
    "colour": Metric("colour distance", "lower", 0.0, "set", "how often each colour is worn"),
    "spectrum": Metric("spectrum distance (dB)", "lower", 0.0, "set", "power by spatial frequency"),
    "tstr": Metric("TSTR", "higher", 1.0, "set", "learns from generated, is tested on photographs"),
    "trts": Metric("TRTS", "near floor", 1.0, "set", "learns from photographs, names generated"),
    "nn_ratio": Metric("neighbour ratio", "near floor", 0.0, "audit", "0: copies, 1: like unseen"),
    "copy_rate": Metric("copy rate", "lower", 1.0, "audit", "one training image stands out"),
    "repeat_rate": Metric("repeats", "near floor", 1.0, "audit", "has a twin in its set"),
    "mia_auc": Metric("membership AUC", "lower", 0.5, "audit", "0.5: training images do not show"),
    "spread": Metric("spread", "near floor", 0.0, "audit", "variety over real; 0: one image"),
}  # fmt: skip


def same_class_pairs(
    first: np.ndarray,
    second: np.ndarray | None,
    classes: np.ndarray,
    count: int,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """`count` random pairs of rows (i, j) of one class, each of `classes` as often. `second` None
    pairs `first` with itself, i != j.
    """
    wanted = classes[np.arange(count) % len(classes)]
    i, j = np.empty(count, int), np.empty(count, int)
    for label in classes:
        here = wanted == label
        a = np.flatnonzero(first == label)
        if second is None:
            place = rng.integers(len(a), size=here.sum())
            other = (place + rng.integers(1, len(a), size=here.sum())) % len(a)
            i[here], j[here] = a[place], a[other]
        else:
            i[here], j[here] = (
                rng.choice(a, here.sum()),
                rng.choice(np.flatnonzero(second == label), here.sum()),
            )
    return i, j


def three_columns(
    real: np.ndarray,
    generated: np.ndarray,
    pairs: int,
    seed: int,
    real_labels: np.ndarray | None = None,
    generated_labels: np.ndarray | None = None,
    measures: tuple[str, ...] = tuple(PAIRED),
    columns: tuple[str, ...] = COLUMNS,
) -> pd.DataFrame:
    """One row a pair and measure: metric, column (`COLUMNS`), label, i, j, value. `pairs` pairs in
    each column.

    Pairs are of one class, every class that both sets show twice counting the same; without labels
    any two images pair.
    """
    rng = np.random.default_rng(seed)
    a = np.zeros(len(real), int) if real_labels is None else np.asarray(real_labels)
    b = np.zeros(len(generated), int) if generated_labels is None else np.asarray(generated_labels)
    classes = np.array(
        [c for c in np.intersect1d(a, b) if min((a == c).sum(), (b == c).sum()) >= 2]
    )
    if len(classes) == 0:
        raise MetricError(
            "no class has two real and two generated images: pass more images, or both labels."
        )
    sides = {"real-real": (a, None, real, real), "real-generated": (a, b, real, generated),
             "generated-generated": (b, None, generated, generated)}  # fmt: skip
    tables = []
    for column in columns:
        first, second, x, y = sides[one_of("column", column, COLUMNS)]
        i, j = same_class_pairs(first, second, classes, pairs, rng)
        rows = {"column": column, "label": first[i], "i": i, "j": j}
        tables += [
            pd.DataFrame({"metric": m} | rows | {"value": score(m, x[i], y[j])}) for m in measures
        ]
    return pd.concat(tables, ignore_index=True)


def pair_intervals(table: pd.DataFrame, seed: int, resamples: int = RESAMPLES) -> pd.DataFrame:
    """Mean of each metric (value) with a 95 % bootstrap interval (low, high) that resamples images,
    not pairs: an image is in many pairs.

    `table` holds one column of `three_columns`, the same pairs for every metric.
    """
    names, (_, one) = table["metric"].unique(), next(iter(table.groupby("metric", sort=False)))
    values = table["value"].to_numpy().reshape(len(names), len(one))
    i, j, rng = one["i"].to_numpy(), one["j"].to_numpy(), np.random.default_rng(seed)
    values = np.minimum(values, MOST_PSNR)
    first = rng.poisson(1.0, (resamples, i.max() + 1))
    second = rng.poisson(1.0, (resamples, j.max() + 1))
    if one["column"].iloc[0] != "real-generated":  # both are of one set
        second = first = rng.poisson(1.0, (resamples, max(i.max(), j.max()) + 1))
    weight = (first[:, i] * second[:, j]).astype(float)
    weight = weight[weight.sum(1) > 0]
    drawn = weight @ values.T / weight.sum(1, keepdims=True)
    low, high = np.percentile(drawn, [2.5, 97.5], axis=0)
    return pd.DataFrame({"value": values.mean(1), "low": low, "high": high}, names)
