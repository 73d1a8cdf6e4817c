import pytest
import torch

from nbhelpers.blocks import (
    ClassBatchNorm,
    ConvDiscriminator,
    ConvGenerator,
    LowPass,
    fade,
    rescaled,
    told,
    widths,
)
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


@pytest.mark.parametrize("upsampling", ["transposed", "bilinear"])
@pytest.mark.parametrize("size", [64, 128])
def test_both_ways_of_enlarging_reach_the_size(upsampling, size):
    G = ConvGenerator(size, 8, 4, upsampling=upsampling)
    assert G(torch.randn(2, 8)).shape == (2, 3, size, size)
    kinds = [type(m).__name__ for m in G.modules()]
    assert ("ConvTranspose2d" in kinds) == (upsampling == "transposed")


def test_an_unknown_way_of_enlarging_is_refused():
    with pytest.raises(UsageError, match="did you mean 'bilinear'"):
        ConvGenerator(64, 8, 4, upsampling="bilinar")


def test_a_condition_fades_in_by_hand():
    assert [fade(p, 0.2, 0.6) for p in (0.0, 0.2, 0.3, 0.6, 1.0)] == pytest.approx(
        [0, 0, 0.25, 1, 1]
    )
    assert fade(0.0, 0.0, 0.0) == 1.0  # no fade: heard from the first step


def test_rescaled_vectors_are_as_long_as_noise():
    rows = torch.tensor([[3.0, 4.0], [0.3, 0.4], [0.0, 0.0]])
    expected = torch.tensor([[0.6, 0.8], [0.6, 0.8], [0.0, 0.0]]) * 2**0.5
    torch.testing.assert_close(rescaled(rows), expected, atol=1e-4, rtol=1e-4)


def test_what_g_is_told_stands_beside_the_noise_at_length_1():
    z, label = torch.randn(3, 6), torch.tensor([0, 1, 1])
    embedding = torch.nn.Embedding(2, 6)
    with torch.no_grad():
        embedding.weight.mul_(50.0)
        given = told(z, embedding, label, 0.5)
    assert torch.equal(given[:, :6], z)
    torch.testing.assert_close(given[:, 6:].norm(dim=1), torch.full((3,), 0.5))
    assert torch.equal(given[1, 6:], given[2, 6:]) and not torch.equal(given[0, 6:], given[1, 6:])
    assert told(z, None, label) is z


@pytest.mark.parametrize("heard", [0.0, 1.0])
def test_a_label_is_heard_as_far_as_the_condition_says(heard):
    torch.manual_seed(0)
    G, D = ConvGenerator(64, 8, 4, 2).eval(), ConvDiscriminator(64, 4, "none", 2)
    for network in (G, D):
        network.condition.fill_(heard)
    z, image = torch.randn(4, 8), torch.rand(4, 3, 64, 64)
    one, other = torch.zeros(4, dtype=torch.long), torch.ones(4, dtype=torch.long)
    with torch.no_grad():
        assert torch.equal(G(z, one), G(z, other)) == (heard == 0)
        assert torch.equal(D(image, one), D(image, other)) == (heard == 0)


def test_a_logit_with_classes_by_hand():
    """u(f) and <f, e_y>, f summed over its places, e_y the row of the class."""
    torch.manual_seed(0)
    D, image, label = ConvDiscriminator(64, 4, "none", 3), torch.rand(5, 3, 64, 64), [0, 2, 1, 2, 0]
    D.condition.fill_(0.25)
    with torch.no_grad():
        f = D.stages(image)
        source = (f * D.to_logit.weight).sum((1, 2, 3)) + D.to_logit.bias
        projected = (f.sum((2, 3)) * D.to_classes.weight[label]).sum(1)
        found = D(image, torch.tensor(label))
    torch.testing.assert_close(found, source + 0.25 * projected)
    assert not torch.allclose(found, source)


def test_the_low_pass_takes_checkerboards_and_leaves_plain_areas():
    rows, columns = torch.meshgrid(torch.arange(8), torch.arange(8), indexing="ij")
    plain, board = torch.full((1, 3, 8, 8), 0.7), (-1.0) ** (rows + columns).expand(1, 3, 8, 8)
    stripes, point = (-1.0) ** columns.expand(1, 3, 8, 8), torch.zeros(1, 1, 5, 5)
    point[0, 0, 2, 2] = 16.0
    torch.testing.assert_close(LowPass()(plain), plain)
    for finest in (board, stripes):
        assert LowPass()(finest)[..., 1:-1, 1:-1].abs().max() < 1e-6
    by_hand = torch.outer(*2 * [torch.tensor([0.0, 1.0, 2.0, 1.0, 0.0])])
    torch.testing.assert_close(LowPass()(point)[0, 0], by_hand)


def test_a_generator_with_a_low_pass_leaves_no_checkerboard():
    board, left = (-1.0) ** torch.arange(32), {}
    for low_pass in (False, True):
        torch.manual_seed(0)
        before_tanh = ConvGenerator(32, 8, 4, low_pass=low_pass)(torch.randn(16, 8)).atanh()
        found = before_tanh * board[:, None] * board
        left[low_pass] = found[..., 1:-1, 1:-1].mean().abs().item()
    assert left[True] < 0.05 * left[False]


def test_class_norm_scales_and_shifts_by_class_as_far_as_the_condition_says():
    norm, x = ClassBatchNorm(2, 3), torch.randn(6, 3, 4, 4)
    label = torch.tensor([0, 0, 0, 1, 1, 1])
    torch.testing.assert_close(norm(x, label), norm.norm(x))  # plain, until it learns otherwise
    with torch.no_grad():
        norm.of_class.weight[1] = torch.tensor([1.0, 1.0, 1.0, 5.0, 5.0, 5.0])  # scales, shifts
    plain, heard = norm.norm(x), norm(x, label)
    torch.testing.assert_close(heard[:3], plain[:3])
    torch.testing.assert_close(heard[3:], 2 * plain[3:] + 5)
    torch.testing.assert_close(norm(x, label, 0.5)[3:], 1.5 * plain[3:] + 2.5)


def test_a_generator_with_class_norm_hears_the_label_in_every_normalisation():
    torch.manual_seed(0)
    G = ConvGenerator(32, 8, 4, classes=2, class_norm=True).eval()
    z, zeros = torch.randn(4, 8), torch.zeros(4, dtype=torch.int64)
    G.embedding.weight.data[1] = G.embedding.weight[0]
    torch.testing.assert_close(G(z, zeros), G(z, zeros + 1))  # told the same, nothing learned yet
    layers = [stage for stage in G.stages if isinstance(stage, ClassBatchNorm)]
    assert len(layers) == 3
    for layer in layers:
        layer.of_class.weight.data[1] = 1.0
        assert not torch.allclose(G(z, zeros), G(z, zeros + 1), atol=1e-4)
        layer.of_class.weight.data[1] = 0.0
    unlabelled = ConvGenerator(32, 8, 4, class_norm=True)
    assert not any(isinstance(stage, ClassBatchNorm) for stage in unlabelled.stages)
