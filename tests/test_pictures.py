"""Masks off the disk: what is decoded, what is refused and how it is told, what of it is kept."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from small_masks import write_pairs

from nbhelpers.datasets import COLUMNS, RawDataset, read
from nbhelpers.errors import DataError
from nbhelpers.pictures import picture_size, read_class_map, read_mask, square_classes
from nbhelpers.prepare import Prepared, prepare

TISSUE = {"stroma": (0, 0, 0), "gland": (255, 255, 255)}
STAINED = {"background": (255, 255, 255), "red": (200, 0, 0), "blue": (0, 0, 200)}
COLOURS = np.array(list(STAINED.values()), np.uint8)


def save(path: Path, array: np.ndarray, **options) -> Path:
    Image.fromarray(array).save(path, **options)
    return path


def row_of(path: Path, array: np.ndarray) -> Path:
    """The array as the second row of a file `path`."""
    np.save(path, np.stack([np.zeros_like(array), array]))
    return path / "1"


def classes(height: int = 60, width: int = 80) -> np.ndarray:
    """Three classes in bands from left to right."""
    return np.repeat(np.arange(width)[None] * 3 // width, height, axis=0).astype(np.uint8)


def refused(path: Path, *words: str, palette=TISSUE, photograph: Path | None = None) -> None:
    with pytest.raises(DataError) as caught:
        read_class_map(path, palette, photograph)
    told = str(caught.value)
    assert told.startswith(f"{path} is no usable mask: ") and told.endswith("take the pair out.")
    assert all(word in told for word in words), told


def test_a_value_is_the_place_of_its_colour_in_the_palette(tmp_path):
    path = save(tmp_path / "m.png", COLOURS[classes()])
    assert np.array_equal(read_class_map(path, STAINED), classes())
    backwards = dict(reversed(STAINED.items()))
    assert np.array_equal(read_class_map(path, backwards), 2 - classes())


@pytest.mark.parametrize("mode", ["P", "RGBA", "RGB"])
def test_files_of_any_mode_are_read_by_colour(tmp_path, mode):
    picture = Image.fromarray(COLOURS[classes()])
    path = tmp_path / "m.png"
    (picture.quantize(8) if mode == "P" else picture.convert(mode)).save(path)
    with Image.open(path) as image:
        assert image.mode == mode
    assert np.array_equal(read_class_map(path, STAINED), classes())


@pytest.mark.parametrize("mode", ["L", "1", "RGB"])
def test_black_and_white_are_two_classes_in_any_mode(tmp_path, mode):
    half = classes() > 0
    path = tmp_path / "m.png"
    Image.fromarray(half).convert(mode).save(path)
    assert np.array_equal(read_class_map(path, TISSUE), half)
    assert np.array_equal(
        read_class_map(save(tmp_path / "01.png", half * np.uint8(1)), TISSUE), half
    )


@pytest.mark.parametrize("mode", ["L", "RGB"])
@pytest.mark.parametrize("quality", [50, 75, 95])
def test_a_jpeg_with_grey_edges_is_decoded(tmp_path, mode, quality):
    y, x = np.mgrid[:200, :300]
    disc = np.hypot(y - 100, x - 140) < 71.3
    path = tmp_path / "m.jpg"
    Image.fromarray(disc).convert(mode).save(path, quality=quality)
    with Image.open(path) as image:
        assert len(np.unique(np.asarray(image))) > 5  # it is not black and white any more
    wrong = read_class_map(path, TISSUE) != disc
    assert wrong.mean() < 0.002
    assert np.abs(np.hypot(y - 100, x - 140)[wrong] - 71.3).max(initial=0) < 3


def test_unknown_colours_are_counted_and_the_palette_is_named(tmp_path):
    wrong = COLOURS[classes()]
    wrong[:2, :5], wrong[10, 10:13] = (0, 160, 0), (90, 90, 90)
    refused(
        save(tmp_path / "m.png", wrong),
        "2 colours (13 pixels) such as (0, 160, 0) are near none of ",
        "background (255, 255, 255), red (200, 0, 0), blue (0, 0, 200)",
        palette=STAINED,
    )


def test_nearly_a_colour_is_that_colour(tmp_path):
    near = COLOURS[classes()].astype(int) + np.random.default_rng(0).integers(-30, 31, (60, 80, 3))
    path = save(tmp_path / "m.png", near.clip(0, 255).astype(np.uint8))
    assert np.array_equal(read_class_map(path, STAINED), classes())


def test_rows_of_an_array_hold_classes_or_a_channel_for_each(tmp_path):
    """Of C channels the last is the background: class 0."""
    assert np.array_equal(read_class_map(row_of(tmp_path / "a.npy", classes()), STAINED), classes())
    channels = np.zeros((60, 80, 3))
    channels[classes() == 1, 0], channels[classes() == 2, 1] = 7, 9  # numbers of nuclei
    channels[classes() == 0, 2] = 1
    assert np.array_equal(read_class_map(row_of(tmp_path / "b.npy", channels), STAINED), classes())
    assert picture_size(row_of(tmp_path / "c.npy", classes())) == (80, 60)


@pytest.mark.parametrize("value", [0.5, np.nan, -1.0, np.inf])
@pytest.mark.parametrize("shape", [(60, 80), (60, 80, 3)])
def test_values_that_are_no_class_are_counted(tmp_path, value, shape):
    array = np.zeros(shape)
    array[3, 4:9] = value
    count = array[3, 4:9].size
    refused(
        row_of(tmp_path / "m.npy", array),
        f"{count} values are no whole numbers from 0",
        palette=STAINED,
    )


def test_a_class_beyond_the_palette_is_refused(tmp_path):
    array = classes()
    array[0, :4] = 3
    told = "4 values are no whole numbers from 0 to 2"
    refused(row_of(tmp_path / "m.npy", array), told, palette=STAINED)


@pytest.mark.parametrize("shape", [(60, 80, 2), (60, 80, 4), (80,), (60, 80, 3, 1)])
def test_another_number_of_channels_is_refused(tmp_path, shape):
    told = f"its shape is {shape}, expected (H, W, 3)"
    refused(row_of(tmp_path / "m.npy", np.zeros(shape)), told, palette=STAINED)


def test_a_mask_of_another_size_than_its_image_is_refused(tmp_path):
    photograph = save(tmp_path / "photo.jpg", np.zeros((60, 80, 3), np.uint8))
    mask = save(tmp_path / "m.png", COLOURS[classes(80, 60)])
    told = "mask and image photo.jpg are 60 x 80 and 80 x 60 pixels"
    refused(mask, told, palette=STAINED, photograph=photograph)
    rows = row_of(tmp_path / "m.npy", classes(60, 79))
    told = "mask and image photo.jpg are 79 x 60 and 80 x 60"
    refused(rows, told, palette=STAINED, photograph=photograph)


@pytest.mark.parametrize(("orientation", "turned"), [(1, False), (3, False), (6, True), (8, True)])
def test_a_mask_fits_the_photograph_as_it_is_looked_at(tmp_path, orientation, turned):
    exif = Image.Exif()
    exif[0x0112] = orientation
    pixels = np.zeros((60, 80, 3), np.uint8)
    photograph = save(tmp_path / "photo.jpg", pixels, exif=exif)
    assert picture_size(photograph) == ((60, 80) if turned else (80, 60))
    upright, lying = (
        save(tmp_path / f"{h}.png", COLOURS[classes(h, w)]) for h, w in ((80, 60), (60, 80))
    )
    fits, other = (upright, lying) if turned else (lying, upright)
    assert read_mask(fits, 64, "crop", STAINED, photograph).shape == (64, 64)
    refused(other, "mask and image photo.jpg are", palette=STAINED, photograph=photograph)


def test_broken_and_absent_files_are_named(tmp_path):
    refused(tmp_path / "none.png", "No such file or directory: 'the file'")
    noise = np.random.default_rng(0).integers(0, 2, (60, 80), dtype=np.uint8) * np.uint8(255)
    whole = save(tmp_path / "m.png", noise).read_bytes()
    for name, content in (("cut.png", whole[:-200]), ("empty.png", b""), ("page.png", b"<html>")):
        (tmp_path / name).write_bytes(content)
        refused(tmp_path / name)


def test_broken_and_absent_arrays_are_named(tmp_path):
    whole = row_of(tmp_path / "m.npy", classes()).parent.read_bytes()
    for name, content in (("cut.npy", whole[:-9]), ("empty.npy", b""), ("page.npy", b"<html>")):
        (tmp_path / name).write_bytes(content)
        refused(tmp_path / name / "0", palette=STAINED)
    refused(tmp_path / "none.npy" / "0", "No such file", palette=STAINED)
    refused(tmp_path / "m.npy" / "2", "2", palette=STAINED)  # it has two rows
    refused(tmp_path / "m.npy" / "first", palette=STAINED)


def test_a_smaller_mask_holds_the_class_that_fills_most():
    """And not the one in the middle."""
    blocks = np.random.default_rng(0).integers(0, 4, (64, 64))
    large = np.empty((64, 64, 4, 4), np.uint8)
    large[:] = blocks[:, :, None, None]  # 9 of 16 pixels stay of this class, ...
    large[:, :, 1:3, 1:3] = 8  # ... 4 in the middle are of one other and 3 at an edge of a third
    large[:, :, 0, :3] = 9
    small = square_classes(large.transpose(0, 2, 1, 3).reshape(256, 256), 64)
    assert small.dtype == np.uint8 and np.array_equal(small, blocks)


def test_a_class_map_is_cut_like_a_photograph_and_stays_of_its_classes():
    labels = np.where(classes(60, 120) == 1, 5, 2).astype(np.uint8)
    assert set(np.unique(square_classes(labels, 64))) == {2, 5}
    crop, squeeze = (square_classes(labels, 60, frame) for frame in ("crop", "squeeze"))
    assert (crop == 5).mean() == pytest.approx(40 / 60, abs=0.02)  # columns 30 to 89 of 120
    assert (squeeze == 5).mean() == pytest.approx(1 / 3, abs=0.02)
    assert np.array_equal(square_classes(labels[:, :60], 60), labels[:, :60])


@pytest.fixture
def pairs(tmp_path) -> Path:
    return write_pairs(tmp_path / "raw", of_a_class=10)


def masks_of(folder: Path) -> list[Path]:
    return sorted(folder.glob("*/*_mask.png"))


def test_masks_of_one_class_are_counted(pairs, tmp_path):
    one, *_, last = masks_of(pairs)
    for path, value in ((one, 0), (last, 255)):
        save(path, np.full((60, 80), value, np.uint8))
    made = prepare(read("folder", pairs), tmp_path / "p", 64)
    assert made.manifest["findings"]["masks of one class only"] == 2
    told = made.manifest["examples"]["masks of one class only"]
    assert told == ["mel/mel_000.jpg", "nv/nv_009.jpg"]
    by_id = dict(zip(made.table["image_id"], made.masks.mean(axis=(1, 2)), strict=True))
    assert [by_id[i] for i in told] == [0, 1] and list(made.palette) == ["skin", "lesion"]


def test_masks_of_one_class_everywhere_are_refused(pairs, tmp_path):
    for path in masks_of(pairs):  # numbers of classes where colours are expected: all near black
        save(path, np.random.default_rng(0).integers(0, 5, (60, 80), dtype=np.uint8))
    told = r"mel_000_mask\.png: it holds one class only, as all 20 masks do: expected skin, lesion"
    with pytest.raises(DataError, match=told):
        prepare(read("folder", pairs), tmp_path / "p", 64)
    assert [path.name for path in tmp_path.iterdir()] == ["raw"]


def test_a_bad_mask_stops_the_preparation_by_name(pairs, tmp_path):
    bad = masks_of(pairs)[3]
    save(bad, np.full((60, 80, 3), (0, 255, 0), np.uint8))
    with pytest.raises(DataError, match=rf"{bad.name} is no usable mask: 1 colours \(4800 pixels"):
        prepare(read("folder", pairs), tmp_path / "p", 64)
    save(bad, np.zeros((61, 80), np.uint8))
    with pytest.raises(DataError, match=r"mask and image mel_003\.jpg are 80 x 61 and 80 x 60 pix"):
        prepare(read("folder", pairs), tmp_path / "p", 64)


def official(folder: Path, twins: bool) -> Prepared:
    """30 images in three official folds; with `twins`, one picture is both in fold 2 and in 0."""
    folder.mkdir()
    random, rows = np.random.default_rng(0), []
    for i in range(30):
        pixels = random.integers(0, 256, (8, 8, 3), dtype=np.uint8)
        path = folder / f"{i:02d}.png"
        Image.fromarray(pixels).resize((64, 64), Image.Resampling.BICUBIC).save(path)
        rows.append(
            (path.stem, str(path), f"G{i}", "ab"[i % 2], 50.0, "f", "colon", "x", "", i % 3)
        )
    if twins:
        (folder / "29.png").write_bytes((folder / "03.png").read_bytes())
    table = pd.DataFrame(rows, columns=[*COLUMNS, "fold"])
    return prepare(RawDataset("tiny", table, ("a", "b"), folder, "MIT"), folder.parent / "p", 64)


def test_official_folds_are_kept(tmp_path):
    table = official(tmp_path / "raw", twins=False).table
    assert table["fold"].tolist() == [i % 3 for i in range(30)]


def test_one_picture_in_two_official_folds_ends_in_one(tmp_path):
    made = official(tmp_path / "raw", twins=True)
    fold = dict(zip(made.table["image_id"], made.table["fold"], strict=True))
    assert fold["03"] == fold["29"] == 0
    assert all(fold[f"{i:02d}"] == i % 3 for i in range(29))
    assert made.table.groupby("group_id")["fold"].nunique().max() == 1
    assert made.manifest["examples"]["pixel-identical images"] == ["03 = 29"]
