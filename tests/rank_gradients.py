"""Two rounds of every GAN, by as many ranks as torchrun starts: gradients and batch statistics go
to the file named on the command line. Learning rates of 0 keep all rounds at the same weights."""

import sys

import torch
from small_gans import CPU, build, stream

from nbhelpers import ranks
from nbhelpers.gans import GANS
from nbhelpers.training import Training
from nbhelpers.training_images import Budget

BATCH = 8
MORE = {  # settings that draw more random numbers or mix more of a batch
    "pix2pix": {"smoothing": 0.2, "augment": "cutout,colour"},
    "dcgan": {"augment": "flip,translation,colour"},
    "cgan": {"learning_rate_d": 0.0, "smoothing": 0.1},
    "acgan": {"norm": "batch"},
}


def gradients(name: str) -> dict[str, torch.Tensor]:
    """What one step of 8 images leaves, half-way through the budget."""
    gan = build(name, **{"learning_rate_d": 0.0, "learning_rate_g": 0.0} | MORE.get(name, {}))
    training = Training(gan, stream(gan), Budget(2 * BATCH * gan.n_critic, BATCH), CPU)
    training.precision = torch.float32
    training.step = 1
    training.gan.train()
    training._play()
    found = {f"{name}.{k}": w.grad for k, w in gan.named_parameters() if w.grad is not None}
    for k, statistic in gan.named_buffers():
        if "running" in k and not k.startswith("G_average"):
            found[f"{name}.{k}"] = statistic
    return found


def all_gradients() -> dict[str, torch.Tensor]:
    torch.set_num_threads(1)
    return {key: value.clone() for name in GANS for key, value in gradients(name).items()}


if __name__ == "__main__":
    with ranks.joined(CPU):
        found = all_gradients()
        if ranks.rank() == 0:
            torch.save(found, sys.argv[1])
