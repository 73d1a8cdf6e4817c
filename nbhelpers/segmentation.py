"""A small segmenter that judges whether an image shows what its mask says.

It learns from real pairs only, so a generated image that it reads as the mask it was asked with
shows that mask in the way photographs do.
"""

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from .augment import colour
from .classifier import seeded
from .config import mix
from .errors import MetricError, TrainingError, UsageError
from .images import to_network
from .progress import progress
from .statistics import interval
from .training import precision
from .training_images import Budget, TrainingImages
from .unet import UNet

LEARNING_RATE, WEIGHT_DECAY = 4e-3, 1e-2
COLOUR = 0.5  # strength of `augment.colour`: stains differ from laboratory to laboratory
CHECK_EVERY = 25  # steps between looks at the loss
BLOCK = 64


def train_segmenter(
    images: np.ndarray,
    masks: np.ndarray,
    classes: int,
    steps: int,
    seed: int,
    device: torch.device,
    batch: int = 16,
    width: int = 16,
) -> nn.Module:
    """A `UNet` that tells the class of each pixel, trained on images uint8 (N, S, S, 3) and masks
    uint8 (N, S, S) and set to evaluation mode.

    Image and mask are turned and flipped together, the image's colours changed weakly. Batches hold
    `batch` pairs, or all where there are fewer. A function of its arguments on a CPU: initial
    weights follow from the seed, augmentation from (seed, step). UsageError for pairs that do not
    fit each other, TrainingError for a loss that is not finite.
    """
    _check_pairs(images, masks, classes, steps)
    pool = TrainingImages(images, np.zeros(len(images)), device, masks=masks, mask_classes=classes)
    budget = Budget(steps * batch, min(batch, len(images)), seed)
    with seeded(seed, device):
        network = UNet(images.shape[1], 3, classes, width, noise=0.0)
        network = network.to(device, memory_format=torch.channels_last).train()
        optimizer = torch.optim.AdamW(
            network.parameters(), LEARNING_RATE, weight_decay=WEIGHT_DECAY, fused=True
        )
        # one step more than is taken: the last step of a cycle has a learning rate of nothing
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, steps + 1)
        for step in progress(range(steps), "segmenter", unit="steps"):
            torch.manual_seed(mix(seed, step, 10))
            pairs = pool.batch(pool.rows(step, budget))
            loss = _step(network, optimizer, colour(pairs.image, COLOUR).clamp(-1, 1), pairs.source)
            schedule.step()
            if (step + 1) % CHECK_EVERY == 0 or step + 1 == steps:
                _refuse_non_finite(loss, step)
    return network.eval()


def _step(network: nn.Module, optimizer: torch.optim.AdamW, image: Tensor, truth: Tensor) -> Tensor:
    kind = image.device.type
    half = precision(image.device) is torch.bfloat16
    with torch.autocast(kind, torch.bfloat16, enabled=half):
        logits = network(image.contiguous(memory_format=torch.channels_last))
    loss = functional.cross_entropy(logits, truth) + soft_dice(logits, truth)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.detach()


def soft_dice(logits: Tensor, truth: Tensor) -> Tensor:
    """1 - 2 sum(p g) / (sum(p^2) + sum(g^2)), the mean over classes; 0 when all is right.

    Milletari, Navab, Ahmadi 2016, section 3: it weighs a class of few pixels like any other. Sums
    run over the batch; `logits` and `truth`, one plane a class, are (N, K, S, S).
    """
    p, over = logits.softmax(1), (0, 2, 3)
    shared, held = (p * truth).sum(over), (p.square() + truth.square()).sum(over)
    return 1 - ((2 * shared + 1) / (held + 1)).mean()  # 1 pixel: a class that is absent is right


def _check_pairs(images: np.ndarray, masks: np.ndarray, classes: int, steps: int) -> None:
    if len(images) == 0 or len(masks.shape) != 3 or images.shape != (*masks.shape, 3):
        raise UsageError(
            f"images are {images.shape} and masks {masks.shape}: pass (N, S, S, 3) and (N, S, S), "
            "mask i of image i, prepared at one size."
        )
    if steps < 1:
        raise UsageError(f"steps is {steps}: a segmenter needs at least one, 300 to be of use.")
    most = int(np.max(masks[:]))
    if classes < 2 or most >= classes:
        raise UsageError(
            f"classes is {classes} and the masks hold values up to {most}: pass the number of "
            "colours in the data set's palette, 2 at least."
        )


