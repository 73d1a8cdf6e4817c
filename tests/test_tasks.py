"""One data set, three questions, the same folds."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from nbhelpers import splits, tasks
from nbhelpers.errors import UsageError
from nbhelpers.extras import read_pool
from nbhelpers.prepare import Prepared
from nbhelpers.sampling import write_synthetic

SEVEN = ("akiec", "bcc", "bkl", "df", "mel", "nv", "vasc")


@pytest.fixture
def seven(tmp_path) -> Prepared:
    label = np.repeat(np.arange(7), 10)
    table = pd.DataFrame({"image_id": [f"I{i:02d}" for i in range(70)], "label": label})
    table["group_id"] = [f"L{i:02d}" for i in range(70)]
    table["dx"] = np.array(SEVEN)[label]
    table["fold"] = splits.assign_folds(table)
    images = np.repeat(np.arange(70, dtype=np.uint8), 12).reshape(70, 2, 2, 3)
    masks = images[..., 0].copy()
    return Prepared(tmp_path, images, table, SEVEN, masks, {"sha256": {"images.npy": "a"}})


def test_all_is_the_data_themselves(seven):
    assert tasks.task(seven, "all") is seven


def test_the_three_largest(seven):
    three = tasks.task(seven, "three")
    assert three.classes == ("nv", "mel", "bkl") and len(three.table) == 30
    assert three.table["label"].tolist() == [2] * 10 + [1] * 10 + [0] * 10
    rows = three.table["image_id"].str[1:].astype(int)
    assert three.images[:, 0, 0, 0].tolist() == three.masks[:, 0, 0].tolist() == rows.tolist()
    fold = seven.table.set_index("image_id")["fold"]
    assert three.table["fold"].tolist() == fold[three.table["image_id"]].tolist()
    assert seven.classes == SEVEN and "task" not in seven.manifest


def test_malignant_or_not(seven):
    two = tasks.task(seven, "malignant")
    assert two.classes == ("malignant", "benign") and len(two.table) == 70
    found = two.table.groupby("dx")["diagnosis"].unique().map(set).to_dict()
    assert found == {"malignant": {"akiec", "bcc", "mel"}, "benign": {"bkl", "df", "nv", "vasc"}}
    assert np.array_equal(two.images, seven.images)


def test_synthetic_sets_of_all_diagnoses_follow(seven, tmp_path):
    labels = np.arange(7)
    images = np.repeat(labels.astype(np.uint8), 12).reshape(7, 2, 2, 3)
    taught = seven.table["group_id"].iloc[splits.parts(seven.table, 0)["train"]]
    path = write_synthetic(tmp_path / "synthetic.npz", images, labels, SEVEN, set(taught))
    three = read_pool(path, tasks.task(seven, "three"), 0)
    assert three.labels.tolist() == [2, 1, 0] and three.images[:, 0, 0, 0].tolist() == [2, 4, 5]
    two = read_pool(path, tasks.task(seven, "malignant"), 0)
    assert two.labels.tolist() == [0, 0, 1, 1, 0, 1, 1]


@pytest.mark.parametrize("name", ["three", "malignant"])
def test_each_lesion_keeps_its_part(seven, name):
    """A generator of all diagnoses has not seen what a classifier of a task is judged on."""
    data = tasks.task(seven, name)
    kept = set(data.table["group_id"])
    for fold in range(5):
        whole, mine = (splits.parts(one.table, fold) for one in (seven, data))
        for part, rows in mine.items():
            lesions = set(seven.table["group_id"].iloc[whole[part]]) & kept
            assert set(data.table["group_id"].iloc[rows]) == lesions != set()


def test_tasks_that_cannot_be_asked_are_refused(seven):
    with pytest.raises(UsageError, match="malignant"):
        tasks.task(seven, "malignent")
    two = tasks.task(seven, "malignant")
    with pytest.raises(UsageError, match="diagnosis of task 'three'"):
        tasks.task(two, "three")


def test_the_leaky_split_leaks_and_says_so(seven):
    table = seven.table.assign(group_id=[f"L{i // 2:02d}" for i in range(70)])
    table["fold"] = splits.assign_folds(table)
    twins = replace(seven, table=table)
    leaky = tasks.by_image(twins)
    for data, shared in ((twins, False), (leaky, True)):
        rows = splits.parts(data.table, 0)
        lesion = data.table["lesion" if shared else "group_id"].to_numpy()
        assert bool(set(lesion[rows["train"]]) & set(lesion[rows["test"]])) is shared
        assert np.bincount(data.table["label"].to_numpy()[rows["test"]]).tolist() == [2] * 7
    assert leaky.manifest["task"] == "split by image" and "task" not in seven.manifest
    two = tasks.by_image(tasks.task(seven, "malignant"))  # its trainings are not those of seven
    assert two.manifest["task"] == "malignant split by image"
