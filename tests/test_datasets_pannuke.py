"""PanNuke: arrays as Warwick's zips unpack, its official folds, and never a pickle."""

import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from nbhelpers.datasets import COLUMNS, read
from nbhelpers.datasets.pannuke import NO_GROUPS, PALETTE
from nbhelpers.errors import DataError
from nbhelpers.prepare import prepare

TISSUES = ("Colon", "Bile-duct", "HeadNeck")
ZIPPED = "Fold {k}/images/fold{k}/images.npy", "Fold {k}/masks/fold{k}/masks.npy"
FLAT = "fold{k}/images.npy", "fold{k}/masks.npy", "fold{k}/types.npy"
LAYOUTS = [(*ZIPPED, "Fold {k}/images/fold{k}/types.npy"), FLAT]


def fold_arrays(k: int, count: int = 6, size: int = 66) -> list[np.ndarray]:
    """Pictures with a square for a nucleus of class k, and one of class 5, where k + 1 is 5."""
    random = np.random.default_rng(k)
    images = random.integers(180, 250, (count, size, size, 3)).astype(float)
    masks = np.zeros((count, size, size, 6))
    for i in range(count):
        for channel, (top, left) in ((k, (4, 4 + 5 * i)), (4, (36, 30 - 4 * i))):
            square = np.s_[i, top : top + 20, left : left + 20]
            images[square] = random.integers(20, 90, (20, 20, 3))
            masks[(*square, channel)] = 7 + channel  # instances are numbers of any size
    masks[..., 5] = 1 - (masks[..., :5].sum(-1) > 0)
    return [images, masks, np.array([TISSUES[i % 3] for i in range(count)])]


def write_folds(root: Path, folds=(1, 2, 3), layout=FLAT, count: int = 6) -> Path:
    for k in folds:
        for place, array in zip(layout, fold_arrays(k, count), strict=True):
            file = root / place.format(k=k)
            file.parent.mkdir(parents=True, exist_ok=True)
            np.save(file, array)
    return root


def refused(source, *words):
    with pytest.raises(DataError) as caught:
        read("pannuke", source)
    assert all(word in str(caught.value) for word in words), str(caught.value)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_both_layouts_and_the_official_folds(tmp_path, layout):
    raw = read("pannuke", write_folds(tmp_path, (1, 3), layout))
    assert tuple(raw.table.columns) == (*COLUMNS, "fold")
    assert raw.classes == ("bile_duct", "colon", "headneck")
    assert raw.table["image_id"].tolist()[4:8] == [
        "fold1/00004", "fold1/00005", "fold3/00000", "fold3/00001",
    ]  # fmt: skip
    row = raw.table.iloc[7]
    assert row["path"] == str(tmp_path / layout[0].format(k=3) / "1")
    assert row["mask_path"] == str(tmp_path / layout[1].format(k=3) / "1")
    assert (row["dx"], row["fold"], row["group_id"]) == ("bile_duct", 2, "fold3/00001")
    assert raw.findings == {"no groups": [NO_GROUPS]}
    assert next(iter(raw.palette)) == "background" and "BY-NC-SA" in raw.licence


def test_prepared_images_masks_and_folds(tmp_path):
    prepared = prepare(read("pannuke", write_folds(tmp_path / "raw")), tmp_path / "p", 64)
    fold = prepared.table["image_id"].str.extract(r"fold(\d)")[0].astype(int)
    assert (prepared.table["fold"] == fold - 1).all() and len(prepared.table) == 18
    for k in (1, 2, 3):
        present = np.unique(prepared.masks[np.flatnonzero(fold == k)])
        assert present.tolist() == [0, k + 1, 5], "channels are one less than classes"
    assert list(prepared.palette)[3] == "connective"
    dark = prepared.images.mean(-1) < 140
    assert (dark == (prepared.masks > 0)).mean() > 0.98


@pytest.mark.parametrize("kind", ["S10", "U10"])
def test_types_of_bytes_or_text(tmp_path, kind):
    file = write_folds(tmp_path, (1,)) / "fold1/types.npy"
    np.save(file, np.load(file).astype(kind))
    assert read("pannuke", tmp_path).classes == ("bile_duct", "colon", "headneck")


