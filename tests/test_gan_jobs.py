"""A job: what it is trained on, what it builds, and what makes two jobs the same."""

import dataclasses

import numpy as np
import pytest
from small_gans import copied, equal

from nbhelpers import checkpoints, splits
from nbhelpers.errors import CheckpointError, DataError, TrainingError, UsageError
from nbhelpers.gan_jobs import Job, differences, parsed_settings, refuse_another, take_weights
from nbhelpers.gans import ACGAN, DCGAN, WGAN

SMALL = {"width": 4, "z_dim": 8}


def job(gan: str = "cgan", **changes) -> Job:
    return Job(**{"gan": gan, "images": 96, "batch_size": 16, "settings": SMALL} | changes)


def test_rows_are_the_folds_training_part_of_the_class(prepared):
    part = splits.parts(prepared.table, 1)["train"]
    assert np.array_equal(job(fold=1).rows(prepared), part)
    rows = job(fold=1, class_name="mel").rows(prepared)
    assert set(prepared.table["dx"].iloc[rows]) == {"mel"}
    assert 0 < len(rows) < len(part) and set(rows) < set(part)


def test_a_class_that_is_absent_offers_the_nearest(prepared):
    with pytest.raises(UsageError, match="class 'mell' is unknown: did you mean 'mel'"):
        job(class_name="mell").rows(prepared)


def test_a_class_that_is_too_small_says_how_small_and_what_to_do(prepared):
    count = len(job(class_name="mel").rows(prepared))
    assert len(job(class_name="mel", batch_size=count).rows(prepared)) == count
    with pytest.raises(TrainingError) as found:
        job(class_name="mel", batch_size=count + 1).rows(prepared)
    for told in (
        f"class mel has {count} ",
        "fold 0",
        f"batch of {count + 1}",
        f"most {count}",
        "cgan",
    ):
        assert told in str(found.value)


def test_the_first_weights_follow_from_the_seed(prepared):
    one, again, other = (copied(job(seed=s).build(prepared)) for s in (0, 0, 1))
    assert equal(one, again) and not equal(one, other)
    gan = job(settings=SMALL | {"augment": "flip"}).build(prepared)
    assert gan.settings["image_size"] == 64 and gan.settings["classes"] == 2
    assert (gan.width, gan.augment) == (4, "flip")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"gan": "cgn"}, "GAN 'cgn' is unknown: did you mean 'cgan'"),
        ({"settings": {"widht": 4}}, "did you mean 'width'"),
    ],
)
def test_what_cannot_be_meant_is_refused(prepared, changes, message):
    with pytest.raises(UsageError, match=message):
        job(**changes).build(prepared)


def test_classes_are_balanced_where_g_is_told_them(prepared):
    for gan, order in (("cgan", "balanced"), ("dcgan", "natural")):
        assert job(gan).budget(job(gan).build(prepared)).order == order
        asked = job(gan, order="natural")
        assert asked.budget(asked.build(prepared)).order == "natural"


def identity(given: Job, prepared, start_from=None) -> dict:
    return given.identity(given.build(prepared), prepared, start_from)


@pytest.mark.parametrize(
    "changes",
    [
        {"seed": 1},
        {"fold": 1},
        {"batch_size": 8},
        {"class_name": "mel"},
        {"order": "natural"},
        {"gan": "acgan"},
        {"settings": SMALL | {"strength": 0.5}},
    ],
)
def test_another_job_is_not_the_past_of_this_one(prepared, tmp_path, changes):
    state = {"config": identity(job(), prepared)}
    found = differences(state, identity(job(**changes), prepared))
    name = next(iter(changes)).replace("settings", "settings.strength")
    assert any(sentence.startswith(f"{name} was ") for sentence in found)
    with pytest.raises(CheckpointError, match=f"holds another training: .*{name} was "):
        refuse_another(state, identity(job(**changes), prepared), tmp_path, resume=True)


def test_a_longer_budget_and_a_default_written_out_are_the_same_job(prepared, tmp_path):
    state = {"config": identity(job(), prepared)}
    for same in (job(images=960), job(order="balanced"), job(settings=SMALL | {"strength": 1.0})):
        assert differences(state, identity(same, prepared)) == []
        refuse_another(state, identity(same, prepared), tmp_path, resume=True)
    with pytest.raises(CheckpointError, match="pass --resume"):
        refuse_another(state, identity(job(), prepared), tmp_path, resume=False)


def with_classes(prepared, *classes: str):
    return dataclasses.replace(prepared, classes=classes)


def test_a_checkpoint_of_other_classes_is_not_gone_on_with(prepared, tmp_path):
    state = {"config": identity(job(), prepared)}
    other = identity(job(), with_classes(prepared, "nv", "mel"))  # the same two, in another order
    with pytest.raises(CheckpointError, match=r"classes was \['mel', 'nv'\], is \['nv', 'mel'\]"):
        refuse_another(state, other, tmp_path, resume=True)
    manifest = {"sha256": {"images.npy": "other pictures"}}
    moved = dataclasses.replace(prepared, manifest=manifest)
    assert differences(state, identity(job(), moved))[0].startswith("data was ")


def saved(given: Job, prepared, folder):
    """A folder with a checkpoint of this job, before its first step."""
    gan = given.build(prepared)
    folder.mkdir()
    state = {"config": identity(given, prepared), "training": {"gan": gan.state_dict()}}
    checkpoints.save(folder, state)
    return folder


def test_the_gan_started_from_is_part_of_what_a_job_is(prepared, tmp_path):
    one, other = (saved(job(seed=s), prepared, tmp_path / str(s)) for s in (0, 1))
    state = {"config": identity(job(), prepared, one)}
    assert differences(state, identity(job(), prepared, one)) == []
    assert differences(state, identity(job(), prepared, other))[0].startswith("start_from was ")
    assert differences(state, identity(job(), prepared))[0].startswith("start_from was ")


