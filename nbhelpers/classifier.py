"""A lesion classifier: training is a pure function of images, row order, augmentation and seed."""

import hashlib
import io
import math
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from .backbones import backbone
from .config import mix
from .errors import TrainingError
from .files import read_json, sha256_file, write_atomic, write_json
from .images import to_network
from .prepare import Prepared
from .progress import progress
from .splits import groups_hash, parts
from .training import precision

CHECK_EVERY = 25  # steps between looks at the loss: reading it back each step would stall a GPU
# Depthwise convolutions train slower in bf16 on a CPU: 51 images/s against 88 in fp32, one core
FASTER_IN_FP32 = ("efficientnet_b0",)
ENCODER_CARD = "encoder.json"
SAMPLING_POWER = 0.5  # sampling weight of an image is its class's count to the power -0.5

Augment = Callable[[Tensor, torch.Generator], Tensor]


@dataclass(frozen=True)
class Recipe:
    """What all arms of a comparison share. `batch` is in images."""

    backbone: str = "resnet18"
    steps: int = 150
    batch: int = 64
    learning_rate: float = 2e-3
    weight_decay: float = 0.05
    label_smoothing: float = 0.05


def unchanged(images: Tensor, generator: torch.Generator) -> Tensor:
    """The images themselves: the augmentation of an arm that has none."""
    return images


@dataclass(frozen=True)
class Augmentation:
    """Classic augmentation of a batch in [-1, 1]: one of the 8 flips and quarter turns, a small
    affine map, colour, a grey rectangle. Fields are the largest strengths; the generator draws.
    """

    turn: float = 15.0  # degrees
    zoom: float = 0.15  # natural logarithm of the scale
    shift: float = 0.08  # share of half the side
    brightness: float = 0.15  # of the range [-1, 1]
    contrast: float = 0.25
    saturation: float = 0.25
    erase_chance: float = 0.25

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        # drawn on the CPU, so that a GPU run sees the same augmentation
        draws = torch.rand(14, len(images), generator=generator).to(images.device)
        grid = functional.affine_grid(
            self._affine(draws[:6]), list(images.shape), align_corners=False
        )
        moved = functional.grid_sample(images, grid, padding_mode="reflection", align_corners=False)
        return self._erase(self._recolour(moved, draws[6:9]), draws[9:])

    def _affine(self, draws: Tensor) -> Tensor:
        """Maps (N, 2, 3) from output to input coordinates."""
        angle = (draws[0] * 4).floor() * (math.pi / 2) + _centred(draws[1]) * math.radians(
            self.turn
        )
        scale = (_centred(draws[2]) * self.zoom).exp()
        flip = (draws[3] < 0.5) * 2.0 - 1.0
        cos, sin = angle.cos() * scale, angle.sin() * scale
        x, y = _centred(draws[4]) * self.shift, _centred(draws[5]) * self.shift
        return torch.stack([cos * flip, -sin, x, sin * flip, cos, y], 1).view(-1, 2, 3)

    def _recolour(self, images: Tensor, draws: Tensor) -> Tensor:
        """Contrast about the image's mean, saturation about its grey, brightness: one 3 x 3 matrix
        and an offset an image.
        """
        contrast = (1 + _centred(draws[0]) * self.contrast).view(-1, 1, 1)
        saturation = (1 + _centred(draws[1]) * self.saturation).view(-1, 1, 1)
        eye = torch.eye(3, device=images.device)
        matrix = contrast * (saturation * eye + (1 - saturation) / 3)  # (N, 3, 3)
        mean = images.mean((1, 2, 3)).view(-1, 1, 1)
        offset = mean * (1 - contrast) + (_centred(draws[2]) * self.brightness).view(-1, 1, 1)
        flat = images.reshape(len(images), 3, -1)
        return torch.baddbmm(offset, matrix, flat).clamp(-1, 1).view(images.shape)

    def _erase(self, images: Tensor, draws: Tensor) -> Tensor:
        """A grey rectangle, a tenth to four tenths of the side, over some of the images."""
        size = images.shape[-1]
        place = (torch.arange(size, device=images.device) + 0.5) / size
        half = 0.05 + 0.15 * draws[2:4]
        across = (place - draws[0][:, None]).abs() < half[0][:, None]
        down = (place - draws[1][:, None]).abs() < half[1][:, None]
        chosen = (draws[4] < self.erase_chance).view(-1, 1, 1)
        hole = (down[:, :, None] & across[:, None, :] & chosen)[:, None]
        return images.masked_fill(hole, 0.0)


CLASSIC = Augmentation()


def _centred(draw: Tensor) -> Tensor:
    return draw * 2 - 1


def real_order(labels: np.ndarray, steps: int, batch: int, power: float, seed: int) -> np.ndarray:
    """Row numbers int64 (steps, batch) of the real images each step shows: epoch after epoch, a
    function of (seed, epoch).

    An image's weight is its class's count to the power `-power`: 0 as they come, 0.5 in between, 1
    all classes alike. Within an epoch each image comes floor or ceil of its expected number of
    times.
    """
    if len(labels) < batch:
        raise TrainingError(
            f"{len(labels)} training images make no batch of {batch}: lower it, or bring more."
        )
    weight = np.bincount(labels)[labels] ** -float(power)
    epochs = math.ceil(steps * batch / len(labels))
    rows = np.concatenate([_epoch(weight, mix(seed, epoch)) for epoch in range(epochs)])
    return rows[: steps * batch].reshape(steps, batch)