class Trap:
    """An object that leaves a file behind where it is unpickled."""

    def __init__(self, file: Path):
        self.file = file

    def __reduce__(self):
        return Path.touch, (self.file,)


def test_a_pickle_is_never_opened(tmp_path):
    file, sprung = write_folds(tmp_path, (1,)) / "fold1/types.npy", tmp_path / "sprung"
    np.save(file, np.array([Trap(sprung)] * 6, object), allow_pickle=True)
    refused(tmp_path, str(file), "pickled", "never opened", "allow_pickle=True).astype(str)")
    assert not sprung.exists()
    with file.open("wb") as bare:
        pickle.dump(Trap(sprung), bare)
    refused(tmp_path, f"{file} is no whole array")
    assert not sprung.exists()
    np.load(file, allow_pickle=True)
    assert sprung.exists(), "the trap works"


def change(file: Path, how) -> None:
    np.save(file, how(np.load(file)))


@pytest.mark.parametrize(
    "name, how, words",
    [
        ("masks", lambda a: a[:5], ("fold 1 differ in length", "images.npy 6", "masks.npy 5")),
        ("types", lambda a: a[:2], ("differ in length", "types.npy 2")),
        ("masks", lambda a: a[..., :5], ("masks.npy has the shape (6, 66, 66, 5)", "H, W, 6)")),
        ("images", lambda a: a[..., 0], ("images.npy has the shape (6, 66, 66)", "H, W, 3)")),
        ("types", lambda a: a[:, None], ("types.npy has the shape (6, 1)", "(N,)")),
        ("types", lambda a: np.arange(6), ("types.npy holds int64, no names of tissues",)),
    ],
)
def test_arrays_that_do_not_belong_together(tmp_path, name, how, words):
    change(write_folds(tmp_path, (1, 2)) / f"fold1/{name}.npy", how)
    refused(tmp_path, *words)


def test_missing_and_damaged_arrays(tmp_path):
    refused(tmp_path, "none of PanNuke's arrays", "fold1/images.npy")
    write_folds(tmp_path, (1, 2))
    masks = tmp_path / "fold2/masks.npy"
    whole = masks.read_bytes()
    masks.write_bytes(whole[:-900])
    refused(tmp_path, f"{masks} is no whole array", "unpack it again")
    masks.unlink()
    refused(tmp_path, "fold 2 has", "fold2/images.npy, but no masks.npy")
    write_folds(tmp_path / "Fold 2", (2,))
    refused(tmp_path, "Fold 2/fold2/images.npy and", "keep one")


def test_arrays_of_no_fold(tmp_path):
    np.save(tmp_path / "images.npy", np.zeros((2, 8, 8, 3)))
    refused(tmp_path, "images.npy lies in no folder of a fold")


MEASURE = """
import sys
from pathlib import Path
from nbhelpers.datasets import read
from nbhelpers.pictures import read_image, read_mask

def megabytes(name):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(name))

before = megabytes("VmRSS")
raw = read("pannuke", sys.argv[1])
for path, mask in zip(raw.table["path"][::250], raw.table["mask_path"][::250]):
    assert read_image(path, 64)[0].shape == read_mask(mask, 64, palette=raw.palette).shape + (3,)
print(len(raw.table), megabytes("VmHWM") - before)
"""


@pytest.mark.skipif(
    not Path("/proc/self/status").exists(), reason="memory is read off Linux's /proc"
)
def test_a_whole_fold_is_opened_in_little_memory(tmp_path):
    """Not getrusage's ru_maxrss, which starts from the peak of the process that started it."""
    (tmp_path / "fold1").mkdir()
    for kind, channels in (("images", 3), ("masks", 6)):  # sparse: 12 GB that take no place
        shape = 2500, 256, 256, channels
        np.lib.format.open_memmap(tmp_path / f"fold1/{kind}.npy", "w+", np.float64, shape=shape)
    np.save(tmp_path / "fold1/types.npy", np.full(2500, "Colon"))
    command = [sys.executable, "-c", MEASURE, str(tmp_path)]
    told = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    assert int(told[0]) == 2500 and float(told[1]) < 1000, f"{told[1]} MB"


def test_the_palette_is_the_channels_in_order():
    assert list(PALETTE)[1:] == ["neoplastic", "inflammatory", "connective", "dead", "epithelial"]
