"""The best real-only recipe, chosen on validation lesions alone. (With several folds those of one
are test lesions of another: that can favour the bar a little, and never a generator.)

Also post-hoc logit adjustment (Menon et al. 2021, arXiv:2007.07314, eq. 9): softmax divided by the
class prior to the power tau, which costs nothing and often gains more than a new sampler.
"""

import numpy as np
import pandas as pd

from .errors import MetricError
from .predictions import CELL, Predictions, lesion_hits, lesion_level, lesion_recall
from .scores import auc

POWERS = np.round(np.arange(-0.5, 1.55, 0.1), 1)  # of the class prior; 0 changes nothing
HALVES = 2


def ladder(predictions: Predictions) -> pd.DataFrame:
    """arm, as trained, adjusted, macro_auc, tied, classes: balanced accuracy and area under the ROC
    curve by lesion on validation, mean over folds and seeds, and over how many classes: one without
    a validation lesion is left out. The bar is first.

    `adjusted` is measured on one half of the validation lesions with the power that suits the other
    half, and the other way round: a power is not praised for lesions that it was chosen on. Of the
    arms whose `adjusted` cannot be told from the best (`tied`), those come first that order the
    lesions best, by AUC, which rests on all pairs of lesions and not on a dozen of a rare class.
    """
    rows, hits = [], {}
    for arm, cells in _cells(predictions, "validation").groupby("arm", sort=False):
        parts, found = list(cells["part"]), []
        for label, groups, softmax in parts:
            found.append(lesion_hits(label, groups, _crossed(label, groups, softmax)))
        hits[arm] = pd.concat(found)
        first = [np.nanmean(lesion_recall(*part)) for part in parts]
        areas = [_macro_auc(label, softmax) for label, _, softmax in parts]
        second = [one.groupby(level=0).mean().mean() for one in found]
        classes = min(len(np.unique(label)) for label, _, _ in parts)
        rows.append((arm, *(np.mean(each) for each in (first, second, areas)), classes))
    names = ["arm", "as trained", "adjusted", "macro_auc", "classes"]
    table = pd.DataFrame(rows, columns=names)
    tied = indistinct(pd.DataFrame(hits)) if hits else []
    table.insert(4, "tied", table["arm"].isin(tied))
    order = table["macro_auc"].where(table["tied"], table["adjusted"])
    return table.iloc[np.lexsort((-order, ~table["tied"]))].reset_index(drop=True)


def best(table: pd.DataFrame) -> str:
    """The name of the bar in a table of `ladder`."""
    if table.empty:
        raise MetricError("no arm has validation predictions: run the comparison to its end.")
    return table["arm"].iloc[0]


def indistinct(scores: pd.DataFrame) -> pd.Index:
    """The columns of `scores` (a row a lesion, its class as index; higher is better) that cannot be
    told from the best one: whose mean over classes is below it by at most one standard error of
    that difference (the rule of Breiman et al. 1984, Classification and Regression Trees, section
    3.4.3). The best one is among them."""
    best = scores[scores.groupby(level=0).mean().mean().idxmax()]
    short = (-scores).add(best, axis=0).groupby(level=0)
    error = np.sqrt((short.sem().fillna(0.0) ** 2).sum()) / short.ngroups
    return scores.columns[short.mean().mean() <= error]


def adjusted(
    predictions: Predictions, divisors: dict[int, np.ndarray] | None = None
) -> Predictions:
    """The same with every training's softmax adjusted by the `best_power` of its validation
    lesions, or by its fold's of the `divisors` that were chosen before."""
    softmax = predictions.softmax.astype(np.float64)
    table = predictions.table
    for (*_, fold), rows in table.groupby([*CELL, "fold"], sort=False).groups.items():
        if divisors is None:
            seen = rows[table["part"].loc[rows] == "validation"]
            label, groups = (table[name].to_numpy()[seen] for name in ("label", "group_id"))
            divisor = _divisor(label, groups, softmax[seen])
        else:
            divisor = divisors[fold]
        softmax[rows] = adjust(softmax[rows], divisor)
    return Predictions(table, softmax.astype(np.float32), predictions.classes)


