"""What must hold for every GAN in `GANS`: a new one is tested by being listed there."""

import sys

import pytest
import torch
from small_gans import CLASSES, CPU, PHOTOGRAPHS, batch, build, copied, equal
from torch import nn

from nbhelpers.augment import diff_augment
from nbhelpers.errors import UsageError, one_of
from nbhelpers.gans import DCGAN, GAN, GANS
from nbhelpers.training_images import TrainingImages

PENALISED = [name for name in GANS if build(name, width=4).has_penalty()]


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


def test_photographs_and_fakes_fill_one_range(name):
    """However far G goes: a G that may leave [-1, 1], or photographs in [0, 1], give D an easy
    game."""
    pixels = PHOTOGRAPHS[:8].copy()
    pixels[:, 0, 0], pixels[:, 0, 1] = 0, 255
    real = TrainingImages(pixels, torch.zeros(8).numpy(), CPU).batch(torch.arange(8).numpy()).image
    gan = build(name)
    with torch.no_grad():
        for weight in gan.G.to_image.parameters():
            weight.mul_(1e4)
        fake = gan.fake(batch())
    for images in (real, fake):
        assert (images.min().item(), images.max().item()) == (-1, 1)


def test_the_settings_build_the_same_gan(name):
    gan = build(name, width=4, average_share=1)
    again = GANS[name](**gan.settings)
    assert again.settings == gan.settings
    assert (again.width, again.average_share, again.z_dim) == (4, 1, 16)
    assert {k: v.shape for k, v in again.state_dict().items()} == {
        k: v.shape for k, v in gan.state_dict().items()
    }


def test_first_logits_are_small(name):
    """A default initialisation that starts D off with large, spread logits leaves G without a
    gradient."""
    torch.manual_seed(0)
    gan = GANS[name](64, CLASSES)
    with torch.no_grad():
        logits = gan.logits(batch(count=32))
    assert max(side.abs().max() for side in logits) < 5


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


def test_the_average_takes_single_numbers_as_they_are(name):
    """A G_average grown to 1.9 of 2 doublings would draw another size than G."""
    gan = build(name)
    single = [b for b in gan.G.state_dict().values() if not b.dim()]
    for number in single:
        number.fill_(0.25 if number.is_floating_point() else 4)
    gan.update_average(0.9)
    assert single
    assert equal([b for b in gan.G_average.state_dict().values() if not b.dim()], single)


def test_an_average_of_nothing_is_g_itself(name):
    gan = build(name)
    gan.G.load_state_dict({k: v + 1 for k, v in gan.G.state_dict().items()})
    gan.update_average(0.0)
    assert equal(copied(gan.G_average), copied(gan.G))


def test_noise_has_the_size_that_the_gan_names(name):
    gan = build(name)
    assert gan.noise(5).shape == (5, gan.z_dim)


def test_an_unknown_gan_offers_the_nearest():
    with pytest.raises(UsageError, match="did you mean 'dcgan'"):
        one_of("GAN", "dcgn", GANS)


@pytest.mark.parametrize("p", [0.0, 0.2, 0.6, 1.0])
def test_losses_are_finite_all_along_the_budget(name, p):
    gan = build(name, width=4)
    gan.set_progress(p)
    terms = {**gan.d_loss(batch(count=4)), **gan.g_loss(batch(count=4))}
    sum(terms.values()).backward()
    assert all(value.isfinite() for value in terms.values())
    assert all(w.grad.isfinite().all() for w in gan.parameters() if w.grad is not None)


def sight(gan: GAN) -> str:
    """An augmentation that this GAN takes: a mask does not move with what D is shown."""
    return "cutout,colour" if gan.translates else "translation,colour"


def looks(gan: GAN, monkeypatch) -> dict[str, list[torch.Tensor]]:
    """Every image that goes into `diff_augment`, every one that comes out, and every one that D is
    shown, in lists that fill while the GAN plays."""
    told = {"in": [], "out": [], "shown": []}

    def recorded(images, policy, strength):
        assert (policy, strength) == (gan.augment, gan.strength)
        told["in"].append(images)
        told["out"].append(diff_augment(images, policy, strength))
        return told["out"][-1]

    def watched(look):
        return lambda image, *rest: (told["shown"].append(image), look(image, *rest))[1]

    for name in {kind.__module__ for kind in type(gan).__mro__}:
        if name.startswith("nbhelpers.") and hasattr(sys.modules[name], "diff_augment"):
            monkeypatch.setattr(sys.modules[name], "diff_augment", recorded)
    for look in ("forward", "answers"):
        if hasattr(gan.D, look):
            monkeypatch.setattr(gan.D, look, watched(getattr(gan.D, look)))
    return told


def is_among(image: torch.Tensor, images: list[torch.Tensor]) -> bool:
    return any(image is other for other in images)


def plays_through_glasses(gan: GAN, monkeypatch) -> bool:
    """Whether D sees nothing, real or generated, but through the augmentation, in both steps."""
    real, fake = gan.real(batch()), gan.fake(batch())
    monkeypatch.setattr(gan, "real", lambda batch: real)
    monkeypatch.setattr(gan, "fake", lambda batch: fake)
    given, told = batch()._replace(image=real), looks(gan, monkeypatch)
    for loss, needed in ((gan.d_loss, (real, fake)), (gan.g_loss, (fake,))):
        for images in told.values():
            images.clear()
        loss(given)
        if not all(is_among(image, told["in"]) for image in needed):
            return False
        if not all(is_among(image, told["out"]) for image in told["shown"]):
            return False
    return True


