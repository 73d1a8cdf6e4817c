"""What a GAN is trained on: image and mask go together, windows lie inside, disk equals memory."""

import tracemalloc

import numpy as np
import pytest
import torch
from small_gans import CPU, build

from nbhelpers import training_images
from nbhelpers.gans import Batch
from nbhelpers.training import Training
from nbhelpers.training_images import Budget, Rows, TrainingImages

SIDE, CLASSES = 40, 5


def pictures(count: int = 12) -> tuple[np.ndarray, np.ndarray]:
    """Images whose pixels tell their mask, row and column: red is 50 x the class, green and blue
    are the place; the mask is noise that no flip or turn leaves as it is."""
    masks = np.random.default_rng(0).integers(0, CLASSES, (count, SIDE, SIDE), dtype=np.uint8)
    images = np.zeros((count, SIDE, SIDE, 3), np.uint8)
    images[..., 0] = 50 * masks
    images[..., 1], images[..., 2] = np.mgrid[:SIDE, :SIDE]
    return images, masks


def data(crop: int = 0, upright: bool = False, **changes) -> TrainingImages:
    images, masks = pictures()
    given = {"images": images, "masks": masks} | changes
    labels = np.arange(len(images)) % 2
    return TrainingImages(given["images"], labels, CPU, upright, given["masks"], CLASSES, crop=crop)


def batch(stream: TrainingImages, rows=range(12), seed: int = 0) -> Batch:
    torch.manual_seed(seed)
    return stream.batch(np.array(rows))


def stored(image: torch.Tensor) -> torch.Tensor:
    """Grey levels int (N, 3, S, S)."""
    return ((image + 1) * 127.5).round().int()


@pytest.mark.parametrize("crop", [0, 8, 33])
@pytest.mark.parametrize("upright", [True, False])
def test_a_mask_stays_on_its_image(crop, upright):
    for seed in range(6):
        given = batch(data(crop, upright), seed=seed)
        assert given.source.shape == (12, CLASSES, crop or SIDE, crop or SIDE)
        assert torch.equal(given.source.sum(dim=1), torch.ones_like(given.source[:, 0]))
        assert torch.equal(stored(given.image)[:, 0], 50 * given.source.argmax(dim=1).int())


def test_a_mask_of_another_view_would_be_seen():
    given = batch(data())
    turned = given.source.flip(-1).argmax(dim=1).int()
    assert not torch.equal(stored(given.image)[:, 0], 50 * turned)


def view(image: torch.Tensor) -> tuple[int, ...]:
    """Which way row and column numbers run: one of 8."""
    rows, columns = stored(image[None])[0, 1:]
    return tuple(
        int((m[1, 0] - m[0, 0]).sign()) + 3 * int((m[0, 1] - m[0, 0]).sign())
        for m in (rows, columns)
    )


def test_all_8_views_are_shown_but_of_what_has_an_up():
    stream = data(crop=9)
    seen = {view(image) for seed in range(20) for image in batch(stream, seed=seed).image}
    assert len(seen) == 8
    upright = data(crop=9, upright=True)
    assert {view(image) for seed in range(5) for image in batch(upright, seed=seed).image} == {
        (1, 3)
    }


def corners(stream: TrainingImages, seeds: int) -> np.ndarray:
    """Row and column where windows began, int (M, 2)."""
    found = [stored(batch(stream, seed=s).image)[:, 1:, 0, 0] for s in range(seeds)]
    return torch.cat(found).numpy()


def test_windows_are_whole_and_lie_anywhere_inside():
    crop = 36  # 5 x 5 places
    stream = data(crop, upright=True)
    rows, columns = stored(batch(stream).image)[:, 1:].unbind(dim=1)
    for place, axis in ((rows, 1), (columns, 2)):
        assert (place.diff(dim=axis) == 1).all()  # neighbours in the image, never around its edge
    at = corners(stream, 60)
    counts = np.histogramdd(at, bins=[np.arange(6)] * 2)[0]
    assert at.min() == 0 and at.max() == SIDE - crop
    assert counts.sum() == len(at) == 720  # none outside
    assert counts.min() > 10 and counts.max() < 60  # each of the 25 about 29 times


def test_a_window_of_the_whole_image_is_the_image():
    whole, windows = (batch(data(crop, upright=True)) for crop in (0, SIDE))
    assert torch.equal(whole.image, windows.image) and torch.equal(whole.source, windows.source)


def test_windows_are_a_function_of_the_random_state():
    stream = data(8)
    one, again, other = (batch(stream, seed=seed).image for seed in (1, 1, 2))
    assert torch.equal(one, again) and not torch.equal(one, other)
    at = corners(data(8, upright=True), 1)
    assert len({tuple(a) for a in at.tolist()}) > 6  # each image of a batch its own


@pytest.fixture
def on_disk(tmp_path, monkeypatch):
    """Those pictures memory-mapped, and too large to be held."""
    monkeypatch.setattr(training_images, "RESIDENT_BYTES", 0)
    for name, array in zip(("images", "masks"), pictures(), strict=True):
        np.save(tmp_path / f"{name}.npy", array)
    return [np.load(tmp_path / f"{name}.npy", mmap_mode="r") for name in ("images", "masks")]


