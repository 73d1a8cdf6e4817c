"""Images made worse on purpose, step by step: five kinds of damage, five growing strengths each."""

import io
from collections.abc import Callable

import numpy as np
from PIL import Image
from scipy import ndimage

from .errors import MetricError, UsageError, one_of

LADDER = {
    "blur": (0.5, 1.0, 1.5, 2.5, 4.0),
    "noise": (0.02, 0.05, 0.1, 0.2, 0.4),
    "jpeg": (20, 50, 70, 85, 95),
}  # every measure of `paired.PAIRED` follows these step by step, on photographs of skin
KINDS = LADDER | {
    "hue": (10, 20, 40, 80, 160),
    "shift": (1 / 64, 1 / 32, 1 / 16, 1 / 8, 1 / 4),
}
UNITS = {"blur": "pixels", "noise": "share of the range", "jpeg": "100 less the quality",
         "hue": "degrees", "shift": "share of the side"}  # fmt: skip
MOST = {"blur": np.inf, "noise": np.inf, "jpeg": 99, "hue": 180, "shift": 0.5}
# Luminance, and the two colour differences of NTSC television: a turn of those two is one of hue
YIQ = np.array([[0.299, 0.587, 0.114], [0.5959, -0.2746, -0.3213], [0.2115, -0.5227, 0.3112]])


def degrade(images: np.ndarray, kind: str, strength: float, seed: int = 0) -> np.ndarray:
    """Stored images uint8 (N, S, S, 3) made worse: Gaussian "blur" of `strength` pixels, Gaussian
    "noise" of that share of the range, "jpeg" of quality 100 - `strength`, "hue" turned by that
    many degrees at the same luminance, "shift" to the right and down by that share of the side.

    The strengths of `KINDS` are five clear steps at 64 and at 128 pixels a side, where a blur in
    pixels and JPEG's blocks of 8 are half as coarse. A shift is rounded to whole pixels, and what
    comes in is the image mirrored. `seed` decides the noise. UsageError for an unknown kind and a
    strength outside 0 to `MOST`, MetricError for images of another form.
    """
    damage = DAMAGES[one_of("degradation", kind, DAMAGES)]
    if not 0 <= strength <= MOST[kind]:
        raise UsageError(
            f"{kind} has strength {strength}: choose 0 to {MOST[kind]} ({UNITS[kind]})."
        )
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[-1] != 3:
        raise MetricError(
            f"images are {images.shape} {images.dtype}: pass stored images uint8 (N, S, S, 3)."
        )
    return damage(images, strength, seed)


def _blur(images: np.ndarray, sigma: float, seed: int) -> np.ndarray:
    return _stored(ndimage.gaussian_filter(images.astype(np.float32), (0, sigma, sigma, 0)))


def _noise(images: np.ndarray, share: float, seed: int) -> np.ndarray:
    random = np.random.default_rng(seed).standard_normal(images.shape, np.float32)
    return _stored(images + 255 * np.float32(share) * random)


def _jpeg(images: np.ndarray, strength: float, seed: int) -> np.ndarray:
    read = [_through_jpeg(image, round(100 - strength)) for image in images]
    return np.array(read, np.uint8).reshape(images.shape)


def _through_jpeg(image: np.ndarray, quality: int) -> np.ndarray:
    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=quality)
    return np.asarray(Image.open(file))


def _hue(images: np.ndarray, degrees: float, seed: int) -> np.ndarray:
    cos, sin = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    turn = np.array([[1, 0, 0], [0, cos, -sin], [0, sin, cos]])
    return _stored(images @ (np.linalg.inv(YIQ) @ turn @ YIQ).T.astype(np.float32))


def _shift(images: np.ndarray, share: float, seed: int) -> np.ndarray:
    side = images.shape[1]
    source = np.abs(np.arange(side) - round(share * side))
    return images[:, source][:, :, source]


def _stored(values: np.ndarray) -> np.ndarray:
    return values.round().clip(0, 255).astype(np.uint8)


Damage = Callable[[np.ndarray, float, int], np.ndarray]
DAMAGES: dict[str, Damage] = {
    "blur": _blur, "noise": _noise, "jpeg": _jpeg, "hue": _hue, "shift": _shift,
}  # fmt: skip
