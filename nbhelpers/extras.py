"""Extra images for a classifier: where they come from, how many, and what places they take."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .config import mix
from .errors import DataError, UsageError
from .evaluation_sets import read_set
from .gan_folders import refuse_other_data
from .prepare import Prepared
from .sampling import read_card
from .splits import parts, refuse_overlap, tail_classes


@dataclass(frozen=True)
class Pool:
    """Labelled images: uint8 (N, S, S, 3) and int64 (N,). `passed` bool (N,) says which of a
    generator's set a filter let through; None where nobody has filtered."""

    images: np.ndarray
    labels: np.ndarray
    passed: np.ndarray | None = None


Extra = Callable[[Pool, Pool, np.ndarray, int], Pool]  # real, made, counts by class, seed


def generated(real: Pool, made: Pool, counts: np.ndarray, seed: int) -> Pool:
    """`counts[c]` images of each class c from the generator's set."""
    return _pick(made, counts, seed)


def filtered(real: Pool, made: Pool, counts: np.ndarray, seed: int) -> Pool:
    """The same from those that the filter let through. DataError where it has not been asked."""
    if made.passed is None:
        raise DataError("nobody has filtered this synthetic set: pass filters to compare.")
    return _pick(Pool(made.images[made.passed], made.labels[made.passed]), counts, seed)


def duplicated(real: Pool, made: Pool, counts: np.ndarray, seed: int) -> Pool:
    """`counts[c]` real training images of each class c, a second time; the arm augments them like
    all others.
    """
    return _pick(real, counts, seed)


