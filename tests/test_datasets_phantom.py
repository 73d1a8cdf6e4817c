"""The phantom data set: the layout to the letter, the same bytes every time, fit to learn from."""

import csv
import json
from collections import Counter
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nbhelpers.datasets import phantom
from nbhelpers.datasets.phantom import COLUMNS, MASKS, METADATA, PARTS, PATIENTS, make, plan
from nbhelpers.errors import DataError, UsageError

COUNT, WIDTH, HEIGHT = 320, 80, 60


def rows_of(folder: Path) -> list[dict[str, str]]:
    with open(folder / METADATA, newline="") as file:
        return list(csv.DictReader(file))


def contents(folder: Path) -> dict[str, bytes]:
    files = (p for p in sorted(folder.rglob("*")) if p.is_file())
    return {str(p.relative_to(folder)): p.read_bytes() for p in files}


def load(folder: Path, image_id: str) -> tuple[np.ndarray, np.ndarray]:
    (path,) = (p for part in PARTS if (p := folder / part / f"{image_id}.jpg").exists())
    mask = np.asarray(Image.open(folder / MASKS / f"{image_id}_segmentation.png"))
    return np.asarray(Image.open(path)), mask


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return make(tmp_path_factory.mktemp("phantom") / "set", COUNT, 0, WIDTH, HEIGHT)


def test_layout_is_ham10000s(folder):
    rows = rows_of(folder)
    assert tuple(rows[0]) == COLUMNS
    ids = sorted(row["image_id"] for row in rows)
    first, second = (sorted(p.name for p in (folder / part).iterdir()) for part in PARTS)
    assert [f"{i}.jpg" for i in ids] == first + second and len(first) == len(second) == COUNT // 2
    masks = sorted(p.name for p in (folder / MASKS).iterdir())
    assert masks == [f"{i}_segmentation.png" for i in ids]
    names = {*PARTS, MASKS, METADATA, "phantom.json"}
    assert {p.name for p in folder.iterdir()} == names
    assert not [p for p in folder.parent.iterdir() if p != folder], "a draft was left behind"


def test_files_decode_to_photographs_and_binary_masks(folder):
    for row in rows_of(folder)[::16]:
        image, mask = load(folder, row["image_id"])
        assert image.shape == (HEIGHT, WIDTH, 3) and mask.shape == (HEIGHT, WIDTH)
        assert set(np.unique(mask)) <= {0, 255} and mask.any()
        assert row["lesion_id"].startswith("PHA_") and len(row["image_id"]) == len("PHM_0000001")


def test_same_seed_same_bytes_on_one_thread_or_many(tmp_path, monkeypatch):
    many = make(tmp_path / "many", 100, 3, 40, 32)
    monkeypatch.setattr(phantom.os, "cpu_count", lambda: 1)
    one = make(tmp_path / "one", 100, 3, 40, 32)
    other = make(tmp_path / "other", 100, 4, 40, 32)
    assert contents(many) == contents(one)
    pictures = contents(many).keys() & contents(other).keys() - {METADATA, "phantom.json"}
    assert all(contents(many)[p] != contents(other)[p] for p in pictures if p.endswith(".jpg"))


def test_masks_cover_what_is_darker_or_redder(folder):
    agree = []
    for row in rows_of(folder):
        image, mask = load(folder, row["image_id"])
        away = np.hypot(*np.ogrid[-1 : 1 : HEIGHT * 1j, -1.33 : 1.33 : WIDTH * 1j]) < 1
        inside, skin = image[mask > 0].mean(0), image[(mask == 0) & away].mean(0)
        redness = [colour[0] - colour[1:].mean() for colour in (inside, skin)]
        agree.append(inside.mean() < skin.mean() or redness[0] > redness[1])
    assert np.mean(agree) > 0.95


def test_classes_are_shared_out_as_in_ham10000():
    photographs = Counter()
    for lesion in (lesions := plan(10_015, 0)):
        photographs[lesion.facts["dx"]] += len(lesion.photographs)
    assert photographs == {dx: patients.images for dx, patients in PATIENTS.items()}
    repeats = [len(lesion.photographs) for lesion in lesions]
    assert np.mean(repeats) == pytest.approx(1.34, abs=0.01)
    assert min(repeats) == 1 and 4 <= max(repeats) <= 6
    assert 0.70 < np.mean(np.array(repeats) == 1) < 0.80  # HAM10000: 0.738


@pytest.mark.parametrize(("count", "least"), [(100, 5), (299, 5), (300, 10), (1000, 10)])
def test_every_class_has_lesions_for_five_folds(count, least):
    lesions = plan(count, 1)
    assert sum(len(lesion.photographs) for lesion in lesions) == count
    numbers = [number for lesion in lesions for number in lesion.photographs]
    assert sorted(numbers) == list(range(1, count + 1))
    distinct = Counter(lesion.facts["dx"] for lesion in lesions)
    assert set(distinct) == set(PATIENTS) and min(distinct.values()) >= least


def test_rows_of_one_lesion_share_all_but_the_image(folder):
    lesions = {}
    for row in rows_of(folder):
        facts = {name: row[name] for name in COLUMNS if name != "image_id"}
        assert lesions.setdefault(row["lesion_id"], facts) == facts
    assert len(lesions) < COUNT


