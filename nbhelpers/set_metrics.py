"""Distances of two sets of images, taken between the features (N, d) that an encoder has of them.

Every value comes with a 95 % interval and is read beside its floor: the same measure between
photographs, at the same n.
"""

from collections.abc import Callable

import numpy as np
from scipy import linalg

from .errors import MetricError

SMALL_FID = 2048  # fewer images than Inception has features: the covariance has no full rank
SUBSET = 100
DRAWS = 100
HALVES = 20
NEIGHBOURS = 5
FEWEST = 10  # images a side below which a set measure is not computed


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
    r1, r2 = (_root(a) for a in (x, y))
    shift = np.square(x.mean(0) - y.mean(0)).sum()
    value = shift + np.square(r1).sum() + np.square(r2).sum() - 2 * linalg.svdvals(r1 @ r2.T).sum()
    return max(0.0, float(value))  # rounding leaves -1e-14 for identical sets


def _root(x: np.ndarray) -> np.ndarray:
    """R with R^T R the covariance of features (N, d), and no more rows than needed."""
    centred = (x - x.mean(0)) / np.sqrt(len(x) - 1)
    return centred if len(x) <= x.shape[1] else linalg.qr(centred, mode="r")[0][: x.shape[1]]


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
    between = _squared_distances(real, generated)
    real_radius, generated_radius = (_radius(x, k) for x in (real, generated))
    inside = between <= real_radius[:, None]
    return {
        "precision": float(inside.any(0).mean()),
        "recall": float((between <= generated_radius).any(1).mean()),
        "density": float(inside.sum(0).mean() / k),
        "coverage": float((between.min(1) <= real_radius).mean()),
    }


def _squared_distances(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Squared Euclidean distances (N, M), by one matrix product."""
    squares = np.square(x).sum(1)[:, None] + np.square(y).sum(1)
    return np.maximum(0, squares - 2 * x @ y.T)


def _radius(x: np.ndarray, k: int) -> np.ndarray:
    """Squared distance (N,) of each point to its k-th neighbour."""
    distances = _squared_distances(x, x)
    np.fill_diagonal(distances, 0)  # itself is the nearest, whatever rounding left
    return np.partition(distances, k, axis=1)[:, k]


def intervals(
    measures: Callable[[np.ndarray, np.ndarray], dict[str, float]],
    x: np.ndarray,
    y: np.ndarray,
    seed: int,
    draws: int = HALVES,
) -> dict[str, tuple[float, float]]:
    """95 % intervals, at least 0, of set measures of features (N, d) or of rows (N,): their spread
    over random halves of both sets, around their values on all of them.

    Halves and not resamples with repetition, as an image that is there twice is its own nearest
    neighbour and takes a rank from the covariance. The spread of halves is that of all images
    (delete-half jackknife, Shao and Tu 1995); where both sets are of one kind the true interval is
    narrower.
    """
    rng, value = np.random.default_rng(seed), measures(x, y)
    halves = [[a[rng.permutation(len(a))[: len(a) // 2]] for a in (x, y)] for _ in range(draws)]
    found = [measures(*half) for half in halves]
    reach = {name: 1.96 * np.std([one[name] for one in found], ddof=1) for name in value}
    return {
        name: (max(0.0, float(value[name] - reach[name])), float(value[name] + reach[name]))
        for name in value
    }
