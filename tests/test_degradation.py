"""Damage: each kind does what it says, grows with its strength, and repeats itself."""

import numpy as np
import pytest
from test_metrics import pictures

from nbhelpers.degradation import KINDS, LADDER, MOST, UNITS, degrade
from nbhelpers.errors import MetricError, UsageError

IMAGES = pictures(4)


def luminance(images: np.ndarray) -> np.ndarray:
    return images @ np.array([0.299, 0.587, 0.114])


@pytest.mark.parametrize("kind", KINDS)
def test_five_growing_strengths_do_growing_harm(kind):
    strengths = KINDS[kind]
    assert len(strengths) == 5 and list(strengths) == sorted(set(strengths))
    assert strengths[-1] <= MOST[kind] and UNITS[kind]
    damaged = [degrade(IMAGES, kind, strength) for strength in strengths]
    assert all(d.dtype == np.uint8 and d.shape == IMAGES.shape for d in damaged)
    assert (np.diff([np.abs(d - IMAGES.astype(float)).mean() for d in damaged]) > 0).all()


@pytest.mark.parametrize("kind", KINDS)
def test_the_images_handed_in_stay_as_they_are(kind):
    handed, once = IMAGES.copy(), degrade(IMAGES, kind, KINDS[kind][2])
    assert (degrade(handed, kind, KINDS[kind][2]) == once).all()
    assert (handed == IMAGES).all()
    assert degrade(IMAGES[:0], kind, KINDS[kind][2]).shape == (0, 64, 64, 3)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "jpeg"])
def test_no_strength_is_no_damage(kind):
    assert (degrade(IMAGES, kind, 0) == IMAGES).all()


def test_noise_has_its_share_of_the_range_and_its_seed():
    grey = np.full((2, 64, 64, 3), 128, np.uint8)
    noisy = degrade(grey, "noise", 0.1, 1)
    assert noisy.std() == pytest.approx(25.5, rel=0.02)
    assert noisy.mean() == pytest.approx(128, abs=0.6)
    assert (noisy == degrade(grey, "noise", 0.1, 1)).all()
    assert (noisy != degrade(grey, "noise", 0.1, 2)).any()


def test_blur_is_a_gaussian_of_that_many_pixels():
    point = np.zeros((1, 33, 33, 3), np.uint8)
    point[0, 16, 16] = 255
    assert degrade(point, "blur", 1.0)[0, 16, 16, 0] == round(255 / (2 * np.pi))
    assert degrade(point, "blur", 1.0)[0, 16, 18, 0] == round(255 / (2 * np.pi) * np.exp(-2))


def test_jpeg_of_a_flat_picture_is_flat_and_of_a_rough_one_shows_its_blocks():
    flat = np.full((1, 64, 64, 3), 90, np.uint8)
    assert np.abs(degrade(flat, "jpeg", 95).astype(int) - 90).max() <= 2
    rough = degrade(IMAGES, "jpeg", 95).astype(int)
    steps = np.abs(np.diff(luminance(rough), axis=2)).mean((0, 1))
    assert steps[7::8].mean() > 2 * np.delete(steps, np.s_[7::8]).mean()


def test_hue_turns_colours_about_their_luminance_and_leaves_greys():
    red = np.array([150, 90, 90])
    light = luminance(red)
    wall = np.full((1, 8, 8, 3), red, np.uint8)
    for degrees in (40, 120, 180):
        assert luminance(degrade(wall, "hue", degrees)) == pytest.approx(light, abs=1)
    assert degrade(wall, "hue", 120)[0, 0, 0].argmax() != 0
    assert degrade(wall, "hue", 180)[0, 0, 0] == pytest.approx(2 * light - red, abs=1)
    grey = np.full((1, 8, 8, 3), 77, np.uint8)
    assert (degrade(grey, "hue", 160) == grey).all()


@pytest.mark.parametrize("side", [64, 128])
def test_shift_is_a_share_of_the_side_and_mirrors_what_comes_in(side):
    images = pictures(2, size=side)
    moved, pixels = degrade(images, "shift", 1 / 16), side // 16
    assert (moved[:, pixels:, pixels:] == images[:, :-pixels, :-pixels]).all()
    assert (moved[:, pixels:, :pixels] == images[:, :-pixels, pixels:0:-1]).all()


def test_what_cannot_be_meant_is_refused():
    with pytest.raises(UsageError, match="did you mean 'blur'"):
        degrade(IMAGES, "blurr", 1.0)
    with pytest.raises(UsageError, match=r"jpeg has strength 100: choose 0 to 99 \(100 less"):
        degrade(IMAGES, "jpeg", 100)
    with pytest.raises(UsageError, match="blur has strength -1"):
        degrade(IMAGES, "blur", -1)
    with pytest.raises(UsageError, match="shift has strength nan"):
        degrade(IMAGES, "shift", np.nan)
    with pytest.raises(MetricError, match=r"\(4, 64, 64, 3\) float64: pass stored images"):
        degrade(IMAGES / 255, "noise", 0.1)
    with pytest.raises(MetricError, match=r"\(64, 64, 3\)"):
        degrade(IMAGES[0], "noise", 0.1)


def test_the_ladder_of_pairs_is_part_of_all_kinds():
    assert set(LADDER) < set(KINDS) and all(LADDER[kind] == KINDS[kind] for kind in LADDER)
