"""A segmenter learns what is to be learned and nothing else; Dice of overlaps counted by hand."""

import numpy as np
import pytest
import torch

from nbhelpers import segmentation
from nbhelpers.errors import MetricError, TrainingError, UsageError
from nbhelpers.segmentation import (
    dice,
    dice_interval,
    mean_dice,
    pooled_dice,
    segment,
    soft_dice,
    train_segmenter,
)

CPU = torch.device("cpu")


def discs(count: int, seed: int, size: int = 32) -> tuple[np.ndarray, np.ndarray]:
    """Noisy pictures of one bright disc on dark ground, anywhere, and the masks of the discs."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:size, :size]
    centre, radius = rng.uniform(0.25, 0.75, (2, count)) * size, rng.uniform(4, 9, count)
    places = zip(*centre, radius, strict=True)
    masks = np.stack([(y - a) ** 2 + (x - b) ** 2 < r**2 for a, b, r in places])
    light = 60 + 110 * masks[..., None] + rng.normal(0, 25, (*masks.shape, 3))
    return light.clip(0, 255).astype(np.uint8), masks.astype(np.uint8)


@pytest.fixture(scope="module")
def learned():
    return train_segmenter(*discs(64, 1), classes=2, steps=60, seed=0, device=CPU, width=8)


def test_a_disc_is_found_in_pictures_never_seen(learned):
    images, masks = discs(40, 2)
    assert mean_dice(segment(learned, images), masks, 2) > 0.93


def test_masks_of_other_pictures_teach_nothing():
    images, masks = discs(64, 1)
    fooled = train_segmenter(images, np.roll(masks, 7, 0), 2, 60, 0, CPU, width=8)
    images, masks = discs(40, 2)
    assert mean_dice(segment(fooled, images), masks, 2) < 0.6


def test_a_disc_is_found_when_image_and_mask_are_turned(learned):
    images, masks = discs(40, 3)
    found = segment(learned, np.rot90(images, axes=(1, 2)))
    assert mean_dice(found, np.rot90(masks, axes=(1, 2)), 2) > 0.93


def test_a_class_of_four_pixels_in_a_thousand_is_learned():
    rng = np.random.default_rng(0)
    masks = np.zeros((64, 32, 32), np.uint8)
    for mask, (y, x) in zip(masks, rng.integers(3, 27, (64, 2)), strict=True):
        mask[y : y + 2, x : x + 2] = 1
    light = 60 + 150 * masks[..., None] + rng.normal(0, 25, (*masks.shape, 3))
    images = light.clip(0, 255).astype(np.uint8)
    network = train_segmenter(images[:40], masks[:40], 2, 90, 0, CPU, width=8)
    # cross-entropy alone finds none of them
    assert mean_dice(segment(network, images[40:]), masks[40:], 2) > 0.8


def test_the_network_sees_images_whose_colours_were_changed(monkeypatch):
    monkeypatch.setattr(segmentation, "colour", lambda images, strength: images * (strength - 0.5))
    blinded = train_segmenter(*discs(64, 1), classes=2, steps=60, seed=0, device=CPU, width=8)
    images, masks = discs(40, 2)
    assert mean_dice(segment(blinded, images), masks, 2) < 0.3


def test_augmentation_follows_from_seed_and_step_alone(monkeypatch):
    seen = []
    monkeypatch.setattr(segmentation, "colour", lambda x, strength: seen.append(x) or x)
    for width in (4, 8):  # initial weights take more random numbers
        train_segmenter(*discs(6, 1), classes=2, steps=2, seed=0, device=CPU, width=width)
    assert torch.equal(seen[0], seen[2]) and torch.equal(seen[1], seen[3])
    assert not torch.equal(seen[0], seen[1])


def test_the_network_is_a_function_of_its_arguments():
    pairs = discs(12, 4)
    torch.manual_seed(5)
    first, again, other = (
        train_segmenter(*pairs, classes=2, steps=3, seed=s, device=CPU, batch=4, width=4)
        for s in (1, 1, 2)
    )
    weights = [torch.cat([p.flatten() for p in n.state_dict().values()]) for n in (first, again)]
    assert torch.equal(*weights)
    assert not torch.equal(first.to_image[1].weight, other.to_image[1].weight)
    state = torch.get_rng_state()
    torch.manual_seed(5)
    assert torch.equal(torch.get_rng_state(), state)  # torch's own stream was left alone


def test_fewer_images_than_a_batch_are_one_batch():
    network = train_segmenter(*discs(3, 1), classes=2, steps=2, seed=0, device=CPU, width=4)
    assert not network.training
    assert segment(network, discs(2, 1)[0]).shape == (2, 32, 32)


def test_segment_does_not_depend_on_who_else_is_there(learned):
    images = discs(70, 5)[0]  # more than a block
    found = segment(learned.train(), images)
    assert found.dtype == np.uint8 and not learned.training
    assert (found[66:] == segment(learned, images[66:])).mean() > 0.999


@pytest.mark.parametrize(
    "change, told",
    [
        ({"masks": np.zeros((5, 32, 32), np.uint8)}, r"\(6, 32, 32, 3\) and masks \(5, 32, 32\)"),
        ({"masks": np.zeros((6, 16, 16), np.uint8)}, "prepared at one size"),
        ({"masks": np.full((6, 32, 32), 2, np.uint8)}, "values up to 2: pass the number of colour"),
        ({"classes": 1}, "2 at least"),
        ({"steps": 0}, "steps is 0"),
        ({"images": np.zeros((0, 32, 32, 3), np.uint8)}, "mask i of image i"),
    ],
)
def test_pairs_that_do_not_fit_are_refused(change, told):
    images, masks = discs(6, 1)
    arguments = {"images": images, "masks": masks, "classes": 2, "steps": 2} | change
    with pytest.raises(UsageError, match=told):
        train_segmenter(**arguments, seed=0, device=CPU, width=4)


def test_a_training_that_explodes_is_stopped(monkeypatch):
    monkeypatch.setattr(segmentation, "LEARNING_RATE", 1e38)
    with pytest.raises(TrainingError, match=r"at step 3.*lower segmentation.LEARNING_RATE"):
        train_segmenter(*discs(6, 1), classes=2, steps=4, seed=0, device=CPU, width=4)


def test_soft_dice_of_known_planes():
    truth = torch.zeros(1, 2, 2, 2)
    truth[0, 0, 0], truth[0, 1, 1] = 1, 1
    assert soft_dice(99 * truth, truth).item() == pytest.approx(0, abs=1e-6)
    # wrong everywhere: nothing shared, 2 + 2 pixels held, and the pixel that is added to both
    assert soft_dice(99 * (1 - truth), truth).item() == pytest.approx(1 - 1 / 5)
    # undecided: shared 2 * 0.5, held 4 * 0.25 + 2
    assert soft_dice(0 * truth, truth).item() == pytest.approx(1 - (2 + 1) / (3 + 1))


MASKS = np.array([[[0, 0], [1, 1]], [[0, 0], [0, 2]], [[0, 0], [0, 0]]], np.uint8)
FOUND = np.array([[[0, 1], [1, 1]], [[0, 0], [0, 0]], [[0, 0], [0, 0]]], np.uint8)


def test_dice_of_overlaps_counted_by_hand():
    wanted = [
        [2 * 1 / 3, 2 * 2 / 5, np.nan],
        [2 * 3 / 7, np.nan, 0.0],
        [1.0, np.nan, np.nan],
    ]
    assert dice(FOUND, MASKS, 3) == pytest.approx(np.array(wanted), nan_ok=True)


def test_mean_dice_pools_pixels_first_and_classes_then():
    pooled = [2 * (1 + 3 + 4) / (3 + 7 + 8), 4 / 5, 0.0]
    assert pooled_dice(FOUND, MASKS, 3) == pytest.approx(pooled)
    assert mean_dice(FOUND, MASKS, 3) == pytest.approx((4 / 5 + 0) / 2)
    assert mean_dice(MASKS, MASKS, 3) == 1


def test_a_class_that_no_mask_holds_does_not_count():
    found = FOUND.copy()
    found[2, 0, 0] = 2  # a stray pixel of class 2
    assert mean_dice(found[[0, 2]], MASKS[[0, 2]], 3) == pytest.approx(4 / 5)
    with pytest.raises(MetricError, match="no mask holds a class other than 0"):
        mean_dice(found[2:], MASKS[2:], 3)


@pytest.mark.parametrize("measure", [dice, mean_dice, pooled_dice])
def test_maps_of_other_shapes_are_refused(measure):
    with pytest.raises(MetricError, match="prediction i of mask i"):
        measure(FOUND[:2], MASKS, 3)


def test_the_interval_resamples_groups_and_not_images():
    rng = np.random.default_rng(0)
    masks = rng.integers(0, 2, (40, 8, 8)).astype(np.uint8)
    right = np.repeat(np.arange(4) % 2, 10) == 0  # patients 0 and 2 are read well
    found = np.where(right[:, None, None], masks, 1 - masks)
    patients, single = np.repeat(np.arange(4), 10), np.arange(40)
    value, low, high = dice_interval(found, masks, 2, patients, seed=0)
    assert value == mean_dice(found, masks, 2)
    assert (low, high) == (0, 1)  # all four from one kind of patient: 1 in 16 either way
    _, narrow, wide = dice_interval(found, masks, 2, single, seed=0)
    assert 0.25 < narrow < value < wide < 0.75
    assert dice_interval(found, masks, 2, patients, 3) == dice_interval(
        found, masks, 2, patients, 3
    )


def test_resamples_without_the_class_are_left_out():
    groups = np.array(["a", "b", "b"])  # only a has class 1
    assert dice_interval(FOUND == 1, MASKS == 1, 2, groups, 0) == pytest.approx((0.8, 0.8, 0.8))


def test_the_interval_wants_a_group_for_each_image():
    with pytest.raises(MetricError, match="2 groups for 3 masks"):
        dice_interval(FOUND, MASKS, 3, np.array([0, 1]), 0)
