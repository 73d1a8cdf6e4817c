"""The networks of pix2pix: what they are made of, what they see, and where their chance lies."""

import pytest
import torch
from torch import nn

from nbhelpers import unet
from nbhelpers.errors import UsageError
from nbhelpers.unet import PatchDiscriminator, Translator, UNet, mask_planes, told_class


def drawing(size: int = 64, width: int = 4, **settings) -> UNet:
    torch.manual_seed(0)
    return UNet(size, 2, 3, width, **settings).eval()


def source(height: int = 64, width: int = 64, count: int = 2) -> torch.Tensor:
    torch.manual_seed(1)
    return torch.rand(count, 2, height, width)


def seeded(net: nn.Module, x: torch.Tensor, seed: int = 0, label=None) -> torch.Tensor:
    torch.manual_seed(seed)
    with torch.no_grad():
        return net(x, label)


@pytest.mark.parametrize(("size", "depth"), [(64, 6), (128, 7), (256, 8)])
def test_the_picture_is_halved_down_to_one_pixel(size, depth):
    net, maps = drawing(size), []
    for stage in net.down:
        stage.register_forward_hook(lambda stage, given, made: maps.append(made.shape[1:]))
    assert seeded(net, source(size, size)).shape == (2, 3, size, size)
    wide = [4 * min(2**i, 8) for i in range(depth)]
    assert maps == [(c, size >> i, size >> i) for i, c in enumerate(wide, 1)]
    assert maps[-1][1:] == (1, 1) and net.multiple == size
    assert len(net.up) == depth - 1  # and one more to the picture


def test_the_papers_generator_has_54_million_weights():
    with torch.device("meta"):  # counted, not filled
        G = Translator(256, 6, 3, 64)
    assert sum(w.numel() for w in G.parameters()) == 54_420_035
    assert [stage[0].out_channels for stage in G.down] == [64, 128, 256] + [512] * 5
    assert [stage[1].in_channels for stage in G.up] == [512] + [1024] * 4 + [512, 256]


def test_neither_the_picture_nor_a_single_pixel_is_normalised():
    """Batch statistics of one pixel are that pixel: a batch of one would lose it."""
    normed = [any(isinstance(m, nn.BatchNorm2d) for m in stage) for stage in drawing().down]
    assert normed == [False, True, True, True, True, False]


def test_an_image_fills_its_range_and_a_map_is_any_number():
    for kind, most in ((Translator, 1.0), (UNet, 1e3)):
        torch.manual_seed(0)
        net = kind(64, 2, 3, 4)
        nn.init.normal_(net.to_image[1].weight, 0, 1e3)
        made = seeded(net, source())
        assert made.dtype == torch.float32
        assert made.max() >= most and made.min() <= -most
        assert kind is UNet or made.abs().max() == 1


@pytest.mark.parametrize(("height", "width"), [(64, 128), (192, 64), (128, 128)])
def test_larger_multiples_are_drawn_at_their_size(height, width):
    assert seeded(drawing(), source(height, width)).shape == (2, 3, height, width)


@pytest.mark.parametrize(("height", "width"), [(64, 96), (96, 64), (32, 32), (65, 65)])
def test_other_sides_are_refused_by_name(height, width):
    told = f"a picture of {width} x {height} pixels does not halve 6 times: pass multiples of 64 px"
    with pytest.raises(UsageError, match=f"{told}, or use tiles.large"):
        drawing()(source(height, width))


def cut_off_below(net: UNet, stage: int) -> UNet:
    """The net whose stage `stage` of the way up gives nothing: what still comes came beside."""
    for part in net.up[stage][2].parameters():
        nn.init.zeros_(part)
    return net


def test_detail_goes_past_the_bottleneck():
    one, other = source(count=1), source(count=1)
    other[..., 20, 41] += 1.0
    net = cut_off_below(drawing(noise=0.0), -1)
    moved = (seeded(net, other) - seeded(net, one)).abs().amax(dim=(0, 1))
    rows, columns = moved.nonzero(as_tuple=True)
    assert len(rows) and (rows - 20).abs().max() <= 3 and (columns - 41).abs().max() <= 3
    whole = drawing(noise=0.0)
    for weight in whole.parameters():
        nn.init.normal_(weight, 0, 0.2)  # with first weights the far is lost in float32
    assert (seeded(whole, other) - seeded(whole, one)).abs().amax(dim=(0, 1))[-1, 0] > 0


def test_every_depth_has_its_way_past():
    """With all below a stage cut off, two sources are still told apart at each of them."""
    for stage in range(5):
        net = cut_off_below(drawing(noise=0.0), stage)
        assert not torch.equal(seeded(net, source()), seeded(net, source().flip(-1)))


def test_dropout_is_on_in_use_and_is_the_only_chance():
    net = drawing()
    assert not net.training
    assert not torch.equal(seeded(net, source(), 1), seeded(net, source(), 2))
    assert torch.equal(seeded(net, source(), 1), seeded(net, source(), 1))
    still = drawing(noise=0.0)
    assert torch.equal(seeded(still, source(), 1), seeded(still, source(), 2))


