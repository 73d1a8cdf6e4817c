"""A lesion classifier: training is a pure function of a lesson, a recipe and a seed."""

import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torchvision.transforms import v2

from .backbones import backbone
from .classic_augmentation import CLASSIC, Augment
from .config import mix
from .errors import TrainingError, one_of
from .images import to_network
from .predictions import balanced_log_loss
from .prepare import Prepared
from .progress import progress
from .training import precision

CHECK_EVERY = 25  # steps between looks at the loss: reading it back each step would stall a GPU
# Depthwise convolutions train slower in bf16 on a CPU: 51 images/s against 88 in fp32, one core
FASTER_IN_FP32 = ("efficientnet_b0", "efficientnet_b3")
LOSSES = ("plain", "class_weights", "logit_adjusted")
BLENDS = ("", "mixup", "cutmix")


@dataclass(frozen=True)
class Recipe:
    """What all arms of a comparison share. `batch` is in images.

    `looks`: how often validation is looked at in the second half of the steps; the weights of the
    look with the lowest log loss, the mean over classes, are kept. (Balanced accuracy would rest on
    a dozen lesions of the rarest class.) 0 keeps the last weights. `weights`: as in
    `backbones.backbone`. `refit`: learn from the validation lesions, too, once nothing is chosen on
    them any more; there are no looks then.
    """

    backbone: str = "resnet18"
    steps: int = 150
    batch: int = 64
    learning_rate: float = 2e-3
    weight_decay: float = 0.05
    label_smoothing: float = 0.05
    looks: int = 0
    weights: str = "scratch"
    refit: bool = False


@dataclass(frozen=True)
class Lesson:
    """What a classifier is shown, and how: `order` (steps, batch) are rows of `images` uint8 (N, S,
    S, 3) with `labels` (N,) below `outputs`.

    `loss`: "class_weights" divides by how often a class is shown; "logit_adjusted" adds the
    logarithm of that to the logits (Menon et al. 2021, arXiv:2007.07314, eq. 10). `blend`: "mixup"
    (Zhang et al. 2018, arXiv:1710.09412) or "cutmix" (Yun et al. 2019, arXiv:1905.04899).
    """

    images: np.ndarray
    labels: np.ndarray
    order: np.ndarray
    outputs: int
    augment: Augment = CLASSIC
    loss: str = "plain"
    blend: str = ""

    @cached_property
    def shares(self) -> Tensor:
        """How much of what is shown is of each class, float32 (outputs,)."""
        shown = np.bincount(self.labels[self.order].ravel(), minlength=self.outputs)
        return torch.from_numpy(shown / shown.sum()).float()


@dataclass(frozen=True)
class Watched:
    """Photographs that decide which weights are kept: images, labels and lesions of validation."""

    images: np.ndarray
    labels: np.ndarray
    groups: np.ndarray


@dataclass(frozen=True)
class Trained:
    """A trained network, in evaluation mode: its loss at every step, its seconds, the step whose
    weights it has, and at every look at validation the log loss by lesion, mean over classes."""

    network: nn.Module
    losses: np.ndarray  # float32 (steps,)
    seconds: float
    kept: int
    looks: dict[int, float]


def train(
    lesson: Lesson,
    recipe: Recipe,
    seed: int,
    device: torch.device,
    label: str = "classifier",
    watched: Watched | None = None,
) -> Trained:
    """A network trained on the lesson: AdamW, one cycle of the learning rate.

    Initial weights are a function of the seed, augmentation and blending of (seed, step). Torch's
    global random state is left as it was. TrainingError, with the step, when the loss is not
    finite, and when `recipe.looks` asks for validation and there is none.
    """
    if recipe.looks and watched is None:
        raise TrainingError(f"{label}: looks={recipe.looks} needs validation photographs.")
    start, steps = time.monotonic(), len(lesson.order)
    pool = torch.from_numpy(np.array(lesson.images)).to(device)
    target = torch.from_numpy(lesson.labels.astype(np.int64)).to(device)
    losses, best = torch.zeros(steps, device=device), _Best(recipe.looks, steps)
    with seeded(seed, device):
        network = backbone(recipe.backbone, lesson.outputs, lesson.images.shape[1], recipe.weights)
        network = network.to(device, memory_format=torch.channels_last).train()
        optimizer, schedule = _optimizer(network, recipe, steps)
        question = _Question(lesson, recipe, device)
        for step in progress(range(steps), label, unit="steps"):
            rows = torch.from_numpy(lesson.order[step]).to(device)
            draws = torch.Generator().manual_seed(mix(seed, step))
            image = lesson.augment(to_network(pool[rows]), draws)
            image, wanted = question.blended(image, target[rows], mix(seed, step))
            with _training_precision(recipe.backbone, device):
                logit = network(image.contiguous(memory_format=torch.channels_last))
            losses[step] = question.descend(logit.float(), wanted, optimizer)
            schedule.step()
            if (step + 1) % CHECK_EVERY == 0 or step + 1 == steps:
                _refuse_non_finite(losses[: step + 1], label)
            best.look(step + 1, network, watched, device)
    best.restore(network)
    seconds = time.monotonic() - start
    return Trained(network.eval(), losses.cpu().numpy(), seconds, best.step, best.looks)