def test_photographs_of_a_lesion_resemble_each_other_yet_differ(folder):
    rows = rows_of(folder)
    colours = {row["image_id"]: load(folder, row["image_id"])[0].mean((0, 1)) for row in rows}
    apart = {True: [], False: []}
    for a, b in pairwise(rows):
        gap = np.abs(colours[a["image_id"]] - colours[b["image_id"]]).mean()
        apart[a["lesion_id"] == b["lesion_id"]].append(gap)
    assert min(apart[True]) > 0 and np.mean(apart[True]) < 0.5 * np.mean(apart[False])


def test_values_go_missing_as_in_ham10000():
    facts = [lesion.facts for lesion in plan(1000, 0)]
    ages = [float(fact["age"]) for fact in facts if fact["age"]]
    assert len(facts) - len(ages) == round(0.006 * len(facts))
    assert all(age % 5 == 0 and 0 <= age <= 85 for age in ages)
    assert {"unknown", "male", "female"} == {fact["sex"] for fact in facts}
    assert sum(fact["localization"] == "unknown" for fact in facts) == round(0.023 * len(facts))
    assert {fact["dx_type"] for fact in facts} == {"histo", "follow_up", "consensus", "confocal"}
    assert {fact["dx_type"] for fact in facts if fact["dx"] == "mel"} == {"histo"}


def test_complete_folder_is_left_alone_and_a_half_written_one_made_again(tmp_path):
    folder = make(tmp_path / "set", 100, 0, 40, 32)
    whole, made = contents(folder), (folder / METADATA).stat().st_mtime_ns
    assert make(folder, 100, 0, 40, 32) == folder
    assert (folder / METADATA).stat().st_mtime_ns == made
    (folder / "phantom.json").unlink()
    next((folder / PARTS[0]).iterdir()).write_bytes(b"half a photogr")
    assert contents(make(folder, 100, 0, 40, 32)) == whole
    next((folder / MASKS).iterdir()).unlink()
    assert contents(make(folder, 100, 0, 40, 32)) == whole


def test_failure_leaves_nothing_behind(tmp_path, monkeypatch):
    def full_disk(*_):
        raise OSError("no space left")

    monkeypatch.setattr(phantom, "_write_lesion", full_disk)
    with pytest.raises(OSError, match="no space"):
        make(tmp_path / "set", 100, 0, 40, 32)
    assert not list(tmp_path.iterdir())


def test_other_settings_and_other_peoples_files_are_refused(tmp_path):
    folder = tmp_path / "set"
    folder.mkdir()
    settings = {"version": phantom.VERSION, "count": 100, "seed": 0, "width": 40, "height": 32}
    (folder / "phantom.json").write_text(json.dumps(settings))
    with pytest.raises(DataError, match=r"'seed': 0.*another folder"):
        make(folder, 100, 1, 40, 32)
    (folder / "thesis.docx").write_text("three years")
    with pytest.raises(DataError, match=r"thesis\.docx"):
        make(folder, 100, 0, 40, 32)
    assert (folder / "thesis.docx").exists()


@pytest.mark.parametrize("arguments", [(99, 0, 40, 32), (100, -1, 40, 32), (100, 0, 40, 8)])
def test_impossible_settings_are_refused(tmp_path, arguments):
    with pytest.raises(UsageError):
        make(tmp_path / "set", *arguments)
    assert not list(tmp_path.iterdir())


def colours_of(image: np.ndarray) -> np.ndarray:
    """Quantiles of the optical density of an image's middle against its rim: colour, not lamp."""
    square = image[:, (WIDTH - HEIGHT) // 2 :][:, :HEIGHT].astype(float) + 12
    rim = np.median(np.concatenate([square[10:50, 4:10], square[10:50, 50:56]], 1), (0, 1))
    density = np.log(rim / square)[10:50, 10:50].reshape(-1, 3)
    tints = np.column_stack([density, density[:, :2] - density[:, 2:]])
    return np.quantile(tints, [0.02, 0.1, 0.25, 0.5, 0.75, 0.9, 0.98], axis=0).ravel()


def test_diagnoses_can_be_learnt_but_not_perfectly(folder):
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.metrics import balanced_accuracy_score
    from sklearn.model_selection import StratifiedGroupKFold

    rows = rows_of(folder)
    features = np.stack([colours_of(load(folder, row["image_id"])[0]) for row in rows])
    label, lesion = (np.array([row[name] for row in rows]) for name in ("dx", "lesion_id"))
    forest = RandomForestClassifier(
        200, class_weight="balanced", max_depth=8, min_samples_leaf=3, random_state=0
    )
    found = np.empty_like(label)
    folds = StratifiedGroupKFold(5, shuffle=True, random_state=0)
    for train, test in folds.split(features, label, lesion):
        found[test] = forest.fit(features[train], label[train]).predict(features[test])
    score = balanced_accuracy_score(label, found)
    assert 2 / 7 < score < 0.85, f"balanced accuracy {score:.2f}; the majority class gives 0.14"


def test_real_photographs_are_never_replaced_by_phantoms(tmp_path):
    """HAM10000's own folder has the same names in it: only the photographs tell."""
    photograph = tmp_path / PARTS[0] / "ISIC_0024306.jpg"
    photograph.parent.mkdir()
    photograph.write_bytes(b"a patient's")
    (tmp_path / METADATA).write_text("lesion_id,image_id,dx,dx_type,age,sex,localization\n")
    with pytest.raises(DataError, match=r"holds ISIC_0024306\.jpg, no phantom's file"):
        phantom.make(tmp_path, 100)
    assert photograph.read_bytes() == b"a patient's"
