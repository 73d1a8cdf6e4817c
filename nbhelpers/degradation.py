"""Images made worse on purpose, step by step: the ladder that shows which way a measure points."""

import numpy as np
from scipy import ndimage

from .errors import one_of

LADDER = {
    "blur": (0.5, 1.0, 1.5, 2.5, 4.0),
    "noise": (0.02, 0.05, 0.1, 0.2, 0.4),
}  # pixels; share of the range


def degrade(images: np.ndarray, kind: str, strength: float, seed: int = 0) -> np.ndarray:
    """Stored images made worse: Gaussian "blur" of `strength` pixels, or Gaussian "noise" of that
    share of the range.
    """
    one_of("degradation", kind, LADDER)
    value = images.astype(np.float32)
    if kind == "blur":
        value = ndimage.gaussian_filter(value, (0, strength, strength, 0))
    else:
        value += (
            255 * strength * np.random.default_rng(seed).standard_normal(value.shape, np.float32)
        )
    return value.round().clip(0, 255).astype(np.uint8)
