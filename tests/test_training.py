"""The loop: exact resume, isolated players, honest budgets, errors before and during training."""

import os
import signal

import numpy as np
import pytest
import torch
from small_gans import CPU, equal, run_to
from small_gans import PHOTOGRAPHS as IMAGES
from torch import nn

from nbhelpers import training_images
from nbhelpers.config import mix
from nbhelpers.errors import TrainingDiverged, TrainingError, UsageError
from nbhelpers.gans import DCGAN, GAN
from nbhelpers.images import to_network
from nbhelpers.training import Training
from nbhelpers.training_images import Budget, TrainingImages


def start(images: int = 160, batch: int = 8, seed: int = 0, smoothing: float = 0.0) -> Training:
    torch.manual_seed(5)
    gan = DCGAN(64, z_dim=8, width=4, smoothing=smoothing)
    return Training(
        gan, TrainingImages(IMAGES, np.arange(40) % 2, CPU), Budget(images, batch, seed), CPU
    )


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
    monkeypatch.setattr(training_images, "RESIDENT_BYTES", 1)
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
        super().__init__()
        self.told, self.calls = [], []

    def networks(self, image_size, classes):
        return nn.Linear(1, 1), nn.Linear(1, 1)

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
    with pytest.raises(TrainingDiverged, match="d_cross_entropy is nan at step 1"):
        t.run(seen.append)
    assert not seen and not t.history


def test_ctrl_c_waits_for_the_step_and_can_be_resumed():
    whole, t = start(), start()
    whole.run()
    original, states = t._play, []
    before = signal.getsignal(signal.SIGINT)  # a shell's background job has another than most

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
    assert signal.getsignal(signal.SIGINT) is before


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


@pytest.mark.parametrize(("value", "text"), [(float("nan"), "nan"), (float("inf"), "inf")])
def test_the_term_that_diverged_is_named_with_its_step(value, text):
    t = start()
    judged = t.gan.g_loss

    def g_loss(batch):
        return {"strange": judged(batch)["cross_entropy"] * (value if t.step == 6 else 1.0)}

    t.gan.g_loss = g_loss
    with pytest.raises(TrainingDiverged, match=f"^g_strange is {text} at step 7:") as found:
        t.run()
    assert len(t.history) == 6  # what was logged before stays
    assert "The last good checkpoint is at 48 images." in str(found.value.beside(48))
    assert "last good" not in str(found.value)


@pytest.mark.parametrize(("player", "letter"), [("D", "d"), ("G", "g")])
def test_weights_that_diverged_behind_a_finite_loss_are_seen(player, letter):
    """sqrt is finite at 0, and its slope there is not."""
    t = start()
    judged = getattr(t.gan, f"{letter}_loss")

    def loss(batch):
        terms, weight = judged(batch), next(getattr(t.gan, player).parameters())
        return terms | {"root": (weight - weight.detach()).sum().abs().sqrt()}

    setattr(t.gan, f"{letter}_loss", loss)
    with pytest.raises(
        TrainingDiverged,
        match=f"{letter}_weights is nan at step 1: .* Lower learning_rate_{letter}",
    ):
        t.run()
    assert not t.history


LABELS = np.repeat([0, 2, 3], [27, 10, 3])  # no image of class 1


def shown(order: str, batches: int, seed: int = 0) -> np.ndarray:
    data, budget = TrainingImages(IMAGES, LABELS, CPU), Budget(1, 8, seed, order)
    return np.concatenate([data.rows(i, budget) for i in range(batches)])


def test_balanced_order_shows_every_class_as_often():
    turns = LABELS[shown("balanced", 15)].reshape(-1, 3)  # 120 places, three classes
    assert np.array_equal(np.sort(turns, axis=1), np.tile([0, 2, 3], (40, 1)))
    natural = LABELS[shown("natural", 15)]
    assert [(natural == c).sum() for c in (0, 2, 3)] == [81, 30, 9]