def blended(real: Pool, made: Pool, counts: np.ndarray, seed: int) -> Pool:
    """`counts[c]` means of two different real images of class c, weights drawn evenly from 0.3 to
    0.7."""
    rows = []
    for of_class, n in zip(_shuffled(real, len(counts), seed), counts, strict=True):
        size, k = len(of_class), np.arange(n if len(of_class) else 0)
        partner = (k + 1 + k // max(size, 1) % max(size - 1, 1)) % max(size, 1)
        rows.append(np.stack([np.resize(of_class, len(k)), of_class[partner]]))
    a, b = np.concatenate(rows, axis=1)
    share = np.random.default_rng(mix(seed, 2)).uniform(0.3, 0.7, (len(a), 1, 1, 1))
    images = share * real.images[a] + (1 - share) * real.images[b]
    return Pool(np.round(images).astype(np.uint8), real.labels[a])


def permuted(real: Pool, made: Pool, counts: np.ndarray, seed: int) -> Pool:
    """The generator's images of the classes that get any, their labels dealt anew among them."""
    true = _pick(made, counts, seed)
    return Pool(true.images, np.random.default_rng(mix(seed, 3)).permutation(true.labels))


def _pick(pool: Pool, counts: np.ndarray, seed: int) -> Pool:
    """Without replacement while a class lasts, then round again; none for a class without any."""
    of_class = _shuffled(pool, len(counts), seed)
    rows = [np.resize(found, n) for found, n in zip(of_class, counts, strict=True) if len(found)]
    rows = np.concatenate([np.empty(0, int), *rows])
    return Pool(np.asarray(pool.images[rows]), pool.labels[rows])


def _shuffled(pool: Pool, classes: int, seed: int) -> list[np.ndarray]:
    """The rows of each class, in random order."""
    rng = np.random.default_rng(mix(seed))
    return [rng.permutation(np.flatnonzero(pool.labels == c)) for c in range(classes)]


def synthetic_sets(gans: Path, gan: str) -> dict[tuple[int, int], Path]:
    """(fold, generator seed) -> `synthetic.npz`, from `gans/<gan>` and `gans/<gan>-*`; fold and
    seed stand in their `card.json`. DataError where two agree in both.
    """
    found = {}
    for path in sorted(
        [*Path(gans).glob(f"{gan}/synthetic.npz"), *Path(gans).glob(f"{gan}-*/synthetic.npz")]
    ):
        card = read_card(path.parent, "fold", "seed")
        key = card["fold"], card["seed"]
        if key in found:
            raise DataError(
                f"{found[key].parent.name} and {path.parent.name} are both of fold {key[0]} and "
                f"seed {key[1]}: train one with another seed, or move it away."
            )
        found[key] = path
    if not found:
        raise DataError(
            f"{Path(gans) / gan / 'synthetic.npz'} is missing: "
            f"run the notebook that trains {gan} first."
        )
    return found


def read_pool(path: Path, prepared: Prepared, fold: int, passed: np.ndarray | None = None) -> Pool:
    """The generated images in `path`, labels in the order of `prepared.classes`; `passed` bool (N,)
    where a filter was asked.

    LeakageError when its generator saw a lesion of this fold's validation or test part; DataError
    when it does not fit.
    """
    refuse_other_data(Path(path).parent, prepared)
    made = read_set(path, prepared)
    if made.labels is None:
        raise DataError(
            f"{path} has no labels, which a classifier learns from: take the set of a GAN that is "
            "told the class."
        )
    if not len(made.labels):
        raise DataError(
            f"{path} holds no image of {', '.join(prepared.classes)}: take the set of a GAN that "
            "is told all classes."
        )
    rows = parts(prepared.table, fold)
    held_out = prepared.table["group_id"].iloc[np.concatenate([rows["validation"], rows["test"]])]
    refuse_overlap(made.training_groups, held_out, f"the generator of {path}")
    if passed is not None and len(passed) != len(made.labels):
        raise DataError(f"{path}: {len(made.labels)} images, {len(passed)} filtered: filter again.")
    return Pool(made.images, made.labels, passed)


def top_up(real: np.ndarray, made: np.ndarray, dose: float | str, classes: int) -> np.ndarray:
    """Extra images of each class, int64 (K,): as many as are `wanted`, but never more than were
    made, so that generated and duplicated sets stay equal in size. `real`, `made` are labels.
    """
    return np.minimum(wanted(real, dose, classes), np.bincount(made, minlength=classes))


def wanted(real: np.ndarray, dose: float | str, classes: int) -> np.ndarray:
    """Extra images of each class that a dose asks for beside images with the labels `real`.

    A number is a multiple of the real ones, for the tail classes; "median" fills those up to the
    median class. For every class: "largest" fills it up to the largest, "+500" and "+10%" add so
    many. UsageError for another dose.
    """
    have = np.bincount(real, minlength=classes)
    tail = np.isin(np.arange(classes), tail_classes(have))
    if not isinstance(dose, str):
        return np.where(tail, np.round(dose * have), 0).astype(np.int64)
    if dose == "median":
        return np.where(tail, np.ceil(np.median(have)) - have, 0).astype(np.int64)
    if dose == "largest":
        return have.max() - have
    number = dose.removeprefix("+").removesuffix("%")
    if not (dose.startswith("+") and number.isdecimal()):
        raise UsageError(
            f"dose {dose!r} is none of a number, median, largest, +500 or +10%: choose one."
        )
    share = int(number) / 100 if dose.endswith("%") else None
    return np.full_like(have, int(number)) if share is None else np.round(share * have).astype(int)


def with_extra(
    order: np.ndarray, labels: np.ndarray, extra: np.ndarray, seed: int, alone: bool = False
) -> np.ndarray:
    """`order` (steps, batch) with rows replaced by extra ones of the same class; extra image i is
    row len(labels) + i.

    A class with n real and m extra images is replaced with chance m / (n + m); with `alone`, always
    where there are any. Where is a function of the seed and the counts alone, so two arms with
    equal counts replace the same places. Without extra images, as where a filter lets none pass, it
    is `order`.
    """
    if not len(extra):
        return order
    classes = max(labels.max(), extra.max()) + 1
    have, more = (np.bincount(of, minlength=classes) for of in (labels, extra))
    chance, which = np.random.default_rng(mix(seed)).random((2, *order.shape))
    label = labels[order]
    by_class, first = np.argsort(extra, kind="stable"), np.cumsum(more) - more
    place = first[label] + (which * more[label]).astype(np.int64)
    share = more > 0 if alone else more / np.maximum(have + more, 1)
    replaced = chance < share[label]
    return np.where(replaced, len(labels) + by_class[np.minimum(place, len(extra) - 1)], order)
