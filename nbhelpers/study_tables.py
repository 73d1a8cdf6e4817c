"""Tables of a comparison as people read them: in points, by arm, by number of lesions."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from .arms import Arm
from .extras import top_up, wanted
from .predictions import Predictions, confusion, lesion_level, one_replicate, recalls, score_table
from .statistics import Study, draws, interval

LEADING = ["arm", "verdict", "against_bar", "bar_low", "bar_high"]


def in_points(verdicts: pd.DataFrame, first: Sequence[str] = ()) -> pd.DataFrame:
    """The table of `statistics.verdicts` with shares as per cent and points; the word and the
    difference come first, as do the arms named in `first`."""
    shares = verdicts.columns[verdicts.columns.str.contains("against|low|high|accuracy")]
    table = verdicts.assign(**(100 * verdicts[shares])).round(3)
    table = table.sort_values("arm", key=lambda arm: ~arm.isin(first), kind="stable")
    return table[LEADING + [name for name in table if name not in LEADING]].reset_index(drop=True)


def scores(predictions: Predictions) -> pd.DataFrame:
    """Every score by lesion, folds pooled, mean of seeds: a row an arm, a column a metric."""
    table = score_table(predictions).query("fold == 'all'")
    wide = table.pivot_table("value", "arm", "metric", dropna=False)
    return wide.reindex(predictions.arms)


def by_arm(
    predictions: Predictions, arms: Sequence[str]
) -> tuple[dict[str, np.ndarray], dict[str, pd.DataFrame]]:
    """Confusion matrix (K, K) and recalls of each arm, by test lesion, of its first training."""
    lesions = lesion_level(predictions)
    once, classes = one_replicate(lesions), predictions.classes
    matrices, found = {}, {}
    for arm in arms:
        index = np.flatnonzero(once.table["arm"] == arm)
        label, guess = once.table["label"].to_numpy()[index], once.softmax[index].argmax(1)
        matrices[arm] = confusion(label, guess, len(classes))
        found[arm] = recalls(label, guess, classes)
    return matrices, found


def given(arms: Sequence[Arm], real: np.ndarray, made: np.ndarray, classes: int) -> pd.DataFrame:
    """arm, wanted, given: extra images of all classes that an arm asks for beside training images
    with the labels `real`, and how many of them a set with the labels `made` holds. Without arms
    that show nothing else: they take all."""
    rows = [
        (
            arm.name,
            wanted(real, arm.dose, classes).sum(),
            top_up(real, made, arm.dose, classes).sum(),
        )
        for arm in arms
        if arm.extra and arm.place != "alone"
    ]
    return pd.DataFrame(rows, columns=["arm", "wanted", "given"])


def arm_intervals(study: Study) -> pd.DataFrame:
    """arm, balanced_accuracy, low, high: each arm alone, with its 95 % interval. Two arms are
    compared by their paired difference (`statistics.contrasts`), not by these."""
    rows = [
        (arm, value, *interval(draws(study, study.arms[arm].hits)))
        for arm, value in study.observed.items()
    ]
    return pd.DataFrame(rows, columns=["arm", "balanced_accuracy", "low", "high"])


def learned_from(arms: Sequence[Arm], study: Study, lesions: int) -> pd.DataFrame:
    """lesions, and the rows of `arm_intervals` of the arms that learn from a share of `lesions`
    training lesions, the fewest first."""
    ordered = sorted(arms, key=lambda arm: arm.share)
    table = arm_intervals(study).set_index("arm").loc[[arm.name for arm in ordered]]
    return table.reset_index().assign(lesions=[round(arm.share * lesions) for arm in ordered])
