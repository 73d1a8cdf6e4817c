"""Measures against values known beforehand, their directions, and what they refuse."""

import math
import warnings

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


def gaussian(count: int, mean: np.ndarray, root: np.ndarray, seed: int) -> np.ndarray:
    """Points (N, d) whose sample mean is `mean` and sample covariance root^T root, exactly."""
    raw = np.random.default_rng(seed).normal(size=(count, len(mean)))
    raw -= raw.mean(0)
    white = raw @ np.linalg.inv(np.linalg.cholesky(np.cov(raw.T))).T
    return white @ root + mean


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


def test_pair_interval_resamples_images_not_pairs():
    table = metrics.three_columns(pictures(8), pictures(8, 1), 2000, seed=0, measures=("psnr",))
    real = table[table["column"] == "real-real"]
    mean, low, high = metrics.pair_interval(real, seed=0)
    naive = 2 * 1.96 * real["value"].std() / np.sqrt(len(real))
    assert low < mean < high
    assert high - low > 3 * naive  # 8 images, however many pairs are made of them


def test_fid_of_identical_sets_is_zero_and_it_is_symmetric():
    x = np.random.default_rng(0).normal(size=(50, 80))
    y = np.random.default_rng(1).normal(0.3, 1.2, size=(40, 80))
    assert metrics.fid(x, x) == pytest.approx(0, abs=1e-9)
    assert metrics.fid(x, y) == pytest.approx(metrics.fid(y, x))


def test_fid_of_gaussians_in_closed_form():
    a, b = np.diag([1.0, 2.0, 3.0]), np.diag([2.0, 2.0, 1.0])
    x, y = gaussian(100, np.zeros(3), a, 0), gaussian(70, np.array([1.0, 2.0, 2.0]), b, 1)
    # commuting covariances: |m|^2 + sum (s1 - s2)^2
    assert metrics.fid(x, y) == pytest.approx(9 + 1 + 0 + 4)


def test_fid_agrees_with_piq_and_scipy():
    rng = np.random.default_rng(2)
    x, y = rng.normal(size=(200, 12)), rng.normal(size=(150, 12)) @ rng.normal(size=(12, 12))
    from scipy.linalg import sqrtm

    s1, s2 = np.cov(x.T), np.cov(y.T)
    shift = np.square(x.mean(0) - y.mean(0)).sum()
    by_root = shift + np.trace(s1 + s2 - 2 * sqrtm(s1 @ s2).real)
    assert metrics.fid(x, y) == pytest.approx(by_root, rel=1e-6)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        by_piq = float(piq.FID()(torch.from_numpy(x), torch.from_numpy(y)))
    assert metrics.fid(x, y) == pytest.approx(by_piq, rel=1e-3)


def test_small_n_is_warned_of():
    assert "2047" in metrics.fid_warning(2047) and metrics.fid_warning(2048) == ""


def test_mmd2_by_hand():
    x, y = np.array([[0.0], [1.0]]), np.array([[1.0], [2.0]])
    # kernels (ab + 1)^3: within x 1, within y 27; between 1, 1, 8, 27
    assert metrics.mmd2(x, y) == pytest.approx(1 + 27 - 2 * 37 / 4)


def test_mmd2_is_unbiased():
    rng = np.random.default_rng(0)
    values = [metrics.mmd2(rng.normal(size=(10, 4)), rng.normal(size=(10, 4))) for _ in range(2000)]
    assert abs(np.mean(values)) < 4 * np.std(values) / np.sqrt(len(values))
    assert min(values) < 0


def test_kid_is_seeded_and_leaves_the_global_state():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(60, 8)), rng.normal(0.5, 1, size=(45, 8))
    np.random.seed(1)
    torch.manual_seed(1)
    before = np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()
    first = metrics.kid(x, y, seed=5)
    assert before == (np.random.get_state()[1].tolist(), torch.get_rng_state().tolist())
    assert metrics.kid(x, y, seed=5) == first != metrics.kid(x, y, seed=6)


def test_kid_interval_holds_the_truth_about_as_often_as_it_says():
    rng = np.random.default_rng(0)
    big = rng.normal(size=(4000, 4)), rng.normal(0.6, 1, size=(4000, 4))
    truth, hits = 1000 * metrics.mmd2(*big), 0
    for seed in range(60):
        x, y = (side[rng.choice(4000, 60, False)] for side in big)
        _, low, high = metrics.kid(x, y, seed, draws=50)
        hits += low <= truth <= high
    assert 0.8 < hits / 60 <= 1


@pytest.mark.parametrize("measure", [metrics.fid, metrics.mmd2, metrics.neighbourhood])
def test_set_measures_refuse_bad_features(measure):
    good = np.random.default_rng(0).normal(size=(20, 3))
    bad = good.copy()
    bad[3, 1] = np.nan
    for x, y, said in [
        (bad, good, "NaN"),
        (good, good[:1], "at least"),
        (good, good[:, :2], "3 and 2 dimensions"),
        (good[:, 0], good, "expected"),
    ]:
        with pytest.raises(MetricError, match=said):
            measure(x, y)


def test_constant_features_and_unequal_n_are_defined():
    constant, other = np.ones((12, 3)), np.random.default_rng(0).normal(size=(30, 3))
    assert np.isfinite(metrics.fid(constant, other))
    assert np.isfinite(metrics.kid(constant, other, 0)).all()
    assert metrics.fid(constant, constant) == 0
    assert np.isfinite(list(metrics.neighbourhood(constant, other).values())).all()


def test_neighbourhood_tells_fidelity_from_variety():
    rng = np.random.default_rng(0)
    real = rng.normal(size=(300, 2))
    same = metrics.neighbourhood(real, rng.normal(size=(300, 2)))
    centre = metrics.neighbourhood(real, rng.normal(0, 0.01, size=(300, 2)))
    far = metrics.neighbourhood(real, rng.normal(50, 1, size=(300, 2)))
    assert min(same["precision"], same["recall"], same["coverage"]) > 0.85
    assert same["density"] == pytest.approx(1, abs=0.2)
    assert centre["precision"] == 1 and centre["recall"] < 0.05 and centre["coverage"] < 0.2
    assert set(far.values()) == {0.0}


def test_neighbourhood_needs_more_images_than_neighbours():
    few = np.random.default_rng(0).normal(size=(5, 2))
    with pytest.raises(MetricError, match="at least 6"):
        metrics.neighbourhood(few, few)


def test_degrade_is_seeded_and_names_its_kinds():
    images = pictures(2)
    assert (degrade(images, "noise", 0.1, 1) == degrade(images, "noise", 0.1, 1)).all()
    assert (degrade(images, "noise", 0.1, 1) != degrade(images, "noise", 0.1, 2)).any()
    with pytest.raises(UsageError, match="blur"):
        degrade(images, "blurr", 1.0)
