"""Tables as people read them say what the predictions say."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from nbhelpers import study_tables
from nbhelpers.arms import EARLIER, LADDER, around, doses, fewer_lesions
from nbhelpers.power import simulated
from nbhelpers.predictions import COLUMNS, Predictions
from nbhelpers.statistics import verdicts

BAR = LADDER[1]


def test_verdicts_in_points_lead_with_the_word():
    found = simulated(np.random.default_rng(0), {"placebo": 0.0, "synthetic": 0.1, "other": 0.0})
    raw = verdicts(found, "bar")
    table = study_tables.in_points(raw, ["synthetic"])
    assert table["arm"].tolist() == ["synthetic", "other"]
    assert list(table.columns[:5]) == ["arm", "verdict", "against_bar", "bar_low", "bar_high"]
    assert sorted(table.columns) == sorted(raw.columns)
    one = raw.set_index("arm").loc["synthetic"]
    assert table["against_bar"][0] == pytest.approx(100 * one["against_bar"], abs=0.001)
    assert table["p_holm"][0] == pytest.approx(one["p_holm"], abs=0.001)  # no share


def test_each_arm_is_scored_on_its_first_training():
    rows, softmax = [], []
    for arm, seed, guesses in (("a", 0, [0, 0, 1]), ("a", 1, [1, 1, 1]), ("b", 0, [0, 1, 1])):
        for lesion, (label, guess) in enumerate(zip([0, 0, 1], guesses, strict=True)):
            name = f"L{lesion}"
            rows.append((name, name, label, 0, "test", arm, -1, seed))
            softmax.append(np.eye(2)[guess])
    found = Predictions(
        pd.DataFrame(rows, columns=list(COLUMNS)), np.array(softmax, np.float32), ("nv", "mel")
    )
    matrices, recalls = study_tables.by_arm(found, ["b", "a"])
    assert matrices["a"].tolist() == [[2, 0], [0, 1]] and matrices["b"].tolist() == [[1, 1], [0, 1]]
    assert recalls["b"]["recall"].tolist() == [0.5, 1.0] and list(recalls) == ["b", "a"]


def test_intervals_hold_the_arms_own_score():
    found = simulated(np.random.default_rng(1), {"synthetic": 0.0})
    table = study_tables.arm_intervals(found).set_index("arm")
    for arm, score in found.observed.items():
        low, value, high = table.loc[arm, ["low", "balanced_accuracy", "high"]]
        assert value == score and low < score < high and high - low < 0.1


def test_a_learning_curve_is_ordered_by_lesions():
    shares = fewer_lesions(BAR)
    study = simulated(np.random.default_rng(2), {arm.name: 0.0 for arm in shares})
    study = replace(study, arms={BAR.name if k == "bar" else k: v for k, v in study.arms.items()})
    table = study_tables.learned_from([BAR, *shares], study, 5122)
    assert table["lesions"].tolist() == [640, 1280, 2561, 5122]
    assert table["arm"].tolist() == ["real_12.5", "real_25", "real_50", "real_classic"]


def test_a_set_too_small_for_an_arm_is_told():
    real, made = np.repeat([0, 1, 2], [90, 40, 10]), np.repeat([0, 1, 2], 15)
    chosen = [*around(BAR), *EARLIER, *doses(BAR), BAR]
    table = study_tables.given(chosen, real, made, 3).set_index("arm")
    assert "synthetic_only" not in table.index and BAR.name not in table.index
    assert table.loc["synthetic"].tolist() == [10, 10]
    assert table.loc["synthetic_x5"].tolist() == [50, 15]
    assert table.loc["earlier_500"].tolist() == [1500, 45]
    assert table.loc["earlier_balanced"].tolist() == [130, 30]


def test_scores_have_a_row_an_arm_in_the_order_of_training():
    rows = [("i", "A", 0, 0, "test", arm, -1, seed) for arm in ("b", "a") for seed in (0, 1)]
    softmax = np.array([[1, 0], [0, 1], [1, 0], [1, 0]], np.float32)
    found = Predictions(pd.DataFrame(rows, columns=list(COLUMNS)), softmax, ("nv", "mel"))
    table = study_tables.scores(found)
    assert table.index.tolist() == ["b", "a"] and table["accuracy"].tolist() == [0.5, 1.0]
    assert np.isnan(table.loc["a", "balanced_accuracy"])  # no melanoma was tested
