"""Faults 14 to 25, images and tables: what the tests of the readers do not inject."""

import struct
import zlib

import numpy as np
import pandas as pd
import pytest
from conftest import make_raw
from PIL import Image

from nbhelpers import pictures, prepare, splits
from nbhelpers.__main__ import main
from nbhelpers.datasets import folder
from nbhelpers.errors import DataError

BROKEN = {
    "IMG_0003": lambda whole: whole[:500],
    "IMG_0010": lambda whole: b"",
    "IMG_0020": lambda whole: b"<html><body>Sign in</body></html>",
    "IMG_0050": lambda whole: whole[: len(whole) // 2],
}


def test_14_15_every_kind_of_broken_file_is_listed(tmp_path):
    raw = make_raw(tmp_path / "raw")
    for name, broken in BROKEN.items():
        path = tmp_path / "raw" / f"{name}.jpg"
        path.write_bytes(broken(path.read_bytes()))
    made = prepare.prepare(raw, tmp_path / "p", 64)
    bad = pd.read_csv(made.folder / "bad_images.csv")
    assert list(bad["image_id"]) == list(BROKEN) and bad["reason"].notna().all()
    assert len(made.images) == 96 - len(BROKEN)


@pytest.mark.parametrize("name", BROKEN)
def test_14_15_strict_stops_at_each(tmp_path, name):
    raw = make_raw(tmp_path / "raw")
    path = tmp_path / "raw" / f"{name}.jpg"
    path.write_bytes(BROKEN[name](path.read_bytes()))
    with pytest.raises(DataError, match=f"{name}.jpg: .*replace them, or leave strict off"):
        prepare.prepare(raw, tmp_path / "p", 64, strict=True)
    assert not (tmp_path / "p").exists()


def deep_png(path, colour_type: int, channels: int) -> None:
    """A PNG of 16 bits a channel, which Pillow itself cannot write."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", 80, 60, 16, colour_type, 0, 0, 0)
    rows = (b"\0" + bytes(80 * channels * 2)) * 60
    parts = (b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts))


@pytest.mark.parametrize(("colour_type", "channels"), [(0, 1), (2, 3), (4, 2), (6, 4)])
def test_16_sixteen_bits_are_refused_in_every_colour(tmp_path, colour_type, channels):
    deep_png(tmp_path / "deep.png", colour_type, channels)
    with pytest.raises(DataError, match="more than 8 bits a channel"):
        pictures.read_image(tmp_path / "deep.png", 64)


def test_16_what_was_converted_is_counted(tmp_path):
    raw = make_raw(tmp_path / "raw")
    for name, mode in (("IMG_0000", "L"), ("IMG_0001", "L"), ("IMG_0002", "CMYK")):
        path = tmp_path / "raw" / f"{name}.jpg"
        with Image.open(path) as image:
            image.convert(mode).save(path)
    made = prepare.prepare(raw, tmp_path / "p", 64)
    assert made.manifest["colour_modes"] == {"CMYK": 1, "L": 2, "RGB": 93}


@pytest.mark.parametrize("gone", ["image", "row"])
def test_19_strict_stops_where_an_image_or_a_row_lacks_the_other(tmp_path, gone, capsys):
    source = tmp_path / "source"
    raw = make_raw(source)
    table = raw.table.assign(image=raw.table["image_id"] + ".jpg", label=raw.table["dx"])
    table = table[["image", "label"]].iloc[: len(table) - (gone == "row")]
    table.to_csv(source / "labels.csv", index=False)
    if gone == "image":
        (source / "IMG_0095.jpg").unlink()
    call = ["prepare", "folder", "--size", "64", "--source", str(source)]
    call += ["--to", str(tmp_path / "p")]
    assert main([*call, "--strict"]) == 1
    told = capsys.readouterr().err
    kind = "rows without image" if gone == "image" else "images without row"
    assert f"1 {kind}, such as IMG_0095" in told and "strict" in told
    assert not (tmp_path / "p").exists()
    assert main(call) == 0
    assert len(np.load(tmp_path / "p" / "images.npy")) == 95


def test_22_a_class_of_one_lesion_is_not_sent_to_two_folds():
    table = pd.DataFrame({"group_id": ["a", "b", "c", "d"], "dx": ["nv", "nv", "nv", "df"]})
    with pytest.raises(DataError, match=r"'df' has 1 lesions .* leave the class out") as caught:
        splits.assign_folds(table, folds=2)
    assert "folds=" not in str(caught.value)


@pytest.mark.parametrize("label", ["../../evil", "/etc/evil", "a\\b", ".."])
def test_a_label_that_would_leave_its_folder_is_refused(tmp_path, label):
    make_raw(tmp_path / "images")
    rows = [f"images/IMG_{i:04d}.jpg,{label if i % 2 else 'nv'}" for i in range(10)]
    (tmp_path / "labels.csv").write_text("\n".join(["image,label", *rows]) + "\n")
    with pytest.raises(DataError, match="is no name of a folder"):
        folder.read(tmp_path / "labels.csv")
