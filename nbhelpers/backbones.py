"""Classifiers for small pictures, to be trained from scratch or from ImageNet's weights."""

from pathlib import Path

import torch
import torchvision
from torch import Tensor, nn
from torchvision.models import resnet

from .errors import DataError, UsageError, one_of
from .files import sha256_file

PUBLISHED = ("resnet18", "efficientnet_b0", "efficientnet_b3")  # with ImageNet's weights
BACKBONES = ("resnet10", *PUBLISHED)
WEIGHTS = ("scratch", "local", "imagenet")
LARGE = 128  # pixels a side from which EfficientNet keeps its last stride
LEARNING = 6  # EfficientNet's first stage that learns on from ImageNet's weights


class Backbone(nn.Module):
    """`body` maps images (N, 3, S, S) in [-1, 1] to features (N, dimension); `head` maps those to
    logits (N, outputs).
    """

    def __init__(self, body: nn.Module, dimension: int, outputs: int, origin: str):
        super().__init__()
        self.body, self.head = body, nn.Linear(dimension, outputs)
        self.dimension, self.origin = dimension, origin

    def forward(self, image: Tensor) -> Tensor:
        return self.head(self.body(image))

    def train(self, mode: bool = True) -> "Backbone":
        """Training mode, except for batch norms that do not learn: they keep their statistics."""
        super().train(mode)
        for layer in self.body.modules():
            if isinstance(layer, nn.BatchNorm2d) and not layer.weight.requires_grad:
                layer.eval()
        return self


def backbone(name: str, outputs: int, image_size: int, weights: str | None = None) -> Backbone:
    """A classifier network for pictures of `image_size` pixels; `origin` says where its first
    weights come from.

    `weights`: None or "scratch"; "local" takes ImageNet's when torch's cache holds them and prints
    when it does not; "imagenet" fetches them when needed, and is a DataError without a network.
    """
    one_of("backbone", name, BACKBONES)
    weights = one_of("weights", weights or "scratch", WEIGHTS)
    state = None if weights == "scratch" else _imagenet(name, weights)
    build = _efficientnet if name.startswith("efficientnet") else _resnet
    body, dimension = build(name, image_size, state)
    return Backbone(body, dimension, outputs, "from scratch" if state is None else "ImageNet")


def imagenet_file(name: str) -> Path:
    """Where torch's cache keeps torchvision's ImageNet weights of a network, there or not. The name
    ends in the first eight hex digits of their SHA-256.
    """
    url = torchvision.models.get_model_weights(name).DEFAULT.url
    return Path(torch.hub.get_dir()) / "checkpoints" / url.rsplit("/", 1)[-1]


def _imagenet(name: str, weights: str) -> dict[str, Tensor] | None:
    """ImageNet's state dict without its head; None, said aloud, when "local" finds no file."""
    if name not in PUBLISHED:
        raise UsageError(
            f"weights={weights!r}: {name} has none of ImageNet. Use scratch, or "
            f"{', '.join(PUBLISHED[:-1])} or {PUBLISHED[-1]}."
        )
    file = imagenet_file(name)
    if weights == "local" and not file.exists():
        print(f"{name}: ImageNet's {file.name} is not in torch's cache, so it starts from scratch")
        return None
    if not file.exists():
        url = torchvision.models.get_model_weights(name).DEFAULT.url
        file.parent.mkdir(parents=True, exist_ok=True)
        try:
            torch.hub.download_url_to_file(url, str(file), progress=False)
        except OSError as error:
            raise DataError(
                f"ImageNet's {file.name}: {error}. Put the file into torch's cache, or use scratch."
            ) from error
    state = imagenet_state(file)
    return {
        key: value for key, value in state.items() if not key.startswith(("fc.", "classifier."))
    }


def digest_in_name(file: Path) -> str:
    """The first eight hex digits of its SHA-256, which torch's names end in."""
    return file.stem.rsplit("-", 1)[-1]


def imagenet_state(file: Path) -> dict[str, Tensor]:
    """The state dict in a file of torch's cache. DataError when its bytes are not those that its
    name tells of: nothing of it is read then. (torchvision's own way looks at the hash of a new
    file only, and unpickles an old one.)"""
    if not sha256_file(file).startswith(digest_in_name(file)):
        raise DataError(f"{file.name} is damaged (SHA-256 differs): delete it and fetch it again")
    return torch.load(file, map_location="cpu", weights_only=True)


def _resnet(name: str, image_size: int, state: dict[str, Tensor] | None) -> tuple[nn.Module, int]:
    """From scratch its 7 x 7 stem becomes 3 x 3: made for 224 px, it would blur most of 64 px away.

    "resnet10" has one block a stage and no max-pool: half the depth on maps of twice the side.
    """
    if name == "resnet10":
        network = resnet.ResNet(resnet.BasicBlock, [1, 1, 1, 1])
        network.maxpool = nn.Identity()
    else:
        network = torchvision.models.resnet18(weights=None)
    if state is None:
        network.conv1 = nn.Conv2d(3, 64, 3, stride=2, padding=1, bias=False)
        nn.init.kaiming_normal_(network.conv1.weight, mode="fan_out", nonlinearity="relu")
    network.fc = nn.Identity()
    if state is not None:
        network.load_state_dict(state)
    return network, 512


def _efficientnet(
    name: str, image_size: int, state: dict[str, Tensor] | None
) -> tuple[nn.Module, int]:
    """Its last stride becomes 1 below 128 px: 4 x 4 at the end. A stem of stride 1 gives the same
    at four times the cost.

    With ImageNet's weights only the last blocks learn on, as few images would soon spoil the rest.
    """
    network = getattr(torchvision.models, name)(weights=None)
    dropout, dimension = network.classifier[0].p, network.classifier[1].in_features
    network.classifier = nn.Dropout(dropout)
    if state is not None:
        network.load_state_dict(state)
        network.features[:LEARNING].requires_grad_(False)
    if image_size < LARGE:
        for layer in network.features[6].modules():
            if isinstance(layer, nn.Conv2d) and layer.stride == (2, 2):
                layer.stride = (1, 1)
    return network, dimension
