"""Losses against numbers worked by hand, on both sides of the right answer."""

import math

import pytest
import torch
from torch.nn.functional import binary_cross_entropy_with_logits as cross_entropy

from nbhelpers.losses import cross_entropy_d, non_saturating_g


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
