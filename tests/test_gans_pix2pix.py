"""pix2pix: every term by hand, the pair that D is shown, and that a mask is obeyed."""

import math

import numpy as np
import pytest
import torch
from small_gans import CLASSES, CPU, LABELS, MASKS, batch, build, equal, stream
from torch import nn
from torch.nn.functional import avg_pool2d

from nbhelpers import checkpoints, sampling
from nbhelpers.errors import CheckpointError, UsageError
from nbhelpers.gans import GAN, Masks, pix2pix
from nbhelpers.training import Training
from nbhelpers.training_images import Budget, TrainingImages


class Patches(nn.Module):
    """A judge whose logits are the mean of the image on the mask's class 1, in patches of 16 px."""

    def forward(self, image, source, label=None):
        return avg_pool2d((image * source[:, 1:2]).mean(dim=1), 16)


class Verdicts(nn.Module):
    """A judge who always answers 0, and remembers what was shown."""

    def __init__(self):
        super().__init__()
        self.shown = []

    def forward(self, *pair):
        self.shown.append(pair)
        return torch.zeros(8, 6, 6)


def playing(**settings) -> tuple[GAN, torch.Tensor]:
    """The GAN before `Patches`, and the fakes that it will draw."""
    gan = build("pix2pix", width=4, **settings)
    fake = torch.rand(8, 3, 64, 64) - 0.3
    gan.D, gan.fake = Patches(), lambda batch: fake
    return gan, fake


def looked(gan: GAN, image: torch.Tensor) -> torch.Tensor:
    return gan.D(image, batch().source)


def test_ds_term_is_half_the_cross_entropy_of_all_patches():
    gan, fake = playing()
    real, made = looked(gan, batch().image), looked(gan, fake)
    assert real.shape == (8, 4, 4)
    by_hand = -torch.log(torch.sigmoid(real)).mean() - torch.log(1 - torch.sigmoid(made)).mean()
    found = gan.d_loss(batch())
    assert list(found) == ["cross_entropy"]
    torch.testing.assert_close(found["cross_entropy"], 0.5 * by_hand)


def test_a_judge_that_knows_nothing_costs_log_2():
    gan, _ = playing()
    gan.D = Verdicts()
    assert gan.d_loss(batch())["cross_entropy"].item() == pytest.approx(math.log(2))
    assert gan.g_loss(batch())["cross_entropy"].item() == pytest.approx(math.log(2))


@pytest.mark.parametrize(("l1_weight", "gan_weight"), [(100.0, 1.0), (7.0, 0.5)])
def test_gs_terms(l1_weight, gan_weight):
    gan, fake = playing(l1_weight=l1_weight, gan_weight=gan_weight)
    found = gan.g_loss(batch())
    assert list(found) == ["cross_entropy", "l1"]
    judged = -torch.log(torch.sigmoid(looked(gan, fake))).mean()
    torch.testing.assert_close(found["cross_entropy"], gan_weight * judged)
    distance = np.abs(fake.numpy() - batch().image.numpy()).mean()
    assert found["l1"].item() == pytest.approx(l1_weight * float(distance), rel=1e-5)


def test_the_papers_weights_are_the_defaults():
    gan = build("pix2pix", width=4)
    assert (gan.l1_weight, gan.gan_weight, gan.noise_share) == (100.0, 1.0, 0.5)
    assert (gan.learning_rate_g, gan.betas) == (2e-4, (0.5, 0.999))


def slopes(loss: torch.Tensor, gan: GAN) -> list[torch.Tensor]:
    return torch.autograd.grad(loss, list(gan.G.parameters()))


def test_without_the_gan_term_g_follows_the_distance_alone():
    gan = build("pix2pix", width=4, gan_weight=0.0, l1_weight=1.0, noise_share=0.0)
    terms = gan.g_loss(batch())
    assert terms["cross_entropy"] == 0
    alone = (gan.fake(batch()) - batch().image).abs().mean()
    for one, other in zip(slopes(sum(terms.values()), gan), slopes(alone, gan), strict=True):
        torch.testing.assert_close(one, other)


