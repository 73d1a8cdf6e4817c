import pytest
import torch

from nbhelpers import augment
from nbhelpers.augment import POLICIES, diff_augment, dihedral
from nbhelpers.errors import UsageError

IMAGE = torch.arange(2 * 9, dtype=torch.uint8).view(1, 3, 3, 2)
VIEWS = [torch.rot90(flip, k, (1, 2)) for flip in (IMAGE, IMAGE.flip(2)) for k in range(4)]


def test_every_image_becomes_one_of_its_eight_views_and_all_occur():
    torch.manual_seed(0)
    out = dihedral(IMAGE.repeat(400, 1, 1, 1))
    counts = [sum(torch.equal(image[None], view) for image in out) for view in VIEWS]
    assert sum(counts) == 400
    assert min(counts) > 25  # 50 expected of each


def test_the_seed_decides():
    torch.manual_seed(3)
    one = dihedral(IMAGE.repeat(16, 1, 1, 1))
    torch.manual_seed(3)
    assert torch.equal(one, dihedral(IMAGE.repeat(16, 1, 1, 1)))


ALL = ",".join(POLICIES)


def seeded(images: torch.Tensor, policy: str, strength: float = 1.0) -> torch.Tensor:
    torch.manual_seed(0)
    return diff_augment(images, policy, strength)


@pytest.mark.parametrize("policy", [*POLICIES, ALL])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_shape_and_dtype_stay(policy, dtype):
    images = torch.rand(4, 3, 16, 16, dtype=dtype)
    out = seeded(images, policy)
    assert out.shape == images.shape and out.dtype == dtype
    assert not torch.equal(out, images)


def slope_is_right(function) -> bool:
    """Against finite differences, along a random direction."""
    images = torch.rand(2, 1, 8, 8, dtype=torch.float64).requires_grad_()
    return torch.autograd.gradcheck(function, images, fast_mode=True, raise_exception=False)


@pytest.mark.parametrize("policy", [*POLICIES, ALL])
def test_its_slope_is_that_of_finite_differences(policy):
    assert slope_is_right(lambda images: seeded(images, policy))


def test_a_gradient_lost_on_the_way_would_be_seen():
    assert not slope_is_right(lambda x: seeded(x, ALL) + seeded(x.detach(), ALL))


@pytest.mark.parametrize("policy", [*POLICIES, ALL])
def test_the_gradient_reaches_every_image_of_g(policy):
    torch.manual_seed(1)
    images = torch.rand(16, 3, 16, 16).requires_grad_()
    seeded(images, policy).square().sum().backward()
    assert (images.grad.flatten(1).abs().sum(1) > 0).all()


def test_no_policy_changes_nothing():
    images = torch.rand(4, 3, 16, 16)
    assert diff_augment(images, "") is images


@pytest.mark.parametrize("policy", [*POLICIES, ALL])
def test_strength_0_changes_nothing(policy):
    images = torch.rand(8, 3, 16, 16) * 2 - 1
    torch.testing.assert_close(seeded(images, policy, 0.0), images)
    assert not torch.allclose(seeded(images, policy), images)


@pytest.mark.parametrize("policy", POLICIES)
def test_every_image_gets_its_own_draw(policy):
    images = torch.rand(1, 3, 32, 32).repeat(64, 1, 1, 1)
    different = len(torch.unique(seeded(images, policy), dim=0))
    assert different == 2 if policy == "flip" else different > 20


def test_half_of_the_images_are_mirrored():
    images = torch.rand(1, 3, 8, 8).repeat(400, 1, 1, 1)
    mirrored = (seeded(images, "flip") == images.flip(-1)).flatten(1).all(1)
    assert 160 < mirrored.sum() < 240
    assert torch.equal(seeded(images, "flip")[~mirrored], images[~mirrored])


def shifted(images: torch.Tensor, down: int, right: int) -> torch.Tensor:
    """By hand: whole pixels, grey where nothing moves in."""
    out, size = torch.zeros_like(images), images.shape[-1]
    for y in range(size):
        for x in range(size):
            if 0 <= y - down < size and 0 <= x - right < size:
                out[..., y, x] = images[..., y - down, x - right]
    return out


