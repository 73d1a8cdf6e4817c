"""Every GAN's step beside DCGAN's: images a second, and arithmetic a second.

A GAN may be slow because its networks are larger or because it plays D more often: that is its
recipe. It must not be slow because its code is. So the yardstick is floating-point operations a
second, forward, backward and penalties counted by torch, as a share of what the DCGAN step reaches
in the same minutes. Interleaved windows, medians; the first window warms up.

    python benchmarks/gan_steps.py [--size 128] [--batch 8] [--width 32]
"""

import argparse
import time

import numpy as np
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from nbhelpers.config import preset
from nbhelpers.gans import GANS
from nbhelpers.training import Training
from nbhelpers.training_images import Budget, TrainingImages

IMAGES = 480  # shown to D in a window
WINDOWS = 5
CLASSES = 7


def training(name: str, size: int, batch: int, width: int) -> Training:
    device = torch.device("cpu")
    images = np.random.default_rng(0).integers(0, 256, (1000, size, size, 3), dtype=np.uint8)
    gan = GANS[name](size, CLASSES, width=width)
    masks = ((images[..., 0] > 127).astype(np.uint8), 2) if gan.translates else ()
    data = TrainingImages(images, np.arange(1000) % CLASSES, device, False, *masks)
    return Training(gan, data, Budget(10**9, batch), device)


def play(one: Training, images: int) -> int:
    """Whole steps, as the loop plays them, in the last third of the budget: ProGAN full-grown. At
    least `images` images are shown to D; returns how many."""
    before = one.images_seen
    while one.images_seen < before + images:
        one._play()
        one.step += 1
    return one.images_seen - before


class Operations(TorchDispatchMode):
    """Counts what torch knows the cost of. torch's own counter also follows modules, by hooks that
    refuse `autograd.grad`, which the penalties need."""

    total = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        cost = flop_registry.get(func.overloadpacket)
        self.total += cost(*args, **(kwargs or {}), out_val=out) if cost else 0
        return out


def operations(one: Training) -> float:
    """GFLOP of a step for each image shown to D."""
    with Operations() as counter:
        play(one, one.images_per_step)
    return counter.total / one.images_per_step / 1e9


def main() -> None:
    chosen, parser = preset("laptop"), argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--batch", type=int, default=chosen.gan_batch)
    parser.add_argument("--width", type=int, default=chosen.gan_width)
    args = parser.parse_args()
    every = {name: training(name, args.size, args.batch, args.width) for name in GANS}
    for one in every.values():
        one.step = int(0.9 * one.steps)
    work = {name: operations(one) for name, one in every.items()}
    speed: dict[str, list[float]] = {name: [] for name in every}
    for window in range(WINDOWS + 1):
        for name, one in every.items():
            start = time.perf_counter()
            shown = play(one, IMAGES)
            if window:
                speed[name].append(shown / (time.perf_counter() - start))
    print(f"{args.size} px, batch {args.batch}, width {args.width}, "
          f"{torch.get_num_threads()} threads, {every['dcgan'].precision}\n")  # fmt: skip
    print("| GAN | GFLOP an image | images/s | GFLOP/s | share of DCGAN's |")
    print("|---|---|---|---|---|")
    for name, rate in speed.items():  # GFLOP/s, window by window
        done, usual = np.array(rate) * work[name], np.array(speed["dcgan"]) * work["dcgan"]
        speeds = f"{np.median(rate):.0f} | {np.median(done):.0f}"
        print(f"| {name} | {work[name]:.2f} | {speeds} | {np.median(done / usual):.2f} |")


if __name__ == "__main__":
    main()
