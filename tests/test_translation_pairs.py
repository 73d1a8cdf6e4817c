"""Pairs held out, and what whole sets of translations are judged by."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
import torch
from small_gans import CPU, build

from nbhelpers import splits, translation
from nbhelpers.errors import DataError
from nbhelpers.gans.base import Masks
from nbhelpers.images import to_network
from nbhelpers.translation import Pairs

SIDE = 64


def discs(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Bright discs on a dark ground, with some noise, and their masks."""
    random, place = np.random.default_rng(seed), np.mgrid[:SIDE, :SIDE]
    centres, radii = random.integers(20, 44, (count, 2)), random.integers(8, 18, count)
    masks = [
        ((place - c[:, None, None]) ** 2).sum(0) < r**2 for c, r in zip(centres, radii, strict=True)
    ]
    masks = np.uint8(masks)
    light = 60 + 120 * masks[..., None] + random.integers(0, 20, (count, SIDE, SIDE, 3))
    return light.astype(np.uint8), masks


def made_of(images: np.ndarray, masks: np.ndarray) -> Pairs:
    count = len(masks)
    groups = np.array([f"patient {i // 2}" for i in range(count)])
    return Pairs(images, masks, torch.zeros(count, dtype=torch.long), groups)


@pytest.fixture(scope="module")
def held() -> Pairs:
    return made_of(*discs(48, 1))


@pytest.fixture
def with_masks(prepared):
    return dataclasses.replace(prepared, masks=np.uint8(prepared.images[..., 0] > 128))


def colours(images: np.ndarray) -> np.ndarray:
    """An encoder without weights: means of quarters of an image, (N, 12)."""
    return images.reshape(len(images), 2, 32, 2, 32, 3).mean((2, 4)).reshape(len(images), 12) / 255


def test_pairs_are_of_one_part_evenly_taken(with_masks):
    rows = splits.parts(with_masks.table, 1)["train"]
    every = translation.pairs(with_masks, "train", 10_000, fold=1)
    assert np.array_equal(every.images, with_masks.images[rows])
    assert np.array_equal(every.masks, with_masks.masks[rows])
    assert every.groups.tolist() == with_masks.table["group_id"].iloc[rows].tolist()
    assert every.labels.tolist() == with_masks.table["label"].iloc[rows].tolist()
    few = translation.pairs(with_masks, "train", 10, fold=1)
    assert 5 <= len(few.images) <= 10 and np.array_equal(
        few.images[1], every.images[-(-len(rows) // 10)]
    )


def test_pairs_of_data_without_masks_are_refused(prepared):
    with pytest.raises(DataError, match=f"{prepared.folder.name} holds no masks"):
        translation.pairs(prepared, "test", 10)


def test_a_batch_holds_image_and_mask_of_the_same_rows(held):
    batch = held.batch(3, 2)
    assert torch.equal(batch.image, to_network(held.images[:3]))
    assert torch.equal(batch.source[:, 1], torch.from_numpy(held.masks[:3]).float())
    assert torch.equal(batch.source.sum(1), torch.ones(3, SIDE, SIDE))


def test_translations_follow_from_the_dropout_seed(held):
    gan, few = build("pix2pix"), made_of(held.images[:4], held.masks[:4])
    one, same, other = (few.translated(gan, seed) for seed in (1, 1, 2))
    assert one.shape == few.images.shape and np.array_equal(one, same)
    assert not np.array_equal(one, other)


def value(table: pd.DataFrame, measure: str, column: str) -> float:
    return table.set_index("measure").loc[measure, column]


def test_realism_of_photographs_themselves_is_the_floor(held):
    table = translation.realism(held, held.images, held.images, colours, 0)
    assert (table["generated"] == table["photographs"])[:3].all()
    assert value(table, "two of them differ by", "generated") == 0
    assert value(table, "two of them differ by", "photographs") > 0.05
    assert value(table, "SSIM of two of them", "generated") == pytest.approx(1)


def test_realism_sees_another_stain_and_blur(held):
    table = translation.realism(held, held.images // 2, held.images, colours, 0)
    assert value(table, "KID x1000", "generated") > 10 * abs(
        value(table, "KID x1000", "photographs")
    )
    assert value(table, "FD", "generated") > 10 * value(table, "FD", "photographs")
    stain = [value(table, "stain distance", side) for side in ("generated", "photographs")]
    assert stain[0] > 5 * stain[1]
    smooth = translation.realism(held, translation.blurred(held.images, 2), held.images, colours, 0)
    assert value(smooth, "sharpness", "generated") < 0.8 * value(smooth, "sharpness", "photographs")


def test_images_without_stains_are_compared_by_colour(held, with_masks):
    plain = dataclasses.replace(held, stained=False)
    table = translation.realism(plain, held.images // 2, held.images, colours, 0)
    assert "stain distance" not in set(table["measure"])
    assert value(table, "colour distance", "generated") > 0.1
    assert value(table, "colour distance", "photographs") < 0.02
    assert not translation.pairs(with_masks, "test", 10).stained
    tissue = dataclasses.replace(with_masks, manifest=with_masks.manifest | {"source": "ebhi"})
    assert translation.pairs(tissue, "test", 10).stained


def test_realism_of_few_images_has_no_kid(held):
    few = made_of(held.images[:8], held.masks[:8])
    table = translation.realism(few, few.images, few.images, colours, 0)
    assert np.isnan(value(table, "KID x1000", "generated"))
    assert table["generated"].notna().sum() == 5


def test_useful_images_teach_and_useless_ones_do_not(held):
    """Generated pairs whose masks belong to other images teach next to nothing."""
    pool = made_of(*discs(32, 2))
    wrong = made_of(pool.images, np.roll(pool.masks[:, ::-1, ::-1], 7, axis=0))
    table = translation.utility(pool, wrong, held, 2, 60, 0, CPU).set_index("trained on")
    found = table["Dice on real images"]
    assert list(found.index) == ["real", "real + generated", "real + duplicates", "generated alone"]
    assert found["real"] > 0.85 and found["real + duplicates"] > 0.85
    assert found["generated alone"] < found["real"] - 0.2
    assert (table["low"] <= found).all() and (found <= table["high"]).all()


def test_drawn_pairs_are_masks_and_what_g_makes_of_them():
    gan = build("pix2pix")
    drawn = translation.drawn_pairs(gan, 6, 3)
    assert drawn.images.shape == (6, SIDE, SIDE, 3) and drawn.masks.shape == (6, SIDE, SIDE)
    assert np.array_equal(drawn.translated(gan, 3), drawn.images)
    assert np.array_equal(drawn.masks, gan.masks.draw(6, 3).numpy())


def test_a_mask_of_a_class_is_drawn_as_that_class():
    gan = build("pix2pix", conditional=True)
    gan.masks = Masks(np.repeat(np.arange(2, dtype=np.uint8), 5)[:, None, None] * np.ones(
        (1, SIDE, SIDE), np.uint8), np.repeat([0, 1], 5))  # fmt: skip
    drawn = translation.drawn_pairs(gan, 20, 3)
    assert drawn.masks[:, 0, 0].tolist() == drawn.labels.tolist() and len(set(drawn.labels)) > 1
    assert np.array_equal(drawn.translated(gan, 3), drawn.images)
