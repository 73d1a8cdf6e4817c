"""UniToPatho: tiles in class folders, masks in folders of their own."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nbhelpers.datasets import COLUMNS, read
from nbhelpers.datasets.unitopatho import PALETTE
from nbhelpers.errors import DataError
from nbhelpers.prepare import prepare

COLOURS = np.array(list(PALETTE.values()), np.uint8)
TILE = "{slide}{ending}_ROI__mpp0.44_reg000_crop_sk{n:05d}_(12824,33871,1812,1812)"


def write_tile(root: Path, dx: str, name: str, seed: int, masks: str = "masks/training/masks"):
    """A tile whose left part is neoplastic and whose top right is connective, and its mask."""
    size, random = 72, np.random.default_rng(seed)
    classes = np.zeros((size, size), np.uint8)
    classes[:, : random.integers(20, 50)] = 1
    classes[: random.integers(10, 30), 52:] = 3
    tile = np.array([(240, 200, 220), (90, 60, 140), (0, 0, 0), (190, 90, 120)], float)[classes]
    tile = np.clip(tile + random.normal(0, 6, tile.shape), 0, 255).astype(np.uint8)
    for folder, pixels in ((f"800/{dx}", tile), (masks, COLOURS[classes])):
        (root / folder).mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(root / folder / f"{name}.png")


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("unitopath-public")
    for c, dx in enumerate(("TA.LG", "HP")):
        for s in range(5):
            for n in range(3):
                slide = f"{100 + 10 * c + s}-B2-{dx.replace('.', '')}"
                ending = ".ndpi" if s else ""
                part = "masks/training/masks" if n else "masks/test/masks"
                name = TILE.format(slide=slide, ending=ending, n=n)
                write_tile(root, dx, name, 100 * c + 10 * s + n, part)
    return root


def refused(source, *words):
    with pytest.raises(DataError) as caught:
        read("unitopatho", source)
    assert all(word in str(caught.value) for word in words), str(caught.value)


def test_tiles_classes_and_slides(source):
    raw = read("unitopatho", source)
    assert raw.classes == ("HP", "TA.LG") and tuple(raw.table.columns) == COLUMNS
    assert len(raw.table) == 30 and raw.findings == {} and raw.table["image_id"].is_unique
    slides = {f"{100 + s}-B2-TALG" for s in range(5)} | {f"{110 + s}-B2-HP" for s in range(5)}
    assert set(raw.table["group_id"]) == slides
    assert (raw.table["dx"] == raw.table["path"].map(lambda path: Path(path).parent.name)).all()
    names = [
        raw.table[column].map(lambda path: Path(path).name) for column in ("path", "mask_path")
    ]
    assert names[0].equals(names[1])
    assert raw.palette["neoplastic"] == (0, 0, 255)


def test_slides_stand_on_one_side_and_masks_on_their_tiles(source, tmp_path):
    prepared = prepare(read("unitopatho", source), tmp_path / "p", 64)
    assert prepared.table.groupby("lesion_id")["fold"].nunique().max() == 1
    assert set(np.unique(prepared.masks)) == {0, 1, 3}
    assert ((prepared.images[..., 0] < 140) == (prepared.masks == 1)).mean() > 0.97


def test_what_has_no_counterpart_or_class_is_told(tmp_path):
    names = [TILE.format(slide="1-A1-HP", ending=".ndpi", n=n) for n in range(3)]
    for n, name in enumerate(names):
        write_tile(tmp_path, "HP", name, n)
    (tmp_path / f"masks/training/masks/{names[0]}.png").unlink()
    (tmp_path / f"800/HP/{names[1]}.png").unlink()
    Image.new("RGB", (8, 8)).save(tmp_path / "overview.png")
    raw = read("unitopatho", tmp_path)
    assert raw.table["image_id"].tolist() == names[2:]
    assert raw.findings == {
        "images without mask": names[:1],
        "masks without image": names[1:2],
        "images in no class folder": [str(tmp_path / "overview.png")],
    }


def test_what_cannot_be_meant_is_refused(tmp_path):
    refused(tmp_path / "none", "none is no folder")
    refused(tmp_path, "0 tiles and 0 masks among 0 images", "TVA.LG", "folder named masks")
    write_tile(tmp_path, "HP", "just-a-name", 0)
    refused(tmp_path, "HP/just-a-name.png names no slide", ".ndpi_ROI__mpp0.44")
    write_tile(tmp_path, "NORM", "just-a-name", 0)
    refused(tmp_path, "HP/just-a-name.png", "NORM/just-a-name.png", "keep one")


def test_other_peoples_classes_are_refused(tmp_path):
    write_tile(tmp_path, "Lymphoma", "1.ndpi_ROI", 0)
    refused(tmp_path, "0 tiles and 1 masks among 2 images", "Lymphoma")


def test_images_are_not_opened(tmp_path):
    for folder in ("800/HP", "masks"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "9-B2-HP_ROI__x.png").touch()
    assert read("unitopatho", tmp_path).table["group_id"].tolist() == ["9-B2-HP"]
