"""ProGAN: how fast it grows, and what a size that is fading in looks like."""

import math
from itertools import pairwise

import pytest
import torch
from small_gans import batch, build
from torch.nn.functional import avg_pool2d, interpolate

from nbhelpers import sampling
from nbhelpers.gans import ProGAN
from nbhelpers.gans.progan import growth


def test_growth_by_hand():
    assert growth(0.0, 4) == 0
    assert growth(1 / 3, 4) == pytest.approx(2)  # half of the two thirds that grow
    assert growth(2 / 3, 4) == growth(0.9, 4) == growth(1.0, 4) == 4
    a_part = 2 / 3 / 4
    for k in range(4):  # each part: half at the size before, half fading in
        assert growth((k + 0.01) * a_part, 4) == growth((k + 0.49) * a_part, 4) == k
        assert growth((k + 0.75) * a_part, 4) == pytest.approx(k + 0.5)
    assert growth(1.0, 0) == growth(0.5, 0) == 0


@pytest.mark.parametrize("doublings", [1, 4, 5])
def test_growth_never_shrinks_or_jumps(doublings):
    levels = [growth(i / 2000, doublings) for i in range(2001)]
    steps = [after - before for before, after in pairwise(levels)]
    assert min(steps) >= 0
    assert max(steps) < 2 * doublings / 2000 / (2 / 3) + 1e-9
    assert (levels[0], levels[-1]) == (0, doublings)


@pytest.mark.parametrize("size", [64, 128])
@pytest.mark.parametrize("p", [0.0, 0.1, 0.15, 0.3, 0.45, 0.6, 0.67, 1.0])
def test_photographs_have_the_size_of_the_fakes(size, p):
    gan = build("progan", size, width=4)
    gan.set_progress(p)
    real, fake = gan.real(batch(size, 2)), gan.fake(batch(size, 2))
    assert real.shape == fake.shape
    assert real.abs().max() <= 1 and fake.abs().max() <= 1
    assert real.shape[-1] == 4 * 2 ** math.ceil(growth(p, round(math.log2(size // 4))))
    assert real.shape[-1] == {0.0: 4, 0.67: size, 1.0: size}.get(p, real.shape[-1])
    gan.update_average(0.5)
    z, label = torch.zeros(2, gan.z_dim), batch(size, 2).label
    assert sampling.decode(gan, z, label).shape == (2, size, size, 3)  # enlarged to the full size


def test_one_that_does_not_grow_is_whole_from_the_first_step():
    gan = build("progan", width=4, growing=False)
    gan.set_progress(0.0)
    assert gan.fake(batch()).shape == gan.real(batch()).shape == (8, 3, 64, 64)
    assert torch.equal(gan.real(batch()), batch().image)


def at(gan: ProGAN, growth: float) -> ProGAN:
    gan.G.growth.fill_(growth)
    gan.D.growth.fill_(growth)
    return gan


def enlarged(image: torch.Tensor) -> torch.Tensor:
    return interpolate(image, scale_factor=2.0)


def faint() -> ProGAN:
    """One whose images stay well within [-1, 1], where nothing is clipped."""
    gan = build("progan")
    with torch.no_grad():
        for layer in gan.G.to_image:
            layer.weight.mul_(0.1)
    return gan


@pytest.mark.parametrize("share", [0.5, 0.25])
def test_a_fading_image_is_the_blend_by_hand(share):
    gan, z, label = faint(), torch.randn(8, 16), batch().label
    with torch.no_grad():
        small, large = (at(gan, level).G(z, label) for level in (1.0, 2.0))
        blend = at(gan, 1 + share).G(z, label)
    assert (small.shape[-1], large.shape[-1]) == (8, 16)
    torch.testing.assert_close(blend, (1 - share) * enlarged(small) + share * large)
    assert not torch.allclose(blend, share * enlarged(small) + (1 - share) * large) or share == 0.5


@pytest.mark.parametrize("share", [0.5, 0.25])
def test_a_fading_photograph_is_the_blend_by_hand(share):
    large = avg_pool2d(batch().image, 4)  # 16 px, its detail fading in
    small = enlarged(avg_pool2d(batch().image, 8))
    found = at(build("progan"), 1 + share).real(batch())
    torch.testing.assert_close(found, (1 - share) * small + share * large)
    assert not torch.allclose(found, large, atol=0.01)


def test_d_begins_a_size_where_it_ended_the_one_before():
    gan, large = build("progan"), avg_pool2d(batch().image, 4)
    with torch.no_grad():
        before = at(gan, 1.0).D(avg_pool2d(large, 2), batch().label)
        at_first = at(gan, 1.0 + 1e-5).D(large, batch().label)
        at_last = at(gan, 2.0).D(large, batch().label)
    torch.testing.assert_close(at_first, before, atol=1e-3, rtol=1e-3)
    assert (at_last - before).abs().max() > 0.01


def test_all_sizes_are_trained_by_the_end():
    """A layer that no loss ever reaches would stay as it was drawn."""
    gan, reached = build("progan", width=4), set()
    for p in (0.0, 0.15, 0.3, 0.45, 0.6, 1.0):
        gan.set_progress(p)
        for loss in (gan.d_loss, gan.g_loss):
            gan.zero_grad()
            sum(loss(batch(count=4)).values()).backward()
            reached |= {n for n, w in gan.named_parameters() if w.grad is not None and w.grad.any()}
    missing = {n for n, w in gan.named_parameters() if not n.startswith("G_average")} - reached
    assert not missing
