"""All measures of all GANs of a run, against photographs that nobody has learned from.

The result is `metrics.csv`, one row a GAN, class and measure, with its floor: the same
measure taken between photographs.
"""

from pathlib import Path

import numpy as np
import pandas as pd
import torch

from . import features, metrics
from .audit import Auditor
from .config import Preset
from .errors import DataError, MetricError
from .evaluation_sets import SETS, Generated, held_out, read_generated, refuse_leak
from .features import Encoder
from .files import write_atomic
from .prepare import Prepared
from .progress import progress
from .splits import refuse_overlap

COLUMNS = (
    "gan", "class", "metric", "value", "low", "high", "n", "floor", "better", "encoder", "note",
)  # fmt: skip
AUDITED = 300  # images of a side that are searched for among the training images, at most
POOLED = "all"
POOLED_ONLY = ("fid", "precision", "recall", "density", "coverage")
AUDIT_FLOORS = {"nn_ratio": 1.0, "copy_rate": 0.01, "spread": 1.0}


def encoders(run_folder: Path, device: torch.device | str = "cpu") -> dict[str, Encoder | str]:
    """The encoders of a run by name; in the place of one that is not there, the reason."""
    lesion = Path(run_folder) / "encoder" / "encoder.pt"
    sources = {
        "lesion ResNet-18": lambda: features.lesion_encoder(lesion, device),
        "ImageNet EfficientNet-Lite0": lambda: features.efficientnet_lite(device),
        "Inception": lambda: features.inception(features.inception_path(), device),
    }
    found: dict[str, Encoder | str] = {}
    for name, load in sources.items():
        try:
            found[name] = load()
        except DataError as error:
            found[name] = str(error)
    return found


def measure_run(
    run_folder: Path,
    prepared: Prepared,
    preset: Preset,
    fold: int = 0,
    seed: int = 0,
    device: torch.device | str = "cpu",
) -> pd.DataFrame:
    """The table `metrics.csv` of a run (columns `COLUMNS`), written as a whole or not at all.

    A measure that could not be taken is a row with a reason and no value. LeakageError when a GAN
    or the encoder has seen a held-out lesion; DataError when no GAN has left a synthetic set.
    """
    run_folder = Path(run_folder)
    places = {path.parent for name in SETS for path in run_folder.glob(f"gans/*/{name}")}
    folders = {folder: read_generated(folder, prepared) for folder in sorted(places)}
    if not folders:
        raise DataError(
            f"{run_folder / 'gans'} holds no synthetic set: run a GAN's notebook first (10_dcgan)."
        )
    judge = Judge(
        prepared, preset, fold, seed, encoders(run_folder, device), run_folder / "features"
    )
    for folder, sets in folders.items():
        refuse_leak(folder, sets, fold, judge.real.groups)
    rows: list[dict] = []
    for folder, sets in progress(folders.items(), "measuring", total=len(folders), unit="GANs"):
        found = judge.pairs(sets[-1])
        for one in sets:
            found += judge.copies(one) + judge.distances(one)
        rows += [{"gan": folder.name} | row for row in found]
    key = ["gan", "class", "metric", "encoder"]
    table = pd.DataFrame(rows).reindex(columns=list(COLUMNS)).drop_duplicates(key)
    write_atomic(run_folder / "metrics.csv", table.to_csv(index=False).encode())
    return table.reset_index(drop=True)


