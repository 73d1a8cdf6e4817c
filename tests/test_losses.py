"""Losses against numbers worked by hand, on both sides of the right answer."""

import math

import pytest
import torch
from torch.nn.functional import binary_cross_entropy_with_logits as cross_entropy

from nbhelpers import losses
from nbhelpers.losses import (
    cross_entropy_d,
    gradient_penalty,
    hinge_d,
    non_saturating_g,
    relativistic_d,
    slope,
    wasserstein_d,
    wasserstein_g,
    zero_centred_penalty,
)


def logit(*values: float) -> torch.Tensor:
    return torch.tensor(values)


def test_an_undecided_judge_loses_2_log_2():
    assert cross_entropy_d(logit(0.0), logit(0.0)).item() == pytest.approx(2 * math.log(2))
    assert non_saturating_g(logit(0.0)).item() == pytest.approx(math.log(2))


def test_worked_by_hand():
    # sigmoid(log 3) = 3/4 and sigmoid(-log 3) = 1/4
    three = math.log(3)
    assert cross_entropy_d(logit(three), logit(-three)).item() == pytest.approx(-2 * math.log(0.75))
    assert cross_entropy_d(logit(-three), logit(three)).item() == pytest.approx(-2 * math.log(0.25))
    smoothed = -0.9 * math.log(0.75) - 0.1 * math.log(0.25) - math.log(0.75)
    assert cross_entropy_d(logit(three), logit(-three), 0.1).item() == pytest.approx(smoothed)


def test_they_are_cross_entropy_on_logits_once():
    torch.manual_seed(0)
    real, fake = torch.randn(16) * 5, torch.randn(16) * 5
    expected = cross_entropy(real, torch.full((16,), 0.9)) + cross_entropy(fake, torch.zeros(16))
    torch.testing.assert_close(cross_entropy_d(real, fake, 0.1), expected)
    torch.testing.assert_close(non_saturating_g(fake), cross_entropy(fake, torch.ones(16)))


def test_each_player_wants_the_opposite():
    fake = logit(0.3).requires_grad_()
    assert torch.autograd.grad(cross_entropy_d(logit(0.0), fake), fake)[0] > 0
    assert torch.autograd.grad(non_saturating_g(fake), fake)[0] < 0


def test_a_certain_judge_still_teaches():
    fake = logit(-200.0).requires_grad_()
    assert torch.autograd.grad(non_saturating_g(fake), fake)[0].item() == pytest.approx(-1.0)


def gradients(value: torch.Tensor, *of: torch.Tensor) -> list[float]:
    return [g.item() for g in torch.autograd.grad(value, of)]


def test_hinge_by_hand():
    # real 2 is above the margin, 0.5 is 0.5 below it; fake -3 is beyond it, 0 is 1 short of it
    assert hinge_d(logit(2.0, 0.5), logit(-3.0, 0.0)).item() == pytest.approx(0.25 + 0.5)
    assert hinge_d(logit(-3.0, 0.0), logit(2.0, 0.5)).item() == pytest.approx(2.5 + 2.25)


def test_hinge_counts_each_image_and_not_their_mean():
    real, fake = logit(3.0, -1.0), logit(-5.0, 3.0)  # both means stand on the margin
    assert torch.relu(1 - real.mean()) == torch.relu(1 + fake.mean()) == 0
    assert hinge_d(real, fake).item() == pytest.approx(1.0 + 2.0)


def test_beyond_the_margin_nothing_is_learned():
    inside, beyond = logit(0.9).requires_grad_(), logit(1.1).requires_grad_()
    assert gradients(hinge_d(inside, logit(0.0)), inside) == [-1.0]
    assert gradients(hinge_d(beyond, logit(0.0)), beyond) == [0.0]
    assert gradients(hinge_d(logit(0.0), -inside), inside) == [-1.0]
    assert gradients(hinge_d(logit(0.0), -beyond), beyond) == [0.0]


