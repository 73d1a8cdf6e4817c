"""Saved softmax and its scores by lesion. No torch: every table is recomputed from
`predictions.npz` wherever numpy runs.
"""

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.special import ndtri
from sklearn.metrics import precision_recall_fscore_support

from .errors import DataError
from .files import BROKEN_ARRAYS, write_atomic
from .scores import auc, average_precision, brier, calibration_error, sensitivity

CONFIDENCE = 0.95
SENSITIVE = ("mel", "malignant")  # classes that must not be missed
RARE = ("df",)  # beside these, classes whose precision-recall curve is reported
COLUMNS = (
    "image_id",
    "group_id",
    "label",
    "fold",
    "part",
    "arm",
    "generator_seed",
    "classifier_seed",
)
CELL = ["arm", "generator_seed", "classifier_seed"]


@dataclass(frozen=True)
class Predictions:
    """One row an image (or lesion), arm and replicate: `table` has `COLUMNS`, `softmax` float32 (N,
    K), `label` counts in `classes`.

    `part` is test or validation; `generator_seed` is -1 for an arm without a generator.
    """

    table: pd.DataFrame
    softmax: np.ndarray
    classes: tuple[str, ...]

    @property
    def arms(self) -> list[str]:
        return list(dict.fromkeys(self.table["arm"]))

    def where(self, keep: np.ndarray) -> "Predictions":
        """The rows where the boolean array `keep` is true."""
        return Predictions(
            self.table[keep].reset_index(drop=True), self.softmax[keep], self.classes
        )


def save_predictions(path: Path, predictions: Predictions) -> Path:
    """`path`, one `.npz` of plain arrays: `COLUMNS`, softmax, classes."""
    columns = {name: predictions.table[name].to_numpy() for name in COLUMNS}
    text = ("image_id", "group_id", "part", "arm")
    columns |= {name: columns[name].astype(str) for name in text}
    buffer = io.BytesIO()
    np.savez_compressed(
        buffer, **columns, softmax=predictions.softmax, classes=np.array(predictions.classes, str)
    )
    return write_atomic(path, buffer.getvalue())


def load_predictions(path: Path) -> Predictions:
    """The predictions in `path`. DataError when it is missing, damaged or holds pickled objects."""
    try:
        with np.load(path, allow_pickle=False) as file:
            table = pd.DataFrame({name: file[name] for name in COLUMNS})
            return Predictions(table, file["softmax"], tuple(file["classes"].tolist()))
    except FileNotFoundError:
        raise DataError(f"{path} is missing: run notebook 22 first.") from None
    except BROKEN_ARRAYS as error:
        raise DataError(
            f"{path} is not a file of predictions ({error}): delete it, run notebook 22 again."
        ) from error


def committees(predictions: Predictions) -> Predictions:
    """One training an arm: the softmax of an image averaged over all of the arm's seeds, generators
    and classifiers (a deep ensemble: Lakshminarayanan et al. 2017, arXiv:1612.01474)."""
    grouped = predictions.table.groupby(["arm", "part", "fold", "image_id"], sort=False)
    number = grouped.ngroup().to_numpy()
    first = predictions.table.iloc[np.unique(number, return_index=True)[1]]
    table = first.assign(generator_seed=-1, classifier_seed=0).reset_index(drop=True)
    softmax = _means(predictions.softmax, number).astype(np.float32)
    return Predictions(table, softmax, predictions.classes)


def lesion_level(predictions: Predictions, part: str = "test") -> Predictions:
    """One row a lesion: softmax averaged over its images. Sorted by arm (in order of appearance),
    seeds, fold, lesion.
    """
    chosen = predictions.where((predictions.table["part"] == part).to_numpy())
    keys = [*CELL, "fold", "group_id", "label"]
    arm = pd.Categorical(chosen.table["arm"], predictions.arms, ordered=True)
    grouped = chosen.table.assign(arm=arm).groupby(keys, observed=True, sort=True)
    softmax = _means(chosen.softmax, grouped.ngroup().to_numpy())
    table = grouped.size().reset_index().drop(columns=0).assign(part=part, image_id="")
    table["arm"] = table["arm"].astype(str)
    return Predictions(table[list(COLUMNS)], softmax, predictions.classes)


def wilson(hits: int, count: int) -> tuple[float, float]:
    """Wilson's 95 % interval (1927) of a share of `hits` in `count`; NaN for no observations."""
    if count == 0:
        return float("nan"), float("nan")
    z = ndtri(0.5 + CONFIDENCE / 2)
    share, spread = hits / count, z * z / count
    centre = (share + spread / 2) / (1 + spread)
    half = z / (1 + spread) * np.sqrt(share * (1 - share) / count + spread / (4 * count))
    return float(max(0.0, centre - half)), float(min(1.0, centre + half))


def recalls(label: np.ndarray, guess: np.ndarray, classes: tuple[str, ...]) -> pd.DataFrame:
    """Recall of each class with its support (lesions) and Wilson interval; NaN and the reason for a
    class that is not there.
    """
    rows = []
    for c, name in enumerate(classes):
        support, hits = int((label == c).sum()), int(((label == c) & (guess == c)).sum())
        reason = "" if support else f"no lesion of {name} in this test set"
        rows.append(
            (name, support, hits / support if support else np.nan, *wilson(hits, support), reason)
        )
    return pd.DataFrame(rows, columns=["class", "support", "recall", "low", "high", "reason"])


