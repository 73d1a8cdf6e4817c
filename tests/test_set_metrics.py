"""Set measures against closed forms and references, and how far their intervals can be trusted."""

import warnings

import numpy as np
import piq
import pytest
import torch

from nbhelpers import metrics
from nbhelpers.errors import MetricError


def gaussian(count: int, mean: np.ndarray, root: np.ndarray, seed: int) -> np.ndarray:
    """Points (N, d) whose sample mean is `mean` and sample covariance root^T root, exactly."""
    raw = np.random.default_rng(seed).normal(size=(count, len(mean)))
    raw -= raw.mean(0)
    white = raw @ np.linalg.inv(np.linalg.cholesky(np.cov(raw.T))).T
    return white @ root + mean


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


@pytest.mark.parametrize("name", ["fid", "precision", "recall", "coverage"])
def test_set_measures_do_not_ask_for_the_order_of_images(name):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(40, 3)), rng.normal(0.4, 1, size=(40, 3))
    measure = {"fid": metrics.fid}.get(name, lambda a, b: metrics.neighbourhood(a, b)[name])
    assert measure(x[::-1], rng.permutation(y)) == pytest.approx(measure(x, y), rel=1e-9)


def test_fid_grows_with_a_shift_as_its_square():
    x = np.random.default_rng(0).normal(size=(60, 5))
    found = [metrics.fid(x, x + step) for step in (0.0, 1.0, 2.0)]
    assert found == pytest.approx([0.0, 5.0, 20.0], abs=1e-9)


def test_fid_is_the_same_from_fewer_images_than_dimensions():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(30, 90)), rng.normal(0.2, 1.3, size=(25, 90))
    from scipy.linalg import sqrtm

    s1, s2 = np.cov(x.T), np.cov(y.T)
    root = sqrtm(sqrtm(s1).real @ s2 @ sqrtm(s1).real).real
    by_root = np.square(x.mean(0) - y.mean(0)).sum() + np.trace(s1 + s2 - 2 * root)
    assert metrics.fid(x, y) == pytest.approx(by_root, rel=1e-4)


def test_identical_sets_are_the_best_there_is():
    x = np.random.default_rng(0).normal(size=(80, 6))
    found = metrics.neighbourhood(x, x)
    assert [found[m] for m in ("precision", "recall", "coverage")] == [1.0, 1.0, 1.0]
    assert found["density"] > 1


def test_neighbourhood_by_hand():
    real, generated = np.array([[0.0], [1.0], [3.0]]), np.array([[0.4], [2.5], [9.0]])
    # with one neighbour the real balls are [-1, 1], [0, 2] and [1, 5]
    found = metrics.neighbourhood(real, generated, k=1)
    assert found["precision"] == pytest.approx(2 / 3)  # 9 lies in no ball
    assert found["density"] == pytest.approx(3 / 3)  # 0.4 lies in two, 2.5 in one
    assert found["coverage"] == pytest.approx(1.0)  # every ball holds a generated point
    # generated balls: 0.4 +- 2.1, 2.5 +- 2.1, 9 +- 6.5
    assert found["recall"] == pytest.approx(1.0)


def test_intervals_hold_the_truth_about_as_often_as_they_say():
    rng = np.random.default_rng(0)

    def both(x: np.ndarray, y: np.ndarray) -> dict[str, float]:
        return {"fid": metrics.fid(x, y), "recall": metrics.neighbourhood(x, y)["recall"]}

    def sample() -> tuple[np.ndarray, np.ndarray]:
        return rng.normal(size=(80, 3)), rng.normal(0.7, 0.8, size=(80, 3))

    drawn = [both(*sample()) for _ in range(300)]
    truth = {name: np.mean([one[name] for one in drawn]) for name in drawn[0]}
    hits = dict.fromkeys(truth, 0)
    for seed in range(60):
        found = metrics.intervals(both, *sample(), seed)
        for name, (low, high) in found.items():
            hits[name] += low <= truth[name] <= high
    assert min(hits.values()) > 0.85 * 60


def test_intervals_are_seeded_and_leave_the_global_state():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(40, 3)), rng.normal(1, 1, size=(40, 3))
    np.random.seed(1)
    before = np.random.get_state()[1].tolist()
    first = metrics.intervals(metrics.neighbourhood, x, y, 3)
    assert first == metrics.intervals(metrics.neighbourhood, x, y, 3)
    assert first != metrics.intervals(metrics.neighbourhood, x, y, 4)
    assert before == np.random.get_state()[1].tolist()
    assert all(0 <= low <= high for low, high in first.values())
