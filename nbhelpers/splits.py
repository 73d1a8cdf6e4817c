"""Splits by lesion: photographs of one lesion never stand on both sides."""

import hashlib
from collections.abc import Iterable

import numpy as np
import pandas as pd

from .config import FOLDS, mix
from .errors import DataError, LeakageError, UsageError

VALIDATION_SHARE = 0.15
NOTED = "validation_of"  # column: the folds whose validation part the row is in, as a tuple


def assign_folds(table: pd.DataFrame, folds: int = FOLDS, seed: int = 0) -> np.ndarray:
    """Fold of each row, int64 (N,): lesions dealt in turn within class x {one image, several}.

    `table` has `group_id` and `dx`. DataError when a class has fewer lesions than folds.
    """
    groups = table.groupby("group_id", sort=True)["dx"].agg(["first", "size"])
    lesions = groups["first"].value_counts().sort_index()
    if (lesions < folds).any():
        dx, count = lesions.idxmin(), lesions.min()
        fewer = f"pass folds={count}" if count > 1 else "leave the class out"
        raise DataError(
            f"class {dx!r} has {count} lesions and {folds} folds were asked for: {fewer}, or bring "
            "images of more lesions of it."
        )
    fold = _deal(groups, folds, seed)
    return table["group_id"].map(fold).to_numpy(np.int64)


def _deal(groups: pd.DataFrame, parts: int, seed: int) -> pd.Series:
    """A part 0..parts-1 for each group: shuffled, largest first, dealt on from where the last
    stratum ended."""
    shuffled = groups.iloc[np.random.default_rng(mix(seed, parts)).permutation(len(groups))]
    shuffled = shuffled.assign(several=shuffled["size"] > 1)
    order = shuffled.sort_values(
        ["first", "several", "size"], ascending=[True, True, False], kind="stable"
    )
    return pd.Series(np.arange(len(order)) % parts, index=order.index)


def parts(table: pd.DataFrame, fold: int) -> dict[str, np.ndarray]:
    """Row numbers of `train`, `validation` (15 % of the training lesions of each class, unless the
    table is `noted`) and `test` (the fold itself)."""
    known = sorted(table["fold"].unique().tolist())
    if fold not in known:
        raise UsageError(f"fold {fold!r} is not in this table: choose one of {known}.")
    if NOTED in table:
        held_out = np.array([fold in folds for folds in table[NOTED]], bool)
    else:
        outside = table[table["fold"] != fold]
        groups = outside.groupby("group_id", sort=True)["dx"].agg(["first", "size"])
        share = _deal(groups, round(1 / VALIDATION_SHARE), seed=1000 + fold)
        held_out = table["group_id"].map(share).eq(0).to_numpy()
    test = table["fold"].eq(fold).to_numpy()
    return {
        "train": np.flatnonzero(~test & ~held_out),
        "validation": np.flatnonzero(~test & held_out),
        "test": np.flatnonzero(test),
    }


def noted(table: pd.DataFrame) -> pd.DataFrame:
    """The table with its parts in the column `NOTED`: `parts` gives each lesion the same one after
    rows were left out or classes renamed, and so what a generator has not seen stays the same."""
    inside = {f: set(parts(table, f)["validation"].tolist()) for f in sorted(set(table["fold"]))}
    folds = [tuple(f for f in inside if row in inside[f]) for row in range(len(table))]
    return table.assign(**{NOTED: folds})


def tail_classes(counts: np.ndarray) -> np.ndarray:
    """Numbers of the classes with fewer images than the median class; where no class has fewer,
    the number of the smallest. `counts` int (K,)."""
    tail = np.flatnonzero(counts < np.median(counts))
    return tail if len(tail) else np.array([np.argmin(counts)])


def groups_hash(group_ids: Iterable[str]) -> str:
    """SHA-256 of the distinct lesion ids, whatever their order."""
    return hashlib.sha256("\n".join(sorted(set(group_ids))).encode()).hexdigest()


def refuse_overlap(training: Iterable[str], evaluation: Iterable[str], what: str) -> None:
    """Raises LeakageError when `what` was trained on a lesion that it is now scored on."""
    shared = sorted(set(training) & set(evaluation))
    if shared:
        raise LeakageError(
            f"{what} was trained on {len(shared)} lesions of the evaluation set "
            f"({', '.join(shared[:3])}…): "
            "train it on the same fold's training part, or evaluate on another fold."
        )
