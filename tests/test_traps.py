"""The leaky split reports what it should not, and the honest one stands beside it."""

import numpy as np
import torch
from small_lesions import CLASSES, tiny

from nbhelpers.classifier import Recipe
from nbhelpers.prepare import Prepared
from nbhelpers.splits import assign_folds
from nbhelpers.traps import NEAREST, NETWORK, split_twice

CPU = torch.device("cpu")


def unlearnable(folder) -> Prepared:
    """Lesions with a random class and a colour of their own, each photographed twice: nothing can
    be learned of the class, and everything of the lesion."""
    prepared = tiny(folder, (80, 80, 80))
    rng = np.random.default_rng(0)
    table = prepared.table.groupby("group_id").head(1)
    table = table.loc[np.repeat(table.index, 2)].reset_index(drop=True)
    table["image_id"] = [f"I{i:04d}" for i in range(len(table))]
    lesions = table["group_id"].drop_duplicates()
    label = dict(zip(lesions, rng.permutation(np.arange(len(lesions)) % 3), strict=True))
    table["label"] = table["group_id"].map(label)
    table["dx"] = np.array(CLASSES)[table["label"]]
    table["fold"] = assign_folds(table)
    looks = {group: rng.integers(0, 255, (4, 4, 3)) for group in lesions}
    images = np.stack([np.kron(looks[g], np.ones((8, 8, 1))) for g in table["group_id"]])
    noisy = np.clip(images + rng.normal(0, 4, images.shape), 0, 255).astype(np.uint8)
    return Prepared(folder, noisy, table, CLASSES, None, prepared.manifest)


def test_twins_are_recognised_and_strangers_are_not(tmp_path):
    recipe = Recipe(steps=240, batch=32, learning_rate=1e-3)
    table = split_twice(unlearnable(tmp_path), tmp_path, recipe, 0, CPU)
    assert table["classifier"].tolist() == [NEAREST] * 2 + [NETWORK] * 2
    rows = table.set_index(["classifier", "split"])
    for classifier, twins in ((NETWORK, 0.55), (NEAREST, 0.95)):
        leaky, honest = rows.loc[classifier, "by image"], rows.loc[classifier, "by lesion"]
        assert leaky["twins"] > 0.6 and honest["twins"] == 0
        assert np.isnan(honest["recall of twins"])
        assert honest["recall of others"] == honest["balanced accuracy"]
        assert honest["accuracy"] < 0.45  # a third is chance
        assert leaky["recall of twins"] > twins > 0.45 > leaky["recall of others"]
        assert leaky["accuracy"] > honest["accuracy"] + 0.1
        assert 0.3 < leaky["majority share"] < 0.45
        assert leaky["tested"] == honest["tested"] == 96
    assert (tmp_path / "predictions" / "real_classic-f0-s0.npz").exists()
    again = split_twice(unlearnable(tmp_path), tmp_path, recipe, 0, None)  # nothing is trained
    assert again.equals(table)
