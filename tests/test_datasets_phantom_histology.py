"""The drawn tissue: EBHI-Seg's layout, the same bytes every time, masks that fit to the pixel."""

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nbhelpers.datasets import phantom_histology, read
from nbhelpers.datasets.histology_drawing import PALETTE
from nbhelpers.datasets.phantom_histology import GRADES, MARKER, make, plan
from nbhelpers.errors import DataError, UsageError
from nbhelpers.pictures import read_mask
from nbhelpers.prepare import prepare

STROMA, GLAND, LUMEN, EPITHELIAL, CONNECTIVE, INFLAMMATORY = range(6)
NUCLEI = EPITHELIAL, CONNECTIVE, INFLAMMATORY
COUNT, SMALL = 150, 64


def contents(folder: Path) -> dict[str, bytes]:
    files = (p for p in sorted(folder.rglob("*")) if p.is_file())
    return {str(p.relative_to(folder)): p.read_bytes() for p in files}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return make(tmp_path_factory.mktemp("phantom") / "set", COUNT)


@pytest.fixture(scope="module")
def raw(folder):
    return read("phantom-histology", folder)


@pytest.fixture(scope="module")
def tiles(raw) -> list[tuple[str, np.ndarray, np.ndarray]]:
    """Class, tile int (160, 160, 3) and classes of its pixels, of every third image."""
    rows = raw.table.iloc[::3]
    return [
        (dx, np.asarray(Image.open(path)).astype(int), read_mask(mask, 160, palette=raw.palette))
        for dx, path, mask in zip(rows["dx"], rows["path"], rows["mask_path"], strict=True)
    ]


def test_layout_and_names_are_ebhis(folder, raw):
    assert raw.name == "phantom-histology" and raw.classes == tuple(sorted(GRADES))
    assert len(raw.table) == COUNT // 2 and raw.findings == {}
    assert raw.palette == PALETTE and "no patient" in raw.licence
    assert {p.name for p in folder.iterdir()} == {*GRADES, MARKER}
    assert raw.table["image_id"].str.fullmatch(r"\w+/PHT\d{4}-1-400-\d{3}").all()
    assert raw.table["group_id"].str.fullmatch(r"PHT\d{4}").all()
    assert not [p for p in folder.parent.iterdir() if p != folder], "a draft was left behind"
    with Image.open(raw.table["mask_path"][0]) as mask:
        colours = {colour for _, colour in mask.convert("RGB").getcolors()}
    assert colours <= set(PALETTE.values()) and len(colours) > 3


def test_same_seed_same_bytes_on_one_thread_or_many(tmp_path, monkeypatch):
    many = make(tmp_path / "many", 90, 3, SMALL)
    monkeypatch.setattr(phantom_histology.os, "cpu_count", lambda: 1)
    one = make(tmp_path / "one", 90, 3, SMALL)
    other = contents(make(tmp_path / "other", 90, 4, SMALL))
    known = contents(many)
    assert known == contents(one)
    shared = [p for p in known.keys() & other.keys() if p != MARKER]
    assert shared and all(known[p] != other[p] for p in shared)


def test_prepared_folds_are_by_patient_and_masks_lie_on_tiles(raw, tmp_path):
    prepared = prepare(raw, tmp_path / "p", 64)
    assert prepared.manifest["counts"] == dict.fromkeys(sorted(GRADES), 25)
    assert prepared.table.groupby("lesion_id")["fold"].nunique().max() == 1
    assert prepared.table.groupby("dx")["fold"].nunique().min() == 5
    assert prepared.manifest["findings"] == {} and list(prepared.palette) == list(PALETTE)
    bright = prepared.images.mean(-1)
    medians = [np.median(bright[prepared.masks == k]) for k in range(len(PALETTE))]
    assert np.argmax(medians) == LUMEN
    assert min(medians[STROMA], medians[GLAND]) > max(medians[k] for k in NUCLEI) + 15


def test_masks_fit_to_the_pixel(tiles):
    """Moved by a pixel, a mask explains its tile less: in every tile, whichever way."""
    for _, tile, mask in tiles:
        bright, inner = tile.sum(-1), np.s_[4:-4, 4:-4]
        far = {}
        for move in ((0, 0), (0, 1), (1, 0), (0, -1), (-1, 0)):
            moved = np.roll(mask, move, (0, 1))[inner]
            far[move] = sum(bright[inner][moved == k].var() * (moved == k).mean() for k in range(6))
        assert min(far, key=far.get) == (0, 0)


