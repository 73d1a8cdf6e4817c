"""Which GAN is best? One answer a measure, and how far the measures agree."""

import numpy as np
import pandas as pd

from .metric_rows import POOLED
from .metrics import METRICS

# A paired measure alone is read as others print it, by its arrow; the rest as the table says
BARE = "real-generated"


def ranks(measured: pd.DataFrame) -> pd.DataFrame:
    """Places (1 is best) of the GANs of a run, a row for each measure and encoder, a column for
    each GAN, from the pooled rows of `metrics.csv`. "near floor" ranks by the distance from the
    floor. NaN where a GAN was not measured (TSTR of one without labels); a measure that finds all
    GANs alike is left out.
    """
    pooled = measured[measured["class"].eq(POOLED) & measured["value"].notna()].copy()
    pooled["name"] = [_name(*row) for row in zip(pooled["metric"], pooled["encoder"], strict=True)]
    pooled["score"] = [
        _score(row.metric, row.value, row.floor, row.better) for row in pooled.itertuples()
    ]
    pooled = pooled.dropna(subset=["score"]).drop_duplicates(["gan", "name"], keep="last")
    wide = pooled.pivot(index="name", columns="gan", values="score")
    wide = wide[wide.nunique(axis=1) > min(1, wide.shape[1] - 1)]
    order = [name for name in pooled["name"].unique() if name in wide.index]
    return wide.loc[order].rank(axis=1, method="average").rename_axis(index=None, columns=None)


def _score(metric: str, value: float, floor: float, better: str) -> float:
    """Smaller is better; NaN for what is not ranked."""
    first, _, column = metric.partition(" ")
    if column:
        sign = 1 if METRICS[first].better == "lower" else -1
        return sign * value if column == BARE else np.nan
    if better == "near floor":
        return abs(value - floor)
    return value if better == "lower" else -value


def _name(metric: str, encoder: float | str) -> str:
    first, _, column = metric.partition(" ")
    label = METRICS[first].label + (f", {column}" if column else "")
    return f"{label} ({encoder})" if isinstance(encoder, str) and encoder else label


def agreement(places: pd.DataFrame) -> pd.DataFrame:
    """Kendall's tau of every two measures (rows of `ranks`): 1 is one order, -1 the reverse, 0
    none."""
    return places.T.corr(method="kendall")
