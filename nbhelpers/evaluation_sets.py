"""Both sides of a measurement: photographs held out, and the synthetic sets that GANs leave."""

from dataclasses import dataclass, field, fields
from pathlib import Path

import numpy as np
import pandas as pd

from . import sampling
from .errors import CheckpointError, DataError, LeakageError, MetricError
from .files import BROKEN_ARRAYS, sha256_arrays
from .gan_folders import refuse_other_data
from .prepare import Prepared
from .splits import parts, refuse_overlap

SETS = ("samples.npz", "synthetic.npz")


@dataclass(frozen=True)
class HeldOut:
    """Validation and test photographs of a fold, in two halves that share no lesion."""

    fold: int
    images: np.ndarray  # uint8 (N, S, S, 3)
    labels: np.ndarray  # int64 (N,)
    groups: np.ndarray  # the lesion of each image
    half: np.ndarray  # 0 or 1 for each image
    training_images: np.ndarray  # what the generators have seen, for the search for copies
    training_labels: np.ndarray
    training_groups: np.ndarray

    @property
    def identity(self) -> str:
        """SHA-256 of all of it: every image, label, lesion and half."""
        content = [getattr(self, one.name) for one in fields(self)]
        return sha256_arrays(*map(np.asarray, content))


def held_out(prepared: Prepared, fold: int, seed: int) -> HeldOut:
    """The held-out photographs of `fold`, their lesions dealt into halves class by class."""
    split = parts(prepared.table, fold)
    rows = np.sort(np.concatenate([split["validation"], split["test"]]))
    table = prepared.table.iloc[rows]
    lesions = (
        table.drop_duplicates("group_id")
        .sample(frac=1, random_state=seed)
        .sort_values("label", kind="stable")
    )
    half = pd.Series(np.arange(len(lesions)) % 2, index=lesions["group_id"])
    images = np.asarray(prepared.images[rows])
    groups, labels = table["group_id"].to_numpy(), table["label"].to_numpy()
    seen = prepared.table.iloc[split["train"]]
    training = (
        np.asarray(prepared.images[split["train"]]),
        seen["label"].to_numpy(),
        seen["group_id"].to_numpy(),
    )
    return HeldOut(fold, images, labels, groups, half[groups].to_numpy(), *training)


def one_a_lesion(groups: np.ndarray, seed: int) -> np.ndarray:
    """Rows of one photograph of each lesion of `groups` (N,), in random order: lesions with many
    photographs tend to the front, so that a part of the list has the mix of the photographs."""
    order = np.random.default_rng(seed).permutation(len(groups))
    return order[np.sort(np.unique(groups[order], return_index=True)[1])]


@dataclass(frozen=True)
class Generated:
    """A synthetic set as it lies in a GAN's folder; `labels` is None for a set without classes."""

    images: np.ndarray  # uint8 (N, S, S, 3)
    labels: np.ndarray | None  # int64 (N,) into the prepared classes
    training_groups: set[str] = field(default_factory=set)


def read_generated(folder: Path, prepared: Prepared) -> list[Generated]:
    """The sets of a GAN's folder: `samples.npz` (images of all classes, no labels) and
    `synthetic.npz` (with labels), in this order. DataError when there is neither.
    """
    found = [folder / name for name in SETS if (folder / name).exists()]
    if not found:
        raise DataError(f"{folder} holds no synthetic set: run the notebook of this GAN first.")
    refuse_other_data(folder, prepared)
    return [read_set(path, prepared) for path in found]


def read_set(path: Path, prepared: Prepared) -> Generated:
    """The synthetic set in `path`, its labels in the order of `prepared.classes`. DataError or
    MetricError when it does not fit these data."""
    try:
        with np.load(path, allow_pickle=False) as file:
            content = {name: file[name] for name in file.files}
        images = content["images"]
    except BROKEN_ARRAYS as error:
        raise DataError(
            f"{path} is no synthetic set ({error}): delete it and sample again."
        ) from error
    if images.dtype != np.uint8 or images.shape[1:] != prepared.images.shape[1:]:
        raise MetricError(
            f"{path} holds {images.shape} {images.dtype}, not {prepared.images.shape[1:]} uint8: "
            "sample again from a GAN of this size."
        )
    groups = set(content.get("training_groups", np.array([], str)).tolist())
    if "labels" not in content:
        return Generated(images, None, groups)
    if len(content["labels"]) != len(images):
        raise DataError(
            f"{path}: {len(images)} images and {len(content['labels'])} labels: sample again."
        )
    of = prepared.manifest.get("of") or {name: name for name in prepared.classes}
    unknown = set(content["classes"].tolist()) - set(of)
    if unknown:
        raise DataError(
            f"{path}: classes {sorted(unknown)} are not in the prepared data: sample again."
        )
    # a diagnosis that the task leaves out has no place
    place = np.array([(*prepared.classes, "").index(of[name]) for name in content["classes"]])
    labels = place[content["labels"]]
    kept = labels < len(prepared.classes)
    return Generated(images if kept.all() else images[kept], labels[kept], groups)


def fold_of(folder: Path, real: HeldOut) -> int:
    """The fold that the GAN in `folder` was trained for; that of `real` where no card tells."""
    card = folder / sampling.CARD
    return sampling.read_card(folder).get("fold", real.fold) if card.exists() else real.fold


def refuse_leak(folder: Path, sets: list[Generated], real: HeldOut) -> None:
    """Raises LeakageError unless the GAN in `folder` is known to have seen no lesion of `real`."""
    fold = fold_of(folder, real)
    if fold != real.fold:
        raise LeakageError(f"{folder.name} was trained for fold {fold}, not {real.fold}: train it.")
    seen = set().union(*(one.training_groups for one in sets))
    try:
        seen |= sampling.training_groups(folder)
    except CheckpointError:
        if not seen:
            raise LeakageError(
                f"{folder.name}: the lesions it was trained on are not known: train it again."
            ) from None
    refuse_overlap(seen, real.groups, folder.name)
