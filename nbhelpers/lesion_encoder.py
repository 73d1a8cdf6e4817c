"""The encoder that judges checkpoints: a classifier's body, trained once for a run and a fold."""

from pathlib import Path

import torch

from . import features
from .classifier import ENCODER_CARD, train_encoder
from .features import Encoder
from .files import read_json
from .prepare import Prepared

SEED = 0  # its own, so that runs of other seeds are judged by one judge


def trained_encoder(
    prepared: Prepared, fold: int, steps: int, device: torch.device, folder: Path
) -> Encoder:
    """The lesion encoder in `folder/encoder` (`encoder_fold_1` of fold 1, ...), trained on the
    fold's training part when it is not there."""
    path = train_encoder(prepared, fold, steps, SEED, device, _place(folder, fold))
    return features.lesion_encoder(path, device)


def the_runs_encoder(
    prepared: Prepared, fold: int, steps: int, device: torch.device, folder: Path
) -> Encoder:
    """`trained_encoder`, but one that the run in `folder` has already keeps its own number of
    steps: a run has one judge, whoever asks."""
    card = _place(folder, fold) / ENCODER_CARD
    steps = read_json(card)["steps"] if card.exists() else steps
    return trained_encoder(prepared, fold, steps, device, folder)


def _place(folder: Path, fold: int) -> Path:
    return Path(folder) / (f"encoder_fold_{fold}" if fold else "encoder")
