"""From hits and misses to a verdict: paired differences between arms, 95 % intervals, four words.

Two things differ when a study is repeated. Other *lesions*: these are resampled within class
(bootstrap). Other *trainings*: three seeds are too few to resample, which gives (s - 1) / s of the
variance, so theirs is estimated (see `luck`). Not in any interval: other training lesions.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from .errors import MetricError, UsageError, one_of
from .predictions import CELL, CONFIDENCE, Predictions, lesion_level

MARGIN = 0.02  # the smallest difference in balanced accuracy worth acting on: 2 points
QUICK = "quick mode: inconclusive by construction"
ONE_SEED = "one classifier seed: nothing is known of a second training of the classifier"
ONE_GENERATOR = "one generator: nothing is known of a second training of the GAN"
FEWEST = 5  # lesions of a class: resampling fewer repeats the same ones and sees no chance
ENDLESS = 10**9  # degrees of freedom


@dataclass(frozen=True)
class Trainings:
    """What the trainings of an arm got right: `hits` bool (generator seeds, classifier seeds, L).

    `made` and `trained` are those seeds, sorted; `made` is (-1,) for an arm without a generator.
    """

    hits: np.ndarray
    made: tuple[int, ...]
    trained: tuple[int, ...]


@dataclass(frozen=True)
class Study:
    """What the trainings of every arm got right on the same L lesions, folds pooled.

    `label`, `fold` (L,); `support` (K,) lesions of each class; `resamples`, `seed`: of intervals.
    """

    arms: dict[str, Trainings]
    label: np.ndarray
    fold: np.ndarray
    support: np.ndarray
    resamples: int
    seed: int = 0

    @property
    def folds(self) -> int:
        return len(np.unique(self.fold))

    @property
    def quick(self) -> bool:
        """One fold, or no arm with a second classifier seed: chance between trainings is unseen."""
        return self.folds == 1 or max(len(arm.trained) for arm in self.arms.values()) == 1

    @property
    def blind(self) -> bool:
        """A class has so few lesions that its resampled recalls hardly vary."""
        return bool((self.support < FEWEST).any())

    @property
    def weight(self) -> np.ndarray:
        """What a hit of each lesion adds to balanced accuracy (L,); NaN when a class has none."""
        known = 1.0 if self.support.all() else np.nan
        return known / (len(self.support) * self.support[self.label])

    @property
    def observed(self) -> dict[str, float]:
        """Balanced accuracy of each arm, mean over all its trainings."""
        return {name: float(self.weight @ arm.hits.mean((0, 1))) for name, arm in self.arms.items()}


def study(predictions: Predictions, resamples: int, seed: int = 0) -> Study:
    """The test part of `predictions` by lesion, folds pooled.

    MetricError when arms were not tested on the same lesions, or a replicate of an arm is missing.
    """
    lesions = lesion_level(predictions)
    table = lesions.table.assign(hit=lesions.softmax.argmax(1) == lesions.table["label"])
    wide = table.pivot(index=["label", "fold", "group_id"], columns=CELL, values="hit")
    if wide.isna().any(axis=None):
        arm, made, trained = wide.columns[wide.isna().any()][0]
        raise MetricError(
            f"arm {arm!r} (generator seed {made}, classifier seed {trained}) has no prediction for "
            "lesions that another arm was tested on: run the comparison to its end."
        )
    label, fold = (wide.index.get_level_values(name).to_numpy() for name in ("label", "fold"))
    support = np.bincount(label, minlength=len(lesions.classes))
    arms = {arm: _trainings(arm, wide[arm]) for arm in lesions.arms}
    return Study(arms, label, fold, support, resamples, seed)


def _trainings(arm: str, hits: pd.DataFrame) -> Trainings:
    made, trained = (tuple(sorted(hits.columns.unique(level))) for level in CELL[1:])
    if len(hits.columns) != len(made) * len(trained):
        raise MetricError(f"arm {arm!r} misses replicates: run the comparison to its end.")
    shape = (len(made), len(trained), len(hits))
    return Trainings(hits.sort_index(axis=1).to_numpy(bool).T.reshape(shape), made, trained)


def paired(study: Study, arm: str, other: str) -> np.ndarray:
    """Hits of `arm` less those of `other`, -1, 0 or 1, seed by seed: (generator seeds, classifier
    seeds, L), on the seeds that both arms have.

    An arm without a generator stands beside every generator of the other. MetricError when the
    arms have no seed in common.
    """
    a, b = study.arms[arm], study.arms[other]
    trained = [seed for seed in a.trained if seed in b.trained]
    made = [[seed for seed in a.made if seed in b.made]] * 2
    if (a.made == (-1,)) != (b.made == (-1,)):
        made = [a.made, b.made]
    if not trained or not made[0]:
        told = f"arms {arm!r} and {other!r} have no {'classifier' if made[0] else 'generator'} seed"
        raise MetricError(f"{told} in common: train both with the same.")
    first, second = (
        x.hits[np.ix_(np.isin(x.made, seeds), np.isin(x.trained, trained))].astype(np.int8)
        for x, seeds in ((a, made[0]), (b, made[1]))
    )
    return first - second


def draws(study: Study, hits: np.ndarray) -> np.ndarray:
    """Balanced accuracy, or a difference of two, with other lesions and trainings: (resamples,).

    `hits` (generator seeds, classifier seeds, L): an arm's own, or `paired`. NaN when a class has
    no lesion. Student's t: normal deviations over a chi, as their variance is an estimate.
    """
    rng, count, mean = np.random.default_rng(study.seed), study.resamples, hits.mean((0, 1))
    value = study.weight @ mean
    lesions = resampled(mean, study.label, len(study.support), count, rng) - value
    if np.isnan(value):  # and so are they
        return lesions
    variance, freedom = luck(hits, study.fold, study.weight, lesions.var())
    moved = lesions + np.sqrt(variance) * rng.standard_normal(count)
    return value + moved / np.sqrt(rng.chisquare(freedom, count) / freedom)


def resampled(
    values: np.ndarray, label: np.ndarray, classes: int, resamples: int, rng: np.random.Generator
) -> np.ndarray:
    """Mean over classes of the class means of `values` (L,), lesions being drawn with replacement
    within class: (resamples,). Every class must have one.

    Lesions of equal value are interchangeable, so how often each *value* is drawn is one
    multinomial: the same distribution as drawing lesions, and fast.
    """
    total = np.zeros(resamples)
    for c in np.unique(label):
        found, counts = np.unique(values[label == c], return_counts=True)
        number = counts.sum()
        total += rng.multinomial(number, counts / number, size=resamples) @ found / number
    return total / classes


def luck(
    hits: np.ndarray, fold: np.ndarray, weight: np.ndarray, lesions: float = 0.0
) -> tuple[float, float]:
    """Variance that trainings add to the weighted sum of `hits`, beside that of resampled
    `lesions`; and the degrees of freedom of both together (Satterthwaite 1946).

    Every fold trains its own classifiers and generators, so seeds are compared within folds. The
    variance of a mean over crossed seeds is unbiased by the analysis of variance: generators plus
    classifiers less their interaction. What a training does to single lesions, each for itself, is
    in the resampled lesions too, so the same sums of squares, lesion by lesion, are taken off.
    Studies of several radiologists tell readers from cases in this way (Gallas 2006, Acad Radiol
    13:353). Never below 0, and no freer than its least free part: rather too wide than too narrow.
    """
    folds, (g, s) = np.unique(fold), hits.shape[:2]
    sums = np.stack([hits[..., fold == f] @ weight[fold == f] for f in folds], axis=-1)
    parts = _components(sums).sum(1)
    variance = max(0.0, float((parts - _components(hits) @ weight**2).sum()))
    freedom = len(folds) * np.array([g - 1, s - 1, (g - 1) * (s - 1)])
    parts, freedom = parts[freedom > 0], freedom[freedom > 0]
    doubt = 2 * (parts**2 / freedom).sum()  # variance of the variance
    both = 2 * (lesions + variance) ** 2 / max(doubt, 1e-300)
    return variance, float(np.clip(both, freedom.min(initial=ENDLESS), ENDLESS))


def _components(x: np.ndarray) -> np.ndarray:
    """Of x (G, S, N), estimates (3, N) whose sum is the variance of its mean over both seeds: from
    generators, classifiers, and less their interaction. 0 where there is one seed."""
    g, s = x.shape[:2]
    whole, rows, columns = x.mean((0, 1)), x.mean(1), x.mean(0)
    made = ((rows - whole) ** 2).sum(0) / max(1, g * (g - 1))
    trained = ((columns - whole) ** 2).sum(0) / max(1, s * (s - 1))
    both = (x - rows[:, None] - columns + whole) ** 2
    return np.stack([made, trained, -both.sum((0, 1)) / max(1, g * (g - 1) * s * (s - 1))])


def interval(draws: np.ndarray) -> tuple[float, float]:
    """Percentile 95 % interval of resampled values; NaN when they are."""
    tail = 100 * (1 - CONFIDENCE) / 2
    low, high = np.percentile(draws, [tail, 100 - tail])
    return float(low), float(high)


def two_sided_p(draws: np.ndarray) -> float:
    """Twice the smaller share of draws on one side of nothing; never 0. NaN when they are."""
    if np.isnan(draws).any():
        return float("nan")
    side = min((draws <= 0).sum(), (draws >= 0).sum())
    return float(min(1.0, 2 * (side + 1) / (len(draws) + 1)))


def holm(p: np.ndarray) -> np.ndarray:
    """Holm's adjusted p values (1979): the smallest times m, the next times m - 1, and so on."""
    order = np.argsort(p)
    stepped = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    adjusted = np.empty(len(p))
    adjusted[order] = np.minimum(stepped, 1.0)
    return adjusted


