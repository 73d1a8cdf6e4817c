import sys
import time
from dataclasses import replace
from itertools import product
from subprocess import run

import numpy as np
import pandas as pd
import pytest

from nbhelpers.errors import MetricError, UsageError
from nbhelpers.power import simulated
from nbhelpers.predictions import COLUMNS, Predictions
from nbhelpers.statistics import (
    ONE_GENERATOR,
    ONE_SEED,
    QUICK,
    Study,
    Trainings,
    contrasts,
    draws,
    holm,
    interval,
    luck,
    paired,
    primary,
    resampled,
    study,
    two_sided_p,
    verdict,
    verdicts,
)

CLASSES = ("nv", "mel", "df")
LESIONS = (120, 60, 60)
BAR = "balanced"


def made_up(gain=0.0, placebo=0.0, rng=0, folds=5, seeds=3, lesions=LESIONS, base=0.7,
            generators=1):  # fmt: skip
    """Predictions whose synthetic and placebo arms truly beat the bar by `gain` and `placebo`.

    Lesions differ in difficulty, so arms agree more often than chance: what pairing is for.
    """
    rng = np.random.default_rng(rng)
    label = np.repeat(range(3), lesions)
    ease = rng.beta(2, 2, len(label)) - 0.5
    tables, softmax = [], []
    for arm, better in ((BAR, 0.0), ("synthetic", gain), ("placebo", placebo)):
        several = [-1] if arm == BAR else range(generators)
        for made, seed in product(several, range(seeds)):
            hit = rng.random(len(label)) < np.clip(base + better + 0.5 * ease, 0, 1)
            guess = np.where(hit, label, (label + 1) % 3)
            table = pd.DataFrame({"label": label, "fold": np.arange(len(label)) % folds})
            ids = [f"L{i:04d}" for i in range(len(label))]
            tables.append(table.assign(image_id=ids, group_id=ids, part="test", arm=arm,
                                       generator_seed=made, classifier_seed=seed))  # fmt: skip
            softmax.append(np.eye(3, dtype=np.float32)[guess])
    return Predictions(pd.concat(tables, ignore_index=True), np.concatenate(softmax), CLASSES)


def joined(*several):
    table = pd.concat([found.table for found in several], ignore_index=True)
    return Predictions(table, np.concatenate([found.softmax for found in several]), CLASSES)


def shuffled(found):
    order = np.random.default_rng(0).permutation(len(found.table))
    table = found.table.iloc[order].reset_index(drop=True)
    return Predictions(table, found.softmax[order], found.classes)


def renamed(found, arm, **changed):
    """The rows of the bar as another arm."""
    rows = found.where((found.table["arm"] == BAR).to_numpy())
    return Predictions(rows.table.assign(arm=arm, **changed), rows.softmax, CLASSES)


def small(hits, label, fold=None, resamples=2000, seed=0):
    """A study from hits {arm: (G, S, L)}; arms "a" and "b" have no generator."""
    arms = {
        arm: Trainings(x, (-1,) if len(x) == 1 else tuple(range(len(x))), tuple(range(x.shape[1])))
        for arm, x in hits.items()
    }
    fold = np.arange(len(label)) % 5 if fold is None else fold
    return Study(arms, label, fold, np.bincount(label), resamples, seed)


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
    truth = {BAR: 5 / 6, "synthetic": 1, "placebo": 1}
    assert study(found, 10).observed == pytest.approx(truth)


def naive(values, label, resamples, rng):
    """Lesion by lesion, as the textbook does it."""
    rows = [np.flatnonzero(label == c) for c in range(3)]
    return np.array([
        np.mean([values[rng.choice(row, len(row))].mean() for row in rows])
        for _ in range(resamples)
    ])  # fmt: skip


def test_counting_values_is_resampling_lesions():
    made = study(made_up(gain=0.05), 10)
    values = paired(made, "synthetic", BAR).mean((0, 1))
    fast = resampled(values, made.label, 3, 6000, np.random.default_rng(0))
    slow = naive(values, made.label, 3000, np.random.default_rng(1))
    assert fast.mean() == pytest.approx(slow.mean(), abs=0.002)
    assert fast.std() == pytest.approx(slow.std(), rel=0.06)
    theory = sum(values[made.label == c].var() / n for c, n in enumerate(LESIONS)) / 9
    assert fast.std() == pytest.approx(np.sqrt(theory), rel=0.04)
    assert np.percentile(fast, [5, 95]) == pytest.approx(np.percentile(slow, [5, 95]), abs=0.003)


