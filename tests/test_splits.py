import numpy as np
import pandas as pd
import pytest

from nbhelpers import splits
from nbhelpers.errors import DataError, LeakageError, UsageError


def lesions(counts: dict[str, int], seed: int = 0) -> pd.DataFrame:
    """A table of `counts[dx]` lesions a class, one to four photographs each."""
    random = np.random.default_rng(seed)
    rows = [
        (f"{dx}{i}", dx)
        for dx, n in counts.items()
        for i in range(n)
        for _ in range(random.integers(1, 5))
    ]
    table = pd.DataFrame(rows, columns=["group_id", "dx"])
    return table.assign(fold=splits.assign_folds(table))


TABLE = lesions({"nv": 300, "mel": 60, "df": 7})


def test_no_lesion_is_in_two_folds():
    assert TABLE.groupby("group_id")["fold"].nunique().max() == 1


def test_every_class_is_in_every_fold_in_equal_numbers():
    per_fold = pd.crosstab(TABLE["fold"], TABLE["dx"], values=TABLE["group_id"], aggfunc="nunique")
    assert per_fold.shape == (5, 3)
    assert (per_fold.max() - per_fold.min()).max() <= 2
    assert per_fold["df"].min() >= 1


def test_images_are_balanced_although_lesions_are_dealt():
    sizes = TABLE["fold"].value_counts()
    assert sizes.max() / sizes.min() < 1.1


def test_the_order_of_rows_does_not_matter():
    shuffled = TABLE.drop(columns="fold").sample(frac=1, random_state=1)
    again = shuffled.assign(fold=splits.assign_folds(shuffled)).sort_index()
    assert again["fold"].equals(TABLE["fold"])


def test_too_few_lesions_propose_fewer_folds():
    table = lesions({"nv": 50, "df": 7})
    with pytest.raises(
        DataError, match="'df' has 7 lesions and 10 folds were asked for: pass folds=7"
    ):
        splits.assign_folds(table, folds=10)


def test_parts_are_disjoint_by_lesion_and_cover_everything():
    part = splits.parts(TABLE, fold=2)
    groups = {name: set(TABLE["group_id"].iloc[rows]) for name, rows in part.items()}
    assert not groups["train"] & groups["validation"]
    assert not (groups["train"] | groups["validation"]) & groups["test"]
    assert sorted(np.concatenate(list(part.values()))) == list(range(len(TABLE)))
    share = len(groups["validation"]) / len(groups["validation"] | groups["train"])
    assert abs(share - splits.VALIDATION_SHARE) < 0.02


def test_an_unknown_fold_is_refused():
    with pytest.raises(
        UsageError, match=r"fold 7 is not in this table: choose one of \[0, 1, 2, 3, 4\]"
    ):
        splits.parts(TABLE, 7)


def test_a_planted_leak_is_caught_and_a_clean_split_is_not():
    part = splits.parts(TABLE, 0)
    train, test = (set(TABLE["group_id"].iloc[part[name]]) for name in ("train", "test"))
    splits.refuse_overlap(train, test, "the generator")
    with pytest.raises(LeakageError, match="the generator was trained on 1 lesions"):
        splits.refuse_overlap(train | {next(iter(test))}, test, "the generator")


def test_the_hash_of_groups_ignores_order_and_repeats():
    assert splits.groups_hash(["b", "a", "a"]) == splits.groups_hash(["a", "b"])
    assert splits.groups_hash(["a"]) != splits.groups_hash(["b"])


def test_the_tail_is_below_the_median_or_the_smallest_class():
    assert splits.tail_classes(np.array([100, 5, 30, 40, 7])).tolist() == [1, 4]
    assert splits.tail_classes(np.array([40, 40])).tolist() == [0]
    assert splits.tail_classes(np.array([40, 40, 39])).tolist() == [2]
