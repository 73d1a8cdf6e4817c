"""Do generated images teach what photographs teach? A small classifier learns from one set and is
tested on the other: TSTR (train on synthetic, test on real) and TRTS, the other way round. Esteban,
Hyland and Ratsch 2017, arXiv:1706.02633.

The classifier is linear in an encoder's features, so it takes a second and has one number to tune;
notebook 22 trains whole networks on the images themselves.
"""

from dataclasses import dataclass

import numpy as np
from sklearn.linear_model import RidgeClassifier

from .errors import MetricError

# Ridge on features of length sqrt(d); from 100 to 10,000 the real-real accuracy moves by 2 points
ALPHA = 1000.0
RESAMPLES = 400


@dataclass(frozen=True)
class Exam:
    """Images of known class as an encoder sees them, and what belongs together."""

    features: np.ndarray  # float32 (N, d)
    labels: np.ndarray  # int64 (N,)
    groups: np.ndarray  # (N,) the lesion of each, resampled as a whole

    def __getitem__(self, rows: np.ndarray) -> "Exam":
        return Exam(self.features[rows], self.labels[rows], self.groups[rows])


def equal_counts(sides: list[np.ndarray], rng: np.random.Generator) -> list[np.ndarray]:
    """Random rows of each label array: of every class as many as the poorest side has, in all."""
    classes = np.unique(np.concatenate(sides))
    chosen: list[list[np.ndarray]] = [[] for _ in sides]
    for label in classes:
        rows = [np.flatnonzero(side == label) for side in sides]
        count = min(map(len, rows))
        for mine, of in zip(chosen, rows, strict=True):
            mine.append(rng.permutation(of)[:count])
    return [np.concatenate(mine) for mine in chosen]


def taught(lesson: Exam, exam: Exam) -> np.ndarray:
    """bool (N,): which images of `exam` are named rightly by a ridge classifier that has learned
    `lesson`, every class weighing the same. MetricError when the lesson has one class."""
    if len(np.unique(lesson.labels)) < 2:
        raise MetricError("the classifier was given one class to learn: give it two at least.")
    probe = RidgeClassifier(alpha=ALPHA, class_weight="balanced")
    return probe.fit(lesson.features, lesson.labels).predict(exam.features) == exam.labels


def balanced_accuracy(right: np.ndarray, labels: np.ndarray) -> float:
    """Mean over the classes of `labels` (N,) of the share that is right."""
    return float(np.mean([right[labels == c].mean() for c in np.unique(labels)]))


def accuracy_interval(right: np.ndarray, exam: Exam, seed: int) -> tuple[float, float]:
    """95 % bootstrap interval of the balanced accuracy: lesions are resampled within their class,
    with all their images."""
    rng = np.random.default_rng(seed)
    draws = np.zeros(RESAMPLES)
    classes = np.unique(exam.labels)
    for label in classes:
        here = exam.labels == label
        _, place = np.unique(exam.groups[here], return_inverse=True)
        hits, images = np.bincount(place, right[here]), np.bincount(place)
        times = rng.multinomial(len(hits), np.full(len(hits), 1 / len(hits)), RESAMPLES)
        draws += (times @ hits) / (times @ images) / len(classes)
    low, high = np.percentile(draws, [2.5, 97.5])
    return float(low), float(high)
