"""Every GAN of `GANS`, played by the loop: isolated players, exact resume, labels obeyed."""

import numpy as np
import pytest
import torch
from small_gans import CLASSES, CPU, copied, equal, run_to, stream

from nbhelpers import sampling, training
from nbhelpers.gans import GANS
from nbhelpers.training import Training
from nbhelpers.training_images import Budget, TrainingImages


def start(name: str, steps: int = 4, **settings) -> Training:
    torch.manual_seed(5)
    kind = GANS[name]
    small = {"width": 4, "z_dim": 8, "n_critic": min(kind.n_critic, 2)}
    gan = kind(64, CLASSES, **small | settings)
    budget = Budget(8 * gan.n_critic * steps, 8, 0, "balanced" if gan.conditional else "natural")
    return Training(gan, stream(gan), budget, CPU)


@pytest.fixture(params=GANS)
def name(request) -> str:
    return request.param


def test_a_player_never_moves_its_opponent(name):
    t = start(name)
    t.gan.set_progress(0.5)
    batch = t.data.batch(np.arange(8))
    for who, loss, optimizer, player, opponent in (
        ("d", t.gan.d_loss, t.d_optimizer, t.gan.D, t.gan.G),
        ("g", t.gan.g_loss, t.g_optimizer, t.gan.G, t.gan.D),
    ):
        mine, theirs = ([p.clone() for p in side.parameters()] for side in (player, opponent))

        def frozen(batch, loss=loss, opponent=opponent):
            assert not any(w.requires_grad for w in opponent.parameters())
            return loss(batch)

        terms = t._minimise(who, frozen, batch, optimizer, player, opponent)
        assert all(term.startswith(f"{who}_") for term in terms)
        assert equal(theirs, list(opponent.parameters()))
        assert not equal(mine, list(player.parameters()))


def test_an_opponent_that_is_not_frozen_would_be_seen(name):
    """The losses themselves let a gradient through to the opponent: it is the loop that stops it,
    and the loop alone."""
    t = start(name)
    t.gan.set_progress(0.5)
    sum(t.gan.g_loss(t.data.batch(np.arange(8))).values()).backward()
    assert any(w.grad is not None and w.grad.any() for w in t.gan.D.parameters())


@pytest.mark.parametrize("name", ["dcgan", "wgan_gp", "acgan", "r3gan"])
def test_in_float16_as_on_old_gpus_d_begins_as_in_float32_and_both_learn(name, monkeypatch):
    """Emulated on the CPU: the same rounding and the same scaled gradients, penalties included."""
    first = {}
    for precision in (torch.float32, torch.float16):
        monkeypatch.setattr(training, "precision", lambda device, precision=precision: precision)
        t = start(name, steps=1)
        t.run()
        first[precision] = [value for term, value in t.history[0].items() if term[:2] == "d_"]
    assert first[torch.float16] == pytest.approx(first[torch.float32], rel=0.02, abs=0.02)

    t = start(name, steps=8)
    before = copied(t.gan)
    t.run()
    assert not equal(before, copied(t.gan))
    assert t.scaler.is_enabled() and t.scaler.get_scale() >= 65536 / 2**6  # a skip halves it


def test_resume_is_bit_exact(name):
    whole = run_to(start(name), 4)
    state = run_to(start(name), 2).state()
    torch.manual_seed(99)  # whatever the new process's random state is
    resumed = start(name)
    resumed.load(state)
    assert equal(run_to(resumed, 4).state(), whole.state())
    assert resumed.steps == 4 and not equal(state["gan"], whole.state()["gan"])


def test_wgan_clips_after_every_step_of_d_and_nothing_else():
    t, largest = start("wgan", n_critic=3), []
    first = max(w.abs().max().item() for w in t.gan.D.parameters())
    judged = t.gan.d_loss

    def d_loss(batch):
        largest.append(max(w.abs().max().item() for w in t.gan.D.parameters()))
        return judged(batch)

    t.gan.d_loss = d_loss
    t._play()
    limit = pytest.approx(0.01)
    assert first > 0.05 and largest == [first, limit, limit]
    assert max(w.abs().max() for w in t.gan.D.parameters()).item() == limit
    assert max(w.abs().max() for w in t.gan.G.parameters()) > 0.05


def means_by_label(name: str, steps: int) -> list[float]:
    """Mean brightness of what a GAN draws for label 0 and for label 1, once it has been shown dark
    photographs of class 0 and bright ones of class 1."""
    labels = np.arange(32) % 2
    noise = np.random.default_rng(0).normal(0, 5, (32, 64, 64, 3))
    photographs = np.where(labels == 1, 215, 40)[:, None, None, None] + noise
    data = TrainingImages(photographs.clip(0, 255).astype(np.uint8), labels, CPU)
    torch.manual_seed(0)
    rates = {"learning_rate_d": 4e-3, "learning_rate_g": 4e-3, "average_share": 0.1}
    gan = GANS[name](64, 2, width=4, z_dim=8, norm="spectral", **rates)
    Training(gan, data, Budget(4 * steps, 4, 0, "balanced"), CPU).run()
    asked = (torch.full((32,), c) for c in (0, 1))
    return [float(sampling.generate(gan, 32, 1, label).mean()) for label in asked]


@pytest.mark.parametrize("name", ["cgan", "acgan"])
def test_a_label_is_obeyed(name):
    dark, bright = means_by_label(name, 160)
    assert bright - dark > 40


def test_one_that_is_not_told_the_label_cannot_obey():
    dark, bright = means_by_label("dcgan", 8)
    assert dark == bright
