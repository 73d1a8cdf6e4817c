import json

import numpy as np
import pandas as pd
import pytest
from conftest import SHARED, make_raw
from PIL import Image

from nbhelpers import datasets, pictures, prepare
from nbhelpers.errors import DataError, UsageError


def save(path, array, mode=None, **options):
    Image.fromarray(array, mode).save(path, **options)
    return path


@pytest.fixture
def ramp():
    """A 160 x 120 picture: brighter to the right, its middle square 120 wide."""
    row = np.linspace(0, 255, 160).astype(np.uint8)
    return np.repeat(np.tile(row, (120, 1))[..., None], 3, axis=2)


def test_the_prepared_folder_holds_the_contract(prepared):
    assert prepared.images.shape == (96, 64, 64, 3)
    assert prepared.images.dtype == np.uint8
    assert list(prepared.table.columns) == list(prepare.KEPT)
    assert prepared.table.groupby("group_id")["fold"].nunique().max() == 1
    assert prepared.manifest["counts"] == {"mel": 48, "nv": 48}
    assert prepared.classes == ("mel", "nv")
    assert (prepared.table["label"] == (prepared.table["dx"] == "nv")).all()


def test_the_same_input_gives_the_same_bytes_from_another_folder(raw, prepared, tmp_path):
    again = prepare.prepare(make_raw(tmp_path / "another ràw"), tmp_path / "to", 64)
    for name in ("images.npy", "table.csv", "manifest.json"):
        assert (again.folder / name).read_bytes() == (prepared.folder / name).read_bytes()


def test_what_is_up_to_date_is_not_made_again(raw, tmp_path):
    first = prepare.prepare(raw, tmp_path / "p", 64)
    before = (first.folder / "images.npy").stat().st_mtime_ns
    prepare.prepare(raw, tmp_path / "p", 64)
    assert (first.folder / "images.npy").stat().st_mtime_ns == before
    prepare.prepare(raw, tmp_path / "p", 64, frame="squeeze")
    assert (first.folder / "images.npy").stat().st_mtime_ns != before
    assert [p.name for p in tmp_path.iterdir()] == ["p"]


def test_crop_keeps_the_middle_and_squeeze_keeps_all(tmp_path, ramp):
    path = save(tmp_path / "ramp.png", ramp)
    crop, _ = pictures.read_image(path, 64)
    squeeze, _ = pictures.read_image(path, 64, "squeeze")
    assert squeeze[32, 0, 0] < 5 and squeeze[32, -1, 0] > 250
    assert 25 < crop[32, 0, 0] < 40 and 215 < crop[32, -1, 0] < 230


def test_small_images_are_averaged_and_not_sampled(tmp_path):
    stripes = np.zeros((256, 256, 3), np.uint8)
    stripes[:, ::2] = 255
    small, _ = pictures.read_image(save(tmp_path / "stripes.png", stripes), 64)
    assert abs(small[8:-8, 8:-8].mean() - 127.5) < 2
    assert small[8:-8, 8:-8].std() < 3


def test_reduced_decoding_is_close_to_full_decoding(tmp_path):
    random = np.random.default_rng(0)
    coarse = Image.fromarray(random.integers(60, 220, (9, 12, 3)).astype(np.uint8))
    smooth = np.asarray(coarse.resize((600, 450), Image.Resampling.BICUBIC)).astype(float)
    grainy = np.clip(smooth + random.normal(0, 6, smooth.shape), 0, 255).astype(np.uint8)
    path = save(tmp_path / "a.jpg", grainy, quality=90)
    with Image.open(path) as image:
        full = pictures.square(image.convert("RGB"), 64, "crop", Image.Resampling.BICUBIC)
    difference = np.abs(np.asarray(full).astype(int) - pictures.read_image(path, 64)[0])
    assert 0 < difference.mean() < 1.5  # not the same way, nearly the same picture


def test_modes_are_converted_and_told(tmp_path, ramp):
    grey = ramp[..., 0]
    cases = {
        "L": save(tmp_path / "grey.png", grey),
        "RGBA": save(tmp_path / "rgba.png", np.dstack([ramp, np.full_like(grey, 255)])),
        "CMYK": tmp_path / "cmyk.jpg",
        "P": tmp_path / "palette.png",
    }
    Image.fromarray(ramp).convert("CMYK").save(cases["CMYK"])
    Image.fromarray(ramp).convert("P").save(cases["P"])
    for mode, path in cases.items():
        image, told = pictures.read_image(path, 64)
        assert (told, image.shape, image.dtype) == (mode, (64, 64, 3), np.uint8)