def test_pairs_are_of_one_lesion_and_one_seed():
    rng = np.random.default_rng(0)
    label = np.repeat(range(3), 200)
    luck = np.stack([rng.random(600) < p for p in (0.5, 0.7, 0.9)])
    made = small({"a": luck[None], "b": luck[None], "made": np.stack([luck, luck])}, label)
    for pair in (("a", "b"), ("made", "a"), ("a", "made")):
        assert not paired(made, *pair).any() and not draws(made, paired(made, *pair)).any()
    assert paired(made, "made", "a").shape == paired(made, "a", "made").shape == (2, 3, 600)
    turned = small({"a": luck[None], "b": luck[None, ::-1]}, label)
    assert draws(turned, paired(turned, "a", "b")).std() > 0.02


def test_seeds_widen_the_interval():
    rng = np.random.default_rng(0)
    label = np.repeat(range(3), 200)
    steady = np.stack([rng.random(600) < 0.7] * 3)
    lucky = np.stack([rng.random(600) < p for p in (0.5, 0.7, 0.9)])
    same, other = (small({"a": x[None]}, label) for x in (steady, lucky))
    assert draws(same, same.arms["a"].hits).std() < 0.025
    # five folds of three trainings whose recall differs by 0.2
    deviation = 0.2 / np.sqrt(3) / np.sqrt(5)
    assert draws(other, other.arms["a"].hits).std() > deviation


def test_few_trainings_widen_as_student_says():
    """One fold, three seeds: t of two degrees of freedom reaches 4.30 standard errors."""
    rng = np.random.default_rng(0)
    label = np.repeat(range(3), 4000)
    lucky = np.stack([rng.random(12_000) < p for p in (0.5, 0.7, 0.9)])
    made = small({"a": lucky[None]}, label, fold=np.zeros(12_000), resamples=40_000)
    low, high = interval(draws(made, made.arms["a"].hits))
    error = lucky.mean(1).std(ddof=1) / np.sqrt(3)
    assert (high - low) / 2 == pytest.approx(4.30 * error, rel=0.05)


def test_trainings_stand_in_order_of_their_seeds():
    cells = [(g, s) for g in (7, 2) for s in (1, 0, 5)]
    table = pd.DataFrame(
        [("", f"L{i}", 0, i % 2, "test", "made", g, s) for g, s in cells for i in range(6)],
        columns=COLUMNS,
    )
    right = [i == cells.index((g, s)) for g, s in cells for i in range(6)]  # lesion i: cell i
    found = Predictions(table, np.eye(3)[np.where(right, 0, 1)], CLASSES)
    told = study(shuffled(found), 10).arms["made"]
    assert told.made == (2, 7) and told.trained == (0, 1, 5)
    lesion = {(g, s): told.hits[i, j].argmax() for i, g in enumerate((2, 7))
              for j, s in enumerate((0, 1, 5))}  # fmt: skip
    in_fold_order = [0, 2, 4, 1, 3, 5]
    assert {cell: in_fold_order[place] for cell, place in lesion.items()} == {
        cell: i for i, cell in enumerate(cells)
    }


def test_luck_by_hand():
    """Two folds of one lesion each: nothing is shared between lesions, so nothing is added. Two
    lesions in one fold that move together: the variance of their mean, less what each has."""
    alone = np.array([[[1, 0], [0, 1], [0, 1]]])
    weight = np.array([0.5, 0.5])
    assert luck(alone, np.array([0, 1]), weight)[0] == pytest.approx(0, abs=1e-12)
    together = np.array([[[1, 1], [0, 0], [0, 0]]])
    # seeds' means 1, 0, 0: variance 1/3, of three seeds 1/9; each lesion by itself a quarter of it
    variance, freedom = luck(together, np.array([0, 0]), weight)
    assert (variance, freedom) == (pytest.approx(1 / 9 - 2 / 36), pytest.approx(2))
    opposite = np.array([[[1, 0], [0, 1], [0, 1]]])
    assert luck(opposite, np.array([0, 0]), weight)[0] == 0  # never below
    assert luck(together[:, :1], np.array([0, 0]), weight)[0] == 0  # one seed tells nothing


