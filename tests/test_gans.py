"""What must hold for every GAN in `GANS`: a new one is tested by being listed there."""

import pytest
import torch

from nbhelpers.errors import UsageError, one_of
from nbhelpers.gans import GAN, GANS, Batch

SMALL = {"dcgan": {"width": 8, "z_dim": 16}}


def build(name: str, size: int = 64) -> GAN:
    torch.manual_seed(0)
    return GANS[name](image_size=size, **SMALL[name])


def batch(size: int = 64, count: int = 8) -> Batch:
    torch.manual_seed(1)
    return Batch(torch.rand(count, 3, size, size) * 2 - 1, torch.arange(count) % 2)


@pytest.fixture(params=GANS)
def name(request) -> str:
    return request.param


@pytest.mark.parametrize("size", [64, 128])
def test_losses_are_scalars_by_name(name, size):
    gan = build(name, size)
    for terms in (gan.d_loss(batch(size)), gan.g_loss(batch(size))):
        assert terms
        assert all(value.shape == () and value.isfinite() for value in terms.values())


def test_fakes_have_the_range_and_shape_of_photographs(name):
    fake = build(name).fake(batch())
    assert fake.shape == batch().image.shape
    assert fake.abs().max() <= 1


def test_the_settings_build_the_same_gan(name):
    gan = build(name)
    again = GANS[name](**gan.settings)
    assert {k: v.shape for k, v in again.state_dict().items()} == {
        k: v.shape for k, v in gan.state_dict().items()
    }


def test_first_logits_are_small(name):
    """A default initialisation that starts D off with large, spread logits leaves G without a
    gradient."""
    gan = GANS[name](image_size=64)
    with torch.no_grad():
        logits = gan.D(batch(count=32).image, batch(count=32).label)
    assert logits.std() < 5
    assert logits.abs().max() < 5


def test_the_average_starts_at_g_and_follows_it(name):
    gan = build(name)
    before = [p.clone() for p in gan.G_average.parameters()]
    with torch.no_grad():
        for p in gan.G.parameters():
            p.add_(1.0)
    gan.update_average(0.75)
    for old, new in zip(before, gan.G_average.parameters(), strict=True):
        torch.testing.assert_close(new, old + 0.25)
    assert not any(p.requires_grad for p in gan.G_average.parameters())


def test_noise_has_the_size_that_the_gan_names(name):
    gan = build(name)
    assert gan.noise(5).shape == (5, gan.z_dim)


def test_an_unknown_gan_offers_the_nearest():
    with pytest.raises(UsageError, match="did you mean 'dcgan'"):
        one_of("GAN", "dcgn", GANS)


def test_smoothing_makes_certainty_cost():
    plain, smoothed = GANS["dcgan"](smoothing=0.0, width=8), GANS["dcgan"](smoothing=0.1, width=8)
    smoothed.load_state_dict(plain.state_dict())
    for gan in (plain, smoothed):
        gan.eval()
        with torch.no_grad():
            gan.D.to_logit.bias.fill_(8.0)  # a judge who is sure of every photograph
    torch.manual_seed(0)
    hard = plain.d_loss(batch())["cross_entropy"]
    torch.manual_seed(0)
    assert smoothed.d_loss(batch())["cross_entropy"] > hard + 0.5
