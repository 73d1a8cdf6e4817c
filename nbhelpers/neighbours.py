"""The nearest images, over the eight views that mean the same lesion.

What nearness is depends on the description: pixels of a thumbnail, a perceptual hash, or an
encoder's features. The distance is 1 - cosine of two descriptions, whatever they are.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import reduce

import numpy as np
from PIL import Image
from scipy.fft import dctn

from .errors import MetricError
from .images import LUMINANCE, turned

THUMBNAIL = 32  # pixels a side
HASH = 8  # lowest frequencies a side that the hash keeps
TENTH = 10
BLOCK = 256

Describe = Callable[[np.ndarray], np.ndarray]


def dihedral_views(images: np.ndarray) -> list[np.ndarray]:
    """The eight turns and mirrorings of images (N, S, S, 3); the first is the images themselves."""
    return [turned(images, view) for view in range(8)]


def thumbnails(images: np.ndarray, side: int = THUMBNAIL) -> np.ndarray:
    """Pixels of colour thumbnails of `side` pixels, of 32 as float32 (N, 3072), each of mean 0:
    their cosine is the pixel correlation.
    """
    flat = small(images, side).reshape(len(images), -1)
    return flat - flat.mean(1, keepdims=True)


def perceptual_hash(images: np.ndarray) -> np.ndarray:
    """The signs, +1 or -1 as float32 (N, 63), of the lowest frequencies of a grey thumbnail, above
    or below their median (pHash: Zauner 2010). Their cosine is 1 - 2 h / 63 at Hamming distance h.
    """
    waves = dctn(small(images, THUMBNAIL) @ LUMINANCE, axes=(1, 2))[:, :HASH, :HASH]
    low = waves.reshape(len(images), -1)[:, 1:]  # without the mean brightness
    return np.where(low > np.median(low, 1, keepdims=True), 1, -1).astype(np.float32)


def small(images: np.ndarray, side: int = THUMBNAIL) -> np.ndarray:
    """Means of blocks, float32 (N, side, side, 3), of images (N, S, S, 3); where blocks do not fit,
    Pillow's of uint8. They may be turned in place of the images: thumbnails of them are the same.
    """
    times = images.shape[1] // side
    if images.shape[1] == times * side:
        rows = sum(images[:, k::times].astype(np.float32) for k in range(times))
        return sum(rows[:, :, k::times] for k in range(times)) / np.float32(times**2)
    size, box = (side, side), Image.Resampling.BOX
    each = [Image.fromarray(np.ascontiguousarray(image)).resize(size, box) for image in images]
    return np.stack([np.asarray(image) for image in each]).astype(np.float32)


def unit(vectors: np.ndarray) -> np.ndarray:
    """Vectors (N, d) at length 1. An empty one has no direction: its cosine with any is 0."""
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)


@dataclass(frozen=True)
class Neighbours:
    """What was found for each query; distances are 1 - cosine, at most 2."""

    index: np.ndarray  # int64 (Q,), the nearest known image
    distance: np.ndarray  # float32 (Q,), how far it is
    relative: np.ndarray  # float32 (Q,), that over the distance of the tenth nearest

    @staticmethod
    def of(cosine: np.ndarray) -> "Neighbours":
        """The neighbours that cosines (Q, N) of queries with known images tell of."""
        distance = np.maximum(0, 1 - cosine)
        place = min(TENTH, distance.shape[1]) - 1
        far = np.partition(distance, place, 1)[:, place]
        near = distance.min(1)
        return Neighbours(distance.argmin(1), near, near / np.maximum(far, 1e-12))


class Known:
    """Images described once, to be asked for the nearest ones again and again.

    Either the queries are turned (pixels: cheap to describe, large to keep) or, with
    `stored_views`, the known images are (an encoder: the other way round). `shrink` is what may be
    done to images once, before they are turned.
    """

    def __init__(
        self,
        images: np.ndarray,
        describe: Describe = thumbnails,
        query_views: int = 8,
        stored_views: int = 1,
        shrink: Describe = np.asarray,
    ):
        if len(images) == 0:
            raise MetricError("0 training images: there is nothing to be near to.")
        self.describe, self.shrink, self.query_views = describe, shrink, query_views
        views = dihedral_views(shrink(images))[:stored_views]
        self.units = [unit(describe(view)) for view in views]

    def cosines(self, queries: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
        """Block by block the rows of `queries` uint8 (Q, S, S, 3) and their largest cosines over
        all views, float32 (rows, N)."""
        if len(queries) == 0:
            raise MetricError("0 queries: pass at least one image.")
        views = dihedral_views(self.shrink(queries))[: self.query_views]
        asked = [unit(self.describe(view)) for view in views]
        for start in range(0, len(queries), BLOCK):
            rows = slice(start, start + BLOCK)
            found = (view[rows] @ known.T for view in asked for known in self.units)
            yield rows, reduce(np.maximum, found)

    def nearest(self, queries: np.ndarray, among: int | None = None) -> Neighbours:
        """The nearest of the (first `among`) known images to queries uint8 (Q, S, S, 3)."""
        found = [Neighbours.of(cosine[:, :among]) for _, cosine in self.cosines(queries)]
        fields = ("index", "distance", "relative")
        return Neighbours(*(np.concatenate([getattr(f, name) for f in found]) for name in fields))


def nearest(
    training: np.ndarray, queries: np.ndarray, describe: Describe = thumbnails, views: int = 8
) -> tuple[np.ndarray, np.ndarray]:
    """For each query its nearest training image: index int64 (Q,) and distance float32 (Q,), 0 for
    a copy in any view.

    Distance is 1 - cosine of `describe(images)`, at most 2: of 32 x 32 pixels by default, or of an
    encoder's features. Images are uint8 (N, S, S, 3).
    """
    found = Known(training, describe, views).nearest(queries)
    return found.index, found.distance


def distances(images: np.ndarray, describe: Describe = thumbnails) -> np.ndarray:
    """Distance of every two images of a set in one view, float32 (N, N)."""
    described = unit(describe(images))
    empty = ~described.any(1)  # without a direction, and yet one picture over and over
    return np.where(empty[:, None] & empty, 0, np.maximum(0, 1 - described @ described.T))


def typical_distance(images: np.ndarray, describe: Describe = thumbnails) -> float:
    """Median distance of two different images of a set, in the measure of `nearest`, one view."""
    return typical(distances(images, describe))


def typical(apart: np.ndarray) -> float:
    """Median distance of two different images, of a distance matrix (N, N)."""
    return float(np.median(apart[np.triu_indices(len(apart), 1)]))


def spread(made: np.ndarray, usual: float) -> float:
    """Typical distance of two generated images over that of two photographs (`usual`): 1 is as
    varied, 0 is one picture; very large where the photographs are one picture."""
    return typical_distance(made) / max(usual, 1e-12)
