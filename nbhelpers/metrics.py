"""Every measure and its direction; pairs of images, and distances of sets. Higher is not always
better: see `METRICS`.

Set measures take features (N, d) of an encoder and compare two clouds of points.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import linalg
from scipy.spatial.distance import cdist

from .errors import MetricError, one_of
from .paired import PAIRED, haarpsi, mdsi, ms_gmsd, ms_ssim, psnr, score, ssim

__all__ = [
    "COLUMNS", "METRICS", "PAIRED", "Metric", "fid", "fid_warning", "haarpsi", "kid", "mdsi",
    "mmd2", "ms_gmsd", "ms_ssim", "neighbourhood", "pair_interval", "psnr", "same_class_pairs",
    "score", "ssim", "three_columns",
]  # fmt: skip

SMALL_FID = 2048  # fewer images than Inception has features: the covariance has no full rank
MOST_PSNR = 100.0  # dB; two identical images have an infinite one
SUBSET = 100
DRAWS = 100
NEIGHBOURS = 5
RESAMPLES = 400
FEWEST = 10  # images a side below which a set measure is not computed
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
    "nn_ratio": Metric("neighbour ratio", "near floor", 0.0, "audit", "0: copies, 1: like unseen"),
    "copy_rate": Metric("copy rate", "lower", 1.0, "audit", "one training image stands out"),
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


def pair_interval(
    table: pd.DataFrame, seed: int, resamples: int = RESAMPLES
) -> tuple[float, float, float]:
    """Mean of `value` with a 95 % bootstrap interval that resamples images, not pairs: an image is
    in many pairs.

    `table` holds one metric and column of `three_columns`.
    """
    rng = np.random.default_rng(seed)
    value, i, j = (table[name].to_numpy() for name in ("value", "i", "j"))
    value = np.minimum(value, MOST_PSNR)
    first = rng.poisson(1.0, (resamples, i.max() + 1))
    second = rng.poisson(1.0, (resamples, j.max() + 1))
    if table["column"].iloc[0] != "real-generated":  # both are of one set
        second = first = rng.poisson(1.0, (resamples, max(i.max(), j.max()) + 1))
    weight = first[:, i] * second[:, j]
    weight = weight[weight.sum(1) > 0]
    low, high = np.percentile(weight @ value / weight.sum(1), [2.5, 97.5])
    return float(value.mean()), float(low), float(high)


def _check_features(x: np.ndarray, y: np.ndarray, fewest: int) -> tuple[np.ndarray, np.ndarray]:
    for features in (x, y):
        if features.ndim != 2 or len(features) < fewest:
            raise MetricError(
                f"features are {features.shape}: expected (N, d) with N of at least {fewest}."
            )
        if not np.isfinite(features).all():
            raise MetricError(
                "features hold NaN or infinite values: look at the encoder's input and weights."
            )
    if x.shape[1] != y.shape[1]:
        raise MetricError(
            f"features have {x.shape[1]} and {y.shape[1]} dimensions: use one encoder for both."
        )
    return x.astype(np.float64), y.astype(np.float64)


def mmd2(x: np.ndarray, y: np.ndarray) -> float:
    """Unbiased squared maximum mean discrepancy with the kernel (a.b / d + 1)^3; may be below 0.
    Binkowski et al. 2018.
    """
    x, y = _check_features(x, y, 2)
    n, m, d = len(x), len(y), x.shape[1]
    xx, yy, xy = ((a @ b.T / d + 1) ** 3 for a, b in ((x, x), (y, y), (x, y)))
    within = (xx.sum() - np.trace(xx)) / (n * (n - 1)) + (yy.sum() - np.trace(yy)) / (m * (m - 1))
    return float(within - 2 * xy.mean())


def kid(x: np.ndarray, y: np.ndarray, seed: int, draws: int = DRAWS) -> tuple[float, float, float]:
    """KID x1000 of features (N, d): mean of `draws` seeded subsets, with a 95 % interval.

    Subsets hold min(n // 2, 100) of each set: with all n every draw would be the same and the
    interval nothing. The spread of draws is scaled to n as in the delete-half jackknife (Shao and
    Tu 1995).
    """
    _check_features(x, y, FEWEST)
    rng, n = np.random.default_rng(seed), min(len(x), len(y))
    m = min(n // 2, SUBSET)
    values = [
        mmd2(x[rng.choice(len(x), m, False)], y[rng.choice(len(y), m, False)]) for _ in range(draws)
    ]
    mean, half = 1000 * np.mean(values), 1960 * np.std(values, ddof=1) * np.sqrt(m / (n - m))
    return float(mean), float(mean - half), float(mean + half)


def fid(x: np.ndarray, y: np.ndarray) -> float:
    """Frechet distance of the Gaussians with the mean and covariance of features (N, d). Heusel et
    al. 2017.

    |m1 - m2|^2 + Tr(S1 + S2 - 2 (S1 S2)^(1/2)). With S = R^T R the last trace is the sum of the
    singular values of R1 R2^T, so no matrix root is taken, and fewer images than dimensions do no
    harm beyond the bias of FID.
    """
    x, y = _check_features(x, y, 2)
    r1, r2 = (
        linalg.qr(a - a.mean(0), mode="r")[0][: a.shape[1]] / np.sqrt(len(a) - 1) for a in (x, y)
    )
    shift = np.square(x.mean(0) - y.mean(0)).sum()
    value = shift + np.square(r1).sum() + np.square(r2).sum() - 2 * linalg.svdvals(r1 @ r2.T).sum()
    return max(0.0, float(value))  # rounding leaves -1e-14 for identical sets


def fid_warning(n: int) -> str:
    """What must stand beside an FID of `n` images a side; empty from 2,048 on."""
    return (
        f"n = {n} is below {SMALL_FID}: too high by an unknown amount, read against the floor"
        if n < SMALL_FID
        else ""
    )


def neighbourhood(real: np.ndarray, generated: np.ndarray, k: int = NEIGHBOURS) -> dict[str, float]:
    """Precision and recall (Kynkaanniemi et al. 2019), density and coverage (Naeem et al. 2020) of
    features (N, d).
    """
    real, generated = _check_features(real, generated, k + 1)
    between = cdist(real, generated)
    # column 0 of the sorted distances is the image itself
    real_radius = np.sort(cdist(real, real), 1)[:, k]
    generated_radius = np.sort(cdist(generated, generated), 1)[:, k]
    inside = between <= real_radius[:, None]
    return {
        "precision": float(inside.any(0).mean()),
        "recall": float((between <= generated_radius).any(1).mean()),
        "density": float(inside.sum(0).mean() / k),
        "coverage": float((between.min(1) <= real_radius).mean()),
    }
