"""The encoder that judges checkpoints: a classifier's body, trained once for a run and a fold."""

from pathlib import Path

import torch

from . import features
from .classifier import train_encoder
from .features import Encoder
from .prepare import Prepared

SEED = 0  # its own, so that runs of other seeds are judged by one judge


def trained_encoder(
    prepared: Prepared, fold: int, steps: int, device: torch.device, folder: Path
) -> Encoder:
    """The lesion encoder in `folder/encoder`, trained on the fold's training part when it is not
    there."""
    path = train_encoder(prepared, fold, steps, SEED, device, Path(folder) / "encoder")
    return features.lesion_encoder(path, device)
