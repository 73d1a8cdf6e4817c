"""The bar is chosen on validation lesions, and no test lesion can change it."""

import numpy as np
import pandas as pd
import pytest
from small_lesions import CLASSES

from nbhelpers import tuning
from nbhelpers.errors import MetricError
from nbhelpers.predictions import COLUMNS, Predictions, lesion_level, lesion_recall

COUNTS = {"validation": (80, 30, 12), "test": (200, 60, 24)}


def made_up(skill: dict[str, float], bias: float = 0.0, seed: int = 0) -> Predictions:
    """Arms whose logits know the class by `skill`, and lean to the frequent classes by `bias`."""
    rng, rows, softmax = np.random.default_rng(seed), [], []
    for arm, known in skill.items():
        for part, counts in COUNTS.items():
            label = np.repeat([0, 1, 2], counts)
            prior = np.bincount(label) / len(label)
            logit = rng.normal(size=(len(label), 3)) + known * np.eye(3)[label]
            logit = logit + bias * np.log(prior)
            softmax.append(np.exp(logit) / np.exp(logit).sum(1, keepdims=True))
            names = [f"{part}{i}" for i in range(len(label))]
            rows += [(n, n, c, 0, part, arm, -1, 0) for n, c in zip(names, label, strict=True)]
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    return Predictions(table, np.concatenate(softmax).astype(np.float32), CLASSES)


def balanced(predictions: Predictions, part: str = "test") -> dict[str, float]:
    lesions = lesion_level(predictions, part)
    return {
        arm: lesion_recall(
            rows["label"].to_numpy(), rows["group_id"].to_numpy(), lesions.softmax[rows.index]
        ).mean()
        for arm, rows in lesions.table.groupby("arm", sort=False)
    }


def test_the_best_arm_on_validation_is_the_bar():
    found = made_up({"weak": 0.5, "strong": 3.0, "middle": 1.5})
    table = tuning.ladder(found)
    assert table["arm"].tolist() == ["strong", "middle", "weak"]
    assert table["tied"].tolist() == [True, False, False]
    assert tuning.best(table) == "strong"
    scores = balanced(found, "validation")
    assert table.set_index("arm")["as trained"].to_dict() == pytest.approx(scores)


def test_no_test_lesion_decides():
    found = made_up({"weak": 0.5, "strong": 3.0})
    test = (found.table["part"] == "test").to_numpy()
    softmax = found.softmax.copy()
    softmax[test] = 1 - softmax[test]
    other = Predictions(found.table, softmax, found.classes)
    pd.testing.assert_frame_equal(tuning.ladder(found), tuning.ladder(other))
    seen = ~test
    one, two = (tuning.adjusted(p).softmax[seen] for p in (found, other))
    assert np.array_equal(one, two)


def test_a_lean_to_frequent_classes_is_taken_away_as_far_as_lesions_show_it():
    leaning, upright = made_up({"arm": 2.0}, bias=1.0), made_up({"arm": 2.0})
    table = tuning.ladder(leaning)
    assert table["adjusted"][0] > table["as trained"][0] + 0.02
    after = balanced(tuning.adjusted(leaning))["arm"]
    assert after > balanced(leaning)["arm"] + 0.02
    assert after <= balanced(upright)["arm"] + 0.02
    rows = tuning.adjusted(leaning).softmax.sum(1)
    assert rows == pytest.approx(1, abs=1e-5)


def test_what_does_not_lean_is_left_nearly_alone():
    powers = []
    for seed in range(20):
        found = made_up({"arm": 2.0}, seed=seed)
        seen = (found.table["part"] == "validation").to_numpy()
        label, groups = (found.table[n].to_numpy()[seen] for n in ("label", "group_id"))
        prior = tuning.class_prior(label, groups, 3)
        powers.append(tuning.best_power(label, groups, found.softmax[seen], prior))
    assert abs(np.mean(powers)) < 0.15


