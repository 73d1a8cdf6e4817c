"""From hits and misses to a verdict: paired bootstrap of lesions within class, nested with seeds;
Holm; the four verdict words.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import ndtri

from .errors import MetricError, one_of
from .predictions import CELL, CONFIDENCE, Predictions, lesion_level

MARGIN = 0.02  # the smallest difference in balanced accuracy worth acting on: 2 points
QUICK = "quick mode: inconclusive by construction"
ONE_GENERATOR = "one generator: nothing is known of a second training of the GAN"
FEWEST = 5  # lesions of a class: resampling fewer repeats the same ones and sees no chance
BLOCK = 1000  # resamples drawn at a time, for memory
PRIMARY = (("synthetic", "real_classic"), ("synthetic", "placebo"), ("filtered", "synthetic"))


def hits_by_arm(lesions: Predictions) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """For each arm, hit or miss as bool (generator seeds, classifier seeds, L), and the lesions'
    labels (L,).

    MetricError when arms were not tested on the same lesions, or a replicate of an arm is missing.
    """
    table = lesions.table.assign(hit=lesions.softmax.argmax(1) == lesions.table["label"])
    wide = table.pivot(index=["label", "fold", "group_id"], columns=CELL, values="hit")
    if wide.isna().any(axis=None):
        arm, made, trained = wide.columns[wide.isna().any()][0]
        raise MetricError(
            f"arm {arm!r} (generator seed {made}, classifier seed {trained}) has no prediction for "
            "lesions that another arm was tested on: run the comparison to its end."
        )
    hits = {}
    for arm in lesions.arms:
        seeds = wide[arm].columns
        grid = [seeds.unique(level) for level in ("generator_seed", "classifier_seed")]
        if len(seeds) != len(grid[0]) * len(grid[1]):
            raise MetricError(f"arm {arm!r} misses replicates: run the comparison to its end.")
        shape = (len(grid[0]), len(grid[1]), len(wide))
        hits[arm] = wide[arm].sort_index(axis=1).to_numpy(bool).T.reshape(shape)
    if len({array.shape[1] for array in hits.values()}) > 1:
        raise MetricError(
            "the arms have different numbers of classifier seeds: run the comparison to its end."
        )
    return hits, wide.index.get_level_values("label").to_numpy()


def bootstrap(
    hits: dict[str, np.ndarray], label: np.ndarray, classes: int, resamples: int, seed: int
) -> dict[str, np.ndarray]:
    """Balanced accuracy (resamples,) of each arm under resampled lesions and seeds, the same draws
    for all arms.

    `hits` bool (generator seeds, classifier seeds, L); `label` (L,). Lesions are drawn with
    replacement within class. NaN when a class has no lesion. Lesions with the same hits everywhere
    are interchangeable, so how often each *pattern* is drawn is one multinomial: the same
    distribution as drawing lesions, and fast.
    """
    rng = np.random.default_rng(seed)
    columns = np.concatenate([array.reshape(-1, len(label)) for array in hits.values()])
    patterns = [
        np.unique(columns[:, label == c].T, axis=0, return_counts=True) for c in range(classes)
    ]
    blocks = []
    for start in range(0, resamples, BLOCK):
        count = min(BLOCK, resamples - start)
        balanced = sum(_resampled_recall(*pattern, count, rng) for pattern in patterns) / classes
        blocks.append(_resample_seeds(hits, balanced, rng))
    return {arm: np.concatenate([block[arm] for block in blocks]) for arm in hits}


def _resampled_recall(
    patterns: np.ndarray, counts: np.ndarray, resamples: int, rng: np.random.Generator
) -> np.ndarray:
    """Recall (resamples, columns) of a class whose lesions show `patterns` (P, columns) `counts`
    times.
    """
    total = counts.sum()
    if total == 0:
        return np.full((resamples, patterns.shape[1]), np.nan)
    return rng.multinomial(total, counts / total, size=resamples) @ patterns.astype(float) / total


def _resample_seeds(
    hits: dict[str, np.ndarray], balanced: np.ndarray, rng: np.random.Generator
) -> dict[str, np.ndarray]:
    """Mean over resampled replicates; arms share the draws as they share weights and order."""
    sizes = sorted({size for array in hits.values() for size in array.shape[:2]})
    weight = {
        size: rng.multinomial(size, np.full(size, 1 / size), size=len(balanced)) / size
        for size in sizes
    }
    # generator and classifier seeds are drawn apart even where there are as many of both
    made = {size: rng.permutation(weight[size]) for size in sizes}
    means, start = {}, 0
    for arm, array in hits.items():
        g, s = array.shape[:2]
        part = balanced[:, start : start + g * s].reshape(-1, g, s)
        means[arm] = np.einsum("bgs,bg,bs->b", part, made[g], weight[s])
        start += g * s
    return means


@dataclass(frozen=True)
class Study:
    """Balanced accuracy of each arm, observed and resampled, and how often the experiment was
    repeated.
    """

    observed: dict[str, float]
    resampled: dict[str, np.ndarray]
    folds: int
    classifier_seeds: int
    generator_seeds: int
    support: np.ndarray  # lesions of each class

    @property
    def quick(self) -> bool:
        """One fold or one classifier seed: chance between trainings is not in any interval."""
        return self.folds == 1 or self.classifier_seeds == 1

    @property
    def blind(self) -> bool:
        """A class has so few lesions that its resampled recalls hardly vary."""
        return bool((self.support < FEWEST).any())


def study(predictions: Predictions, resamples: int, seed: int = 0) -> Study:
    """The test part of `predictions` by lesion, folds pooled, with paired resamples."""
    lesions = lesion_level(predictions)
    hits, label = hits_by_arm(lesions)
    classes = len(predictions.classes)
    support = np.bincount(label, minlength=classes)
    shares = {arm: array.mean((0, 1)) for arm, array in hits.items()}
    with np.errstate(invalid="ignore"):
        observed = {
            arm: float((np.bincount(label, share, classes) / support).mean())
            for arm, share in shares.items()
        }
    sizes = [array.shape[:2] for array in hits.values()]
    return Study(
        observed,
        bootstrap(hits, label, classes, resamples, seed),
        lesions.table["fold"].nunique(),
        max(s for _, s in sizes),
        max(g for g, _ in sizes),
        support,
    )


def interval(draws: np.ndarray) -> tuple[float, float]:
    """Percentile 95 % interval of resampled values; NaN when they are."""
    tail = 100 * (1 - CONFIDENCE) / 2
    low, high = np.percentile(draws, [tail, 100 - tail])
    return float(low), float(high)


def arm_intervals(study: Study) -> pd.DataFrame:
    """arm, balanced_accuracy, low, high."""
    rows = [(arm, value, *interval(study.resampled[arm])) for arm, value in study.observed.items()]
    return pd.DataFrame(rows, columns=["arm", "balanced_accuracy", "low", "high"])


def contrasts(study: Study, bar: str = "real_classic", placebo: str = "placebo") -> pd.DataFrame:
    """arm, against, difference, low, high, p, p_holm: every arm against the bar, then the placebo.

    `p` is two-sided, from the resamples; `p_holm` corrects it over the `PRIMARY` contrasts and is
    NaN for exploratory ones.
    """
    pairs = [
        (arm, one_of("arm", other, study.observed))
        for other in (bar, placebo)
        for arm in study.observed
        if arm != other and (arm, other) != (bar, placebo)
    ]
    pairs += [pair for pair in PRIMARY if pair not in pairs and set(pair) <= set(study.observed)]
    rows = []
    for arm, other in pairs:
        draws = study.resampled[arm] - study.resampled[other]
        difference = study.observed[arm] - study.observed[other]
        rows.append((arm, other, difference, *interval(draws), two_sided_p(draws)))
    table = pd.DataFrame(rows, columns=["arm", "against", "difference", "low", "high", "p"])
    primary = np.array([pair in PRIMARY for pair in pairs])
    table["p_holm"] = np.nan
    table.loc[primary, "p_holm"] = holm(table["p"].to_numpy()[primary])
    return table


def two_sided_p(draws: np.ndarray) -> float:
    """Twice the smaller share of resampled differences on one side of nothing; never 0. NaN when
    they are.
    """
    if np.isnan(draws).any():
        return float("nan")
    side = min((draws <= 0).sum(), (draws >= 0).sum())
    return float(min(1.0, 2 * (side + 1) / (len(draws) + 1)))


def holm(p: np.ndarray) -> np.ndarray:
    """Holm's adjusted p values (1979), in the order given: the smallest times m, the next times
    m - 1, never falling.
    """
    order = np.argsort(p)
    stepped = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    adjusted = np.empty(len(p))
    adjusted[order] = np.minimum(stepped, 1.0)
    return adjusted


def verdict(bar: tuple[float, float], placebo: tuple[float, float]) -> str:
    """gain, harm, equivalent or inconclusive, from 95 % intervals of the difference against the bar
    and the placebo.

    gain: both above 0. harm: against the bar below 0. equivalent: against the bar within 2 points
    either way, which is two one-sided tests at 2.5 %. In this order; NaN is inconclusive.
    """
    if bar[0] > 0 and placebo[0] > 0:
        return "gain"
    if bar[1] < 0:
        return "harm"
    if bar[0] > -MARGIN and bar[1] < MARGIN:
        return "equivalent"
    return "inconclusive"


def verdicts(study: Study, bar: str = "real_classic", placebo: str = "placebo") -> pd.DataFrame:
    """arm, balanced_accuracy, against_bar, bar_low, bar_high, against_placebo, placebo_low,
    placebo_high, p_holm, verdict, note.

    Every arm but the bar and the placebo. A quick or blind study has one verdict, inconclusive, and
    the note says why.
    """
    table = contrasts(study, bar, placebo).set_index(["arm", "against"])
    rows = []
    for arm in [arm for arm in study.observed if arm not in (bar, placebo)]:
        a, b = table.loc[(arm, bar)], table.loc[(arm, placebo)]
        word = verdict((a["low"], a["high"]), (b["low"], b["high"]))
        row = {"arm": arm, "balanced_accuracy": study.observed[arm]}
        row |= {"against_bar": a["difference"], "bar_low": a["low"], "bar_high": a["high"]}
        row |= {"against_placebo": b["difference"]}
        row |= {"placebo_low": b["low"], "placebo_high": b["high"]}
        row |= {"p_holm": max(a["p_holm"], b["p_holm"])}
        row |= {"verdict": "inconclusive" if study.quick or study.blind else word}
        rows.append(row | {"note": _note(study, (arm, bar) in PRIMARY)})
    return pd.DataFrame(rows)


def _note(study: Study, primary: bool) -> str:
    notes = [] if primary else ["exploratory"]
    if study.blind:
        notes.append(f"a class has fewer than {FEWEST} lesions in this test set")
    if study.quick:
        notes.append(QUICK)
    elif study.generator_seeds == 1:
        notes.append(ONE_GENERATOR)
    return "; ".join(notes)


def discordance(first: np.ndarray, second: np.ndarray) -> float:
    """Share of lesions that one training gets right and the other wrong; hits as bool (L,)."""
    return float((np.asarray(first) != np.asarray(second)).mean())


def detectable_difference(support: np.ndarray, discordance: float, power: float = 0.8) -> float:
    """Smallest true difference in balanced accuracy that a paired 5 % test finds at this power.

    `support`: lesions of each class; a class's mean paired difference has variance
    discordance / lesions.
    """
    z = ndtri(0.5 + CONFIDENCE / 2) + ndtri(power)
    return float(z * np.sqrt((discordance / np.asarray(support)).sum()) / len(support))
