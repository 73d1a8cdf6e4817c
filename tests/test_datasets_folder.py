"""Your own images: class folders and tables, as people make them and as they get them wrong."""

import subprocess
import sys
import unicodedata
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import SHARED

from nbhelpers.datasets import COLUMNS, only
from nbhelpers.datasets import read as read_any
from nbhelpers.datasets.folder import NO_GROUPS, read
from nbhelpers.errors import DataError
from nbhelpers.prepare import prepare


def touch(folder, *names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return folder


def table(folder, text, name="table.csv"):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(text, encoding="utf-8")
    return folder


def test_masks_in_a_folder_beside_the_images(tmp_path):
    """Names alone do not tell them apart, and nobody means them to be photographs."""
    names = "1.png", "2.png"
    touch(
        tmp_path,
        *(f"{c}/{part}/{n}" for c in ("a", "b") for part in ("Image", "label") for n in names),
    )
    raw = read(tmp_path)
    assert raw.classes == ("a", "b") and len(raw.table) == 4
    for row in raw.table.itertuples():
        assert Path(row.path).parent.name == "Image"
        assert Path(row.mask_path) == Path(row.path).parents[1] / "label" / Path(row.path).name
    classes = touch(tmp_path / "faces", *(f"{c}/{n}" for c in ("mask", "no_mask") for n in names))
    raw = read(classes)
    assert raw.classes == ("mask", "no_mask") and len(raw.table) == 4


@pytest.mark.skipif(not SHARED.exists(), reason="the real data are not here")
def test_real_tissue_as_ones_own_images(tmp_path):
    """EBHI-Seg by its class folders, then with its patients in a table: the warning goes."""
    command = [sys.executable, SHARED / "unpack.py", tmp_path, "ebhi"]
    subprocess.run(command, check=True, capture_output=True)
    source = tmp_path / "EBHI-SEG"
    index = pd.read_csv(source / "index.csv")
    (source / "index.csv").unlink()
    raw = read(source)
    assert len(raw.classes) == 6 and len(raw.table) == 1520
    assert (raw.table["mask_path"] != "").all() and raw.findings["no groups"] == [NO_GROUPS]
    own = index[index["in_128_subset"] == 1]
    paths = own["class"] + "/image/" + own["name"]
    told = pd.DataFrame({"image": paths, "label": own["class"], "patient_id": own["slide"]})
    told.to_csv(source / "labels.csv", index=False)
    raw = read(source)
    assert len(raw.table) == 1520 and raw.table["group_id"].nunique() == own["slide"].nunique()
    assert (raw.table["mask_path"] != "").all() and "no groups" not in raw.findings
    made = prepare(only(raw, ["normal", "polyp"]), tmp_path / "p", 64)
    assert made.masks.shape == made.images.shape[:3] and set(np.unique(made.masks)) == {0, 1}


def refused(source, words):
    with pytest.raises(DataError, match=words) as caught:
        read(source)
    assert len(str(caught.value).splitlines()) <= 2
    return str(caught.value)


CLASS_FOLDERS = ("Nævus å/1.jpg", "Nævus å/mit leeren 2.PNG", "mel/1.jpg", "mel/2024/3.jpeg")


def test_class_folders(tmp_path):
    source = touch(tmp_path / "meine bilder é", *CLASS_FOLDERS)
    raw = read(source)
    assert raw.name == "folder" and raw.classes == ("Nævus å", "mel")
    assert tuple(raw.table.columns) == COLUMNS
    assert raw.table["image_id"].tolist() == sorted(CLASS_FOLDERS), (
        "unique although two are '1.jpg'"
    )
    assert raw.table["dx"].tolist() == ["Nævus å", "Nævus å", "mel", "mel"]
    assert raw.table["group_id"].tolist() == raw.table["image_id"].tolist()
    assert all(Path(path).is_absolute() and Path(path).exists() for path in raw.table["path"])
    assert raw.table["age"].isna().all() and raw.table["age"].dtype == np.float64
    assert set(raw.table["sex"]) == {"unknown"}
    assert raw.findings == {"no groups": [NO_GROUPS]}
    assert read_any("folder", source).table.equals(raw.table)


def test_masks_beside_the_images_and_images_outside(tmp_path):
    touch(tmp_path, *CLASS_FOLDERS, "mel/1_mask.png", "stray.jpg", "masks/3_mask.png", ".x/a.jpg")
    raw = read(tmp_path)
    assert raw.classes == ("Nævus å", "mel"), "a folder of masks is no class"
    masks = raw.table.set_index("image_id")["mask_path"].map(lambda path: Path(path).name)
    assert masks["mel/1.jpg"] == "1_mask.png" and masks["mel/2024/3.jpeg"] == "3_mask.png"
    assert masks["Nævus å/1.jpg"] == "", "another image of that name has it"
    assert raw.findings["images outside class folders"] == ["stray.jpg"]


FULL = """image,label,group,age,sex,localization
photos/a 1.jpg,mel,L1,40,male,back
photos/ä2,mel,L1,,female,
b,nv,L2,50,male,arm
./photos/deep/C.JPG,nv,,51,,arm
"""
FILES = ("photos/a 1.jpg", "photos/ä2.jpg", "photos/deep/b.png", "photos/deep/C.JPG")


@pytest.mark.parametrize("as_file", [True, False])
def test_a_table_with_groups(tmp_path, as_file):
    source = table(touch(tmp_path / "é x", *FILES), FULL)
    raw = read(source / "table.csv" if as_file else source)
    rows = raw.table.set_index("image_id")
    assert raw.classes == ("mel", "nv") and rows.index.is_monotonic_increasing
    found = {name: Path(path).relative_to(source).as_posix() for name, path in rows["path"].items()}
    assert found == dict(
        zip([line.split(",")[0] for line in FULL.split("\n")[1:5]], FILES, strict=True)
    )
    assert rows["group_id"].to_dict() == {
        "photos/a 1.jpg": "L1", "photos/ä2": "L1", "b": "L2",
        "./photos/deep/C.JPG": "./photos/deep/C.JPG",
    }  # fmt: skip
    assert rows["age"]["b"] == 50 and rows["sex"]["./photos/deep/C.JPG"] == "unknown"
    assert raw.findings == {
        "rows without group": ["./photos/deep/C.JPG"],
        "missing age": ["photos/ä2"],
        "missing sex": ["./photos/deep/C.JPG"],
        "missing localization": ["photos/ä2"],
    }


def test_accents_match_however_they_are_encoded(tmp_path):
    touch(tmp_path, unicodedata.normalize("NFD", "é1.jpg"), "e2.jpg", "e3.jpg", "e4.jpg")
    text = unicodedata.normalize("NFC", "image,label\né1.jpg,a\ne2,a\ne3,b\ne4,b\n")
    assert len(read(table(tmp_path, text)).table) == 4


@pytest.mark.parametrize("image", ["image", "path", "file", "IMAGE_ID"])
@pytest.mark.parametrize("label", ["label", "dx", "Class", "target"])
def test_accepted_column_names(tmp_path, image, label):
    touch(tmp_path, "1.jpg", "2.jpg", "3.jpg", "4.jpg")
    raw = read(table(tmp_path, f"{label};{image};lesion_id\na;1;x\na;2;x\nb;3;y\nb;4;z\n"))
    assert raw.table["group_id"].tolist() == ["x", "x", "y", "z"]
    assert raw.table["image_id"].tolist() == ["1", "2", "3", "4"]


def test_an_id_beside_the_path_and_a_patient_before_a_lesion(tmp_path):
    touch(tmp_path, "1.jpg", "2.jpg", "3.jpg", "4.jpg")
    header = "image_id\tpath\tlabel\tlesion_id\tpatient_id\n"
    rows = [f"ID_{n}\t{n}.jpg\t{'ab'[n % 2]}\tL{n}\tP{n // 3}" for n in range(1, 5)]
    raw = read(table(tmp_path, header + "\n".join(rows), "list.tsv"))
    assert raw.table["image_id"].tolist() == ["ID_1", "ID_2", "ID_3", "ID_4"]
    assert raw.table["group_id"].tolist() == ["P0", "P0", "P1", "P1"]


def test_images_outside_the_tables_folder_and_absolute_paths(tmp_path):
    touch(tmp_path / "pictures", "1.jpg", "2.jpg", "3.jpg", "4.jpg")
    where = tmp_path / "pictures"
    text = f"image,label\n../pictures/1.jpg,a\n{where}/2.jpg,a\n{where}/3.jpg,b\n{where}/4.jpg,b\n"
    raw = read(table(tmp_path / "tables", text))
    assert sorted(raw.table["path"]) == [str(where / f"{n}.jpg") for n in range(1, 5)]


def test_without_groups_the_reader_says_so(tmp_path):
    touch(tmp_path, "1.jpg", "2.jpg", "3.jpg", "4.jpg", "sub/extra.jpg")
    raw = read(table(tmp_path, "image,label\n1,a\n2,a\n2,a\n3,b\n4,b\nlost,b\n"))
    assert raw.findings == {
        "no groups": [NO_GROUPS],
        "duplicate rows": ["2"],
        "rows without image": ["lost"],
        "images without row": ["sub/extra.jpg"],
    }
    assert raw.table["group_id"].tolist() == ["1", "2", "3", "4"]


def test_the_path_as_written_wins_and_a_name_for_two_images_is_refused(tmp_path):
    touch(tmp_path, "a.jpg", "x/a.jpg", "x/b.jpg", "y/b.jpg", "y/c.jpg", "y/d.jpg")
    for upper in ("a.jpg", "a", "A.JPG"):
        raw = read(table(tmp_path, f"image,label\n{upper},m\nx/a,m\nc,n\nd,n\n"))
        found = sorted(Path(path).relative_to(tmp_path).as_posix() for path in raw.table["path"])
        assert found == ["a.jpg", "x/a.jpg", "y/c.jpg", "y/d.jpg"]
    table(tmp_path, "image,label\na.jpg,m\nb,n\n")
    refused(tmp_path, "line 3: 'b' could be .*x/b.jpg or .*y/b.jpg")


@pytest.mark.parametrize(
    "text, words",
    [
        ("picture,label\n1,a\n", "no column image or path or file or image_id. Its columns: pict"),
        ("image,diagnosis text\n1,a\n", "no column label or dx or class or target"),
        ("image,label\n1,a\n2,\n", "line 3, column label: empty"),
        ("image,label\n1,a\n1,b\n", "lines 2 and 3: '1' twice"),
        ("image,label,age\n1,a,old\n", "line 2, column age: 'old'"),
        ("image,label\n7,a\n8,b\n", "none of the images .* looked for '7'.* among 4 images"),
        ("image,label\n1,a\n", "one image only"),
        ("image,label\n1,a\n2,a\n", "one class only"),
        ("image,label\n1,a\n2,a\n3,b\n", "class 'b' .* single image"),
    ],
)
def test_a_table_that_cannot_be_meant(tmp_path, text, words):
    touch(tmp_path, "1.jpg", "2.jpg", "3.jpg", "4.jpg")
    refused(table(tmp_path, text), words)


def test_two_tables_need_a_choice(tmp_path):
    touch(tmp_path, "1.jpg", "2.jpg", "3.jpg", "4.jpg")
    table(tmp_path, "image,label\n1,a\n2,a\n3,b\n4,b\n", "a.csv")
    table(tmp_path, "nothing", "b.csv")
    refused(tmp_path, r"several tables \(a.csv, b.csv\)")
    assert len(read(tmp_path / "a.csv").table) == 4


@pytest.mark.parametrize(
    "names, words",
    [
        ((), r"no class folders with images \(0 are directly"),
        (("a.jpg", "b.jpg"), r"no class folders with images \(2 are directly"),
        (("mel/notes.txt",), "no class folders"),
        (("mel/a.jpg",), "one image only"),
        (("data/mel/a.jpg", "data/nv/a.jpg"), "one class only .'data'.*directly holds the class"),
        (("mel/a.jpg", "mel/b.jpg", "nv/a.jpg"), "class 'nv' .* single image"),
        (("Train/mel/a.jpg", "Train/mel/b.jpg", "val/mel/c.jpg"), "Train, val, a ready split"),
    ],
)
def test_folders_that_cannot_be_meant(tmp_path, names, words):
    refused(touch(tmp_path, *names), words)


def test_a_missing_source_is_named(tmp_path):
    refused(tmp_path / "none", "none does not exist")
