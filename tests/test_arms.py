import numpy as np
import pytest
from small_lesions import CLASSES, coloured, tiny

from nbhelpers.arms import (
    ARMS,
    Pool,
    duplicated,
    generated,
    read_set,
    synthetic_sets,
    top_up,
    with_extra,
)
from nbhelpers.classifier import real_order
from nbhelpers.errors import DataError, LeakageError
from nbhelpers.files import write_json
from nbhelpers.sampling import write_synthetic
from nbhelpers.splits import parts

REAL = np.repeat([0, 1, 2], [90, 40, 10])
MADE = np.repeat([0, 2], [30, 30])


def synthetic(prepared, path, groups, labels=(2,) * 12, classes=CLASSES):
    labels = np.array(labels)
    return write_synthetic(path, coloured(labels, seed=5), labels, classes, set(groups))


def groups_of(prepared, fold, *names):
    rows = np.concatenate([parts(prepared.table, fold)[name] for name in names])
    return sorted(set(prepared.table["group_id"].iloc[rows]))


def test_arms_name_themselves_and_say_why():
    assert [arm.name for arm in ARMS] == ["real", "real_classic", "synthetic", "placebo"]
    assert all(arm.code and arm.why for arm in ARMS)
    bar, question, control = (arm.settings | {"name": ""} for arm in ARMS[1:])
    assert question | {"extra": ""} == control | {"extra": ""} == bar | {"extra": ""}
    assert " at 0x" not in str([arm.settings for arm in ARMS])


def test_only_classes_below_the_median_are_topped_up():
    assert top_up(REAL, MADE, 1.0, 3).tolist() == [0, 0, 10]
    assert top_up(REAL, MADE, 2.0, 3).tolist() == [0, 0, 20]
    assert top_up(REAL, MADE, 5.0, 3).tolist() == [0, 0, 30]  # no more were made


def test_extra_images_are_of_the_right_class_and_number():
    real, made = Pool(coloured(REAL), REAL), Pool(coloured(MADE, 1), MADE)
    counts = np.array([0, 0, 25])
    fake, again = generated(real, made, counts, 0), generated(real, made, counts, 0)
    copies = duplicated(real, made, counts, 0)
    assert fake.labels.tolist() == copies.labels.tolist() == [2] * 25
    assert np.array_equal(fake.images, again.images)
    known = {image.tobytes() for image in real.images[REAL == 2]}
    assert {image.tobytes() for image in copies.images} == known  # 25 of 10: every one comes again
    assert not known & {image.tobytes() for image in fake.images}
    assert len({image.tobytes() for image in fake.images}) == 25  # without replacement


def test_replacing_keeps_every_label_in_its_place():
    order, extra = real_order(REAL, 50, 28, 0.5, 0), np.full(30, 2)
    mixed = with_extra(order, REAL, extra, 1)
    both = np.concatenate([REAL, extra])
    assert np.array_equal(both[mixed], REAL[order])
    assert np.array_equal(mixed[mixed < len(REAL)], order[mixed < len(REAL)])
    tail = REAL[order] == 2
    assert (mixed[tail] >= len(REAL)).mean() == pytest.approx(30 / 40, abs=0.06)
    assert len(np.unique(mixed[mixed >= len(REAL)])) == 30


def test_equal_counts_replace_equal_places():
    order = real_order(REAL, 20, 28, 0.5, 0)
    one, two = (with_extra(order, REAL, extra, 1) for extra in (np.full(9, 2), np.full(9, 2)))
    assert np.array_equal(one, two)
    assert not np.array_equal(one, with_extra(order, REAL, np.full(9, 2), 2))


def test_a_generator_that_saw_the_training_part_is_let_in(tmp_path):
    prepared = tiny(tmp_path)
    path = synthetic(prepared, tmp_path / "s.npz", groups_of(prepared, 0, "train"))
    assert read_set(path, prepared, 0).labels.tolist() == [2] * 12


@pytest.mark.parametrize("part", ["validation", "test"])
def test_a_planted_leak_is_caught(tmp_path, part):
    prepared = tiny(tmp_path)
    groups = groups_of(prepared, 0, "train") + groups_of(prepared, 0, part)[:1]
    path = synthetic(prepared, tmp_path / "s.npz", groups)
    with pytest.raises(
        LeakageError, match=r"s\.npz was trained on 1 lesions of the evaluation set"
    ):
        read_set(path, prepared, 0)


def test_the_same_generator_leaks_into_another_fold(tmp_path):
    prepared = tiny(tmp_path)
    path = synthetic(prepared, tmp_path / "s.npz", groups_of(prepared, 0, "train"))
    with pytest.raises(LeakageError):
        read_set(path, prepared, 1)


def test_labels_follow_the_names_of_their_classes(tmp_path):
    prepared = tiny(tmp_path)
    path = synthetic(prepared, tmp_path / "s.npz", (), (0, 1, 0), ("df", "nv"))
    assert read_set(path, prepared, 0).labels.tolist() == [2, 0, 2]


def test_sets_that_do_not_fit_are_refused(tmp_path):
    prepared = tiny(tmp_path)
    with pytest.raises(DataError, match="sample it from a GAN of this data set"):
        read_set(synthetic(prepared, tmp_path / "s.npz", (), (0,), ("wart",)), prepared, 0)
    np.savez(tmp_path / "evil.npz", images=np.array([print], dtype=object))
    with pytest.raises(DataError, match=r"evil\.npz is not a synthetic set"):
        read_set(tmp_path / "evil.npz", prepared, 0)


def test_sets_are_found_by_fold_and_generator_seed(tmp_path):
    prepared = tiny(tmp_path)
    for name, fold, seed in (("dcgan", 0, 0), ("dcgan-f1", 1, 0), ("wgan", 2, 0)):
        synthetic(prepared, tmp_path / name / "synthetic.npz", ())
        write_json(tmp_path / name / "card.json", {"fold": fold, "seed": seed})
    assert set(synthetic_sets(tmp_path, "dcgan")) == {(0, 0), (1, 0)}
    with pytest.raises(DataError, match=r"synthetic\.npz is missing"):
        synthetic_sets(tmp_path, "sngan")
