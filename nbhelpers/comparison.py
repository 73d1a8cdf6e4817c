"""Do generated images help? Arms that differ in one thing, trained on the same labels in the same
order, scored on the same lesions.

Every arm shows the network the same real images at the same steps; an arm with extra images
replaces some of the tail's by its own of the same class. So steps and class prior are equal by
construction, and `compare` checks that they are.
"""

import hashlib
import io
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from .arms import ARMS, Arm, Pool, read_set, top_up, with_extra
from .classifier import Recipe, predict, real_order, train
from .config import mix
from .errors import DataError, MetricError
from .files import BROKEN_ARRAYS, sha256_file, write_atomic
from .predictions import Predictions, save_predictions, score_table
from .prepare import Prepared
from .splits import parts

VERSION = 1  # raise it when a change of code changes what a cell trains
NO_GENERATOR = -1

Sets = Mapping[tuple[int, int], Path]  # (fold, generator seed) -> synthetic.npz


@dataclass(frozen=True)
class Cell:
    """One training: an arm, a fold, the seeds of its generator (-1: none) and its classifier."""

    arm: Arm
    fold: int
    generator_seed: int
    classifier_seed: int

    @property
    def name(self) -> str:
        made = f"-g{self.generator_seed}" if self.arm.extra else ""
        return f"{self.arm.name}-f{self.fold}{made}-s{self.classifier_seed}"


def compare(
    prepared: Prepared,
    folder: Path,
    recipe: Recipe,
    sets: Sets,
    folds: Sequence[int],
    seeds: Sequence[int],
    device: torch.device,
    arms: Sequence[Arm] = ARMS,
) -> Predictions:
    """Softmax of every arm, fold and seed on validation and test images, also as
    `folder/predictions.npz` and `classifier.csv`.

    Each training is a file under `folder/predictions`: finished ones with the same data and
    settings are read, not repeated.
    """
    made = {key: read_set(path, prepared, key[0]) for key, path in sets.items() if key[0] in folds}
    hashes = {key: sha256_file(sets[key]) for key in made}
    found = []
    for cell in plan(arms, folds, seeds, made):
        path = folder / "predictions" / f"{cell.name}.npz"
        key = (cell.fold, cell.generator_seed)
        identity = _identity(cell, prepared, recipe, hashes.get(key, ""))
        result = _finished(path, identity)
        if result is None:
            result = _train_cell(cell, prepared, recipe, made.get(key), device)
            write_atomic(path, _packed(result | {"identity": np.array(identity)}))
        found.append((cell, result))
    check_fair(found)
    predictions = _merge(found, prepared)
    save_predictions(folder / "predictions.npz", predictions)
    table = score_table(predictions).drop(columns="reason")
    write_atomic(folder / "classifier.csv", table.to_csv(index=False).encode())
    return predictions


def plan(
    arms: Sequence[Arm],
    folds: Sequence[int],
    seeds: Sequence[int],
    made: Mapping[tuple[int, int], Pool],
) -> list[Cell]:
    """The trainings of a comparison. DataError for a fold that an arm with extra images has no
    synthetic set for.
    """
    cells = []
    for fold in folds:
        generators = sorted(seed for of, seed in made if of == fold)
        for arm in arms:
            if arm.extra and not generators:
                raise DataError(
                    f"no synthetic set of fold {fold}: "
                    "train a generator on its training part, or leave the fold out."
                )
            which = generators if arm.extra else [NO_GENERATOR]
            cells += [Cell(arm, fold, g, s) for g in which for s in seeds]
    return cells


def _identity(cell: Cell, prepared: Prepared, recipe: Recipe, made: str) -> str:
    """SHA-256 of all that decides a cell's result: data, settings, seeds, synthetic set."""
    what = {"version": VERSION, "arm": cell.arm.settings, "recipe": asdict(recipe), "made": made}
    what |= {
        "data": prepared.manifest["sha256"],
        "seeds": [cell.fold, cell.generator_seed, cell.classifier_seed],
    }
    return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()


