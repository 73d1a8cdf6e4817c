"""What a test set can show before anything is trained, and what a gain is worth in real lesions."""

from collections.abc import Sequence
from itertools import combinations

import numpy as np
import pandas as pd
from scipy.special import ndtri

from .errors import UsageError, one_of
from .predictions import CONFIDENCE, Predictions
from .statistics import Study, Trainings, study

DISCORDANCE = 0.12  # assumed until two seeds of the bar have been compared
POWER = 0.8
# of `simulated`: shares of the variance between lesions in all arms, and in one arm alone
EASE, TASTE = 0.877, 0.02
HAM10000 = {"nv": 5403, "mel": 614, "bkl": 727, "bcc": 327, "akiec": 228, "vasc": 98, "df": 73}


def discordance(first: np.ndarray, second: np.ndarray) -> float:
    """Share of lesions that one training gets right and the other wrong; hits as bool (L,)."""
    return float((np.asarray(first) != np.asarray(second)).mean())


def measured_discordance(predictions: Predictions, arm: str) -> np.ndarray:
    """Share of each class's test lesions (K,) on which two classifier seeds of an arm disagree in
    being right: mean over all pairs of seeds (of one generator each). NaN with one seed, and for a
    class without a lesion.

    By class, because rare diagnoses are disputed more and weigh as much: one share of all lesions
    would be that of the commonest class, and promise too much power.
    """
    rows = predictions.table["arm"] == one_of("arm", arm, predictions.arms)
    found = study(predictions.where(rows.to_numpy()), 0)
    pairs = [pair for made in found.arms[arm].hits for pair in combinations(made, 2)]
    classes = [found.label == c for c in range(len(found.support))]
    if not pairs:
        return np.full(len(classes), np.nan)
    return np.array(
        [
            np.mean([discordance(a[c], b[c]) for a, b in pairs]) if c.any() else np.nan
            for c in classes
        ]
    )


def detectable_difference(
    support: np.ndarray, discordance: float | np.ndarray, power: float = POWER
) -> float:
    """Smallest true difference in balanced accuracy that a paired 5 % test finds at this power.

    `support`: lesions of each class (K,); `discordance`: one, or of each class. A class's mean
    paired difference has variance discordance / lesions (McNemar's, for a small difference). One
    training a side: with s seeds a side it falls towards 1 / sqrt(s) of this, and luck that moves
    many lesions at once adds to it. A *gain* must beat two arms, so its power is lower.
    """
    z = ndtri(0.5 + CONFIDENCE / 2) + ndtri(power)
    return float(z * np.sqrt((discordance / np.asarray(support)).sum()) / len(support))


def table(
    support: np.ndarray, discordances: Sequence[float | np.ndarray], folds: int = 5
) -> pd.DataFrame:
    """discordance (mean over classes), tested, lesions, points: the detectable difference in points
    of balanced accuracy at 80 % power, of one fold and of all folds pooled.

    `support`: lesions of each class in all `folds`. A discordance that is NaN gives NaN.
    """
    rows = []
    for share in discordances:
        for tested, parts in (("one fold", folds), ("all folds pooled", 1)):
            lesions = np.asarray(support) / parts
            points = 100 * detectable_difference(lesions, share)
            rows.append((np.mean(share), tested, round(lesions.sum()), points))
    return pd.DataFrame(rows, columns=["discordance", "tested", "lesions", "points"])