@pytest.mark.parametrize(("strength", "most"), [(1.0, 2), (0.5, 1)])
def test_translation_by_hand(strength, most):
    image = torch.rand(1, 3, 16, 16) + 0.5  # no pixel is 0
    out = seeded(image.repeat(500, 1, 1, 1), "translation", strength)
    moves = [(y, x) for y in range(-3, 4) for x in range(-3, 4)]
    by_hand = torch.cat([shifted(image, *move) for move in moves])
    same = (out[:, None] == by_hand).flatten(2).all(2)  # (500, moves)
    assert (same.sum(1) == 1).all()
    found = {move for move, n in zip(moves, same.sum(0), strict=True) if n}
    assert found == {move for move in moves if max(map(abs, move)) <= most}
    rolled = image.roll((1, 0), (-2, -1))  # the mistake: what leaves on one side enters the other
    assert not (out == rolled).flatten(1).all(1).any()


@pytest.mark.parametrize(("strength", "side"), [(1.0, 16), (2.0, 32)])
def test_cutout_is_a_grey_square_cut_by_the_edge_at_most(strength, side):
    out = seeded(torch.ones(200, 1, 64, 64), "cutout", strength)[:, 0]
    rows, columns = (out == 0).any(2), (out == 0).any(1)
    assert torch.equal(out == 0, rows[:, :, None] & columns[:, None])  # a rectangle
    heights, widths = rows.sum(1), columns.sum(1)
    assert heights.max() == widths.max() == side and min(heights.min(), widths.min()) < side
    whole = heights == side
    assert ((rows.int().diff(dim=1).abs().sum(1) <= 2) & (heights > 0)).all()  # in one piece
    assert whole.float().mean() > 0.3  # the centre may lie anywhere, so most are not cut
    assert out.max() == 1


def test_brightness_by_hand():
    """On one grey, saturation and contrast have nothing to work on."""
    out = seeded(torch.full((2000, 3, 4, 4), 0.3), "colour")
    assert (out - out[:, :1, :1, :1]).abs().max() < 1e-6  # still one grey
    change = out[:, 0, 0, 0] - 0.3
    assert 0.24 < change.max() <= 0.25 and -0.25 <= change.min() < -0.24
    assert abs(change.mean()) < 0.01
    assert seeded(torch.full((2000, 3, 4, 4), 0.3), "colour", 2.0).max() > 0.3 + 0.48


def test_contrast_by_hand():
    """Two greys move apart or together around their middle; saturation leaves greys alone."""
    image = torch.full((2000, 3, 4, 4), 0.1)
    image[..., :2] = 0.5
    out = seeded(image, "colour")
    assert (out[:, :1] - out).abs().max() < 1e-6
    ratio = (out[..., 0, 0] - out[..., 0, 3])[:, 0] / 0.4
    assert 0.75 - 1e-5 <= ratio.min() < 0.76 and 1.24 < ratio.max() <= 1.25 + 1e-5


def test_saturation_by_hand():
    """On one colour, each channel's distance from grey grows by one factor: contrast times it."""
    image = torch.tensor([0.6, 0.3, 0.0])[:, None, None].expand(4000, 3, 4, 4)
    out = seeded(image, "colour")[..., 0, 0]
    away = out - out.mean(1, keepdim=True)
    assert away[:, 1].abs().max() < 1e-6  # the middle channel was grey's own value
    torch.testing.assert_close(away[:, 0], -away[:, 2])  # one factor for all channels
    factor = away[:, 0] / 0.3
    assert 0.5 * 0.75 - 1e-5 < factor.min() < 0.42 and 1.78 < factor.max() < 1.5 * 1.25 + 1e-5
    grey = out.mean(1) - 0.3
    assert grey.abs().max() <= 0.25 + 1e-6


def test_names_are_applied_in_turn(monkeypatch):
    monkeypatch.setitem(POLICIES, "colour", lambda images, strength: images + strength)
    monkeypatch.setitem(POLICIES, "cutout", lambda images, strength: images * 3)
    one = torch.ones(1)
    assert augment.diff_augment(one, "colour,cutout", 2.0).item() == 9
    assert augment.diff_augment(one, "cutout, colour", 2.0).item() == 5


@pytest.mark.parametrize("policy", ["translaton", "colour,translaton"])
def test_an_unknown_name_offers_the_nearest(policy):
    with pytest.raises(UsageError, match="'translaton' is unknown: did you mean 'translation'"):
        diff_augment(torch.zeros(1, 3, 8, 8), policy)
