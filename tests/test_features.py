"""Encoders that say who they are, the same whatever the batch, and the cache."""

import hashlib
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from test_metrics import pictures
from torch.nn import functional

from nbhelpers import features
from nbhelpers.backbones import backbone
from nbhelpers.errors import DataError, MetricError
from nbhelpers.files import sha256_file
from nbhelpers.images import to_network, to_unit

ROOT = Path(__file__).parents[1]


def write_encoder(folder, size: int = 64, classes=("bcc", "nv"), groups=("L1", "L2")):
    """An untrained lesion encoder, as `lesion_encoder.train_encoder` writes a trained one."""
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        network = backbone("resnet18", len(classes), size)
    body = {"state": network.state_dict(), "classes": list(classes), "image_size": size}
    folder.mkdir(parents=True, exist_ok=True)
    torch.save(body | {"training_groups": list(groups)}, folder / "encoder.pt")
    digest = hashlib.sha256((folder / "encoder.pt").read_bytes()).hexdigest()
    (folder / "encoder.json").write_text(json.dumps({"sha256": digest}))
    return folder / "encoder.pt"


def drawn(build):
    """The network that `build()` returns, with random weights, and batch norms that do something;
    in evaluation mode."""
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        network = build()
        for layer in network.modules():
            if isinstance(layer, torch.nn.BatchNorm2d):
                for value, low in ((layer.running_mean, -0.2), (layer.running_var, 0.8)):
                    value.uniform_(low, low + 0.4)
    return network.eval()


@pytest.fixture
def imagenet(tmp_path, monkeypatch):
    """A file in the place of ImageNet's ResNet-18, and the network whose weights it holds."""
    network = drawn(torchvision.models.resnet18)
    torch.save(network.state_dict(), tmp_path / "file")
    place = tmp_path / f"resnet18-{sha256_file(tmp_path / 'file')[:8]}.pth"
    (tmp_path / "file").rename(place)
    monkeypatch.setattr(features, "imagenet_file", lambda name: place)
    network.fc = torch.nn.Identity()
    return place, network


@pytest.fixture
def inception(tmp_path, monkeypatch):
    """A file in the place of FID's Inception, and the network whose weights it holds."""
    network, path = drawn(features.inception_network), tmp_path / "weights.pth"
    torch.save(network.state_dict(), path)
    known = replace(features.INCEPTION, sha256=sha256_file(path))
    monkeypatch.setattr(features, "INCEPTION", known)
    network.fc = torch.nn.Identity()
    return path, network


def enlarged(image, size):
    return functional.interpolate(image, size=(size, size), mode="bilinear", align_corners=False)


def test_random_encoder_is_a_function_of_its_seed():
    images, encoder = pictures(70), features.random_encoder(0)
    found = encoder(images)
    assert found.shape == (70, encoder.dimension) and found.dtype == np.float32
    assert np.array_equal(found, features.random_encoder(0)(images))
    assert not np.allclose(found, features.random_encoder(1)(images))
    assert not encoder.trained
    assert encoder(images[:0]).shape == (0, encoder.dimension)


def test_features_are_the_same_whatever_the_batch(tmp_path, monkeypatch):
    images, path = pictures(64), write_encoder(tmp_path)
    native = features.lesion_encoder(path)
    monkeypatch.setattr(features, "fastest", lambda device: torch.float32)
    for encoder in (native, features.lesion_encoder(path), features.random_encoder(0)):
        found = replace(encoder, batch=64)(images)
        for batch in (1, 7):
            again = replace(encoder, batch=batch)(images)
            np.testing.assert_allclose(again, found, atol=1e-4, err_msg=f"{encoder.name} {batch}")
        np.testing.assert_allclose(encoder(images[5:6]), found[5:6], atol=1e-4)


def test_making_an_encoder_leaves_the_global_random_state(tmp_path, imagenet, inception):
    path = write_encoder(tmp_path)
    for make in (
        lambda: features.random_encoder(5),
        lambda: features.lesion_encoder(path),
        features.efficientnet_lite,
        features.imagenet_resnet18,
        lambda: features.inception(inception[0]),
    ):
        torch.manual_seed(3)
        before = torch.get_rng_state()
        make()
        assert torch.equal(before, torch.get_rng_state())


def test_lesion_encoder_is_read_back(tmp_path):
    encoder = features.lesion_encoder(write_encoder(tmp_path))
    assert encoder.trained and encoder.training_groups == ("L1", "L2")
    found = encoder(pictures(3))
    assert found.shape == (3, 512)
    assert np.linalg.norm(found, axis=1) == pytest.approx(512**0.5, rel=1e-4)
    assert len(encoder.identity) == 64
    with pytest.raises(MetricError, match="128 px"):
        encoder(pictures(1, size=128))


