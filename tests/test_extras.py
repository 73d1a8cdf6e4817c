"""Extra images: how many, from where, in which places, and never of a held-out lesion."""

import numpy as np
import pytest
from small_lesions import CLASSES, coloured, tiny

from nbhelpers import extras
from nbhelpers.errors import DataError, LeakageError, MetricError, UsageError
from nbhelpers.extras import Pool, read_pool, synthetic_sets, top_up, with_extra
from nbhelpers.files import write_json
from nbhelpers.row_order import real_order
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


def test_only_classes_below_the_median_are_topped_up():
    assert top_up(REAL, MADE, 1.0, 3).tolist() == [0, 0, 10]
    assert top_up(REAL, MADE, 2.0, 3).tolist() == [0, 0, 20]
    assert top_up(REAL, MADE, 5.0, 3).tolist() == [0, 0, 30]  # no more were made


@pytest.mark.parametrize(
    ("dose", "wanted"),
    [
        ("median", [0, 0, 30]),
        ("largest", [0, 50, 80]),
        ("+500", [500, 500, 500]),
        ("+10%", [9, 4, 1]),
        (0.25, [0, 0, 2]),
    ],
)
def test_named_doses(dose, wanted):
    plenty = np.repeat([0, 1, 2], 1000)
    assert top_up(REAL, plenty, dose, 3).tolist() == wanted
    few = np.repeat([0, 1, 2], 3)
    assert top_up(REAL, few, dose, 3).tolist() == np.minimum(wanted, 3).tolist()
    assert extras.wanted(REAL, dose, 3).tolist() == wanted


@pytest.mark.parametrize("dose", ["much", "+", "+x", "500", "+5.5", "-10%"])
def test_other_doses_are_refused(dose):
    with pytest.raises(UsageError, match="is none of a number, median, largest"):
        top_up(REAL, MADE, dose, 3)


def test_extra_images_are_of_the_right_class_and_number():
    real, made = Pool(coloured(REAL), REAL), Pool(coloured(MADE, 1), MADE)
    counts = np.array([0, 0, 25])
    fake, again = extras.generated(real, made, counts, 0), extras.generated(real, made, counts, 0)
    copies = extras.duplicated(real, made, counts, 0)
    assert fake.labels.tolist() == copies.labels.tolist() == [2] * 25
    assert np.array_equal(fake.images, again.images)
    known = {image.tobytes() for image in real.images[REAL == 2]}
    assert {image.tobytes() for image in copies.images} == known  # 25 of 10: every one comes again
    assert not known & {image.tobytes() for image in fake.images}
    assert len({image.tobytes() for image in fake.images}) == 25  # without replacement


def test_only_what_passed_is_taken_and_taken_again_to_the_same_number():
    passed = np.zeros(60, bool)
    passed[50:55] = True
    made = Pool(coloured(MADE, 1), MADE, passed)
    found = extras.filtered(Pool(coloured(REAL), REAL), made, np.array([0, 0, 20]), 0)
    assert {i.tobytes() for i in found.images} == {i.tobytes() for i in made.images[50:55]}
    assert found.labels.tolist() == [2] * 20
    none_of_it = Pool(made.images, MADE, np.zeros(60, bool))
    assert len(extras.filtered(made, none_of_it, np.array([0, 0, 20]), 0).labels) == 0
    with pytest.raises(DataError, match="nobody has filtered"):
        extras.filtered(made, Pool(made.images, MADE), np.array([0, 0, 1]), 0)


def test_blends_lie_between_two_images_of_their_class():
    real = Pool(coloured(REAL), REAL)
    found = extras.blended(real, real, np.array([0, 8, 5]), 0)
    assert found.labels.tolist() == [1] * 8 + [2] * 5 and found.images.dtype == np.uint8
    colour = found.images.mean((1, 2)).argmax(1)
    assert colour.tolist() == found.labels.tolist()
    assert not {i.tobytes() for i in found.images} & {i.tobytes() for i in real.images}
    noise = real.images[REAL == 1].std((1, 2, 3)).mean()
    assert found.images[:8].std((1, 2, 3)).mean() < noise  # a mean of two has less of it


def test_permuted_labels_are_the_same_labels_on_other_images():
    made = Pool(coloured(np.repeat([1, 2], 40)), np.repeat([1, 2], 40))
    found = extras.permuted(made, made, np.array([0, 20, 20]), 0)
    assert np.bincount(found.labels).tolist() == [0, 20, 20]
    colour = found.images.mean((1, 2)).argmax(1)
    assert 5 < (colour == found.labels).sum() < 35
    assert sorted(colour.tolist()) == sorted(found.labels.tolist())


