"""Is it a copy, is it one picture over and over, does it betray its teachers? What the neighbours
of generated images say, beside the same of photographs that the generator has not seen.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from .detectors import FALSE_ALARMS, HASH, PIXELS, Detector, Eye, Witnesses, area
from .errors import MetricError
from .neighbours import Known, Neighbours, distances, small, typical
from .predictions import wilson
from .set_metrics import FEWEST, intervals

MANY_COPIES = 0.03  # accused share, at the lower end of its interval, that is a finding
MANY_REPEATS = 0.25  # share with a twin, at the lower end of its interval, that is a finding
LITTLE_SPREAD = 0.4  # spread, as a share of the real one, under which a generator has collapsed


@dataclass(frozen=True)
class Value:
    """A number of the audit, its 95 % interval, and the same of unseen photographs."""

    value: float
    low: float
    high: float
    floor: float


@dataclass(frozen=True)
class Rate(Value):
    """A share of accused images; some are to be expected, in a class of rare looks more."""

    usual: float  # the upper end of the 95 % interval of the floor

    @property
    def found(self) -> bool:
        """True for more copies than chance accuses among unseen photographs of the same mix."""
        return self.low > max(MANY_COPIES, self.usual)


@dataclass(frozen=True)
class Audit:
    """What was found of a generated set, or of a class of it."""

    count: int
    copy_rates: dict[str, Rate]  # by detector: share of the images that it accuses
    nn_ratio: Value  # median distance generated -> training over unseen -> training
    spread: Value  # typical distance of two generated images over that of two photographs
    repeat_rate: Value  # share of the images with a nearer twin than 99 % of photographs have

    @property
    def flags(self) -> list[str]:
        """What applies of "copies", "collapsed" (one picture) and "few pictures"; empty for a
        generator that passes."""
        copies = any(rate.found for rate in self.copy_rates.values())
        collapsed = self.spread.value < LITTLE_SPREAD
        few = self.repeat_rate.low > MANY_REPEATS and not collapsed
        return ["copies"] * copies + ["collapsed"] * collapsed + ["few pictures"] * few


@dataclass(frozen=True)
class Searched:
    """Images and what the detectors found for each; rows of it are judged."""

    neighbours: dict[str, Neighbours]
    apart: np.ndarray = field(repr=False)  # float32 (N, N), distance of every two of the images


class Auditor:
    """Knows a generator's training images and photographs it has not seen; judges generated sets.

    All images uint8 (N, S, S, 3). The first of `eyes` also measures how near and how varied.
    """

    def __init__(
        self, training: np.ndarray, witnesses: Witnesses, eyes: Sequence[Eye] = (PIXELS, HASH)
    ):
        self.detectors = [Detector(eye, training, witnesses) for eye in eyes]
        self.first, self.witnesses = self.detectors[0], witnesses
        self.strangers = Searched(
            {d.name: d.unseen for d in self.detectors},
            distances(witnesses.unseen, eyes[0].describe),
        )

    def trials(self) -> pd.DataFrame:
        """How far each detector can be trusted on photographs of one lesion: area under the ROC
        curve and recall among pairs, and recall of the search, at 1 % false alarms."""
        rows = {d.name: [d.pair_auc(), d.pair_recall(), d.recall()] for d in self.detectors}
        columns = ["AUC, pairs", "recall, pairs", "recall, search"]
        return pd.DataFrame.from_dict(rows, orient="index", columns=columns)

    def search(self, generated: np.ndarray) -> Searched:
        """The nearest training images of `generated` by every detector."""
        found = {d.name: d.nearest(generated) for d in self.detectors}
        return Searched(found, distances(generated, self.first.known.describe))

    def judge(
        self,
        found: Searched,
        rows: np.ndarray,
        alike: np.ndarray,
        strangers: np.ndarray,
        seed: int = 0,
    ) -> Audit:
        """The audit of `rows` of the searched images. How near and how varied is asked of the rows
        `alike` beside the rows `strangers` of the unseen photographs: pass one mix of classes, as
        frequent classes are nearer to everything. MetricError with fewer than ten of either."""
        if min(len(alike), len(strangers)) < FEWEST:
            raise MetricError(
                f"{len(alike)} generated images and {len(strangers)} unseen photographs: an audit "
                f"needs {FEWEST} of each."
            )
        copies = {d.name: self._copy_rate(d, found, rows, strangers) for d in self.detectors}
        return Audit(len(rows), copies, *self._geometry(found, alike, strangers, seed))

    def _copy_rate(
        self, detector: Detector, found: Searched, rows: np.ndarray, strangers: np.ndarray
    ) -> Rate:
        accused = detector.accused(found.neighbours[detector.name])[rows]
        unseen = detector.strangers_accused()[strangers]
        interval, usual = (wilson(int(x.sum()), len(x)) for x in (accused, unseen))
        return Rate(float(accused.mean()), *interval, float(unseen.mean()), usual[1])

    def _geometry(
        self, found: Searched, rows: np.ndarray, strangers: np.ndarray, seed: int
    ) -> list[Value]:
        near, unseen = (one.neighbours[self.first.name].distance for one in (found, self.strangers))

        def measures(a: np.ndarray, b: np.ndarray) -> dict[str, float]:
            return {
                "nn_ratio": np.median(near[a]) / max(np.median(unseen[b]), 1e-12),
                "spread": _spread(found.apart, a) / max(_spread(self.strangers.apart, b), 1e-12),
                "repeat_rate": repeats(found.apart, a, self.strangers.apart, b, seed),
            }

        value, reach = measures(rows, strangers), intervals(measures, rows, strangers, seed)
        floors = {"nn_ratio": 1.0, "spread": 1.0, "repeat_rate": FALSE_ALARMS}
        return [Value(float(value[m]), *reach[m], floors[m]) for m in value]

    def __call__(self, generated: np.ndarray, seed: int = 0) -> Audit:
        """The audit of a whole generated set."""
        everyone, all_of_it = np.arange(len(self.strangers.apart)), np.arange(len(generated))
        return self.judge(self.search(generated), all_of_it, all_of_it, everyone, seed)


def table(audits: dict[str, Audit]) -> pd.DataFrame:
    """Audits side by side, a row each: the copy rate of every detector, neighbour ratio, spread,
    repeats, flags."""
    rows = {}
    for name, found in audits.items():
        rates = {f"copies, {d}": rate.value for d, rate in found.copy_rates.items()}
        rest = {m: getattr(found, m).value for m in ("nn_ratio", "spread", "repeat_rate")}
        rows[name] = rates | rest | {"flags": ", ".join(found.flags)}
    return pd.DataFrame.from_dict(rows, orient="index")


def _spread(apart: np.ndarray, rows: np.ndarray) -> float:
    return typical(apart[np.ix_(rows, rows)])


def repeats(
    apart: np.ndarray, rows: np.ndarray, apart_real: np.ndarray, real_rows: np.ndarray, seed: int
) -> float:
    """Share of the images that have a nearer twin among themselves than 99 % of as many photographs
    have; `apart` (N, N) and `apart_real` (M, M) are distances.

    The birthday test of Arora and Zhang 2017 as a rate: a generator of few pictures repeats itself
    although any two draws of it may differ.
    """
    count, rng = min(len(rows), len(real_rows)), np.random.default_rng(seed)
    twins = [
        _nearest_other(matrix[np.ix_(some, some)])
        for matrix, some in (
            (apart, rng.permutation(rows)[:count]),
            (apart_real, rng.permutation(real_rows)[:count]),
        )
    ]
    return float((twins[0] <= np.quantile(twins[1], FALSE_ALARMS)).mean())


def _nearest_other(apart: np.ndarray) -> np.ndarray:
    hidden = apart + 4 * np.eye(len(apart), dtype=apart.dtype)  # no image is its own twin
    return hidden.min(1)


def membership(
    generated: np.ndarray, training: np.ndarray, unseen: np.ndarray
) -> tuple[float, float, float]:
    """Can one tell from a generator's images whom it has learned from? The area under the ROC curve
    (value, low, high at 95 %) of an attack that says "training" where a generated image is near:
    0.5 is guessing.

    The black-box attack of Chen et al. 2020 (GAN-Leaks, arXiv:1909.03935) by pixel correlation over
    eight views. A weak attack: what it finds is a lower bound of what can be found. Pass one
    photograph a lesion and, as frequent classes are nearer to everything, an equal mix of classes.
    """
    known = Known(generated, shrink=small)
    return area(-known.nearest(training).distance, -known.nearest(unseen).distance)
