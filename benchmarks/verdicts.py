"""The statistics of a comparison: seconds for a full study, and how often its verdicts are right.

    python benchmarks/verdicts.py [--studies 1000]

First ten thousand resamples of HAM10000's 7,470 lesions in 8 arms, from saved softmax to the table
of verdicts. Then simulated studies whose truth is known: the rate of each verdict, and how often
the 95 % interval holds the truth, beside intervals that leave out trainings or pairing. (Half an
hour; the file is not called statistics.py, as Python's own module of that name is imported by
packages that other benchmarks need.)
"""

import argparse
import resource
import time

import numpy as np
import pandas as pd

from nbhelpers.power import HAM10000, simulated
from nbhelpers.predictions import Predictions, score_table
from nbhelpers.statistics import (
    Study,
    draws,
    interval,
    paired,
    resampled,
    study,
    verdicts,
)

REAL = ("real", "real_classic", "balanced")
MADE = ("synthetic", "placebo", "filtered", "blended", "permuted")
EFFECTS = (0.0, 0.01, 0.02, 0.04)
# name: settings of `simulated` that differ from its defaults
WORLDS = {
    "5 folds, 3 classifier seeds, 2 generators": {},
    "no luck": {"luck": 0.0},
    "luck of 5 points, not 3": {"luck": 0.16},
    "4 folds, 2 classifier seeds": {"folds": 4, "seeds": 2},
    "one generator": {"generators": 1},
    "luck the same in all folds": {"everywhere": True},
}


def full_study(rng: np.random.Generator) -> Predictions:
    """Softmax of 8 arms with 3 classifier seeds, 5 of them with 2 generators; 5 folds."""
    label = np.repeat(np.arange(len(HAM10000)), list(HAM10000.values()))
    lesions = pd.DataFrame({"label": label, "fold": np.arange(len(label)) % 5})
    lesions["group_id"] = lesions["image_id"] = [f"L{i:05d}" for i in range(len(label))]
    ease = rng.normal(1.5, 1.5, len(label))
    tables, softmax = [], []
    for arm in (*REAL, *MADE):
        for made in (0, 1) if arm in MADE else (-1,):
            for trained in range(3):
                seeds = {"generator_seed": made, "classifier_seed": trained}
                tables.append(lesions.assign(part="test", arm=arm, **seeds))
                score = rng.gumbel(size=(len(label), len(HAM10000)))
                score[np.arange(len(label)), label] += ease
                power = np.exp(score)
                softmax.append((power / power.sum(1, keepdims=True)).astype(np.float32))
    return Predictions(
        pd.concat(tables, ignore_index=True), np.concatenate(softmax), tuple(HAM10000)
    )


def speed() -> None:
    found = full_study(np.random.default_rng(0))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.perf_counter()
    read = study(found, 10_000)
    between = time.perf_counter()
    table = verdicts(read, "balanced")
    end = time.perf_counter()
    score_table(found)
    scored = time.perf_counter()
    more = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    print(
        f"{len(read.label):,} lesions, {len(read.arms)} arms, {read.resamples:,} resamples: "
        f"reading {between - start:.1f} s, {len(table)} verdicts {end - between:.1f} s, "
        f"peak memory + {more:.0f} MB; scores of every training and fold {scored - end:.1f} s"
    )


def without_trainings(made: Study, arm: str, other: str) -> np.ndarray:
    """Draws of other lesions only."""
    hits, rng = paired(made, arm, other), np.random.default_rng(made.seed)
    classes = len(made.support)
    return resampled(hits.mean((0, 1)), made.label, classes, made.resamples, rng)


def unpaired(made: Study, arm: str, other: str) -> np.ndarray:
    """Each arm's draws by itself, as if they had seen different lesions."""
    first, second = (draws(made, made.arms[name].hits) for name in (arm, other))
    return first - np.random.default_rng(made.seed).permutation(second)


def rates(effect: float, studies: int, **settings) -> dict[str, float]:
    """Shares of simulated studies: verdicts, and intervals that hold the truth."""
    rng, ways = np.random.default_rng(0), (without_trainings, unpaired)
    words, seen, held = [], [], {"interval": 0} | {way.__name__: 0 for way in ways}
    for _ in range(studies):
        made = simulated(rng, {"synthetic": effect, "placebo": 0.0}, **settings)
        row = verdicts(made, "bar").iloc[0]
        words.append(row["verdict"])
        seen.append(row["against_bar"])
        held["interval"] += row["bar_low"] <= effect <= row["bar_high"]
        for way in ways:
            low, high = interval(way(made, "synthetic", "bar"))
            held[way.__name__] += low <= effect <= high
    found = {word: words.count(word) / studies for word in ("gain", "harm", "equivalent")}
    deviation = {"standard error, points": 100 * np.std(seen)}
    return found | {name: count / studies for name, count in held.items()} | deviation


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--studies", type=int, default=1000)
    args = parser.parse_args()
    speed()
    for world, settings in WORLDS.items():
        effects = EFFECTS[:1] if settings else EFFECTS
        table = pd.DataFrame(
            [{"effect": e} | rates(e, args.studies, **settings) for e in effects]
        ).round(3)
        print(f"\n{world}, {args.studies} studies a row")
        print(table.to_string(index=False))


if __name__ == "__main__":
    main()
