"""Distances of two sets of images that need no network: how sharp they are, how they are coloured,
and how their detail is spread from coarse to fine.

Each is 0 for a set and itself, whatever its order, and the same in both directions. A GAN can
please an encoder and fail here: up-convolutions leave wrong amounts of the finest frequencies
(Durall et al. 2020, arXiv:2003.01826). A small distance alone proves little: images can have the
sharpness, the colours and the frequencies of photographs and show no lesion. Two sets of
photographs differ, too, and the more the fewer they are: read a distance beside theirs at one n.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.fft import fft2

from .errors import MetricError
from .images import LUMINANCE

NAMES = ("sharpness", "colour", "spectrum")
RESAMPLES = 400
BATCH = 256
LEAST = 8  # pixels a side
ROUNDING = 1 / 12  # levels^2, the variance that storing as uint8 adds: no power is below it


@dataclass(frozen=True)
class Look:
    """What is known of each image of a set: computed once, and compared with many sets."""

    side: int  # pixels
    sharpness: np.ndarray  # (N,) dB
    colour: np.ndarray  # float32 (N, 3, 256), share of the pixels at or below each level
    spectrum: np.ndarray  # (N, S // 2) dB

    @classmethod
    def of(cls, images: np.ndarray) -> "Look":
        """The look of stored images uint8 (N, S, S, 3). MetricError for anything else."""
        found = [_each(measure, images) for measure in (_sharpness, _colours, _spectra)]
        return cls(images.shape[1], *found)

    def __getitem__(self, rows: np.ndarray) -> "Look":
        """The look of some of the images."""
        return Look(self.side, self.sharpness[rows], self.colour[rows], self.spectrum[rows])


def sharpness(images: np.ndarray) -> np.ndarray:
    """Fine detail of each image uint8 (N, S, S, 3): 10 log10 of 1 + the variance of the Laplacian
    of its luminance, in dB over one level^2 (N,); 0 is flat, 3 more is twice the energy.

    Pech-Pacheco et al. 2000. Noise counts as detail.
    """
    return _each(_sharpness, images)


def spectrum(images: np.ndarray) -> np.ndarray:
    """Power (S // 2,) of the luminance at 1, 2, ... S // 2 cycles an image, the mean over images
    uint8 (N, S, S, 3) in dB over one level^2: white noise of variance v has 10 log10 v at each.

    Averaged around the circle of each frequency, as by Durall et al. 2020; here under a Hann
    window, since the step from one edge to the other would pass for fine detail.
    """
    return _each(_spectra, images).mean(0, np.float64)


def colour_distance(real: np.ndarray, other: np.ndarray) -> float:
    """Wasserstein-1 distance of the values that pixels of two sets uint8 (N, S, S, 3) have, the
    mean over red, green and blue in [0, 1]. Where in the image a colour is does not count.
    """
    a, b = (_each(_colours, images).mean(0, np.float64) for images in (real, other))
    return float(np.abs(a - b).sum() / 3 / 255)


def spectrum_distance(real: np.ndarray, other: np.ndarray) -> float:
    """Root mean square difference of `spectrum` over its frequencies, in dB."""
    return distances(real, other)["spectrum"]


def distances(real: np.ndarray, other: np.ndarray) -> dict[str, float]:
    """`compare` of two sets of stored images uint8 (N, S, S, 3), of one size S."""
    return compare(Look.of(real), Look.of(other))


def compare(a: Look, b: Look) -> dict[str, float]:
    """How different two sets look: "sharpness" in dB, the Wasserstein-1 distance of `sharpness`
    image by image; "colour" in [0, 1], see `colour_distance`; "spectrum" in dB, the root mean
    square difference over frequencies. MetricError for images of two sizes.
    """
    weights = (np.full((1, len(look.sharpness)), 1 / len(look.sharpness)) for look in (a, b))
    return {name: float(value[0]) for name, value in _weighted(a, b, *weights).items()}


def interval(
    a: Look, b: Look, seed: int, resamples: int = RESAMPLES
) -> dict[str, tuple[float, float]]:
    """95 % intervals (low, high) of `compare`, by a bootstrap of the images of both sets.

    They are of the distance to be expected of sets of these sizes. Resampled sets differ more than
    the sets themselves, so the resamples' spread about their own mean is laid around the distance;
    no interval begins below 0.
    """
    rng = np.random.default_rng(seed)
    sizes = [len(look.sharpness) for look in (a, b)]
    weights = [rng.multinomial(n, np.full(n, 1 / n), resamples) / n for n in sizes]
    value, drawn = compare(a, b), _weighted(a, b, *weights)
    found = {}
    for name in NAMES:
        low, high = np.percentile(drawn[name] - drawn[name].mean(), [2.5, 97.5])
        found[name] = (max(0.0, value[name] + float(low)), value[name] + float(high))
    return found


def _weighted(a: Look, b: Look, wa: np.ndarray, wb: np.ndarray) -> dict[str, np.ndarray]:
    """The distances (R,) under R weightings of the images: `wa` (R, N) and `wb` (R, M), rows of sum
    1."""
    if a.side != b.side:
        raise MetricError(f"images of {a.side} and {b.side} px: prepare both sides at one size.")
    values = np.concatenate([a.sharpness, b.sharpness])
    order = np.argsort(values, kind="stable")
    surplus = np.concatenate([wa, -wb], 1)[:, order].cumsum(1)[:, :-1]
    colour = (w @ look.colour.reshape(len(look.colour), -1) for w, look in ((wa, a), (wb, b)))
    spectrum = wa @ a.spectrum - wb @ b.spectrum
    return {
        "sharpness": np.abs(surplus) @ np.diff(values[order]),
        "colour": np.abs(np.subtract(*colour)).sum(1) / 3 / 255,
        "spectrum": np.sqrt((spectrum**2).mean(1)),
    }


def _each(measure: Callable[[np.ndarray], np.ndarray], images: np.ndarray) -> np.ndarray:
    """`measure` (N, ...) of all images, computed by batches."""
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[-1] != 3 or not images.size:
        raise MetricError(
            f"images are {images.shape} {images.dtype}: pass stored images uint8 (N, S, S, 3)."
        )
    if images.shape[1] != images.shape[2] or images.shape[1] < LEAST:
        raise MetricError(f"images are {images.shape}: pass squares of {LEAST} pixels or more.")
    return np.concatenate([measure(images[i : i + BATCH]) for i in range(0, len(images), BATCH)])


def _sharpness(images: np.ndarray) -> np.ndarray:
    y = images @ LUMINANCE
    across, down = y[:, 1:-1, :-2] + y[:, 1:-1, 2:], y[:, :-2, 1:-1] + y[:, 2:, 1:-1]
    return 10 * np.log10(1 + (across + down - 4 * y[:, 1:-1, 1:-1]).var((1, 2), np.float64))


def _colours(images: np.ndarray) -> np.ndarray:
    """Share of each image's pixels at or below each level, float32 (N, 3, 256)."""
    count, pixels = len(images), images.shape[1] * images.shape[2]
    image, channel = 768 * np.arange(count)[:, None, None], 256 * np.arange(3)
    place = images.reshape(count, pixels, 3) + channel + image
    counts = np.bincount(place.ravel(), minlength=768 * count).reshape(count, 3, 256)
    return (counts.cumsum(2) / pixels).astype(np.float32)


def _spectra(images: np.ndarray) -> np.ndarray:
    """Each image's power around the circles of 1, 2, ... S // 2 cycles, (N, S // 2) in dB."""
    y = images @ LUMINANCE
    window, circles = _circles(images.shape[1])
    power = np.abs(fft2((y - y.mean((1, 2), keepdims=True)) * window)) ** 2
    return 10 * np.log10(power.reshape(len(y), -1) @ circles + ROUNDING)


@lru_cache(maxsize=4)
def _circles(side: int) -> tuple[np.ndarray, np.ndarray]:
    """A Hann window (S, S) of energy 1, and the means (S * S, S // 2) around each frequency."""
    bell = np.sin(np.pi * (np.arange(side) + 0.5) / side) ** 2
    window = np.outer(bell, bell)
    k = np.fft.fftfreq(side, 1 / side)
    radius = np.hypot(k, k[:, None]).round().ravel()
    circles = radius[:, None] == np.arange(1, side // 2 + 1)
    window /= np.sqrt((window**2).sum())
    return window.astype(np.float32), (circles / circles.sum(0)).astype(np.float32)