def scores(label: np.ndarray, softmax: np.ndarray, classes: tuple[str, ...]) -> pd.DataFrame:
    """metric, value, reason: balanced_accuracy, macro_f1, macro_auc, accuracy, majority_share, ece,
    brier, recall and precision a class; then, of those of `SENSITIVE` and `RARE` that the task has,
    sensitivity at 90 % specificity and average precision (PR-AUC).

    `label` int (N,), `softmax` (N, K) with rows that sum to 1. What is not defined, such as a mean
    over classes when one has no lesion, is NaN with the reason.
    """
    guess = softmax.argmax(1)
    table = recalls(label, guess, classes)
    support, numbers = table["support"].to_numpy(), range(len(classes))
    precision, _, f1, _ = precision_recall_fscore_support(
        label, guess, labels=numbers, zero_division=0
    )
    areas = [auc(label == c, softmax[:, c]) for c in numbers]
    reason = "; ".join(filter(None, table["reason"]))
    rows = [
        ("balanced_accuracy", table["recall"].mean(skipna=False), reason),
        ("macro_f1", np.where(support > 0, f1, np.nan).mean(), reason),
        ("macro_auc", np.mean(areas), reason),
        ("accuracy", float((guess == label).mean()), ""),
        ("majority_share", float(np.bincount(label).max() / len(label)), ""),
        ("ece", calibration_error(label, softmax), ""),
        ("brier", brier(label, softmax), ""),
    ]
    for c, name in enumerate(classes):
        rows.append((f"recall_{name}", table["recall"][c], table["reason"][c]))
        never = "" if (guess == c).any() else f"{name} is never predicted"
        rows.append((f"precision_{name}", np.nan if never else precision[c], never))
    for c, name in enumerate(classes):
        positive, score = label == c, softmax[:, c]
        why = table["reason"][c] or (f"every lesion is {name} here" if positive.all() else "")
        if name in SENSITIVE:
            rows.append((f"sensitivity_{name}_at_90", sensitivity(positive, score), why))
        if name in (*SENSITIVE, *RARE):
            rows.append((f"average_precision_{name}", average_precision(positive, score), why))
    return pd.DataFrame(rows, columns=["metric", "value", "reason"])


def score_table(predictions: Predictions) -> pd.DataFrame:
    """arm, fold, seeds, metric, value, reason by lesion: every fold of every replicate, and its
    folds pooled ("all").
    """
    lesions = lesion_level(predictions)
    tables = []
    for (arm, made, trained), rows in lesions.table.groupby(CELL, sort=False):
        folds = {str(fold): part.index for fold, part in rows.groupby("fold")} | {"all": rows.index}
        for fold, index in folds.items():
            found = scores(
                rows["label"].loc[index].to_numpy(), lesions.softmax[index], lesions.classes
            )
            seeds = f"classifier {trained}" + (f", generator {made}" if made >= 0 else "")
            tables.append(found.assign(arm=arm, fold=fold, seeds=seeds))
    return pd.concat(tables, ignore_index=True)[
        ["arm", "fold", "seeds", "metric", "value", "reason"]
    ]


def one_replicate(predictions: Predictions) -> Predictions:
    """The rows of each arm's first generator and classifier seed: what one training did."""
    seeds = ["generator_seed", "classifier_seed"]
    first = predictions.table.groupby("arm")[seeds].transform("min")
    return predictions.where((predictions.table[seeds] == first).all(axis=1).to_numpy())


def confusion(label: np.ndarray, guess: np.ndarray, classes: int) -> np.ndarray:
    """Counts int64 (K, K): true class by predicted class."""
    return np.bincount(label * classes + guess, minlength=classes**2).reshape(classes, classes)


def lesion_recall(label: np.ndarray, groups: np.ndarray, softmax: np.ndarray) -> np.ndarray:
    """Recall by lesion of each class (K,): softmax (N, K) averaged over a lesion's images. NaN for
    a class that is not there."""
    found = lesion_hits(label, groups, softmax).groupby(level=0).mean()
    return found.reindex(range(softmax.shape[1])).to_numpy()


def lesion_hits(label: np.ndarray, groups: np.ndarray, softmax: np.ndarray) -> pd.Series:
    """1 for each lesion whose class is named by its images' mean softmax (N, K), else 0: float
    (L,), the class as index."""
    true, mean = _by_lesion(label, groups, softmax)
    return pd.Series((mean.argmax(1) == true).astype(float), index=true)


def balanced_log_loss(label: np.ndarray, groups: np.ndarray, softmax: np.ndarray) -> float:
    """-log of the softmax (N, K) that each lesion's class gets, averaged over its images; mean over
    the lesions of a class, then over the classes that are there."""
    true, mean = _by_lesion(label, groups, softmax)
    right = mean[np.arange(len(true)), true]
    losses = pd.Series(-np.log(np.maximum(right, 1e-12)), index=true)
    return float(losses.groupby(level=0).mean().mean())


def _by_lesion(
    label: np.ndarray, groups: np.ndarray, softmax: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Labels (L,) and mean softmax (L, K) of the lesions."""
    first, number = np.unique(groups, return_index=True, return_inverse=True)[1:]
    return label[first], _means(softmax, number)


def _means(softmax: np.ndarray, number: np.ndarray) -> np.ndarray:
    """Mean softmax (G, K) of the rows of each group; `number` (N,) counts groups from 0."""
    counts = np.bincount(number)
    sums = np.zeros((len(counts), softmax.shape[1]))
    np.add.at(sums, number, softmax)
    return sums / counts[:, None]