def test_luck_is_without_bias():
    """Generators, classifiers and single trainings that move all lesions of a fold: the estimate
    is the variance of the mean over (2 generators, 3 classifiers, 5 folds)."""
    rng = np.random.default_rng(0)
    fold, weight = np.repeat(range(5), 20), np.full(100, 0.01)
    found = []
    for _ in range(3000):
        move = 0.2 * rng.normal(size=(2, 1, 5)) + 0.1 * rng.normal(size=(1, 3, 5))
        move = move + 0.3 * rng.normal(size=(2, 3, 5))
        found.append(luck(move[..., fold] + rng.normal(size=(2, 3, 100)), fold, weight)[0])
    truth = (0.2**2 / 2 + 0.1**2 / 3 + 0.3**2 / 6) / 5
    assert np.mean(found) == pytest.approx(truth, rel=0.05)


def test_the_same_seed_gives_the_same_intervals():
    found, before = made_up(0.03), np.random.get_state()[1].copy()
    first, same, other = (verdicts(study(found, 300, seed), BAR) for seed in (0, 0, 1))
    pd.testing.assert_frame_equal(first, same)
    assert not first.equals(other)
    assert np.array_equal(before, np.random.get_state()[1])


def test_ten_thousand_resamples_of_ham10000_are_quick():
    made = simulated(np.random.default_rng(0), dict.fromkeys("abcdef", 0.0), resamples=10_000)
    start = time.process_time()
    assert len(verdicts(made, "bar", "a")) == 5
    assert time.process_time() - start < 10


def words(gain, placebo, studies=60, **settings):
    found = (made_up(gain, placebo, rng=i, generators=2, **settings) for i in range(studies))
    return pd.Series([verdicts(study(f, 200), BAR)["verdict"][0] for f in found]).value_counts()


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
    for i in range(400):
        rng = np.random.default_rng((i, 1))
        label = np.repeat(range(3), LESIONS)
        hits = {"a": rng.random((1, 1, 240)) < 0.6, "b": rng.random((1, 1, 240)) < 0.7}
        made = small(hits, label, resamples=300, seed=i)
        low, high = interval(draws(made, paired(made, "b", "a")))
        inside += low <= 0.1 <= high
    assert 366 <= inside <= 393


@pytest.mark.parametrize("settings", [{"folds": 1}, {"seeds": 1}])
def test_a_quick_study_is_inconclusive_and_says_so(settings):
    made = study(made_up(0.3, 0.0, **settings), 200)
    table = verdicts(made, BAR)
    assert table["bar_low"][0] > 0 and made.quick
    assert table["verdict"].tolist() == ["inconclusive"] and QUICK in table["note"][0]


def test_a_full_study_with_one_generator_says_what_it_cannot_know():
    made = study(made_up(0.3, 0.0), 200)
    table = verdicts(made, BAR)
    assert table["verdict"].tolist() == ["inconclusive"] and ONE_GENERATOR in table["note"][0]
    assert table["bar_low"][0] > 0 and not made.quick


def test_any_real_arm_can_be_the_bar_beside_others():
    found = made_up(0.2)
    found = joined(found, renamed(found, "real_classic"))
    table = verdicts(study(found, 200), "real_classic").set_index("arm")
    assert table.index.tolist() == [BAR, "synthetic"]
    assert table["against_bar"][BAR] == 0 and table["note"][BAR] == "exploratory"
    assert table["p_holm"].notna().tolist() == [False, True]


def test_holm_covers_the_primary_contrasts_only():
    found = made_up(0.05)
    found = joined(found, renamed(found, "filtered", generator_seed=0), renamed(found, "real"))
    table = contrasts(study(found, 400), BAR).set_index(["arm", "against"])
    fixed = [("synthetic", BAR), ("synthetic", "placebo"), ("filtered", "synthetic")]
    assert primary(BAR) == fixed and table.index.is_unique
    assert table["p_holm"].notna().tolist() == [pair in fixed for pair in table.index]
    p = table["p"][fixed].to_numpy()
    assert p.max() < 0.3 and p.max() > 2 * p.min()
    assert table["p_holm"][fixed].tolist() == holm(p).tolist()
    two = contrasts(study(made_up(0.05), 400), BAR).set_index(["arm", "against"])["p_holm"]
    assert two[fixed[:2]].tolist() == holm(p[:2]).tolist() and two.notna().sum() == 2


