"""Health: what it says of GANs whose health is known, and that taking it changes nothing."""

import dataclasses

import numpy as np
import pytest
import torch
from small_gans import batch, build, copied, equal
from small_lesions import tiny
from torch import nn

from nbhelpers import features, health, splits
from nbhelpers.errors import LeakageError
from nbhelpers.gan_jobs import Job
from nbhelpers.gans import GAN, GANS
from nbhelpers.health import Health, told_apart
from nbhelpers.images import to_network

ENCODER = features.random_encoder(0)


@pytest.fixture(scope="module")
def lesions(tmp_path_factory):
    """Two classes of 20 and more photographs in the validation part, and a third of too few."""
    return tiny(tmp_path_factory.mktemp("lesions"), (120, 100, 10))


class Gallery(nn.Module):
    """A G that shows the photographs it was given: for each noise one of them, of the class asked
    for when they have labels."""

    def __init__(self, images: np.ndarray, labels: np.ndarray | None):
        super().__init__()
        self.register_buffer("images", to_network(images))
        self.labels = labels
        self.unused = nn.Parameter(torch.zeros(1))

    def forward(self, z, label=None):
        draw = (z[:, 0].abs() * 1e5).long()
        if self.labels is None:
            return self.images[draw % len(self.images)]
        known = [np.flatnonzero(self.labels == int(c)) for c in label]
        return self.images[[int(mine[d % len(mine)]) for mine, d in zip(known, draw, strict=True)]]


class Brightness(nn.Module):
    """A D that takes bright images (`sign` -1: dark ones; 0: none) for real."""

    def __init__(self, sign: float):
        super().__init__()
        self.sign = nn.Parameter(torch.tensor(float(sign)))

    def forward(self, image, label=None):
        return self.sign * image.mean((1, 2, 3))


def stand_in(images: np.ndarray, labels: np.ndarray | None = None, sign: float = 1.0) -> GAN:
    class StandIn(GAN):
        z_dim = 4

        def networks(self, image_size, classes):
            return Gallery(images, labels), Brightness(sign)

    return StandIn(images.shape[1])


