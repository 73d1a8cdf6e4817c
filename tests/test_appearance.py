"""Sharpness, colour and spectrum: right where the answer is known, and only about what they say."""

import numpy as np
import pytest
from scipy.stats import wasserstein_distance
from test_metrics import pictures

from nbhelpers import appearance
from nbhelpers.appearance import (
    NAMES,
    Look,
    colour_distance,
    compare,
    distances,
    interval,
    sharpness,
    spectrum,
    spectrum_distance,
)
from nbhelpers.degradation import degrade
from nbhelpers.errors import MetricError

REAL, OTHER = pictures(30, 1), degrade(pictures(20, 2), "blur", 1.0)


def grey(pattern: np.ndarray, count: int = 1) -> np.ndarray:
    """`count` images (count, S, S, 3) with this pattern (S, S) around the level 128."""
    value = (128 + pattern).round().clip(0, 255).astype(np.uint8)
    return np.repeat(np.repeat(value[None, ..., None], 3, -1), count, 0)


def chessboard(amplitude: float, side: int = 64) -> np.ndarray:
    return amplitude * (-1.0) ** np.add.outer(np.arange(side), np.arange(side))


def white(deviation: float, count: int = 40, side: int = 64) -> np.ndarray:
    noise = np.random.default_rng(0).normal(0, deviation, (count, side, side))
    return np.concatenate([grey(n) for n in noise])


def test_sharpness_of_a_chessboard_and_of_a_wall():
    assert sharpness(grey(np.zeros((16, 16)))).tolist() == [0]
    # four neighbours of the other sign: the Laplacian is 8 times as large as the pattern
    assert sharpness(grey(chessboard(10), 2)) == pytest.approx([10 * np.log10(6401)] * 2, abs=1e-4)
    ramp = np.add.outer(np.arange(16.0), 3 * np.arange(16))
    assert sharpness(grey(ramp))[0] < 1e-4  # a slope has no detail


def test_sharpness_is_lost_by_blur_and_faked_by_noise():
    soft, rough = degrade(REAL, "blur", 1.0), degrade(REAL, "noise", 0.1)
    assert (sharpness(soft) < sharpness(REAL)).all()
    assert (sharpness(rough) > sharpness(REAL)).all()


def test_twice_the_contrast_is_six_decibels():
    one, two = white(10), white(20)
    found = distances(one, two)
    assert found["sharpness"] == pytest.approx(6.02, abs=0.1)
    assert found["spectrum"] == pytest.approx(6.02, abs=0.1)


