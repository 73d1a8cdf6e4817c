import io

import numpy as np
import pytest
import torch
from small_lesions import coloured, tiny

from nbhelpers import classifier, features
from nbhelpers.backbones import BACKBONES
from nbhelpers.classifier import Augmentation, Recipe, predict, real_order, train, train_encoder
from nbhelpers.errors import TrainingError
from nbhelpers.splits import parts

CPU = torch.device("cpu")
SMALL = Recipe(steps=4, batch=8)


LABELS = np.repeat([0, 1, 2], [90, 40, 10])


def test_order_is_a_function_of_seed_and_epoch():
    short, long = (real_order(LABELS, steps, 20, 0.5, 3) for steps in (7, 21))
    assert np.array_equal(short, long[:7])
    assert not np.array_equal(long[:7], long[7:14])
    assert not np.array_equal(short, real_order(LABELS, 7, 20, 0.5, 4))


@pytest.mark.parametrize("power", [0.0, 0.5, 1.0])
def test_class_shares_follow_the_power(power):
    order = real_order(LABELS, 70, 20, power, 0)
    counts = np.bincount(LABELS) ** (1 - power)
    share = np.bincount(LABELS[order].ravel()) / order.size
    assert share == pytest.approx(counts / counts.sum(), abs=0.01)


def test_an_image_comes_as_often_as_its_weight_says():
    times = np.bincount(real_order(LABELS, 7, 20, 0.5, 0).ravel(), minlength=140)
    weight = np.bincount(LABELS)[LABELS] ** -0.5
    expected = 140 * weight / weight.sum()
    assert (np.abs(times - expected) < 1).all()


def test_fewer_images_than_a_batch_are_refused():
    with pytest.raises(TrainingError, match="140 training images make no batch of 141"):
        real_order(LABELS, 1, 141, 0.5, 0)


def generator(seed):
    return torch.Generator().manual_seed(seed)


def test_augmentation_is_decided_by_its_generator_alone():
    images = torch.rand(6, 3, 16, 16) * 2 - 1
    before = torch.get_rng_state()
    first, same, other = (classifier.CLASSIC(images, generator(s)) for s in (1, 1, 2))
    assert torch.equal(first, same)
    assert not torch.equal(first, other)
    assert torch.equal(before, torch.get_rng_state())
    assert first.shape == images.shape and first.abs().max() <= 1


def test_augmentation_without_strength_is_one_of_eight_views():
    images = torch.rand(40, 3, 16, 16) * 2 - 1
    still = Augmentation(0, 0, 0, 0, 0, 0, erase_chance=0)(images, generator(0))
    quarter = [torch.rot90(images, k, (2, 3)) for k in range(4)]
    views = torch.stack([*quarter, *(view.flip(3) for view in quarter)])
    gap = (views - still).abs().amax((2, 3, 4))  # (8, 40)
    assert (gap.min(0).values < 1e-4).all()
    assert len(set(gap.argmin(0).tolist())) == 8


def test_erasing_covers_some_images_and_not_others():
    images = torch.full((200, 3, 16, 16), 0.5)
    seen = Augmentation(0, 0, 0, 0, 0, 0, erase_chance=0.25)(images, generator(0))
    erased = (seen < 0.4).flatten(1).any(1).float().mean()
    assert 0.15 < erased < 0.35


def test_training_repeats_and_leaves_the_random_state_alone():
    images, labels = coloured(LABELS), LABELS
    order = real_order(labels, 4, 8, 0.5, 0)
    before = torch.get_rng_state()
    first, same, other = (train(images, labels, order, 3, SMALL, s, CPU) for s in (0, 0, 1))
    assert torch.equal(before, torch.get_rng_state())
    assert np.array_equal(first.losses, same.losses)
    assert not np.array_equal(first.losses, other.losses)
    assert np.array_equal(
        predict(first.network, images[:9], CPU), predict(same.network, images[:9], CPU)
    )


def test_a_colour_is_learned_and_views_are_averaged():
    order = real_order(LABELS, 30, 16, 1.0, 0)
    trained = train(coloured(LABELS), LABELS, order, 3, Recipe(steps=30, batch=16), 0, CPU)
    unseen = coloured(LABELS, seed=1)
    softmax = predict(trained.network, unseen, CPU, batch=50)
    assert (softmax.argmax(1) == LABELS).mean() > 0.95
    assert softmax.sum(1) == pytest.approx(1, abs=1e-5)
    assert predict(trained.network, unseen[:, ::-1], CPU) == pytest.approx(softmax, abs=0.02)
    assert trained.losses[-5:].mean() < trained.losses[:5].mean()


def test_a_loss_that_is_not_finite_stops_with_its_step():
    recipe = Recipe(steps=6, batch=8, learning_rate=1e38)
    order = real_order(LABELS, 6, 8, 0.5, 0)
    with pytest.raises(TrainingError, match=r"bad: the loss is not finite at step \d"):
        train(coloured(LABELS), LABELS, order, 3, recipe, 0, CPU, label="bad")


@pytest.mark.parametrize("name", BACKBONES)
def test_every_backbone_trains(name):
    recipe = Recipe(name, steps=2, batch=8)
    order = real_order(LABELS, 2, 8, 0.5, 0)
    images = np.kron(coloured(LABELS), np.ones((1, 4, 4, 1), np.uint8))  # 64 px
    assert np.isfinite(train(images, LABELS, order, 3, recipe, 0, CPU).losses).all()


def test_encoder_knows_its_lesions_and_is_not_trained_twice(tmp_path, monkeypatch):
    prepared = tiny(tmp_path)
    trainings = []
    real_train = classifier.train
    monkeypatch.setattr(
        classifier, "train", lambda *a, **k: trainings.append(1) or real_train(*a, **k)
    )
    path = train_encoder(prepared, 0, 3, 0, CPU, tmp_path)
    body = torch.load(io.BytesIO(path.read_bytes()), weights_only=True)
    rows = parts(prepared.table, 0)
    groups = prepared.table["group_id"].to_numpy()
    assert set(body["training_groups"]) == set(groups[rows["train"]])
    assert not set(body["training_groups"]) & set(groups[np.r_[rows["validation"], rows["test"]]])
    assert body["classes"] == ["nv", "mel", "df"] and body["image_size"] == 32
    assert features.lesion_encoder(path)(prepared.images[:4]).shape == (4, 512)

    before = path.read_bytes()
    train_encoder(prepared, 0, 3, 0, CPU, tmp_path)
    assert len(trainings) == 1
    path.write_bytes(before[:-9] + bytes([before[-9] ^ 1]) + before[-8:])
    train_encoder(prepared, 0, 3, 0, CPU, tmp_path)
    assert len(trainings) == 2 and path.read_bytes() == before
    train_encoder(prepared, 0, 3, 1, CPU, tmp_path)
    assert len(trainings) == 3
