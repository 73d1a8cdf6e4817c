"""Training steps: every GAN as the project plays it, against the usual way; and what the loop adds.

The usual way is float32, NCHW, an optimiser that walks over the weights, opponents that are not
frozen, losses read back at every step. DCGAN's follows the public PyTorch example in manner:
cross-entropy on probabilities, one fake for both players. Networks, batches and losses are the
same. Both see the same batch in memory, except in "loop", where each reads its data, too.
"""

import tempfile
from pathlib import Path

import numpy as np
import torch
from speed_data import folder_batches, photographs
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry
from windows import Row, noise_photographs, rows, speeds

from nbhelpers import checkpoints
from nbhelpers.gan_observer import SECONDS_BETWEEN_CHECKPOINTS
from nbhelpers.gans import GANS, Batch
from nbhelpers.training import Training, precision
from nbhelpers.training_images import Budget, TrainingImages

SIZE, CLASSES = 64, 7
BATCH = 32
BATCHES = {"dcgan": 64}  # the public example's own
LONG = 10**9  # images: a budget that no window comes to the end of
PEAK = ((64, 256, 32), (64, 512, 16), (32, 128, 64))  # batch, channels, side of a convolution


def measured(device: torch.device) -> list[Row]:
    peak = _peak(device)
    found = [Row("step", "convolution", "peak", peak, "GFLOP/s")]
    for name in GANS:
        found += _step(name, peak, device)
    return [*found, *_loop(device)]


def training(
    name: str, device: torch.device, size: int = SIZE, classes: int = CLASSES, batch: int = 0
) -> Training:
    """In the last tenth of its budget: ProGAN is full-grown. `batch` 0 means that of BATCHES."""
    images = noise_photographs(1000, size)
    gan = GANS[name](size, classes)
    masks = ((images[..., 0] > 127).astype(np.uint8), 2) if gan.translates else ()
    data = TrainingImages(images, np.arange(1000) % classes, device, False, *masks)
    budget = Budget(LONG, batch or BATCHES.get(name, BATCH))
    one = Training(gan, data, budget, device)
    one.step = int(0.9 * one.steps)
    one._set_progress(one.step / one.steps)
    return one


def bare_step(one: Training, batch: Batch) -> int:
    """The two players' optimiser steps and nothing else: no data, no seeds, no average, no log."""
    gan = one.gan
    for _ in range(gan.n_critic):
        one._minimise("d", gan.d_loss, batch, one.d_optimizer, gan.D, gan.G)
        gan.after_d_step()
    one._minimise("g", gan.g_loss, batch, one.g_optimizer, gan.G, gan.D)
    return one.images_per_step


class UsualWay:
    """A GAN's own losses, minimised the usual way."""

    def __init__(self, one: Training):
        self.gan = one.gan.to(memory_format=torch.contiguous_format)
        self.d = torch.optim.Adam(self.gan.D.parameters(), 2e-4, betas=self.gan.betas)
        self.g = torch.optim.Adam(self.gan.G.parameters(), 2e-4, betas=self.gan.betas)

    def step(self, batch: Batch) -> int:
        gan = self.gan
        for _ in range(gan.n_critic):
            self._descend(gan.d_loss(batch), self.d)
            gan.after_d_step()
        self._descend(gan.g_loss(batch), self.g)
        return len(batch.image) * gan.n_critic

    def _descend(self, terms: dict[str, Tensor], optimizer: torch.optim.Adam) -> None:
        self.gan.zero_grad()
        sum(terms.values()).backward()
        optimizer.step()
        for value in terms.values():
            value.item()


class UsualDCGAN(UsualWay):
    """As the example does it."""

    def step(self, batch: Batch) -> int:
        gan, image, bce = self.gan, batch.image, nn.BCELoss()
        one, zero = (torch.full((len(image),), v, device=image.device) for v in (1.0, 0.0))
        gan.D.zero_grad()
        real = bce(torch.sigmoid(gan.D(image)), one)
        real.backward()
        fake = gan.G(gan.noise(len(image)))
        made = bce(torch.sigmoid(gan.D(fake.detach())), zero)
        made.backward()
        self.d.step()
        gan.G.zero_grad()
        fooled = bce(torch.sigmoid(gan.D(fake)), one)
        fooled.backward()
        self.g.step()
        real.item(), made.item(), fooled.item()
        return len(image)