class _Question:
    """What a batch is asked, and one step of the answer."""

    def __init__(self, lesson: Lesson, recipe: Recipe, device: torch.device):
        one_of("loss", lesson.loss, LOSSES)
        one_of("blend", lesson.blend, BLENDS)
        shares = lesson.shares.to(device)
        shown = shares.clamp(min=1e-12)
        weight = (shares > 0) / (shown * lesson.outputs)  # 1 on average over what is shown
        self.weight = weight if lesson.loss == "class_weights" else None
        self.shift = shown.log() if lesson.loss == "logit_adjusted" else torch.zeros_like(shown)
        self.smoothing = recipe.label_smoothing
        kinds = {"mixup": (v2.MixUp, 0.2), "cutmix": (v2.CutMix, 1.0)}
        blend, alpha = kinds.get(lesson.blend, (None, 0))
        self.blend = blend(alpha=alpha, num_classes=lesson.outputs) if blend else None

    def blended(self, image: Tensor, target: Tensor, seed: int) -> tuple[Tensor, Tensor]:
        """Images and labels as they are, or mixed in pairs with their labels as shares (B, K)."""
        if self.blend is None:
            return image, target
        torch.manual_seed(seed)  # torchvision draws from the global state, which the caller keeps
        return self.blend(image, target)

    def descend(self, logit: Tensor, target: Tensor, optimizer: torch.optim.AdamW) -> Tensor:
        """The loss of logits (B, K) before one step down it."""
        loss = functional.cross_entropy(
            logit + self.shift, target, self.weight, label_smoothing=self.smoothing
        )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.detach()


class _Best:
    """The weights of the best of some looks at validation, spread over the second half."""

    def __init__(self, looks: int, steps: int):
        self.when = set(np.linspace(steps / 2, steps, looks + 1).round().astype(int)[1:].tolist())
        self.looks: dict[int, float] = {}
        self.step, self.state = steps, None

    def look(
        self, step: int, network: nn.Module, watched: Watched | None, device: torch.device
    ) -> None:
        if step not in self.when or watched is None:
            return
        softmax = predict(network, watched.images, device, views=1)
        loss = balanced_log_loss(watched.labels, watched.groups, softmax)
        if loss <= min(self.looks.values(), default=np.inf):  # of equals the later
            self.step = step
            self.state = {name: value.clone() for name, value in network.state_dict().items()}
        self.looks[step] = loss
        network.train()

    def restore(self, network: nn.Module) -> None:
        if self.state is not None:
            network.load_state_dict(self.state)


def _optimizer(network: nn.Module, recipe: Recipe, steps: int) -> tuple:
    learning = [weight for weight in network.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(
        learning, recipe.learning_rate, weight_decay=recipe.weight_decay, fused=True
    )
    # one step more than is taken: the last step of a cycle has a learning rate of nothing
    return optimizer, torch.optim.lr_scheduler.OneCycleLR(
        optimizer, recipe.learning_rate, steps + 1
    )


def _bf16(device: torch.device) -> torch.autocast:
    """bf16 where the hardware multiplies in it: on two CPU cores a ResNet-18 trains twice as fast;
    fp32 elsewhere.
    """
    return torch.autocast(device.type, torch.bfloat16, enabled=precision(device) is torch.bfloat16)


def _training_precision(backbone_name: str, device: torch.device) -> AbstractContextManager:
    slower = device.type == "cpu" and backbone_name in FASTER_IN_FP32
    return nullcontext() if slower else _bf16(device)


def _refuse_non_finite(losses: Tensor, label: str) -> None:
    bad = (~losses.isfinite()).nonzero()
    if len(bad):
        raise TrainingError(
            f"{label}: the loss is not finite at step {int(bad[0])}: lower the learning rate."
        )


@contextmanager
def seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Torch's random state set by `seed` inside, and as it was afterwards."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(mix(seed))
        yield


def views_of(prepared: Prepared) -> int:
    """How many views of these data `predict` may average: those that mean the same."""
    return 1 if prepared.upright else 8


@torch.no_grad()
def predict(
    network: nn.Module,
    images: np.ndarray,
    device: torch.device,
    batch: int = 256,
    views: int = 8,
) -> np.ndarray:
    """Softmax float32 (N, K) of uint8 (N, S, S, 3), averaged over the first `views` of the 8 flips
    and quarter turns: 1 for images that have an up."""
    network.eval()
    softmax = []
    for start in range(0, len(images), batch):
        image = to_network(images[start : start + batch]).to(device)
        seen = []
        for view in range(views):
            turned = torch.rot90(image, view % 4, (-2, -1))
            turned = turned.flip(-1) if view >= 4 else turned
            with _bf16(device):
                logit = network(turned.contiguous(memory_format=torch.channels_last))
            seen.append(logit.float().softmax(1))
        softmax.append(torch.stack(seen).mean(0).cpu())
    return torch.cat(softmax).numpy()
