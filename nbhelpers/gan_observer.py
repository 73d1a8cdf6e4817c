"""What is taken while a GAN is trained: pictures, health, history and checkpoints."""

import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from PIL import Image

from . import checkpoints, gan_folders, health, loggers, sampling
from .files import write_atomic
from .plots import tile
from .progress import reporter
from .training import Training

SAMPLES_SEED = 1  # the fixed noise of every picture taken during training
COLUMNS = 8  # samples in a row of a picture, at most, and rows
MOMENTS = 12  # pictures taken on the way, evenly in images shown...
SHORT, SHORT_MOMENTS = 2_000, 4  # ...and in a training of fewer images than this
EVERY = 2  # of those moments is also examined
SECONDS_BETWEEN_CHECKPOINTS = 60.0
HEALTH = "health.csv"
COUNTS = ("step", "images")  # columns of the history that are no results


class Observer:
    """Takes the pictures and the health, writes history and checkpoints, and says how far it is."""

    def __init__(self, training: Training, config: dict, folder: Path, taken: health.Health | None):
        self.config, self.folder, self.taken = config, folder, taken
        self.before = checkpoints.load(folder)["seconds"] if training.step else 0.0
        self.start = self.saved = time.monotonic()
        classes = len(config["classes"])
        # whole columns of a class, where there are eight or fewer
        self.columns = COLUMNS // classes * classes or COLUMNS
        self.label = torch.arange(self.columns * COLUMNS) % classes
        self.asked = sampling.asked(training.gan, len(self.label), SAMPLES_SEED, self.label)
        self.last_good = training.images_seen or None
        self.moments = SHORT_MOMENTS if training.budget.images < SHORT else MOMENTS
        total = training.steps * training.images_per_step
        self.tell = reporter(f"training {folder.name}", total, "images", training.images_seen)
        self.health = _known_health(folder, training.images_seen)
        self.sheet = _last_sheet(folder, training.images_seen)
        self.loggers = loggers.asked_for(folder, config, training.images_seen)
        if training.step == 0:
            self.picture(training)

    @property
    def seconds(self) -> float:
        """Seconds of training so far, those before a resume included."""
        return self.before + time.monotonic() - self.start

    def __call__(self, training: Training) -> None:
        moment, earlier = (
            self.moments * s // training.steps
            for s in (training.step, training.step - training.log_every)
        )
        if training.at_log_point and moment > earlier:
            self.picture(training)
            if moment % EVERY == 0:
                self.examine(training)
        if training.stopping or time.monotonic() - self.saved > SECONDS_BETWEEN_CHECKPOINTS:
            self.save(training)
        row = training.history[-1] if training.history else {}
        if training.at_log_point:
            self.log(training, {name: value for name, value in row.items() if name not in COUNTS})
        losses = [f"{name}={value:.2f}" for name, value in row.items() if name[:2] in ("d_", "g_")]
        self.tell(training.images_seen, " ".join(losses))

    def picture(self, training: Training) -> None:
        """Leaves the samples of this moment, and how far they moved since the one before."""
        images = sampling.decode(training.gan, self.asked, self.label)
        before, self.sheet = self.sheet, tile(images, self.columns)
        path = self.folder / "samples" / f"{training.images_seen:09d}.png"
        sampling.write_picture(path, Image.fromarray(self.sheet))
        for logger in self.loggers:
            logger.picture(training.images_seen, self.sheet)
        self.drift = (
            np.nan if before is None else float(np.abs(self.sheet - 1.0 * before).mean() / 255)
        )

    def examine(self, training: Training) -> None:
        """Adds this moment to the health, and keeps its weights when they are the best so far."""
        if self.taken is None:
            return
        found = self.taken(training.gan, training.budget.seed + 3)
        row = {"images": training.images_seen, **found, "drift": self.drift}
        self.health.append(row)
        self.log(training, {f"health/{name}": value for name, value in found.items()})
        if health.best(self.health) is row:
            state = {"config": self.config, "images": training.images_seen, "seconds": self.seconds}
            weights = {"gan": training.gan.state_dict()}
            checkpoints.write(self.folder / checkpoints.BEST, state | {"training": weights})

    def log(self, training: Training, values: dict[str, float]) -> None:
        for logger in self.loggers:
            logger.numbers(training.images_seen, values)

    def close(self) -> None:
        for logger in self.loggers:
            logger.close()

    def save(self, training: Training) -> None:
        """Writes history and health, then the checkpoint: a kill in between loses none of them."""
        for name, table in (
            ("history.csv", pd.DataFrame(training.history)),
            (HEALTH, pd.DataFrame(self.health, columns=list(health.COLUMNS))),
        ):
            write_atomic(self.folder / name, table.to_csv(index=False).encode())
        state = {"config": self.config, "images": training.budget.images, "seconds": self.seconds}
        checkpoints.save(self.folder, state | {"training": training.state()})
        self.saved, self.last_good = time.monotonic(), training.images_seen


def _known_health(folder: Path, images: int) -> list[dict]:
    """The rows of `health.csv` up to `images`: what came after will be taken again."""
    path = folder / HEALTH
    if not path.exists() or not images:
        return []
    table = gan_folders.read_table(path)
    return table[table["images"] <= images].to_dict("records")


def _last_sheet(folder: Path, images: int) -> np.ndarray | None:
    """The picture that was taken last, up to `images`; None at the start."""
    shown, sheets = gan_folders.sample_sheets(folder) if images else ([], [])
    known = [sheet for at, sheet in zip(shown, sheets, strict=True) if at <= images]
    return known[-1] if known else None
