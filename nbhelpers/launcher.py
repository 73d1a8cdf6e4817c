"""A training by several ranks, started from a notebook: torchrun's command, its log followed."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import torch

from .config import cores
from .errors import TrainingError, UsageError
from .gan_jobs import Job
from .prepare import Prepared

SAYS = "nbhelpers: "  # what our command line puts before what is wrong
LAUNCHER = "NBHELPERS_LAUNCHER"  # tells the ranks the process that they end with
GRACE = 120  # seconds that ranks have to save what they have when they are interrupted


def train_on(
    gpus: int,
    job: Job,
    prepared: Prepared,
    folder: Path,
    device: torch.device,
    start_from: Path | None = None,
) -> None:
    """Trains the job in `folder` to its end, or goes on with it, by `gpus` ranks: as many GPUs, or
    processes that share the cores where `device` is a CPU. Prints what the first rank prints.

    UsageError for more GPUs than there are; TrainingError with the ranks' own message. Ctrl-C is
    handed on: the ranks save and end.
    """
    here = torch.cuda.device_count() if device.type == "cuda" else cores()
    if not 1 <= gpus <= here:
        kind = "GPUs" if device.type == "cuda" else "cores"
        raise UsageError(f"gpus is {gpus} and this machine has {here} {kind}: set 1 to {here}.")
    call = [*torchrun(gpus), "-m", "nbhelpers", *_train(job, prepared, folder, device, start_from)]
    environment = os.environ | {"NBHELPERS_HEADLESS": "1", LAUNCHER: str(os.getpid())}
    if device.type == "cpu":
        environment["OMP_NUM_THREADS"] = str(here // gpus)
    ranks = subprocess.Popen(
        call, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment,
        start_new_session=True,  # so that one interrupt reaches them once
    )  # fmt: skip
    try:
        said = list(_followed(ranks))
        status = ranks.wait()
    except BaseException:
        _end(ranks)
        raise
    if status:
        told = [line.removeprefix(SAYS) for line in said if line.startswith(SAYS)]
        raise TrainingError(
            told[0] if told else f"torchrun ended with status {status}:\n" + "\n".join(said[-20:])
        )


def torchrun(count: int) -> list[str]:
    """The command that starts so many ranks here, on a port of its own; what they run follows."""
    call = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    return [*call, "--nproc-per-node", str(count)]


def _train(
    job: Job, prepared: Prepared, folder: Path, device: torch.device, start_from: Path | None
) -> list[str]:
    """The arguments of `nbhelpers train` that mean this job."""
    named = {
        "data": prepared.folder, "to": folder, "images": job.images, "batch": job.batch_size,
        "seed": job.seed, "fold": job.fold, "crop": job.crop or None, "class": job.class_name,
        "order": job.order, "start-from": start_from, "device": device.type,
    }  # fmt: skip
    call = ["train", job.gan, "--resume"]
    for name, value in named.items():
        call += [f"--{name}", str(value)] if value not in ("", None) else []
    for name, value in job.settings.items():
        call += ["--set", f"{name}={value}"]
    return call


def _followed(ranks: subprocess.Popen) -> Iterator[str]:
    """Every line that is said; those of the training itself are passed on."""
    for line in ranks.stdout:
        yield line.rstrip()
        if line.startswith("training "):
            print(line, end="", flush=True)


def _end(ranks: subprocess.Popen) -> None:
    ranks.send_signal(signal.SIGINT)
    try:
        ranks.communicate(timeout=GRACE)
    except subprocess.TimeoutExpired:
        os.killpg(ranks.pid, signal.SIGKILL)
        ranks.wait()
