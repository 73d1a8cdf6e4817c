"""Which way does a measure point? Photographs are damaged in five kinds of five growing steps, and
the answer is computed: a measure that falls all along is better when it is higher.

Ranks and not sizes are compared, as every measure has its own scale: Spearman's rho of step and
value, from -1 (falls all along) to 1 (rises all along).
"""

from collections.abc import Callable, Iterator

import numpy as np
import pandas as pd

from .appearance import Look, compare
from .degradation import KINDS, degrade
from .metrics import MOST_PSNR, PAIRED, fid, kid, neighbourhood, score

COLUMNS = ["kind", "step", "metric", "value"]
STILL = 0.05  # share of a measure's widest line below which a line counts as flat
CLEAR = 0.5  # rho over all kinds from which a measure has an arrow

Measure = Callable[[np.ndarray], dict[str, float]]


def climb(
    images: np.ndarray,
    others: np.ndarray,
    encoder: Callable[[np.ndarray], np.ndarray],
    seed: int = 0,
) -> pd.DataFrame:
    """`climb_pairs` and `climb_sets` in one table: kind, step, metric, value."""
    tables = [climb_pairs(images, seed), climb_sets(images, others, encoder, seed)]
    return pd.concat(tables, ignore_index=True)


def climb_pairs(images: np.ndarray, seed: int = 0) -> pd.DataFrame:
    """Every paired measure of photographs uint8 (N, S, S, 3) and their damaged copies: kind, step
    (1 to 5), metric, value (the mean over images, PSNR counting as 100 dB at the most).
    """

    def measure(damaged: np.ndarray) -> dict[str, float]:
        scores = {name: score(name, images, damaged) for name in PAIRED}
        return {name: float(np.minimum(s, MOST_PSNR).mean()) for name, s in scores.items()}

    return _table(_rungs(images, measure, seed))


def climb_sets(
    images: np.ndarray,
    others: np.ndarray,
    encoder: Callable[[np.ndarray], np.ndarray],
    seed: int = 0,
) -> pd.DataFrame:
    """Every set measure of the damaged `images` against `others`, different photographs of the same
    kind, both uint8 (N, S, S, 3) with 10 or more: kind, step (0 to 5), metric, value.

    At step 0, the same for all kinds, the photographs are untouched: what is left is the distance
    of two sets of photographs. `encoder` gives the features (N, d) of KID, FID, precision, recall,
    density and coverage.
    """
    known, look = encoder(others), Look.of(others)

    def measure(damaged: np.ndarray) -> dict[str, float]:
        seen = encoder(damaged)
        return {
            "kid": kid(known, seen, seed)[0],
            "fid": fid(known, seen),
            **neighbourhood(known, seen),
            **compare(look, Look.of(damaged)),
        }

    untouched = measure(images)
    ground = ((kind, 0, untouched) for kind in KINDS)
    return _table([*ground, *_rungs(images, measure, seed)])


def _rungs(
    images: np.ndarray, measure: Measure, seed: int
) -> Iterator[tuple[str, int, dict[str, float]]]:
    for kind, strengths in KINDS.items():
        for step, strength in enumerate(strengths, 1):
            yield kind, step, measure(degrade(images, kind, strength, seed))


def _table(rungs: Iterator | list) -> pd.DataFrame:
    rows = [(kind, step, m, v) for kind, step, values in rungs for m, v in values.items()]
    return pd.DataFrame(rows, columns=COLUMNS)


def trends(table: pd.DataFrame) -> pd.DataFrame:
    """Spearman's rho of step and value, a row a metric and a column a kind; and "all", the mean
    over kinds, each counting by how far it moves the measure.

    NaN where the kind leaves the measure where it was: its values reach over less than a twentieth
    of those of the kind that moves it most. Such a line has an order, too, but it is chance.
    """
    table = table.reset_index(drop=True)
    kinds, names = table["kind"].unique(), table["metric"].unique()
    lines = table.groupby(["metric", "kind"])
    reach = lines["value"].agg(np.ptp).unstack()
    reach = reach.where((reach > 0) & reach.ge(STILL * reach.max(axis=1), axis=0))
    ranks = lines[["step", "value"]].rank().groupby([table["metric"], table["kind"]])
    rho = ranks.corr().xs("step", level=2)["value"].unstack().where(reach.notna())
    rho["all"] = (rho * reach).sum(axis=1, min_count=1) / reach.sum(axis=1)
    return rho.reindex(index=names, columns=[*kinds, "all"])


def arrows(table: pd.DataFrame) -> dict[str, str]:
    """What the ladder says of each metric: "higher" is better, "lower" is better, or "unclear" when
    its kinds disagree so far that "all" of `trends` is between -0.5 and 0.5.
    """
    found = {}
    for metric, rho in trends(table)["all"].items():
        found[metric] = ("lower" if rho > 0 else "higher") if abs(rho) >= CLEAR else "unclear"
    return found


def dissent(table: pd.DataFrame) -> dict[str, tuple[str, ...]]:
    """The kinds of damage whose rho has another sign than that of all: the metric takes them for
    an improvement. Metrics without such a kind are left out.
    """
    rho = trends(table)
    against = rho.drop(columns="all").mul(np.sign(rho["all"]), axis=0) < 0
    return {m: tuple(row.index[row]) for m, row in against.iterrows() if row.any()}
