"""Classifiers for small pictures, from scratch or from ImageNet's weights."""

import pytest
import torch

from nbhelpers import backbones
from nbhelpers.errors import DataError, UsageError


@pytest.mark.parametrize(
    ("name", "dimension", "size", "side"),
    [
        ("resnet18", 512, 64, 2),
        ("resnet18", 512, 128, 4),
        ("resnet10", 512, 64, 4),
        ("efficientnet_b0", 1280, 64, 4),
        ("efficientnet_b0", 1280, 128, 4),
        ("efficientnet_b3", 1536, 64, 4),
    ],
)
def test_backbones_keep_a_map_to_look_at(name, dimension, size, side):
    network = backbones.backbone(name, 7, size).eval()
    maps = []
    last = network.body.layer4 if name.startswith("resnet") else network.body.features
    last.register_forward_hook(lambda *given: maps.append(given[2].shape[-1]))
    with torch.no_grad():
        logit = network(torch.zeros(2, 3, size, size))
    assert logit.shape == (2, 7) and maps == [side]
    assert network.dimension == dimension == network.head.in_features
    assert network.origin == "from scratch"


def test_absent_imagenet_weights_are_said(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    network = backbones.backbone("resnet18", 3, 64, weights="local")
    assert network.origin == "from scratch"
    assert "from scratch" in capsys.readouterr().out
    assert backbones.backbone("resnet18", 3, 64).origin == "from scratch"
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("name", backbones.PUBLISHED)
def test_imagenet_weights_fit(name, monkeypatch):
    import torchvision

    full = torchvision.models.get_model(name, weights=None)
    state = {k: v for k, v in full.state_dict().items() if not k.startswith(("fc.", "classifier."))}
    monkeypatch.setattr(backbones, "_imagenet", lambda *_: state)
    network = backbones.backbone(name, 3, 64, weights="imagenet").eval()
    assert network.origin == "ImageNet"
    assert network(torch.zeros(1, 3, 64, 64)).shape == (1, 3)
    first = next(iter(state.values()))
    assert torch.equal(next(network.body.parameters()), first)


def test_only_the_last_blocks_of_a_known_efficientnet_learn(monkeypatch):
    import torchvision

    full = torchvision.models.efficientnet_b0(weights=None)
    state = {k: v for k, v in full.state_dict().items() if not k.startswith("classifier.")}
    monkeypatch.setattr(backbones, "_imagenet", lambda *_: state)
    network = backbones.backbone("efficientnet_b0", 3, 64, weights="imagenet").train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    learning = [weight for weight in network.parameters() if weight.requires_grad]
    rate = torch.optim.SGD(learning, 0.1)
    network(torch.randn(4, 3, 64, 64)).square().sum().backward()
    rate.step()
    moved = {n for n, value in network.state_dict().items() if not torch.equal(value, before[n])}
    stages = {int(name.split(".")[2]) for name in moved if name.startswith("body.features")}
    assert stages == {6, 7, 8} and "head.weight" in moved


def test_misspelt_names_are_refused():
    with pytest.raises(UsageError, match="resnet18"):
        backbones.backbone("resnet", 3, 64)
    with pytest.raises(UsageError, match="imagenet"):
        backbones.backbone("resnet18", 3, 64, weights="imagnet")


@pytest.mark.parametrize("weights", ["local", "imagenet"])
def test_a_network_that_nobody_trained_on_imagenet_is_refused(weights):
    with pytest.raises(UsageError, match=f"{weights}.*resnet10 has none.*scratch, or resnet18"):
        backbones.backbone("resnet10", 3, 64, weights=weights)


def test_the_file_of_imagenets_weights_is_named_as_torchvision_does(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    for name in backbones.PUBLISHED:
        path = backbones.imagenet_file(name)
        assert path.parent == tmp_path / "checkpoints" and path.suffix == ".pth"
        stem, digits = path.stem.rsplit("-", 1)
        assert stem.startswith(name) and len(digits) == 8 and int(digits, 16) > 0


def test_without_a_network_imagenets_weights_are_an_error(tmp_path, monkeypatch):
    def offline(*_, **__):
        raise OSError("no route to host")

    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", offline)
    with pytest.raises(DataError, match=r"no route to host\. Put the file into torch's cache"):
        backbones.backbone("resnet18", 3, 64, weights="imagenet")
