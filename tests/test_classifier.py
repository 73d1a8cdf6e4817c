import io

import numpy as np
import pytest
import torch
from small_lesions import coloured, tiny

from nbhelpers import classifier, features, lesion_encoder
from nbhelpers.backbones import BACKBONES
from nbhelpers.classic_augmentation import CLASSIC, Augmentation, upright
from nbhelpers.classifier import Lesson, Recipe, Watched, predict, train
from nbhelpers.errors import TrainingError, UsageError
from nbhelpers.lesion_encoder import train_encoder
from nbhelpers.row_order import real_order
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
    first, same, other = (CLASSIC(images, generator(s)) for s in (1, 1, 2))
    assert torch.equal(first, same)
    assert not torch.equal(first, other)
    assert torch.equal(before, torch.get_rng_state())
    assert first.shape == images.shape and first.abs().max() <= 1


def test_augmentation_without_strength_is_one_of_eight_views():
    images = torch.rand(40, 3, 16, 16) * 2 - 1
    nothing = Augmentation(0, 0, 0, 0, 0, 0, erase_chance=0)
    still = nothing(images, generator(0))
    quarter = [torch.rot90(images, k, (2, 3)) for k in range(4)]
    views = torch.stack([*quarter, *(view.flip(3) for view in quarter)])
    gap = (views - still).abs().amax((2, 3, 4))  # (8, 40)
    assert (gap.min(0).values < 1e-4).all()
    assert len(set(gap.argmin(0).tolist())) == 8
    assert torch.allclose(upright(nothing)(images, generator(0)), images, atol=1e-4)


def test_erasing_covers_some_images_and_not_others():
    images = torch.full((200, 3, 16, 16), 0.5)
    seen = Augmentation(0, 0, 0, 0, 0, 0, erase_chance=0.25)(images, generator(0))
    erased = (seen < 0.4).flatten(1).any(1).float().mean()
    assert 0.15 < erased < 0.35


@pytest.mark.parametrize("blend", classifier.BLENDS)
def test_training_repeats_and_leaves_the_random_state_alone(blend):
    images, labels = coloured(LABELS), LABELS
    lesson = Lesson(images, labels, real_order(labels, 4, 8, 0.5, 0), 3, blend=blend)
    before = torch.get_rng_state()
    first, same, other = (train(lesson, SMALL, s, CPU) for s in (0, 0, 1))
    assert torch.equal(before, torch.get_rng_state())
    assert np.array_equal(first.losses, same.losses)
    assert not np.array_equal(first.losses, other.losses)
    assert np.array_equal(
        predict(first.network, images[:9], CPU), predict(same.network, images[:9], CPU)
    )


def test_a_colour_is_learned_and_views_are_averaged():
    order = real_order(LABELS, 30, 16, 1.0, 0)
    lesson = Lesson(coloured(LABELS), LABELS, order, 3)
    trained = train(lesson, Recipe(steps=30, batch=16), 0, CPU)
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
        train(Lesson(coloured(LABELS), LABELS, order, 3), recipe, 0, CPU, "bad")


@pytest.mark.parametrize("name", BACKBONES)
def test_every_backbone_trains(name):
    recipe = Recipe(name, steps=2, batch=8)
    order = real_order(LABELS, 2, 8, 0.5, 0)
    images = np.kron(coloured(LABELS), np.ones((1, 4, 4, 1), np.uint8))  # 64 px
    assert np.isfinite(train(Lesson(images, LABELS, order, 3), recipe, 0, CPU).losses).all()


def question(loss, power=0.0, blend="", smoothing=0.0):
    order = real_order(LABELS, 7, 20, power, 0)
    recipe = Recipe(label_smoothing=smoothing)
    lesson = Lesson(coloured(LABELS), LABELS, order, 3, loss=loss, blend=blend)
    return lesson.shares, classifier._Question(lesson, recipe, CPU)


def loss_of(asked, logit, target):
    weights = torch.nn.Parameter(logit.clone())
    return float(asked.descend(weights, target, torch.optim.SGD([weights], 0.0)))


def test_each_loss_is_the_one_of_its_paper():
    target, logit = torch.tensor([0, 1, 2, 2]), torch.randn(4, 3)
    plain = torch.nn.functional.cross_entropy(logit, target, reduction="none")
    shares, asked = question("plain")
    assert loss_of(asked, logit, target) == pytest.approx(float(plain.mean()), rel=1e-5)
    _, asked = question("class_weights")
    weight = 1 / shares[target]
    expected = float((weight * plain).sum() / weight.sum())
    assert loss_of(asked, logit, target) == pytest.approx(expected, rel=1e-5)
    _, asked = question("logit_adjusted")
    moved = torch.nn.functional.cross_entropy(logit + shares.log(), target)
    assert loss_of(asked, logit, target) == pytest.approx(float(moved), rel=1e-5)