def test_wasserstein_by_hand():
    real, fake = logit(1.0, 3.0), logit(0.0, -2.0)
    assert wasserstein_d(real, fake).item() == -3.0  # the better told apart, the lower
    assert wasserstein_d(fake, real).item() == 3.0
    assert wasserstein_g(fake).item() == 1.0
    assert wasserstein_g(real).item() == -2.0


def test_a_critic_cares_for_differences_alone():
    real, fake = logit(1.0, 3.0), logit(0.0, -2.0)
    for game in (wasserstein_d, relativistic_d):
        torch.testing.assert_close(game(real + 7, fake + 7), game(real, fake))
    assert cross_entropy_d(real + 7, fake + 7) > cross_entropy_d(real, fake) + 1


def test_relativistic_by_hand():
    three = math.log(3)  # softplus(-log 3) = log 4/3, softplus(log 3) = log 4
    assert relativistic_d(logit(1 + three), logit(1.0)).item() == pytest.approx(math.log(4 / 3))
    assert relativistic_d(logit(1.0), logit(1 + three)).item() == pytest.approx(math.log(4))


def test_relativistic_compares_pairs_and_not_means():
    real, fake = logit(0.0, 10.0), logit(10.0, 0.0)
    assert relativistic_d(real, fake).item() == pytest.approx(5, abs=1e-3)
    of_means = torch.nn.functional.softplus(fake.mean() - real.mean())
    assert of_means.item() == pytest.approx(math.log(2))


@pytest.mark.parametrize("game", [hinge_d, wasserstein_d, relativistic_d])
def test_d_raises_photographs_and_lowers_fakes(game):
    real, fake = logit(0.2).requires_grad_(), logit(0.1).requires_grad_()
    raised, lowered = gradients(game(real, fake), real, fake)
    assert raised < 0 < lowered
    assert gradients(wasserstein_g(fake), fake) == [-1.0]


STEEP = torch.tensor([3.0, 4.0])  # a slope of length 5
POINTS = torch.tensor([[3.0, 4.0], [0.0, 1.0]])  # lengths 5 and 1


def linear(images, label=None):
    return images.flatten(1) @ STEEP


def quadratic(images, label=None):
    return 0.5 * images.flatten(1).square().sum(1)


def test_the_slope_of_each_image_by_hand():
    assert torch.equal(slope(linear, POINTS), STEEP.expand(2, 2))
    assert torch.equal(slope(quadratic, POINTS), POINTS)
    assert slope(quadratic, torch.rand(4, 3, 5, 5)).shape == (4, 75)


def test_penalties_by_hand():
    assert gradient_penalty(linear, POINTS, -POINTS).item() == pytest.approx((5 - 1) ** 2)
    assert gradient_penalty(lambda x, _: linear(x) / 5, POINTS, -POINTS).item() < 1e-12
    assert zero_centred_penalty(linear, POINTS).item() == pytest.approx(0.5 * 25)
    assert zero_centred_penalty(quadratic, POINTS).item() == pytest.approx(0.5 * (25 + 1) / 2)


def test_the_norm_is_taken_image_by_image():
    found = gradient_penalty(quadratic, POINTS, POINTS).item()
    assert found == pytest.approx(((5 - 1) ** 2 + (1 - 1) ** 2) / 2)
    whole = slope(quadratic, POINTS)  # the mistakes: one norm, or one mean, for the whole batch
    assert (whole.norm() - 1).square().item() == pytest.approx((26**0.5 - 1) ** 2)
    assert abs((whole.norm() - 1).square().item() - found) > 5
    assert abs((whole.mean(0).norm() - 1).square().item() - found) > 2
    assert abs(0.5 * whole.norm().square().item() - zero_centred_penalty(quadratic, POINTS)) > 5


def shares_of(real, fake) -> torch.Tensor:
    """How near to the photograph the points lie that the critic is asked at, (N, pixels)."""
    asked = []

    def critic(images, label):
        asked.append(images.detach())
        return images.flatten(1).sum(1)

    gradient_penalty(critic, real, fake)
    return ((asked[0] - fake) / (real - fake)).flatten(1)


