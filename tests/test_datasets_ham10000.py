"""HAM10000 in every layout people have it in, broken ones included; the real table where it is."""

import hashlib
import io
import shutil
import threading
import zipfile
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from nbhelpers.datasets import COLUMNS, ham10000
from nbhelpers.datasets import read as read_any
from nbhelpers.datasets.ham10000 import CLASS_NAMES, CLASSES, FILES, MALIGNANT, read
from nbhelpers.download import Remote
from nbhelpers.errors import DataError, DownloadError

REAL = Path(__file__).parents[2] / "shared" / "data"
HEADER = "lesion_id,image_id,dx,dx_type,age,sex,localization"
ROWS = [
    "HAM_2,ISIC_3,mel,histo,50.0,female,back",
    "HAM_1,ISIC_1,nv,follow_up,40.0,male,scalp",
    "HAM_1,ISIC_2,nv,follow_up,,unknown,unknown",
    "HAM_3,ISIC_4,df,histo,0.0,male,trunk",
]
PARTS = "HAM10000_images_part_1", "HAM10000_images_part_2"


def metadata(folder, rows=ROWS, name="HAM10000_metadata.csv", header=HEADER, change=str):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(change("\n".join([header, *rows]) + "\n"), encoding="utf-8")
    return folder


def touch(folder, *names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def images(folder):
    touch(folder / PARTS[0], "ISIC_1.jpg", "ISIC_2.jpg")
    touch(folder / PARTS[1], "ISIC_3.jpg", "ISIC_4.jpg")
    return folder


@pytest.fixture
def source(tmp_path):
    return images(metadata(tmp_path / "hautbilder é 1"))


def refused(source, words):
    with pytest.raises(DataError, match=words) as caught:
        read(source)
    assert len(str(caught.value).splitlines()) <= 2
    return str(caught.value)


def test_the_table_is_what_every_reader_promises(source):
    raw = read(source)
    table = raw.table
    assert (raw.name, raw.classes, raw.source) == ("ham10000", CLASSES, source)
    assert "CC BY-NC 4.0" in raw.licence
    assert tuple(table.columns) == COLUMNS and table.index.tolist() == [0, 1, 2, 3]
    assert table["image_id"].tolist() == ["ISIC_1", "ISIC_2", "ISIC_3", "ISIC_4"]
    assert table["group_id"].tolist() == ["HAM_1", "HAM_1", "HAM_2", "HAM_3"]
    assert table["dx"].tolist() == ["nv", "nv", "mel", "df"]
    assert all(Path(path).is_absolute() and Path(path).exists() for path in table["path"])
    assert [Path(path).stem for path in table["path"]] == table["image_id"].tolist()
    assert table["age"].dtype == np.float64 and np.isnan(table["age"][1]) and table["age"][0] == 40
    assert table["sex"].tolist() == ["male", "unknown", "female", "male"]
    assert table["mask_path"].tolist() == [""] * 4
    assert raw.findings == {
        "missing age": ["ISIC_2"],
        "missing sex": ["ISIC_2"],
        "missing localization": ["ISIC_2"],
    }
    assert read_any("ham10000", source).table.equals(table)


def test_class_words():
    assert CLASSES == ("akiec", "bcc", "bkl", "df", "mel", "nv", "vasc")
    assert set(MALIGNANT) == {"akiec", "bcc", "mel"} and CLASS_NAMES["nv"] == "melanocytic nevus"


def tabs(text):
    return "\n".join(
        "\t".join(f'"{field}"' for field in line.split(",")) for line in text.split("\n")
    )


@pytest.mark.parametrize(
    "name, change",
    [
        ("HAM10000_metadata", str),
        ("HAM10000_metadata.tab", tabs),
        ("HAM10000_metadata.csv", tabs),
        ("ham10000_METADATA.CSV", lambda text: "\ufeff" + text),
        ("HAM10000_metadata.csv", lambda text: text.replace("\n", "\r\n")),
    ],
    ids=["no ending", "converted by Dataverse", "converted, renamed", "BOM", "Windows"],
)
def test_the_metadata_is_recognised_in_every_form(source, tmp_path, name, change):
    other = images(metadata(tmp_path / "other", name=name, change=change))
    columns = [column for column in COLUMNS if column != "path"]
    assert read(other).table[columns].equals(read(source).table[columns])


def test_an_eighth_column_and_another_order_do_no_harm(source):
    rows = [",".join(["vidir", *reversed(row.split(","))]) for row in ROWS]
    header = ",".join(["dataset", *reversed(HEADER.split(","))])
    before = read(source).table
    assert read(metadata(source, rows, header=header)).table.equals(before)


def test_kaggles_doubled_folders_count_once(source):
    before = read(source).table
    images(source / "ham10000_images_part_1")
    touch(source / "HAM10000_IMAGES_PART_2" / "ham10000_images_part_2", "ISIC_4.JPG")
    raw = read(source)
    assert raw.table.equals(before), "the least nested copy is the one kept"
    assert raw.findings["duplicate ids"] == ["ISIC_1", "ISIC_2", "ISIC_3", "ISIC_4"]


def test_one_folder_with_any_ending_and_masks_anywhere(tmp_path):
    flat = metadata(tmp_path)
    touch(flat, "ISIC_1.JPG", "isic_2.jpeg", "ISIC_3.png", "x/ISIC_4.jpg")
    touch(
        flat / "masks/deep", "ISIC_1_segmentation.png", "ISIC_3_segmentation.png", "ATTRIBUTION.txt"
    )
    touch(flat / "__MACOSX", "._ISIC_1_segmentation.png")
    raw = read(flat)
    expected = ["ISIC_1_segmentation.png", "", "ISIC_3_segmentation.png", ""]
    assert [Path(path).name for path in raw.table["mask_path"]] == expected
    assert raw.findings["rows without mask"] == ["ISIC_2", "ISIC_4"]
    assert "images without row" not in raw.findings


def test_rows_without_image_and_images_without_row_are_counted(source):
    (source / PARTS[0] / "ISIC_1.jpg").unlink()
    touch(source, "ISIC_9.jpg")
    raw = read(source)
    assert raw.findings["rows without image"] == ["ISIC_1"]
    assert raw.findings["images without row"] == ["ISIC_9.jpg"]
    assert raw.table["image_id"].tolist() == ["ISIC_2", "ISIC_3", "ISIC_4"]


def test_equal_rows_count_once_and_different_ones_stop(source):
    assert read(metadata(source, [*ROWS, ROWS[0]])).findings["duplicate rows"] == ["ISIC_3"]
    metadata(source, [*ROWS, ROWS[0].replace("mel", "nv")])
    refused(source, "lines 2 and 6: 'ISIC_3' twice")


def test_an_unknown_class_names_line_and_column(source):
    metadata(source, [*ROWS[:2], ROWS[2].replace("nv", "nevus"), ROWS[3]])
    text = refused(source, "metadata.csv, line 4, column dx: 'nevus'")
    assert ", ".join(CLASSES) in text


@pytest.mark.parametrize("column, words", [("dx", "empty"), ("lesion_id", "empty"), ("age", "old")])
def test_a_bad_field_names_line_and_column(source, column, words):
    row = dict(zip(HEADER.split(","), ROWS[1].split(","), strict=True))
    row[column] = "" if words == "empty" else words
    metadata(source, [ROWS[0], ",".join(row.values())])
    refused(source, f"line 3, column {column}: .*{words}")


def test_a_missing_column_lists_those_there(source):
    metadata(source, header=HEADER.replace("lesion_id", "lesion"))
    refused(source, "no column lesion_id. Its columns: lesion, image_id, dx")


def test_no_metadata_no_folder_and_no_image_say_the_next_step(tmp_path):
    refused(tmp_path / "none", "none is no folder.*nbhelpers download ham10000")
    (tmp_path / "readme.txt").touch()
    text = refused(tmp_path, "holds no HAM10000_metadata.csv")
    assert "readme.txt" in text and "10.7910/DVN/DBW86T" in text
    metadata(tmp_path)
    text = refused(tmp_path, "looked for ISIC_3.jpg .*found no image")
    assert "10.7910/DVN/DBW86T" in text
    touch(tmp_path, "IMG_1.jpg")
    refused(tmp_path, "found 1 images such as IMG_1.jpg")


def test_two_metadata_files_the_nearer_is_read_the_other_reported(source):
    metadata(source / "copy", rows=[])
    assert read(source).findings["other metadata files"] == ["copy/HAM10000_metadata.csv"]


def test_the_registry_is_what_was_published():
    assert {part: (one.md5, one.url.rsplit("/", 1)[1]) for part, one in FILES.items()} == {
        "metadata": ("8f85fb1aa29d80a2797247e434deb79d", "4338392?format=original"),
        "images_part_1": ("4639bfa73ab251610530a97c898e6e46", "3172585"),
        "images_part_2": ("da43d6cc50f6613013be07e8986b384b", "3172584"),
        "masks": ("6e8d252e09cfdb0189199f15985a5b84", "3838943"),
    }
    assert all(
        one.url.startswith("https://dataverse.harvard.edu/api/access/datafile/")
        for one in FILES.values()
    )


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


def zipped(*names):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name in names:
            archive.writestr(name, b"")
    return out.getvalue()


@pytest.fixture
def dataverse(tmp_path, monkeypatch):
    """A small Dataverse on this machine: the same four files, with fewer images in them."""
    monkeypatch.setenv("no_proxy", "*")
    site = metadata(tmp_path / "site")
    (site / "HAM10000_images_part_1.zip").write_bytes(zipped("ISIC_1.jpg", "ISIC_2.jpg"))
    (site / "HAM10000_images_part_2.zip").write_bytes(zipped("ISIC_3.jpg", "ISIC_4.jpg"))
    masks = zipped(*(f"masks/ISIC_{n}_segmentation.png" for n in range(1, 5)))
    (site / "HAM10000_segmentations_lesion_tschandl.zip").write_bytes(masks)
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(site)))
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}/"
    monkeypatch.setattr(ham10000, "FILES", {
        part: Remote(one.name, url + one.name, one.licence, one.manual,
                     md5=hashlib.md5((site / one.name).read_bytes()).hexdigest())
        for part, one in FILES.items()
    })  # fmt: skip
    yield site
    server.shutdown()
    server.server_close()


