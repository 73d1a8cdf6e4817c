import numpy as np
import pytest
from sklearn.metrics import average_precision_score, brier_score_loss

from nbhelpers.predictions import scores
from nbhelpers.scores import auc, average_precision, brier, calibration_error, sensitivity

CLASSES = ("nv", "mel", "df")
SEVEN = ("akiec", "bcc", "bkl", "df", "mel", "nv", "vasc")


def test_sensitivity_by_hand():
    score = np.r_[np.arange(10) / 10, 0.95, 0.85, 0.5, 0.05]
    positive = np.arange(14) >= 10
    # one of ten negatives may be above: the threshold stands above 0.8, and 0.95 and 0.85 clear it
    assert sensitivity(positive, score) == 0.5
    assert sensitivity(positive, score, 1.0) == 0.25
    assert sensitivity(positive, score, 0.5) == 0.75
    assert sensitivity(positive, np.zeros(14)) == 0  # no threshold tells equal scores apart
    # on a straight curve the threshold lies between its ends
    assert sensitivity(np.arange(40) % 2 == 0, np.arange(40) // 2) == 0.1


def test_sensitivity_tries_every_threshold():
    rng = np.random.default_rng(0)
    positive = rng.random(300) < 0.3
    score = (rng.random(300) + positive).round(1)
    best = max(
        (score[positive] >= t).mean()
        for t in [*np.unique(score), 9]
        if (score[~positive] < t).mean() >= 0.9
    )
    assert sensitivity(positive, score) == pytest.approx(best)


def test_average_precision_by_hand():
    # ranks 1 and 3 of 4 are positive: (1 / 1 + 2 / 3) / 2
    positive = np.array([True, False, True, False])
    assert average_precision(positive, np.array([0.9, 0.8, 0.7, 0.6])) == pytest.approx(5 / 6)
    assert average_precision(positive, np.zeros(4)) == pytest.approx(0.5)
    assert auc(positive, np.zeros(4)) == 0.5


@pytest.mark.parametrize("measure", [auc, average_precision, sensitivity])
def test_one_side_alone_cannot_be_ranked(measure):
    for positive in (np.ones(3, bool), np.zeros(3, bool)):
        assert np.isnan(measure(positive, np.array([0.1, 0.2, 0.3])))


def test_calibration_error_by_hand():
    # bin of 0.6: one of two right, |0.5 - 0.6|; bin of 0.9: two of two, |1 - 0.9|
    softmax = np.array([[0.6, 0.4], [0.6, 0.4], [0.9, 0.1], [0.1, 0.9]])
    assert calibration_error(np.array([0, 1, 0, 1]), softmax) == pytest.approx(0.1)
    # errors of one bin cancel, those of two bins do not
    both = np.array([[0.55, 0.45], [0.55, 0.45], [0.95, 0.05], [0.95, 0.05]])
    assert calibration_error(np.array([0, 0, 1, 1]), both, 1) == pytest.approx(0.25)
    assert calibration_error(np.array([0, 0, 1, 1]), both) == pytest.approx((0.45 + 0.95) / 2)


def test_edges_of_bins_belong_to_the_lower_bin():
    edge = np.array([[0.6, 0.4], [0.61, 0.39]])  # 0.6 is the upper end of bin 9 of 15
    assert calibration_error(np.array([0, 1]), edge) == pytest.approx((0.4 + 0.61) / 2)
    assert calibration_error(np.array([0]), np.array([[1.0, 0.0]])) == 0


def test_a_calibrated_softmax_has_little_error_and_a_bold_one_much():
    rng = np.random.default_rng(0)
    honest = rng.dirichlet([1, 1, 1], 20_000)
    label = (rng.random((20_000, 1)) > honest.cumsum(1)).sum(1)
    bold = honest**3 / (honest**3).sum(1, keepdims=True)
    assert calibration_error(label, honest) < 0.02
    assert calibration_error(label, bold) > 0.1
    assert brier(label, bold) > brier(label, honest)


def test_brier_by_hand():
    assert brier(np.array([0, 1]), np.array([[0.8, 0.2], [0.6, 0.4]])) == pytest.approx(
        (0.08 + 0.72) / 2
    )
    assert brier(np.array([0]), np.array([[0.0, 1.0]])) == 2
    rng = np.random.default_rng(1)
    label, softmax = rng.integers(0, 2, 50), rng.dirichlet([1, 1], 50)
    assert brier(label, softmax) == pytest.approx(2 * brier_score_loss(label, softmax[:, 1]))


def test_the_measures_of_a_task_follow_its_classes():
    rng = np.random.default_rng(2)

    def metrics(classes):
        k = len(classes)
        label = rng.integers(0, k, 40 * k)
        table = scores(label, rng.dirichlet(np.ones(k), 40 * k), classes)
        return [m for m in table["metric"] if m.startswith(("sensitivity", "average"))]

    mel = ["sensitivity_mel_at_90", "average_precision_mel"]
    assert metrics(SEVEN) == ["average_precision_df", *mel]
    assert metrics(("nv", "mel", "bkl")) == mel
    binary = ["sensitivity_malignant_at_90", "average_precision_malignant"]
    assert metrics(("benign", "malignant")) == binary
    assert metrics(("cat", "dog")) == []


def test_the_table_holds_what_the_functions_say():
    rng = np.random.default_rng(3)
    label = rng.integers(0, 3, 300)
    softmax = 0.5 * rng.dirichlet([1, 1, 1], 300) + 0.5 * np.eye(3)[label] * rng.random((300, 1))
    softmax /= softmax.sum(1, keepdims=True)
    value = scores(label, softmax, CLASSES).set_index("metric")["value"]
    df = average_precision_score(label == 2, softmax[:, 2])
    assert value["average_precision_df"] == pytest.approx(df)
    assert value["sensitivity_mel_at_90"] == sensitivity(label == 1, softmax[:, 1])
    assert value["ece"] == calibration_error(label, softmax) and value["brier"] > 0
    assert value.notna().all()


def test_what_is_not_defined_has_its_reason():
    rng = np.random.default_rng(4)
    label, softmax = np.array([0, 0, 2, 2]), rng.dirichlet([1, 1, 1], 4)
    table = scores(label, softmax, CLASSES).set_index("metric")
    for metric in ("sensitivity_mel_at_90", "average_precision_mel", "recall_mel"):
        assert np.isnan(table["value"][metric])
        assert table["reason"][metric] == "no lesion of mel in this test set"
    assert table["value"][["ece", "brier", "average_precision_df"]].notna().all()
    assert (table["value"].isna() == (table["reason"] != "")).all()
    alone = scores(np.array([1, 1]), softmax[:2], CLASSES).set_index("metric")
    assert np.isnan(alone["value"]["average_precision_mel"])
    assert alone["reason"]["average_precision_mel"] == "every lesion is mel here"