def test_balanced_order_shows_every_image_of_a_class_once_a_round():
    rows = shown("balanced", 30)
    for c, count in ((0, 27), (2, 10), (3, 3)):
        images, mine = np.flatnonzero(np.equal(LABELS, c)), rows[LABELS[rows] == c]
        rounds = mine[: len(mine) // count * count].reshape(-1, count)
        assert len(rounds) >= 2
        assert (np.sort(rounds, axis=1) == images).all()
        assert len(np.unique(rounds, axis=0)) > 1  # each round in an order of its own


@pytest.mark.parametrize("order", ["natural", "balanced"])
def test_an_order_is_a_function_of_seed_and_index(order):
    data, known = TrainingImages(IMAGES, LABELS, CPU), {}
    for index in (11, 0, 7, 3, 11, 0):  # whatever was asked before
        for seed in (0, 1):
            rows = data.rows(index, Budget(1, 8, seed, order))
            assert np.array_equal(rows, known.setdefault((index, seed), rows))
            assert np.array_equal(rows, shown(order, index + 1, seed)[-8:])
    assert not np.array_equal(shown(order, 5, 0), shown(order, 5, 1))


def test_natural_order_is_the_epochs_own_shuffle():
    by_hand = [np.random.default_rng(mix(7, epoch)).permutation(40) for epoch in range(2)]
    assert np.array_equal(shown("natural", 10, seed=7), np.concatenate(by_hand))


def test_an_unknown_order_offers_the_nearest():
    with pytest.raises(UsageError, match="order 'balance' is unknown: did you mean 'balanced'"):
        Budget(10, 2, 0, "balance")


def test_what_has_an_up_is_shown_upright():
    rows = np.arange(16)
    upright = TrainingImages(IMAGES, np.arange(40), CPU, upright=True).batch(rows)
    assert torch.equal(upright.image, to_network(IMAGES[rows]))
    turned = TrainingImages(IMAGES, np.arange(40), CPU).batch(rows)
    assert not torch.equal(turned.image, upright.image)


def rates(t: Training) -> tuple[float, float]:
    """Of D and of G."""
    return tuple(o.param_groups[0]["lr"] for o in (t.d_optimizer, t.g_optimizer))


def scheduled(final_rate: float, images: int = 160) -> Training:
    rates = {"learning_rate_d": 0.04, "learning_rate_g": 0.01, "final_rate": final_rate}
    gan = DCGAN(64, z_dim=8, width=4, **rates)
    return Training(gan, TrainingImages(IMAGES, LABELS, CPU), Budget(images, 8), CPU)


@pytest.mark.parametrize(
    ("p", "share"), [(0.0, 1.0), (0.25, 0.1 + 0.9 * 0.8535534), (0.5, 0.55), (1.0, 0.1)]
)
def test_learning_rates_go_down_half_a_cosine_by_hand(p, share):
    falling, constant = scheduled(0.1), scheduled(1.0)
    for t in (falling, constant):
        t._set_progress(p)
    assert rates(falling) == pytest.approx((0.04 * share, 0.01 * share))
    assert rates(constant) == pytest.approx((0.04, 0.01))
    straight = 1.0 - 0.9 * p  # the mistake: equal at the ends and in the middle alone
    assert (abs(share - straight) > 0.05) == (p == 0.25)


def test_a_resumed_training_has_the_rates_of_its_step():
    whole, resumed = run_to(scheduled(0.0, 32), 3), scheduled(0.0, 32)
    state = run_to(scheduled(0.0, 32), 1).state()
    resumed.load(state)
    assert rates(resumed) == (0.04, 0.01)  # those of the step before
    run_to(resumed, 3)
    assert rates(resumed) == rates(whole) == pytest.approx((0.02, 0.005))
    longer = scheduled(0.0, 64)
    longer.load(state)
    assert rates(run_to(longer, 3))[0] == pytest.approx(0.04 * 0.5 * (1 + 0.5**0.5))


def test_a_checkpoint_without_optimisers_would_be_noticed():
    whole, resumed = run_to(start(), 4), start()
    state = run_to(start(), 2).state()
    resumed.load(state | {"d_optimizer": start().d_optimizer.state_dict()})
    assert not equal(run_to(resumed, 4).state(), whole.state())


def test_g_follows_the_photographs():
    """On dark photographs fakes, grey at first, turn dark; the average does, too."""
    noise = np.random.default_rng(0).normal(40, 20, IMAGES.shape)  # 40 of 255 is -0.69
    dark = TrainingImages(noise.clip(0, 255).astype(np.uint8), np.zeros(40), CPU)
    torch.manual_seed(0)
    gan = DCGAN(64, z_dim=8, width=8)
    gan.learning_rate_d = gan.learning_rate_g = 2e-3
    t, z = Training(gan, dark, Budget(1600, 16), CPU), torch.randn(8, 8)
    before = gan.G_average(z).mean().item()
    t.run()
    assert abs(before) < 0.1
    assert -0.8 < gan.G_average(z).mean().item() < -0.3