def test_the_three_innermost_stages_are_noisy(monkeypatch):
    known, seen = unet.dropout, []

    def recorded(x, *told):
        seen.append((x.shape[-1], *told))
        return known(x, *told)

    monkeypatch.setattr(unet, "dropout", recorded)
    seeded(drawing(128, noise=0.25), source(128, 128))
    assert seen == [(2, 0.25), (4, 0.25), (8, 0.25)]


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_what_dropout_takes_does_not_hang_on_the_order_in_memory(layout):
    x = torch.rand(64, 16, 8, 8) + 1
    torch.manual_seed(0)
    expected = unet.dropout(x, 0.25)
    torch.manual_seed(0)
    assert torch.equal(unet.dropout(x.to(memory_format=layout), 0.25), expected)
    kept = expected != 0
    assert kept.float().mean().item() == pytest.approx(0.75, abs=0.01)
    torch.testing.assert_close(expected[kept], x[kept] / 0.75)
    assert unet.dropout(x, 0.0).equal(x)


def test_the_class_is_told_as_planes():
    net, label = drawing(classes=3, noise=0.0), torch.tensor([0, 2])
    assert net.down[0][0].in_channels == 5
    assert not torch.equal(seeded(net, source(), 0, label), seeded(net, source(), 0, label.flip(0)))


@pytest.mark.parametrize("kind", ["transposed", "bilinear"])
def test_both_enlargements_fit(kind):
    net = drawing(upsampling=kind)
    assert any(isinstance(m, nn.Upsample) for m in net.modules()) == (kind == "bilinear")
    assert seeded(net, source()).shape == (2, 3, 64, 64)
    with pytest.raises(UsageError, match="upsampling 'bilinaer' is unknown: did you mean 'bili"):
        drawing(upsampling="bilinaer")


def judge(norm: str = "none", classes: int = 0) -> PatchDiscriminator:
    torch.manual_seed(0)
    return PatchDiscriminator(2, 4, norm, classes).eval()


@pytest.mark.parametrize(("size", "patches"), [(64, 6), (128, 14), (256, 30)])
def test_a_logit_for_each_patch(size, patches):
    pair = torch.rand(2, 3, size, size), source(size, size)
    assert judge("batch")(*pair).shape == (2, patches, patches)


def test_a_logit_sees_70_pixels_of_image_and_of_source():
    image, mask = torch.rand(1, 3, 256, 256), source(256, 256, 1)
    both = [x.double().requires_grad_() for x in (image, mask)]
    logits = judge().double().stages(torch.cat(both, dim=1))
    centre = judge().double().to_logit(logits)[0, 0, 15, 15]
    for slope in torch.autograd.grad(centre, both):
        seen = slope.abs().sum(dim=(0, 1))
        for side in (seen.amax(0), seen.amax(1)):
            at = side.nonzero()[:, 0]
            assert at[-1] - at[0] + 1 == 70 and at[0] > 0 and at[-1] < 255


def test_each_norm_of_the_judge():
    kinds = {norm: [type(m).__name__ for m in judge(norm).modules()] for norm in unet_norms()}
    assert kinds["batch"].count("BatchNorm2d") == 3  # not on the picture, not on the logit
    assert kinds["none"].count("BatchNorm2d") == kinds["spectral"].count("BatchNorm2d") == 0
    assert kinds["spectral"].count("ParametrizedConv2d") == 5
    assert "ParametrizedConv2d" not in kinds["batch"] + kinds["none"]


def unet_norms() -> tuple[str, ...]:
    return "batch", "spectral", "none"


def test_the_judge_is_told_image_source_and_class():
    D, image, label = judge(classes=3), torch.rand(2, 3, 64, 64), torch.tensor([0, 2])
    assert D.stages[0].in_channels == 3 + 2 + 3
    with torch.no_grad():
        first = D(image, source(), label)
        others = (
            D(image.flip(-1), source(), label),
            D(image, source().flip(-1), label),
            D(image, source(), label.flip(0)),
        )
    assert not any(torch.equal(first, other) for other in others)


def test_one_plane_a_class():
    x = source(3, 5)
    told = told_class(x, torch.tensor([1, 0]), 3)
    assert told.shape == (2, 5, 3, 5) and told.dtype == x.dtype and torch.equal(told[:, :2], x)
    assert told[0, 2:].mean(dim=(1, 2)).tolist() == [0, 1, 0]
    assert told[1, 2:].mean(dim=(1, 2)).tolist() == [1, 0, 0]
    assert told_class(x, None, 0) is x


def test_one_plane_a_class_of_the_mask():
    masks = torch.tensor([[[0, 1], [2, 1]], [[2, 2], [0, 0]]], dtype=torch.uint8)
    planes = mask_planes(masks, 4)
    assert planes.shape == (2, 4, 2, 2) and planes.dtype == torch.float32
    assert torch.equal(planes.argmax(dim=1), masks.long())
    assert torch.equal(planes.sum(dim=1), torch.ones(2, 2, 2))
    assert not planes[:, 3].any()  # a class that no pixel has still has its plane


def test_a_class_that_the_network_does_not_know_is_refused():
    masks = torch.tensor([[[0, 2]]], dtype=torch.uint8)
    assert mask_planes(masks, 3).shape == (1, 3, 1, 2)
    with pytest.raises(
        UsageError, match=r"holds class 2 and the network knows 2 \(0 to 1\): .*--st"
    ):
        mask_planes(masks, 2)