def test_each_patch_of_a_photograph_gets_a_target_of_its_own(monkeypatch):
    known, told = pix2pix.cross_entropy_d, []

    def recorded(real, fake, smoothing):
        told.append(smoothing)
        return known(real, fake, smoothing)

    monkeypatch.setattr(pix2pix, "cross_entropy_d", recorded)
    for smoothing in (0.3, 0.0):
        (gan, fake), given = playing(smoothing=smoothing), batch()
        for _ in range(50):
            found = gan.d_loss(given)["cross_entropy"]
        target = 1 - told[-1]  # 1 - s u
        real, made = torch.sigmoid(looked(gan, batch().image)), torch.sigmoid(looked(gan, fake))
        on_real = -(target * torch.log(real) + (1 - target) * torch.log(1 - real)).mean()
        torch.testing.assert_close(found, 0.5 * (on_real - torch.log(1 - made).mean()))
        drawn = torch.stack(told).flatten()
        assert told[0].shape == (8, 4, 4) and drawn.numel() == 6400
        deciles = torch.quantile(drawn, torch.linspace(0, 1, 11))
        torch.testing.assert_close(deciles, smoothing * torch.linspace(0, 1, 11), atol=0.01, rtol=0)
        told.clear()


def test_d_is_shown_pairs_of_an_image_and_its_own_mask():
    gan, fake = playing()
    gan.D, given = Verdicts(), batch()
    gan.d_loss(given)
    gan.g_loss(given)
    gan.logits(given)
    expected = given.image, fake, fake, given.image, fake
    for (image, source, label), other in zip(gan.D.shown, expected, strict=True):
        assert image is other and source is given.source and label is given.label


def test_another_mask_is_another_verdict():
    gan = build("pix2pix").eval()
    with torch.no_grad():
        own, other = (gan.D(batch().image, s) for s in (batch().source, batch().source.flip(1)))
    assert not torch.equal(own, other)


def test_the_logit_of_an_image_is_the_mean_of_its_patches():
    gan, fake = playing()
    real, made = gan.logits(batch())
    assert real.shape == made.shape == (8,)
    torch.testing.assert_close(real, looked(gan, batch().image).mean(dim=(1, 2)))
    torch.testing.assert_close(made, looked(gan, fake).mean(dim=(1, 2)))


@pytest.mark.parametrize("policy", ["flip", "translation", "colour,flip", "colour, translation"])
def test_a_photograph_may_not_move_on_its_mask(policy):
    with pytest.raises(UsageError, match=f"augment is '{policy}': .* no longer fits its mask"):
        build("pix2pix", augment=policy)


def test_what_does_not_move_is_allowed():
    assert build("pix2pix", augment="colour, cutout").augment == "colour, cutout"


@pytest.mark.parametrize("share", [1.0, 1.5])
def test_dropout_of_everything_is_refused(share):
    with pytest.raises(UsageError, match=f"noise_share is {share}: it must be below 1"):
        build("pix2pix", noise_share=share)


def test_planes_of_mask_and_class():
    for told, planes in ((False, 0), (True, CLASSES)):
        gan = build("pix2pix", mask_classes=6, conditional=told)
        assert gan.G.down[0][0].in_channels == 6 + planes
        assert gan.D.stages[0].in_channels == 3 + 6 + planes
    assert gan.translates and not build("cgan").translates and build("pix2pix").z_dim == 16
    assert type(gan)(64, CLASSES, width=4).noise(3).shape == (3, 0)


def test_a_checkpoint_draws_what_the_gan_drew(tmp_path):
    """The trained GAN lies in memory channels last, the loaded one does not."""
    gan = contrasting(build("pix2pix", width=4, conditional=True))
    Training(gan, stream(gan), Budget(16, 8), CPU).run()
    config = {"gan": "pix2pix", "settings": gan.settings, "classes": ["a", "b", "c"]}
    checkpoints.save(tmp_path, {"config": config, "training": {"gan": gan.state_dict()}})
    with pytest.raises(CheckpointError, match=r"masks\.npz holds no masks .*run the training ag"):
        sampling.load(tmp_path)
    sampling.write_masks(tmp_path, gan.masks)
    again = sampling.load(tmp_path)
    assert equal(again.state_dict(), gan.state_dict()) and again.settings == gan.settings
    assert np.array_equal(sampling.generate(again, 6, 3), sampling.generate(gan, 6, 3))