@pytest.mark.parametrize("wrong", [{"loss": "plane"}, {"blend": "mixap"}])
def test_a_misspelt_loss_or_blend_is_refused(wrong):
    lesson = Lesson(coloured(LABELS), LABELS, real_order(LABELS, 4, 8, 0.5, 0), 3, **wrong)
    with pytest.raises(UsageError, match=r"did you mean '(plain|mixup)'"):
        train(lesson, SMALL, 0, CPU)


def test_a_balanced_sampler_leaves_nothing_to_adjust():
    target, logit = torch.tensor([0, 1, 2, 2]), torch.randn(4, 3)
    losses = [loss_of(question(loss, 1.0)[1], logit, target) for loss in classifier.LOSSES]
    assert losses == pytest.approx([losses[0]] * 3, rel=0.03)


@pytest.mark.parametrize("blend", classifier.BLENDS[1:])
def test_blended_images_carry_the_shares_of_both_labels(blend):
    _, asked = question("plain", blend=blend)
    images, labels = torch.zeros(8, 3, 16, 16), torch.tensor([0, 1] * 4)
    images[labels == 1] = 1.0
    seen, wanted = asked.blended(images, labels, 5)
    assert wanted.shape == (8, 3) and torch.allclose(wanted.sum(1), torch.ones(8))
    assert torch.allclose(seen.mean((1, 2, 3)), wanted[:, 1], atol=1e-5)
    assert torch.equal(seen, asked.blended(images, labels, 5)[0])
    draws = [asked.blended(images, labels, s)[1] for s in range(20)]
    assert any(((one > 0.01) & (one < 0.99)).any() for one in draws)


def watched(labels=LABELS):
    return Watched(
        coloured(labels, seed=2), labels, np.array([f"L{i}" for i in range(len(labels))])
    )


def test_the_best_look_at_validation_is_kept(monkeypatch):
    lesson = Lesson(coloured(LABELS), LABELS, real_order(LABELS, 12, 8, 1.0, 0), 3)
    answers = iter([0.2, 0.9, 0.5])
    states = []

    def predicted(network, images, device, views):
        states.append({name: value.clone() for name, value in network.state_dict().items()})
        right = next(answers) > np.linspace(0, 1, len(LABELS), endpoint=False)
        guess = np.where(right, LABELS, (LABELS + 1) % 3)
        return np.eye(3)[guess]

    monkeypatch.setattr(classifier, "predict", predicted)
    trained = train(lesson, Recipe(steps=12, batch=8, looks=3), 0, CPU, watched=watched())
    assert list(trained.looks) == [8, 10, 12] and trained.kept == 10
    kept = trained.network.state_dict()
    assert all(torch.equal(kept[name], value) for name, value in states[1].items())
    assert not trained.network.training


def test_looks_do_not_change_the_training_and_need_validation():
    lesson = Lesson(coloured(LABELS), LABELS, real_order(LABELS, 6, 8, 1.0, 0), 3)
    blind = train(lesson, Recipe(steps=6, batch=8), 0, CPU)
    seeing = train(lesson, Recipe(steps=6, batch=8, looks=2), 0, CPU, watched=watched())
    assert np.array_equal(blind.losses, seeing.losses)
    assert blind.kept == 6 and blind.looks == {}
    with pytest.raises(TrainingError, match="looks=2 needs validation"):
        train(lesson, Recipe(steps=6, batch=8, looks=2), 0, CPU)


def test_one_view_is_the_image_itself():
    lesson = Lesson(coloured(LABELS), LABELS, real_order(LABELS, 2, 8, 1.0, 0), 3)
    network = train(lesson, SMALL, 0, CPU).network
    images = coloured(LABELS[:6])
    images[:, :16] //= 2  # now they have an up
    alone = predict(network, images, CPU, views=1)
    assert not np.allclose(alone, predict(network, images[:, ::-1], CPU, views=1), atol=1e-3)
    every = predict(network, images, CPU)
    turned = np.rot90(images, axes=(1, 2))[:, :, ::-1]
    assert predict(network, turned, CPU) == pytest.approx(every, abs=0.01)


def test_encoder_knows_its_lesions_and_is_not_trained_twice(tmp_path, monkeypatch):
    prepared = tiny(tmp_path)
    trainings = []
    real_train = lesion_encoder.train
    monkeypatch.setattr(
        lesion_encoder, "train", lambda *a, **k: trainings.append(1) or real_train(*a, **k)
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
