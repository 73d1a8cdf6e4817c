import time

import numpy as np
import pandas as pd
import pytest

from nbhelpers import statistics
from nbhelpers.errors import MetricError, UsageError
from nbhelpers.predictions import Predictions
from nbhelpers.statistics import (
    QUICK,
    bootstrap,
    contrasts,
    detectable_difference,
    discordance,
    hits_by_arm,
    holm,
    interval,
    study,
    two_sided_p,
    verdict,
    verdicts,
)

CLASSES = ("nv", "mel", "df")
LESIONS = (120, 60, 60)


def made_up(gain=0.0, placebo=0.0, rng=0, folds=2, seeds=2, lesions=LESIONS, base=0.7):
    """Predictions whose synthetic and placebo arms truly beat the bar by `gain` and `placebo`.

    Lesions differ in difficulty, so arms agree more often than chance: what pairing is for.
    """
    rng = np.random.default_rng(rng)
    label = np.repeat(range(3), lesions)
    ease = rng.beta(2, 2, len(label)) - 0.5
    tables, softmax = [], []
    for arm, better in (("real_classic", 0.0), ("synthetic", gain), ("placebo", placebo)):
        for seed in range(seeds):
            hit = rng.random(len(label)) < np.clip(base + better + 0.5 * ease, 0, 1)
            guess = np.where(hit, label, (label + 1) % 3)
            table = pd.DataFrame({"label": label, "fold": np.arange(len(label)) % folds})
            ids = [f"L{i:04d}" for i in range(len(label))]
            made = -1 if arm == "real_classic" else 0
            tables.append(table.assign(image_id=ids, group_id=ids, part="test", arm=arm,
                                       generator_seed=made, classifier_seed=seed))  # fmt: skip
            softmax.append(np.eye(3, dtype=np.float32)[guess])
    return Predictions(pd.concat(tables, ignore_index=True), np.concatenate(softmax), CLASSES)


def test_verdict_words():
    above, below, small, wide = (0.001, 0.05), (-0.05, -0.001), (-0.019, 0.019), (-0.03, 0.01)
    assert verdict(above, above) == "gain"
    assert verdict(above, small) == "inconclusive"  # a gain that duplicates give too
    assert verdict((0.001, 0.019), small) == "equivalent"
    assert verdict(below, above) == "harm"
    assert verdict(small, wide) == "equivalent"
    assert verdict((-0.02, 0.01), small) == "inconclusive"  # the margin itself is outside
    assert verdict(wide, above) == "inconclusive"
    assert verdict((np.nan, np.nan), (np.nan, np.nan)) == "inconclusive"


def test_holm_by_hand():
    assert holm(np.array([0.04, 0.01, 0.03])) == pytest.approx([0.06, 0.03, 0.06])
    assert holm(np.array([0.6, 0.5])) == pytest.approx([1.0, 1.0])
    assert holm(np.array([0.02])) == pytest.approx([0.02])


def test_two_sided_p_counts_the_smaller_side():
    assert two_sided_p(np.r_[np.ones(97), -np.ones(2)]) == pytest.approx(2 * 3 / 100)
    assert two_sided_p(np.ones(99)) == pytest.approx(2 / 100)
    assert two_sided_p(np.zeros(99)) == 1.0
    assert np.isnan(two_sided_p(np.array([np.nan, 1])))


def test_observed_values_by_hand():
    found = made_up(lesions=(2, 2, 1), seeds=1, folds=1)
    found.softmax[:] = np.eye(3)[found.table["label"]]
    found.softmax[0] = [0, 1, 0]  # the bar misses one nv of two
    assert study(found, 10).observed == pytest.approx(
        {"real_classic": 5 / 6, "synthetic": 1, "placebo": 1}
    )


def naive(hits, label, resamples, rng):
    """Lesion by lesion, as the textbook does it."""
    values = np.empty((resamples, len(hits)))
    for b in range(resamples):
        rows = np.concatenate(
            [rng.choice(np.flatnonzero(label == c), (label == c).sum()) for c in range(3)]
        )
        recall = [
            [array[0, 0, rows][label[rows] == c].mean() for c in range(3)]
            for array in hits.values()
        ]
        values[b] = np.mean(recall, axis=1)
    return dict(zip(hits, values.T, strict=True))


def test_counting_patterns_is_resampling_lesions():
    hits, label = hits_by_arm(made_up(gain=0.05, seeds=1))
    fast = bootstrap(hits, label, 3, 4000, 0)
    slow = naive(hits, label, 1500, np.random.default_rng(1))
    for pair in (("synthetic", "real_classic"), ("synthetic", "placebo")):
        a, b = (draws[pair[0]] - draws[pair[1]] for draws in (fast, slow))
        assert a.mean() == pytest.approx(b.mean(), abs=0.004)
        assert a.std() == pytest.approx(b.std(), rel=0.1)


def test_seeds_widen_the_interval():
    rng = np.random.default_rng(0)
    label = np.repeat(range(3), 200)
    steady = rng.random(600) < 0.7
    one = {"a": steady[None, None], "b": steady[None, None]}
    assert bootstrap(one, label, 3, 500, 0)["a"].std() < 0.025
    luck = np.stack([rng.random(600) < p for p in (0.5, 0.7, 0.9)])
    many = {"a": luck[None], "b": luck[None]}
    draws = bootstrap(many, label, 3, 500, 0)
    assert draws["a"].std() > 0.06
    assert np.array_equal(
        draws["a"], draws["b"]
    )  # the same lesions and the same seeds for all arms


