"""The training loop: the DCGAN step against the usual way, and what the loop adds to the bare step.

The usual way follows the public PyTorch DCGAN example in manner: float32, NCHW, cross-entropy on
probabilities, the opponent's weights not frozen, losses read back at every step. Data are left
out: both see the same batch in memory. Interleaved windows; the median and the spread are printed.
"""

import argparse
import time

import numpy as np
import torch
from torch import nn

from nbhelpers.gans import DCGAN
from nbhelpers.training import Training
from nbhelpers.training_images import Budget, TrainingImages

BATCH = 64
STEPS = 8  # in a window
WINDOWS = 5


class UsualWay:
    """One step as the example does it."""

    def __init__(self, batch: torch.Tensor):
        self.gan, self.batch = DCGAN(batch.shape[-1]), batch
        self.d = torch.optim.Adam(self.gan.D.parameters(), 2e-4, betas=(0.5, 0.999))
        self.g = torch.optim.Adam(self.gan.G.parameters(), 2e-4, betas=(0.5, 0.999))
        self.loss = nn.BCELoss()

    def step(self) -> None:
        one, zero = torch.ones(len(self.batch)), torch.zeros(len(self.batch))
        G, D = self.gan.G, self.gan.D
        D.zero_grad()
        real = self.loss(torch.sigmoid(D(self.batch)), one)
        real.backward()
        fake = G(torch.randn(len(self.batch), 100))
        loss = self.loss(torch.sigmoid(D(fake.detach())), zero)
        loss.backward()
        self.d.step()
        G.zero_grad()
        fooled = self.loss(torch.sigmoid(D(fake)), one)
        fooled.backward()
        self.g.step()
        real.item(), loss.item(), fooled.item()


def bare_steps(training: Training, batch) -> None:
    """The two optimiser steps and nothing else: no data, no seeds, no average, no log."""
    gan = training.gan
    for _ in range(STEPS):
        training._minimise("d", gan.d_loss, batch, training.d_optimizer, gan.D, gan.G)
        training._minimise("g", gan.g_loss, batch, training.g_optimizer, gan.G, gan.D)


def loop_steps(training: Training) -> None:
    """As many steps of the whole loop: batches, seeds, augmentation, average, log points."""
    training.budget = Budget((training.step + STEPS) * BATCH, BATCH)
    training.stopping = False
    training.run()


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--size", type=int, default=64)
    size = arguments.parse_args().size
    device = torch.device("cpu")
    images = np.random.default_rng(0).integers(0, 256, (1000, size, size, 3), dtype=np.uint8)
    training = Training(
        DCGAN(size), TrainingImages(images, np.zeros(1000), device), Budget(BATCH, BATCH), device
    )
    batch = training.data.batch(np.arange(BATCH))
    usual = UsualWay(batch.image.contiguous())
    ways = {
        "usual way": lambda: [usual.step() for _ in range(STEPS)],
        "bare step": lambda: bare_steps(training, batch),
        "whole loop": lambda: loop_steps(training),
    }
    taken = {name: [] for name in ways}
    for window in range(WINDOWS + 1):
        for name, work in ways.items():
            start = time.perf_counter()
            work()
            if window:  # the first one warms up
                taken[name].append(time.perf_counter() - start)
    print(
        f"DCGAN {size} px, batch {BATCH}, {torch.get_num_threads()} threads, {training.precision}"
    )
    for name, times in taken.items():
        speed = STEPS * BATCH / np.array(times)
        spread = f"(from {speed.min():.1f} to {speed.max():.1f})"
        print(f"{name:11s} {np.median(speed):6.1f} images/s {spread}")
    middle = {name: np.median(times) for name, times in taken.items()}
    print(f"whole loop over usual way: {middle['usual way'] / middle['whole loop']:.2f}x")
    overhead = 100 * (middle["whole loop"] / middle["bare step"] - 1)
    print(f"overhead of the loop over the bare step: {overhead:.1f} %")


if __name__ == "__main__":
    main()