def discs(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Photographs that are bright where a disc is, and their masks."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:64, :64]
    middle, radius = random.uniform(14, 50, (2, count, 1, 1)), random.uniform(6, 14, (count, 1, 1))
    masks = (np.hypot(y - middle[0], x - middle[1]) < radius).astype(np.uint8)
    images = np.where(masks[..., None], 220, 40) + random.normal(0, 6, (count, 64, 64, 3))
    return images.clip(0, 255).astype(np.uint8), masks


def distance_after(steps: int, shuffled: bool) -> float:
    """Mean absolute difference, in grey levels, to photographs whose masks were never shown."""
    images, masks = discs(48, 0)
    masks = masks[np.random.default_rng(1).permutation(48)] if shuffled else masks
    torch.manual_seed(0)
    rates = {"learning_rate_d": 2e-3, "learning_rate_g": 2e-3, "average_share": 0.05}
    gan = pix2pix.Pix2Pix(64, 1, width=8, **rates)
    data = TrainingImages(images, np.zeros(48, int), CPU, False, masks, 2)
    Training(gan, data, Budget(8 * steps, 8), CPU).run()
    truth, held_out = discs(32, 9)
    made = sampling.decode(gan, torch.from_numpy(held_out))
    return float(np.abs(made.astype(int) - truth).mean())


def test_a_mask_is_obeyed_and_masks_of_others_teach_nothing():
    """A grey picture with no disc is 17 from these photographs, one with the disc elsewhere 34."""
    without = np.abs(discs(32, 9)[0].astype(int) - 40).mean()
    assert 12 < without < 24
    assert distance_after(60, shuffled=False) < 10
    assert distance_after(60, shuffled=True) > 0.8 * without


def contrasting(gan: GAN) -> GAN:
    """Its first weights draw grey: with larger ones the images fill their range."""
    for net in (gan.G, gan.G_average):
        nn.init.normal_(net.to_image[1].weight, 0, 0.5)
    return gan


def test_a_seed_decides_the_dropout():
    gan, masks = contrasting(build("pix2pix", width=4)), torch.from_numpy(MASKS[:4])
    one, again, other = (sampling.decode(gan, masks, seed=seed) for seed in (1, 1, 2))
    assert np.array_equal(one, again) and not np.array_equal(one, other)
    state = torch.random.get_rng_state()
    sampling.decode(gan, masks)
    assert torch.equal(torch.random.get_rng_state(), state)


def views(mask: np.ndarray) -> set[bytes]:
    turned = [np.rot90(mask, k) for k in range(4)]
    return {view.tobytes() for t in turned for view in (t, t[:, ::-1])}


def test_every_mask_is_drawn_before_one_is_drawn_again():
    masks = Masks(MASKS[:5], LABELS[:5])
    drawn = masks.draw(13, 0).numpy()
    assert drawn.dtype == np.uint8 and drawn.shape == (13, 64, 64)
    times = [sum(d.tobytes() in views(mask) for d in drawn) for mask in MASKS[:5]]
    assert sum(times) == 13 and set(times) == {2, 3}
    assert np.array_equal(drawn, masks.draw(13, 0)) and not np.array_equal(drawn, masks.draw(13, 1))
    assert len({d.tobytes() for d in drawn}) > 5  # in several views


def test_masks_are_drawn_of_the_class_that_is_asked_for():
    masks = Masks(MASKS[:9], np.repeat([0, 1, 2], 3))
    label = torch.tensor([2, 0, 2, 2, 2, 0])
    for mask, c in zip(masks.draw(6, 4, label).numpy(), label.tolist(), strict=True):
        assert any(mask.tobytes() in views(m) for m in MASKS[3 * c : 3 * c + 3])
    assert masks.draw(2, 0, torch.tensor([7, 7])).shape == (
        2,
        64,
        64,
    )  # one that none was drawn for


def test_a_gan_without_masks_says_where_they_go():
    gan = build("pix2pix", width=4)
    gan.masks = None
    with pytest.raises(UsageError, match=r"has none: pass masks to sampling\.decode"):
        sampling.generate(gan, 2, 0)
    with pytest.raises(UsageError, match="nothing to walk along"):
        sampling.walk(gan, 3, 0)
    with pytest.raises(UsageError, match="holds class 2 and the network knows 2"):
        sampling.decode(gan, torch.full((1, 64, 64), 2, dtype=torch.uint8))
