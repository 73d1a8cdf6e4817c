"""The loop: exact resume, isolated players, honest budgets, errors before and during training."""

import os
import signal

import numpy as np
import pytest
import torch
from torch import nn

from nbhelpers import training
from nbhelpers.errors import TrainingError, UsageError
from nbhelpers.gans import DCGAN, GAN
from nbhelpers.training import Budget, Training, TrainingImages

CPU = torch.device("cpu")
IMAGES = np.random.default_rng(0).integers(0, 256, (40, 64, 64, 3), dtype=np.uint8)


def start(images: int = 160, batch: int = 8, seed: int = 0, smoothing: float = 0.0) -> Training:
    torch.manual_seed(5)
    gan = DCGAN(64, z_dim=8, width=4, smoothing=smoothing)
    return Training(
        gan, TrainingImages(IMAGES, np.arange(40) % 2, CPU), Budget(images, batch, seed), CPU
    )


def equal(one: dict, other: dict) -> bool:
    """Bit for bit, at any depth."""
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(equal(one[k], other[k]) for k in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(equal, one, other))
    return torch.equal(one, other) if isinstance(one, torch.Tensor) else one == other


def run_to(t: Training, step: int) -> Training:
    """Plays until `step`, as if the process had been killed there after writing a checkpoint."""
    while t.step < step:
        terms = t._play()
        t.step += 1
        if t.at_log_point:
            t._log(terms)
    return t


@pytest.mark.parametrize("step", [1, 3, 5, 7, 19])  # 5 steps are an epoch
def test_resume_is_bit_exact(step, tmp_path):
    whole = start()
    whole.run()
    torch.save(run_to(start(), step).state(), tmp_path / "state.pt")
    torch.manual_seed(99)  # whatever the new process's random state is
    resumed = start()
    resumed.load(torch.load(tmp_path / "state.pt", weights_only=True))
    resumed.run()
    assert resumed.step == whole.step == 20
    assert equal(resumed.state(), whole.state())


def test_seeds_repeat_and_differ():
    runs = [start(seed=seed) for seed in (0, 0, 1)]
    for run in runs:
        run.run()
    assert equal(runs[0].state(), runs[1].state())
    assert not equal(runs[0].state()["gan"], runs[2].state()["gan"])


def test_the_global_random_state_is_untouched():
    before = torch.get_rng_state()
    start().run()  # building draws from a state that `start` sets itself
    torch.manual_seed(5)
    t = start()
    before = torch.get_rng_state()
    t.run()
    assert torch.equal(torch.get_rng_state(), before)


def test_a_player_never_moves_its_opponent():
    t = start()
    batch = t.data.batch(np.arange(8))
    for who, loss, optimizer, player, opponent in (
        ("d", t.gan.d_loss, t.d_optimizer, t.gan.D, t.gan.G),
        ("g", t.gan.g_loss, t.g_optimizer, t.gan.G, t.gan.D),
    ):
        mine, theirs = ([p.clone() for p in side.parameters()] for side in (player, opponent))
        t._minimise(who, loss, batch, optimizer, player, opponent)
        assert all(torch.equal(a, b) for a, b in zip(theirs, opponent.parameters(), strict=True))
        assert not all(torch.equal(a, b) for a, b in zip(mine, player.parameters(), strict=True))


def test_an_epoch_shows_every_image_once():
    data, budget = TrainingImages(IMAGES, np.zeros(40), CPU), Budget(80, 8)
    first = np.concatenate([data.rows(i, budget) for i in range(5)])
    second = np.concatenate([data.rows(i, budget) for i in range(5, 10)])
    assert sorted(first) == sorted(second) == list(range(40))
    assert list(first) != list(second)


def test_a_batch_is_the_images_it_names():
    data = TrainingImages(IMAGES, np.arange(40), CPU)
    batch = data.batch(np.array([7, 3]))
    assert batch.label.tolist() == [7, 3]
    assert batch.image.shape == (2, 3, 64, 64)
    for image, row in zip(
        batch.image, (7, 3), strict=True
    ):  # turned and flipped, but the same pixels
        assert torch.equal(
            image.flatten().sort().values,
            torch.from_numpy(IMAGES[row]).flatten().sort().values / 127.5 - 1,
        )


