"""The recipe of this course and R3GAN: every term by hand, every switch where it belongs."""

import math

import pytest
import torch
from small_gans import batch, build
from torch import nn
from torch.nn.functional import softplus

from nbhelpers.blocks import ClassBatchNorm, LowPass
from nbhelpers.errors import UsageError
from nbhelpers.gans import GAN


class Quadratic(nn.Module):
    """A judge whose slope at an image is that image, in thousandths."""

    def forward(self, image: torch.Tensor, label: torch.Tensor | None = None) -> torch.Tensor:
        return 0.5 * image.square().flatten(1).sum(1) / 1000


quadratic = Quadratic()


def half_squared(images: torch.Tensor) -> float:
    """R1 or R2 of `quadratic` at these images."""
    return (0.5 * (images / 1000).square().flatten(1).sum(1)).mean().item()


def playing(name: str, **settings) -> tuple[GAN, torch.Tensor]:
    """The GAN before `quadratic`, and the fakes that it will draw."""
    gan = build(name, width=4, norm="none", **settings)
    fake = torch.rand(8, 3, 64, 64) * 0.5
    gan.D, gan.fake = quadratic, lambda batch: fake
    return gan, fake


def test_the_recipe_plays_the_conditional_dcgans_game():
    gan, fake = playing("modern")
    real, made = quadratic(batch().image), quadratic(fake)
    d, g = gan.d_loss(batch()), gan.g_loss(batch())
    assert list(d) == list(g) == ["game"]
    by_hand = -torch.log(torch.sigmoid(real)).mean() - torch.log(1 - torch.sigmoid(made)).mean()
    torch.testing.assert_close(d["game"], by_hand)
    torch.testing.assert_close(g["game"], -torch.log(torch.sigmoid(made)).mean())


def test_smoothing_reaches_the_loss():
    gan, fake = playing("modern", smoothing=0.2)
    real, made = quadratic(batch().image), quadratic(fake)
    by_hand = (0.8 * softplus(-real) + 0.2 * softplus(real)).mean() + softplus(made).mean()
    torch.testing.assert_close(gan.d_loss(batch())["game"], by_hand)


@pytest.mark.parametrize("name", ["modern", "r3gan"])
def test_a_pair_is_a_photograph_and_its_fake(name):
    gan, fake = playing(name, **({"relativistic": True} if name == "modern" else {}))
    real, made = quadratic(batch().image), quadratic(fake)
    torch.testing.assert_close(gan.d_loss(batch())["game"], softplus(made - real).mean())
    torch.testing.assert_close(gan.g_loss(batch())["game"], softplus(real - made).mean())


@pytest.mark.parametrize(("term", "share"), [("r1", 1.0), ("r2", 1.0), ("r1", 0.25)])
def test_each_penalty_is_taken_at_its_own_images(term, share):
    gan, fake = playing("modern", **{f"{term}_weight": 3.0, "penalty_share": share})
    found, at = gan.d_loss(batch()), {"r1": batch().image, "r2": fake}
    assert list(found) == ["game", term]
    few = round(8 * share)
    assert found[term].item() == pytest.approx(3 * half_squared(at[term][:few]), rel=1e-4)
    other = at["r2" if term == "r1" else "r1"]
    assert found[term].item() != pytest.approx(3 * half_squared(other[:few]), rel=0.1)


@pytest.mark.parametrize(("p", "gamma"), [(0.0, 2.0), (0.5, 2 * math.sqrt(0.1)), (1.0, 0.2)])
def test_r3gans_penalties_ease_off(p, gamma):
    gan, fake = playing("r3gan", penalty_share=1.0)
    gan._p = p
    found = gan.d_loss(batch())
    assert found["r1"].item() == pytest.approx(gamma * half_squared(batch().image), rel=1e-4)
    assert found["r2"].item() == pytest.approx(gamma * half_squared(fake), rel=1e-4)


@pytest.mark.parametrize("name", ["modern", "r3gan"])
def test_the_condition_fades_in_for_both_players(name):
    gan = build(name, width=4, fade_from=0.1, fade_to=0.3)
    for p, heard in ((0.0, 0.0), (0.1, 0.0), (0.2, 0.5), (0.3, 1.0), (1.0, 1.0)):
        gan.set_progress(p)
        assert gan.G.condition.item() == pytest.approx(heard)
        assert gan.D.condition.item() == pytest.approx(heard)
    assert name == "modern" or gan._p == 1.0


@pytest.mark.parametrize("name", ["modern", "r3gan"])
def test_a_fade_that_ends_before_it_starts_is_refused(name):
    with pytest.raises(UsageError, match=r"fade_to is 0\.2, below fade_from 0\.5"):
        build(name, width=4, fade_from=0.5, fade_to=0.2)
    assert build(name, width=4, fade_from=0.5, fade_to=0.5)


def kinds(gan: GAN) -> set[type]:
    return {type(module) for module in gan.G.modules()}


def test_each_switch_of_the_networks_turns_its_own_part():
    parts = {"low_pass": LowPass, "class_norm": ClassBatchNorm}
    assert set(parts.values()) < kinds(build("modern"))
    for name, part in parts.items():
        gone = set(parts.values()) - kinds(build("modern", **{name: False}))
        assert gone == {part}
    assert nn.ConvTranspose2d in kinds(build("modern"))
    assert nn.ConvTranspose2d not in kinds(build("modern", upsampling="bilinear"))
