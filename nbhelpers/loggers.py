"""A training told to TensorBoard or to Weights & Biases while it runs, where `NBHELPERS_LOGGERS` in
the environment asks for it: `tensorboard`, `wandb`, or both with a comma between."""

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from .errors import UsageError, one_of

VARIABLE = "NBHELPERS_LOGGERS"


class Logger(Protocol):
    """Takes what an observer of a training sees, by the number of images shown to D so far."""

    def numbers(self, images: int, values: Mapping[str, float]) -> None: ...

    def picture(self, images: int, sheet: np.ndarray) -> None:
        """`sheet`, uint8 (H, W, 3), of samples."""

    def close(self) -> None: ...


def asked_for(folder: Path, config: Mapping[str, Any], images: int) -> list[Logger]:
    """The loggers of a training in `folder` that has shown `images`: what came later, and was lost
    with a kill, is replaced. UsageError for one that is unknown or not installed."""
    names = [name.strip() for name in os.environ.get(VARIABLE, "").split(",") if name.strip()]
    return [_started(one_of(VARIABLE, name, LOGGERS), folder, config, images) for name in names]


def _started(name: str, folder: Path, config: Mapping[str, Any], images: int) -> Logger:
    try:
        return LOGGERS[name](folder, config, images)
    except ImportError as error:
        raise UsageError(
            f"{VARIABLE} asks for {name}, which is not installed ({error}): pip install {name}, or "
            "leave it out."
        ) from error


class TensorBoard:
    """Event files in `folder/tensorboard`; look with `tensorboard --logdir RUN`."""

    def __init__(self, folder: Path, config: Mapping[str, Any], images: int):
        from torch.utils.tensorboard import SummaryWriter

        self.writer = SummaryWriter(folder / "tensorboard", purge_step=images + 1)
        self.writer.add_text("settings", "\n".join(f"    {k}: {v}" for k, v in config.items()), 0)

    def numbers(self, images: int, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            self.writer.add_scalar(name, value, images)

    def picture(self, images: int, sheet: np.ndarray) -> None:
        self.writer.add_image("samples", sheet, images, dataformats="HWC")

    def close(self) -> None:
        self.writer.close()


class WandB:
    """A run of the project `nbhelpers`, named after the folder, which goes on when the training
    does. Where and whether it is sent, wandb's own settings say (`WANDB_MODE=offline`)."""

    def __init__(self, folder: Path, config: Mapping[str, Any], images: int):
        import wandb

        self.picture_of = wandb.Image
        place = str(folder.resolve())
        self.run = wandb.init(
            project="nbhelpers",
            name=folder.name,
            id=hashlib.sha256(place.encode()).hexdigest()[:16],
            resume="allow",
            dir=place,
            config=dict(config),
        )

    def numbers(self, images: int, values: Mapping[str, float]) -> None:
        self.run.log({"images": images, **values})

    def picture(self, images: int, sheet: np.ndarray) -> None:
        self.run.log({"images": images, "samples": self.picture_of(sheet)})

    def close(self) -> None:
        self.run.finish()


LOGGERS = {"tensorboard": TensorBoard, "wandb": WandB}
