"""What a GAN is trained on, and in what order: batches that follow from (seed, epoch) alone."""

from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor

from . import ranks
from .augment import dihedral
from .config import check_types, mix
from .errors import TrainingError, one_of
from .gans import Batch
from .images import to_network
from .unet import mask_planes

RESIDENT_BYTES = 4 * 2**30  # larger sets stay memory-mapped and are read by batch
ORDERS = ("natural", "balanced")


@dataclass(frozen=True)
class Budget:
    """How long, in what portions, from what seed. `images` counts the images shown to D.

    `order`: "natural" shows every image once an epoch; "balanced" shows every class as often.
    """

    images: int
    batch_size: int = 32
    seed: int = 0
    order: str = "natural"

    def __post_init__(self):
        check_types(self)
        one_of("order", self.order, ORDERS)
        for name in ("images", "batch_size"):
            if getattr(self, name) < 1:
                raise TrainingError(f"{name} is {getattr(self, name)}: it must be at least 1.")
        if self.batch_size % ranks.count():
            raise TrainingError(
                f"{ranks.count()} ranks cannot share batches of {self.batch_size}: set batch_size "
                f"to a multiple of {ranks.count()}, or start another number of ranks."
            )


class Rows:
    """Some rows of an array, read from it when they are asked for."""

    def __init__(self, array: np.ndarray, rows: np.ndarray):
        self.array, self.rows = array, rows
        self.shape = (len(rows), *array.shape[1:])
        self.nbytes = int(np.prod(self.shape)) * array.itemsize

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index) -> np.ndarray:
        first, *rest = index if isinstance(index, tuple) else (index,)
        return self.array[(self.rows[first], *rest)]


class TrainingImages:
    """Images and labels, on the device as uint8, handed out by batch in an order that (seed, epoch)
    decides.

    Arrays may be `Rows`. `upright` images are neither flipped nor turned. With `masks`, class maps
    uint8 (N, S, S) of `mask_classes` classes, a batch has a source. With `crop` a batch holds
    windows of that many pixels, each anywhere in its image.
    """

    def __init__(
        self,
        images: np.ndarray | Rows,
        labels: np.ndarray,
        device: torch.device,
        upright: bool = False,
        masks: np.ndarray | Rows | None = None,
        mask_classes: int = 0,
        crop: int = 0,
    ):
        self.upright, self.crop = upright, crop
        self.count, self.device, self._orders = len(images), device, {}
        self.of_class = [np.flatnonzero(np.asarray(labels) == c) for c in np.unique(labels)]
        self.images, self.mask_classes = self._placed(images), mask_classes
        self.masks = None if masks is None else self._placed(masks)
        self.labels = torch.from_numpy(np.array(labels, dtype=np.int64)).to(device)

    def _placed(self, array: np.ndarray | Rows) -> np.ndarray | Rows | Tensor:
        if array.nbytes > RESIDENT_BYTES:
            return array
        held = array[:] if isinstance(array, Rows) else np.array(array)  # a copy, and one only
        return torch.from_numpy(held).to(self.device)

    def rows(self, index: int, budget: Budget) -> np.ndarray:
        """Row numbers of the batch `index` counted from the start of training: a function of the
        seed and the index."""
        size = budget.batch_size
        if budget.order == "balanced":
            return self._balanced(np.arange(index * size, (index + 1) * size), budget.seed)
        per_epoch = self.count // size  # a last, partial batch is left out
        epoch, position = divmod(index, per_epoch)
        return self._shuffled(budget.seed, epoch)[position * size :][:size]

    def _balanced(self, places: np.ndarray, seed: int) -> np.ndarray:
        """Rows at these places of an endless line in which the classes take turns, each class in
        its own shuffled rounds."""
        present = len(self.of_class)
        rows = np.empty(len(places), np.int64)
        for i, place in enumerate(places):
            turn, c = divmod(int(place), present)
            mine = self.of_class[c]
            epoch, position = divmod(turn, len(mine))
            rows[i] = mine[self._shuffled(seed, epoch, c)[position]]
        return rows

    def _shuffled(self, seed: int, epoch: int, c: int = -1) -> np.ndarray:
        """The order of an epoch, of all rows or (c >= 0) of those of one class."""
        if self._orders.get(c, (None,))[0] != (seed, epoch):
            stream = (seed, epoch) if c < 0 else (seed, epoch, c, 4)
            count = self.count if c < 0 else len(self.of_class[c])
            order = np.random.default_rng(mix(*stream)).permutation(count)
            self._orders[c] = (seed, epoch), order
        return self._orders[c][1]

    def batch(self, rows: np.ndarray) -> Batch:
        """Those rows as network input, each image in one of its 8 dihedral views (global random
        state) unless it has an up; its mask in the same one."""
        corners = None
        if self.crop:
            most = self.images.shape[1] - self.crop + 1
            corners = ranks.drawn(partial(torch.randint, most), 2, len(rows), axis=1).tolist()
        stored = self._read(self.images, rows, corners)
        if self.masks is not None:
            stored = torch.cat([stored, self._read(self.masks, rows, corners)[..., None]], dim=-1)
        stored = stored if self.upright else dihedral(stored)
        label = self.labels[torch.from_numpy(rows).to(self.device)]
        image, source = to_network(stored[..., :3]), None
        if self.masks is not None:
            source = mask_planes(stored[..., 3], self.mask_classes)
            source = source.contiguous(memory_format=torch.channels_last)
        return Batch(image.contiguous(memory_format=torch.channels_last), label, source)

    def _read(self, array, rows: np.ndarray, corners: list[list[int]] | None) -> Tensor:
        """Those rows on the device, or of each the window at its corner (rows, columns)."""
        if corners is None:
            here = torch.from_numpy(rows).to(self.device) if torch.is_tensor(array) else rows
            return torch.as_tensor(array[here]).to(self.device)
        windows = zip(rows.tolist(), *corners, strict=True)
        cut = [array[r, y : y + self.crop, x : x + self.crop] for r, y, x in windows]
        if torch.is_tensor(array):
            return torch.stack(cut)
        return torch.from_numpy(np.stack(cut)).to(self.device)
