"""What a translation of masks is judged by: does the image show its mask, is it near to the
photograph of that mask, do two draws differ, does it wear the same stains?
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from scipy.stats import wasserstein_distance
from torch import nn

from .appearance import colour_distance
from .config import mix
from .datasets import TISSUE
from .datasets.histology_drawing import STAINS
from .degradation import degrade
from .errors import DataError, MetricError, UsageError
from .features import Encoder
from .gans import GAN, Batch
from .images import to_network
from .metrics import FEWEST, METRICS, MOST_PSNR, fid, kid
from .neighbours import Known, dihedral_views
from .paired import PAIRED, score
from .prepare import Prepared
from .sampling import asked, decode
from .segmentation import dice_interval, mean_dice, pooled_dice, segment, train_segmenter
from .splits import parts
from .unet import mask_planes

BLUR = 1 / 32  # of a side: standard deviation of the Gaussian that makes the blurred truth
RESAMPLES = 400
PIXELS = 100_000  # of a set that a distance of stains looks at, about
HAEMATOXYLIN, EOSIN = STAINS


@dataclass(frozen=True)
class Pairs:
    """Pairs to be judged by, and what is known of them."""

    images: np.ndarray  # uint8 (N, S, S, 3)
    masks: np.ndarray  # uint8 (N, S, S)
    labels: torch.Tensor  # int64 (N,)
    groups: np.ndarray  # the patient or lesion of each
    stained: bool = True  # with haematoxylin and eosin: then colours are compared as stains

    def translated(self, gan: GAN, seed: int) -> np.ndarray:
        """What G makes of the masks, uint8 (N, S, S, 3); `seed` decides the dropout."""
        return decode(gan, torch.from_numpy(self.masks), self.labels, seed)

    def batch(self, count: int, classes: int) -> Batch:
        """The first `count` pairs as network input, on the CPU."""
        source = mask_planes(torch.from_numpy(self.masks[:count]), classes)
        return Batch(to_network(self.images[:count]), self.labels[:count], source)


def pairs(prepared: Prepared, part: str, most: int, fold: int = 0) -> Pairs:
    """Pairs of a part of a fold, evenly taken, `most` at most. DataError for data without masks."""
    if prepared.masks is None:
        raise DataError(f"{prepared.folder} holds no masks: prepare data that have one each.")
    rows = parts(prepared.table, fold)[part]
    rows = rows[:: -(-len(rows) // most)]
    labels, groups = (prepared.table[name].to_numpy()[rows] for name in ("label", "group_id"))
    images, masks = (np.asarray(array[rows]) for array in (prepared.images, prepared.masks))
    stained = prepared.manifest["source"] in TISSUE
    return Pairs(images, masks, torch.from_numpy(labels), groups, stained)


def consistency(segmenter: nn.Module, images: np.ndarray, masks: np.ndarray, classes: int) -> float:
    """Mean Dice of what the segmenter reads in images uint8 (N, S, S, 3) with the masks uint8 (N,
    S, S) they were asked with; 1 when it reads exactly those."""
    return mean_dice(segment(segmenter, images), masks, classes)


def consistency_table(
    segmenter: nn.Module,
    generated: np.ndarray,
    real: np.ndarray,
    masks: np.ndarray,
    names: list[str],
) -> pd.DataFrame:
    """A row for each foreground class of `names`, and one for their mean: Dice of the segmenter
    with the masks that `generated` and `real` (N, S, S, 3) both belong to.

    `real` is the ceiling: the segmenter errs on photographs, too. `ratio` is generated / real.
    `chance` is the real images against masks of others: what classes in their usual amounts reach
    without being in their places. NaN for a class that no mask holds.
    """
    found = {"generated": segment(segmenter, generated), "real": segment(segmenter, real)}
    found["chance"] = _apart(found["real"])
    table = pd.DataFrame({"class": [*names[1:], "mean"]})
    for column, predicted in found.items():
        each = pooled_dice(predicted, masks, len(names))[1:]
        table[column] = [*each, mean_dice(predicted, masks, len(names))]
    table.insert(3, "ratio", table["generated"] / table["real"])
    return table


def against_truth(
    truth: np.ndarray, generated: np.ndarray, training: np.ndarray, seed: int
) -> pd.DataFrame:
    """How near `generated` is to the photographs `truth` of its masks, and how near other things
    are: a row for each of `paired.PAIRED` and each candidate, all uint8 (N, S, S, 3).

    metric, candidate, value (mean over images), low, high (95 %, bootstrap over images), n, better.
    Candidates are "generated"; "blurred truth", by a Gaussian of 1/32 of a side; "nearest training
    image", the one of `training` that looks most like the truth, in its best view; and "another
    photograph", any of `training`. PSNR counts as 100 dB at the most.
    """
    if not truth.shape == generated.shape or truth.shape[1:] != training.shape[1:]:
        raise MetricError(
            f"truth, generated and training are {truth.shape}, {generated.shape} and "
            f"{training.shape}: pass an image for each photograph, all of one size."
        )
    other = np.random.default_rng(mix(seed, 12)).integers(len(training), size=len(truth))
    candidates = {
        "generated": generated,
        "blurred truth": blurred(truth, BLUR * truth.shape[1]),
        "nearest training image": nearest_in_any_view(training, truth),
        "another photograph": training[other],
    }
    rows = [
        {"metric": metric, "candidate": name, **_interval(score(metric, truth, images), seed)}
        for metric in PAIRED
        for name, images in candidates.items()
    ]
    return pd.DataFrame(rows).assign(better=lambda t: [METRICS[m].better for m in t["metric"]])


def nearest_in_any_view(training: np.ndarray, queries: np.ndarray) -> np.ndarray:
    """For each query the training image nearest to it, flipped and turned to be so: uint8 (Q, S, S,
    3). Nearness as in `audit`: correlation of 32 x 32 pixels."""
    views = dihedral_views(training)
    found = [Known(view, query_views=1).nearest(queries) for view in views]
    best = np.argmin([neighbours.distance for neighbours in found], axis=0)
    return np.stack([views[v][found[v].index[i]] for i, v in enumerate(best)])


def _interval(value: np.ndarray, seed: int) -> dict[str, float]:
    value, n = np.minimum(value, MOST_PSNR).astype(np.float64), len(value)
    times = np.random.default_rng(mix(seed, 13)).multinomial(n, np.full(n, 1 / n), RESAMPLES)
    low, high = np.percentile(times @ value / n, [2.5, 97.5])
    return {"value": float(value.mean()), "low": float(low), "high": float(high), "n": n}


def blurred(images: np.ndarray, sigma: float) -> np.ndarray:
    """Images uint8 (N, S, S, 3) after a Gaussian of standard deviation `sigma` pixels, 0 or
    more."""
    if not sigma >= 0:
        raise UsageError(f"sigma is {sigma}: a blur has 0 pixels or more.")
    return degrade(images, "blur", sigma)


def diversity(first: np.ndarray, second: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    """How different two draws of the same masks are, and two photographs of different masks, all
    uint8 (N, S, S, 3).

    `draws_differ` and `photographs_differ` are mean absolute differences of a pixel, in [0, 1];
    `draws_ssim` and `photographs_ssim` the mean SSIM. Draws that differ by nothing and have an SSIM
    of 1 say that dropout is ignored (Isola et al. 2017, section 3.1, saw little of it).
    """
    pairs = {"draws": (first, second), "photographs": (truth, _apart(truth))}
    report = {}
    for name, (a, b) in pairs.items():
        report[f"{name}_ssim"] = float(score("ssim", a, b).mean())
        report[f"{name}_differ"] = float(np.abs(a.astype(np.int16) - b).mean() / 255)
    return report


def sharpness(images: np.ndarray) -> float:
    """Mean step between neighbouring pixels of a row, in levels of images uint8 (N, S, S, 3)."""
    return float(np.abs(np.diff(images.astype(np.int16), axis=2)).mean())


def realism(
    held: Pairs, made: np.ndarray, again: np.ndarray, encoder: Encoder, seed: int
) -> pd.DataFrame:
    """What the translations `made` uint8 (N, S, S, 3) lack beside the photographs of their masks.

    measure, generated, photographs: KID x1000 (NaN with fewer than 10 images a side), FD and
    `stain_distance` (`colour_distance` of images without stains) from one half of the photographs
    to the other half's translations and photographs, the halves by group; `sharpness`; mean
    absolute difference and SSIM of two draws of one mask (`again` is the second), and of two
    photographs.
    """
    half = np.unique(held.groups, return_inverse=True)[1] % 2
    known = held.images[half == 0]
    others = [images[half == 1] for images in (made, held.images)]
    features, sides = encoder(known), [encoder(x) for x in others]
    what, distance = ("stain", stain_distance) if held.stained else ("colour", colour_distance)
    differ = diversity(made, again, held.images)
    rows = {
        "KID x1000": [_kid(features, side, seed) for side in sides],
        "FD": [fid(features, side) for side in sides],
        f"{what} distance": [distance(known, x) for x in others],
        "sharpness": [sharpness(made), sharpness(held.images)],
        "two of them differ by": [differ["draws_differ"], differ["photographs_differ"]],
        "SSIM of two of them": [differ["draws_ssim"], differ["photographs_ssim"]],
    }
    table = pd.DataFrame(rows, ["generated", "photographs"]).T
    return table.rename_axis("measure").reset_index()


def _kid(x: np.ndarray, y: np.ndarray, seed: int) -> float:
    return kid(x, y, seed)[0] if min(len(x), len(y)) >= FEWEST else np.nan


def utility(
    real: Pairs,
    drawn: Pairs,
    held: Pairs,
    classes: int,
    steps: int,
    seed: int,
    device: torch.device,
) -> pd.DataFrame:
    """What a segmenter learns from real pairs, from generated ones, and from both, in equally many
    steps; "real + duplicates" is the placebo, as many copies of real pairs as "real" has.

    trained on, Dice on the real images of `held`, low, high (95 %, by groups).
    """
    known, made = ([pool.images, pool.masks] for pool in (real, drawn))
    diets = {"real": known, "real + generated": _joined(known, made),
             "real + duplicates": _joined(known, known), "generated alone": made}  # fmt: skip
    rows = []
    for name, diet in diets.items():
        read = segment(train_segmenter(*diet, classes, steps, seed, device), held.images)
        rows.append([name, *dice_interval(read, held.masks, classes, held.groups, seed)])
    return pd.DataFrame(rows, columns=["trained on", "Dice on real images", "low", "high"])


def _joined(one: list[np.ndarray], other: list[np.ndarray]) -> list[np.ndarray]:
    return [np.concatenate(pair) for pair in zip(one, other, strict=True)]


def drawn_pairs(gan: GAN, count: int, seed: int) -> Pairs:
    """Generated pairs: masks of the training part, turned and flipped, and what G makes of them;
    where it is told the class, of each class as often as there are masks. Groups, and labels where
    it is not, are those of nobody (0)."""
    nobody = torch.zeros(count, dtype=torch.long)
    random = np.random.default_rng([seed, 8])
    labels = torch.from_numpy(random.choice(gan.masks.labels, count)) if gan.conditional else nobody
    masks = asked(gan, count, seed, labels)
    return Pairs(decode(gan, masks, labels, seed), masks.numpy(), labels, nobody.numpy())


def _apart(images: np.ndarray) -> np.ndarray:
    """The same images in another order: each half the set away, as neighbours may be of one
    patient."""
    if len(images) < 2:
        raise MetricError(f"{len(images)} photographs: pass 2 at least, to compare different ones.")
    return np.roll(images, len(images) // 2, axis=0)


def stain_distance(a: np.ndarray, b: np.ndarray) -> float:
    """How differently two sets of H&E images uint8 (N, S, S, 3) are stained: Wasserstein-1 distance
    of what pixels hold of haematoxylin, and of eosin, the mean of both; in optical density, 0 for
    one set twice.

    To be read beside the distance of two halves of the real images.
    """
    known, made = (stains(_pixels(images)).T[:2] for images in (a, b))
    return float(np.mean([wasserstein_distance(x, y) for x, y in zip(known, made, strict=True)]))


def stains(pixels: np.ndarray) -> np.ndarray:
    """Concentrations (..., 3) of haematoxylin, eosin and what neither explains in pixels uint8
    (..., 3); 0 is clear glass.

    Ruifrok and Johnston 2001: optical density -log10(I / I0) is a sum of stains, each in its
    direction; the third is at right angles to both. Below 0 where a pixel has less of a colour than
    the other stain alone would leave.
    """
    density = -np.log10((pixels.astype(np.float64) + 1) / 256)  # + 1: black absorbs 2.4, not all
    vectors = np.array([HAEMATOXYLIN, EOSIN, np.cross(HAEMATOXYLIN, EOSIN)])
    return density @ np.linalg.inv(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))


def _pixels(images: np.ndarray) -> np.ndarray:
    """Some pixels (n, 3) of all images, evenly taken."""
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[-1] != 3 or not images.size:
        raise MetricError(
            f"images are {images.shape} {images.dtype}: pass stored images uint8 (N, S, S, 3)."
        )
    pixels = images.reshape(-1, 3)
    return pixels[:: len(pixels) // PIXELS | 1]  # an odd step takes its turn in every column