def test_of_powers_that_cannot_be_told_apart_the_mildest_is_taken():
    mildest, most = [], []
    for seed in range(20):
        found = made_up({"arm": 2.0}, bias=1.0, seed=seed)
        seen = (found.table["part"] == "validation").to_numpy()
        label, groups = (found.table[n].to_numpy()[seen] for n in ("label", "group_id"))
        prior, softmax = tuning.class_prior(label, groups, 3), found.softmax[seen]

        def right(power: float, known=(label, groups, softmax, prior)) -> float:
            label, groups, softmax, prior = known
            return lesion_recall(label, groups, tuning.adjust(softmax, prior**power)).mean()

        mildest.append(tuning.best_power(label, groups, softmax, prior))
        most.append(max(tuning.POWERS, key=right))
        assert right(mildest[-1]) > right(most[-1]) - 0.06
    assert 0.3 < np.mean(mildest) < np.mean(most) - 0.1


def test_the_best_of_equals_is_the_one_that_orders_lesions_best():
    """Both are right about as often; one knows more, and has a lean that hides it."""
    weak, strong = made_up({"upright": 2.0}), made_up({"leaning": 2.3}, bias=0.7)
    table = tuning.ladder(
        Predictions(
            pd.concat([weak.table, strong.table], ignore_index=True),
            np.concatenate([weak.softmax, strong.softmax]),
            CLASSES,
        )
    )
    scores = table.set_index("arm")
    assert scores["tied"].all() and tuning.best(table) == "leaning"
    assert scores["macro_auc"]["leaning"] > scores["macro_auc"]["upright"] + 0.01
    assert scores["as trained"]["leaning"] < scores["as trained"]["upright"]


@pytest.mark.parametrize(("more", "tied"), [(0, True), (1, True), (2, True), (12, False)])
def test_one_standard_error_is_what_it_says(more, tied):
    """Of fifty lesions a class the first candidate misses 0 to 4, the second 5 to 9 and `more`."""
    place, index = np.tile(np.arange(50), 2), np.repeat([0, 1], 50)
    first, second = place >= 5, (place < 5) | (place >= 10 + more)
    scores = pd.DataFrame({"first": 1.0 * first, "second": 1.0 * second}, index=index)
    difference = (1.0 * first - second)[:50]
    error = np.sqrt(2 * difference.var(ddof=1) / 50) / 2
    assert (difference.mean() <= error) == tied
    assert ("second" in tuning.indistinct(scores)) == tied


def test_a_power_is_not_praised_for_its_own_lesions():
    gains = []
    for seed in range(30):
        table = tuning.ladder(made_up({"arm": 1.0}, seed=seed))
        gains.append(table["adjusted"][0] - table["as trained"][0])
    assert np.mean(gains) < 0.005  # tuned and praised on the same lesions it would be above


def test_adjusting_is_division_by_the_prior():
    softmax, prior = np.array([[0.7, 0.2, 0.1]]), np.array([0.8, 0.15, 0.05])
    by_hand = softmax / prior
    assert tuning.adjust(softmax, prior) == pytest.approx(by_hand / by_hand.sum())
    assert tuning.adjust(softmax, prior**0.0) == pytest.approx(softmax)


def test_a_class_without_validation_lesions_is_left_out_and_counted():
    found = made_up({"weak": 0.5, "strong": 3.0})
    lost = (found.table["part"] == "validation") & (found.table["label"] == 2)
    table = tuning.ladder(found.where(~lost.to_numpy()))
    assert table["classes"].tolist() == [2, 2] and tuning.ladder(found)["classes"][0] == 3
    assert tuning.best(table) == "strong" and table.notna().all(axis=None)


def test_a_ladder_without_arms_is_refused():
    found = made_up({"arm": 1.0})
    test = (found.table["part"] == "test").to_numpy()
    with pytest.raises(MetricError, match="no arm has validation predictions"):
        tuning.best(tuning.ladder(found.where(test)))


def test_what_was_chosen_before_serves_trainings_without_validation_lesions():
    found = made_up({"bar": 2.0}, bias=1.0)
    divisors = tuning.chosen(found, "bar")
    assert (
        list(divisors) == [0] and divisors[0][0] > divisors[0][2]
    )  # the frequent, divided by more
    test = (found.table["part"] == "test").to_numpy()
    refitted = tuning.adjusted(found.where(test), divisors)
    assert np.allclose(refitted.softmax, tuning.adjusted(found).softmax[test])
