"""Masks of any size: every pixel drawn once in all, no seam, little memory."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from small_gans import build
from torch import nn

from nbhelpers import tiles
from nbhelpers.errors import UsageError
from nbhelpers.gans import GAN

CLASSES, SIZE = 6, 64


class Copy(nn.Module):
    """A G that draws class k of its mask as grey 51 k, and remembers what it was told."""

    def __init__(self):
        super().__init__()
        self.weight, self.labels = nn.Parameter(torch.ones(())), []

    def forward(self, source, label):
        self.labels.append(label.tolist())
        grey = source.argmax(dim=1, keepdim=True) / 2.5 - 1.0
        return self.weight * grey.expand(-1, 3, -1, -1)


class Marks(Copy):
    """Draws noise of its own for each tile, bright for each next one: every tile shows."""

    def forward(self, source, label):
        tone = torch.linspace(-0.6, 0.6, len(source))[:, None, None, None]
        return self.weight * tone + 0.1 * torch.randn(len(source), 3, *source.shape[2:])


def drawing(G: nn.Module) -> GAN:
    gan = build("pix2pix", SIZE, width=4, mask_classes=CLASSES)
    gan.G_average = G
    return gan


def noise(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, CLASSES, (height, width), dtype=np.uint8)


@pytest.mark.parametrize("overlap", [0.01, 0.25, 0.3, 0.5])
@pytest.mark.parametrize("side", [1, 63, 64, 65, 96, 97, 112, 113, 200, 1812])
def test_tiles_cover_the_side_and_weigh_1_in_all(side, overlap):
    begin = tiles.starts(side, SIZE, overlap)
    assert begin[0] == 0 and begin[-1] + SIZE >= side
    assert len(begin) == 1 or begin[-2] + SIZE < side  # and not a tile more than needed
    assert set(np.diff(begin)) <= {SIZE - round(overlap * SIZE)}
    total = np.zeros(begin[-1] + SIZE)
    for start, weight in zip(begin, tiles._weights(begin, SIZE), strict=True):
        assert weight.shape == (SIZE,) and weight.min() >= 0
        total[start : start + SIZE] += weight
    np.testing.assert_allclose(total, 1, atol=1e-6)


def test_a_tile_comes_in_and_goes_out_in_straight_lines():
    first, middle, last = tiles._weights([0, 48, 96], SIZE)
    rise = (np.arange(16) + 0.5) / 16
    np.testing.assert_allclose(middle[:16], rise, rtol=1e-6)
    np.testing.assert_allclose(middle[-16:], rise[::-1], rtol=1e-6)
    assert (middle[16:-16] == 1).all() and (first[:-16] == 1).all() and (last[16:] == 1).all()


@pytest.mark.parametrize("overlap", [0.25, 0.5])
@pytest.mark.parametrize(
    "shape", [(1, 1), (1, 200), (17, 5), (64, 64), (63, 65), (200, 97), (150, 400)]
)
def test_what_g_draws_comes_back_at_any_size(shape, overlap):
    mask = noise(*shape)
    image = tiles.large(drawing(Copy()), mask, overlap=overlap)
    assert image.dtype == np.uint8 and image.shape == (*shape, 3)
    assert np.array_equal(image, np.repeat(51 * mask[..., None], 3, axis=2))


def test_a_mask_is_continued_by_reflection(monkeypatch):
    given, known = [], tiles.decode

    def recorded(gan, masks, *told):
        given.append(masks)
        return known(gan, masks, *told)

    monkeypatch.setattr(tiles, "decode", recorded)
    mask = noise(40, 64)
    tiles.large(drawing(Copy()), mask)
    (masks,) = given
    assert np.array_equal(masks[0], np.pad(mask, [(0, 24), (0, 0)], "reflect"))


def test_the_label_is_told_with_every_tile():
    G = Copy()
    tiles.large(drawing(G), noise(200, 200), label=2, overlap=0.25)
    assert [c for told in G.labels for c in told] == [2] * 16
    gan = build("pix2pix", SIZE, width=4, conditional=True, noise_share=0.0)
    for net in (gan.G_average.to_image[1], gan.G_average.down[0][0]):
        nn.init.normal_(net.weight, 0, 0.5)
    one, other = (tiles.large(gan, noise(64, 64) % 2, label) for label in (0, 1))
    assert not np.array_equal(one, other)


def uneven() -> GAN:
    """A small pix2pix whose dropout shows."""
    gan = build("pix2pix", SIZE, width=4, mask_classes=CLASSES)
    for weight in gan.G_average.parameters():
        if weight.dim() == 4:
            nn.init.normal_(weight, 0, 0.2)
    return gan


def test_the_seed_decides_the_image():
    one, again, other = (tiles.large(uneven(), noise(90, 70), seed=s) for s in (1, 1, 2))
    assert np.array_equal(one, again) and not np.array_equal(one, other)


def test_every_tile_has_noise_of_its_own():
    """Else a wide gland repeats itself every few tiles."""
    image = tiles.large(uneven(), np.zeros((64, 16 + 48 * 24), np.uint8))
    middles = [image[:, 48 * i + 16 : 48 * i + 48] for i in range(1, 23)]
    assert len({middle.tobytes() for middle in middles}) == 22


@pytest.mark.parametrize("overlap", [0, -0.1, 0.51, 1, float("nan")])
def test_an_overlap_that_cannot_be_is_refused(overlap):
    with pytest.raises(UsageError, match=rf"overlap is {overlap}: .* above 0, at most 0\.5"):
        tiles.large(drawing(Copy()), noise(9, 9), overlap=overlap)


@pytest.mark.parametrize(
    "mask",
    [np.zeros((4, 4, 3), np.uint8), np.zeros((4, 4)), np.zeros((0, 4), np.uint8), np.zeros(4, int)],
)
def test_what_is_no_class_map_is_refused(mask):
    with pytest.raises(UsageError, match=rf"the mask is \({mask.shape[0]},.*expected uint8 \(H, W"):
        tiles.large(drawing(Copy()), mask)


def test_other_gans_and_other_classes_are_refused():
    with pytest.raises(UsageError, match="draws from noise: only one that translates"):
        tiles.large(build("dcgan", width=4), noise(9, 9))
    with pytest.raises(UsageError, match="holds class 6 and the network knows 6"):
        tiles.large(drawing(Copy()), np.full((9, 9), CLASSES, np.uint8))


@pytest.mark.parametrize("overlap", [0.25, 0.5])
def test_noise_has_no_seam_and_tiles_side_by_side_have(overlap):
    random = np.random.default_rng(0)
    grain = random.integers(100, 156, (600, 500, 3), dtype=np.uint8)
    assert tiles.seams(grain, SIZE, overlap) == pytest.approx(1, abs=0.02)
    visible, step = grain.copy(), SIZE - round(overlap * SIZE)
    for y in range(0, 600, step):
        for x in range(0, 500, step):
            visible[y : y + step, x : x + step] += np.uint8(random.integers(0, 90))
    assert tiles.seams(visible, SIZE, overlap) > (1.4 if overlap == 0.5 else 1.2)
    assert tiles.seams(np.roll(visible, 9, (0, 1)), SIZE, overlap) < 1.0  # edges elsewhere


def test_mixing_leaves_no_seam_where_hard_edges_would():
    """The same tiles, each as bright as its place in its batch: mixed, and laid side by side."""
    mask = np.zeros((300, 300), np.uint8)
    mixed = tiles.large(drawing(Marks()), mask)
    hard = tiles.large(drawing(Marks()), mask, overlap=0.01)  # one pixel
    assert tiles.seams(mixed, SIZE) < 1.2 < 2 < tiles.seams(hard, SIZE, 0.01)


def test_what_has_no_seam_to_look_at():
    with pytest.raises(UsageError, match=r"\(64, 64\) is one tile of 64 px: it has no seam"):
        tiles.seams(np.zeros((64, 64, 3), np.uint8), 64)
    assert tiles.seams(np.full((200, 200, 3), 7, np.uint8), 64) == 1.0  # one colour shows none


MEASURE = """
import sys

import numpy as np
import torch

from nbhelpers import tiles
from nbhelpers.gans import GANS

def peak():
    line = next(line for line in open("/proc/self/status") if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024

torch.set_num_threads(1)
tiles.BATCH = int(sys.argv[1])
gan = GANS["pix2pix"](256, width=16, mask_classes=6)
mask = np.random.default_rng(0).integers(0, 6, (1812, 1812), dtype=np.uint8)
before = peak()
assert tiles.large(gan, mask).shape == (1812, 1812, 3)
print(peak(), peak() - before)
"""


def megabytes(batch: int) -> list[float]:
    """Peak of a process that draws a UniToPatho region, and what drawing added to it."""
    command = [sys.executable, "-c", MEASURE, str(batch)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return [float(word) for word in done.stdout.split()]


@pytest.mark.skipif(
    not Path("/proc/self/status").exists(), reason="memory is read off Linux's /proc"
)
def test_a_whole_region_is_drawn_in_little_memory():
    """At width 64, measured once by hand, the peak is 1.5 GB, networks and Python included."""
    peak, added = megabytes(tiles.BATCH)
    assert peak < 4096 and added < 400, f"{peak} MB, of which {added} by drawing"
    assert megabytes(64)[1] > 400  # all at once would be seen