def _refuse_non_finite(loss: Tensor, step: int) -> None:
    if not loss.isfinite():
        raise TrainingError(
            f"segmenter: the loss is {float(loss)} at step {step}: look for images that are empty, "
            "or lower segmentation.LEARNING_RATE."
        )


@torch.no_grad()
def segment(network: nn.Module, images: np.ndarray) -> np.ndarray:
    """The class of each pixel uint8 (N, S, S) of images uint8 (N, S, S, 3), in float32 and by
    blocks; leaves the network in evaluation mode."""
    network.eval()
    device = next(network.parameters()).device
    blocks = (images[i : i + BLOCK] for i in range(0, len(images), BLOCK))
    found = [network(to_network(block).to(device)).argmax(1).byte().cpu() for block in blocks]
    return torch.cat(found).numpy()


def dice(predicted: np.ndarray, masks: np.ndarray, classes: int) -> np.ndarray:
    """Dice 2 |A and B| / (|A| + |B|) of each image and class, float64 (N, classes), 1 where both
    maps agree; NaN where neither of an image's maps holds the class."""
    shared, held, _ = _counts(predicted, masks, classes)
    return _ratio(2 * shared, held)


def pooled_dice(predicted: np.ndarray, masks: np.ndarray, classes: int) -> np.ndarray:
    """Dice of each class over the pixels of all images, float64 (classes,); NaN for a class that no
    mask holds.

    Pooled because an image with a few pixels of a class has a Dice of 0 or 1 by chance, and a mean
    over images would count it like any other.
    """
    return _pooled(*(count.sum(0) for count in _counts(predicted, masks, classes)))


def mean_dice(predicted: np.ndarray, masks: np.ndarray, classes: int) -> float:
    """Mean of `pooled_dice` over the foreground classes (1 to K - 1) that the masks hold.
    MetricError when they hold none."""
    return float(_foreground(pooled_dice(predicted, masks, classes)))


def dice_interval(
    predicted: np.ndarray,
    masks: np.ndarray,
    classes: int,
    groups: np.ndarray,
    seed: int,
    resamples: int = 400,
) -> tuple[float, float, float]:
    """`mean_dice` with a 95 % bootstrap interval that resamples `groups` (N,), the patients or
    lesions: images of one are alike."""
    if len(groups) != len(masks):
        raise MetricError(f"{len(groups)} groups for {len(masks)} masks: pass one for each image.")
    known, member = np.unique(groups, return_inverse=True)
    belongs = np.eye(len(known))[member].T  # (groups, N)
    counts = [belongs @ count for count in _counts(predicted, masks, classes)]
    share = np.full(len(known), 1 / len(known))
    times = np.random.default_rng(mix(seed, 11)).multinomial(len(known), share, resamples)
    draws = _foreground(_pooled(*(times @ count for count in counts)))
    low, high = interval(draws[np.isfinite(draws)])
    return mean_dice(predicted, masks, classes), low, high


def _counts(predicted: np.ndarray, masks: np.ndarray, classes: int) -> tuple[np.ndarray, ...]:
    """Pixels (N, classes) of each class: in both maps, in one plus in the other, in the mask."""
    if predicted.shape != masks.shape or len(masks) == 0:
        raise MetricError(
            f"class maps of {predicted.shape} and {masks.shape}: pass as many of one size, "
            "prediction i of mask i."
        )
    said, true = ([m == k for k in range(classes)] for m in (predicted, masks))
    both = [a & b for a, b in zip(said, true, strict=True)]
    shared, found, asked = (np.stack([m.sum((1, 2)) for m in x], 1) for x in (both, said, true))
    return shared, found + asked, asked


def _pooled(shared: np.ndarray, held: np.ndarray, asked: np.ndarray) -> np.ndarray:
    return np.where(asked > 0, _ratio(2 * shared, held), np.nan)


def _foreground(value: np.ndarray) -> np.ndarray:
    """Mean (...) of the known ones among `value` (..., classes), class 0 left out."""
    known = np.isfinite(value[..., 1:])
    if not known.any():
        raise MetricError("no mask holds a class other than 0: pass masks that show something.")
    return _ratio(np.nansum(value[..., 1:], -1), known.sum(-1))


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """Their quotient, NaN for 0 / 0."""
    whole = np.asarray(whole, np.float64)
    return np.divide(part, whole, out=np.full_like(whole, np.nan), where=whole > 0)
