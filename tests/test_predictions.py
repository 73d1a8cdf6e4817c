import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import balanced_accuracy_score, f1_score, precision_score, roc_auc_score

from nbhelpers.errors import DataError
from nbhelpers.predictions import (
    COLUMNS,
    Predictions,
    balanced_log_loss,
    committees,
    confusion,
    lesion_level,
    lesion_recall,
    load_predictions,
    one_replicate,
    recalls,
    save_predictions,
    score_table,
    scores,
    wilson,
)

CLASSES = ("nv", "mel", "df")


def predictions(rows, softmax):
    return Predictions(
        pd.DataFrame(rows, columns=list(COLUMNS)), np.array(softmax, np.float32), CLASSES
    )


def test_softmax_is_averaged_over_a_lesions_images():
    found = predictions(
        [
            ("i1", "A", 0, 0, "test", "real", -1, 0),
            ("i2", "A", 0, 0, "test", "real", -1, 0),
            ("i3", "B", 1, 0, "test", "real", -1, 0),
            ("i4", "C", 1, 0, "validation", "real", -1, 0),
            ("i1", "A", 0, 0, "test", "bar", -1, 0),
        ],
        [[0.2, 0.8, 0], [0.9, 0.1, 0], [0, 1, 0], [0, 1, 0], [0, 0, 1]],
    )
    lesions = lesion_level(found)
    assert lesions.table["arm"].tolist() == ["real", "real", "bar"]
    assert lesions.table["group_id"].tolist() == ["A", "B", "A"]
    assert lesions.softmax == pytest.approx(np.array([[0.55, 0.45, 0], [0, 1, 0], [0, 0, 1]]))
    # the image that alone would have been wrong is outvoted
    accuracy = score_table(found).query("arm == 'real' and metric == 'accuracy'")["value"]
    assert accuracy.tolist() == [1.0, 1.0]


def test_wilson_by_hand():
    # 8 of 10: centre (0.8 + 0.19207) / 1.38415, half 1.95996 / 1.38415 * sqrt(0.016 + 0.0096036)
    assert wilson(8, 10) == pytest.approx((0.4902, 0.9433), abs=1e-4)
    assert wilson(0, 10)[0] == 0 and wilson(10, 10)[1] == pytest.approx(1)
    assert np.isnan(wilson(0, 0)).all()


def test_scores_by_hand():
    label = np.array([0, 0, 0, 0, 1, 1, 2])
    guess = np.array([0, 0, 0, 1, 1, 0, 2])
    table = scores(label, np.eye(3)[guess], CLASSES).set_index("metric")["value"]
    assert table["accuracy"] == pytest.approx(5 / 7)
    assert table["majority_share"] == pytest.approx(4 / 7)
    assert table["balanced_accuracy"] == pytest.approx((3 / 4 + 1 / 2 + 1) / 3)
    assert table["macro_f1"] == pytest.approx((3 / 4 + 1 / 2 + 1) / 3)
    assert table["recall_mel"] == 0.5 and table["precision_nv"] == 0.75


def test_scores_agree_with_scikit_learn():
    rng = np.random.default_rng(0)
    label = rng.integers(0, 3, 200)
    softmax = rng.dirichlet([1, 1, 1], 200) * 0.6 + 0.4 * np.eye(3)[label] * rng.random((200, 1))
    softmax = (softmax / softmax.sum(1, keepdims=True)).round(2)  # rounded: ties
    softmax[:, 0] += 1 - softmax.sum(1)
    guess = softmax.argmax(1)
    table = scores(label, softmax, CLASSES).set_index("metric")["value"]
    assert table["balanced_accuracy"] == pytest.approx(balanced_accuracy_score(label, guess))
    assert table["macro_f1"] == pytest.approx(f1_score(label, guess, average="macro"))
    assert table["precision_df"] == pytest.approx(precision_score(label, guess, average=None)[2])
    auc = roc_auc_score(label, softmax, multi_class="ovr", average="macro")
    assert table["macro_auc"] == pytest.approx(auc)


def test_always_naming_the_commonest_class_is_seen_through():
    label = np.repeat([0, 1, 2], [67, 20, 13])
    table = scores(label, np.tile([1.0, 0, 0], (100, 1)), CLASSES).set_index("metric")
    assert table["value"]["accuracy"] == table["value"]["majority_share"] == 0.67
    assert table["value"]["balanced_accuracy"] == pytest.approx(1 / 3)
    assert table["value"]["macro_auc"] == 0.5
    assert table["reason"]["precision_df"] == "df is never predicted"


