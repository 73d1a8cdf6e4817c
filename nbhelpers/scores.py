"""What a softmax is worth beyond its first guess: ranking of lesions and calibration.

Arrays in; a number out, NaN where it is not defined.
"""

import numpy as np
from sklearn.metrics import average_precision_score, roc_auc_score, roc_curve

BINS = 15  # of the calibration error, as in its paper
SPECIFICITY = 0.9


def auc(positive: np.ndarray, score: np.ndarray) -> float:
    """Chance that a positive lesion outranks a negative one, ties half. `positive` bool (N,)."""
    if positive.all() or not positive.any():
        return float("nan")
    return float(roc_auc_score(positive, score))


def average_precision(positive: np.ndarray, score: np.ndarray) -> float:
    """Area under the precision-recall curve, by steps; guessing gives the share of positives."""
    if positive.all() or not positive.any():
        return float("nan")
    return float(average_precision_score(positive, score))


def sensitivity(positive: np.ndarray, score: np.ndarray, specificity: float = SPECIFICITY) -> float:
    """Largest share of the positive lesions found by a threshold that clears at least this share of
    the negative ones.

    The threshold is read off these lesions, not carried over from others.
    """
    if positive.all() or not positive.any():
        return float("nan")
    alarms, found, _ = roc_curve(positive, score, drop_intermediate=False)
    return float(found[alarms <= 1 - specificity + 1e-12].max())


def calibration_error(label: np.ndarray, softmax: np.ndarray, bins: int = BINS) -> float:
    """Expected calibration error: |accuracy - confidence|, mean over lesions in bins of equal width
    of the largest probability (0 to 1, 0 best). Guo et al. 2017, arXiv:1706.04599, eq. 3.

    `label` int (N,), `softmax` (N, K).
    """
    confidence, right = softmax.max(1), softmax.argmax(1) == label
    place = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    return float(np.abs(np.bincount(place, confidence - right)).sum() / len(label))


def brier(label: np.ndarray, softmax: np.ndarray) -> float:
    """Squared distance of the softmax to the truth, summed over classes, mean over lesions (0 to 2,
    0 best). Brier 1950.
    """
    truth = np.eye(softmax.shape[1])[label]
    return float(((softmax - truth) ** 2).sum(1).mean())