def test_colours_are_those_of_the_stains(tiles):
    for _, tile, mask in tiles:
        kinds = NUCLEI, STROMA, LUMEN
        nuclei, stroma, lumen = (np.median(tile[np.isin(mask, kind)], 0) for kind in kinds)
        assert nuclei[2] > nuclei[0] and nuclei[2] > nuclei[1], "blue-purple"
        assert stroma[0] > nuclei[0] + 40 and stroma[1] < stroma[[0, 2]].min(), "pink"
        assert lumen.min() > stroma.min() + 20, "nearly white"


def test_every_tile_shows_glands_and_classes_differ(tiles):
    shares = {dx: [] for dx in GRADES}
    for dx, _, mask in tiles:
        shares[dx].append(np.bincount(mask.ravel(), minlength=len(PALETTE)) / mask.size)
        glands = shares[dx][-1][[GLAND, LUMEN, EPITHELIAL]].sum()
        assert 0.2 < glands < 0.95 and set(np.unique(mask)) >= {STROMA, GLAND, EPITHELIAL}
    normal, adenoma, carcinoma = (np.mean(shares[dx], 0) for dx in GRADES)
    assert normal[LUMEN] > adenoma[LUMEN] > 0.01 and normal[LUMEN] > carcinoma[LUMEN]
    assert adenoma[EPITHELIAL] > 1.5 * normal[EPITHELIAL]
    assert carcinoma[INFLAMMATORY] > 1.4 * normal[INFLAMMATORY]


def test_tiles_of_a_patient_share_their_staining(raw):
    stains = [np.asarray(Image.open(p)).mean((0, 1)) for p in raw.table["path"]]
    stains = raw.table.assign(**dict(zip("rgb", np.transpose(stains), strict=True)))
    within = stains.groupby("group_id")[["r", "g", "b"]].std().mean().mean()
    between = stains.groupby(["dx", "group_id"])[["r", "g", "b"]].mean()
    assert 0 < within < 0.7 * between.groupby("dx").std().mean().mean()


@pytest.mark.parametrize("tiles", [45, 46, 59, 75, 500, 5007])
def test_patients_suffice_for_five_folds(tiles):
    patients = plan(tiles, 1)
    assert sum(p.tiles for p in patients) == tiles
    assert {p.tiles for p in patients} <= {3, 4, 5, 6, 7}
    assert sorted(p.number for p in patients) == list(range(1, len(patients) + 1))
    classes = Counter(p.dx for p in patients)
    assert set(classes) == set(GRADES) and min(classes.values()) >= 5
    if tiles >= 75:
        assert tiles / len(patients) == pytest.approx(5, abs=0.1)


def test_complete_folder_is_left_alone_and_a_half_written_one_made_again(tmp_path):
    folder = make(tmp_path / "set", 90, 0, SMALL)
    whole, made = contents(folder), (folder / MARKER).stat().st_mtime_ns
    assert make(folder, 90, 0, SMALL) == folder
    assert (folder / MARKER).stat().st_mtime_ns == made
    (folder / MARKER).unlink()
    next((folder / "normal/image").iterdir()).write_bytes(b"half a tile")
    with pytest.raises(DataError, match="prepare phantom-histology"):
        read("phantom-histology", folder)
    assert contents(make(folder, 90, 0, SMALL)) == whole
    next((folder / "adenoma/label").iterdir()).unlink()
    assert contents(make(folder, 90, 0, SMALL)) == whole


def test_failure_leaves_nothing_behind(tmp_path, monkeypatch):
    def full_disk(*_):
        raise OSError("no space left")

    monkeypatch.setattr(phantom_histology, "_write_patient", full_disk)
    with pytest.raises(OSError, match="no space"):
        make(tmp_path / "set", 90, 0, SMALL)
    assert not list(tmp_path.iterdir())


def test_other_settings_and_real_slides_are_refused(tmp_path):
    settings = {"version": phantom_histology.VERSION, "count": 90, "seed": 0, "size": SMALL}
    (tmp_path / MARKER).write_text(json.dumps(settings))
    with pytest.raises(DataError, match=r"'seed': 0.*another folder"):
        make(tmp_path, 90, 1, SMALL)
    slide = tmp_path / "normal/image/GT2000000-1-400-001.jpg"
    slide.parent.mkdir(parents=True)
    slide.write_bytes(b"a patient's")
    with pytest.raises(DataError, match=r"holds GT2000000-1-400-001\.jpg, no phantom's file"):
        make(tmp_path, 90, 0, SMALL)
    assert slide.read_bytes() == b"a patient's"


@pytest.mark.parametrize("arguments", [(89, 0, 64), (90, -1, 64), (90, 0, 63)])
def test_impossible_settings_are_refused(tmp_path, arguments):
    with pytest.raises(UsageError):
        make(tmp_path / "set", *arguments)
    assert not list(tmp_path.iterdir())
