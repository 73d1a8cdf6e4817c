"""Measures of two images: image i of one batch against image i of the other.

They take unit tensors float32 (N, 3, S, S) in [0, 1] and return one value a pair, (N,). Which way
is better: `metrics.METRICS`.
"""

from collections.abc import Callable

import numpy as np
import piq
import torch
from torch import Tensor

from .errors import MetricError, one_of
from .images import to_unit

BATCH = 32  # pairs: 256 leave the cache of a core, and take 1.6 times as long


def psnr(x: Tensor, y: Tensor) -> Tensor:
    """Peak signal-to-noise ratio in dB (N,), infinite for identical images."""
    _check_pairs(x, y)
    error = (x - y).square().mean((1, 2, 3))
    return -10 * torch.log10(error)


def ssim(x: Tensor, y: Tensor) -> Tensor:
    """Structural similarity (N,), 1 for identical images. Wang et al. 2004: window 11, sigma 1.5, K
    = 0.01 and 0.03.
    """
    _check_pairs(x, y)
    size = x.shape[-1]
    offset = torch.arange(size)[None] - torch.arange(size - 10)[:, None] - 5.0
    window = torch.exp(-(offset**2) / 4.5) * (offset.abs() <= 5)
    window = (window / window.sum(1, keepdim=True)).to(x.device)  # (size - 10, size)
    moments = torch.cat([x, y, x * x, y * y, x * y])
    # the window is a product of rows and columns: two small matrices are faster than a convolution
    local = window @ moments @ window.T
    mx, my, xx, yy, xy = local.view(5, len(x), -1)
    light = (2 * mx * my + 1e-4) / (mx**2 + my**2 + 1e-4)
    structure = (2 * (xy - mx * my) + 9e-4) / (xx - mx**2 + yy - my**2 + 9e-4)
    return (light * structure).mean(1)


def ms_gmsd(x: Tensor, y: Tensor) -> Tensor:
    """Multi-scale gradient magnitude similarity deviation (N,), 0 for identical images. Zhang et
    al. 2017.
    """
    _check_pairs(x, y)
    return piq.multi_scale_gmsd(x, y, data_range=1.0, reduction="none")


def mdsi(x: Tensor, y: Tensor) -> Tensor:
    """Mean deviation similarity index (N,), 0 for identical images. Nafchi et al. 2016."""
    _check_pairs(x, y)
    return piq.mdsi(x, y, data_range=1.0, reduction="none")


def haarpsi(x: Tensor, y: Tensor) -> Tensor:
    """Haar wavelet perceptual similarity (N,), 1 for identical images. Reisenhofer et al. 2018."""
    _check_pairs(x, y)
    return piq.haarpsi(x, y, data_range=1.0, reduction="none")


def ms_ssim(x: Tensor, y: Tensor) -> Tensor:
    """Multi-scale SSIM (N,). MetricError below 161 px: five halvings leave less than its 11 px
    window.
    """
    _check_pairs(x, y)
    if x.shape[-1] < 161:
        raise MetricError(
            f"MS-SSIM needs 161 px and these images have {x.shape[-1]}: use ssim or ms_gmsd."
        )
    return piq.multi_scale_ssim(x, y, data_range=1.0, reduction="none")


PAIRED: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "psnr": psnr, "ssim": ssim, "ms_gmsd": ms_gmsd, "mdsi": mdsi, "haarpsi": haarpsi,
}  # fmt: skip


def _check_pairs(x: Tensor, y: Tensor) -> None:
    for image in (x, y):
        if image.dtype != torch.float32 or image.ndim != 4 or image.shape[1] != 3:
            raise MetricError(
                f"images are {tuple(image.shape)} {image.dtype}: expected float32 (N, 3, S, S), "
                "see images.to_unit."
            )
        if len(image) == 0 or not (image.min() >= 0 and image.max() <= 1):  # also false for NaN
            raise MetricError(
                "pixels are missing or outside [0, 1]: convert stored images with images.to_unit."
            )
    if x.shape != y.shape:
        raise MetricError(
            f"images of {tuple(x.shape)} and {tuple(y.shape)}: prepare both sides at one size."
        )


def score(metric: str, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """A paired measure (N,) of stored images uint8 (N, S, S, 3), computed by batches."""
    measure = PAIRED[one_of("metric", metric, PAIRED)]
    if len(x) != len(y):
        raise MetricError(
            f"{len(x)} and {len(y)} images: image i is compared with image i, pass equal numbers."
        )
    parts = [slice(i, i + BATCH) for i in range(0, len(x), BATCH)]
    return torch.cat([measure(to_unit(x[p]), to_unit(y[p])) for p in parts]).numpy()
