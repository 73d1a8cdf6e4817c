"""One GAN, one folder: train, resume, take pictures on the way, and leave a card."""

import datetime
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from PIL import Image

from . import __version__, checkpoints, gan_folders, sampling, splits
from .config import mix
from .errors import CheckpointError, one_of
from .files import sha256_file, write_atomic, write_json
from .gans import GAN, GANS
from .plots import tile
from .prepare import Prepared
from .progress import reporter
from .training import Budget, Training, TrainingImages

SAMPLES_SEED = 1  # the fixed noise of every picture taken during training
SAMPLES = 64
IMAGES_LEFT = 500  # written when a training is finished
MOMENTS = 12  # pictures taken on the way, evenly in images shown
SECONDS_BETWEEN_CHECKPOINTS = 60.0


@dataclass(frozen=True)
class Job:
    """What is trained on what. `settings` are constructor arguments other than the defaults."""

    gan: str
    images: int  # budget, images shown to D
    batch_size: int = 32
    seed: int = 0
    fold: int = 0
    class_name: str = ""  # "" trains on all classes
    settings: dict = field(default_factory=dict)

    def rows(self, prepared: Prepared) -> np.ndarray:
        """Row numbers trained on: the training part of the fold, of one class when one is named."""
        rows = splits.parts(prepared.table, self.fold)["train"]
        if self.class_name:
            one_of("class", self.class_name, prepared.classes)
            rows = rows[prepared.table["dx"].to_numpy()[rows] == self.class_name]
        return rows