def test_exif_rotation_is_applied(tmp_path, ramp):
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held upright: turn by 90 degrees clockwise
    path = tmp_path / "turned.jpg"
    Image.fromarray(ramp).save(path, exif=exif, quality=95)
    image, _ = pictures.read_image(path, 64)
    assert image[2].mean() < image[-3].mean() - 100  # the ramp now runs downwards


@pytest.fixture
def broken(tmp_path, ramp):
    whole = save(tmp_path / "whole.jpg", ramp, quality=90).read_bytes()
    contents = {
        "truncated": whole[: len(whole) // 2],
        "empty": b"",
        "html": b"<html>not found</html>",
    }
    for name, content in contents.items():
        (tmp_path / f"{name}.jpg").write_bytes(content)
    Image.fromarray(np.zeros((64, 64), np.uint16)).save(tmp_path / "deep.png")
    return tmp_path


@pytest.mark.parametrize(
    "name", ["truncated.jpg", "empty.jpg", "html.jpg", "deep.png", "absent.jpg"]
)
def test_unusable_files_are_errors(broken, name):
    with pytest.raises(DataError):
        pictures.read_image(broken / name, 64)


def test_a_bomb_is_refused_before_it_is_decoded(tmp_path):
    Image.new("1", (20_000, 20_000)).save(tmp_path / "bomb.png")
    with pytest.raises(DataError, match=r"100 megapixels|Bomb"):
        pictures.read_image(tmp_path / "bomb.png", 64)


def test_bad_files_are_listed_and_left_out(tmp_path):
    raw = make_raw(tmp_path / "raw")
    for name in ("IMG_0003.jpg", "IMG_0050.jpg"):
        path = tmp_path / "raw" / name
        path.write_bytes(path.read_bytes()[:500])
    made = prepare.prepare(raw, tmp_path / "p", 64)
    bad = pd.read_csv(made.folder / "bad_images.csv")
    assert list(bad["image_id"]) == ["IMG_0003", "IMG_0050"]
    assert bad["reason"].str.contains("(?i)truncated").all()
    assert made.images.shape[0] == len(made.table) == 94
    assert made.manifest["bad_images"] == 2
    whole, _ = pictures.read_image(tmp_path / "raw" / "IMG_0051.jpg", 64)
    row = made.table.index[made.table["image_id"] == "IMG_0051"][0]
    assert np.array_equal(made.images[row], whole)
    with pytest.raises(DataError, match=r"IMG_0003\.jpg.*2 bad images"):
        prepare.prepare(raw, tmp_path / "strict", 64, strict=True)
    assert not (tmp_path / "strict").exists()


def test_masks_are_cut_like_their_photographs(tmp_path):
    raw = make_raw(tmp_path / "raw")
    for path in raw.table["path"]:
        mask = np.zeros((60, 80), np.uint8)
        mask[:, 40:] = 255
        Image.fromarray(mask).save(path.replace(".jpg", "_segmentation.png"))
    raw.table["mask_path"] = raw.table["path"].str.replace(".jpg", "_segmentation.png")
    masks = prepare.prepare(raw, tmp_path / "p", 64).masks
    assert masks.shape == (96, 64, 64)
    assert set(np.unique(masks)) == {0, 1}
    assert masks[0, :, :31].max() == 0 and masks[0, :, 33:].min() == 1


def test_masks_for_some_images_only_are_left_out_and_told(tmp_path):
    raw = make_raw(tmp_path / "raw")
    Image.new("L", (80, 60)).save(tmp_path / "mask.png")
    raw.table.loc[0, "mask_path"] = str(tmp_path / "mask.png")
    made = prepare.prepare(raw, tmp_path / "p", 64)
    assert made.masks is None
    assert made.manifest["findings"] == {"no masks.npy, as some images have no mask": 95}


def test_missing_and_damaged_folders_say_what_to_do(raw, tmp_path):
    with pytest.raises(DataError, match="is missing: run notebook 02"):
        prepare.load_prepared(tmp_path / "nowhere")
    made = prepare.prepare(raw, tmp_path / "p", 64)
    content = bytearray((made.folder / "images.npy").read_bytes())
    content[5000] ^= 1
    (made.folder / "images.npy").write_bytes(content)
    with pytest.raises(DataError, match=r"images.npy is damaged"):
        prepare.load_prepared(made.folder)


def test_a_folder_with_other_files_is_never_replaced(raw, tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(DataError, match=r"holds thesis\.txt, no prepared data: choose an empty"):
        prepare.prepare(raw, tmp_path, 64)
    assert (tmp_path / "thesis.txt").read_text() == "years of work"
    (tmp_path / "mine").mkdir()
    np.save(tmp_path / "mine" / "images.npy", np.arange(3))  # our name, but no manifest of ours
    with pytest.raises(DataError, match=r"holds images\.npy"):
        prepare.prepare(raw, tmp_path / "mine", 64)


def test_settings_are_checked(raw, tmp_path):
    with pytest.raises(UsageError, match="image size 100"):
        prepare.prepare(raw, tmp_path / "p", 100)
    with pytest.raises(UsageError, match="frame 'crob' is unknown: did you mean 'crop'"):
        prepare.prepare(raw, tmp_path / "p", 64, frame="crob")


@pytest.mark.skipif(not SHARED.exists(), reason="real photographs are not here")
def test_real_photographs_known_counts(tmp_path):
    """A tenth of the real photographs goes the whole way; the table of all of them splits as
    published."""
    import subprocess
    import sys

    subprocess.run(
        [sys.executable, SHARED / "unpack.py", tmp_path, "ham10000"],
        check=True,
        capture_output=True,
    )
    raw = datasets.read("ham10000", tmp_path / "ham10000")
    assert (len(raw.table), raw.table["group_id"].nunique()) == (10_015, 7_470)
    lesions = raw.table["group_id"].drop_duplicates()[::10]
    tenth = raw.table[raw.table["group_id"].isin(lesions)].reset_index(drop=True)
    part = datasets.RawDataset(raw.name, tenth, raw.classes, raw.source, raw.licence)
    made = prepare.prepare(part, tmp_path / "p", 64)
    assert made.manifest["bad_images"] == 0
    assert made.table.groupby("group_id")["fold"].nunique().max() == 1
    assert set(made.table["dx"]) == set(raw.classes)
    assert json.loads((made.folder / "manifest.json").read_text())["lesions"] == len(lesions)


def test_masks_of_zeros_and_ones_are_masks(tmp_path):
    half = np.zeros((60, 80), np.uint8)
    half[:, 40:] = 1
    mask = pictures.read_mask(save(tmp_path / "m.png", half), 64)
    assert set(np.unique(mask)) == {0, 1} and mask[:, 33:].min() == 1
    assert pictures.read_mask(save(tmp_path / "none.png", half * 0), 64).max() == 0


def test_new_masks_make_the_folder_again(tmp_path):
    raw = make_raw(tmp_path / "raw")
    assert prepare.prepare(raw, tmp_path / "p", 64).masks is None
    half = Image.new("L", (80, 60))
    half.paste(255, (40, 0, 80, 60))
    half.save(tmp_path / "mask.png")
    raw.table["mask_path"] = str(tmp_path / "mask.png")
    assert prepare.prepare(raw, tmp_path / "p", 64).masks[0, 0, -1] == 1
    assert sorted(p.name for p in tmp_path.iterdir()) == ["mask.png", "p", "raw"]


def test_some_classes_alone_in_the_order_given(raw, tmp_path):
    for classes in (["mel", "nv"], ["nv", " mel"], ["nv", "nv"]):
        made = prepare.prepare(datasets.only(raw, classes), tmp_path / "p", 64)
        named = tuple(dict.fromkeys(name.strip() for name in classes))
        assert made.classes == named and set(made.table["dx"]) == set(named)
        assert [named[label] for label in made.table["label"]] == made.table["dx"].tolist()
    assert len(made.table) == 48 and len(raw.table) == 96
    with pytest.raises(UsageError, match="class 'mell' is unknown: did you mean 'mel'"):
        datasets.only(raw, ["nv", "mell"])