def chosen(predictions: Predictions, arm: str) -> dict[int, np.ndarray]:
    """What an arm's softmax is divided by (K,), fold by fold: the mean over its trainings of the
    prior to its `best_power`, to be used where all validation lesions have been learned from."""
    of_arm = (predictions.table["arm"] == arm) & (predictions.table["part"] == "validation")
    found = predictions.where(of_arm.to_numpy())
    divisors: dict[int, list[np.ndarray]] = {}
    for (*_, fold), rows in found.table.groupby([*CELL, "fold"], sort=False).groups.items():
        label, groups = (found.table[name].to_numpy()[rows] for name in ("label", "group_id"))
        divisors.setdefault(fold, []).append(_divisor(label, groups, found.softmax[rows]))
    return {fold: np.exp(np.mean(np.log(each), axis=0)) for fold, each in divisors.items()}


def _divisor(label: np.ndarray, groups: np.ndarray, softmax: np.ndarray) -> np.ndarray:
    prior = class_prior(label, groups, softmax.shape[1])
    return prior ** best_power(label, groups, softmax, prior)


def adjust(softmax: np.ndarray, divisor: np.ndarray) -> np.ndarray:
    """Softmax (N, K) divided by (K,), the class prior to a power; rows sum to 1 again."""
    turned = softmax / divisor
    return turned / turned.sum(1, keepdims=True)


def class_prior(label: np.ndarray, groups: np.ndarray, classes: int) -> np.ndarray:
    """Share of each class (K,) among lesions, half a lesion added to each: none is 0."""
    first = np.unique(groups, return_index=True)[1]
    count = np.bincount(label[first], minlength=classes) + 0.5
    return count / count.sum()


def best_power(
    label: np.ndarray, groups: np.ndarray, softmax: np.ndarray, prior: np.ndarray
) -> float:
    """The power of the prior nearest to 0 that the lesions cannot tell from the best (`indistinct`)
    by balanced accuracy. Its maximum alone is no guide: it jumps with each lesion of a rare class,
    and accuracy is given away for nothing.
    """
    hits = pd.DataFrame(
        {power: lesion_hits(label, groups, adjust(softmax, prior**power)) for power in POWERS}
    )
    return float(min(indistinct(hits), key=abs))


def _crossed(label: np.ndarray, groups: np.ndarray, softmax: np.ndarray) -> np.ndarray:
    """Softmax of lesions, adjusted by the power of the other half of them."""
    lesions = pd.DataFrame({"group": groups, "label": label}).drop_duplicates("group")
    half = dict(zip(lesions["group"], lesions.groupby("label").cumcount() % HALVES, strict=True))
    side = np.array([half[group] for group in groups])
    prior, turned = class_prior(label, groups, softmax.shape[1]), softmax.copy()
    for this in range(HALVES):
        mine, other = side == this, side != this
        power = best_power(label[other], groups[other], softmax[other], prior)
        turned[mine] = adjust(softmax[mine], prior**power)
    return turned


def _macro_auc(label: np.ndarray, softmax: np.ndarray) -> float:
    """Mean area under the ROC curve of one class against the rest, over the classes there are."""
    return float(np.mean([auc(label == c, softmax[:, c]) for c in np.unique(label)]))


def _cells(predictions: Predictions, part: str) -> pd.DataFrame:
    """arm and (label, groups, softmax) of each training's lesions of a part."""
    lesions = lesion_level(predictions, part)
    rows = []
    for (arm, *_), index in lesions.table.groupby([*CELL, "fold"], sort=False).groups.items():
        label, groups = (lesions.table[name].to_numpy()[index] for name in ("label", "group_id"))
        rows.append((arm, (label, groups, lesions.softmax[index])))
    return pd.DataFrame(rows, columns=["arm", "part"])