def train_run(
    job: Job,
    prepared: Prepared,
    folder: Path,
    device: torch.device,
    resume: bool = False,
    start_from: Path | None = None,
) -> GAN:
    """The trained GAN, its folder filled: checkpoint, history.csv, card.json, samples/,
    progress.gif.

    With `resume` an unfinished training goes on and a finished one is loaded; without, a folder
    that holds a checkpoint is refused. `start_from` is the folder of a GAN whose weights (not its
    optimisers) training starts
    from.
    """
    gan = _build(job, prepared)
    config = _config(job, gan, prepared, start_from)
    rows = job.rows(prepared)
    data = TrainingImages(prepared.images[rows], prepared.table["label"].to_numpy()[rows], device)
    training = Training(gan, data, Budget(job.images, job.batch_size, job.seed), device)
    folder.mkdir(parents=True, exist_ok=True)
    if checkpoints.exists(folder):
        state = checkpoints.load(folder)
        _refuse_another(state, config, folder, resume)
        training.load(state["training"])
    elif start_from is not None:
        _take_weights(training.gan, start_from)
    if training.step >= training.steps and (folder / sampling.CARD).exists():
        print(f"{folder.name}: finished at {training.images_seen} images, nothing to do")
        return training.gan.eval()
    groups = _lesions_seen(job, prepared, rows, start_from)
    write_atomic(folder / sampling.GROUPS, "\n".join(sorted(groups)).encode())
    observer = _Observer(training, config, folder, len(prepared.classes))
    training.run(observer)
    sheets = gan_folders.sample_sheets(folder)[1]
    upper_halves = [sheet[: len(sheet) // 2 - 1] for sheet in sheets]  # a whole GIF is large
    sampling.progress_gif(upper_halves, folder / "progress.gif")
    _write_images(training.gan, job, prepared, folder, groups)
    write_json(folder / sampling.CARD, _card(training, job, prepared, observer.seconds, groups))
    checkpoints.drop_previous(folder)
    return training.gan.eval()


def train_or_load(
    job: Job, prepared: Prepared, folder: Path, device: torch.device, start_from: Path | None = None
) -> GAN:
    """Like `train_run` with `resume`; a training of other settings in `folder` is moved aside."""
    if checkpoints.exists(folder):
        state = checkpoints.load(folder)
        differences = _differences(state, _config(job, _build(job, prepared), prepared, start_from))
        if state["images"] > job.images:
            differences.append(
                f"it has a budget of {state['images']} images, {job.images} are asked for"
            )
        if differences:
            _set_aside(folder, differences)
    return train_run(job, prepared, folder, device, resume=True, start_from=start_from)


def _set_aside(folder: Path, differences: list[str]) -> None:
    """Moves a GAN's folder to `replaced/` beside it, under a number that is free."""
    names = (folder.parent / "replaced" / f"{folder.name}.{n}" for n in range(1, 1000))
    aside = next(path for path in names if not path.exists())
    aside.parent.mkdir(exist_ok=True)
    folder.rename(aside)
    print(f"{folder.name} was trained differently ({'; '.join(differences)}):")
    print(f"kept as {aside.parent.name}/{aside.name}")


def _take_weights(gan: GAN, folder: Path) -> None:
    """Starts `gan` from the weights in `folder`; CheckpointError when that is another GAN."""
    state = checkpoints.load(folder)
    if state["config"]["settings"] != gan.settings:
        raise CheckpointError(
            f"{folder} has settings {state['config']['settings']}, not {gan.settings}: "
            "start from a GAN of the same settings."
        )
    gan.load_state_dict(state["training"]["gan"])


def _lesions_seen(job: Job, prepared: Prepared, rows: np.ndarray, start_from: Path | None) -> set:
    """The lesions behind this GAN's weights, those of the GAN it starts from included.

    LeakageError when one of them is held out in this fold.
    """
    group = prepared.table["group_id"].to_numpy()
    seen = set(group[rows])
    if start_from is not None:
        seen |= sampling.training_groups(start_from)
        part = splits.parts(prepared.table, job.fold)
        held_out = group[np.concatenate([part["validation"], part["test"]])]
        splits.refuse_overlap(seen, held_out, f"the GAN in {start_from}")
    return seen


def _build(job: Job, prepared: Prepared) -> GAN:
    kind = GANS[one_of("GAN", job.gan, GANS)]
    with torch.random.fork_rng([]):
        torch.manual_seed(mix(job.seed, 0))
        return kind(image_size=prepared.image_size, **job.settings)


def _config(job: Job, gan: GAN, prepared: Prepared, start_from: Path | None) -> dict:
    """What a checkpoint must share with a job to be its past. The budget is left out: it may
    grow."""
    identity = asdict(job) | {
        "settings": gan.settings,
        "data": prepared.manifest["sha256"]["images.npy"],
    }
    identity["start_from"] = (
        "" if start_from is None else sha256_file(start_from / checkpoints.NAME)
    )
    del identity["images"]
    return identity


def _differences(state: dict, config: dict) -> list[str]:
    return [
        f"{k} was {state['config'].get(k)!r}, is {v!r}"
        for k, v in config.items()
        if state["config"].get(k) != v
    ]


def _refuse_another(state: dict, config: dict, folder: Path, resume: bool) -> None:
    if not resume:
        raise CheckpointError(
            f"{folder} holds a training: pass --resume to go on with it, or choose another folder."
        )
    if differences := _differences(state, config):
        raise CheckpointError(
            f"{folder} holds another training: {'; '.join(differences)}. Choose another folder."
        )


def _write_images(gan: GAN, job: Job, prepared: Prepared, folder: Path, groups: set[str]) -> None:
    """Leaves `synthetic.npz` where the class of the images is known, else `samples.npz`."""
    images = sampling.generate(gan, IMAGES_LEFT, seed=job.seed + 2)
    if not job.class_name:
        sampling.write_samples(folder / "samples.npz", images)
        return
    labels = np.full(len(images), prepared.classes.index(job.class_name))
    sampling.write_synthetic(folder / "synthetic.npz", images, labels, prepared.classes, groups)


class _Observer:
    """Takes the pictures, writes history and checkpoints, and says how far it is."""

    def __init__(self, training: Training, config: dict, folder: Path, classes: int):
        self.config, self.folder = config, folder
        self.before = checkpoints.load(folder)["seconds"] if training.step else 0.0
        self.start = self.saved = time.monotonic()
        self.noise = sampling.fixed_noise(training.gan.z_dim, SAMPLES, SAMPLES_SEED)
        self.label = (
            torch.arange(SAMPLES) % classes
        )  # one column a class where there are eight or fewer
        self.tell = reporter(
            f"training {folder.name}",
            training.steps * training.images_per_step,
            "images",
            training.images_seen,
        )
        if training.step == 0:
            self.picture(training)

    @property
    def seconds(self) -> float:
        """Seconds of training so far, those before a resume included."""
        return self.before + time.monotonic() - self.start

    def __call__(self, training: Training) -> None:
        moment, earlier = (
            MOMENTS * s // training.steps
            for s in (training.step, training.step - training.log_every)
        )
        if moment > earlier:
            self.picture(training)
        if training.stopping or time.monotonic() - self.saved > SECONDS_BETWEEN_CHECKPOINTS:
            self.save(training)
        losses = (
            {k: v for k, v in training.history[-1].items() if k[:2] in ("d_", "g_")}
            if training.history
            else {}
        )
        self.tell(training.images_seen, " ".join(f"{k}={v:.2f}" for k, v in losses.items()))

    def picture(self, training: Training) -> None:
        images = sampling.decode(training.gan, self.noise, self.label)
        picture = Image.fromarray(tile(images, columns=8))
        sampling.write_picture(self.folder / "samples" / f"{training.images_seen:09d}.png", picture)

    def save(self, training: Training) -> None:
        state = {"config": self.config, "images": training.budget.images, "seconds": self.seconds}
        checkpoints.save(self.folder, state | {"training": training.state()})
        write_atomic(
            self.folder / "history.csv", pd.DataFrame(training.history).to_csv(index=False).encode()
        )
        self.saved = time.monotonic()


def _card(
    training: Training, job: Job, prepared: Prepared, seconds: float, groups: set[str]
) -> dict:
    """What a stranger must know before using this GAN's images."""
    return {
        "gan": job.gan,
        "settings": training.gan.settings,
        "parameters": {
            p: sum(w.numel() for w in getattr(training.gan, p).parameters()) for p in ("G", "D")
        },
        "images_shown": training.images_seen,
        "steps": training.step,
        "batch_size": job.batch_size,
        "seed": job.seed,
        "fold": job.fold,
        "class": job.class_name or "all",
        "data": {
            "source": prepared.manifest["source"],
            "image_size": prepared.image_size,
            "images_sha256": prepared.manifest["sha256"]["images.npy"],
            "training_images": training.data.count,
            "training_lesions": len(groups),
            "training_groups_sha256": splits.groups_hash(groups),
            "licence": prepared.manifest["licence"],
        },
        "device": training.device.type,
        "precision": str(training.precision).removeprefix("torch."),
        "minutes": round(seconds / 60, 2),
        "date": str(datetime.date.today()),
        "nbhelpers": __version__,
        "torch": torch.__version__,
    }
