"""Judges of a translation: right where the answer is known beforehand, and not to be fooled."""

import numpy as np
import pytest
import torch
from test_metrics import pictures
from torch import nn

from nbhelpers import translation
from nbhelpers.appearance import colour_distance
from nbhelpers.errors import MetricError, UsageError
from nbhelpers.metrics import METRICS
from nbhelpers.neighbours import dihedral_views
from nbhelpers.paired import PAIRED, score
from nbhelpers.translation import (
    against_truth,
    blurred,
    consistency,
    consistency_table,
    diversity,
    nearest_in_any_view,
    stain_distance,
    stains,
)

TRAINING, TRUTH = pictures(24, 1), pictures(8, 2)


class Brightness(nn.Module):
    """A segmenter that is known: class 0 is black, 1 is grey, 2 is white."""

    def __init__(self):
        super().__init__()
        self.levels = nn.Parameter(torch.tensor([-1.0, 0.0, 1.0])[:, None, None])

    def forward(self, image):
        return -(image[:, :1] - self.levels).abs()


def halves(count: int) -> np.ndarray:
    """Masks (count, 8, 8): left half of class 1 in the first half of them, right half of class 2 in
    the others."""
    masks = np.zeros((count, 8, 8), np.uint8)
    masks[: count // 2, :, :4], masks[count // 2 :, :, 4:] = 1, 2
    return masks


def drawn(masks: np.ndarray) -> np.ndarray:
    return np.repeat(np.array([0, 128, 255], np.uint8)[masks][..., None], 3, -1)


def test_an_image_of_its_mask_is_consistent_and_one_of_another_is_not():
    masks = halves(4)
    assert consistency(Brightness(), drawn(masks), masks, 3) == 1
    assert consistency(Brightness(), drawn(masks[::-1]), masks, 3) == 0


def test_the_table_sets_generated_images_beside_the_ceiling_and_chance():
    masks = halves(4)
    made, real = drawn(masks), drawn(masks)
    made[0, :4, :4] = 0  # of class 1, 48 of 64 pixels are left: 2 * 48 / (48 + 64)
    real[3, :4, 4:] = 0  # of class 2
    table = consistency_table(Brightness(), made, real, masks, ["ground", "grey", "white"])
    assert table.columns.tolist() == ["class", "generated", "real", "ratio", "chance"]
    assert table["class"].tolist() == ["grey", "white", "mean"]
    part = 2 * 48 / (48 + 64)
    assert table["generated"].tolist() == pytest.approx([part, 1, (part + 1) / 2])
    assert table["real"].tolist() == pytest.approx([1, part, (part + 1) / 2])
    assert table["ratio"].tolist() == pytest.approx([part, 1 / part, 1])
    assert table["chance"].tolist() == [0, 0, 0]


def test_chance_is_of_real_images_and_not_of_generated_ones():
    masks = halves(4)
    table = consistency_table(
        Brightness(), drawn(masks[::-1]), drawn(masks), masks, ["ground", "grey", "white"]
    )
    assert table.iloc[-1].tolist() == ["mean", 0, 1, 0, 0]


@pytest.fixture(scope="module")
def table():
    made = (TRUTH.astype(int) + 10).clip(0, 255).astype(np.uint8)
    return against_truth(TRUTH, made, TRAINING, seed=0)


def test_every_measure_meets_every_candidate(table):
    columns = ["metric", "candidate", "value", "low", "high", "n", "better"]
    assert table.columns.tolist() == columns
    names = ["generated", "blurred truth", "nearest training image", "another photograph"]
    assert table["candidate"].tolist() == names * len(PAIRED)
    assert table["better"].tolist() == [METRICS[m].better for m in table["metric"]]
    assert (table["n"] == 8).all()
    assert (table["low"] <= table["value"]).all() and (table["value"] <= table["high"]).all()
    assert (table["low"] < table["high"]).all()


@pytest.mark.parametrize("metric", PAIRED)
def test_a_brighter_truth_is_nearer_than_an_unrelated_photograph(table, metric):
    value = table[table["metric"] == metric].set_index("candidate")["value"]
    gain = value["generated"] - value["another photograph"]
    assert gain > 0 if METRICS[metric].better == "higher" else gain < 0


def test_values_are_those_of_the_measures(table):
    row = table[(table["metric"] == "ssim") & (table["candidate"] == "blurred truth")].iloc[0]
    wanted = score("ssim", TRUTH, blurred(TRUTH, 2.0))  # 64 px / 32
    assert row["value"] == pytest.approx(wanted.mean())


def test_the_truth_itself_is_100_db_and_ideal():
    table = against_truth(TRUTH, TRUTH, TRAINING, seed=0)
    value = table[table["candidate"] == "generated"].set_index("metric")
    assert value.loc["psnr", ["value", "low", "high"]].tolist() == [100, 100, 100]
    for name in set(PAIRED) - {"psnr"}:
        assert value.loc[name, "value"] == pytest.approx(METRICS[name].identical, abs=1e-4)


def test_the_seed_decides_the_other_photograph():
    first, again, other = (against_truth(TRUTH, TRUTH, TRAINING, seed) for seed in (1, 1, 2))
    assert first.equals(again) and not first.equals(other)


@pytest.mark.parametrize("view", range(8))
def test_the_nearest_training_image_is_turned_to_its_query(view):
    queries = dihedral_views(TRAINING)[view][[3, 17]]
    assert (nearest_in_any_view(TRAINING, queries) == queries).all()


def test_sides_that_do_not_fit_are_refused():
    with pytest.raises(MetricError, match="an image for each photograph, all of one size"):
        against_truth(TRUTH, TRUTH[:3], TRAINING, 0)
    with pytest.raises(MetricError, match=r"\(24, 32, 32, 3\)"):
        against_truth(TRUTH, TRUTH, TRAINING[:, :32, :32], 0)


def test_blur_keeps_a_flat_picture_and_spreads_a_point():
    flat = np.full((1, 16, 16, 3), 90, np.uint8)
    assert (blurred(flat, 2.0) == flat).all()
    point = np.zeros((1, 17, 17, 3), np.uint8)
    point[0, 8, 8] = 255
    middle = 255 / (2 * np.pi * 4)  # of a Gaussian with sigma 2
    assert blurred(point, 2.0)[0, 8, 8, 0] == pytest.approx(middle, abs=1)
    assert (blurred(TRUTH, 0) == TRUTH).all()
    with pytest.raises(UsageError, match="sigma is -1"):
        blurred(flat, -1)


def test_diversity_of_known_draws():
    first = np.full((4, 64, 64, 3), 100, np.uint8)
    truth = first.copy()
    truth[2:] = 202  # photographs are compared with those half the set away
    found = diversity(first, first + np.uint8(51), truth)
    assert found["draws_differ"] == pytest.approx(0.2)
    assert found["photographs_differ"] == pytest.approx(0.4)
    assert found["draws_ssim"] < 1 and found["photographs_ssim"] < found["draws_ssim"]


def test_draws_that_ignore_their_dropout_differ_by_nothing():
    found = diversity(TRUTH, TRUTH, TRAINING)
    assert found["draws_differ"] == 0 and found["draws_ssim"] == pytest.approx(1)
    assert found["photographs_differ"] > 0.1 and found["photographs_ssim"] < 0.5
    with pytest.raises(MetricError, match="1 photographs: pass 2 at least"):
        diversity(TRUTH, TRUTH, TRAINING[:1])


def stained(haematoxylin: float, eosin: float, seed: int) -> np.ndarray:
    """Tissue (2, 64, 64, 3) that holds these amounts of the two stains on average."""
    amounts = np.random.default_rng(seed).uniform(-0.1, 0.1, (2, 64, 64, 2))
    amounts += np.array([haematoxylin, eosin])
    vectors = np.array([translation.HAEMATOXYLIN, translation.EOSIN])
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return (256 * 10 ** -(amounts @ vectors) - 1).round().astype(np.uint8)


def test_stains_are_found_again_and_glass_holds_none():
    assert stains(np.array([255, 255, 255], np.uint8)) == pytest.approx([0, 0, 0])
    found = stains(stained(0.5, 0.3, 0)).mean((0, 1, 2))
    assert found == pytest.approx([0.5, 0.3, 0], abs=3e-3)


def test_stain_distance_is_the_shift_of_one_stain_halved():
    pale = stained(0.4, 0.3, 0)
    assert stain_distance(pale, stained(0.6, 0.3, 0)) == pytest.approx(0.2 / 2, abs=3e-3)
    assert stain_distance(pale, stained(0.4, 0.5, 0)) == pytest.approx(0.2 / 2, abs=3e-3)
    assert stain_distance(pale, stained(0.6, 0.5, 0)) == pytest.approx(0.2, abs=3e-3)
    assert stain_distance(pale, stained(0.4, 0.3, 1)) < 0.01  # other tissue, the same stains


@pytest.mark.parametrize("distance", [stain_distance, colour_distance])
def test_a_set_has_no_distance_to_itself_in_whatever_order(distance):
    assert distance(TRAINING, TRAINING) == 0
    assert distance(TRAINING, TRAINING[::-1]) == pytest.approx(0, abs=1e-3)
    assert distance(TRAINING, TRUTH) == distance(TRUTH, TRAINING) > 0
    with pytest.raises(MetricError, match="stored images"):
        distance(TRAINING, TRUTH / 255)


def test_a_large_set_is_looked_at_evenly(monkeypatch):
    striped = np.zeros((4, 64, 64, 3), np.uint8)
    striped[:, :, ::4] = 200  # a step of 4 would see these columns only
    whole = translation._pixels(striped)
    monkeypatch.setattr(translation, "PIXELS", 4096)
    some = translation._pixels(striped)
    assert len(some) < len(whole) / 3
    assert some.mean() == pytest.approx(whole.mean(), rel=0.01)
