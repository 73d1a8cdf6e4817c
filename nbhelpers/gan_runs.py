"""One GAN, one folder: train, resume, take pictures on the way, and leave a card."""

import contextlib
import datetime
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from . import __version__, checkpoints, gan_folders, health, ranks, sampling, splits
from .config import mix
from .errors import TrainingDiverged, TrainingError
from .features import Encoder
from .files import remove_unfinished, write_atomic, write_json
from .gan_jobs import Job, differences, refuse_another, take_weights
from .gan_observer import Observer
from .gans import GAN, Masks
from .launcher import train_on
from .locks import one_process
from .prepare import Prepared
from .training import Training
from .training_images import Rows, TrainingImages

IMAGES_LEFT = 500  # written when a training is finished, at most...
IMAGES_OF_A_CLASS = 250  # ...and of every class, when G can be asked for one
MASKS_OF_A_CLASS = 500  # of the training images, kept beside a GAN that translates masks
IMAGES_SHOWN = 10  # to D for each image left, or for two of each class: few by an experiment


def train_run(
    job: Job,
    prepared: Prepared,
    folder: Path,
    device: torch.device,
    resume: bool = False,
    start_from: Path | None = None,
    encoder: Encoder | None = None,
) -> GAN:
    """The trained GAN, its folder filled: checkpoint, history.csv, health.csv, card.json, samples/,
    progress.gif.

    With `resume` an unfinished training goes on and a finished one is loaded; without, a folder
    that holds a checkpoint is refused. `start_from` is the folder of a GAN whose weights (not its
    optimisers) training starts from. With an `encoder` (of the same fold) the KID of every moment
    is taken on the validation part, and the weights of the best moment are kept in `best.pt`.
    TrainingDiverged when a loss stops being finite; TrainingError when another process trains in
    `folder`, and, with a batch size to try, when the GPU's memory does not suffice.
    """
    training = _training(job, prepared, device)
    config = job.identity(training.gan, prepared, start_from)
    with _the_only_one(folder):
        _take_up(training, config, folder, resume, start_from)
        if training.step >= training.steps and (folder / sampling.CARD).exists():
            print(f"{folder.name}: finished at {training.images_seen} images, nothing to do")
            return training.gan.eval()
        groups = _lesions_seen(job, prepared, start_from)
        if ranks.rank():
            training.run()  # rank 0 looks and writes
        else:
            _train(training, job, prepared, folder, config, groups, encoder)
    return training.gan.eval()


@contextlib.contextmanager
def _the_only_one(folder: Path) -> Iterator[None]:
    """Inside, no other training writes in `folder`; what a killed one was writing is removed."""
    if ranks.rank():
        yield  # rank 0 writes
        return
    busy = f"{folder} is being trained by another process: wait for it, or name another folder."
    folder.parent.mkdir(parents=True, exist_ok=True)
    with one_process(folder, TrainingError(busy)):
        for place in (folder, folder / "samples"):
            remove_unfinished(place, seconds=0)
        yield


def _take_up(
    training: Training, config: dict, folder: Path, resume: bool, start_from: Path | None
) -> None:
    """The training as its checkpoint left it, or at its beginning; refused where the folder, or
    another rank, holds another training."""
    folder.mkdir(parents=True, exist_ok=True)
    if checkpoints.exists(folder):
        state = checkpoints.load(folder)
        refuse_another(state, config, folder, resume)
        training.load(state["training"])
    elif start_from is not None:
        take_weights(training.gan, start_from, tuple(config["classes"]))
    budget, precision = training.budget.images, str(training.precision)
    ranks.refuse_others(config | {"step": training.step, "budget": budget, "precision": precision})


def _train(
    training: Training,
    job: Job,
    prepared: Prepared,
    folder: Path,
    config: dict,
    groups: set[str],
    encoder: Encoder | None,
) -> None:
    """Trains, looks on the way, and leaves everything behind."""
    write_atomic(folder / sampling.GROUPS, "\n".join(sorted(groups)).encode())
    if training.gan.masks is not None:
        sampling.write_masks(folder, training.gan.masks)
    with ranks.alone():
        taken = health.of(prepared, job, training.gan, encoder)
        observer = Observer(training, config, folder, taken)
    try:
        _play(training, observer)
    finally:
        observer.close()
    with ranks.alone():
        _finish(training, job, prepared, observer, groups)


def _training(job: Job, prepared: Prepared, device: torch.device) -> Training:
    """The job's GAN before its first step."""
    gan, rows = job.build(prepared), job.rows(prepared)
    labels = prepared.table["label"].to_numpy()[rows]
    masks = ()
    if gan.translates:
        gan.masks = _some_masks(job, prepared, rows)
        masks = Rows(prepared.masks, rows), gan.mask_classes
    images = Rows(prepared.images, rows)
    data = TrainingImages(images, labels, device, prepared.upright, *masks, crop=job.crop)
    return Training(gan, data, job.budget(gan), device)


def _some_masks(job: Job, prepared: Prepared, rows: np.ndarray) -> Masks:
    """Masks to ask G with: those of the training images, `MASKS_OF_A_CLASS` of a class at most."""
    labels = prepared.table["label"].to_numpy()[rows]
    place = np.random.default_rng(mix(job.seed, 7)).permutation(len(rows))
    groups = [place[labels[place] == c][:MASKS_OF_A_CLASS] for c in np.unique(labels)]
    chosen = np.sort(np.concatenate(groups))
    return Masks(job.windows(prepared.masks, rows[chosen]), labels[chosen])


