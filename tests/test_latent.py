"""Directions of a G whose slope is known by heart; noise that is cut off; G without its average."""

import numpy as np
import pytest
import torch
from small_gans import build
from torch import nn
from torch.nn.functional import normalize

from nbhelpers import latent, sampling
from nbhelpers.errors import UsageError
from nbhelpers.gans import GAN

SIZE, Z = 8, 6
STRENGTH = torch.tensor([0.5, 0.4, 0.3, 0.02, 0.01, 0.0])  # of the image along each true direction


class Linear(nn.Module):
    """image = z A, with A = turn diag(STRENGTH) pictures, both with rows at right angles."""

    def __init__(self):
        super().__init__()
        random = torch.Generator().manual_seed(0)
        turn = torch.linalg.qr(torch.randn(Z, Z, generator=random)).Q
        pictures = torch.randn(3 * SIZE**2, Z, generator=random) + 0.5  # brighter on the whole
        self.turn, pictures = turn.T, torch.linalg.qr(pictures).Q
        self.pictures = pictures.T * pictures.sum(0).sign()[:, None]
        self.slope = nn.Parameter(turn @ (STRENGTH[:, None] * self.pictures))

    def forward(self, z, label=None):
        return (z @ self.slope).unflatten(1, (3, SIZE, SIZE))


class Painter(GAN):
    """A GAN that draws with `Linear`."""

    z_dim = Z

    def networks(self, image_size, classes):
        return Linear(), nn.Linear(1, 1)


@pytest.fixture
def gan() -> GAN:
    return Painter(SIZE).eval()


def test_the_directions_of_a_linear_generator_are_those_of_its_weights(gan):
    found = latent.directions(gan, Z, seed=3)
    assert found.vectors.shape == (Z, Z) and found.vectors.dtype == torch.float32
    torch.testing.assert_close(found.share, STRENGTH**2 / (STRENGTH**2).sum(), atol=1e-5, rtol=1e-3)
    true = gan.G_average.turn[:5]  # along the sixth nothing changes: it has no sign
    torch.testing.assert_close(found.vectors[:5], true, atol=1e-3, rtol=0)
    torch.testing.assert_close(found.vectors @ found.vectors.T, torch.eye(Z), atol=1e-5, rtol=0)


def test_each_direction_leads_to_brighter_images(gan):
    with torch.no_grad():
        gan.G_average.slope *= -1
    found = latent.directions(gan, 2, seed=0)
    torch.testing.assert_close(found.vectors, -gan.G_average.turn[:2], atol=1e-3, rtol=0)
    assert found.share.shape == (2,)


def test_directions_follow_the_seed_and_leave_the_random_state_alone():
    gan = build("cgan", z_dim=5, width=4)
    state = torch.get_rng_state()
    one, again, other = (latent.directions(gan, 3, seed, anchors=2) for seed in (0, 0, 1))
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(one.vectors, again.vectors) and torch.equal(one.share, again.share)
    assert not torch.equal(one.vectors, other.vectors)
    assert one.share.sort(descending=True).values.equal(one.share) and one.share.sum() < 1


def test_directions_are_those_of_the_average_over_all_classes():
    gan = build("cgan", z_dim=5, width=4)
    first = latent.directions(gan, 5, 0, anchors=1)
    with torch.no_grad():  # only the second anchor is told class 1
        gan.G_average.embedding.weight[1] *= -1
        torch.nn.init.zeros_(gan.G.to_image.weight)
    assert torch.equal(latent.directions(gan, 5, 0, anchors=1).vectors, first.vectors)
    two = latent.directions(gan, 5, 0, anchors=2).vectors
    with torch.no_grad():
        gan.G_average.embedding.weight[1] *= -1
    assert not torch.equal(latent.directions(gan, 5, 0, anchors=2).vectors, two)


@pytest.mark.parametrize("name", ["dcgan", "progan", "r3gan", "modern"])
def test_a_direction_that_shows_more_changes_more_pixels(name):
    gan = build(name)
    found = latent.directions(gan, gan.z_dim, 0)
    z = sampling.fixed_noise(gan.z_dim, 200, 7)

    def change(vector):
        with torch.no_grad():
            label = torch.arange(200) % 3
            there, back = gan.G_average(z + 0.1 * vector, label), gan.G_average(z, label)
        return (there - back).square().mean().item()

    most, least = change(found.vectors[0]), change(found.vectors[-1])
    assert most > 1.5 * least
    assert found.share.sum().item() == pytest.approx(1)


