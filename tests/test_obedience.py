"""A reader of real images tells a conditional GAN that obeys from one that does not."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import small_digits
import torch
from small_lesions import tiny

from nbhelpers import config, gan_jobs, obedience, splits
from nbhelpers.errors import MetricError
from nbhelpers.training import Training
from nbhelpers.training_images import TrainingImages

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def digits():
    """scikit-learn's."""
    return obedience.small_digits(Path("nowhere"))


def shuffled(labels):
    return np.random.default_rng(0).permutation(labels)


def truth(prepared, name):
    rows = splits.parts(prepared.table, 0)[name]
    return prepared.images[rows], prepared.table["label"].to_numpy()[rows]


def drawing(monkeypatch, draw):
    """Makes every GAN draw `draw(label)` for each label asked for."""

    def generate(gan, count, seed, label):
        return np.stack([draw(int(c)) for c in label])

    monkeypatch.setattr(obedience.sampling, "generate", generate)


def played(name, prepared):
    """That GAN after a short training in the settings of digits."""
    settings = obedience.SETTINGS | {"width": 8}
    job = gan_jobs.Job(name, 900, 16, 0, settings=settings, order="balanced")
    gan, (known, labels) = job.build(prepared), truth(prepared, "train")
    Training(gan, TrainingImages(known, labels, CPU), job.budget(gan), CPU).run()
    return gan.eval()


def test_digits_are_scikit_learns_where_there_is_no_mnist(digits, tmp_path):
    assert digits.manifest["source"] == "scikit-learn digits" and digits.manifest["upright"]
    assert digits.images.shape == (1700, 32, 32, 3) and digits.images.dtype == np.uint8
    assert (digits.table["label"].value_counts() == 170).all()
    small_digits.write(tmp_path / "digits", labels=small_digits.LABELS)
    before = sorted(tmp_path.rglob("*"))
    mnist = obedience.small_digits(tmp_path / "digits")
    assert mnist.manifest["source"] == "MNIST" and len(mnist.images) == 60
    assert mnist.table["label"].to_list() == small_digits.LABELS.tolist()
    assert mnist.manifest["sha256"] != digits.manifest["sha256"]
    assert sorted(tmp_path.rglob("*")) == before


def test_real_digits_are_obeyed_and_shuffled_labels_are_at_chance(digits):
    (known, labels), (unseen, right) = truth(digits, "train"), truth(digits, "test")
    reader = obedience.Reader(known, labels)
    assert reader.agreement(unseen, right).min() > 0.9
    assert abs(reader.agreement(unseen, shuffled(right)).mean() - 0.1) < 0.05
    taught_wrongly = obedience.Reader(known, shuffled(labels))
    assert abs(taught_wrongly.agreement(unseen, right).mean() - 0.1) < 0.06


def test_agreement_is_the_share_of_what_was_asked_for(digits):
    known, labels = truth(digits, "train")
    reader = obedience.Reader(known, labels)
    threes = known[labels == 3][:4]
    found = reader.agreement(threes, np.array([3, 3, 3, 8]))
    assert found.to_dict() == {3: 1.0, 8: 0.0}


def test_one_class_cannot_be_read(digits):
    with pytest.raises(MetricError, match="two at least"):
        obedience.Reader(digits.images[:4], np.zeros(4, np.int64))


def test_photographs_prototypes_and_wrong_names(digits, monkeypatch):
    known, labels = truth(digits, "train")
    rng = np.random.default_rng(1)
    of_class = [known[labels == c] for c in range(10)]
    drawing(monkeypatch, lambda c: rng.choice(of_class[c]))
    real = obedience.obeyed(None, digits, 0)
    assert list(real.index) == list(digits.classes)
    assert real["generated"].mean() > 0.97 and real["spread"].between(0.8, 1.2).all()
    drawing(monkeypatch, lambda c: of_class[c][0])
    prototypes = obedience.obeyed(None, digits, 0)  # obeyed to the letter, and useless
    assert prototypes["generated"].mean() > 0.97 and prototypes["spread"].max() < 1e-4
    drawing(monkeypatch, lambda c: rng.choice(of_class[(c + 1) % 10]))
    wrong = obedience.obeyed(None, digits, 0)
    assert wrong["generated"].mean() < 0.05 and wrong["spread"].min() > 0.5
    assert wrong["real"].equals(prototypes["real"]) and wrong["real"].min() > 0.9


def test_a_conditional_gan_is_obeyed_on_a_separable_toy(tmp_path):
    toy = tiny(tmp_path)
    table = obedience.obeyed(played("cgan", toy), toy, 0)
    assert table["generated"].min() > 0.9 and table["real"].min() > 0.9
    untold = obedience.obeyed(played("dcgan", toy), toy, 0)
    assert untold["generated"].mean() < 0.55


def test_shuffled_training_labels_are_found_out(tmp_path):
    toy = tiny(tmp_path)
    table = toy.table.assign(label=shuffled(toy.table["label"].to_numpy()))
    gan = played("cgan", replace(toy, table=table))
    assert obedience.obeyed(gan, toy, 0)["generated"].mean() < 0.6


def test_a_class_of_one_image_has_no_spread(tmp_path, monkeypatch):
    toy = tiny(tmp_path, lesions=(40, 20, 5))
    train = splits.parts(toy.table, 0)["train"]
    rare = train[toy.table["dx"].to_numpy()[train] == "df"]
    kept = toy.table.index.difference(rare[1:])
    less = replace(toy, images=toy.images[kept], table=toy.table.loc[kept].reset_index(drop=True))
    drawing(monkeypatch, lambda c: toy.images[c])
    assert np.isnan(obedience.obeyed(None, less, 0).loc["df", "spread"])


def test_digits_take_settings_of_their_own():
    job = obedience.digits_job("acgan", config.preset("smoke"), 3, class_weight=4.0)
    assert job.images == obedience.IMAGES["smoke"] and job.seed == 3
    assert job.settings == obedience.SETTINGS | {"class_weight": 4.0}
    assert set(obedience.IMAGES) == set(config.PRESETS)


def test_a_common_class_is_read_in_part(tmp_path, monkeypatch):
    toy = tiny(tmp_path)
    monkeypatch.setattr(obedience, "MOST", 6)
    looked = []

    def describe(images):
        looked.append(len(images))
        return obedience.coarse(images)

    drawing(monkeypatch, lambda c: toy.images[c])
    obedience.obeyed(None, toy, 0, describe)
    unseen = np.bincount(truth(toy, "test")[1])
    assert looked[:2] == [18, np.minimum(unseen, 6).sum()]