def test_a_missing_or_damaged_lesion_encoder_is_named(tmp_path):
    with pytest.raises(DataError, match=r"encoder.pt is missing: run notebook 21"):
        features.lesion_encoder(tmp_path / "encoder.pt")
    path = write_encoder(tmp_path)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(DataError, match="damaged"):
        features.lesion_encoder(path)
    (tmp_path / "encoder.json").unlink()
    path.write_bytes(content[:1000])
    with pytest.raises(DataError, match="no lesion encoder"):
        features.lesion_encoder(path)


@pytest.mark.parametrize(
    ("fastest", "precision", "difference"),
    [
        (torch.float32, torch.float32, 1e-5),
        (torch.float16, torch.float32, 1e-5),
        (torch.bfloat16, torch.bfloat16, 0.02),
    ],
)
def test_lesion_encoder_is_its_network_in_the_devices_precision(
    tmp_path, monkeypatch, fastest, precision, difference
):
    monkeypatch.setattr(features, "fastest", lambda device: fastest)
    path, images = write_encoder(tmp_path), pictures(8)
    encoder = features.lesion_encoder(path)
    assert encoder.precision is precision
    network = backbone("resnet18", 2, 64)
    network.load_state_dict(torch.load(path, weights_only=True)["state"])
    with torch.no_grad():
        plain = functional.normalize(network.body.eval()(to_network(images))).numpy() * 512**0.5
    assert np.abs(encoder(images) - plain).mean() < difference * np.abs(plain).mean()


def test_inception_absent_or_with_another_hash_has_a_reason(tmp_path):
    with pytest.raises(DataError, match="no Inception weights: run `nbhelpers download inception`"):
        features.inception(tmp_path / "none.pth")
    (tmp_path / "other.pth").write_bytes(b"weights")
    with pytest.raises(DataError, match=r"SHA-256 differs.*nbhelpers download inception"):
        features.inception(tmp_path / "other.pth")


def test_inception_fused_is_the_ported_network(inception):
    path, network = inception
    encoder, images = features.inception(path), pictures(2)
    with torch.no_grad():
        plain = network(enlarged(to_network(images), 299)).numpy()
    assert plain.shape == (2, 2048) and encoder.precision is torch.float32
    np.testing.assert_allclose(encoder(images), plain, atol=1e-4 * np.abs(plain).max())


def test_imagenets_resnet18_gets_what_it_was_trained_on(imagenet):
    encoder, images = features.imagenet_resnet18(), pictures(2)
    image = enlarged(to_unit(images), 224)
    for c, (mean, deviation) in enumerate(((0.485, 0.229), (0.456, 0.224), (0.406, 0.225))):
        image[:, c] = (image[:, c] - mean) / deviation
    with torch.no_grad():
        plain = functional.normalize(imagenet[1](image)).numpy() * 512**0.5
    np.testing.assert_allclose(encoder(images), plain, atol=1e-3)


def test_imagenets_resnet18_absent_or_damaged_has_a_reason(imagenet):
    place, _ = imagenet
    place.write_bytes(place.read_bytes()[:-1])
    with pytest.raises(DataError, match=r"resnet18-.*is damaged .*delete it"):
        features.imagenet_resnet18()
    place.unlink()
    with pytest.raises(DataError, match=r"put resnet18-.* into torch's cache"):
        features.imagenet_resnet18()


def test_a_run_has_every_encoder_or_the_reason_why_not(tmp_path, monkeypatch, imagenet):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    monkeypatch.setitem(sys.modules, "efficientnet_lite_pytorch", None)
    found = features.encoders(tmp_path / "run")
    assert list(found) == list(features.ENCODERS)
    assert "run notebook 21" in found["lesion ResNet-18"]
    assert "pip install" in found["ImageNet EfficientNet-Lite0"]
    assert "nbhelpers download inception" in found["Inception"]
    assert found["ImageNet ResNet-18"].dimension == 512
    write_encoder(tmp_path / "run" / "encoder")
    monkeypatch.undo()
    monkeypatch.setattr(features, "imagenet_file", lambda name: tmp_path / "none.pth")
    again = features.encoders(tmp_path / "run")
    assert again["lesion ResNet-18"].training_groups == ("L1", "L2")
    assert again["ImageNet EfficientNet-Lite0"].dimension == 1280
    assert "put none.pth" in again["ImageNet ResNet-18"]