def test_points_lie_evenly_between_each_photograph_and_its_fake(monkeypatch):
    torch.manual_seed(0)
    real, fake = torch.rand(4000, 1, 2, 2) + 1, -torch.rand(4000, 1, 2, 2)
    shares = shares_of(real, fake)
    torch.testing.assert_close(shares, shares[:, :1].expand(-1, 4), atol=1e-5, rtol=0)  # one each
    assert -1e-5 < shares.min() < 0.01 and 0.99 < shares.max() < 1 + 1e-5
    quarters = torch.histc(shares[:, 0], 4, 0, 1) / 4000
    assert (quarters - 0.25).abs().max() < 0.03
    monkeypatch.setattr(losses.torch, "rand", torch.randn)  # the mistake: weights from N(0, 1)
    astray = shares_of(real, fake)
    assert astray.min() < -1 and astray.max() > 2


def test_the_label_reaches_the_critic():
    told, label = [], torch.tensor([1, 0])

    def critic(images, label):
        told.append(label)
        return quadratic(images) * (1 + label)  # twice as steep where the label is 1

    zero_centred = zero_centred_penalty(critic, POINTS, label).item()
    assert zero_centred == pytest.approx(0.5 * (4 * 25 + 1) / 2)
    gradient_penalty(critic, POINTS, POINTS, label)
    assert all(given is label for given in told) and len(told) == 2


def small_critic() -> torch.nn.Module:
    torch.manual_seed(3)
    layers = torch.nn.Linear(6, 5), torch.nn.Tanh(), torch.nn.Linear(5, 1), torch.nn.Flatten(0)
    return torch.nn.Sequential(*layers).double()


PENALTIES = {
    "slope of 1": lambda D, real, fake: gradient_penalty(lambda x, _: D(x), real, fake),
    "slope of 0": lambda D, real, fake: zero_centred_penalty(lambda x, _: D(x), fake),
}


@pytest.mark.parametrize("name", PENALTIES)
def test_a_penalty_moves_the_critic_as_finite_differences_say(name):
    D, penalty = small_critic(), PENALTIES[name]
    real, fake = torch.randn(7, 6, dtype=torch.float64), torch.randn(7, 6, dtype=torch.float64)
    weight, moved = D[0].weight, []
    for change in (1e-3, -2e-3):
        with torch.no_grad():
            weight[2, 1] += change
        torch.manual_seed(0)
        moved.append(penalty(D, real, fake).item())
    with torch.no_grad():
        weight[2, 1] += 1e-3
    torch.manual_seed(0)
    (gradient,) = torch.autograd.grad(penalty(D, real, fake), weight)
    expected = (moved[0] - moved[1]) / 2e-3
    assert abs(expected) > 0.005  # a penalty without a second derivative says 0
    assert gradient[2, 1].item() == pytest.approx(expected, rel=0.01)


@pytest.mark.parametrize("name", PENALTIES)
def test_a_penalty_moves_the_critic_and_not_g(name):
    D, G, z = small_critic(), torch.nn.Linear(2, 6).double(), torch.randn(7, 2).double()
    PENALTIES[name](D, torch.randn(7, 6).double(), G(z)).backward()
    assert D[0].weight.grad.abs().sum() > 0
    assert G.weight.grad is None
    D(G(z)).mean().backward()  # the road that the penalty does not take is there
    assert G.weight.grad.abs().sum() > 0


def test_the_penalty_of_a_straight_critic_pulls_it_by_hand():
    w = STEEP.clone().requires_grad_()
    penalty = gradient_penalty(lambda x, _: x.flatten(1) @ w, POINTS, -POINTS)
    (pull,) = torch.autograd.grad(penalty, w)  # 2 (|w| - 1) w / |w|
    torch.testing.assert_close(pull, torch.tensor([4.8, 6.4]))
