"""A detector knows its false alarms, and what it finds of lesions photographed twice."""

import numpy as np
import pytest
from scipy.stats import mannwhitneyu
from test_metrics import pictures

from nbhelpers import detectors, features
from nbhelpers.degradation import degrade
from nbhelpers.detectors import HASH, PIXELS, Detector, Witnesses, area
from nbhelpers.errors import MetricError

TRAINING = pictures(120, 1)
ALONE = pictures(80, 2)
TWICE = pictures(30, 4)
# thirty lesions, each seen again through some noise
IMAGES = np.concatenate([ALONE, TWICE, degrade(TWICE, "noise", 0.05)])
GROUPS = np.array([*(f"A{i}" for i in range(80)), *(f"B{i}" for i in range(30)),
                   *(f"B{i}" for i in range(30))])  # fmt: skip
WITNESSES = Witnesses.of(IMAGES, GROUPS, 0)


def test_witnesses_are_one_a_lesion_and_siblings_are_of_one():
    unseen = GROUPS[WITNESSES.rows]
    assert len(set(unseen)) == len(unseen) == 110
    assert (IMAGES[WITNESSES.rows] == WITNESSES.unseen).all()
    place = {image.tobytes(): group for image, group in zip(IMAGES, GROUPS, strict=True)}
    asked, siblings = ([place[i.tobytes()] for i in side]
                       for side in (WITNESSES.asked, WITNESSES.siblings))  # fmt: skip
    assert asked == siblings and len(set(asked)) == 30
    assert (WITNESSES.asked != WITNESSES.siblings).any((1, 2, 3)).all()
    again, other = Witnesses.of(IMAGES, GROUPS, 0), Witnesses.of(IMAGES, GROUPS, 1)
    assert (again.rows == WITNESSES.rows).all() and (other.rows != WITNESSES.rows).any()


def test_nine_lesions_are_too_few():
    with pytest.raises(MetricError, match="9 held-out lesions"):
        Witnesses.of(IMAGES[:9], GROUPS[:9], 0)


@pytest.mark.parametrize("eye", [PIXELS, HASH], ids=lambda eye: eye.name)
def test_repeat_photographs_are_found_and_strangers_are_not_accused(eye):
    found = Detector(eye, TRAINING, WITNESSES)
    assert found.recall() > 0.9 and found.pair_recall() > 0.9 and found.pair_auc() > 0.95
    strangers = found.strangers_accused()
    assert len(strangers) == 110 and 0 < strangers.mean() <= 0.1
    alarms, recall = found.curve()
    assert alarms[0] == 0 and (np.diff(recall) >= 0).all()
    assert found.accused(found.nearest(TRAINING[:20])).all()
    assert found.accused(found.nearest(pictures(50, 8))).mean() < 0.1


def test_siblings_are_not_among_the_training_images():
    found = Detector(PIXELS, TRAINING, WITNESSES).nearest(WITNESSES.asked)
    assert found.index.max() < len(TRAINING) and found.distance.min() > 0.05


def test_lesions_photographed_once_leave_the_recall_unknown():
    found = Detector(PIXELS, TRAINING, Witnesses.of(ALONE, GROUPS[:80], 0))
    assert np.isnan([found.recall(), found.pair_recall(), found.pair_auc()]).all()
    assert 0 < found.threshold < 1


def test_an_encoder_is_an_eye_that_turns_the_known_images():
    eye = detectors.eye_of(features.random_encoder(0))
    assert (eye.name, eye.turn_known, eye.turn_queries) == ("random weights", 8, 1)
    found = Detector(eye, TRAINING, WITNESSES)
    turned = np.ascontiguousarray(np.rot90(TRAINING[:9], axes=(1, 2)))
    assert found.nearest(turned).index.tolist() == list(range(9))


def test_area_under_the_curve_is_that_of_mann_and_whitney():
    rng = np.random.default_rng(0)
    a, b = rng.normal(0.5, 1, 70).round(1), rng.normal(0, 1, 50).round(1)  # with ties
    value, low, high = area(a, b)
    assert value == pytest.approx(mannwhitneyu(a, b).statistic / (70 * 50))
    assert low < value < high
    assert area(b, a)[0] == pytest.approx(1 - value)
    assert area(a + 100, b) == (1.0, 1.0, 1.0)


def test_the_interval_of_an_area_holds_the_truth_about_as_often_as_it_says():
    rng, hits = np.random.default_rng(0), 0
    for _ in range(200):
        _, low, high = area(rng.normal(1, 1, 40), rng.normal(0, 1, 60))
        hits += low <= 0.7602 <= high  # Phi(1 / sqrt 2)
    assert 0.9 < hits / 200 < 0.99


def test_an_area_needs_two_of_each():
    with pytest.raises(MetricError, match="1 positives"):
        area(np.ones(1), np.ones(5))