def _finished(path: Path, identity: str) -> dict[str, np.ndarray] | None:
    """The arrays of a finished cell; None when missing, damaged, of other data or settings."""
    try:
        with np.load(path, allow_pickle=False) as file:
            same = str(file["identity"]) == identity
            return {name: file[name] for name in file.files} if same else None
    except BROKEN_ARRAYS:
        return None


def _packed(arrays: dict[str, np.ndarray]) -> bytes:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


def _train_cell(
    cell: Cell, prepared: Prepared, recipe: Recipe, made: Pool | None, device: torch.device
) -> dict[str, np.ndarray]:
    """Rows and softmax of the held-out images, and what `check_fair` compares between arms."""
    start = time.monotonic()
    rows = parts(prepared.table, cell.fold)
    labels = prepared.table["label"].to_numpy(np.int64)
    real = Pool(prepared.images[rows["train"]], labels[rows["train"]])
    seed = mix(cell.classifier_seed, cell.fold)
    base = real_order(real.labels, recipe.steps, recipe.batch, cell.arm.sampling_power, seed)
    pool, order = _with_arm(cell, real, made, base, seed, len(prepared.classes))
    outputs, augment = len(prepared.classes), cell.arm.augment
    trained = train(
        pool.images, pool.labels, order, outputs, recipe, seed, device, augment, cell.name
    )
    held_out = np.concatenate([rows["validation"], rows["test"]])
    return {
        "rows": held_out,
        "softmax": predict(trained.network, prepared.images[held_out], device),
        "real_order": _digest(base),
        "label_order": _digest(pool.labels[order]),
        "steps": np.array(len(order)),
        "extra": np.bincount(pool.labels[len(real.labels) :], minlength=len(prepared.classes)),
        "seconds": np.array(time.monotonic() - start),
    }


def _with_arm(
    cell: Cell, real: Pool, made: Pool | None, base: np.ndarray, seed: int, classes: int
) -> tuple[Pool, np.ndarray]:
    """The images an arm trains on, and the order it shows them in."""
    if cell.arm.extra is None:
        return real, base
    counts = top_up(real.labels, made.labels, cell.arm.dose, classes)
    if not counts.any():
        raise DataError(
            f"arm {cell.arm.name!r}: the synthetic set of fold {cell.fold} has no image of a tail "
            "class: sample those classes."
        )
    extra = cell.arm.extra(real, made, counts, mix(cell.generator_seed, cell.fold))
    both = Pool(
        np.concatenate([real.images, extra.images]), np.concatenate([real.labels, extra.labels])
    )
    return both, with_extra(base, real.labels, extra.labels, mix(seed, 1))


def _digest(array: np.ndarray) -> np.ndarray:
    return np.array(hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest())


def check_fair(found: list[tuple[Cell, dict[str, np.ndarray]]]) -> None:
    """Raises MetricError unless the arms of a fold and seed took equal steps over equal labels and
    were tested on equal images.
    """
    seen: dict[tuple, tuple[str, dict]] = {}
    for cell, result in found:
        equal = {"steps": int(result["steps"]), "tested images": _digest(result["rows"]).item()}
        equal |= {
            name.replace("_", " "): str(result[name]) for name in ("real_order", "label_order")
        }
        key = (cell.fold, cell.classifier_seed, cell.arm.sampling_power)
        other, expected = seen.setdefault(key, (cell.name, equal))
        for what in (w for w in equal if equal[w] != expected[w]):
            raise MetricError(
                f"{cell.name} and {other} differ in {what}: "
                "delete their files in predictions/ and run again."
            )


def _merge(found: list[tuple[Cell, dict[str, np.ndarray]]], prepared: Prepared) -> Predictions:
    tables = []
    for cell, result in found:
        table = prepared.table.iloc[result["rows"]][["image_id", "group_id", "label"]]
        part = np.where(
            prepared.table["fold"].iloc[result["rows"]] == cell.fold, "test", "validation"
        )
        seeds = {"generator_seed": cell.generator_seed, "classifier_seed": cell.classifier_seed}
        tables.append(table.assign(fold=cell.fold, part=part, arm=cell.arm.name, **seeds))
    softmax = np.concatenate([result["softmax"] for _, result in found])
    return Predictions(pd.concat(tables, ignore_index=True), softmax, prepared.classes)