def test_a_class_that_is_missing_gives_nan_and_a_reason():
    label = np.array([0, 0, 1])
    table = scores(label, np.eye(3)[label], CLASSES).set_index("metric")
    for metric in ("balanced_accuracy", "macro_f1", "macro_auc", "recall_df"):
        assert np.isnan(table["value"][metric])
        assert table["reason"][metric] == "no lesion of df in this test set"
    assert table["value"]["accuracy"] == 1 and table["reason"]["accuracy"] == ""
    assert recalls(label, label, CLASSES)["support"].tolist() == [2, 1, 0]


def test_the_file_holds_no_objects_and_comes_back_equal(tmp_path):
    found = predictions([("i1", "A", 0, 0, "test", "real", -1, 0)], [[0.2, 0.7, 0.1]])
    path = save_predictions(tmp_path / "predictions.npz", found)
    with np.load(path, allow_pickle=False) as file:
        assert all(file[name].dtype != object for name in file.files)
    back = load_predictions(path)
    assert back.classes == CLASSES and np.array_equal(back.softmax, found.softmax)
    assert back.table.to_numpy().tolist() == found.table.to_numpy().tolist()


def test_missing_or_broken_files_are_named(tmp_path):
    with pytest.raises(DataError, match="run notebook 22 first"):
        load_predictions(tmp_path / "predictions.npz")
    (tmp_path / "half.npz").write_bytes(b"PK\x03\x04 and no more")
    with pytest.raises(DataError, match=r"half\.npz is not a file of predictions"):
        load_predictions(tmp_path / "half.npz")


def test_confusion_counts_true_by_predicted():
    counts = confusion(np.array([0, 0, 1, 2]), np.array([0, 1, 1, 0]), 3)
    assert counts.tolist() == [[1, 1, 0], [0, 1, 0], [1, 0, 0]]


def test_one_replicate_takes_the_first_seeds_of_each_arm():
    rows = [
        ("i", "A", 0, 0, "test", arm, made, trained)
        for arm, made in (("real", -1), ("synthetic", 3), ("synthetic", 4))
        for trained in (0, 1)
    ]
    table = one_replicate(predictions(rows, [[1, 0, 0]] * 6)).table
    assert table[["arm", "generator_seed", "classifier_seed"]].to_numpy().tolist() == [
        ["real", -1, 0],
        ["synthetic", 3, 0],
    ]


def test_a_committee_averages_the_trainings_of_an_arm():
    found = predictions(
        [
            ("i1", "A", 0, 0, "test", "real", -1, 0),
            ("i2", "B", 1, 0, "test", "real", -1, 0),
            ("i2", "B", 1, 0, "test", "synthetic", 5, 1),
            ("i1", "A", 0, 0, "test", "real", -1, 1),
            ("i2", "B", 1, 0, "test", "real", -1, 1),
            ("i2", "B", 1, 0, "test", "synthetic", 6, 1),
        ],
        [[0.2, 0.8, 0], [0, 1, 0], [0, 0, 1], [0.9, 0.1, 0], [1, 0, 0], [0, 0.5, 0.5]],
    )
    once = committees(found)
    assert once.table["arm"].tolist() == ["real", "real", "synthetic"]
    assert once.table["image_id"].tolist() == ["i1", "i2", "i2"]
    expected = [[0.55, 0.45, 0], [0.5, 0.5, 0], [0, 0.25, 0.75]]
    assert once.softmax == pytest.approx(np.array(expected))
    assert not once.table.duplicated(["arm", "image_id"]).any()
    assert lesion_level(once).softmax == pytest.approx(np.array(expected))


def test_recall_by_lesion_averages_images_first():
    label, groups = np.array([0, 0, 0, 1]), np.array(["A", "A", "B", "C"])
    softmax = np.array([[0.2, 0.8, 0], [0.9, 0.1, 0], [0.1, 0.9, 0], [0, 1, 0]])
    found = lesion_recall(label, groups, softmax)
    assert found[:2].tolist() == [0.5, 1] and np.isnan(found[2])
    # A 0.55, B 0.1, C 1: mean of (-log 0.55 - log 0.1) / 2 and 0
    expected = -(np.log(0.55) + np.log(0.1)) / 4
    assert balanced_log_loss(label, groups, softmax) == pytest.approx(expected)