def test_d_sees_photographs_and_fakes_through_the_augmentation(name, monkeypatch):
    gan = build(name, width=4, augment=sight(build(name, width=4)), strength=0.5)
    assert plays_through_glasses(gan, monkeypatch)


class HalfBlind(DCGAN):
    """The mistake: fakes are augmented, photographs are not."""

    def d_loss(self, batch):
        real, fake = self.D(batch.image), self.judge(self.fake(batch))
        return {"cross_entropy": fake.mean() - real.mean()}


def test_an_augmentation_of_one_side_would_be_seen(monkeypatch):
    gan = HalfBlind(64, 0, width=4, z_dim=8, augment="translation,colour")
    assert not plays_through_glasses(gan, monkeypatch)


@pytest.mark.parametrize("policy", ["flip", "translation", "cutout", "colour"])
def test_g_learns_through_the_augmentation(name, policy):
    if name == "pix2pix" and policy in ("flip", "translation"):
        with pytest.raises(UsageError, match="no longer fits its mask"):
            build(name, augment=policy)
        return
    gan = build(name, width=4, augment=policy)
    sum(gan.g_loss(batch()).values()).backward()
    assert any(w.grad is not None and w.grad.abs().sum() > 0 for w in gan.G.parameters())


def slope_to_others(gan: GAN) -> float:
    """How much the logit of the first image hangs on the other images of the batch."""
    image = batch(count=4).image.requires_grad_()
    logit = gan.judge(image, batch(count=4).label)[0]
    return torch.autograd.grad(logit, image)[0][1:].abs().max().item()


@pytest.mark.parametrize("name", PENALISED)
def test_under_a_penalty_each_image_is_judged_alone(name):
    gan = build(name)
    if name == "progan":  # the minibatch standard deviation is meant to compare images
        assert slope_to_others(gan) > 0
    else:
        assert slope_to_others(gan) == 0
    assert not any(isinstance(m, nn.BatchNorm2d) for m in gan.D.modules())


def test_batch_normalisation_does_mix_images():
    assert slope_to_others(build("dcgan")) > 0
    assert slope_to_others(build("dcgan", norm="spectral")) == 0


@pytest.mark.parametrize("name", PENALISED)
def test_batch_normalisation_is_refused_under_a_penalty(name):
    with pytest.raises(UsageError, match="norm is 'batch' under a penalty"):
        build(name, norm="batch")
    assert build(name, norm="none").D


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"widht": 8}, "setting 'widht' is unknown: did you mean 'width'"),
        ({"width": True}, "width is True: expected int"),
        ({"width": 8.0}, "width is 8.0: expected int"),
        ({"conditional": 1}, "conditional is 1: expected bool"),
        ({"strength": "1"}, "strength is '1': expected float"),
        ({"strength": True}, "strength is True: expected float"),
        ({"augment": 0.5}, "augment is 0.5: expected str"),
        ({"betas": 0.5}, "betas is 0.5: expected tuple"),
        ({"betas": ("a", 0.9)}, "betas is .*: expected 2 numbers"),
        ({"norm": "spectre"}, "norm 'spectre' is unknown"),
        ({"augment": "translaton"}, "did you mean 'translation'"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(name, settings, message):
    with pytest.raises(UsageError, match=message):
        build(name, **settings)


@pytest.mark.parametrize("name", ["progan", "r3gan"])
def test_a_norm_that_networks_do_not_have_is_refused(name):
    with pytest.raises(UsageError, match="norm 'spectral' is unknown: Choose one of none"):
        build(name, norm="spectral")


def test_whole_numbers_do_for_fractions(name):
    assert build(name, width=4, strength=2, learning_rate_d=1).strength == 2


def test_defaults_are_the_settings_and_nothing_else(name):
    plain = {"image_size": 64, "classes": CLASSES} | GANS[name].defaults()
    assert GANS[name](64, CLASSES).settings == plain
    assert {"width", "n_critic", "betas", "augment"} < plain.keys()
    assert not any(n.startswith("_") or callable(v) for n, v in plain.items())


def test_a_label_without_classes_is_refused(name):
    if GANS[name].conditional:
        with pytest.raises(UsageError, match="classes must be 1 or more"):
            GANS[name](64, 0)
    else:
        assert GANS[name](64, 0, width=4).D


def test_both_players_hear_the_label_or_neither(name):
    gan, label = build(name).eval(), batch().label
    other = (label + 1) % CLASSES
    torch.manual_seed(2)
    z, image = gan.noise(8), gan.real(batch())
    with torch.no_grad():
        g_hears = not torch.equal(drawn(gan, z, label), drawn(gan, z, other))
        d_hears = not torch.equal(judged(gan, image, label), judged(gan, image, other))
    assert g_hears == gan.conditional
    assert d_hears == (gan.conditional and name != "acgan")  # ACGAN's has to find it out


def drawn(gan: GAN, z: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
    torch.manual_seed(3)  # the same dropout
    return gan.G(batch().source if gan.translates else z, label)


def judged(gan: GAN, image: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
    return gan.D(image, batch().source, label) if gan.translates else gan.D(image, label)


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
