"""Everything a run is told before it starts: preset, place, size, seed, device."""

import hashlib
import math
import os
import re
from dataclasses import dataclass, fields
from pathlib import Path

import torch

from .errors import UsageError, one_of

IMAGE_SIZES = (64, 128, 256)
NOTEBOOK_SIZES = (64, 128)  # that the notebooks' own networks are written for
FOLDS = 5


@dataclass(frozen=True)
class Preset:
    """How much of everything. Budgets of a GAN are images shown to its discriminator, so they are
    fair across n_critic."""

    name: str
    phantom_images: int  # photographs the built-in phantom data set is made with
    gan_images: int  # images shown to D when a GAN is trained on all classes
    tail_images: int  # images shown to D when a GAN goes on, on one rare class
    experiment_images: int  # images shown to D in each arm of a notebook's experiment
    gan_batch: int
    gan_width: int  # channels of the largest feature maps, the ones next to the image
    measure_pairs: int  # random same-class pairs for the paired metrics
    measure_images: int  # images a side for set metrics, at most
    encoder_steps: int  # optimiser steps of the lesion encoder
    segmenter_steps: int  # optimiser steps of every segmenter of pix2pix
    classifier_backbone: str
    classifier_steps: int  # optimiser steps of every classifier arm
    classifier_batch: int
    classifier_seeds: int
    classifier_folds: int  # how many of the five folds are tested
    classifier_variants: int  # arms of each exploratory kind: doses, shares, earlier projects
    resamples: int  # bootstrap resamples of lesions


_PRESETS = (
    Preset(
        name="smoke", phantom_images=150, gan_images=640, tail_images=128, experiment_images=128,
        gan_batch=16, gan_width=8, measure_pairs=60, measure_images=60, encoder_steps=6,
        segmenter_steps=6, classifier_backbone="resnet18", classifier_steps=6, classifier_batch=16,
        classifier_seeds=1, classifier_folds=1, classifier_variants=1, resamples=200,
    ),
    Preset(
        name="laptop", phantom_images=1000, gan_images=2_800, tail_images=320,
        experiment_images=320, gan_batch=8, gan_width=32, measure_pairs=2_000,
        measure_images=500, encoder_steps=120, segmenter_steps=150,
        classifier_backbone="resnet18", classifier_steps=56, classifier_batch=32,
        classifier_seeds=1, classifier_folds=1, classifier_variants=1, resamples=10_000,
    ),
    Preset(
        name="full", phantom_images=10_015, gan_images=3_000_000, tail_images=300_000,
        experiment_images=200_000, gan_batch=64, gan_width=64, measure_pairs=2_000,
        measure_images=5_000, encoder_steps=3_000, segmenter_steps=2_000,
        classifier_backbone="resnet10", classifier_steps=1_752, classifier_batch=64,
        classifier_seeds=3, classifier_folds=5, classifier_variants=9, resamples=10_000,
    ),
)  # fmt: skip
PRESETS = {preset.name: preset for preset in _PRESETS}


def preset(name: str) -> Preset:
    """The preset of that name; UsageError with the nearest one otherwise."""
    return PRESETS[one_of("preset", name, PRESETS)]


def check_size(size: int, sizes: tuple[int, ...] = IMAGE_SIZES) -> int:
    """`size` when images can be prepared at it, or when it is one of `sizes`."""
    if isinstance(size, bool) or size not in sizes:
        raise UsageError(
            f"image size {size!r} is not one of {', '.join(map(str, sizes))} (pixels)."
        )
    return size


def check_stored_size(size: int) -> int:
    """`size` when images can be prepared at it: one of `IMAGE_SIZES`, or larger where windows of
    that size are to be cut out of them in training."""
    if isinstance(size, int) and not isinstance(size, bool) and size > max(IMAGE_SIZES):
        return size
    return check_size(size)


def project_root(start: Path | None = None) -> Path:
    """The nearest folder at or above `start` that holds `notebooks/` and `nbhelpers/`, else the one
    around this package, else `start` itself."""
    start = Path(start or Path.cwd()).resolve()
    here = Path(__file__).resolve().parents[1]
    return next(filter(is_project, (start, *start.parents, here)), start)


def is_project(folder: Path) -> bool:
    """True for a checkout of this course, or of a fork."""
    return (folder / "notebooks").is_dir() and (folder / "nbhelpers").is_dir()


@dataclass(frozen=True)
class Paths:
    """Where one combination of preset, data set and size keeps its files."""

    raw: Path
    prepared: Path
    run: Path


def paths(
    chosen: Preset, dataset: str, image_size: int, source: str = "", runs: str = "runs"
) -> Paths:
    """Folders of a run. Relative ones are taken from the project root, whatever the caller's folder
    is."""
    root = project_root()
    data = Path(os.environ.get("NBHELPERS_DATA", root / "data"))
    key = f"{dataset}-{chosen.phantom_images}" if dataset.startswith("phantom") else dataset
    raw = data / "raw" / key
    if source:
        raw = (root / Path(source).expanduser()).resolve()
        # two sources of one name must not take each other's place
        key += "-" + hashlib.sha256(str(raw).encode()).hexdigest()[:6]
    run = root / Path(runs).expanduser() / f"{chosen.name}-{dataset}-{image_size}"
    return Paths(raw, data / "prepared" / f"{key}-{image_size}", run)


def pick_device(name: str = "auto") -> torch.device:
    """The device of that name; `auto` is the GPU when there is one. UsageError for a GPU that is
    not there."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if not re.fullmatch(r"cpu|cuda(:\d+)?", name):
        raise UsageError(f"device {name!r} is unknown: choose auto, cpu, cuda or cuda:N.")
    device = torch.device(name)
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise UsageError(
            f"device {name!r} was asked for and {torch.cuda.device_count()} CUDA devices are here: "
            "use device=cpu, or a machine with a GPU and a CUDA build of torch."
        )
    return device


def warn_of_days(preset_name: str, device: torch.device) -> None:
    """Says so where a preset that is made for a GPU has none."""
    if preset_name == "full" and device.type == "cpu":
        print("preset full is made for a GPU: on this CPU expect days; laptop takes minutes")


def cores(quota: Path = Path("/sys/fs/cgroup/cpu.max")) -> int:
    """Cores that this process may use: those it is bound to, or fewer where a container's quota
    (cgroup v2: microseconds of every so many, or "max") allows less than that at once."""
    bound = os.cpu_count() or 1
    if hasattr(os, "sched_getaffinity"):  # not on macOS
        bound = len(os.sched_getaffinity(0))
    allowed, _, period = quota.read_text().partition(" ") if quota.exists() else ("max", "", "")
    most = math.inf if allowed == "max" else math.ceil(int(allowed) / int(period))
    return min(bound, most)


def check_types(settings: object) -> None:
    """Raises UsageError, naming the field, when a dataclass holds a value of another type than
    declared."""
    for field in fields(settings):
        value, wanted = getattr(settings, field.name), field.type
        right = isinstance(value, wanted) or (wanted is float and isinstance(value, int))
        if not right or (isinstance(value, bool) and wanted is not bool):
            raise UsageError(
                f"{field.name} is {value!r} ({type(value).__name__}): expected {wanted.__name__}."
            )


def mix(*numbers: int) -> int:
    """One 63-bit seed out of several numbers: neighbouring seeds, epochs and steps give unrelated
    streams."""
    digest = hashlib.blake2b(" ".join(map(str, numbers)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1
