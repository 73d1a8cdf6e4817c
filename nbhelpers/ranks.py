"""Several processes (ranks), on GPUs or machines, that play one step of one GAN together.

Every rank holds the same networks and sees every `count`-th image of the batch. Random numbers are
drawn for the whole batch and each rank keeps its own, batch statistics are those of the whole
batch, and gradients are averaged: so a step is the step of one process, whatever the number of
ranks. `torchrun` starts them (https://docs.pytorch.org/docs/stable/elastic/run.html); without it
everything here does nothing.
"""

import os
import platform
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta

import torch
from torch import Tensor, distributed, nn

from . import __version__
from .errors import TrainingError, UsageError

LOST = ("connection", "gloo", "nccl")  # what torch says when a rank does not answer any more
_apart = False  # inside `alone`


def count() -> int:
    """How many ranks share a batch: 1 without torchrun, and inside `alone`."""
    return distributed.get_world_size() if _together() else 1


def rank() -> int:
    """Which of them this is, from 0; 0 writes the files."""
    return distributed.get_rank() if distributed.is_initialized() else 0


def _together() -> bool:
    return distributed.is_initialized() and not _apart


@contextmanager
def joined(device: torch.device) -> Iterator[torch.device]:
    """Meets the other ranks that torchrun has started, and yields this rank's device: of several
    GPUs its own. Without torchrun `device` itself.

    UsageError when a machine has fewer GPUs than ranks; TrainingError when the ranks run other
    versions of Python, torch or this library, and when one of them ends before its time.
    """
    if int(os.environ.get("WORLD_SIZE", 1)) == 1:
        yield device
        return
    if device.type == "cuda":
        device = _own_gpu()
    # rank 0 may work alone for long: it trains the encoder that judges
    backend = "nccl" if device.type == "cuda" else "gloo"
    distributed.init_process_group(backend, timeout=timedelta(hours=12))
    try:
        versions = {"nbhelpers": __version__, "torch": torch.__version__}
        refuse_others(versions | {"Python": platform.python_version()})
        yield device
    except RuntimeError as error:
        if not any(word in str(error).lower() for word in LOST):
            raise
        raise TrainingError(
            "another rank has ended, see its message: mend that and start all with --resume "
            f"({str(error).splitlines()[0]})."
        ) from error
    finally:
        distributed.destroy_process_group()


def _own_gpu() -> torch.device:
    wanted, here = int(os.environ["LOCAL_WORLD_SIZE"]), torch.cuda.device_count()
    if wanted > here:
        raise UsageError(
            f"{wanted} ranks were started where {here} GPUs are: set --nproc-per-node to {here}, "
            "or pass --device cpu."
        )
    device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
    torch.cuda.set_device(device)
    return device


def refuse_others(mine: dict[str, object]) -> None:
    """Raises TrainingError, on every rank, unless all have the same: they would train another
    network each, and average what does not belong together."""
    if count() == 1:
        return
    found: list[dict] = [{}] * count()
    distributed.all_gather_object(found, mine)
    for name, value in found[0].items():
        for other, theirs in enumerate(found):
            if theirs[name] != value:
                raise TrainingError(
                    f"rank 0 has {name} {value} and rank {other} has {theirs[name]}: give all "
                    "machines the same installation, data, settings and run folder."
                )


@contextmanager
def alone() -> Iterator[None]:
    """Inside, this rank computes for itself: what the others do not take part in."""
    global _apart
    before, _apart = _apart, True
    try:
        yield
    finally:
        _apart = before


def mine(rows, axis: int = 0):
    """This rank's rows of an array or tensor: every `count`-th along `axis`. So a slice from the
    front of each rank's rows is, taken together, a slice from the front of all."""
    if count() == 1:
        return rows
    return rows[(*[slice(None)] * axis, slice(rank(), None, count()))]


def share(part: float, rows: int) -> int:
    """How many of this rank's `rows`, from the front, make that part of the whole batch, at least
    one. TrainingError where it cannot be shared out evenly."""
    wanted = max(1, round(part * rows * count()))
    if wanted % count():
        raise TrainingError(
            f"{count()} ranks cannot share the {wanted} images of a batch that are penalised "
            f"(penalty_share {part:g}): choose a batch of which it is a multiple of {count()}."
        )
    return wanted // count()


def drawn(draw: Callable[[tuple[int, ...]], Tensor], *shape: int, axis: int = 0) -> Tensor:
    """This rank's rows, along `axis`, of what `draw` gives for the whole batch; `shape` is that of
    this rank's rows. With equal random states the ranks together draw what one alone would."""
    whole = [n * count() if i == axis else n for i, n in enumerate(shape)]
    return mine(draw(tuple(whole)), axis)


def mean(x: Tensor) -> Tensor:
    """The mean of `x` over all ranks, which can be differentiated, more than once."""
    return _Sum.apply(x) / count() if count() > 1 else x


class _Sum(torch.autograd.Function):
    """The sum over all ranks: the losses of all of them hang on each one's `x`."""

    @staticmethod
    def forward(_ctx, x: Tensor) -> Tensor:
        total = x.clone(memory_format=torch.contiguous_format)
        distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(_ctx, gradient: Tensor) -> Tensor:
        return _Sum.apply(gradient)


def average_gradients(weights: Iterable[nn.Parameter]) -> None:
    """Replaces every gradient by its mean over all ranks."""
    if count() == 1:
        return
    gradients = [weight.grad for weight in weights if weight.grad is not None]
    flat = torch.cat([gradient.flatten() for gradient in gradients])
    distributed.all_reduce(flat)
    flat /= count()
    for gradient, new in zip(gradients, flat.split([g.numel() for g in gradients]), strict=True):
        gradient.copy_(new.view_as(gradient))


def any_of(flag: bool, device: torch.device) -> bool:
    """Whether it is true on any rank."""
    if count() == 1:
        return flag
    raised = torch.tensor(float(flag), device=device)
    distributed.all_reduce(raised, distributed.ReduceOp.MAX)
    return bool(raised.item())


class BatchNorm2d(nn.BatchNorm2d):
    """`nn.BatchNorm2d` with the statistics of the whole batch, on a CPU, too (torch's own
    `SyncBatchNorm` is for GPUs). Ioffe, Szegedy 2015, arXiv:1502.03167, algorithm 1."""

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or count() == 1:
            return super().forward(x)
        exact, along = x.float(), (0, 2, 3)
        centre = mean(exact.mean(along))
        apart = exact - centre[:, None, None]
        variance = mean(apart.square().mean(along))
        self._follow(centre.detach(), variance.detach(), x.numel() // x.shape[1] * count())
        scale = self.weight * (variance + self.eps).rsqrt()
        return torch.addcmul(self.bias[:, None, None], apart, scale[:, None, None]).to(x.dtype)

    @torch.no_grad()
    def _follow(self, centre: Tensor, variance: Tensor, values: int) -> None:
        """Moves the running statistics, the variance's unbiased one, as nn.BatchNorm2d does."""
        self.num_batches_tracked.add_(1)
        self.running_mean.lerp_(centre, self.momentum)
        self.running_var.lerp_(variance * values / (values - 1), self.momentum)