def _play(training: Training, observer: Observer) -> None:
    """Trains to the end; an error tells what to do and where the last checkpoint stands."""
    too_large = False
    try:
        training.run(observer)
    except TrainingDiverged as error:
        raise error.beside(observer.last_good) from error
    except torch.cuda.OutOfMemoryError:
        too_large = True  # the error holds the memory until this block ends
    if not too_large:
        return
    training.gan.zero_grad()
    torch.cuda.empty_cache()
    batch = training.budget.batch_size
    past = f" The last checkpoint is at {observer.last_good} images." if observer.last_good else ""
    raise TrainingError(
        f"{observer.folder.name}: the GPU's memory does not suffice for batches of {batch} images: "
        f"set batch_size to {max(1, batch // 2)}, or width to less.{past}"
    )


def _finish(
    training: Training, job: Job, prepared: Prepared, observer: Observer, groups: set[str]
) -> None:
    """Leaves what a finished training leaves: GIF, samples, and last of all the card."""
    folder = observer.folder
    sheets = gan_folders.sample_sheets(folder)[1]
    upper_halves = [sheet[: len(sheet) // 2 - 1] for sheet in sheets]  # a whole GIF is large
    sampling.progress_gif(upper_halves, folder / "progress.gif")
    _write_images(training.gan, job, prepared, folder, groups)
    card = _card(training, job, prepared, observer.seconds, groups)
    if observer.health:
        card["health"] = health.line(observer.health)
        print(f"{folder.name}: {card['health']}")
    write_json(folder / sampling.CARD, card)
    checkpoints.drop_previous(folder)


def train_or_load(
    job: Job,
    prepared: Prepared,
    folder: Path,
    device: torch.device,
    start_from: Path | None = None,
    encoder: Encoder | None = None,
    gpus: int = 1,
) -> GAN:
    """Like `train_run` with `resume`; a training of other settings in `folder` is moved aside.
    `gpus` of them train it together, see `launcher.train_on`; the run's own encoder judges then.
    """
    if checkpoints.exists(folder):
        state = checkpoints.load(folder)
        found = differences(state, job.identity(job.build(prepared), prepared, start_from))
        if state["images"] > job.images:
            found.append(f"it has a budget of {state['images']} images, {job.images} are asked for")
        if found:
            _set_aside(folder, found)
    if gpus != 1:
        train_on(gpus, job, prepared, folder, device, start_from)
    return train_run(job, prepared, folder, device, True, start_from, encoder)


def _set_aside(folder: Path, found: list[str]) -> None:
    """Moves a GAN's folder to `replaced/` beside it, under a number that is free."""
    names = (folder.parent / "replaced" / f"{folder.name}.{n}" for n in range(1, 1000))
    aside = next(path for path in names if not path.exists())
    aside.parent.mkdir(exist_ok=True)
    folder.rename(aside)
    print(f"{folder.name} was trained differently ({'; '.join(found)}):")
    print(f"kept as {aside.parent.name}/{aside.name}")


def _lesions_seen(job: Job, prepared: Prepared, start_from: Path | None) -> set[str]:
    """The lesions behind this GAN's weights, those of the GAN it starts from included.

    LeakageError when one of them is held out in this fold.
    """
    group = prepared.table["group_id"].to_numpy()
    seen = set(group[job.rows(prepared)])
    if start_from is not None:
        seen |= sampling.training_groups(start_from)
        part = splits.parts(prepared.table, job.fold)
        held_out = group[np.concatenate([part["validation"], part["test"]])]
        splits.refuse_overlap(seen, held_out, f"the GAN in {start_from}")
    return seen


def _write_images(gan: GAN, job: Job, prepared: Prepared, folder: Path, groups: set[str]) -> None:
    """Leaves `synthetic.npz` where the class of the images is known, and `samples.npz`, a mix of
    all classes in the proportions of the photographs, of a GAN of all classes."""
    classes, label = np.arange(len(prepared.classes)), None
    left = min(IMAGES_LEFT, max(20, job.images // IMAGES_SHOWN))
    of_a_class = min(IMAGES_OF_A_CLASS, max(20, 2 * job.images // IMAGES_SHOWN))
    if not job.class_name:
        if gan.conditional:
            known = prepared.table["label"].to_numpy()[job.rows(prepared)]
            label = torch.from_numpy(np.random.default_rng(job.seed).choice(known, left))
        images = sampling.generate(gan, left, job.seed + 2, label)
        sampling.write_samples(folder / "samples.npz", images)
        if not gan.conditional:
            return
        labels = np.repeat(classes, of_a_class)
    else:
        labels = np.full(left, prepared.classes.index(job.class_name))
    images = sampling.generate(gan, len(labels), job.seed + 4, torch.from_numpy(labels))
    sampling.write_synthetic(folder / "synthetic.npz", images, labels, prepared.classes, groups)


def _card(
    training: Training, job: Job, prepared: Prepared, seconds: float, groups: set[str]
) -> dict:
    """What a stranger must know before using this GAN's images."""
    card = {
        "gan": job.gan,
        "settings": training.gan.settings,
        "parameters": {
            p: sum(w.numel() for w in getattr(training.gan, p).parameters()) for p in ("G", "D")
        },
        "images_shown": training.images_seen,
        "steps": training.step,
        "batch_size": job.batch_size,
        "order": training.budget.order,
        "seed": job.seed,
        "fold": job.fold,
        "class": job.class_name or "all",
        "data": {
            "source": prepared.manifest["source"],
            "image_size": training.gan.settings["image_size"],
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
    if training.gan.translates:
        card["data"]["palette"] = {name: list(colour) for name, colour in prepared.palette.items()}
    return card
