"""Detectors of copies, and how far each can be trusted: tried on photographs of lesions that were
photographed twice.

A detector describes images, looks for the nearest training image, and accuses an image whose
nearest stands out from its tenth nearest. Plain distance would accuse every blurred image: smooth
pictures are near to everything.
"""

from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd

from .errors import MetricError
from .evaluation_sets import one_a_lesion
from .features import Encoder
from .neighbours import Describe, Known, Neighbours, perceptual_hash, small, thumbnails
from .set_metrics import FEWEST

FALSE_ALARMS = 0.01  # share of unseen photographs that the threshold would accuse
MOST = 1000  # photographs of a kind that a detector is tried on


@dataclass(frozen=True)
class Eye:
    """A way to describe images. `turn_known` says which side is turned eight times: the known
    images where describing is dear (an encoder), the queries where keeping is. `shrink` comes once,
    before turning."""

    name: str
    describe: Describe
    turn_known: int = 1
    turn_queries: int = 8
    shrink: Describe = np.asarray


# 16 pixels find as many repeat photographs as 32, in a quarter of the time
PIXELS = Eye("pixel correlation", partial(thumbnails, side=16), shrink=small)
HASH = Eye("perceptual hash", perceptual_hash, shrink=small)


def eye_of(encoder: Encoder, describe: Describe | None = None) -> Eye:
    """An encoder as an eye; `describe` where its features come from a cache."""
    return Eye(encoder.name, describe or encoder, turn_known=8, turn_queries=1)


@dataclass(frozen=True)
class Witnesses:
    """Photographs that no generator has seen, dealt so that the truth about each is known."""

    unseen: np.ndarray  # uint8 (U, S, S, 3), one of a lesion
    asked: np.ndarray  # uint8 (R, S, S, 3), one of a lesion that was photographed again
    siblings: np.ndarray  # uint8 (R, S, S, 3), another of the same lesions
    rows: np.ndarray  # int64 (U,), where the unseen were found

    @staticmethod
    def of(images: np.ndarray, groups: np.ndarray, seed: int) -> "Witnesses":
        """Held-out photographs uint8 (N, S, S, 3) of the lesions `groups` (N,), dealt by chance,
        `MOST` of a kind. MetricError with fewer than ten lesions."""
        unseen = one_a_lesion(groups, seed)[:MOST]
        if len(unseen) < FEWEST:
            raise MetricError(
                f"{len(unseen)} held-out lesions: a detector needs {FEWEST}, to know how near "
                "strangers come."
            )
        order = np.random.default_rng([seed, 1]).permutation(len(groups))
        turn = pd.Series(groups[order]).groupby(groups[order]).cumcount().to_numpy()
        first, second = (pd.Series(order[turn == k], groups[order[turn == k]]) for k in (0, 1))
        asked, siblings = first[second.index[:MOST]].to_numpy(), second[:MOST].to_numpy()
        return Witnesses(images[unseen], images[asked], images[siblings], unseen)


class Detector:
    """One eye on a generator's training images, with its threshold and its trial.

    `threshold`: the relative distance below which 1 % of the unseen photographs fall.
    """

    def __init__(self, eye: Eye, training: np.ndarray, witnesses: Witnesses):
        self.name, self.count = eye.name, len(training)
        everything = np.concatenate([training, witnesses.siblings])
        views = eye.turn_queries, eye.turn_known
        self.known = Known(everything, eye.describe, *views, eye.shrink)
        self.unseen = self.nearest(witnesses.unseen)
        self.threshold = float(np.quantile(self.unseen.relative, FALSE_ALARMS))
        self.repeated, self.same, self.different = self._tried(witnesses)

    def _tried(self, witnesses: Witnesses) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Relative distances (R,) of photographs whose sibling is among the known ones, infinite
        where another is nearer; distances of pairs of one lesion (R,) and of two (R (R - 1),)."""
        wanted = len(witnesses.asked)
        if wanted == 0:
            return (np.empty(0, np.float32),) * 3
        cosines = np.concatenate([c for _, c in self.known.cosines(witnesses.asked)])
        found = Neighbours.of(cosines)
        right = found.index == self.count + np.arange(wanted)
        pairs, one = 1 - cosines[:, self.count :], np.eye(wanted, dtype=bool)
        return np.where(right, found.relative, np.inf), pairs[one], pairs[~one]

    def nearest(self, queries: np.ndarray) -> Neighbours:
        """The nearest training images of queries uint8 (Q, S, S, 3)."""
        return self.known.nearest(queries, self.count)

    def accused(self, found: Neighbours) -> np.ndarray:
        """bool (Q,): whose nearest training image stands out more than for 99 % of strangers."""
        return found.relative < self.threshold

    def strangers_accused(self) -> np.ndarray:
        """bool (U,): which unseen photographs a threshold set on the other half of them accuses."""
        found, relative = np.zeros(len(self.unseen.relative), bool), self.unseen.relative
        halves = slice(0, None, 2), slice(1, None, 2)
        for mine, others in (halves, halves[::-1]):
            found[mine] = relative[mine] < np.quantile(relative[others], FALSE_ALARMS)
        return found

    def recall(self) -> float:
        """Share of the repeat photographs found among the training images at 1 % false alarms; NaN
        where no lesion was photographed twice."""
        return float((self.repeated < self.threshold).mean()) if len(self.repeated) else np.nan

    def pair_recall(self) -> float:
        """Share of the pairs of one lesion that are nearer than 99 % of the pairs of two."""
        if len(self.different) == 0:
            return np.nan
        return float((self.same < np.quantile(self.different, FALSE_ALARMS)).mean())

    def pair_auc(self) -> float:
        """Chance that two photographs of one lesion are nearer than two of different lesions."""
        return area(-self.same, -self.different)[0] if len(self.different) else np.nan

    def curve(self) -> tuple[np.ndarray, np.ndarray]:
        """The ROC curve of the search: false alarms among unseen photographs, and recall of repeat
        photographs, at every threshold."""
        thresholds = np.sort(self.unseen.relative)
        alarms = np.arange(len(thresholds)) / len(thresholds)
        found = np.searchsorted(np.sort(self.repeated), thresholds, "left")
        return alarms, found / max(1, len(self.repeated))


def area(positive: np.ndarray, negative: np.ndarray) -> tuple[float, float, float]:
    """Area under the ROC curve of scores (P,) and (N,), with its 95 % interval (DeLong, DeLong and
    Clarke-Pearson 1988): the chance that a positive scores above a negative, ties counting half.
    MetricError with fewer than two of either.
    """
    if min(len(positive), len(negative)) < 2:
        raise MetricError(
            f"{len(positive)} positives and {len(negative)} negatives: an area needs two of each."
        )
    above = _share_below(positive, negative)
    below = _share_below(negative, positive)
    error = np.sqrt(above.var(ddof=1) / len(positive) + below.var(ddof=1) / len(negative))
    value, reach = float(above.mean()), 1.96 * float(error)
    return value, max(0.0, value - reach), min(1.0, value + reach)


def _share_below(of: np.ndarray, others: np.ndarray) -> np.ndarray:
    ordered = np.sort(others)
    counts = np.searchsorted(ordered, of, "left") + np.searchsorted(ordered, of, "right")
    return counts / (2 * len(others))