def primary(bar: str, placebo: str = "placebo") -> list[tuple[str, str]]:
    """The contrasts (arm, against) fixed before any run; Holm corrects those that a study has."""
    return [("synthetic", bar), ("synthetic", placebo), ("filtered", "synthetic")]


def contrasts(study: Study, bar: str, placebo: str = "placebo") -> pd.DataFrame:
    """arm, against, difference, low, high, p, p_holm, generators, seeds: every arm against the bar,
    the placebo, then filtered against unfiltered images.

    `bar`: the strongest real-only recipe, chosen on validation. A difference is measured on the
    seeds that both arms have, so many `generators` and classifier `seeds`, and need not be that of
    the arms' own means. `p` is two-sided, from the draws of the interval; `p_holm` corrects it over
    the `primary` contrasts and is NaN for exploratory ones.
    """
    one_of("bar", bar, study.arms)
    if placebo not in study.arms:
        raise MetricError(
            f"no arm {placebo!r} among {', '.join(study.arms)}: without as many duplicated real "
            "images nobody can tell new images from more images. Train it, or name the placebo."
        )
    if bar == placebo:
        raise UsageError(f"bar and placebo are both {bar!r}: name the best real-only arm as bar.")
    pairs = [(arm, other) for other in (bar, placebo) for arm in study.arms if arm != other]
    pairs.remove((bar, placebo))
    fixed = [pair for pair in primary(bar, placebo) if set(pair) <= set(study.arms)]
    pairs += [pair for pair in fixed if pair not in pairs]
    rows = []
    for arm, other in pairs:
        hits = paired(study, arm, other)
        drawn, seen = draws(study, hits), float(study.weight @ hits.mean((0, 1)))
        rows.append((arm, other, seen, *interval(drawn), two_sided_p(drawn), *hits.shape[:2]))
    names = ["arm", "against", "difference", "low", "high", "p", "generators", "seeds"]
    table = pd.DataFrame(rows, columns=names)
    chosen = np.array([pair in fixed for pair in pairs])
    table.insert(6, "p_holm", np.nan)
    table.loc[chosen, "p_holm"] = holm(table["p"].to_numpy()[chosen])
    return table


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