def test_download_lays_out_what_read_reads_and_a_second_one_transfers_nothing(dataverse, tmp_path):
    to = ham10000.download(tmp_path / "raw")
    raw = read(to)
    assert len(raw.table) == 4 and (raw.table["mask_path"] != "").all()
    assert sorted(path.name for path in to.iterdir()) == [
        "HAM10000_images_part_1", "HAM10000_images_part_2", "HAM10000_metadata.csv",
        "HAM10000_segmentations_lesion_tschandl", "archives",
    ]  # fmt: skip
    shutil.rmtree(to / "archives")
    shutil.rmtree(dataverse)
    assert read(ham10000.download(to)).table.equals(raw.table)


def test_a_download_that_ends_in_the_middle_is_taken_up_again(dataverse, tmp_path):
    moved = (dataverse / "HAM10000_images_part_2.zip").rename(tmp_path / "later.zip")
    with pytest.raises(DownloadError, match="404"):
        ham10000.download(tmp_path / "raw")
    moved.rename(dataverse / "HAM10000_images_part_2.zip")
    (dataverse / "HAM10000_images_part_1.zip").unlink()
    assert len(read(ham10000.download(tmp_path / "raw")).table) == 4


def test_two_downloads_at_once_end_in_one_valid_folder(dataverse, tmp_path):
    with ThreadPoolExecutor(3) as pool:
        ends = list(pool.map(ham10000.download, [tmp_path / "raw"] * 3))
    assert ends == [tmp_path / "raw"] * 3 and len(read(ends[0]).table) == 4


@pytest.mark.skipif(not REAL.is_dir(), reason="the measuring data are not here")
def test_the_real_table_gives_the_published_counts(tmp_path):
    table = REAL / "HAM10000_metadata.csv"
    shutil.copyfile(table, tmp_path / table.name)
    with zipfile.ZipFile(REAL / "ham10000_200x150.zip") as archive:
        names = sorted(name for name in archive.namelist() if name.endswith(".jpg"))
    for folder, start, stop in ((PARTS[0], 0, 5000), (PARTS[1], 5000, None)):
        touch(tmp_path / folder, *names[start:stop])
    raw = read(tmp_path)
    assert raw.table["dx"].value_counts().to_dict() == {
        "nv": 6705, "mel": 1113, "bkl": 1099, "bcc": 514, "akiec": 327, "vasc": 142, "df": 115,
    }  # fmt: skip
    assert len(raw.table) == 10_015 and raw.table["group_id"].nunique() == 7_470
    assert {kind: len(found) for kind, found in raw.findings.items()} == {
        "missing age": 57, "missing sex": 57, "missing localization": 234,
    }  # fmt: skip
    assert raw.table["age"].isna().sum() == 57
    assert (raw.table["localization"] == "unknown").sum() == 234
