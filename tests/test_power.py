import numpy as np
import pandas as pd
import pytest

from nbhelpers.errors import UsageError
from nbhelpers.power import (
    HAM10000,
    detectable_difference,
    discordance,
    equivalent_lesions,
    measured_discordance,
    simulated,
    table,
    worth,
)
from nbhelpers.predictions import Predictions

SUPPORT = np.array(list(HAM10000.values()))


def test_what_a_test_set_can_detect():
    # one class, 100 lesions, half discordant: (1.95996 + 0.84162) * sqrt(0.5 / 100)
    assert detectable_difference(np.array([100]), 0.5) == pytest.approx(0.19810, abs=1e-5)
    assert detectable_difference(SUPPORT, 0.12) == pytest.approx(0.0258, abs=0.0001)
    assert detectable_difference(SUPPORT, 0.12, 0.9) > detectable_difference(SUPPORT, 0.12)


def test_the_table_of_one_fold_and_all():
    assert SUPPORT.sum() == 7470
    found = table(SUPPORT, [0.12, 0.06, np.nan])
    assert found["tested"].tolist() == ["one fold", "all folds pooled"] * 3
    assert found["lesions"].tolist() == [1494, 7470] * 3
    assert found["points"][:4].tolist() == pytest.approx([5.76, 2.58, 4.07, 1.82], abs=0.01)
    assert found["points"][4:].isna().all()
    two = table(SUPPORT, [0.12], folds=2)["points"]
    assert two[0] == pytest.approx(two[1] * np.sqrt(2))


def test_the_detectable_difference_is_detected_at_its_power():
    """Two trainings on lesions of which 12 % are discordant, the exact test's normal limit."""
    support, share = np.array([500, 200, 100]), 0.12
    gain = detectable_difference(support, share)
    rng, found = np.random.default_rng(0), 0
    for _ in range(2000):
        means, variances = [], []
        for n in support:
            ups, downs, _ = rng.multinomial(n, [(share + gain) / 2, (share - gain) / 2, 1 - share])
            mean = (ups - downs) / n
            means.append(mean)
            variances.append(((ups + downs) / n - mean**2) / n)
        found += abs(np.mean(means)) > 1.96 * np.sqrt(np.sum(variances)) / len(support)
    assert found / 2000 == pytest.approx(0.8, abs=0.03)


def hits(*columns):
    """Predictions of arm "bar": one column of hits a classifier seed, one lesion a row."""
    tables = [
        pd.DataFrame({"label": 0, "fold": 0, "group_id": [f"L{i}" for i in range(len(column))]})
        .assign(image_id="", part="test", arm="bar", generator_seed=-1, classifier_seed=seed)
        for seed, column in enumerate(columns)
    ]  # fmt: skip
    softmax = np.concatenate([np.eye(2)[1 - np.array(column)] for column in columns])
    return Predictions(pd.concat(tables, ignore_index=True), softmax, ("a", "b"))


def test_measured_discordance_by_hand():
    assert discordance(np.array([1, 1, 0, 0], bool), np.array([1, 0, 0, 1], bool)) == 0.5
    assert measured_discordance(hits([1, 1, 0, 0], [1, 0, 0, 1]), "bar")[0] == 0.5
    # pairs: 0 and 1 differ in 2 of 4, 0 and 2 in 0, 1 and 2 in 2
    three = hits([1, 1, 0, 0], [1, 0, 0, 1], [1, 1, 0, 0])
    by_class = measured_discordance(three, "bar")
    assert by_class[0] == pytest.approx(1 / 3) and np.isnan(by_class[1])  # no lesion of class b
    assert np.isnan(measured_discordance(hits([1, 1, 0, 0]), "bar")).all()
    with pytest.raises(UsageError, match="did you mean 'bar'"):
        measured_discordance(three, "bars")


def test_validation_lesions_do_not_count():
    found = hits([1, 1, 0, 0], [1, 1, 0, 0], [1, 1, 1, 1])
    found.table.loc[found.table["classifier_seed"] == 2, "part"] = "validation"
    assert measured_discordance(found, "bar")[0] == 0