def test_weights_are_taken_from_a_gan_of_the_same_classes(prepared, tmp_path):
    folder = saved(job(seed=1), prepared, tmp_path / "base")
    gan = job().build(prepared)
    take_weights(gan, folder, prepared.classes)
    assert equal(copied(gan), copied(job(seed=1).build(prepared)))


@pytest.mark.parametrize("classes", [("nv", "mel"), ("bcc", "df"), ("mel", "nv", "df")])
def test_weights_of_other_classes_are_refused_by_name(prepared, tmp_path, classes):
    folder = saved(job(), prepared, tmp_path / "base")
    gan = job().build(with_classes(prepared, *classes))
    with pytest.raises(
        CheckpointError, match=f"knows the classes mel, nv, the data have {', '.join(classes)}"
    ):
        take_weights(gan, folder, classes)


def test_weights_without_a_label_do_not_ask_for_its_name(prepared, tmp_path):
    folder = saved(job("dcgan"), prepared, tmp_path / "base")
    gan = job("dcgan", seed=1).build(prepared)
    take_weights(gan, folder, ("nv", "mel"))
    assert equal(copied(gan), copied(job("dcgan").build(prepared)))


@pytest.mark.parametrize("other", [{"gan": "sngan"}, {"settings": SMALL | {"width": 8}}])
def test_weights_of_another_gan_are_refused(prepared, tmp_path, other):
    folder = saved(job(**other), prepared, tmp_path / "base")
    with pytest.raises(CheckpointError, match="start from one of the same settings"):
        take_weights(job().build(prepared), folder, prepared.classes)


def test_typed_settings_are_read_as_they_are_meant():
    typed = {
        "width": "8",
        "clip": "1e-2",
        "learning_rate_d": "1",
        "conditional": "false",
        "betas": "(0.0, 0.9)",
        "augment": "flip,colour",
        "norm": "None",
    }
    found = parsed_settings(WGAN, typed)
    assert found == {
        "width": 8,
        "clip": 0.01,
        "learning_rate_d": 1,
        "conditional": False,
        "betas": (0.0, 0.9),
        "augment": "flip,colour",
        "norm": "None",
    }
    assert type(found["width"]) is int and found["conditional"] is False
    for text in ("true", "True", "TRUE"):
        assert parsed_settings(WGAN, {"conditional": text}) == {"conditional": True}
    assert parsed_settings(WGAN, {}) == {}


@pytest.mark.parametrize(
    ("kind", "typed", "message"),
    [
        (DCGAN, {"smothing": "0.1"}, "setting 'smothing' is unknown: did you mean 'smoothing'"),
        (DCGAN, {"clip": "0.1"}, "setting 'clip' is unknown"),  # another GAN's
        (ACGAN, {"class_weight": "much"}, "class_weight is 'much': expected float, such as 1.0"),
        (DCGAN, {"width": ""}, "width is '': expected int, such as 64"),
        (DCGAN, {"width": "8 px"}, "width is '8 px': expected int"),
        (DCGAN, {"conditional": "yes"}, "conditional is 'yes': expected bool, such as False"),
        (DCGAN, {"width": "__import__('os')"}, "expected int"),
        (DCGAN, {"width": "8.5"}, "width is 8.5: expected int"),
        (DCGAN, {"width": "true"}, "width is True: expected int"),
        (DCGAN, {"conditional": "1"}, "conditional is 1: expected bool"),
        (DCGAN, {"betas": "0.5"}, "betas is 0.5: expected tuple"),
    ],
)
def test_typed_settings_that_cannot_be_meant_are_refused(kind, typed, message):
    with pytest.raises(UsageError, match=message):
        kind(64, 2, **parsed_settings(kind, typed))


def test_a_gan_that_translates_masks_needs_some(prepared):
    with pytest.raises(
        DataError, match=r"tiny-64 holds no masks\.npy and pix2pix translates masks"
    ):
        job("pix2pix").build(prepared)
    found = {"no masks.npy, as some images have no mask": 3, "missing age": 2}
    such = {kind: ["IMG_0007"] for kind in found}
    manifest = prepared.manifest | {"findings": found, "examples": such}
    told = dataclasses.replace(prepared, manifest=manifest)
    with pytest.raises(DataError, match=r"each image \(no masks\.npy, as .* no mask: IMG_0007\)"):
        job("pix2pix").build(told)


def of_size(prepared, side: int):
    return dataclasses.replace(prepared, images=np.broadcast_to(np.uint8(0), (96, side, side, 3)))


@pytest.mark.parametrize("gan", ["dcgan", "pix2pix"])
@pytest.mark.parametrize(
    ("stored", "crop", "message"),
    [
        (64, 128, "crop is 128 and the images have 64 px: crop less"),
        (512, 0, "tiny-64 holds images of 512 px: train on windows of them, --crop 256, or prep"),
        (512, 100, "image size 100 is not one of 64, 128, 256"),
        (512, 512, "image size 512 is not one of 64, 128, 256"),
    ],
)
def test_windows_that_cannot_be_are_refused(prepared, gan, stored, crop, message):
    with pytest.raises(UsageError, match=message):
        job(gan, crop=crop).build(of_size(prepared, stored))


def test_a_gan_is_as_large_as_its_windows(prepared):
    assert job(crop=128).build(of_size(prepared, 300)).settings["image_size"] == 128
    plain, cropped = (identity(job(crop=crop), prepared) for crop in (0, 64))
    assert "crop" not in plain and cropped["crop"] == 64  # older checkpoints know nothing of it
    assert np.array_equal(
        job(crop=64).windows(prepared.images, np.array([3])), prepared.images[3:4]
    )
