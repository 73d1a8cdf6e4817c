"""What the filter lets through: planted strangers, copies and outliers are told by their names."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from small_lesions import CLASSES, coloured, tiny
from test_features import write_encoder

from nbhelpers import filters
from nbhelpers.errors import DataError, LeakageError, MetricError
from nbhelpers.export import read_passed
from nbhelpers.extras import Pool
from nbhelpers.lesion_encoder import train_encoder
from nbhelpers.splits import parts

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Lesions whose colour tells their class, and an encoder that has learned it."""
    folder = tmp_path_factory.mktemp("filters")
    prepared = tiny(folder, (240, 240, 240))
    return prepared, train_encoder(prepared, 0, 40, 0, CPU, folder / "encoder")


def test_each_reason_finds_its_kind(trained, tmp_path):
    prepared, path = trained
    train = parts(prepared.table, 0)["train"]
    labels = prepared.table["label"].to_numpy()[train]
    good = np.repeat([0, 1, 2], 40)
    wrong, copies = np.zeros(20, int), train[labels == 1][:20]
    noise = np.random.default_rng(0).integers(0, 255, (20, 32, 32, 3), dtype=np.uint8)
    noise[..., 2] = 250  # blue as the third class, but no such picture
    made = Pool(
        np.concatenate([
            coloured(good, 9), coloured(wrong + 2, 9), prepared.images[copies], noise
        ]),
        np.concatenate([good, wrong, wrong + 1, wrong + 2]),
    )  # fmt: skip
    passed, table = filters.passes(made, prepared, 0, path, CPU)
    assert passed[:120].mean() > 0.7  # 0.9 x 0.95 are to be expected
    assert not passed[120:140].any() and not passed[140:160].any()
    assert passed[160:].mean() < 0.3
    found = table.set_index("class")
    assert list(found.columns) == ["made", *filters.REASONS, "kept"]
    assert found.loc["nv", "unlike its class"] >= 20 and found.loc["mel", "copy"] >= 15
    assert found["made"].tolist() == [60, 60, 60] and found["kept"].sum() == passed.sum()
    of = tmp_path / "synthetic.npz"
    of.write_bytes(b"one set")
    answer = filters.write_passed(of, passed)
    assert np.array_equal(read_passed(answer, of), passed)
    of.write_bytes(b"the set of a longer training")
    with pytest.raises(DataError, match="is about another set"):
        read_passed(answer, of)
    parts_of = found[[*filters.REASONS, "kept"]].sum(axis=1)
    assert parts_of.tolist() == found["made"].tolist()


def test_fresh_photographs_mostly_pass(trained):
    prepared, path = trained
    test = parts(prepared.table, 0)["test"]
    labels = prepared.table["label"].to_numpy()[test]
    passed, _ = filters.passes(Pool(prepared.images[test], labels), prepared, 0, path, CPU)
    assert passed.mean() > 0.7


@pytest.mark.parametrize(("upright", "views"), [(False, 8), (True, 1)])
def test_images_that_have_an_up_are_seen_in_one_view(trained, monkeypatch, upright, views):
    prepared, path = trained
    prepared = replace(prepared, manifest=prepared.manifest | {"upright": upright})
    seen, honest = [], filters.predict
    monkeypatch.setattr(
        filters, "predict", lambda *a, **k: seen.append(k["views"]) or honest(*a, **k)
    )
    made = Pool(coloured(np.array([0, 1])), np.array([0, 1]))
    filters.passes(made, prepared, 0, path, CPU)
    assert seen == [views, views]


def test_an_encoder_of_other_lesions_is_refused(trained, tmp_path):
    prepared, path = trained
    made = Pool(coloured(np.array([0, 1])), np.array([0, 1]))
    with pytest.raises(LeakageError, match="outside the training part of fold 1"):
        filters.passes(made, prepared, 1, path, CPU)


def test_too_few_lesions_are_refused(tmp_path):
    prepared = tiny(tmp_path, (12, 8, 6))
    path = write_encoder(tmp_path / "encoder", classes=CLASSES, groups=[], size=32)
    made = Pool(coloured(np.array([0, 1])), np.array([0, 1]))
    with pytest.raises(MetricError, match="held-out lesions"):
        filters.passes(made, prepared, 0, path, CPU)
