"""A probe learns what is there to be learned, and its accuracy has an interval."""

import numpy as np
import pytest

from nbhelpers.errors import MetricError
from nbhelpers.probes import Exam, accuracy_interval, balanced_accuracy, equal_counts, taught


def exam(shift: float, seed: int, counts=(60, 30, 15)) -> Exam:
    """Three classes in eight dimensions, `shift` apart."""
    rng, labels = np.random.default_rng(seed), np.repeat(range(3), counts)
    features = rng.normal(size=(len(labels), 8)).astype(np.float32)
    features[np.arange(len(labels)), labels] += shift
    return Exam(features * 10, labels, np.arange(len(labels)))


def test_what_can_be_learned_is_learned_and_noise_teaches_nothing():
    held = exam(6, 1)
    assert balanced_accuracy(taught(exam(6, 0), held), held.labels) > 0.95
    nothing = [balanced_accuracy(taught(exam(0, s), held), held.labels) for s in range(100, 130)]
    assert np.mean(nothing) == pytest.approx(1 / 3, abs=0.1)


def test_wrong_labels_teach_the_wrong_thing():
    lesson, held = exam(6, 0), exam(6, 1)
    wrong = Exam(lesson.features, (lesson.labels + 1) % 3, lesson.groups)
    assert balanced_accuracy(taught(wrong, held), held.labels) < 0.05


def test_rare_classes_count_as_much_as_frequent_ones():
    labels = np.array([0, 0, 0, 0, 1])
    assert balanced_accuracy(labels == 0, labels) == 0.5


def test_one_class_is_no_lesson():
    lesson = exam(6, 0)
    with pytest.raises(MetricError, match="one class"):
        taught(lesson[lesson.labels == 1], lesson)


def test_equal_counts_are_those_of_the_poorest_side():
    sides = [np.array([0, 0, 0, 1, 1, 2]), np.array([0, 1, 1, 1, 1, 3])]
    rows = equal_counts(sides, np.random.default_rng(0))
    for side, mine in zip(sides, rows, strict=True):
        assert np.bincount(side[mine], minlength=4).tolist() == [1, 2, 0, 0]
        assert len(set(mine.tolist())) == 3


def test_the_interval_resamples_lesions():
    rng = np.random.default_rng(0)
    labels, right = np.repeat([0, 1], 200), rng.random(400) < 0.7
    alone = Exam(np.zeros((400, 1)), labels, np.arange(400))
    low, high = accuracy_interval(right, alone, 0)
    assert low < balanced_accuracy(right, labels) < high
    assert high - low == pytest.approx(2 * 1.96 * np.sqrt(0.21 / 400), rel=0.25)
    # ten photographs of each lesion, right or wrong together: a tenth of the evidence
    together = Exam(alone.features, labels, np.arange(400) // 10)
    right = np.repeat(rng.random(40) < 0.7, 10)
    wide = accuracy_interval(right, together, 0)
    assert wide[1] - wide[0] > 2 * (high - low)
    assert accuracy_interval(right, together, 0) == wide != accuracy_interval(right, together, 1)