def test_directions_that_cannot_be_meant_are_refused(gan):
    for count in (0, Z + 1):
        with pytest.raises(UsageError, match=f"count is {count}: choose from 1 to {Z}"):
            latent.directions(gan, count, 0)
    with pytest.raises(UsageError, match="given masks and no noise"):
        latent.directions(build("pix2pix"), 2, 0)


def test_noise_is_placed_along_directions_and_stays_across_them():
    vectors = torch.tensor([[0.0, 0.6, 0.8], [1.0, 0.0, 0.0]])
    z = torch.tensor([[1.0, 2.0, 3.0], [0.0, 0.0, 0.0]])
    placed = latent.placed(z, vectors, torch.tensor([[2.0, -1.0], [1.0, 0.0]]))
    torch.testing.assert_close(placed @ vectors.T, torch.tensor([[2.0, -1.0], [1.0, 0.0]]))
    across = torch.tensor([0.0, 0.8, -0.6])
    torch.testing.assert_close(placed @ across, z @ across)


def test_a_row_moves_one_coordinate_and_nothing_else(gan):
    z, steps = sampling.fixed_noise(Z, 1, 0)[0], torch.tensor([-1.0, 0.0, 2.0])
    vectors = gan.G_average.turn[:2]
    images = latent.moved_along(gan, z, vectors, steps)
    assert images.shape == (2, 3, SIZE, SIZE, 3) and images.dtype == np.uint8
    for row, vector in enumerate(vectors):
        asked = torch.stack([z + (step - z @ vector) * vector for step in steps])
        assert np.array_equal(images[row], sampling.decode(gan, asked))


def test_a_row_is_of_the_class_that_was_asked_for():
    gan = build("cgan")
    z, steps = sampling.fixed_noise(16, 1, 0)[0], torch.zeros(1)
    vector = normalize(torch.ones(1, 16))
    for label in (0, 2):
        image = sampling.decode(gan, latent.placed(z, vector, steps)[None], torch.tensor([label]))
        assert np.array_equal(latent.moved_along(gan, z, vector, steps, label)[0], image)


def test_truncated_noise_has_the_distribution_that_drawing_again_leads_to():
    z = latent.truncated(50, 4000, 0, 0.8).numpy().ravel()
    drawn = np.random.default_rng(0).normal(size=600_000)
    kept = drawn[np.abs(drawn) < 0.8]
    assert np.abs(z).max() <= 0.8
    levels = np.linspace(0.01, 0.99, 25)
    np.testing.assert_allclose(np.quantile(z, levels), np.quantile(kept, levels), atol=0.01)


def test_truncation_keeps_the_order_of_the_noise_and_infinity_keeps_all():
    z = sampling.fixed_noise(20, 70, 5)
    torch.testing.assert_close(latent.truncated(20, 70, 5, float("inf")), z)
    small = latent.truncated(20, 70, 5, 0.1)
    assert (small.sign() == z.sign()).all() and small.abs().max() <= 0.1
    assert torch.equal(small.flatten()[z.flatten().argsort()], small.flatten().sort().values)
    assert torch.equal(latent.truncated(20, 3, 5, 0.1), small[:3])


@pytest.mark.parametrize("threshold", [0, -1.0, float("nan")])
def test_a_threshold_that_leaves_nothing_is_refused(threshold):
    with pytest.raises(UsageError, match="it must be above 0, 2 for example"):
        latent.truncated(4, 2, 0, threshold)


@pytest.mark.parametrize("name", ["cgan", "sngan", "progan", "pix2pix"])
def test_without_its_average_a_gan_draws_with_g(name):
    gan = build(name)
    with torch.no_grad():
        for weight in gan.G.parameters():
            weight *= 1.5
    before = sampling.generate(gan, 4, 0)
    twin = latent.without_average(gan)
    drawn = sampling.generate(twin, 4, 0)
    assert not np.array_equal(drawn, before)
    assert np.array_equal(sampling.generate(gan, 4, 0), before) and gan.G_average is not gan.G
    gan.G_average.load_state_dict(gan.G.state_dict())
    assert np.array_equal(sampling.generate(gan, 4, 0), drawn)