def test_arms_are_compared_on_the_seeds_that_both_have():
    found = made_up(0.1)
    once = renamed(found, "real").where(np.arange(3 * 240) < 240)  # classifier seed 0 alone
    made = study(joined(found, once), 200)
    assert [len(made.arms[arm].trained) for arm in made.arms] == [3, 3, 3, 1]
    table = contrasts(made, BAR).set_index(["arm", "against"])
    assert table["seeds"].to_dict() == {
        ("synthetic", BAR): 3, ("placebo", BAR): 3, ("real", BAR): 1,
        ("synthetic", "placebo"): 3, ("real", "placebo"): 1,
    }  # fmt: skip
    # the lone seed is the bar's seed 0: no difference, whatever the bar's other seeds did
    assert table.loc[("real", BAR), ["difference", "low", "high"]].tolist() == [0, 0, 0]
    assert made.observed["real"] != made.observed[BAR]
    first = made.weight @ made.arms["placebo"].hits[0, 0] - made.observed["real"]
    assert table["difference"]["real", "placebo"] == pytest.approx(-first)
    rows = verdicts(made, BAR).set_index("arm")
    assert rows["verdict"]["real"] == "inconclusive" and ONE_SEED in rows["note"]["real"]
    assert ONE_SEED not in rows["note"]["synthetic"] and not made.quick
    # with the lone arm as the bar nothing is known of any other
    assert set(verdicts(made, "real")["verdict"]) == {"inconclusive"}


def test_one_seed_in_common_is_quick_and_none_is_refused():
    found = made_up(0.3)
    moved = found.table["classifier_seed"] + 2 * (found.table["arm"] == "synthetic")
    table = verdicts(
        study(replace(found, table=found.table.assign(classifier_seed=moved)), 50), BAR
    )
    assert table["verdict"][0] == "inconclusive" and ONE_SEED in table["note"][0]
    moved = found.table["classifier_seed"] + 3 * (found.table["arm"] == "synthetic")
    apart = study(replace(found, table=found.table.assign(classifier_seed=moved)), 50)
    with pytest.raises(MetricError, match=r"'synthetic' and 'balanced' have no classifier seed in"):
        verdicts(apart, BAR)
    moved = found.table["generator_seed"] + 3 * (found.table["arm"] == "synthetic")
    apart = study(replace(found, table=found.table.assign(generator_seed=moved)), 50)
    with pytest.raises(MetricError, match="have no generator seed in common: train both"):
        verdicts(apart, BAR)


def test_a_second_generator_is_seen_only_where_both_arms_have_it():
    found = made_up(0.3)
    again = found.where((found.table["arm"] == "synthetic").to_numpy())
    again = replace(again, table=again.table.assign(generator_seed=1))
    made = study(joined(found, again), 50)
    table = contrasts(made, BAR).set_index(["arm", "against"])["generators"]
    assert table["synthetic", BAR] == 2 and table["synthetic", "placebo"] == 1
    assert ONE_GENERATOR in verdicts(made, BAR)["note"][0]


def test_a_missing_class_is_nan_and_inconclusive():
    table = verdicts(study(made_up(0.3, 0.0, lesions=(120, 60, 0)), 50), BAR)
    assert table[["against_bar", "bar_low", "bar_high", "p_holm"]].isna().all(axis=None)
    assert table["verdict"][0] == "inconclusive" and "fewer than 5 lesions" in table["note"][0]


def test_too_few_lesions_are_inconclusive_however_narrow_the_interval():
    found = made_up(lesions=(40, 40, 2), base=0.6)
    arm, rare = found.table["arm"] == "synthetic", found.table["label"] == 2
    found.softmax[:] = np.eye(3)[np.where(rare & ~arm, 0, found.table["label"])]
    table = verdicts(study(found, 50), BAR)
    assert table["bar_low"][0] > 0 and table["placebo_low"][0] > 0
    assert table["verdict"][0] == "inconclusive" and "fewer than 5" in table["note"][0]


def test_incomplete_arms_are_refused():
    found = made_up()
    table = found.table
    short = (table["arm"] == "placebo") & (table["group_id"] == "L0003")
    with pytest.raises(MetricError, match=r"arm 'placebo'.*run the comparison to its end"):
        study(found.where(~short.to_numpy()), 10)
    fold = (table["arm"] == BAR) & (table["fold"] == 1) & (table["classifier_seed"] == 2)
    with pytest.raises(MetricError, match=r"arm 'balanced' \(generator seed -1, classifier seed 2"):
        study(found.where(~fold.to_numpy()), 10)
    again = found.where((table["arm"] == "synthetic").to_numpy())
    again = replace(again, table=again.table.assign(generator_seed=1))
    hole = joined(found, again.where((again.table["classifier_seed"] < 2).to_numpy()))
    with pytest.raises(MetricError, match="arm 'synthetic' misses replicates"):
        study(hole, 10)


