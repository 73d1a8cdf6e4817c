"""Is it collapsed, and which checkpoint do I take? A few numbers taken while a GAN is trained, on
photographs of the validation part, whose lesions neither player has seen.

`spread`: typical distance of two samples of a class over that of two photographs of it; 1 is as
varied, 0 is one picture. `told_apart`: how often D scores a photograph above a fake; 0.5 is
guessing, 1 is always, and then G has little to learn from. `drift`: mean change of a pixel, in
[0, 1], of the fixed-noise samples since the moment before. `kid`: KID x1000, the mean over classes,
with an encoder that has learned the training part only; nan without an encoder.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from . import audit, metrics, neighbours, sampling, splits
from .features import Encoder
from .gan_jobs import Job
from .gans import GAN, Batch
from .images import to_network
from .prepare import Prepared
from .unet import mask_planes

FEWEST = metrics.FEWEST  # photographs of a class, to be compared with
MOST = 60  # photographs of a class, at most
SAMPLES = 40  # generated for each class
POOLED_MOST = 250  # photographs, and samples, of a GAN that is told no class
NEVER = 0.999  # told_apart above which D has nothing left to learn from
COLUMNS = ("images", "kid", "spread", "told_apart", "drift")


@dataclass(frozen=True)
class Side:
    """Photographs to be compared with, and the label that asks a conditional G for their like."""

    photographs: np.ndarray  # uint8 (N, S, S, 3)
    labels: np.ndarray  # int64 (N,), what D is told
    asked: np.ndarray  # int64 (M,), what G is told, one sample each
    usual: float  # typical distance of two of the photographs
    features: np.ndarray | None
    masks: np.ndarray | None = None  # uint8 (N, S, S), where G translates masks


class Health:
    """Takes the numbers of a GAN in training; the same GAN gives the same numbers."""

    def __init__(
        self,
        prepared: Prepared,
        rows: np.ndarray,
        by_class: bool,
        encoder: Encoder | None,
        windows: Callable[[np.ndarray, np.ndarray], np.ndarray] = lambda array, rows: array[rows],
    ):
        """`rows` are the photographs to compare with, `by_class` says that G obeys a label,
        `windows(array, rows)` reads them as they are trained on."""
        if encoder is not None:  # its fold is the job's, or it has learned these very lesions
            seen = prepared.table["group_id"].to_numpy()[rows]
            splits.refuse_overlap(encoder.training_groups, seen, f"encoder {encoder.name}")
        self.encoder, self.windows = encoder, windows
        labels = prepared.table["label"].to_numpy()[rows]
        groups = [rows[labels == c][:MOST] for c in np.unique(labels)] if by_class else []
        groups = [group for group in groups if len(group) >= FEWEST] or [rows[:POOLED_MOST]]
        count = SAMPLES if len(groups) > 1 else min(POOLED_MOST, max(SAMPLES, len(groups[0])))
        self.sides = [self._side(prepared, np.sort(group), count) for group in groups]

    def _side(self, prepared: Prepared, rows: np.ndarray, count: int) -> Side:
        photographs = np.asarray(self.windows(prepared.images, rows))
        masks = None if prepared.masks is None else self.windows(prepared.masks, rows)
        labels = prepared.table["label"].to_numpy()[rows]
        features = None if self.encoder is None else self.encoder(photographs)
        asked = np.resize(labels, count)
        usual = neighbours.typical_distance(photographs)
        return Side(photographs, labels, asked, usual, features, masks)

    def __call__(self, gan: GAN, seed: int) -> dict[str, float]:
        """`kid`, `spread` and `told_apart` of this moment; networks and random state stay as they
        were."""
        device = next(gan.parameters()).device
        with torch.random.fork_rng([device] if device.type == "cuda" else []):
            torch.manual_seed(seed)
            found = [self._of_side(gan, side, seed + i) for i, side in enumerate(self.sides)]
        kid, spread, apart = np.mean(found, axis=0).tolist()
        return {"kid": kid, "spread": spread, "told_apart": apart}

    def _of_side(self, gan: GAN, side: Side, seed: int) -> tuple[float, float, float]:
        made = sampling.generate(gan, len(side.asked), seed, torch.from_numpy(side.asked))
        spread = neighbours.spread(made, side.usual)
        kid = np.nan
        if self.encoder is not None and len(side.photographs) >= FEWEST:
            kid = 1000.0 * metrics.mmd2(side.features, self.encoder(made))
        return kid, spread, told_apart(gan, side)


@torch.no_grad()
def told_apart(gan: GAN, side: Side) -> float:
    """Chance that D scores a photograph of `side` above a fake (the area under the ROC curve)."""
    device = next(gan.D.parameters()).device
    images = to_network(side.photographs).to(device)
    labels = torch.from_numpy(side.labels).to(device)
    source, was = None, gan.training
    if gan.translates:
        source = mask_planes(torch.from_numpy(np.array(side.masks)), gan.mask_classes).to(device)
    gan.eval()  # batch and power-iteration statistics stay as they are
    real, fake = gan.logits(Batch(images, labels, source))
    gan.train(was)
    above = real[:, None] - fake[None, :]
    return float((above > 0).float().mean() + 0.5 * (above == 0).float().mean())


def best(rows: list[dict]) -> dict | None:
    """The row with the lowest KID; None while there is none."""
    known = [row for row in rows if np.isfinite(row["kid"])]
    return min(known, key=lambda row: row["kid"]) if known else None


def line(rows: list[dict]) -> str:
    """The last row as a sentence, with what is wrong with it and which checkpoint is best."""
    last, top = rows[-1], best(rows)
    told = f"spread {last['spread']:.2f} of photographs'"
    told += f", D tells apart {100 * last['told_apart']:.0f} %, drift {last['drift']:.3f}"
    if top is not None:
        told += f", KID x1000 {last['kid']:.0f}; best {top['kid']:.0f} at {top['images']:,.0f}"
    return " · ".join([told, *flags(last)])


def flags(row: dict) -> list[str]:
    """What applies of "collapsed" and "D has won"; empty for a GAN in good health."""
    collapsed, won = row["spread"] < audit.LITTLE_SPREAD, row["told_apart"] > NEVER
    return ["collapsed"] * collapsed + ["D has won"] * won


def of(prepared: Prepared, job: Job, gan: GAN, encoder: Encoder | None) -> Health | None:
    """What takes the health of this job: on the validation part of its fold, of its class when it
    has one. None where fewer than two photographs are there to compare with."""
    rows = splits.parts(prepared.table, job.fold)["validation"]
    if job.class_name:
        rows = rows[prepared.table["dx"].to_numpy()[rows] == job.class_name]
    if len(rows) < 2:
        return None
    return Health(prepared, rows, gan.conditional, encoder, job.windows)
