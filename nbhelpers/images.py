"""The three ranges an image lives in, and the only places where it moves between them.

stored   uint8   (N, S, S, 3)  0..255     files, numpy, figures
network  float32 (N, 3, S, S)  [-1, 1]    generators, discriminators, classifiers
unit     float32 (N, 3, S, S)  [0, 1]     metrics
"""

import numpy as np
import torch

from .errors import MetricError

LUMINANCE = np.array([0.299, 0.587, 0.114], np.float32)  # of red, green and blue (BT.601)


def to_network(images: np.ndarray | torch.Tensor) -> torch.Tensor:
    """Stored images as network input in [-1, 1]."""
    return _as_stored(images).permute(0, 3, 1, 2).float().div_(127.5).sub_(1.0)


def to_unit(images: np.ndarray | torch.Tensor) -> torch.Tensor:
    """Stored images as metric input in [0, 1]."""
    return _as_stored(images).permute(0, 3, 1, 2).float().div_(255.0)


def to_uint8(images: torch.Tensor) -> np.ndarray:
    """Network output as stored images; values outside [-1, 1] are clipped."""
    stored = images.detach().float().add(1.0).mul(127.5).round().clamp(0, 255)
    return stored.to(torch.uint8).permute(0, 2, 3, 1).contiguous().cpu().numpy()


def turned(images: np.ndarray, view: int) -> np.ndarray:
    """Images or masks (N, S, S, ...) in one of their 8 flips and quarter turns; view 0 is
    themselves."""
    turned = np.rot90(images, view % 4, axes=(1, 2))
    return turned[:, :, ::-1] if view >= 4 else turned


def _as_stored(images: np.ndarray | torch.Tensor) -> torch.Tensor:
    # np.array copies: a memory-mapped, read-only array must not become a writable tensor
    tensor = images if isinstance(images, torch.Tensor) else torch.from_numpy(np.array(images))
    if tensor.dtype != torch.uint8 or tensor.ndim != 4 or tensor.shape[-1] != 3:
        raise MetricError(
            f"images are {tuple(tensor.shape)} {tensor.dtype}: "
            "expected uint8 (N, S, S, 3) with values 0..255."
        )
    return tensor