def equivalent_lesions(
    counts: Sequence[int], scores: Sequence[float], gain: float
) -> tuple[float, str]:
    """How many more real lesions the learning curve would need for `gain` over its last point, and
    what is to be said of the number (else ""): why it is inf or NaN, that it lies beyond the curve.

    `counts`: training lesions, the whole set last; `scores`: balanced accuracy (0 to 1) at each. A
    straight line is fitted to accuracy against log2 of lesions (least squares), and its slope, the
    gain of a doubling, says what `gain` costs: n (2^(gain / slope) - 1). A negative gain gives
    lesions taken away. To be read with care: every positive gain lies beyond the data, where curves
    flatten, so the true number is larger; four points carry a slope badly, and it stands in an
    exponent.
    """
    counts, scores = np.asarray(counts, float), np.asarray(scores, float)
    if not np.isfinite([*scores, gain]).all():
        return float("nan"), "a score or the gain is not known"
    if len(set(counts)) < 2:
        return float("nan"), "a learning curve needs two numbers of lesions at least"
    slope = float(np.polyfit(np.log2(counts), scores, 1)[0])
    if gain == 0:
        return 0.0, ""
    if slope <= 0:
        never = float("inf") if gain > 0 else float("nan")
        return never, "more lesions did not help here: the fitted curve does not rise"
    with np.errstate(over="ignore"):
        more = float(counts[-1] * (np.exp2(gain / slope) - 1))
    if not np.isfinite(more):
        return more, "the fitted curve is too flat to reach this gain"
    measured = counts.min() <= counts[-1] + more <= counts.max()
    told = f"beyond the curve, which was measured from {counts.min():,.0f} to {counts.max():,.0f}"
    return more, "" if measured else told


def worth(counts: Sequence[int], scores: Sequence[float], gain: float) -> str:
    """`equivalent_lesions` in words."""
    more, why = equivalent_lesions(counts, scores, gain)
    told = [] if np.isnan(more) else [f"as much as {more:+,.0f} real lesions"]
    return ", ".join([*told, *filter(None, [why])])


def simulated(
    rng: np.random.Generator,
    effects: dict[str, float],
    support: Sequence[int] = tuple(HAM10000.values()),
    recall: float = 0.75,
    folds: int = 5,
    seeds: int = 3,
    generators: int = 2,
    luck: float = 0.1,
    everywhere: bool = False,
    resamples: int = 1000,
) -> Study:
    """A study whose truth is known: the arm "bar" has this recall in every class, and the arms of
    `effects`, each with generators, differ from it by so much.

    A lesion is a hit where the sum of normal terms, of variance 1 together, is above a threshold:
    how easy it is, to all arms and to this one; the luck of the classifier's seed in all arms, of
    this training and of its generator, each of standard deviation `luck` and the same for all
    lesions of a class in a fold (`everywhere`: in all folds); noise of this lesion and training.
    At the defaults two trainings of an arm disagree on 12 % of lesions, and luck moves the recall
    of a class in a fold by 3 points (standard deviation) for each of its three reasons.
    """
    label = np.repeat(np.arange(len(support)), support)
    fold = np.concatenate([np.arange(n) % folds for n in support])

    def normal(*shape: int) -> np.ndarray:
        return rng.standard_normal(shape, dtype=np.float32)

    def lucky(*shape: int) -> np.ndarray:
        drawn = luck * normal(*shape, 1 if everywhere else folds, len(support))
        return drawn[..., fold * (not everywhere), label]

    lesion, same = np.sqrt(EASE) * normal(len(label)), lucky(seeds)
    arms = {}
    for arm, effect in {"bar": 0.0, **effects}.items():
        made = 1 if arm == "bar" else generators
        score = lesion + np.sqrt(TASTE) * normal(len(label)) + same + lucky(made, seeds)
        rest = 1 - EASE - TASTE - 2 * luck**2
        if arm != "bar":
            score, rest = score + lucky(made, 1), rest - luck**2
        if rest < 0:
            raise UsageError(f"luck {luck} leaves no room for noise: choose 0.18 or less.")
        score = score + np.sqrt(rest) * normal(made, seeds, len(label))
        numbers = (-1,) if arm == "bar" else tuple(range(made))
        arms[arm] = Trainings(score > -ndtri(recall + effect), numbers, tuple(range(seeds)))
    seed = int(rng.integers(2**31))
    return Study(arms, label, fold, np.array(support), resamples, seed)