def test_the_same_seed_gives_the_same_intervals():
    found, before = made_up(0.03), np.random.get_state()[1].copy()
    first, same, other = (verdicts(study(found, 300, seed)) for seed in (0, 0, 1))
    pd.testing.assert_frame_equal(first, same)
    assert not first.equals(other)
    assert np.array_equal(before, np.random.get_state()[1])


def test_ten_thousand_resamples_of_ham10000_are_quick():
    rng = np.random.default_rng(0)
    label = np.repeat(range(7), [228, 327, 727, 73, 614, 5403, 98])
    hits = {name: rng.random((1, 2, 7470)) < 0.75 for name in "abcd"}
    start = time.process_time()
    assert len(bootstrap(hits, label, 7, 10_000, 0)["a"]) == 10_000
    assert time.process_time() - start < 20


def words(gain, placebo, studies=60, **settings):
    found = (made_up(gain, placebo, rng=i, **settings) for i in range(studies))
    return pd.Series([verdicts(study(f, 200))["verdict"][0] for f in found]).value_counts()


def test_no_effect_is_seldom_called_a_gain():
    assert words(0.0, 0.0).get("gain", 0) <= 3


def test_a_true_gain_is_found_and_not_when_duplicates_give_it_too():
    assert words(0.15, 0.0, studies=30).get("gain", 0) >= 26
    assert words(0.15, 0.15, studies=30).get("gain", 0) <= 3


def test_harm_and_equivalence_are_found():
    assert words(-0.15, 0.0, studies=30).get("harm", 0) >= 26
    assert words(0.0, 0.0, studies=10, lesions=(6000,) * 3).get("equivalent", 0) >= 9


def test_intervals_cover_the_truth():
    """All lesions have the same chance of a hit here, so the truth is known."""
    inside = 0
    for i in range(200):
        rng = np.random.default_rng(i)
        label = np.repeat(range(3), LESIONS)
        hits = {"a": rng.random((1, 1, 240)) < 0.6, "b": rng.random((1, 1, 240)) < 0.7}
        draws = bootstrap(hits, label, 3, 300, i)
        low, high = interval(draws["b"] - draws["a"])
        inside += low <= 0.1 <= high
    assert 180 <= inside <= 198


@pytest.mark.parametrize("settings", [{"folds": 1}, {"seeds": 1}])
def test_a_quick_study_is_inconclusive_and_says_so(settings):
    table = verdicts(study(made_up(0.3, 0.0, **settings), 200))
    assert table["bar_low"][0] > 0
    assert table["verdict"].tolist() == ["inconclusive"] and QUICK in table["note"][0]


def test_a_full_study_with_one_generator_says_what_it_cannot_know():
    table = verdicts(study(made_up(0.3, 0.0), 200))
    assert table["verdict"].tolist() == ["gain"] and statistics.ONE_GENERATOR in table["note"][0]


def test_holm_covers_the_primary_contrasts_only():
    table = contrasts(study(made_up(0.1), 200)).set_index(["arm", "against"])
    assert table["p_holm"].notna().tolist() == [pair in statistics.PRIMARY for pair in table.index]
    assert (table["p_holm"].dropna() >= table["p"][table["p_holm"].notna()]).all()


def test_a_missing_class_is_nan_and_inconclusive():
    table = verdicts(study(made_up(0.3, 0.0, lesions=(120, 60, 0)), 50))
    assert table["against_bar"].isna().all() and table["verdict"][0] == "inconclusive"
    assert "fewer than 5 lesions" in table["note"][0]


def test_too_few_lesions_are_inconclusive_however_narrow_the_interval():
    found = made_up(lesions=(40, 40, 2), base=0.6)
    arm, rare = found.table["arm"] == "synthetic", found.table["label"] == 2
    found.softmax[:] = np.eye(3)[np.where(rare & ~arm, 0, found.table["label"])]
    table = verdicts(study(found, 50))
    assert table["bar_low"][0] > 0 and table["placebo_low"][0] > 0
    assert table["verdict"][0] == "inconclusive" and "fewer than 5" in table["note"][0]


def test_incomplete_or_unequal_arms_are_refused():
    found = made_up()
    short = (found.table["arm"] == "placebo") & (found.table["group_id"] == "L0003")
    with pytest.raises(MetricError, match=r"arm 'placebo'.*run the comparison to its end"):
        study(found.where(~short.to_numpy()), 10)
    once = (found.table["arm"] == "placebo") & (found.table["classifier_seed"] == 1)
    with pytest.raises(MetricError, match="different numbers of classifier seeds"):
        study(found.where(~once.to_numpy()), 10)
    with pytest.raises(UsageError, match="did you mean 'placebo'"):
        contrasts(study(found, 10), placebo="placebos")


def test_what_a_test_set_can_detect():
    # one class, 100 lesions, half discordant: (1.95996 + 0.84162) * sqrt(0.5 / 100)
    assert detectable_difference(np.array([100]), 0.5) == pytest.approx(0.19810, abs=1e-5)
    whole = np.array([228, 327, 727, 73, 614, 5403, 98])
    assert detectable_difference(whole, 0.12) == pytest.approx(0.026, abs=0.0005)
    assert discordance(np.array([1, 1, 0, 0], bool), np.array([1, 0, 0, 1], bool)) == 0.5