def test_alone_shows_no_real_image_of_a_class_that_was_made():
    order, extra = real_order(REAL, 50, 28, 0.5, 0), np.repeat([0, 2], [4, 9])
    shown = with_extra(order, REAL, extra, 1, alone=True)
    labels = np.concatenate([REAL, extra])
    assert np.array_equal(labels[shown], REAL[order])
    assert set(REAL[shown[shown < len(REAL)]]) == {1}


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
    assert np.array_equal(with_extra(order, REAL, np.empty(0, int), 1), order)  # none has passed
    one, two = (with_extra(order, REAL, extra, 1) for extra in (np.full(9, 2), np.full(9, 2)))
    assert np.array_equal(one, two)
    assert not np.array_equal(one, with_extra(order, REAL, np.full(9, 2), 2))


def test_a_generator_that_saw_the_training_part_is_let_in(tmp_path):
    prepared = tiny(tmp_path)
    path = synthetic(prepared, tmp_path / "s.npz", groups_of(prepared, 0, "train"))
    assert read_pool(path, prepared, 0).labels.tolist() == [2] * 12


@pytest.mark.parametrize("part", ["validation", "test"])
def test_a_planted_leak_is_caught(tmp_path, part):
    prepared = tiny(tmp_path)
    groups = groups_of(prepared, 0, "train") + groups_of(prepared, 0, part)[:1]
    path = synthetic(prepared, tmp_path / "s.npz", groups)
    with pytest.raises(
        LeakageError, match=r"s\.npz was trained on 1 lesions of the evaluation set"
    ):
        read_pool(path, prepared, 0)


def test_the_same_generator_leaks_into_another_fold(tmp_path):
    prepared = tiny(tmp_path)
    path = synthetic(prepared, tmp_path / "s.npz", groups_of(prepared, 0, "train"))
    with pytest.raises(LeakageError):
        read_pool(path, prepared, 1)


def test_labels_follow_the_names_of_their_classes(tmp_path):
    prepared = tiny(tmp_path)
    path = synthetic(prepared, tmp_path / "s.npz", (), (0, 1, 0), ("df", "nv"))
    assert read_pool(path, prepared, 0).labels.tolist() == [2, 0, 2]


def test_sets_that_do_not_fit_are_refused(tmp_path):
    prepared = tiny(tmp_path)
    path = synthetic(prepared, tmp_path / "s.npz", (), (0,), ("wart",))
    with pytest.raises(DataError, match="wart"):
        read_pool(path, prepared, 0)
    large = np.zeros((1, 64, 64, 3), np.uint8)
    write_synthetic(path, large, np.array([0]), CLASSES, set())
    with pytest.raises(MetricError, match="sample again from a GAN of this size"):
        read_pool(path, prepared, 0)
    np.savez(path, images=large[:, :32, :32])
    with pytest.raises(DataError, match="no labels, which a classifier learns from"):
        read_pool(path, prepared, 0)
    np.savez(tmp_path / "evil.npz", images=np.array([print], dtype=object))
    with pytest.raises(DataError, match=r"evil\.npz is no synthetic set"):
        read_pool(tmp_path / "evil.npz", prepared, 0)
    with pytest.raises(DataError, match="12 images, 3 filtered"):
        read_pool(synthetic(prepared, path, ()), prepared, 0, np.ones(3, bool))


def test_sets_are_found_by_fold_and_generator_seed(tmp_path):
    prepared = tiny(tmp_path)
    for name, fold, seed in (("dcgan", 0, 0), ("dcgan-f1", 1, 0), ("wgan", 2, 0)):
        synthetic(prepared, tmp_path / name / "synthetic.npz", ())
        write_json(tmp_path / name / "card.json", {"fold": fold, "seed": seed})
    assert set(synthetic_sets(tmp_path, "dcgan")) == {(0, 0), (1, 0)}
    with pytest.raises(DataError, match=r"synthetic\.npz is missing"):
        synthetic_sets(tmp_path, "sngan")
    synthetic(prepared, tmp_path / "dcgan-again" / "synthetic.npz", ())
    write_json(tmp_path / "dcgan-again" / "card.json", {"fold": 0, "seed": 0})
    with pytest.raises(DataError, match="dcgan and dcgan-again are both of fold 0 and seed 0"):
        synthetic_sets(tmp_path, "dcgan")
