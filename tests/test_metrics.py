"""Measures against values known beforehand, their directions, and what they refuse."""

import math

import numpy as np
import piq
import pytest
import torch

from nbhelpers import metrics
from nbhelpers.degradation import LADDER, degrade
from nbhelpers.errors import MetricError, UsageError
from nbhelpers.images import to_unit


def pictures(count: int, seed: int = 0, size: int = 64) -> np.ndarray:
    """Smooth random pictures uint8 (N, size, size, 3): broad blobs with finer ones upon them."""
    rng = np.random.default_rng(seed)
    value = np.zeros((count, size, size, 3))
    for cells, weight in ((4, 60), (16, 25)):
        coarse = rng.normal(0, weight, (count, cells, cells, 3))
        value += np.kron(coarse, np.ones((1, size // cells, size // cells, 1)))
    return degrade((value + 128).clip(0, 255).astype(np.uint8), "blur", 1.0)


@pytest.mark.parametrize("name", metrics.PAIRED)
def test_identical_images_score_what_the_table_says(name):
    images = to_unit(pictures(3))
    value = metrics.PAIRED[name](images, images)
    assert value.shape == (3,)
    assert value.tolist() == pytest.approx([metrics.METRICS[name].identical] * 3, abs=1e-4)


@pytest.mark.parametrize("kind", LADDER)
@pytest.mark.parametrize("name", metrics.PAIRED)
def test_printed_direction_agrees_with_the_ladder(name, kind):
    images = pictures(8)
    steps = [metrics.score(name, images, degrade(images, kind, s)).mean() for s in LADDER[kind]]
    better = metrics.METRICS[name].better
    worse = np.diff(steps) < 0 if better == "higher" else np.diff(steps) > 0
    assert worse.all(), (better, steps)


def test_psnr_of_a_known_shift():
    dark = torch.full((2, 3, 64, 64), 0.2)
    assert metrics.psnr(dark, dark + 0.1).tolist() == pytest.approx([20.0, 20.0], abs=1e-3)


def test_ssim_equals_piq():
    x, y = to_unit(pictures(4)), to_unit(pictures(4, seed=1))
    wanted = piq.ssim(x, y, data_range=1.0, reduction="none")
    assert torch.allclose(metrics.ssim(x, y), wanted, atol=1e-4)


@pytest.mark.parametrize("name", metrics.PAIRED)
def test_paired_measures_refuse_what_they_are_not_defined_for(name):
    images = to_unit(pictures(2))
    measure = metrics.PAIRED[name]
    bad = images.clone()
    bad[0, 0, 0, 0] = math.nan
    for x, y, said in [
        (images * 2 - 1, images, r"outside \[0, 1\]"),
        (images, bad, r"outside \[0, 1\]"),
        ((images * 255).to(torch.uint8), images, "uint8"),
        (images, to_unit(pictures(2, size=128)), "one size"),
        (images[:0], images[:0], "missing"),
    ]:
        with pytest.raises(MetricError, match=said):
            measure(x, y)


def test_ms_ssim_below_161_px_is_explained():
    with pytest.raises(MetricError, match=r"161 px.*64.*ms_gmsd"):
        metrics.ms_ssim(to_unit(pictures(1)), to_unit(pictures(1)))


def test_a_misspelt_measure_is_refused():
    with pytest.raises(UsageError, match="haarpsi"):
        metrics.score("haarpsy", pictures(1), pictures(1))


def test_pairs_keep_to_one_class_and_never_pair_an_image_with_itself():
    labels = np.array([0, 0, 1, 1, 1, 2])
    rng = np.random.default_rng(0)
    i, j = metrics.same_class_pairs(labels, None, np.array([0, 1]), 1000, rng)
    assert (labels[i] == labels[j]).all() and (i != j).all()
    assert np.bincount(labels[i]).tolist() == [500, 500]
    assert set(zip(i, j, strict=True)) >= {(0, 1), (1, 0), (2, 4), (4, 3)}


def test_three_columns_tell_a_collapsed_generator_from_real_images():
    real, one = pictures(12), np.repeat(pictures(1, seed=5), 12, 0)
    table = metrics.three_columns(real, one, 60, seed=3, measures=("ms_gmsd",))
    mean = table.groupby("column")["value"].mean()
    assert mean["generated-generated"] < 1e-3 < 0.05 < mean["real-real"]
    assert (table.groupby("column").size() == 60).all()
    again = metrics.three_columns(real, one, 60, seed=3, measures=("ms_gmsd",))
    assert table.equals(again)
    other = metrics.three_columns(real, one, 60, seed=4, measures=("ms_gmsd",))
    assert not table["value"].equals(other["value"])


def test_three_columns_need_a_common_class():
    real = pictures(4)
    with pytest.raises(MetricError, match="two real and two generated"):
        metrics.three_columns(real, real, 4, 0, np.array([0, 0, 1, 1]), np.array([2, 2, 0, 1]))


def test_pair_intervals_resample_images_not_pairs():
    table = metrics.three_columns(
        pictures(8), pictures(8, 1), 2000, seed=0, measures=("psnr", "ssim")
    )
    real = table[table["column"] == "real-real"]
    found = metrics.pair_intervals(real, seed=0)
    assert found.index.tolist() == ["psnr", "ssim"]
    for metric, (value, low, high) in found.iterrows():
        values = real.loc[real["metric"] == metric, "value"]
        assert low < value < high and value == pytest.approx(values.mean())
        naive = 2 * 1.96 * values.std() / np.sqrt(len(values))
        assert high - low > 3 * naive  # 8 images, however many pairs are made of them
