"""What a generator is asked for class by class; sliders without a browser."""

import io
import sys

import numpy as np
import pytest
import torch
from PIL import Image
from small_gans import CPU, build

from nbhelpers import gan_jobs, gan_runs, latent, mask_edits, sample_explorer, sampling

NAMES = ("mel", "nv", "vasc")


def vivid(name: str, **settings):
    """A small GAN whose first images are not all of one grey."""
    gan = build(name, **settings)
    with torch.no_grad():
        for weight in gan.G_average.parameters():
            weight *= 3.0
    return gan


@pytest.mark.parametrize("name", ["cgan", "modern", "progan"])
def test_every_class_gets_the_same_noises(name, tmp_path):
    gan = vivid(name)
    found = sample_explorer.by_class(tmp_path, gan, NAMES, 3, seed=2)
    assert list(found) == list(NAMES)
    for label, images in enumerate(found.values()):
        assert np.array_equal(images, sampling.generate(gan, 3, 2, torch.full((3,), label)))
    assert len({images.tobytes() for images in found.values()}) == 3


def test_every_class_gets_the_same_masks(tmp_path):
    gan = vivid("pix2pix", conditional=True)
    found = sample_explorer.by_class(tmp_path, gan, NAMES, 3, seed=2)
    masks = sampling.asked(gan, 3, 2)
    for label, images in enumerate(found.values()):
        assert np.array_equal(images, sampling.decode(gan, masks, torch.full((3,), label), 2))
    assert len({images.tobytes() for images in found.values()}) == 3


def test_a_gan_that_is_told_no_class_is_shown_by_its_descendants(prepared, tmp_path):
    gan, folder = build("dcgan"), tmp_path / "dcgan"
    assert sample_explorer.by_class(folder, gan, prepared.classes, 3, 0) == {}
    job = gan_jobs.Job("dcgan", 16, 8, class_name="nv", settings={"width": 4, "z_dim": 8})
    gan_runs.train_run(job, prepared, folder / "by_class" / "nv", CPU)
    found = sample_explorer.by_class(folder, gan, prepared.classes, 3, 5)
    tail = sampling.load(folder / "by_class" / "nv")
    assert list(found) == ["nv"] and np.array_equal(found["nv"], sampling.generate(tail, 3, 5))


class Board:
    """The explorer's controls by description and its pictures, and the GAN behind them."""

    def __init__(self, gan, nearest=None):
        self.gan, self.found = gan, latent.directions(gan, 2, 0, anchors=1)
        box = sample_explorer.explorer(gan, self.found, NAMES, nearest)
        shown, controls = box.children
        self.pictures = [pair.children[0] for pair in shown.children]
        self.titles = [pair.children[1].value for pair in shown.children]
        self.controls = {c.description: c for c in controls.children}
        self.sliders = list(self.controls.values())[2:4]

    def lies(self, noise: int) -> torch.Tensor:
        """The coordinates of that noise along the two directions, to a tenth."""
        return (self.found.vectors @ sampling.fixed_noise(16, 1, noise)[0]).round(decimals=1)

    def drawn(self, noise: int, coordinates: torch.Tensor, label: int = 0) -> np.ndarray:
        z = latent.placed(sampling.fixed_noise(16, 1, noise), self.found.vectors, coordinates)
        return sampling.decode(self.gan, z, torch.tensor([label]))[0]


def opened(picture) -> np.ndarray:
    """The picture as it was before it was enlarged five times."""
    return np.asarray(Image.open(io.BytesIO(picture.value)))[::5, ::5]


def close(one: np.ndarray, other: np.ndarray) -> bool:
    return np.abs(one.astype(int) - other).max() <= 1  # sliders hold doubles, noise is of floats


@pytest.fixture(autouse=True)
def at_a_browser(monkeypatch):
    monkeypatch.setattr(mask_edits, "headless", lambda: False)


def test_the_sliders_stand_where_the_noise_lies():
    board = Board(vivid("cgan"))
    assert [s.value for s in board.sliders] == pytest.approx(board.lies(0).tolist())
    shares = [f"{i} ({share:.0%})" for i, share in enumerate(board.found.share.tolist(), 1)]
    assert [s.description for s in board.sliders] == shares
    assert board.titles == ["generated"]
    assert close(opened(board.pictures[0]), board.drawn(0, board.lies(0)))


def test_a_slider_moves_the_noise_along_its_direction():
    board = Board(vivid("cgan"))
    start, moved = board.lies(0), torch.tensor([board.lies(0)[0], 3.0])
    board.sliders[1].value = 3.0
    assert close(opened(board.pictures[0]), board.drawn(0, moved))
    assert not close(board.drawn(0, start), board.drawn(0, moved))
    board.controls["as it was drawn"].click()
    assert close(opened(board.pictures[0]), board.drawn(0, start))
    assert board.sliders[1].value == pytest.approx(start[1].item())


def test_class_and_noise_are_chosen():
    board = Board(vivid("cgan"))
    board.controls["class"].value = 2
    assert board.controls["class"].label == "vasc"
    assert close(opened(board.pictures[0]), board.drawn(0, board.lies(0), 2))
    assert not close(opened(board.pictures[0]), board.drawn(0, board.lies(0), 0))
    board.sliders[0].value = -2.0
    board.controls["noise"].value = 7  # other noise lies elsewhere; the class stays
    assert close(opened(board.pictures[0]), board.drawn(7, board.lies(7), 2))
    assert board.sliders[0].value == pytest.approx(board.lies(7)[0].item())


def test_a_gan_that_is_told_no_class_offers_none():
    board = Board(vivid("dcgan"))
    assert board.controls["class"].options == (("not told", 0),)
    assert close(opened(board.pictures[0]), board.drawn(0, board.lies(0)))


def test_what_is_nearest_stands_beside_it():
    asked = []

    def nearest(image):
        asked.append(image)
        return 255 - image

    board = Board(vivid("cgan"), nearest)
    assert board.titles == ["generated", "nearest training photograph"] and len(asked) == 1
    board.controls["noise"].value = 3
    assert len(asked) == 2  # one picture, although every slider moved
    assert np.array_equal(opened(board.pictures[0]), asked[-1])
    assert np.array_equal(opened(board.pictures[1]), 255 - asked[-1])


def test_there_is_no_explorer_where_nobody_moves_sliders(monkeypatch):
    gan = build("cgan")
    found = latent.directions(gan, 1, 0, anchors=1)
    monkeypatch.setattr(mask_edits, "headless", lambda: True)
    assert sample_explorer.explorer(gan, found, NAMES) is None
    monkeypatch.setattr(mask_edits, "headless", lambda: False)
    monkeypatch.setitem(sys.modules, "ipywidgets", None)
    assert sample_explorer.explorer(gan, found, NAMES) is None
