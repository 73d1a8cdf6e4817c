"""The encoder that judges checkpoints: a classifier's body, trained once for a run and a fold."""

import hashlib
import io
from pathlib import Path

import numpy as np
import torch

from . import features
from .classic_augmentation import CLASSIC, upright
from .classifier import Lesson, Recipe, train
from .config import mix
from .features import Encoder
from .files import read_json, remove_unfinished, sha256_file, write_atomic, write_json
from .locks import one_process
from .prepare import Prepared
from .row_order import real_order
from .splits import groups_hash, parts

CARD = "encoder.json"
SAMPLING_POWER = 0.5  # sampling weight of an image is its class's count to the power -0.5
KINDS = ("task", "upright")  # of data; older cards of plain ones do not name them
TOLD = ("backbone", "steps", "batch", "learning_rate", "weight_decay", "label_smoothing")
SEED = 0  # its own, so that runs of other seeds are judged by one judge


def trained_encoder(
    prepared: Prepared, fold: int, steps: int, device: torch.device, folder: Path
) -> Encoder:
    """The lesion encoder in `folder/encoder` (`encoder_fold_1` of fold 1, ...), trained on the
    fold's training part when it is not there."""
    place = _place(prepared, fold, folder)
    return features.lesion_encoder(
        train_encoder(prepared, fold, steps, SEED, device, place), device
    )


def the_runs_classifier(
    prepared: Prepared, fold: int, steps: int, device: torch.device, folder: Path
) -> Path:
    """The file of `trained_encoder`, head and all, but one that the run in `folder` has already
    keeps its own number of steps: a run has one judge, whoever asks. A task has one of its own."""
    place = _place(prepared, fold, folder)
    steps = read_json(place / CARD)["steps"] if (place / CARD).exists() else steps
    return train_encoder(prepared, fold, steps, SEED, device, place)


def the_runs_encoder(
    prepared: Prepared, fold: int, steps: int, device: torch.device, folder: Path
) -> Encoder:
    """`the_runs_classifier` without its head."""
    path = the_runs_classifier(prepared, fold, steps, device, folder)
    return features.lesion_encoder(path, device)


def _place(prepared: Prepared, fold: int, folder: Path) -> Path:
    return features.encoder_folder(folder, fold, prepared.manifest.get("task", ""))


def train_encoder(
    prepared: Prepared, fold: int, steps: int, seed: int, device: torch.device, folder: Path
) -> Path:
    """`folder/encoder.pt`: a ResNet-18 that has learned this fold's training lesions and no other,
    for use as a feature extractor.

    A dictionary of `state` (CPU tensors), `classes`, `image_size`, `training_groups`. Kept as it is
    when `encoder.json` says that it was made with the same data and settings and its bytes are
    intact.
    """
    rows = parts(prepared.table, fold)["train"]
    recipe = Recipe(steps=steps, batch=min(64, len(rows)))
    groups = sorted(set(prepared.table["group_id"].iloc[rows]))
    settings = {name: getattr(recipe, name) for name in TOLD}
    settings |= {"seed": seed, "fold": fold, "training_groups": groups_hash(groups)}
    settings |= {"data": prepared.manifest["sha256"]}
    settings |= {key: prepared.manifest[key] for key in KINDS if prepared.manifest.get(key)}
    path, card = Path(folder) / "encoder.pt", Path(folder) / CARD
    path.parent.mkdir(parents=True, exist_ok=True)
    with one_process(path):  # notebooks that run side by side have one judge
        remove_unfinished(path.parent, seconds=0)
        if (
            path.exists()
            and card.exists()
            and read_json(card) == settings | {"sha256": sha256_file(path)}
        ):
            return path
        lesson = _lesson(prepared, rows, recipe, mix(seed, fold))
        network = train(lesson, recipe, seed, device, "lesion encoder").network
        state = {name: value.cpu().contiguous() for name, value in network.state_dict().items()}
        body = {"state": state, "classes": list(prepared.classes), "training_groups": groups}
        buffer = io.BytesIO()
        torch.save(body | {"image_size": prepared.image_size}, buffer)
        write_atomic(path, buffer.getvalue())
        digest = hashlib.sha256(buffer.getvalue()).hexdigest()
        write_json(card, settings | {"sha256": digest})
    return path


def _lesson(prepared: Prepared, rows: np.ndarray, recipe: Recipe, seed: int) -> Lesson:
    labels = prepared.table["label"].to_numpy()[rows]
    order = real_order(labels, recipe.steps, recipe.batch, SAMPLING_POWER, seed)
    augment = upright(CLASSIC) if prepared.upright else CLASSIC
    return Lesson(prepared.images[rows], labels, order, len(prepared.classes), augment)