@pytest.mark.parametrize("crop", [0, 8])
def test_on_disk_and_in_memory_are_the_same_batches(crop, on_disk, monkeypatch):
    rows = np.array([11, 3, 7, 0, 4, 2, 9])
    images, masks = (Rows(array, rows) for array in on_disk)
    far = TrainingImages(images, rows % 2, CPU, False, masks, CLASSES, crop=crop)
    monkeypatch.undo()
    near = TrainingImages(images, rows % 2, CPU, False, masks, CLASSES, crop=crop)
    assert isinstance(far.images, Rows) and isinstance(near.images, torch.Tensor)
    for one, other in zip(batch(far, [0, 6, 3]), batch(near, [0, 6, 3]), strict=True):
        assert torch.equal(one, other)
    if not crop:
        upright = TrainingImages(images, rows % 2, CPU, True, masks, CLASSES)
        expected = on_disk[0][[11, 9, 0]]
        assert np.array_equal(stored(batch(upright, [0, 6, 3]).image).permute(0, 2, 3, 1), expected)


def test_one_may_be_held_and_the_other_not(on_disk, monkeypatch):
    images, masks = on_disk
    monkeypatch.setattr(training_images, "RESIDENT_BYTES", masks.nbytes)
    stream = data(8, images=images, masks=masks)
    assert isinstance(stream.images, np.ndarray) and isinstance(stream.masks, torch.Tensor)
    given = batch(stream)
    assert torch.equal(stored(given.image)[:, 0], 50 * given.source.argmax(dim=1).int())


class Counted:
    """An array that remembers how many bytes were read from it, and how often."""

    def __init__(self, array: np.ndarray):
        self.array, self.shape, self.itemsize, self.read = array, array.shape, array.itemsize, []

    def __getitem__(self, index):
        self.read.append(self.array[index].nbytes)
        return self.array[index]


def test_rows_are_those_rows():
    images, _ = pictures()
    rows = Rows(images, np.array([5, 2, 9]))
    assert len(rows) == 3 and rows.shape == (3, SIDE, SIDE, 3)
    assert rows.nbytes == 3 * SIDE * SIDE * 3
    assert np.array_equal(rows[:], images[[5, 2, 9]])
    assert np.array_equal(rows[np.array([2, 0])], images[[9, 5]])
    assert np.array_equal(rows[1, 3:7, 4:6], images[2, 3:7, 4:6])


def test_no_more_is_read_than_is_shown(monkeypatch):
    monkeypatch.setattr(training_images, "RESIDENT_BYTES", 0)
    images, masks = (Counted(array) for array in pictures())
    rows = np.array([5, 2, 9, 1])
    for crop, read in ((0, [2 * SIDE * SIDE]), (8, [64, 64])):
        told = Rows(images, rows), rows % 2, CPU, False, Rows(masks, rows), CLASSES
        stream = TrainingImages(*told, crop=crop)
        assert images.read == masks.read == []  # opening reads nothing
        batch(stream, [3, 0])
        assert masks.read == read and images.read == [3 * size for size in read]
        images.read.clear(), masks.read.clear()


def test_what_is_held_is_read_once():
    images, masks = (Counted(array) for array in pictures())
    rows = np.array([5, 2, 9, 1])
    stream = TrainingImages(
        Rows(images, rows), rows % 2, CPU, False, Rows(masks, rows), CLASSES, crop=8
    )
    for _ in range(3):
        batch(stream, [3, 0])
    assert masks.read == [4 * SIDE * SIDE] and images.read == [4 * SIDE * SIDE * 3]


def test_opening_takes_no_more_memory_than_what_is_held():
    images = np.random.default_rng(0).integers(0, 256, (40, 128, 128, 3), dtype=np.uint8)
    rows = Rows(images, np.arange(40))
    tracemalloc.start()
    try:
        TrainingImages(rows, np.arange(40) % 2, CPU)
        assert rows.nbytes < tracemalloc.get_traced_memory()[1] < 1.2 * rows.nbytes
    finally:
        tracemalloc.stop()


def test_what_is_held_is_a_copy():
    images, masks = pictures()
    stream = data(images=images, masks=masks, upright=True)
    before = batch(stream)
    images[:], masks[:] = 0, 0
    assert torch.equal(batch(stream).image, before.image)


def test_without_masks_there_is_no_source():
    stream = data(masks=None)
    given = batch(stream)
    assert given.source is None and given.image.shape == (12, 3, SIDE, SIDE)
    assert given.label.tolist() == [0, 1] * 6


def test_an_epoch_shows_every_image_once_and_a_balanced_one_the_classes_in_turn():
    stream = data()
    budget = Budget(120, 4)
    epoch = np.concatenate([stream.rows(i, budget) for i in range(3)])
    assert sorted(epoch) == list(range(12))
    assert not np.array_equal(epoch[:4], stream.rows(3, budget))
    few = TrainingImages(pictures()[0], np.array([0] * 10 + [1] * 2), CPU)
    rows = np.concatenate([few.rows(i, Budget(120, 4, 0, "balanced")) for i in range(5)])
    assert (rows >= 10).sum() == 10 and len(set(rows[rows < 10])) == 10


def test_a_million_images_train_from_the_disk(tmp_path):
    """12 GB in a file without content, trained on by a real GAN: what it takes is the order of the
    rows and their labels, 30 MB, and batches."""
    shape = (1_000_000, 64, 64, 3)
    images = np.lib.format.open_memmap(tmp_path / "images.npy", "w+", np.uint8, shape)
    tracemalloc.start()
    stream = TrainingImages(images, np.zeros(len(images), np.uint8), CPU)
    training = Training(build("dcgan"), stream, Budget(24, 8), CPU)
    training.run()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert stream.images is images and training.step == 3 and training.history
    assert peak < 100e6