def verdicts(study: Study, bar: str, placebo: str = "placebo") -> pd.DataFrame:
    """arm, balanced_accuracy, against_bar, bar_low, bar_high, against_placebo, placebo_low,
    placebo_high, p_holm, verdict, note.

    Every arm but the bar and the placebo. A blind study, one fold, one classifier seed or one
    generator shared with the two are inconclusive: the note says why.
    """
    table = contrasts(study, bar, placebo).set_index(["arm", "against"])
    rows = []
    for arm in [arm for arm in study.arms if arm not in (bar, placebo)]:
        a, b = table.loc[(arm, bar)], table.loc[(arm, placebo)]
        row = {"arm": arm, "balanced_accuracy": study.observed[arm]}
        for side, told in (("bar", a), ("placebo", b)):
            row |= {f"against_{side}": told["difference"]}
            row |= {f"{side}_{end}": told[end] for end in ("low", "high")}
        row["p_holm"] = max(a["p_holm"], b["p_holm"])
        once = min(a["seeds"], b["seeds"]) == 1
        alone = study.arms[arm].made != (-1,) and min(a["generators"], b["generators"]) == 1
        known = not (study.quick or once or alone or study.blind)
        word = verdict((a["low"], a["high"]), (b["low"], b["high"])) if known else "inconclusive"
        notes = [] if (arm, bar) in primary(bar, placebo) else ["exploratory"]
        if study.blind:
            notes.append(f"a class has fewer than {FEWEST} lesions in this test set")
        why = [QUICK] if study.quick else [ONE_SEED] * int(once) + [ONE_GENERATOR] * int(alone)
        rows.append(row | {"verdict": word, "note": "; ".join(notes + why)})
    return pd.DataFrame(rows)
