"""EBHI-Seg: the published layout, and what people make of it."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import SHARED
from PIL import Image

from nbhelpers.datasets import COLUMNS, read
from nbhelpers.errors import DataError
from nbhelpers.prepare import prepare

FOLDERS = {
    "Normal": "normal",
    "High-grade IN": "high_grade_in",
    "Serrated adenoma": "serrated_adenoma",
}


def write_pair(folder: Path, name: str, seed: int, size: int = 70) -> None:
    """A purple disc on pink, its middle and radius drawn from `seed`, with its mask."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:size, :size]
    middle = random.uniform(0.3, 0.7, 2) * size
    disc = np.hypot(y - middle[0], x - middle[1]) < size * random.uniform(0.15, 0.3)
    pixels = np.where(disc[..., None], (110, 60, 150), (235, 170, 210))
    pixels = np.clip(pixels + random.normal(0, 8, pixels.shape), 0, 255).astype(np.uint8)
    for part in ("image", "label"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(folder / "image" / f"{name}.jpg", quality=95)
    Image.fromarray(disc).save(folder / "label" / f"{name}.png")


def write_set(root: Path, patients: int = 6) -> Path:
    """Two slides a patient, two pictures a slide; each class shares a patient with the next."""
    for c, folder in enumerate(FOLDERS):
        for p in range(patients):
            for slide, number in np.ndindex(2, 2):
                name = f"GT20{p + c * (patients - 1):05d}-{slide + 1}-400-{number + 1:03d}"
                write_pair(root / folder, name, 100 * c + 10 * p + 2 * slide + number)
    return root


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> Path:
    return write_set(tmp_path_factory.mktemp("ebhi é") / "EBHI-SEG")


def refused(source, *words):
    with pytest.raises(DataError) as caught:
        read("ebhi", source)
    assert all(word in str(caught.value) for word in words), str(caught.value)


def test_the_published_layout(source):
    raw = read("ebhi", source)
    assert raw.name == "ebhi" and raw.classes == ("high_grade_in", "normal", "serrated_adenoma")
    assert tuple(raw.table.columns) == COLUMNS and len(raw.table) == 72
    assert raw.table["image_id"].is_monotonic_increasing and raw.findings == {}
    row = raw.table.set_index("image_id").loc["high_grade_in/GT2000007-2-400-001"]
    assert row["group_id"] == "GT2000007" and row["dx"] == "high_grade_in"
    assert row["path"] == str(source / "High-grade IN/image/GT2000007-2-400-001.jpg")
    assert row["mask_path"] == str(source / "High-grade IN/label/GT2000007-2-400-001.png")
    assert list(raw.palette) == ["stroma", "gland"] and "CC BY 4.0" in raw.licence


def test_the_nearest_level_that_holds_class_folders(source):
    above = read("ebhi", source.parent)
    assert above.table.equals(read("ebhi", source).table)
    refused(source / "Normal", "expected <class>/image/")


def test_a_relative_source(source, monkeypatch):
    monkeypatch.chdir(source / "Normal")
    assert read("ebhi", "..").table.equals(read("ebhi", source).table)


def test_copies_further_down_are_told(tmp_path):
    for root in (tmp_path / "EBHI-SEG", tmp_path / "old" / "EBHI-SEG"):
        write_pair(root / "Normal", "GT2000001-1-400-001", 0)
    raw = read("ebhi", tmp_path)
    assert raw.findings == {"other class folders": [str(tmp_path / "old" / "EBHI-SEG")]}
    assert "old" not in Path(raw.table["path"][0]).parts


def test_patients_stand_on_one_side_and_masks_on_their_images(source, tmp_path):
    prepared = prepare(read("ebhi", source), tmp_path / "p", 64)
    patient = prepared.table["image_id"].str.extract(r"/(\w+)-")[0]
    assert prepared.table.groupby(patient)["fold"].nunique().max() == 1
    assert prepared.table["fold"].nunique() == 5
    assert prepared.manifest["counts"] == dict.fromkeys(FOLDERS.values(), 24)
    assert set(np.unique(prepared.masks)) == {0, 1}
    dark = prepared.images[..., 0] < 170
    assert (dark == (prepared.masks == 1)).mean() > 0.98


def test_what_has_no_counterpart_is_left_out_and_told(tmp_path):
    root = write_set(tmp_path, 2)
    (root / "Normal/label/GT2000000-1-400-001.png").unlink()
    (root / "Normal/image/GT2000000-1-400-002.jpg").unlink()
    raw = read("ebhi", root)
    assert len(raw.table) == 24 - 2
    assert raw.findings == {
        "images without mask": ["normal/GT2000000-1-400-001"],
        "masks without image": ["normal/GT2000000-1-400-002"],
    }


def test_what_cannot_be_meant_is_refused(tmp_path):
    refused(tmp_path / "none", "none is no folder")
    refused(tmp_path, "holds no image", "GT2012149-3-400-001")
    write_pair(tmp_path / "Polyp", "GT2000001-1-400-001", 0)
    write_pair(tmp_path / "Polyp", "IMG_0001", 1)
    refused(tmp_path, "Polyp/image/IMG_0001.jpg", "patient, slide, magnification, number")


def test_two_files_of_one_name_are_refused(tmp_path):
    for folder in ("Low-grade IN", "low_grade_in"):
        write_pair(tmp_path / folder, "GT2000001-1-400-001", 0)
    refused(tmp_path, "Low-grade IN/image", "low_grade_in/image", "keep one")


def test_pairs_that_are_none_are_refused(tmp_path):
    write_pair(tmp_path / "Polyp", "GT2000001-1-400-001", 0)
    label = tmp_path / "Polyp/label/GT2000001-1-400-001.png"
    label.rename(label.with_name("GT2000001-1-400-009.png"))
    refused(tmp_path, "none of the 1 images (such as GT2000001-1-400-001.jpg) and 1 masks")


@pytest.mark.skipif(not SHARED.exists(), reason="real pictures are not here")
def test_real_counts(tmp_path):
    command = [sys.executable, SHARED / "unpack.py", tmp_path, "ebhi"]
    subprocess.run(command, check=True, capture_output=True)
    raw = read("ebhi", tmp_path)
    assert raw.table["dx"].value_counts().to_dict() == {
        "adenocarcinoma": 400, "high_grade_in": 186, "low_grade_in": 400,
        "normal": 76, "polyp": 400, "serrated_adenoma": 58,
    }  # fmt: skip
    assert raw.table["group_id"].nunique() == 340 and raw.findings == {}