def _epoch(weight: np.ndarray, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    shuffled = rng.permutation(len(weight))
    reach = np.cumsum(weight[shuffled])
    # an evenly spaced ruler laid over the weights: no image is drawn often by chance
    ruler = (np.arange(len(weight)) + rng.random()) * (reach[-1] / len(weight))
    hits = np.searchsorted(reach, ruler, side="right").clip(max=len(weight) - 1)
    return rng.permutation(shuffled[hits])


@dataclass(frozen=True)
class Trained:
    """A trained network, in evaluation mode, with its loss at every step and its seconds."""

    network: nn.Module
    losses: np.ndarray  # float32 (steps,)
    seconds: float


def train(
    images: np.ndarray,
    labels: np.ndarray,
    order: np.ndarray,
    outputs: int,
    recipe: Recipe,
    seed: int,
    device: torch.device,
    augment: Augment = CLASSIC,
    label: str = "classifier",
) -> Trained:
    """A network trained on `order` (steps, batch), rows of `images` uint8 (N, S, S, 3): AdamW,
    one cycle of the learning rate.

    Initial weights are a function of the seed, augmentation of (seed, step). Torch's global random
    state is left as it was. TrainingError, with the step, when the loss is not finite.
    """
    start = time.monotonic()
    pool = torch.from_numpy(np.array(images)).to(device)
    target = torch.from_numpy(labels.astype(np.int64)).to(device)
    losses = torch.zeros(len(order), device=device)
    with seeded(seed, device):
        network = backbone(recipe.backbone, outputs, images.shape[1])
        network = network.to(device, memory_format=torch.channels_last).train()
        optimizer, schedule = _optimizer(network, recipe, len(order))
        for step in progress(range(len(order)), label, unit="steps"):
            rows = torch.from_numpy(order[step]).to(device)
            draws = torch.Generator().manual_seed(mix(seed, step))
            image = augment(to_network(pool[rows]), draws)
            losses[step] = _step(network, optimizer, image, target[rows], recipe)
            schedule.step()
            if (step + 1) % CHECK_EVERY == 0 or step + 1 == len(order):
                _refuse_non_finite(losses[: step + 1], label)
    return Trained(network.eval(), losses.cpu().numpy(), time.monotonic() - start)


def _step(
    network: nn.Module, optimizer: torch.optim.AdamW, image: Tensor, target: Tensor, recipe: Recipe
) -> Tensor:
    with _training_precision(recipe.backbone, image.device):
        logit = network(image.contiguous(memory_format=torch.channels_last))
    loss = functional.cross_entropy(logit.float(), target, label_smoothing=recipe.label_smoothing)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.detach()


def _optimizer(network: nn.Module, recipe: Recipe, steps: int) -> tuple:
    optimizer = torch.optim.AdamW(
        network.parameters(), recipe.learning_rate, weight_decay=recipe.weight_decay, fused=True
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


@torch.no_grad()
def predict(
    network: nn.Module, images: np.ndarray, device: torch.device, batch: int = 256
) -> np.ndarray:
    """Softmax float32 (N, K) of uint8 (N, S, S, 3), averaged over four views: as it is, flipped
    each way, and both.
    """
    network.eval()
    softmax = []
    for start in range(0, len(images), batch):
        image = to_network(images[start : start + batch]).to(device)
        views = torch.cat([image, image.flip(-1), image.flip(-2), image.flip(-1, -2)])
        with _bf16(device):
            logit = network(views.contiguous(memory_format=torch.channels_last))
        softmax.append(logit.float().softmax(1).view(4, len(image), -1).mean(0).cpu())
    return torch.cat(softmax).numpy()


def train_encoder(
    prepared: Prepared, fold: int, steps: int, seed: int, device: torch.device, folder: Path
) -> Path:
    """`folder/encoder.pt`: a ResNet-18 that has learned this fold's training lesions and no other,
    for use as a feature extractor.

    A dictionary of `state` (CPU tensors), `classes`, `image_size`, `training_groups`. Kept as it is
    when `encoder.json` says that it was made with the same data and settings and its bytes are
    intact.
    """
    rows = parts(prepared.table, fold)["train"]
    recipe = Recipe(steps=steps, batch=min(64, len(rows)))
    groups = sorted(set(prepared.table["group_id"].iloc[rows]))
    settings = asdict(recipe) | {"seed": seed, "fold": fold, "training_groups": groups_hash(groups)}
    settings |= {"data": prepared.manifest["sha256"]}
    path, card = Path(folder) / "encoder.pt", Path(folder) / ENCODER_CARD
    if (
        path.exists()
        and card.exists()
        and read_json(card) == settings | {"sha256": sha256_file(path)}
    ):
        return path
    labels = prepared.table["label"].to_numpy()[rows]
    order = real_order(labels, steps, recipe.batch, SAMPLING_POWER, mix(seed, fold))
    network = train(
        prepared.images[rows],
        labels,
        order,
        len(prepared.classes),
        recipe,
        seed,
        device,
        label="lesion encoder",
    ).network
    state = {name: value.cpu().contiguous() for name, value in network.state_dict().items()}
    body = {"state": state, "classes": list(prepared.classes), "image_size": prepared.image_size}
    buffer = io.BytesIO()
    torch.save(body | {"training_groups": groups}, buffer)
    write_atomic(path, buffer.getvalue())
    write_json(card, settings | {"sha256": hashlib.sha256(buffer.getvalue()).hexdigest()})
    return path