class Judge:
    """The held-out photographs of a fold, ready to be compared with synthetic sets.

    Its methods return rows of `metrics.csv` without the GAN's name.
    """

    def __init__(
        self,
        prepared: Prepared,
        preset: Preset,
        fold: int,
        seed: int,
        known: dict[str, Encoder | str],
        cache: Path,
    ):
        self.real, self.classes = held_out(prepared, fold, seed), prepared.classes
        self.preset, self.seed, self.encoders, self.cache = preset, seed, known, cache
        for encoder in known.values():
            if isinstance(encoder, Encoder):
                groups = encoder.training_groups
                refuse_overlap(groups, self.real.groups, f"encoder {encoder.name}")
        asked = np.random.default_rng(seed).permutation(len(self.real.images))[:AUDITED]
        self.auditor = Auditor(self.real.training_images, self.real.images[asked])
        self.real_pairs: dict[tuple, pd.DataFrame] = {}
        self.features: dict[str, np.ndarray] = {}

    def _labels(self, one: Generated) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
        """Labels of the generated and of the real images, and their names."""
        if one.labels is not None:
            return one.labels, self.real.labels, self.classes
        return np.zeros(len(one.images), int), np.zeros(len(self.real.images), int), (POOLED,)

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
            reason = f"not computed ({error})"
            return [row(POOLED, f"{name} real-generated", note=reason) for name in metrics.PAIRED]
        scored = pd.concat([self.real_pairs[key], others])
        rows = []
        for scope, members in scopes(scored["label"].to_numpy(), classes).items():
            here = scored[scored["label"].isin(members)]
            for metric, table in here.groupby("metric", sort=False):
                rows += three_rows(scope, metric, table, self.seed)
        return rows

    def distances(self, one: Generated) -> list[dict]:
        """KID pooled and by class, the rest pooled, for every encoder; each beside photographs."""
        labels, _, classes = self._labels(one)
        rows = []
        for k, (scope, members) in enumerate(scopes(labels, classes).items()):
            wanted = ("kid", *POOLED_ONLY) if k == 0 else ("kid",)
            a, b, g = self._equal_sets(one, members, np.random.default_rng([self.seed, k]))
            for name, encoder in self.encoders.items():
                reason = why_not(encoder, len(a))
                if reason:
                    known = {"n": len(a), "encoder": name, "note": f"not computed ({reason})"}
                    rows += [row(scope, metric, **known) for metric in wanted]
                    continue
                mine = features.cached(encoder, one.images[g], self.cache)
                real = [self._real_features(encoder, half) for half in (a, b)]
                rows += distance_rows(scope, name, wanted, *real, mine, self.seed)
        return rows

    def _real_features(self, encoder: Encoder, rows: np.ndarray) -> np.ndarray:
        """Features of held-out photographs; each is encoded once, whatever GANs and classes ask."""
        shape = len(self.real.images), encoder.dimension
        known = self.features.setdefault(encoder.name, np.full(shape, np.nan, np.float32))
        new = np.sort(rows[np.isnan(known[rows, 0])])
        if len(new):
            known[new] = features.cached(encoder, self.real.images[new], self.cache)
        return known[rows]

    def _equal_sets(
        self, one: Generated, members: list[int], rng: np.random.Generator
    ) -> list[np.ndarray]:
        """Rows of one half of the photographs, of the other, and of generated images: equal mix."""
        labels, real_labels, _ = self._labels(one)
        member = np.isin(real_labels, members)
        rows = [rng.permutation(np.flatnonzero(member & (self.real.half == h))) for h in (0, 1)]
        rows = [half[: self.preset.measure_images] for half in rows]
        rows.append(np.flatnonzero(np.isin(labels, members)))
        sides = (real_labels, real_labels, labels)
        picks = equal_mix([side[r] for side, r in zip(sides, rows, strict=True)], rng)
        return [r[pick] for r, pick in zip(rows, picks, strict=True)]

    def copies(self, one: Generated) -> list[dict]:
        """Nearest training neighbours: copies, and one picture over and over."""
        asked = np.random.default_rng(self.seed).permutation(len(one.images))[:AUDITED]
        labels, _, classes = self._labels(one)
        scope = next(iter(scopes(labels, classes)))
        try:
            found = self.auditor(one.images[asked])
        except MetricError as error:
            return [row(scope, "nn_ratio", note=f"not computed ({error})")]
        known = {"n": len(asked), "note": ", ".join(found.flags)}
        return [row(scope, m, getattr(found, m), floor=f, **known) for m, f in AUDIT_FLOORS.items()]


def row(scope: str, metric: str, value: float = np.nan, **known: object) -> dict:
    """A row of `metrics.csv` for the class or pool `scope`; what `known` leaves out is empty."""
    empty = dict.fromkeys(("low", "high", "floor"), np.nan) | {"n": 0, "encoder": "", "note": ""}
    better = metrics.METRICS[metric.split(" ")[0]].better
    return {"class": scope, "metric": metric, "value": value, "better": better} | empty | known


def scopes(labels: np.ndarray, classes: tuple[str, ...]) -> dict[str, list[int]]:
    """What a labelled set is measured on: everything it has pooled, then class by class."""
    present = sorted(set(labels.tolist()))
    single = {classes[c]: [c] for c in present}
    pooled = POOLED if len(present) == len(classes) else "+".join(single)
    return {pooled: present} | single


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


def three_rows(scope: str, metric: str, table: pd.DataFrame, seed: int) -> list[dict]:
    """Rows real-real, real-generated and generated-generated; the floor is real-real."""
    columns = dict(list(table.groupby("column", sort=False)))
    found = {name: metrics.pair_interval(part, seed) for name, part in columns.items()}
    common = {"floor": found["real-real"][0], "better": "near floor", "note": "random pairs"}
    return [
        row(scope, f"{metric} {name}", value, low=low, high=high, n=len(columns[name]), **common)
        for name, (value, low, high) in found.items()
    ]


def why_not(encoder: Encoder | str, n: int) -> str:
    """Why set measures of `n` images a side have no value with this encoder; "" when they do."""
    if isinstance(encoder, str):
        return encoder
    if not encoder.trained:
        return "the encoder has random weights"
    few = f"{n} photographs a side, at least {metrics.FEWEST} are needed"
    return few if n < metrics.FEWEST else ""


def distance_rows(
    scope: str,
    encoder: str,
    wanted: tuple[str, ...],
    real: np.ndarray,
    other_real: np.ndarray,
    generated: np.ndarray,
    seed: int,
) -> list[dict]:
    """Measures of generated features against real ones; the floor is the other real half."""
    common = {"n": len(real), "encoder": encoder}
    value, low, high = metrics.kid(real, generated, seed)
    floor = metrics.kid(real, other_real, seed)[0]
    rows = [row(scope, "kid", value, low=low, high=high, floor=floor, **common)]
    if "fid" not in wanted:
        return rows
    found, floors = metrics.neighbourhood(real, generated), metrics.neighbourhood(real, other_real)
    fid, floor = metrics.fid(real, generated), metrics.fid(real, other_real)
    rows.append(row(scope, "fid", fid, floor=floor, note=metrics.fid_warning(len(real)), **common))
    return rows + [row(scope, m, found[m], floor=floors[m], **common) for m in found]
