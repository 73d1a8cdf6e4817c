"""The arms of a comparison as data: what each shows the same classifier, and where its extra images
come from.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .classifier import CLASSIC, SAMPLING_POWER, Augment, unchanged
from .config import mix
from .errors import DataError
from .files import BROKEN_ARRAYS, read_json
from .gan_folders import refuse_other_data
from .prepare import Prepared
from .splits import parts, refuse_overlap, tail_classes


@dataclass(frozen=True)
class Pool:
    """Labelled images: uint8 (N, S, S, 3) and int64 (N,)."""

    images: np.ndarray
    labels: np.ndarray


Extra = Callable[[Pool, Pool, np.ndarray, int], Pool]


def generated(real: Pool, made: Pool, counts: np.ndarray, seed: int) -> Pool:
    """`counts[c]` images of each class c from the generator's set."""
    return _pick(made, counts, seed)


def duplicated(real: Pool, made: Pool, counts: np.ndarray, seed: int) -> Pool:
    """`counts[c]` real training images of each class c, a second time; the arm augments them like
    all others.
    """
    return _pick(real, counts, seed)


def _pick(pool: Pool, counts: np.ndarray, seed: int) -> Pool:
    """Without replacement while a class lasts, then round again."""
    rng = np.random.default_rng(mix(seed))
    of_class = [rng.permutation(np.flatnonzero(pool.labels == c)) for c in range(len(counts))]
    rows = np.concatenate([np.resize(found, n) for found, n in zip(of_class, counts, strict=True)])
    return Pool(np.asarray(pool.images[rows]), pool.labels[rows])


@dataclass(frozen=True)
class Arm:
    """One way of feeding the same classifier. `dose` is extra images over real ones, in each tail
    class.
    """

    name: str
    code: str  # in the protocol's table
    why: str
    augment: Augment = CLASSIC
    extra: Extra | None = None
    dose: float = 1.0
    sampling_power: float = SAMPLING_POWER

    @property
    def settings(self) -> dict:
        """Everything that decides what this arm trains, as plain values."""
        named = {"augment": self.augment, "extra": self.extra}
        plain = {key: getattr(value, "__name__", repr(value)) for key, value in named.items()}
        return {"name": self.name, "dose": self.dose, "sampling_power": self.sampling_power} | plain


ARMS = (
    Arm("real", "A0", "the floor: real images as they are", augment=unchanged),
    Arm("real_classic", "A1", "the bar: the same images, classically augmented"),
    Arm(
        "synthetic",
        "S1",
        "the question: the bar, with generated images for the tail classes",
        extra=generated,
    ),
    Arm(
        "placebo",
        "C1",
        "the control: the bar, with as many duplicated real images instead",
        extra=duplicated,
    ),
)


def synthetic_sets(gans: Path, gan: str) -> dict[tuple[int, int], Path]:
    """(fold, generator seed) -> `synthetic.npz`, from `gans/<gan>` and `gans/<gan>-*`; fold and
    seed stand in their `card.json`.
    """
    found = {}
    for path in sorted(
        [*Path(gans).glob(f"{gan}/synthetic.npz"), *Path(gans).glob(f"{gan}-*/synthetic.npz")]
    ):
        card = read_json(path.with_name("card.json"))
        found[card["fold"], card["seed"]] = path
    if not found:
        raise DataError(
            f"{Path(gans) / gan / 'synthetic.npz'} is missing: "
            f"run the notebook that trains {gan} first."
        )
    return found


def read_set(path: Path, prepared: Prepared, fold: int) -> Pool:
    """The generated images in `path`, labels in the order of `prepared.classes`.

    LeakageError when its generator saw a lesion of this fold's validation or test part; DataError
    when it does not fit.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            images, labels = file["images"], file["labels"]
            classes, groups = file["classes"].tolist(), file["training_groups"].tolist()
    except BROKEN_ARRAYS as error:
        raise DataError(f"{path} is not a synthetic set ({error}): sample it again.") from error
    refuse_other_data(Path(path).parent, prepared)
    rows = parts(prepared.table, fold)
    held_out = prepared.table["group_id"].iloc[np.concatenate([rows["validation"], rows["test"]])]
    refuse_overlap(groups, held_out, f"the generator of {path}")
    if images.shape[1:] != prepared.images.shape[1:] or not set(classes) <= set(prepared.classes):
        raise DataError(
            f"{path} has images {images.shape[1:]} of {', '.join(classes)}: "
            "sample it from a GAN of this data set."
        )
    place = np.array([prepared.classes.index(name) for name in classes])
    return Pool(images, place[labels])


def top_up(real: np.ndarray, made: np.ndarray, dose: float, classes: int) -> np.ndarray:
    """Extra images of each class, int64 (K,): `dose` times the real ones for the tail classes, 0
    for the others.

    Never more than were made, so that generated and duplicated sets stay equal in size. `real`,
    `made` are labels.
    """
    have = np.bincount(real, minlength=classes)
    wanted = np.zeros(classes, np.int64)
    tail = tail_classes(have)
    wanted[tail] = np.round(dose * have[tail])
    return np.minimum(wanted, np.bincount(made, minlength=classes))


def with_extra(order: np.ndarray, labels: np.ndarray, extra: np.ndarray, seed: int) -> np.ndarray:
    """`order` (steps, batch) with rows replaced by extra ones of the same class; extra image i is
    row len(labels) + i.

    A class with n real and m extra images is replaced with chance m / (n + m). Where is a function
    of the seed and the counts alone, so two arms with equal counts replace the same places.
    """
    classes = max(labels.max(), extra.max()) + 1
    have, more = (np.bincount(of, minlength=classes) for of in (labels, extra))
    chance, which = np.random.default_rng(mix(seed)).random((2, *order.shape))
    label = labels[order]
    by_class, first = np.argsort(extra, kind="stable"), np.cumsum(more) - more
    place = first[label] + (which * more[label]).astype(np.int64)
    replaced = chance < (more / np.maximum(have + more, 1))[label]
    return np.where(replaced, len(labels) + by_class[np.minimum(place, len(extra) - 1)], order)
