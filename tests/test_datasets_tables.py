"""Tables as spreadsheets and servers save them, and files as people lay them out."""

import os
import unicodedata

import numpy as np
import pandas as pd
import pytest

from nbhelpers.datasets.tables import (
    image_files,
    key,
    match_masks,
    normalise_patients,
    read_table,
    refuse_missing,
    require_columns,
    without_repeats,
)
from nbhelpers.errors import DataError

ROWS = "Image,DX,note\na, nv ,x\n\nb,mel,\n"


def write(folder, text, encoding="utf-8"):
    path = folder / "table.csv"
    path.write_bytes(text.encode(encoding))
    return path


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_any_separator_line_end_and_mark_gives_the_same_table(tmp_path, encoding, separator, end):
    text = ROWS.replace(",", separator).replace("\n", end)
    table = read_table(write(tmp_path, text, encoding))
    assert table.columns.tolist() == ["image", "dx", "note"]
    assert table.to_numpy().tolist() == [["a", "nv", "x"], ["b", "mel", ""]]
    assert table.index.tolist() == [2, 4], "the index is the line in the file"


def test_values_stay_text_and_quotes_are_understood(tmp_path):
    table = read_table(write(tmp_path, 'id\tlabel\n"007"\t"NA, or so"\n'))
    assert table.to_numpy().tolist() == [["007", "NA, or so"]]


@pytest.mark.parametrize(
    "text, encoding, words",
    [
        ("", "utf-8", "no rows"),
        ("image,label\n", "utf-8", "no rows"),
        ("image,label\na,b\nc\n", "utf-8", "line 3: 1 fields where the first line names 2"),
        ("image,label\na,b,c\n", "utf-8", "line 2: 3 fields"),
        ("image,Image\na,b\n", "utf-8", "several columns 'image'"),
        ("image,label\né,b\n", "latin-1", "not UTF-8"),
        ("image,label\na,b\n", "utf-16", "not UTF-8"),
    ],
)
def test_what_is_no_table_says_where(tmp_path, text, encoding, words):
    with pytest.raises(DataError, match=words) as caught:
        read_table(write(tmp_path, text, encoding))
    assert "table.csv" in str(caught.value)


def test_a_missing_table_is_named(tmp_path):
    with pytest.raises(DataError, match=r"none.csv cannot be read"):
        read_table(tmp_path / "none.csv")


def test_columns_and_empty_fields_are_checked(tmp_path):
    path = write(tmp_path, "image,label\na,b\n,d\n")
    table = read_table(path)
    require_columns(table, ["image"], path)
    with pytest.raises(DataError, match=r"no column dx, age. Its columns: image, label"):
        require_columns(table, ["image", "dx", "age"], path)
    refuse_missing(table, ["label"], path)
    with pytest.raises(DataError, match="line 3, column image: empty"):
        refuse_missing(table, ["label", "image"], path)


def test_equal_rows_become_one_and_different_ones_an_error(tmp_path):
    path = write(tmp_path, "image_id,dx\na,nv\nb,mel\na,nv\n")
    table, repeated = without_repeats(read_table(path), path)
    assert table["image_id"].tolist() == ["a", "b"] and repeated == ["a"]
    path = write(tmp_path, "image_id,dx\na,nv\nb,mel\na,mel\n")
    with pytest.raises(DataError, match="lines 2 and 4: 'a' twice"):
        without_repeats(read_table(path), path)


def test_missing_values_get_one_form(tmp_path):
    path = write(tmp_path, "image_id,age,sex\na,40.0,male\nb,,Unknown\nc,NA,\n")
    table, findings = normalise_patients(read_table(path), path)
    assert table["age"].dtype == np.float64 and table["age"].tolist()[0] == 40.0
    assert table["age"].isna().tolist() == [False, True, True]
    assert table["sex"].tolist() == ["male", "unknown", "unknown"]
    assert table["localization"].tolist() == table["dx_type"].tolist() == ["unknown"] * 3
    assert findings == {"missing age": ["b", "c"], "missing sex": ["b", "c"]}


@pytest.mark.parametrize("age", ["forty", "-1", "121", "inf", "4O"])
def test_an_age_that_cannot_be_names_its_line(tmp_path, age):
    path = write(tmp_path, f"image_id,age\na,\nb,{age}\n")
    with pytest.raises(DataError, match=f"line 3, column age: '{age}' is not 0 to 120 years"):
        normalise_patients(read_table(path), path)


def touch(folder, *names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def below(folder, paths):
    assert all(os.path.isabs(path) for path in paths)
    return [os.path.relpath(path, folder).replace(os.sep, "/") for path in paths]


def test_images_and_masks_are_found_and_the_rest_is_not(tmp_path):
    touch(tmp_path, "b.JPG", "a/c.jpeg", "a/d.PNG", "a/d_mask.png", "m/b_Segmentation.png")
    touch(tmp_path, "._b.jpg", "__MACOSX/b.jpg", ".cache/x.jpg", "notes.txt", "jpg")
    images, masks = image_files(tmp_path)
    assert below(tmp_path, images) == ["b.JPG", "a/c.jpeg", "a/d.PNG"]
    assert below(tmp_path, masks) == ["a/d_mask.png", "m/b_Segmentation.png"]
    assert [os.path.basename(mask) for mask in match_masks(images, masks)] == [
        "b_Segmentation.png",
        "",
        "d_mask.png",
    ]


def test_links_are_followed_and_circles_end(tmp_path):
    touch(tmp_path / "disk", "a.jpg")
    (tmp_path / "data").mkdir()
    (tmp_path / "data/images").symlink_to(tmp_path / "disk")
    (tmp_path / "disk/round").symlink_to(tmp_path / "data")
    assert below(tmp_path, image_files(tmp_path / "data")[0]) == ["data/images/a.jpg"]


def test_a_mask_elsewhere_belongs_to_nobody_when_two_images_share_its_name(tmp_path):
    touch(tmp_path, "nv/1.jpg", "mel/1.jpg", "mel/2.jpg", "mel/2_mask.png", "nv/2.jpg")
    touch(tmp_path, "masks/1_mask.png")
    images, masks = image_files(tmp_path)
    matched = dict(zip(below(tmp_path, images), match_masks(images, masks), strict=True))
    assert matched.pop("mel/2.jpg") == str(tmp_path / "mel/2_mask.png")
    assert set(matched.values()) == {""}


def test_names_compare_whatever_the_accent_encoding_case_and_slash():
    assert key("É\\a.JPG") == key(unicodedata.normalize("NFD", "é/a.jpg"))
    assert key("é") != key("e")


def test_a_table_keeps_its_order(tmp_path):
    table = read_table(write(tmp_path, "image_id,dx\nz,nv\na,nv\n"))
    assert isinstance(table, pd.DataFrame) and table["image_id"].tolist() == ["z", "a"]
