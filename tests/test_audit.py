"""Copies are found in any view; generators that copy or repeat are flagged, honest ones are not."""

import numpy as np
import pytest
from test_metrics import pictures

from nbhelpers.audit import Auditor, dihedral_views, nearest, thumbnails, typical_distance
from nbhelpers.degradation import degrade
from nbhelpers.errors import MetricError

TRAINING, HELD_OUT, FRESH = pictures(120, 1), pictures(60, 2), pictures(60, 3)


@pytest.mark.parametrize("view", range(8))
def test_a_copy_is_found_in_every_view(view):
    copies = dihedral_views(TRAINING)[view][[7, 3, 99]]
    index, distance = nearest(TRAINING, copies)
    assert index.tolist() == [7, 3, 99]
    assert distance == pytest.approx(0, abs=1e-5)


def test_views_are_eight_different_ones_and_the_first_is_the_image():
    views = dihedral_views(TRAINING[:1])
    assert len({view.tobytes() for view in views}) == 8
    assert (views[0] == TRAINING[:1]).all()


def test_one_view_misses_a_turned_copy():
    turned = np.rot90(TRAINING[:5], axes=(1, 2))
    assert nearest(TRAINING, turned, views=1)[1].min() > 0.05
    assert nearest(TRAINING, turned)[1].max() < 1e-5


def test_distance_ignores_brightness_and_sees_other_pictures():
    dimmer = (TRAINING[:5] * 0.7).astype(np.uint8)
    assert nearest(TRAINING, dimmer)[1].max() < 0.01
    assert nearest(TRAINING, FRESH)[1].min() > 0.1


def test_distance_may_be_taken_between_features():
    index, distance = nearest(TRAINING, TRAINING[4:6], describe=lambda x: x.mean((1, 2)) - 128.0)
    assert index.tolist() == [4, 5] and distance.max() < 1e-5


def test_a_flat_picture_has_a_distance():
    flat = np.full((2, 64, 64, 3), 90, np.uint8)
    assert thumbnails(flat).shape == (2, 3072)
    assert nearest(TRAINING, flat)[1].tolist() == [1.0, 1.0]


def test_a_memorising_generator_is_flagged():
    found = Auditor(TRAINING, HELD_OUT)(dihedral_views(TRAINING)[5][:50])
    assert "copies" in found.flags
    assert found.nn_ratio < 0.01 and found.copy_rate == 1


def test_a_noisy_memorising_generator_is_flagged():
    noise = np.random.default_rng(0).normal(0, 8, TRAINING[:50].shape)
    noisy = (TRAINING[:50] + noise).clip(0, 255).astype(np.uint8)
    assert Auditor(TRAINING, HELD_OUT)(noisy).flags == ["copies"]


def test_a_constant_generator_is_flagged():
    noise = np.random.default_rng(0).normal(0, 3, (50, 64, 64, 3))
    constant = (FRESH[:1] + noise).clip(0, 255).astype(np.uint8)
    found = Auditor(TRAINING, HELD_OUT)(constant)
    assert found.flags == ["collapsed"] and found.spread < 0.1


def test_blurred_fresh_pictures_are_no_copies():
    found = Auditor(TRAINING, HELD_OUT)(degrade(FRESH, "blur", 4.0))
    assert found.nn_ratio < 1  # smooth pictures are nearer to everything
    assert "copies" not in found.flags


def test_fresh_pictures_are_not_flagged():
    found = Auditor(TRAINING, HELD_OUT)(FRESH)
    assert found.flags == []
    assert found.nn_ratio == pytest.approx(1, abs=0.15) and found.spread == pytest.approx(
        1, abs=0.15
    )


def test_an_audit_needs_images():
    with pytest.raises(MetricError, match="10 at least"):
        Auditor(TRAINING, HELD_OUT[:9])
    with pytest.raises(MetricError, match="2 at least"):
        Auditor(TRAINING, HELD_OUT)(FRESH[:1])
    with pytest.raises(MetricError, match="0 queries"):
        nearest(TRAINING, FRESH[:0])


def test_typical_distance_is_zero_for_one_picture_repeated():
    assert typical_distance(np.repeat(FRESH[:1], 5, 0)) == pytest.approx(0, abs=1e-5)