def test_an_encoder_has_the_name_it_is_asked_for_by(tmp_path, monkeypatch, imagenet, inception):
    monkeypatch.setattr(features, "inception_path", lambda: inception[0])
    write_encoder(tmp_path / "encoder")
    found = features.encoders(tmp_path)
    assert [encoder.name for encoder in found.values()] == list(features.ENCODERS)


def counted(encoder):
    """The encoder, and a list that grows by the number of pictures it is shown."""
    asked = []
    look = encoder.network
    return replace(encoder, network=lambda image: asked.append(len(image)) or look(image)), asked


def test_the_second_evaluation_reads_the_cache(tmp_path):
    encoder, asked = counted(features.random_encoder(0))
    images = pictures(5)
    first = features.cached(encoder, images, tmp_path)
    second = features.cached(encoder, images.copy(), tmp_path)
    assert asked == [5] and np.array_equal(first, second)
    features.cached(encoder, images[::-1], tmp_path)
    assert asked == [5, 5]  # the same pictures in another order are another set
    features.cached(features.random_encoder(1), images, tmp_path)
    assert len(list(tmp_path.glob("*.npy"))) == 3 == len(list(tmp_path.iterdir()))


def test_a_cut_cache_file_is_made_again(tmp_path):
    encoder, asked = counted(features.random_encoder(0))
    images = pictures(5)
    first = features.cached(encoder, images, tmp_path)
    (path,) = tmp_path.glob("*.npy")
    for damage in (path.read_bytes()[:50], b"", path.read_bytes()[:-8]):
        path.write_bytes(damage)
        assert np.array_equal(features.cached(encoder, images, tmp_path), first)
    assert asked == [5] * 4 and np.array_equal(np.load(path), first)


def test_whatever_changes_the_features_changes_the_key():
    encoder, images = features.random_encoder(0), pictures(3)
    brighter = images.copy()
    brighter[2, 1, 1, 1] ^= 1
    keys = {
        features.content_key(one, seen)
        for one, seen in (
            (encoder, images),
            (replace(encoder, batch=1), images.copy()),  # this does not
            (encoder, brighter),
            (encoder, images[:2]),
            (encoder, images.reshape(1, 64, 192, 3)),
            (replace(encoder, precision=torch.bfloat16), images),
            (replace(encoder, device=torch.device("cuda")), images),
            (replace(encoder, name="another"), images),
            (features.random_encoder(1), images),
        )
    }
    assert len(keys) == 8


def test_features_of_another_version_are_not_read(monkeypatch):
    before = features.random_encoder(0).identity
    monkeypatch.setattr(features, "VERSION", features.VERSION + 1)
    assert features.random_encoder(0).identity != before


RACE = """
import sys, time
from pathlib import Path
import numpy as np
from nbhelpers import features
place, encoder = Path(sys.argv[1]), features.random_encoder(0)
images = np.load(place / "images.npy")
path = place / "cache" / f"{features.content_key(encoder, images)}.npy"
(place / f"ready {sys.argv[2]}").touch()
while len(list(place.glob("ready *"))) < 2:
    time.sleep(0.001)
for _ in range(300):
    features.cached(encoder, images, place / "cache")
    path.unlink(missing_ok=True)
features.cached(encoder, images, place / "cache")
"""


def test_processes_that_write_one_file_do_not_hurt_each_other(tmp_path):
    images = pictures(1, size=16)
    np.save(tmp_path / "images.npy", images)
    command = [sys.executable, "-c", RACE, str(tmp_path)]
    both = [subprocess.Popen([*command, name], cwd=ROOT) for name in "ab"]
    assert [process.wait(120) for process in both] == [0, 0]
    (path,) = (tmp_path / "cache").iterdir()
    assert np.array_equal(np.load(path), features.random_encoder(0)(images))


def test_the_imagenet_encoder_knows_a_blurred_photograph_from_another(prepared):
    encoder = features.efficientnet_lite()
    images = prepared.images[:6]
    found = encoder(images)
    assert found.shape == (6, encoder.dimension) and encoder.trained
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), encoder.dimension**0.5, rtol=1e-5)
    np.testing.assert_allclose(encoder(images[:2]), found[:2], atol=1e-3)  # whatever the batch
    brighter = encoder((images * 0.95 + 10).astype(np.uint8))
    own = np.linalg.norm(found - brighter, axis=1)
    others = np.linalg.norm(found - np.roll(found, 3, axis=0), axis=1)  # of the other class
    assert (own < others).all()


def test_without_its_packages_the_imagenet_encoder_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "efficientnet_lite_pytorch", None)
    with pytest.raises(DataError, match=r"pip install 'nbhelpers\[imagenet\]'"):
        features.efficientnet_lite()
