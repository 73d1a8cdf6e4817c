import pytest
import torch

from nbhelpers.blocks import ConvDiscriminator, ConvGenerator, widths
from nbhelpers.errors import UsageError


def test_widths_halve_from_the_smallest_map():
    assert widths(64, 64) == [512, 256, 128, 64]
    assert widths(128, 32) == [512, 256, 128, 64, 32]


@pytest.mark.parametrize("size", [64, 128])
def test_shapes_and_range(size):
    torch.manual_seed(0)
    G, D = ConvGenerator(size, 20, 4), ConvDiscriminator(size, 4, "batch")
    image = G(torch.randn(3, 20))
    assert image.shape == (3, 3, size, size)
    assert image.abs().max() <= 1
    assert D(image).shape == (3,)


def test_the_label_is_ignored():
    G, D = ConvGenerator(64, 8, 4).eval(), ConvDiscriminator(64, 4, "none")
    z, label = torch.randn(2, 8), torch.tensor([0, 1])
    assert torch.equal(G(z), G(z, label))
    assert torch.equal(D(G(z)), D(G(z), label))


@pytest.mark.parametrize(
    ("norm", "kind"), [("batch", "BatchNorm2d"), ("none", None), ("spectral", "_SpectralNorm")]
)
def test_the_norm_is_the_one_asked_for(norm, kind):
    kinds = {type(m).__name__ for m in ConvDiscriminator(64, 4, norm).modules()}
    for name in ("BatchNorm2d", "_SpectralNorm"):
        assert (name in kinds) == (name == kind)


def test_spectral_norm_bounds_the_largest_singular_value():
    torch.manual_seed(0)
    D = ConvDiscriminator(64, 8, "spectral")
    for _ in range(30):
        D(torch.randn(2, 3, 64, 64))
    D.eval()
    for module in D.modules():
        if isinstance(module, torch.nn.Conv2d):
            assert torch.linalg.matrix_norm(module.weight.flatten(1), 2).item() == pytest.approx(
                1, abs=0.1
            )


def test_initial_weights_are_the_papers():
    torch.manual_seed(0)
    G = ConvGenerator(64, 100, 64)
    assert G.first.weight.std().item() == pytest.approx(0.02, rel=0.02)
    assert G.to_image.bias.abs().max() == 0


def test_an_unknown_norm_is_refused():
    with pytest.raises(UsageError, match="did you mean 'spectral'"):
        ConvDiscriminator(64, 4, "spectre")
