"""Is it a copy, is it one picture over and over? Nearest training neighbours, over the eight views
that mean the same lesion.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce

import numpy as np
from PIL import Image

from .errors import MetricError
from .images import turned

THUMBNAIL = 32  # pixels a side
FALSE_ALARMS = 0.01  # share of unseen photographs that the copy threshold would accuse
MANY_COPIES = 0.1
LITTLE_SPREAD = 0.4  # spread, as a share of the real one, under which a generator has collapsed
TENTH = 10
BLOCK = 256

Describe = Callable[[np.ndarray], np.ndarray]


def dihedral_views(images: np.ndarray) -> list[np.ndarray]:
    """The eight turns and mirrorings of images (N, S, S, 3); the first is the images themselves."""
    return [turned(images, view) for view in range(8)]


def thumbnails(images: np.ndarray) -> np.ndarray:
    """Pixels of 32 x 32 colour thumbnails as float32 (N, 3072), each of mean 0: their cosine is the
    pixel correlation.
    """
    size = (THUMBNAIL, THUMBNAIL)
    small = [
        np.asarray(Image.fromarray(np.ascontiguousarray(i)).resize(size, Image.Resampling.BOX))
        for i in images
    ]
    flat = np.stack(small).reshape(len(images), -1).astype(np.float32)
    return flat - flat.mean(1, keepdims=True)


def _unit(vectors: np.ndarray) -> np.ndarray:
    # an empty picture has no direction: its cosine with anything is 0
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
        tenth = np.partition(distance, min(TENTH, distance.shape[1]) - 1, 1)
        far = tenth[:, min(TENTH, distance.shape[1]) - 1]
        near = distance.min(1)
        return Neighbours(distance.argmin(1), near, near / np.maximum(far, 1e-12))


class Known:
    """Images described once, to be asked for the nearest ones again and again."""

    def __init__(self, images: np.ndarray, describe: Describe = thumbnails):
        if len(images) == 0:
            raise MetricError("0 training images: there is nothing to be near to.")
        self.unit, self.describe = _unit(describe(images)), describe

    def nearest(self, queries: np.ndarray, views: int = 8) -> Neighbours:
        """The nearest known images of queries uint8 (Q, S, S, 3), over `views` of the eight
        views."""
        if len(queries) == 0:
            raise MetricError("0 queries: pass at least one image.")
        asked = [_unit(self.describe(view)) for view in dihedral_views(queries)[:views]]
        found = []
        for start in range(0, len(queries), BLOCK):
            rows = slice(start, start + BLOCK)
            cosines = (view[rows] @ self.unit.T for view in asked)
            found.append(Neighbours.of(reduce(np.maximum, cosines)))
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
    found = Known(training, describe).nearest(queries, views)
    return found.index, found.distance


def typical_distance(images: np.ndarray, describe: Describe = thumbnails) -> float:
    """Median distance of two different images of a set, in the measure of `nearest`, one view."""
    unit = _unit(describe(images))
    empty = ~unit.any(1)  # without a direction, and yet one picture over and over
    distance = np.where(empty[:, None] & empty, 0, 1 - unit @ unit.T)
    return float(np.median(distance[np.triu_indices(len(unit), 1)]))


def variety(made: np.ndarray, usual: float) -> float:
    """Typical distance of two generated images over that of two photographs (`usual`): 1 is as
    varied, 0 is one picture; very large where the photographs are one picture."""
    return typical_distance(made) / max(usual, 1e-12)


@dataclass(frozen=True)
class Audit:
    """What the nearest neighbours say of a generator, beside the same of unseen photographs."""

    nn_ratio: float  # median distance generated -> training over held-out -> training
    copy_rate: float  # share of generated images that the copy threshold accuses
    spread: float  # typical distance of two generated images over that of two held-out ones
    neighbours: Neighbours

    @property
    def flags(self) -> list[str]:
        """What applies of "copies" and "collapsed"; empty for a generator that passes."""
        copies, collapsed = self.copy_rate > MANY_COPIES, self.spread < LITTLE_SPREAD
        return ["copies"] * copies + ["collapsed"] * collapsed


class Auditor:
    """Knows a generator's training images and photographs it has not seen; judges generated sets.

    An image is accused of being a copy when its nearest training image stands out from its tenth
    nearest more than for 99 % of the held-out photographs. Plain distance would accuse every
    blurred image: smooth pictures are near to everything. All images uint8 (N, S, S, 3).
    """

    def __init__(self, training: np.ndarray, held_out: np.ndarray, describe: Describe = thumbnails):
        if len(held_out) < 10:
            raise MetricError(f"{len(held_out)} held-out images: an audit needs 10 at least.")
        self.known = Known(training, describe)
        self.held_out = self.known.nearest(held_out)
        self.held_out_spread = typical_distance(held_out, describe)
        self.threshold = float(np.quantile(self.held_out.relative, FALSE_ALARMS))

    def __call__(self, generated: np.ndarray) -> Audit:
        """The audit of at least two generated images."""
        if len(generated) < 2:
            raise MetricError(f"{len(generated)} generated images: an audit needs 2 at least.")
        found = self.known.nearest(generated)
        unseen = max(np.median(self.held_out.distance), 1e-12)
        return Audit(
            nn_ratio=float(np.median(found.distance) / unseen),
            copy_rate=float((found.relative < self.threshold).mean()),
            spread=typical_distance(generated, self.known.describe)
            / max(self.held_out_spread, 1e-12),
            neighbours=found,
        )
