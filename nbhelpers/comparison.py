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
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from . import side_by_side
from .arms import PLACES, Arm
from .classic_augmentation import upright
from .classifier import Lesson, Recipe, Watched, predict, train, views_of
from .config import mix
from .errors import DataError, MetricError, one_of
from .extras import Pool, filtered, read_pool, top_up, wanted, with_extra
from .files import BROKEN_ARRAYS, sha256_arrays, sha256_file, write_atomic
from .predictions import Predictions, save_predictions, score_table
from .prepare import Prepared
from .progress import progress
from .row_order import real_order
from .splits import NOTED, parts

VERSION = 2  # raise it when a change of code changes what a cell trains
NO_GENERATOR = -1

Sets = Mapping[tuple[int, int], Path]  # (fold, generator seed) -> synthetic.npz
Passed = Mapping[tuple[int, int], np.ndarray]  # the same -> bool (N,), what a filter let through


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

    @property
    def generator(self) -> tuple[int, int]:
        return self.fold, self.generator_seed


def plan(
    arms: Iterable[Arm],
    folds: Sequence[int],
    seeds: Sequence[int],
    generators: Iterable[tuple[int, int]] = (),
) -> list[Cell]:
    """The trainings of these arms on every fold with every classifier seed, and every generator
    (fold, seed). DataError for a fold that an arm with extra images has no synthetic set for.
    """
    cells, generators = [], sorted(generators)
    for fold in folds:
        made = [seed for of, seed in generators if of == fold]
        for arm in arms:
            if arm.extra and not made:
                raise DataError(
                    f"no synthetic set of fold {fold}: "
                    "train a generator on its training part, or leave the fold out."
                )
            which = made if arm.extra else [NO_GENERATOR]
            cells += [Cell(arm, fold, g, s) for g in which for s in seeds]
    return cells


def compare(
    prepared: Prepared,
    folder: Path,
    recipe: Recipe,
    cells: Sequence[Cell],
    device: torch.device,
    sets: Sets | None = None,
    passed: Passed | None = None,
    workers: int = 1,
) -> Predictions:
    """Softmax of every cell on validation and test images, also as `folder/predictions.npz` and
    `classifier.csv`.

    Each training is a file under `folder/predictions`: finished ones with the same data and
    settings are read, not repeated. `passed`: see `filters`, for arms with filtered images.
    `workers`: see `side_by_side`.
    LeakageError before any training when a generator has seen a held-out lesion.
    """
    sets, passed = sets or {}, passed or {}
    keys = sorted({cell.generator for cell in cells if cell.arm.extra})
    made = {key: read_pool(sets[key], prepared, key[0], passed.get(key)) for key in keys}
    hashes = {key: sha256_file(sets[key]) for key in made}
    filters = {key: sha256_arrays(passed[key]) for key in made if key in passed}
    identities = {cell: _identity(cell, prepared, recipe, hashes, filters) for cell in cells}
    places = {cell: folder / "predictions" / f"{cell.name}.npz" for cell in cells}
    results = {cell: _finished(places[cell], identities[cell]) for cell in cells}
    missing = [cell for cell in cells if results[cell] is None]
    shared = (prepared, recipe, made, device)
    trained = side_by_side.each(_train_cell, shared, missing, workers)
    for cell, result in progress(trained, "training", total=len(missing), unit="classifiers"):
        result |= {"identity": np.array(identities[cell])}
        results[cell] = result
        write_atomic(places[cell], _packed(result))
    found = list(results.items())
    check_fair(found)
    predictions = _merge(found, prepared)
    save_predictions(folder / "predictions.npz", predictions)
    save_scores(folder, predictions)
    return predictions


def save_scores(folder: Path, predictions: Predictions) -> Path:
    """`folder/classifier.csv`, every score of every arm: of the softmax as trained, until a caller
    writes it again from adjusted ones."""
    table = score_table(predictions).drop(columns="reason")
    return write_atomic(Path(folder) / "classifier.csv", table.to_csv(index=False).encode())