def test_disputed_rare_classes_cost_power():
    """The same share of all lesions, once the same in each class and once among the rare ones."""
    support = np.array([900, 100])
    uneven = np.array([0.08, 0.48])
    share = uneven @ support / support.sum()
    even = table(support, [share]).set_index("tested")["points"]
    rare = table(support, [uneven]).set_index("tested")
    assert share == pytest.approx(0.12)
    assert rare["discordance"].tolist() == pytest.approx([0.28] * 2)
    assert (rare["points"] > 1.8 * even).all()


def test_equivalent_lesions_by_hand():
    counts, scores = [500, 1000, 2000, 4000], [0.60, 0.62, 0.64, 0.66]  # 2 points a doubling
    more, why = equivalent_lesions(counts, scores, 0.02)
    assert more == pytest.approx(4000) and why.endswith("measured from 500 to 4,000")
    assert equivalent_lesions(counts, scores, 0.01)[0] == pytest.approx(4000 * (2**0.5 - 1))
    assert equivalent_lesions(counts, scores, -0.02) == (pytest.approx(-2000), "")
    assert "beyond the curve" in equivalent_lesions(counts, scores, -0.08)[1]
    assert equivalent_lesions(counts, scores, 0.0) == (0.0, "")
    # least squares through points that are not on a line
    bent = equivalent_lesions([1, 2, 4], [0.0, 0.3, 0.4], 0.2)[0]
    assert bent == pytest.approx(4.0)


@pytest.mark.parametrize(
    ("counts", "scores", "gain", "value", "reason"),
    [
        ([500, 1000], [0.6, 0.6], 0.02, np.inf, "more lesions did not help"),
        ([500, 1000], [0.6, 0.5], 0.02, np.inf, "more lesions did not help"),
        ([500, 1000], [0.6, 0.5], -0.02, np.nan, "more lesions did not help"),
        ([500, 1000], [0.6, 0.6 + 1e-9], 0.02, np.inf, "too flat"),
        ([1000], [0.6], 0.02, np.nan, "two numbers of lesions"),
        ([500, 1000], [0.6, np.nan], 0.02, np.nan, "not known"),
        ([500, 1000], [0.5, 0.6], np.nan, np.nan, "not known"),
    ],
)
def test_equivalent_lesions_that_are_no_number_say_why(counts, scores, gain, value, reason):
    lesions, why = equivalent_lesions(counts, scores, gain)
    assert np.array_equal(lesions, value, equal_nan=True) and reason in why
    assert "nan" not in (told := worth(counts, scores, gain)) and told.endswith(why)


def test_worth_tells_the_number_and_its_limits():
    curve = [500, 1000, 2000, 4000], [0.60, 0.62, 0.64, 0.66]
    assert worth(*curve, -0.02) == "as much as -2,000 real lesions"
    assert worth(*curve, 0.02).startswith("as much as +4,000 real lesions, beyond the curve")


def test_simulated_studies_are_what_they_say():
    rng = np.random.default_rng(0)
    made = [simulated(rng, {"synthetic": 0.04, "placebo": 0.0}) for _ in range(40)]
    mean = {arm: np.mean([m.observed[arm] for m in made]) for arm in made[0].arms}
    assert mean == pytest.approx({"bar": 0.75, "synthetic": 0.79, "placebo": 0.75}, abs=0.004)
    pairs = [discordance(*m.arms["bar"].hits[0, :2]) for m in made]
    assert np.mean(pairs) == pytest.approx(0.12, abs=0.01)
    shapes = {arm: t.hits.shape for arm, t in made[0].arms.items()}
    assert shapes == {"bar": (1, 3, 7470), "synthetic": (2, 3, 7470), "placebo": (2, 3, 7470)}
    assert np.array_equal(made[0].support, SUPPORT) and made[0].folds == 5
    with pytest.raises(UsageError, match=r"luck 0\.3 leaves no room"):
        simulated(rng, {}, luck=0.3)