def usual_way(name: str, device: torch.device) -> UsualWay:
    return (UsualDCGAN if name == "dcgan" else UsualWay)(training(name, device))


def _step(name: str, peak: float, device: torch.device) -> list[Row]:
    one, usual = training(name, device), usual_way(name, device)
    batch = one.data.batch(np.arange(one.budget.batch_size))
    plain = Batch(*(part if part is None else part.contiguous() for part in batch))
    ways = {
        "usual way": lambda: usual.step(plain),
        "here": lambda: bare_step(one, batch),
    }
    found = rows("step", name, "images/s", speeds(ways, 3))
    share = operations(one, batch) * found[1].value / peak
    return [*found, Row("step", name, "share of the convolution peak", share, "")]


class Operations(TorchDispatchMode):
    """Counts what torch knows the cost of. torch's own counter also follows modules, by hooks that
    refuse `autograd.grad`, which the penalties need."""

    total = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        cost = flop_registry.get(func.overloadpacket)
        self.total += cost(*args, **(kwargs or {}), out_val=out) if cost else 0
        return out


def operations(one: Training, batch: Batch) -> float:
    """GFLOP of a step for each image shown to D."""
    with Operations() as counter:
        shown = bare_step(one, batch)
    return counter.total / shown / 1e9


def _peak(device: torch.device) -> float:
    """GFLOP/s of the fastest of some 3 x 3 convolutions, in the precision that training takes."""
    return max(_convolution(device, *shape) for shape in PEAK)


@torch.no_grad()
def _convolution(device: torch.device, batch: int, channels: int, side: int) -> float:
    kind = {"device": device, "dtype": precision(device)}
    layer = nn.Conv2d(channels, channels, 3, padding=1, bias=False, **kind)
    layer = layer.to(memory_format=torch.channels_last)
    x = torch.randn(batch, channels, side, side, **kind)
    x = x.contiguous(memory_format=torch.channels_last)

    def work() -> int:
        for _ in range(10):
            layer(x)
        return 10 * 2 * 9 * channels**2 * batch * side**2

    return speeds({"convolution": work})["convolution"].median() / 1e9


def _loop(device: torch.device) -> list[Row]:
    """DCGAN beside its bare step, then from the files on."""
    one, usual = training("dcgan", device), usual_way("dcgan", device)
    shown = one.budget.batch_size
    by_class, data = photographs()
    one.data = TrainingImages(data.images, data.table["label"].to_numpy(), device)
    batch, loader = one.data.batch(np.arange(shown)), folder_batches(by_class, shown)

    def bare() -> int:
        return sum(bare_step(one, batch) for _ in range(4))

    def loop() -> int:
        one.budget = Budget(one.images_seen + 4 * shown, shown)
        one.stopping = False
        one.run()
        return 4 * shown

    def epoch() -> int:
        return sum(usual.step(Batch(image.to(device))) for image, _ in loader)

    alone = speeds({"bare step": bare, "whole loop": loop}, 7)
    data_too = speeds({"ImageFolder, usual way": epoch, "prepared, whole loop": loop}, 3)
    share = 1 / _saves(one) / SECONDS_BETWEEN_CHECKPOINTS
    return [
        *rows("loop", "dcgan", "images/s", alone),
        *rows("loop", "dcgan with its data", "images/s", data_too),
        Row("loop", "dcgan's checkpoints", "share of the time", share, ""),
    ]


def _saves(one: Training) -> float:
    """Checkpoints a second."""
    with tempfile.TemporaryDirectory() as folder:

        def save() -> int:
            checkpoints.save(Path(folder), one.state())
            return 1

        return speeds({"save": save}, 3)["save"].median()