@pytest.mark.parametrize("side", [33, 64, 128])
def test_the_spectrum_of_white_noise_is_flat_at_its_variance(side):
    found = spectrum(white(10, side=side))
    assert found.shape == (side // 2,)
    # a mean of decibels is below the decibels of a mean, most where a circle has few frequencies
    assert found[4:] == pytest.approx(np.full(side // 2 - 4, 20), abs=0.8)


def test_the_spectrum_finds_waves_at_their_frequency():
    across = np.tile(40 * np.sin(2 * np.pi * 9 * np.arange(64) / 64), (64, 1))
    for pattern in (across, across.T):
        found = spectrum(grey(pattern))
        assert found.argmax() == 9 - 1
        assert found[8] > found[[3, 20]].max() + 40


def test_the_edges_of_an_image_are_no_fine_detail():
    ramp = np.tile(np.linspace(-100, 100, 64), (64, 1))
    assert spectrum(grey(ramp))[10:].max() < 3
    assert spectrum(grey(np.zeros((64, 64)))) == pytest.approx(np.full(32, -10.79), abs=0.01)


def test_colour_distance_of_a_known_shift():
    wall = np.full((3, 32, 32, 3), 100, np.uint8)
    redder = wall.copy()
    redder[..., 0] += 51
    assert colour_distance(wall, redder) == pytest.approx(0.2 / 3)
    half = wall.copy()
    half[:, :16] += 51  # half of the pixels, all colours
    assert colour_distance(wall, half) == pytest.approx(0.1)


def test_distances_are_those_of_wasserstein():
    found = distances(REAL, OTHER)
    assert tuple(found) == NAMES
    assert found["sharpness"] == pytest.approx(
        wasserstein_distance(sharpness(REAL), sharpness(OTHER))
    )
    pixels = [(a.ravel() / 255, b.ravel() / 255) for a, b in zip(REAL.T, OTHER.T, strict=True)]
    slow = np.mean([wasserstein_distance(a, b) for a, b in pixels])
    assert found["colour"] == pytest.approx(slow) == pytest.approx(colour_distance(REAL, OTHER))
    gap = spectrum(REAL) - spectrum(OTHER)
    assert found["spectrum"] == pytest.approx(np.sqrt((gap**2).mean()))
    assert spectrum_distance(REAL, OTHER) == found["spectrum"]


def test_a_set_has_no_distance_to_itself_in_whatever_order():
    assert set(distances(REAL, REAL).values()) == {0.0}
    assert distances(REAL, REAL[::-1]) == pytest.approx(dict.fromkeys(NAMES, 0), abs=1e-6)
    assert distances(REAL, np.concatenate([REAL, REAL])) == pytest.approx(
        dict.fromkeys(NAMES, 0), abs=1e-6
    )
    assert distances(REAL, OTHER) == pytest.approx(distances(OTHER[::-1], REAL))


def test_each_distance_sees_its_own_damage():
    upside_down = distances(REAL, REAL[:, ::-1])
    assert upside_down == pytest.approx(dict.fromkeys(NAMES, 0), abs=1e-3)
    brighter = distances(REAL.clip(0, 220), REAL.clip(0, 220) + 35)
    assert brighter == pytest.approx({"sharpness": 0, "colour": 35 / 255, "spectrum": 0}, abs=1e-3)
    blurred = distances(REAL, degrade(REAL, "blur", 1.5))
    assert blurred["colour"] < 0.05 and min(blurred["sharpness"], blurred["spectrum"]) > 3


def test_enlarged_pixels_deceive_colour_and_not_the_spectrum():
    doubled = REAL[:, ::2, ::2].repeat(2, 1).repeat(2, 2)
    found, halves = distances(REAL, doubled), distances(REAL[::2], REAL[1::2])
    assert found["colour"] < halves["colour"] and found["spectrum"] > 3 * halves["spectrum"]


def test_batches_change_nothing(monkeypatch):
    whole = Look.of(REAL)
    monkeypatch.setattr(appearance, "BATCH", 7)
    parts = Look.of(REAL)
    assert parts.colour.shape == (30, 3, 256) and parts.spectrum.shape == (30, 32)
    assert (parts.sharpness == whole.sharpness).all() and (parts.colour == whole.colour).all()
    assert parts.spectrum == pytest.approx(whole.spectrum, abs=1e-3)


def test_the_look_of_some_images_is_theirs():
    some, chosen = Look.of(REAL)[np.arange(5, 12)], Look.of(REAL[5:12])
    assert some.side == 64 and len(some.sharpness) == 7
    assert compare(some, chosen) == pytest.approx(dict.fromkeys(NAMES, 0), abs=1e-5)
    assert min(compare(some, Look.of(REAL[20:])).values()) > 1e-3


def test_intervals_hold_their_value_and_narrow_with_more_images():
    a, b = Look.of(REAL), Look.of(OTHER)
    few, value = interval(a, b, 0), compare(a, b)
    assert tuple(few) == NAMES
    assert all(0 <= few[name][0] < value[name] < few[name][1] for name in NAMES)
    assert interval(a, b, 0) == few != interval(a, b, 1)
    more = interval(Look.of(REAL.repeat(4, 0)), Look.of(OTHER.repeat(4, 0)), 0)
    for name in NAMES:
        width, narrow = few[name][1] - few[name][0], more[name][1] - more[name][0]
        assert narrow / width == pytest.approx(0.5, abs=0.12)


def test_intervals_of_alike_sets_reach_zero():
    look = Look.of(REAL)
    assert all(low == 0 and high > 0 for low, high in interval(look, look, 0).values())


def test_a_resample_is_the_set_with_images_repeated_or_left_out():
    times = np.random.default_rng(0).multinomial(30, np.full(30, 1 / 30))
    drawn = compare(Look.of(REAL.repeat(times, 0)), Look.of(OTHER))
    weights = times[None] / 30, np.full((1, 20), 1 / 20)
    found = appearance._weighted(Look.of(REAL), Look.of(OTHER), *weights)
    assert {name: value[0] for name, value in found.items()} == pytest.approx(drawn)


@pytest.mark.parametrize("measure", [sharpness, spectrum, Look.of])
def test_other_arrays_are_refused_by_name(measure):
    for images, said in [
        (REAL / 255, r"\(30, 64, 64, 3\) float64: pass stored images"),
        (REAL[0], r"\(64, 64, 3\) uint8: pass stored images"),
        (REAL[..., :1], r"\(30, 64, 64, 1\)"),
        (REAL[:0], r"\(0, 64, 64, 3\)"),
        (np.zeros(5, np.uint8), r"\(5,\)"),
        (REAL[:, :32], r"\(30, 32, 64, 3\): pass squares of 8 pixels"),
        (REAL[:, :4, :4], "squares of 8 pixels or more"),
    ]:
        with pytest.raises(MetricError, match=said):
            measure(images)


def test_two_sizes_are_refused():
    with pytest.raises(MetricError, match="images of 64 and 32 px"):
        distances(REAL, OTHER[:, :32, :32])
    with pytest.raises(MetricError, match="stored images"):
        colour_distance(REAL, OTHER / 255)
