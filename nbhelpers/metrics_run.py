"""All measures of all GANs of a run, against photographs that nobody has learned from.

The result is `metrics.csv`, one row a GAN, class and measure, with its floor: the same
measure taken between photographs.
"""

import hashlib
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from .config import Preset
from .errors import DataError
from .evaluation_sets import SETS, Generated, fold_of, held_out, read_generated, refuse_leak
from .features import Encoder, encoders
from .files import read_json, sha256_arrays, write_atomic, write_json
from .judge import Judge
from .metric_rows import COLUMNS
from .prepare import Prepared
from .progress import progress
from .splits import refuse_overlap

# What decides the numbers: when one of these files changes, everything is measured again
MEASURING = (
    "appearance", "audit", "backbones", "detectors", "evaluation_sets", "features", "images",
    "judge", "metric_rows", "metrics", "metrics_run", "neighbours", "paired", "predictions",
    "probes", "set_metrics", "splits",
)  # fmt: skip


def measure_run(run_folder: Path, prepared: Prepared, judge: Judge) -> pd.DataFrame:
    """The table `metrics.csv` of a run (columns `COLUMNS`), written as a whole or not at all.

    A measure that could not be taken is a row with a reason and no value. What was measured before
    is remembered in `measured/`. `judge`: see `judge_of`. GANs of other folds are left out, which
    is printed, unless all are. LeakageError when a GAN has seen a held-out lesion; DataError when
    no GAN has left a synthetic set.
    """
    run_folder = Path(run_folder)
    places = {path.parent for name in SETS for path in run_folder.glob(f"gans/*/{name}")}
    folders = {folder: read_generated(folder, prepared) for folder in sorted(places)}
    if not folders:
        raise DataError(
            f"{run_folder / 'gans'} holds no synthetic set: run a GAN's notebook first (10_dcgan)."
        )
    others = [f for f in folders if fold_of(f, judge.real) != judge.real.fold]
    for folder in others if len(others) < len(folders) else ():
        print(f"{folder.name} is left out: it was not trained for fold {judge.real.fold}")
        del folders[folder]
    for folder, sets in folders.items():
        refuse_leak(folder, sets, judge.real)
    memory = Memory(run_folder / "measured", judge)
    rows: list[dict] = []
    for folder, sets in progress(folders.items(), "measuring", total=len(folders), unit="GANs"):
        # the natural mix is first, if both are there; the labelled set knows its classes
        by_class = judge.lessons if sets[-1].labels is None else judge.by_class
        found = memory(judge.pooled, sets[0]) + memory(judge.pairs, sets[-1])
        rows += [{"gan": folder.name} | row for row in found + memory(by_class, sets[-1])]
    key = ["gan", "class", "metric", "encoder"]  # a set of one class is a pool and a class
    table = pd.DataFrame(rows).reindex(columns=list(COLUMNS)).drop_duplicates(key)
    write_atomic(run_folder / "metrics.csv", table.to_csv(index=False).encode())
    return table.reset_index(drop=True)


def judge_of(
    run_folder: Path,
    prepared: Prepared,
    preset: Preset,
    fold: int = 0,
    seed: int = 0,
    device: torch.device | str = "cpu",
) -> Judge:
    """The judge of a run: the photographs held out of `fold`, and the encoders that are there.
    LeakageError when an encoder has seen a held-out lesion."""
    real, known = held_out(prepared, fold, seed), encoders(run_folder, device, fold)
    for encoder in known.values():
        if isinstance(encoder, Encoder):
            refuse_overlap(encoder.training_groups, real.groups, f"encoder {encoder.name}")
    return Judge(real, prepared.classes, preset, seed, known, Path(run_folder) / "features")


class Memory:
    """A judge that writes down its rows, and looks up what it has said of the same images before:
    with the same photographs, encoders, preset, seed and code."""

    def __init__(self, folder: Path, judge: Judge):
        self.folder = folder
        encoders = [e if isinstance(e, str) else e.identity for e in judge.encoders.values()]
        preset = judge.preset.measure_pairs, judge.preset.measure_images
        real = judge.real.identity
        self.known = (_code(), real, judge.classes, judge.seed, preset, encoders)

    def __call__(self, kind: Callable[[Generated], list[dict]], one: Generated) -> list[dict]:
        """The rows of a synthetic set that this method of the judge gives."""
        labels = np.empty(0) if one.labels is None else one.labels
        known = np.array(repr((kind.__name__, *self.known)))
        path = self.folder / f"{sha256_arrays(known, one.images, labels)}.json"
        try:
            return read_json(path)["rows"]
        except (DataError, KeyError, TypeError):
            rows = kind(one)
            write_json(path, {"rows": rows})
            return rows


@cache
def _code() -> str:
    """SHA-256 of the modules in `MEASURING`."""
    here = Path(__file__).parent
    content = b"".join((here / f"{name}.py").read_bytes() for name in MEASURING)
    return hashlib.sha256(content).hexdigest()
