"""A whole run is measured: floors, reasons, leaks, and one file that is whole."""

import hashlib
import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from test_features import write_encoder
from test_metrics import pictures

from nbhelpers import features, metrics_run, splits
from nbhelpers.config import PRESETS
from nbhelpers.errors import DataError, LeakageError, MetricError
from nbhelpers.prepare import Prepared

CLASSES = ("bcc", "mel", "nv")
QUICK = replace(PRESETS["smoke"], measure_pairs=30, measure_images=40)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory) -> Prepared:
    count = 240
    label = np.random.default_rng(0).choice(3, count, p=[0.1, 0.2, 0.7])
    group = [f"L{i - i % 7 % 2:03d}" for i in range(count)]
    label = np.array([label[int(g[1:])] for g in group])
    table = pd.DataFrame({"image_id": [f"I{i:03d}" for i in range(count)], "group_id": group})
    table = table.assign(label=label, dx=np.array(CLASSES)[label])
    table["fold"] = splits.assign_folds(table)
    images = pictures(count)
    images[..., 0] = (images[..., 0] // 2) + (label * 60)[:, None, None].astype(np.uint8)
    return Prepared(tmp_path_factory.mktemp("prepared"), images, table, CLASSES, None, {})


def write_gan(run, prepared, name="dcgan", images=None, labels=None, groups=None, classes=CLASSES):
    """A GAN's folder with a synthetic set; by default training images, slightly noisy."""
    rows = splits.parts(prepared.table, 0)["train"]
    folder = run / "gans" / name
    folder.mkdir(parents=True)
    images = prepared.images[rows] if images is None else images
    groups = prepared.table["group_id"].to_numpy()[rows] if groups is None else groups
    content = {"images": images, "training_groups": np.array(sorted(set(groups)), dtype=str)}
    if labels is not None:
        content |= {"labels": labels, "classes": np.array(classes)}
    np.savez(folder / ("samples.npz" if labels is None else "synthetic.npz"), **content)
    return folder


@pytest.fixture
def lesion(tmp_path, prepared):
    """A run folder with an encoder of this fold's training lesions."""
    rows = splits.parts(prepared.table, 0)["train"]
    groups = set(prepared.table["group_id"].to_numpy()[rows])
    write_encoder(tmp_path / "encoder", classes=CLASSES, groups=sorted(groups))
    return tmp_path


def small_encoder(monkeypatch, trained: bool):
    """The run's encoders replaced by a fast one."""
    fast = replace(features.random_encoder(0), trained=trained, name="fast")
    monkeypatch.setattr(
        metrics_run, "encoders", lambda *_: {"fast": fast, "Inception": "no weights"}
    )


def test_every_measure_has_a_row_with_its_floor(tmp_path, prepared, monkeypatch):
    small_encoder(monkeypatch, trained=True)
    rows = splits.parts(prepared.table, 0)["train"]
    labels = prepared.table["label"].to_numpy()[rows]
    write_gan(tmp_path, prepared, labels=labels)
    table = metrics_run.measure_run(tmp_path, prepared, QUICK)
    assert tuple(table.columns) == metrics_run.COLUMNS
    on_disk = pd.read_csv(tmp_path / "metrics.csv", keep_default_na=False, na_values=[""])
    assert len(on_disk) == len(table) and set(table["class"]) == {"all", *CLASSES}
    known = table[table["value"].notna()].set_index(["class", "metric"])
    for metric in (
        "psnr real-generated",
        "mdsi generated-generated",
        "kid",
        "fid",
        "recall",
        "nn_ratio",
    ):
        assert np.isfinite(known.loc[("all", metric), "floor"]), metric
    low, value, high = known.loc[("all", "kid"), ["low", "value", "high"]]
    assert low < value < high
    assert known.loc[("all", "kid"), "better"] == "lower"
    assert "below 2048" in known.loc[("all", "fid"), "note"]
    assert known.loc[("all", "copy_rate"), "value"] == 1
    assert known.loc[("all", "copy_rate"), "note"] == "copies"
    assert not list(tmp_path.glob(".metrics*"))


def test_what_could_not_be_computed_is_a_row_with_its_reason(tmp_path, prepared, monkeypatch):
    small_encoder(monkeypatch, trained=False)
    write_gan(
        tmp_path,
        prepared,
        labels=np.zeros(157, int)[: len(splits.parts(prepared.table, 0)["train"])],
    )
    table = metrics_run.measure_run(tmp_path, prepared, QUICK)
    fid = table[table["metric"] == "fid"].set_index("encoder")
    assert fid["value"].isna().all()
    assert fid.loc["Inception", "note"] == "not computed (no weights)"
    assert "random weights" in fid.loc["fast", "note"]  # never printed as FID


def test_few_photographs_of_a_class_are_a_reason(tmp_path, prepared, monkeypatch):
    small_encoder(monkeypatch, trained=True)
    write_gan(tmp_path, prepared, images=pictures(20, 4), labels=np.zeros(20, int))
    table = metrics_run.measure_run(tmp_path, prepared, QUICK)
    kid = table[(table["metric"] == "kid") & (table["encoder"] == "fast")].iloc[0]
    assert kid["class"] == "bcc" and np.isnan(kid["value"]) and "at least 10" in kid["note"]


def test_samples_without_labels_are_measured_pooled(tmp_path, prepared, monkeypatch):
    small_encoder(monkeypatch, trained=True)
    write_gan(tmp_path, prepared, images=pictures(50, 9))
    table = metrics_run.measure_run(tmp_path, prepared, QUICK)
    assert set(table["class"]) == {"all"}
    known = table.set_index(["metric", "encoder"])
    assert known.loc[("kid", "fast"), "n"] <= 40
    assert known.loc[("nn_ratio", ""), "note"] == ""
    assert known.loc[("kid", "fast"), "value"] > known.loc[("kid", "fast"), "floor"]


def test_the_same_seed_gives_the_same_bytes_and_the_cache_is_used(lesion, prepared):
    write_gan(lesion, prepared, images=pictures(50, 9))
    metrics_run.measure_run(lesion, prepared, QUICK)
    first = (lesion / "metrics.csv").read_bytes()
    times = {f: f.stat().st_mtime_ns for f in (lesion / "features").iterdir()}
    assert times
    metrics_run.measure_run(lesion, prepared, QUICK)
    assert (lesion / "metrics.csv").read_bytes() == first
    assert {f: f.stat().st_mtime_ns for f in (lesion / "features").iterdir()} == times
    assert b"lesion ResNet-18" in first


def test_a_generator_that_has_seen_the_exam_is_refused(tmp_path, prepared):
    everything = prepared.table["group_id"].to_numpy()
    write_gan(tmp_path, prepared, images=pictures(12), groups=everything)
    with pytest.raises(LeakageError, match="dcgan was trained on"):
        metrics_run.measure_run(tmp_path, prepared, QUICK)
    assert not (tmp_path / "metrics.csv").exists()


def test_a_generator_of_another_fold_or_unknown_lesions_is_refused(tmp_path, prepared):
    folder = write_gan(tmp_path, prepared, images=pictures(12))
    (folder / "card.json").write_text(json.dumps({"fold": 3}))
    with pytest.raises(LeakageError, match="fold 3, not 0"):
        metrics_run.measure_run(tmp_path, prepared, QUICK)
    (folder / "card.json").unlink()
    np.savez(folder / "samples.npz", images=pictures(12))
    with pytest.raises(LeakageError, match="not known"):
        metrics_run.measure_run(tmp_path, prepared, QUICK)
    train = splits.parts(prepared.table, 0)["train"]
    (folder / "training_groups.txt").write_text("\n".join(prepared.table["group_id"].iloc[train]))
    assert len(metrics_run.measure_run(tmp_path, prepared, QUICK))


def test_an_encoder_that_has_seen_the_exam_is_refused(tmp_path, prepared):
    write_gan(tmp_path, prepared, images=pictures(12))
    write_encoder(tmp_path / "encoder", groups=list(prepared.table["group_id"]))
    with pytest.raises(LeakageError, match="encoder"):
        metrics_run.measure_run(tmp_path, prepared, QUICK)


def test_a_run_without_synthetic_sets_says_what_to_do(tmp_path, prepared):
    with pytest.raises(DataError, match="10_dcgan"):
        metrics_run.measure_run(tmp_path, prepared, QUICK)


def test_sets_of_another_size_or_with_objects_are_refused(tmp_path, prepared):
    folder = write_gan(tmp_path, prepared, images=pictures(4, size=128))
    with pytest.raises(MetricError, match="128"):
        metrics_run.measure_run(tmp_path, prepared, QUICK)
    np.savez(folder / "samples.npz", images=np.array([{"a": 1}], dtype=object))
    with pytest.raises(DataError, match="no synthetic set"):
        metrics_run.measure_run(tmp_path, prepared, QUICK)


def test_unknown_classes_are_refused(tmp_path, prepared):
    write_gan(tmp_path, prepared, images=pictures(4), labels=np.zeros(4, int), classes=("wart",))
    with pytest.raises(DataError, match="wart"):
        metrics_run.measure_run(tmp_path, prepared, QUICK)


def test_halves_share_no_lesion_and_the_mix_is_equal(prepared):
    real = metrics_run.held_out(prepared, 0, seed=0)
    assert not set(real.groups[real.half == 0]) & set(real.groups[real.half == 1])
    train = splits.parts(prepared.table, 0)["train"]
    assert not set(real.groups) & set(prepared.table["group_id"].iloc[train])
    sides = [np.array([0] * 8 + [1] * 4), np.array([0] * 20 + [1] * 2), np.array([1] * 9 + [0] * 9)]
    picks = metrics_run.equal_mix(sides, np.random.default_rng(0))
    mixes = [np.bincount(side[pick]).tolist() for side, pick in zip(sides, picks, strict=True)]
    assert mixes == [[4, 2]] * 3
    assert (
        hashlib.sha256(picks[0].tobytes()).digest() != hashlib.sha256(picks[1].tobytes()).digest()
    )
