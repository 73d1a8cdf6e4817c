"""Generators that copy, repeat or betray their teachers are flagged, honest ones are not."""

import numpy as np
import pytest
from test_metrics import pictures

from nbhelpers import audit
from nbhelpers.audit import Auditor, membership, repeats
from nbhelpers.degradation import degrade
from nbhelpers.detectors import PIXELS, Witnesses
from nbhelpers.errors import MetricError
from nbhelpers.neighbours import dihedral_views, distances, typical

TRAINING, HELD_OUT, FRESH = pictures(120, 1), pictures(100, 2), pictures(60, 3)
WITNESSES = Witnesses.of(HELD_OUT, np.arange(100), 0)


@pytest.fixture(scope="module")
def auditor() -> Auditor:
    return Auditor(TRAINING, WITNESSES)


def test_a_memorising_generator_is_flagged(auditor):
    found = auditor(dihedral_views(TRAINING)[5][:50])
    assert "copies" in found.flags
    assert found.nn_ratio.value < 0.01 and found.copy_rates["pixel correlation"].value == 1
    assert found.copy_rates["perceptual hash"].value > 0.9


def test_a_noisy_memorising_generator_is_flagged(auditor):
    assert auditor(degrade(TRAINING[:50], "noise", 0.03)).flags == ["copies"]


def test_a_generator_that_copies_a_fifth_is_flagged(auditor):
    found = auditor(np.concatenate([TRAINING[:80], pictures(320, 6)]))
    rate = found.copy_rates["pixel correlation"]
    assert rate.low < 0.2 < rate.high and rate.floor <= 0.05
    assert found.flags == ["copies"]


def test_a_constant_generator_is_flagged(auditor):
    found = auditor(degrade(np.repeat(FRESH[:1], 50, 0), "noise", 0.01))
    assert found.flags == ["collapsed"] and found.spread.value < 0.1


def test_a_generator_of_few_pictures_repeats_itself_and_yet_is_spread(auditor):
    found = auditor(degrade(np.repeat(FRESH[:10], 6, 0), "noise", 0.01))
    assert found.spread.value > 0.7 and found.flags == ["few pictures"]
    assert found.repeat_rate.value == 1 and found.repeat_rate.floor == 0.01


def test_blurred_fresh_pictures_are_no_copies(auditor):
    found = auditor(degrade(FRESH, "blur", 4.0))
    assert found.nn_ratio.value < 1  # smooth pictures are nearer to everything
    assert "copies" not in found.flags


def test_fresh_pictures_are_not_flagged(auditor):
    found = auditor(FRESH)
    assert found.flags == [] and found.count == 60
    for one in (found.nn_ratio, found.spread):
        assert one.value == pytest.approx(1, abs=0.15)
        assert one.low < one.value < one.high and one.floor == 1
    assert found.repeat_rate.value < 0.1


def test_a_class_is_judged_by_its_own_photographs(auditor):
    mixed = np.concatenate([FRESH, TRAINING[:30]])
    found, everyone = auditor.search(mixed), np.arange(100)
    rows = {"fresh": np.arange(60), "copied": np.arange(60, 90)}
    flags = {name: auditor.judge(found, r, r, everyone).flags for name, r in rows.items()}
    assert flags == {"fresh": [], "copied": ["copies"]}


def test_a_class_whose_strangers_are_accused_is_not_flagged_for_as_much():
    rate = audit.Rate(0.12, 0.09, 0.16, 0.01, 0.03)
    assert rate.found
    assert not audit.Rate(0.12, 0.09, 0.16, 0.1, 0.25).found  # so are strangers of that class
    assert not audit.Rate(0.02, 0.01, 0.03, 0.0, 0.0).found  # little


def test_the_same_seed_says_the_same(auditor):
    assert auditor(FRESH, seed=2) == auditor(FRESH, seed=2)
    assert auditor(FRESH, seed=2).spread != auditor(FRESH, seed=3).spread


def test_an_audit_needs_ten_images_of_each(auditor):
    with pytest.raises(MetricError, match="9 generated images and 100 unseen"):
        auditor(FRESH[:9])
    with pytest.raises(MetricError, match="60 generated images and 4 unseen"):
        auditor.judge(auditor.search(FRESH), np.arange(60), np.arange(60), np.arange(4))
    with pytest.raises(MetricError, match="0 queries"):
        auditor(FRESH[:0])


def test_repeats_by_hand():
    apart = np.array([[0, 0.1, 5, 5], [0.1, 0, 5, 5], [5, 5, 0, 2], [5, 5, 2, 0.0]])
    real = np.full((4, 4), 1.0) - np.eye(4)
    rows = np.arange(4)
    assert repeats(apart, rows, real, rows, 0) == 0.5  # two of the four have a twin within 1


def test_membership_finds_a_copier_and_not_an_honest_generator():
    copier = degrade(TRAINING, "noise", 0.05)
    value, low, _ = membership(copier, TRAINING, HELD_OUT)
    assert value > 0.99 and low > 0.95
    value, low, high = membership(FRESH, TRAINING, HELD_OUT)
    assert low < 0.5 < high and low < value < high


def test_distances_are_symmetric_and_zero_to_oneself():
    found = distances(FRESH[:12], PIXELS.describe)
    assert np.allclose(found, found.T, atol=1e-6) and np.allclose(np.diag(found), 0, atol=1e-5)
    assert typical(found[:2, :2]) == pytest.approx(found[0, 1], abs=1e-6)