def part(prepared, name: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows, images and labels of a part of fold 0."""
    rows = splits.parts(prepared.table, 0)[name]
    return rows, prepared.images[rows], prepared.table["label"].to_numpy()[rows]


def taken(prepared, by_class: bool = False, encoder=ENCODER) -> Health:
    return Health(prepared, part(prepared, "validation")[0], by_class, encoder)


def test_photographs_are_as_varied_as_photographs_and_one_picture_is_not(lesions):
    _, images, labels = part(lesions, "train")
    known, by_class = taken(lesions), taken(lesions, by_class=True)
    assert known(stand_in(images), 0)["spread"] == pytest.approx(1, abs=0.25)
    assert by_class(stand_in(images, labels), 0)["spread"] == pytest.approx(1, abs=0.25)
    one_of_each = [int(np.flatnonzero(labels == c)[0]) for c in (0, 1)]
    collapsed = stand_in(images[one_of_each], labels[one_of_each])
    assert by_class(collapsed, 0)["spread"] < 0.02
    assert known(stand_in(images[:1]), 0)["spread"] < 0.02


@pytest.mark.parametrize("shade", [0, 128, 255])
def test_one_empty_picture_is_no_variety(lesions, shade):
    assert taken(lesions)(stand_in(grey(shade)), 0)["spread"] < 0.02


def test_kid_is_small_for_photographs_and_large_for_what_is_not(lesions):
    _, images, _ = part(lesions, "train")
    known = taken(lesions)
    real = known(stand_in(images), 0)["kid"]
    collapsed = known(stand_in(images[:1]), 0)["kid"]
    noise = np.random.default_rng(0).integers(0, 256, images.shape, dtype=np.uint8)
    assert abs(real) < 0.2 * min(collapsed, known(stand_in(noise), 0)["kid"])


def test_kid_of_each_class_sees_a_label_that_is_not_obeyed(lesions):
    _, images, labels = part(lesions, "train")
    known = taken(lesions, by_class=True)
    assert [set(side.asked) for side in known.sides] == [{0}, {1}]  # of the third there are too few
    obeying, deaf = known(stand_in(images, labels), 0), known(stand_in(images), 0)
    assert abs(obeying["kid"]) < 0.2 * deaf["kid"]
    pooled = taken(lesions)  # together, the same images are the same images
    assert abs(pooled(stand_in(images), 0)["kid"]) < 0.2 * deaf["kid"]


def test_an_encoder_of_another_fold_is_refused(lesions):
    rows = splits.parts(lesions.table, 0)["validation"]
    seen = tuple(lesions.table["group_id"].iloc[rows[:1]])
    other = dataclasses.replace(ENCODER, training_groups=seen)
    with pytest.raises(LeakageError, match="was trained on 1 lesions of the evaluation set"):
        Health(lesions, rows, True, other)
    unseen = tuple(lesions.table["group_id"].iloc[splits.parts(lesions.table, 0)["train"]])
    assert Health(lesions, rows, True, dataclasses.replace(ENCODER, training_groups=unseen)).sides


def test_without_an_encoder_there_is_no_kid(lesions):
    found = taken(lesions, encoder=None)(stand_in(part(lesions, "train")[1]), 0)
    assert np.isnan(found["kid"]) and np.isfinite(found["spread"])


@pytest.mark.parametrize(("sign", "expected"), [(0, 0.5), (1, 1.0), (-1, 0.0)])
def test_told_apart_by_hand(lesions, sign, expected):
    gan = stand_in(np.zeros((2, 32, 32, 3), np.uint8), sign=sign)  # black: darker than any lesion
    assert told_apart(gan, taken(lesions).sides[0]) == expected


def grey(*shades: int) -> np.ndarray:
    return np.stack([np.full((32, 32, 3), shade, np.uint8) for shade in shades])


def test_told_apart_counts_pairs_and_half_of_the_draws(lesions):
    photographs, side = grey(10, 20, 30), taken(lesions).sides[0]
    side = dataclasses.replace(side, photographs=photographs, labels=np.zeros(3, int))
    assert told_apart(stand_in(grey(20)), side) == pytest.approx(0.5)
    assert told_apart(stand_in(grey(10)), side) == pytest.approx((2 + 0.5) / 3)
    assert told_apart(stand_in(grey(25)), side) == pytest.approx(1 / 3)


def test_acgan_is_asked_for_the_source_alone(lesions):
    """A D that names every class and tells no photograph from a fake has told nothing apart."""
    gan = GANS["acgan"](32, 3, width=4, z_dim=8)
    with torch.no_grad():
        for weight in gan.D.to_logit.parameters():
            weight.zero_()
    assert told_apart(gan, taken(lesions).sides[0]) == 0.5


@pytest.mark.parametrize("name", GANS)
def test_taking_it_changes_nothing(name, prepared):
    gan = build(name, width=4).train()
    gan.set_progress(0.5)
    gan.update_average(0.5)
    with_masks = dataclasses.replace(prepared, masks=np.uint8(prepared.images[..., 0] > 128))
    known = Health(with_masks, np.arange(24), gan.conditional, ENCODER)
    before, random, others = copied(gan), torch.get_rng_state(), np.random.get_state()[1].copy()
    one = known(gan, 7)
    assert equal(copied(gan), before)
    assert torch.equal(torch.get_rng_state(), random)
    assert np.array_equal(np.random.get_state()[1], others)
    assert gan.training and gan.D.training and gan.G.training
    assert not any(w.grad is not None for w in gan.parameters())
    assert known(gan, 7) == one  # and the same GAN gives the same numbers
    assert known(gan, 8) != one


def test_the_seed_alone_decides(lesions):
    gan, known, found = stand_in(part(lesions, "train")[1]), taken(lesions), []
    for state, seed in ((1, 7), (2, 7), (1, 8)):
        torch.manual_seed(state)
        found.append(known(gan, seed))
    assert found[0] == found[1]
    assert found[0]["told_apart"] != found[2]["told_apart"]


@pytest.mark.parametrize("name", ["dcgan", "sngan"])
def test_a_d_that_is_asked_while_training_does_change(name):
    """Batch-norm statistics and spectral norm's vectors move: the test above could see it."""
    gan = build(name, width=4).train()
    before = copied(gan)
    gan.D(batch().image, batch().label)
    assert not equal(copied(gan), before)


def row(kid: float = np.nan, spread: float = 1.0, apart: float = 0.7, images: int = 0) -> dict:
    return {"images": images, "kid": kid, "spread": spread, "told_apart": apart, "drift": 0.01}


def test_the_best_moment_has_the_lowest_kid():
    rows = [row(np.nan), row(30.0), row(-2.0), row(5.0), row(np.nan)]
    assert health.best(rows) is rows[2]
    assert health.best(rows[:1]) is None and health.best([]) is None


@pytest.mark.parametrize(
    ("spread", "apart", "flags"),
    [
        (1.0, 0.7, []),
        (0.41, 0.999, []),
        (0.39, 0.7, ["collapsed"]),
        (1.0, 0.9995, ["D has won"]),
        (0.0, 1.0, ["collapsed", "D has won"]),
    ],
)
def test_flags_say_what_is_wrong(spread, apart, flags):
    assert health.flags(row(spread=spread, apart=apart)) == flags
    line = health.line([row(12.0, images=1000), row(40.0, spread, apart, 2000)])
    assert "KID x1000 40; best 12 at 1,000" in line
    assert line.endswith(" · ".join(["best 12 at 1,000", *flags]))


def test_a_line_without_kid_names_no_best():
    assert "KID" not in health.line([row()])


def test_the_photographs_are_those_of_the_folds_validation_part(lesions):
    validation = splits.parts(lesions.table, 2)["validation"]
    known = health.of(lesions, Job("dcgan", 64, fold=2), build("dcgan", 32, width=4), None)
    assert np.array_equal(known.sides[0].photographs, lesions.images[validation])
    of_class = health.of(lesions, Job("dcgan", 64, class_name="mel"), build("dcgan", 32), None)
    assert set(of_class.sides[0].labels) == {1}
    by_class = health.of(lesions, Job("cgan", 64), build("cgan", 32, width=4), None)
    assert [set(side.labels) for side in by_class.sides] == [{0}, {1}]


def test_fewer_than_two_photographs_are_nothing_to_compare_with(lesions):
    job, gan = Job("dcgan", 64, class_name="df"), build("dcgan", 32, width=4)
    assert len(health.of(lesions, job, gan, None).sides[0].photographs) >= 2
    held_out = part(lesions, "validation")[0]
    rare = held_out[part(lesions, "validation")[2] == 2]
    table = lesions.table.assign(
        dx=lesions.table["dx"].mask(lesions.table.index.isin(rare[1:]), "nv")
    )
    assert health.of(dataclasses.replace(lesions, table=table), job, gan, None) is None
