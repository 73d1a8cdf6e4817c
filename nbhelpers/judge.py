"""The held-out photographs of a fold, ready to be compared with synthetic sets."""

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from . import appearance, features, metrics
from .appearance import Look
from .audit import Auditor, membership
from .config import Preset
from .detectors import HASH, PIXELS, Witnesses, eye_of
from .errors import MetricError
from .evaluation_sets import Generated, HeldOut, one_a_lesion
from .features import Encoder
from .metric_rows import (
    POOLED,
    audit_rows,
    distance_rows,
    lesson_rows,
    look_rows,
    not_computed,
    row,
    scopes,
    three_rows,
    too_few,
    why_not,
)  # fmt: skip
from .probes import Exam, equal_counts

AUDITED = 2000  # generated images that are searched for among the training images, at most
ATTACKED = 1000  # photographs a side of the membership attack, at most
OF_SETS = ("kid", "precision", "recall", "density", "coverage")
LESSONS = ("tstr", "trts")
Scopes = dict[str, list[int]]  # a pool or a class, and the labels that it holds
AUDIT = ("copy_rate", "nn_ratio", "spread", "repeat_rate")


class Judge:
    """Compares synthetic sets with photographs. Its methods return rows of `metrics.csv` without
    the GAN's name."""

    def __init__(
        self,
        real: HeldOut,
        classes: tuple[str, ...],
        preset: Preset,
        seed: int,
        known: dict[str, Encoder | str],
        cache: Path,
    ):
        self.real, self.classes = real, classes
        self.preset, self.seed, self.encoders, self.cache = preset, seed, known, cache
        self.real_pairs: dict[tuple, pd.DataFrame] = {}
        self.features: dict[str, np.ndarray] = {}

    def pooled(self, one: Generated) -> list[dict]:
        """Every measure of a whole set that asks for no label."""
        name, members = next(iter(self._scopes(one).items()))
        whole = {name: members}
        return [*self.sets(one, whole), *self.copies(one, whole), self.membership(one)]

    def by_class(self, one: Generated) -> list[dict]:
        """The same of each class of a labelled set, and what its labels teach."""
        each = {name: members for name, members in self._scopes(one).items() if len(members) == 1}
        return [*self.sets(one, each), *self.copies(one, each), *self.lessons(one)]

    @cached_property
    def auditor(self) -> Auditor:
        """Pixels, hash, and the encoders that are there."""
        witnesses = Witnesses.of(self.real.images, self.real.groups, self.seed)
        seeing = [e for e in self.encoders.values() if isinstance(e, Encoder) and e.trained]
        eyes = [eye_of(encoder, self._cached(encoder)) for encoder in seeing]
        return Auditor(self.real.training_images, witnesses, (PIXELS, HASH, *eyes))

    @cached_property
    def look(self) -> Look:
        return Look.of(self.real.images)

    def _cached(self, encoder: Encoder):
        return lambda images: features.cached(encoder, np.ascontiguousarray(images), self.cache)

    def _labels(self, one: Generated) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
        """Labels of the generated and of the real images, and their names."""
        if one.labels is not None:
            return one.labels, self.real.labels, self.classes
        return np.zeros(len(one.images), int), np.zeros(len(self.real.images), int), (POOLED,)

    def _scopes(self, one: Generated) -> Scopes:
        labels, _, classes = self._labels(one)
        return scopes(labels, classes)

    def pairs(self, one: Generated) -> list[dict]:
        """Three columns of every paired measure: pooled, then class by class."""
        labels, real_labels, classes = self._labels(one)
        sides = (self.real.images, one.images, self.preset.measure_pairs, self.seed)
        key = (classes, *np.unique(labels[np.bincount(labels)[labels] > 1]))
        try:
            if key not in self.real_pairs:
                columns = metrics.COLUMNS[:1]
                self.real_pairs[key] = metrics.three_columns(
                    *sides, real_labels, labels, columns=columns
                )
            others = metrics.three_columns(*sides, real_labels, labels, columns=metrics.COLUMNS[1:])
        except MetricError as error:
            names = tuple(f"{name} real-generated" for name in metrics.PAIRED)
            return not_computed(POOLED, names, error)
        scored = pd.concat([self.real_pairs[key], others])
        rows = []
        for scope, members in scopes(scored["label"].to_numpy(), classes).items():
            rows += three_rows(scope, scored[scored["label"].isin(members)], self.seed)
        return rows

    def sets(self, one: Generated, scopes: Scopes) -> list[dict]:
        """Set measures of each scope for every encoder (FID of whole sets only), and sharpness,
        colour and spectrum; each beside photographs."""
        rows, whole = [], next(iter(self._scopes(one)))
        for scope, a, b, g in self._dealt(one, scopes):
            rows += self._looks(scope, a, b, one.images[g])
            wanted = ("fid", *OF_SETS) if scope == whole else OF_SETS
            for name, encoder in self.encoders.items():
                reason = why_not(encoder, len(a))
                if reason:  # an absent encoder is told of once
                    if scope == whole or not isinstance(encoder, str):
                        rows += not_computed(scope, wanted, reason, n=len(a), encoder=name)
                    continue
                mine = self._cached(encoder)(one.images[g])
                real = [self._real_features(encoder, half) for half in (a, b)]
                rows += distance_rows(scope, name, wanted, *real, mine, self.seed)
        return rows

    def _looks(self, scope: str, a: np.ndarray, b: np.ndarray, images: np.ndarray) -> list[dict]:
        reason = too_few(len(a))
        if reason:
            return not_computed(scope, appearance.NAMES, reason, n=len(a))
        return look_rows(scope, self.look[a], self.look[b], Look.of(images), self.seed)

    def lessons(self, one: Generated) -> list[dict]:
        """What the set teaches, for every encoder that is there."""
        labels, real_labels, classes = self._labels(one)
        scope, members = next(iter(self._scopes(one).items()))
        if len(members) < 2:
            return not_computed(scope, LESSONS, "a set of one class, or without labels")
        halves = [np.flatnonzero(np.isin(real_labels, members) & (self.real.half == h))
                  for h in (0, 1)]  # fmt: skip
        rng = np.random.default_rng([self.seed, 2])
        lesson, mine = equal_counts([real_labels[halves[0]], labels], rng)
        a, b, rows = halves[0][lesson], halves[1], []
        names = {classes[c]: c for c in members}
        for name, encoder in self.encoders.items():
            if why_not(encoder, len(a)):
                continue
            real, held = (
                Exam(self._real_features(encoder, r), real_labels[r], self.real.groups[r])
                for r in (a, b)
            )
            seen = self._cached(encoder)(one.images[mine])
            made = Exam(seen, labels[mine], np.arange(len(mine)))
            rows += lesson_rows(scope, name, names, real, held, made, self.seed)
        return rows

    def _asked(self, one: Generated) -> np.ndarray:
        return np.random.default_rng(self.seed).permutation(len(one.images))[:AUDITED]

    def copies(self, one: Generated, scopes: Scopes) -> list[dict]:
        """Nearest training neighbours of each scope."""
        labels, real_labels, _ = self._labels(one)
        asked, rows = self._asked(one), []
        try:
            found = self.auditor.search(one.images[asked])
        except MetricError as error:
            return not_computed(next(iter(scopes), POOLED), AUDIT, error)
        strangers = real_labels[self.auditor.witnesses.rows]
        rng = np.random.default_rng([self.seed, 3])
        for scope, members in scopes.items():
            sides = [np.flatnonzero(np.isin(x, members)) for x in (strangers, labels[asked])]
            picks = equal_mix([strangers[sides[0]], labels[asked][sides[1]]], rng)
            others, alike = (side[pick] for side, pick in zip(sides, picks, strict=True))
            try:
                audit = self.auditor.judge(found, sides[1], alike, others, self.seed)
            except MetricError as error:
                rows += not_computed(scope, AUDIT, error, n=len(alike))
                continue
            rows += audit_rows(scope, audit, self.auditor.first.name)
        return rows

    def membership(self, one: Generated) -> dict:
        """Whether the set tells training photographs from others, of the classes that it shows."""
        classes = self._labels(one)[2]
        scope, members = next(iter(self._scopes(one).items()))
        sides = (
            (self.real.training_images, self.real.training_labels, self.real.training_groups),
            (self.real.images, self.real.labels, self.real.groups),
        )
        photographs = []
        for images, of, groups in sides:
            of = np.zeros(len(images), int) if classes == (POOLED,) else of
            rows = one_a_lesion(groups, self.seed)
            photographs.append(images[rows[np.isin(of[rows], members)][:ATTACKED]])
        try:
            value, low, high = membership(one.images[self._asked(one)], *photographs)
        except MetricError as error:
            return not_computed(scope, ("mia_auc",), error)[0]
        known = {"n": min(map(len, photographs)), "encoder": PIXELS.name}
        return row(scope, "mia_auc", value, low=low, high=high, floor=0.5, **known)

    def _real_features(self, encoder: Encoder, rows: np.ndarray) -> np.ndarray:
        """Features of held-out photographs; each is encoded once, whatever GANs and classes ask."""
        shape = len(self.real.images), encoder.dimension
        known = self.features.setdefault(encoder.name, np.full(shape, np.nan, np.float32))
        new = np.sort(rows[np.isnan(known[rows, 0])])
        if len(new):
            known[new] = self._cached(encoder)(self.real.images[new])
        return known[rows]

    def _dealt(
        self, one: Generated, scopes: Scopes
    ) -> Iterator[tuple[str, np.ndarray, np.ndarray, np.ndarray]]:
        """Scope by scope: rows of one half of the photographs, of the other, and of generated
        images, in one mix of classes and equal numbers."""
        labels, real_labels, _ = self._labels(one)
        for scope, members in scopes.items():
            rng = np.random.default_rng([self.seed, *members])
            member = np.isin(real_labels, members)
            rows = [rng.permutation(np.flatnonzero(member & (self.real.half == h))) for h in (0, 1)]
            rows = [half[: self.preset.measure_images] for half in rows]
            rows.append(np.flatnonzero(np.isin(labels, members)))
            sides = (real_labels, real_labels, labels)
            picks = equal_mix([side[r] for side, r in zip(sides, rows, strict=True)], rng)
            yield scope, *(r[pick] for r, pick in zip(rows, picks, strict=True))


def equal_mix(sides: list[np.ndarray], rng: np.random.Generator) -> list[np.ndarray]:
    """Random rows of each label array, with the first one's class mix and equal counts in all."""
    classes = np.unique(sides[0])
    counts = np.array([[(side == c).sum() for c in classes] for side in sides])
    share = (counts.min(0) / counts[0]).min(initial=1.0)
    wanted = np.floor(share * counts[0] + 1e-9).astype(int)
    chosen = []
    for side in sides:
        rows = [np.flatnonzero(side == c) for c in classes]
        parts = [rng.permutation(r)[:n] for r, n in zip(rows, wanted, strict=True)]
        chosen.append(np.concatenate([np.empty(0, int), *parts]))
    return chosen