def test_arms_that_are_not_there_are_named():
    made = study(made_up(), 10)
    with pytest.raises(UsageError, match=r"bar 'balance' is unknown: did you mean 'balanced'"):
        contrasts(made, "balance")
    with pytest.raises(
        MetricError, match=r"no arm 'duplicated' among balanced, synthetic, placebo"
    ):
        verdicts(made, BAR, placebo="duplicated")
    with pytest.raises(UsageError, match="bar and placebo are both 'placebo'"):
        contrasts(made, "placebo")


def test_no_torch_is_needed():
    code = "import sys; from nbhelpers import power, statistics; assert 'torch' not in sys.modules"
    assert run([sys.executable, "-c", code]).returncode == 0


def lesions_only(made, arm, other):
    """As if trainings had no luck: other lesions, the same seeds."""
    mean, rng = paired(made, arm, other).mean((0, 1)), np.random.default_rng(made.seed)
    return resampled(mean, made.label, len(made.support), made.resamples, rng)


def unpaired(made, arm, other):
    """As if the arms had seen different lesions."""
    first, second = (draws(made, made.arms[name].hits) for name in (arm, other))
    return first - np.random.default_rng(made.seed).permutation(second)


def judged(effect, studies, ways=()):
    """Verdicts, differences and shares of intervals that hold the truth, of simulated studies of
    HAM10000: 5 folds, 3 classifier seeds, 2 generators; bar and placebo are equally good."""
    rng = np.random.default_rng(int(1000 * effect))
    words, seen, held = [], [], dict.fromkeys(["verdicts", *ways], 0)
    for _ in range(studies):
        made = simulated(rng, {"synthetic": effect, "placebo": 0.0}, resamples=400)
        row = verdicts(made, "bar").iloc[0]
        words.append(row["verdict"])
        seen.append(row[["against_bar", "against_placebo"]].astype(float))
        held["verdicts"] += row["bar_low"] <= effect <= row["bar_high"]
        for way in ways:
            low, high = interval(way(made, "synthetic", "bar"))
            held[way] += low <= effect <= high
    shares = pd.Series(words).value_counts() / studies
    return shares, np.array(seen), {way: count / studies for way, count in held.items()}


def power(seen, effect):
    """How often both differences exceed 1.96 standard errors, were those known and normal."""
    rng = np.random.default_rng(0)
    drawn = rng.multivariate_normal([effect] * 2, np.cov(seen.T), 100_000)
    return (drawn > 1.96 * seen.std(0)).all(1).mean()


def test_verdicts_keep_their_rates_without_an_effect():
    """2.5 % of harm, and gain more seldom, as both intervals must agree; 3 standard errors of the
    simulation are allowed. Intervals that leave out trainings or pairing fail the same check."""
    studies = 800
    shares, seen, held = judged(0.0, studies, ways=(lesions_only, unpaired))
    error = 3 * np.sqrt(0.05 * 0.95 / studies)
    assert np.abs(seen.mean(0)).max() < 4 * seen.std() / np.sqrt(studies)
    assert shares.get("gain", 0) <= 0.025 + error / 2
    assert shares.get("harm", 0) <= 0.025 + 3 * np.sqrt(0.025 * 0.975 / studies)
    assert abs(held["verdicts"] - 0.95) < error
    assert held[lesions_only] < 0.95 - 3 * error
    assert held[unpaired] > 0.95 + error


def test_an_effect_is_found_at_its_power_and_not_more_often():
    for effect, studies in ((0.01, 400), (0.04, 100)):
        shares, seen, held = judged(effect, studies)
        expected = power(seen, effect)
        error = 3 * np.sqrt(expected * (1 - expected) / studies)
        assert expected - 0.06 - error <= shares.get("gain", 0) <= expected + error
        assert shares.get("harm", 0) <= 0.005
        assert abs(held["verdicts"] - 0.95) < 3.5 * np.sqrt(0.05 * 0.95 / studies)
        assert (expected < 0.25) == (effect == 0.01) and (expected > 0.95) == (effect == 0.04)