def test_large_sets_stay_on_disk_and_give_the_same_batches(tmp_path, monkeypatch):
    np.save(tmp_path / "a.npy", IMAGES)
    mapped = np.load(tmp_path / "a.npy", mmap_mode="r")
    resident = TrainingImages(IMAGES, np.arange(40), CPU)
    monkeypatch.setattr(training, "RESIDENT_BYTES", 1)
    on_disk = TrainingImages(mapped, np.arange(40), CPU)
    assert isinstance(on_disk.images, np.memmap)
    torch.manual_seed(0)
    one = resident.batch(np.array([9, 2, 30]))
    torch.manual_seed(0)
    other = on_disk.batch(np.array([9, 2, 30]))
    assert torch.equal(one.image, other.image)
    assert torch.equal(one.label, other.label)


class Recorder(GAN):
    """The smallest GAN: one number a player. It writes down what the loop does."""

    n_critic = 3
    z_dim = 1

    def __init__(self):
        super().__init__(nn.Linear(1, 1), nn.Linear(1, 1), {})
        self.told, self.calls = [], []

    def d_loss(self, batch):
        self.calls.append("d")
        return {"term": self.D.weight.sum() ** 2}

    def g_loss(self, batch):
        self.calls.append("g")
        return {"term": self.G.weight.sum() ** 2}

    def after_d_step(self):
        self.calls.append("clip")

    def set_progress(self, p):
        self.told.append(p)


def test_hooks_and_budget_in_images_shown_to_d():
    gan = Recorder()
    t = Training(gan, TrainingImages(IMAGES, np.zeros(40), CPU), Budget(100, 8), CPU)
    t.run()
    assert t.steps == 5  # 24 images a step, rounded up
    assert t.images_seen == 120
    assert gan.calls == ["d", "clip", "d", "clip", "d", "clip", "g"] * 5
    assert gan.told == [0.0, 0.2, 0.4, 0.6, 0.8]


def test_every_term_is_logged_under_its_name():
    t = start()
    t.run()
    assert list(t.history[-1]) == ["step", "images", "d_cross_entropy", "g_cross_entropy"]
    assert t.history[-1]["images"] == 160


def test_a_loss_that_is_not_finite_stops_before_the_observer():
    t = start()
    seen = []
    with torch.no_grad():
        t.gan.D.to_logit.weight.fill_(float("nan"))
    with pytest.raises(
        TrainingError, match="loss d_cross_entropy is nan at step 1: the last checkpoint is good"
    ):
        t.run(seen.append)
    assert not seen and not t.history


def test_ctrl_c_waits_for_the_step_and_can_be_resumed():
    whole, t = start(), start()
    whole.run()
    original, states = t._play, []

    def pressed():
        terms = original()
        if t.step == 6:
            os.kill(os.getpid(), signal.SIGINT)
        return terms

    t._play = pressed
    with pytest.raises(KeyboardInterrupt):
        t.run(lambda training: states.append(training.state()) if training.stopping else None)
    assert t.step == 7
    resumed = start()
    resumed.load(states[-1])
    resumed.run()
    assert equal(resumed.state(), whole.state())
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.parametrize(("field", "value"), [("images", 0), ("batch_size", -4)])
def test_impossible_budgets_are_refused(field, value):
    with pytest.raises(TrainingError, match=f"{field} is {value}"):
        Budget(**{"images": 10, "batch_size": 2, field: value})


def test_types_of_a_budget_are_checked():
    with pytest.raises(UsageError, match="images is '100'"):
        Budget("100")


def test_fewer_images_than_a_batch_are_refused_before_training():
    with pytest.raises(
        TrainingError, match="40 training images are fewer than one batch of 64: set batch_size"
    ):
        start(batch=64)


def test_g_follows_the_photographs():
    """On dark photographs fakes, grey at first, turn dark; the average does, too."""
    noise = np.random.default_rng(0).normal(40, 20, IMAGES.shape)  # 40 of 255 is -0.69
    dark = TrainingImages(noise.clip(0, 255).astype(np.uint8), np.zeros(40), CPU)
    torch.manual_seed(0)
    gan = DCGAN(64, 8, 8)
    gan.learning_rate_d = gan.learning_rate_g = 2e-3
    t, z = Training(gan, dark, Budget(1600, 16), CPU), torch.randn(8, 8)
    before = gan.G_average(z).mean().item()
    t.run()
    assert abs(before) < 0.1
    assert -0.8 < gan.G_average(z).mean().item() < -0.3