def _identity(
    cell: Cell, prepared: Prepared, recipe: Recipe, hashes: Mapping, filters: Mapping
) -> str:
    """SHA-256 of all that decides a cell's result: data, settings, seeds, synthetic set, filter."""
    made = hashes.get(cell.generator, "") if cell.arm.extra else ""
    made += filters.get(cell.generator, "") if cell.arm.extra is filtered else ""
    told = asdict(recipe)
    if not recipe.refit:  # cells that are older than it know nothing of it
        del told["refit"]
    what = {"version": VERSION, "arm": cell.arm.settings, "recipe": told, "made": made}
    what |= {
        "data": prepared.manifest["sha256"],
        "task": prepared.manifest.get("task", ""),
        "seeds": [cell.fold, cell.generator_seed, cell.classifier_seed],
    }
    if NOTED in prepared.table:  # older cells of a task had parts of their own
        what["parts"] = "of all diagnoses"
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
    prepared: Prepared,
    recipe: Recipe,
    sets: Mapping[tuple[int, int], Pool],
    device: torch.device,
    cell: Cell,
) -> dict[str, np.ndarray]:
    """Rows and softmax of the held-out images, and what `check_fair` compares between arms."""
    start, arm = time.monotonic(), cell.arm
    recipe = replace(recipe, looks=0) if recipe.refit else recipe
    rows = parts(prepared.table, cell.fold)
    labels, groups = (prepared.table[name].to_numpy() for name in ("label", "group_id"))
    seed = mix(cell.classifier_seed, cell.fold)
    learned = ["train", "validation"] if recipe.refit else ["train"]
    learned = np.concatenate([rows.pop(part) for part in learned])
    train_rows = fewer_lesions(groups, labels, learned, arm.share, seed)
    real = Pool(prepared.images[train_rows], labels[train_rows])
    made = sets.get(cell.generator)
    pool, order = _fed(cell, real, made, recipe, seed, len(prepared.classes))
    augment = upright(arm.augment) if prepared.upright else arm.augment
    lesson = Lesson(
        pool.images, pool.labels, order, len(prepared.classes), augment, arm.loss, arm.blend
    )
    watched = None
    if recipe.looks:
        seen = rows["validation"]
        watched = Watched(prepared.images[seen], labels[seen], groups[seen])
    trained = train(lesson, recipe, seed, device, cell.name, watched)
    held_out = np.concatenate([rows[part] for part in ("validation", "test") if part in rows])
    return {
        "rows": held_out,
        "softmax": predict(
            trained.network, prepared.images[held_out], device, views=views_of(prepared)
        ),
        "label_order": np.array(sha256_arrays(pool.labels[order])),
        "steps": np.array(len(order)),
        "kept": np.array(trained.kept),
        "extra": np.bincount(pool.labels[len(real.labels) :], minlength=len(prepared.classes)),
        "lesions": np.array(len(set(groups[train_rows]))),
        "seconds": np.array(time.monotonic() - start),
    }


def fewer_lesions(
    groups: np.ndarray, labels: np.ndarray, rows: np.ndarray, share: float, seed: int
) -> np.ndarray:
    """Those of `rows` whose lesion is in the first `share` of its class's lesions, at least one, in
    an order that the seed decides: a smaller share is part of a larger one."""
    if share >= 1:
        return rows
    lesions = pd.DataFrame({"group": groups[rows], "label": labels[rows]}).drop_duplicates("group")
    lesions = lesions.sample(frac=1, random_state=np.random.default_rng(mix(seed, 4)))
    by_class = lesions.groupby("label")["group"]
    place, count = by_class.cumcount(), by_class.transform("size")
    kept = lesions["group"][place < np.maximum(1, np.round(share * count))]
    return rows[np.isin(groups[rows], kept)]


def _fed(
    cell: Cell, real: Pool, made: Pool | None, recipe: Recipe, seed: int, classes: int
) -> tuple[Pool, np.ndarray]:
    """The images an arm trains on, and the order it shows them in."""
    arm = cell.arm
    one_of("place", arm.place, PLACES)

    def ordered(labels: np.ndarray) -> np.ndarray:
        return real_order(labels, recipe.steps, recipe.batch, arm.sampling_power, seed)

    if arm.extra is None:
        return real, ordered(real.labels)
    counts = top_up(real.labels, made.labels, arm.dose, classes)
    if arm.place == "alone":
        counts = np.bincount(made.labels, minlength=classes)
    missing = counts == 0
    if arm.place != "alone":  # in classes as large as one another a dose may ask for none
        missing = np.array(wanted(real.labels, arm.dose, classes).any() and not counts.any())
    if missing.any():
        raise DataError(
            f"arm {arm.name!r}: the synthetic set of fold {cell.fold} has no image of "
            + ("every" if arm.place == "alone" else "a tail")
            + " class: sample those classes."
        )
    extra = arm.extra(real, made, counts, mix(cell.generator_seed, cell.fold))
    images, labels = (np.concatenate([getattr(x, name) for x in (real, extra)])
                      for name in ("images", "labels"))  # fmt: skip
    if arm.place == "add":
        return Pool(images, labels), ordered(labels)
    order = ordered(real.labels)
    alone = arm.place == "alone"
    return Pool(images, labels), with_extra(order, real.labels, extra.labels, mix(seed, 1), alone)


def check_fair(found: list[tuple[Cell, dict[str, np.ndarray]]]) -> None:
    """Raises MetricError unless all arms of a fold were tested on the same images after as many
    steps, and those of a class prior and seed were shown the same labels.
    """
    seen: dict[tuple, tuple[str, str]] = {}
    for cell, result in found:
        trained = (cell.fold, cell.classifier_seed, cell.arm.prior)
        for what, key, value in (
            ("steps", cell.fold, str(result["steps"])),
            ("tested images", cell.fold, sha256_arrays(result["rows"])),
            ("label order", trained, str(result["label_order"])),
        ):
            other, expected = seen.setdefault((what, key), (cell.name, value))
            if value != expected:
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
