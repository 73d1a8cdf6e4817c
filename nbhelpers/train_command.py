"""`nbhelpers train`: one GAN, by one process or by the ranks that torchrun has started."""

import argparse
import contextlib
import os
from collections.abc import Iterator

import torch

from . import checkpoints, config, ranks
from .errors import TrainingError, one_of
from .features import Encoder
from .files import existing, refuse_full_disk
from .gan_jobs import Job, parsed_settings
from .gan_runs import train_run
from .gans import GANS
from .launcher import LAUNCHER
from .lesion_encoder import the_runs_encoder
from .orphans import end_with
from .prepare import Prepared, load_prepared


def command(args: argparse.Namespace) -> int:
    if started_by := os.environ.get(LAUNCHER):
        end_with(int(started_by))
    job, prepared = _job(args), load_prepared(args.data)
    with ranks.joined(config.pick_device(args.device)) as device, _one_voice():
        config.warn_of_days(args.preset, device)
        # what cannot be trained is refused before an encoder is
        job.rows(prepared)
        gan = job.build(prepared)
        job.budget(gan)
        refuse_full_disk(existing(args.run), checkpoints.room(gan), TrainingError)
        encoder = _encoder(args, prepared, device) if ranks.rank() == 0 else None
        train_run(job, prepared, args.run, device, args.resume, args.start_from, encoder)
        print(f"{args.gan} is in {args.run}")
    return 0


def _job(args: argparse.Namespace) -> Job:
    kind, chosen = GANS[one_of("GAN", args.gan, GANS)], config.preset(args.preset)
    settings = {"width": chosen.gan_width} | parsed_settings(kind, dict(args.set))
    images = args.images or (chosen.tail_images if args.class_name else chosen.gan_images)
    batch = args.batch or chosen.gan_batch
    told = args.seed, args.fold, args.class_name, settings, args.order, args.crop
    return Job(args.gan, images, batch, *told)


def _encoder(args: argparse.Namespace, prepared: Prepared, device: torch.device) -> Encoder | None:
    """The run's lesion encoder. None for windows of large images: it would have to learn whole
    ones."""
    if args.crop:
        return None
    place = args.run.parent.parent if args.run.parent.name == "gans" else args.run
    steps = config.preset(args.preset).encoder_steps
    return the_runs_encoder(prepared, args.fold, steps, device, place)


@contextlib.contextmanager
def _one_voice() -> Iterator[None]:
    """Of several ranks only the first tells how far it is."""
    if ranks.rank() == 0:
        yield
        return
    with open(os.devnull, "w") as silent, contextlib.redirect_stdout(silent):
        yield
