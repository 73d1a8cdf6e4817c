"""A whole run is measured: floors, reasons, leaks, and one file that is whole."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from test_features import write_encoder
from test_metrics import pictures

from nbhelpers import evaluation_sets, features, metrics_run, splits
from nbhelpers.config import PRESETS
from nbhelpers.degradation import degrade
from nbhelpers.errors import DataError, LeakageError, MetricError
from nbhelpers.metrics import METRICS
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


@pytest.fixture(autouse=True)
def quick_encoders(monkeypatch):
    """Only the run's own encoder, if it is there: the large ones would take minutes."""
    own = {name: load for name, load in features.ENCODERS.items() if name.startswith("lesion")}
    monkeypatch.setattr(features, "ENCODERS", own)


@pytest.fixture
def lesion(tmp_path, prepared):
    """A run folder with an encoder of this fold's training lesions."""
    rows = splits.parts(prepared.table, 0)["train"]
    groups = set(prepared.table["group_id"].to_numpy()[rows])
    write_encoder(tmp_path / "encoder", classes=CLASSES, groups=sorted(groups))
    return tmp_path


def small_encoder(monkeypatch, trained: bool, seed: int = 0):
    """The run's encoders replaced by a fast one."""
    fast = replace(features.random_encoder(seed), trained=trained, name="fast")
    monkeypatch.setattr(
        metrics_run, "encoders", lambda *_: {"fast": fast, "Inception": "no weights"}
    )


def measured(run, data):
    return metrics_run.measure_run(run, data, metrics_run.judge_of(run, data, QUICK))


def test_every_measure_has_a_row_with_its_floor(tmp_path, prepared, monkeypatch):
    small_encoder(monkeypatch, trained=True)
    rows = splits.parts(prepared.table, 0)["train"]
    labels = prepared.table["label"].to_numpy()[rows]
    write_gan(tmp_path, prepared, labels=labels)
    table = measured(tmp_path, prepared)
    assert tuple(table.columns) == metrics_run.COLUMNS
    on_disk = pd.read_csv(tmp_path / "metrics.csv", keep_default_na=False, na_values=[""])
    assert len(on_disk) == len(table) and set(table["class"]) == {"all", *CLASSES}
    known = table[table["value"].notna() & table["class"].eq("all")].set_index("metric")
    for metric in ("psnr real-generated", "mdsi generated-generated", "kid", "fid", "recall",
                   "sharpness", "colour", "spectrum", "tstr", "trts", "nn_ratio", "spread",
                   "repeat_rate", "mia_auc"):  # fmt: skip
        (row,) = known.loc[[metric]].itertuples()
        assert np.isfinite(row.floor) and row.low <= row.value <= row.high, metric
    assert set(table["metric"].str.split().str[0]) == set(METRICS)
    assert known["low"]["kid"] < known["value"]["kid"] < known["high"]["kid"]
    assert known["better"]["kid"] == "lower" and "below 2048" in known["note"]["fid"]
    assert {"nv", "all"} <= set(table.loc[table["metric"] == "tstr", "class"])
    copies = table[(table["metric"] == "copy_rate") & (table["class"] == "all")]
    copies = copies.set_index("encoder")
    assert set(copies.index) == {"pixel correlation", "perceptual hash", "fast"}
    assert copies.loc["pixel correlation", "value"] == 1
    assert copies.loc["pixel correlation", "note"] == "copies"
    assert known["low"]["mia_auc"] > 0.9
    assert not list(tmp_path.glob(".metrics*"))


def test_what_could_not_be_computed_is_a_row_with_its_reason(tmp_path, prepared, monkeypatch):
    small_encoder(monkeypatch, trained=False)
    count = len(splits.parts(prepared.table, 0)["train"])
    write_gan(tmp_path, prepared, labels=np.zeros(count, int))
    table = measured(tmp_path, prepared)
    fid = table[table["metric"] == "fid"].set_index("encoder")
    assert fid["value"].isna().all()
    assert fid.loc["Inception", "note"] == "not computed (no weights)"
    assert "random weights" in fid.loc["fast", "note"]  # never printed as FID


def test_few_photographs_of_a_class_are_a_reason(tmp_path, prepared, monkeypatch):
    small_encoder(monkeypatch, trained=True)
    write_gan(tmp_path, prepared, images=pictures(20, 4), labels=np.zeros(20, int))
    table = measured(tmp_path, prepared)
    kid = table[(table["metric"] == "kid") & (table["encoder"] == "fast")].iloc[0]
    assert kid["class"] == "bcc" and np.isnan(kid["value"]) and "at least 10" in kid["note"]


def test_samples_without_labels_are_measured_pooled(tmp_path, prepared, monkeypatch):
    small_encoder(monkeypatch, trained=True)
    write_gan(tmp_path, prepared, images=pictures(50, 9))
    table = measured(tmp_path, prepared)
    assert set(table["class"]) == {"all"}
    known = table.set_index(["metric", "encoder"])
    assert known.loc[("kid", "fast"), "n"] <= 40
    assert known.loc[("nn_ratio", "pixel correlation"), "note"] == ""
    assert known.loc[("kid", "fast"), "value"] > known.loc[("kid", "fast"), "floor"]


def test_the_same_seed_gives_the_same_bytes_and_the_cache_is_used(lesion, prepared):
    write_gan(lesion, prepared, images=pictures(50, 9))
    measured(lesion, prepared)
    first = (lesion / "metrics.csv").read_bytes()
    times = {f: f.stat().st_mtime_ns for f in (lesion / "features").iterdir()}
    assert times
    measured(lesion, prepared)
    assert (lesion / "metrics.csv").read_bytes() == first
    assert {f: f.stat().st_mtime_ns for f in (lesion / "features").iterdir()} == times
    assert b"lesion ResNet-18" in first


def test_a_generator_that_has_seen_the_exam_is_refused(tmp_path, prepared):
    everything = prepared.table["group_id"].to_numpy()
    write_gan(tmp_path, prepared, images=pictures(12), groups=everything)
    with pytest.raises(LeakageError, match="dcgan was trained on"):
        measured(tmp_path, prepared)
    assert not (tmp_path / "metrics.csv").exists()


def test_generators_of_other_folds_are_left_out_and_named(tmp_path, prepared, capsys):
    for name, fold in (("mine", 0), ("other", 3)):
        folder = write_gan(tmp_path, prepared, name, images=pictures(12))
        (folder / "card.json").write_text(json.dumps({"fold": fold}))
    assert set(measured(tmp_path, prepared)["gan"]) == {"mine"}
    assert "other is left out: it was not trained for fold 0" in capsys.readouterr().out


def test_a_generator_of_another_fold_or_unknown_lesions_is_refused(tmp_path, prepared):
    folder = write_gan(tmp_path, prepared, images=pictures(12))
    (folder / "card.json").write_text(json.dumps({"fold": 3}))
    with pytest.raises(LeakageError, match="fold 3, not 0"):
        measured(tmp_path, prepared)
    (folder / "card.json").unlink()
    np.savez(folder / "samples.npz", images=pictures(12))
    with pytest.raises(LeakageError, match="not known"):
        measured(tmp_path, prepared)
    train = splits.parts(prepared.table, 0)["train"]
    (folder / "training_groups.txt").write_text("\n".join(prepared.table["group_id"].iloc[train]))
    assert len(measured(tmp_path, prepared))


def test_an_encoder_that_has_seen_the_exam_is_refused(tmp_path, prepared):
    write_gan(tmp_path, prepared, images=pictures(12))
    write_encoder(tmp_path / "encoder", groups=list(prepared.table["group_id"]))
    with pytest.raises(LeakageError, match="encoder"):
        measured(tmp_path, prepared)


def test_a_run_without_synthetic_sets_says_what_to_do(tmp_path, prepared):
    with pytest.raises(DataError, match="10_dcgan"):
        measured(tmp_path, prepared)


def test_sets_of_another_size_or_with_objects_are_refused(tmp_path, prepared):
    folder = write_gan(tmp_path, prepared, images=pictures(4, size=128))
    with pytest.raises(MetricError, match="128"):
        measured(tmp_path, prepared)
    np.savez(folder / "samples.npz", images=np.array([{"a": 1}], dtype=object))
    with pytest.raises(DataError, match="no synthetic set"):
        measured(tmp_path, prepared)


def test_images_without_a_label_each_are_refused(tmp_path, prepared):
    write_gan(tmp_path, prepared, images=pictures(12), labels=np.zeros(11, int))
    with pytest.raises(DataError, match="12 images and 11 labels"):
        measured(tmp_path, prepared)


def test_a_planted_collapse_is_flagged_in_its_row(tmp_path, prepared, monkeypatch):
    small_encoder(monkeypatch, trained=True)
    one = degrade(np.repeat(pictures(1, 9), 60, 0), "noise", 0.01)
    write_gan(tmp_path, prepared, "collapsed", images=one)
    write_gan(tmp_path, prepared, "fresh", images=pictures(60, 12))
    table = measured(tmp_path, prepared)
    notes = table[table["metric"] == "spread"].set_index("gan")["note"]
    assert notes["collapsed"] == "collapsed" and notes["fresh"] == ""
    repeats = table[table["metric"] == "repeat_rate"].set_index("gan")["value"]
    assert repeats["collapsed"] == 1 and repeats["fresh"] < 0.2


def test_unknown_classes_are_refused(tmp_path, prepared):
    write_gan(tmp_path, prepared, images=pictures(4), labels=np.zeros(4, int), classes=("wart",))
    with pytest.raises(DataError, match="wart"):
        measured(tmp_path, prepared)


def test_halves_share_no_lesion_and_training_is_told(prepared):
    real = evaluation_sets.held_out(prepared, 0, seed=0)
    assert not set(real.groups[real.half == 0]) & set(real.groups[real.half == 1])
    train = splits.parts(prepared.table, 0)["train"]
    assert not set(real.groups) & set(prepared.table["group_id"].iloc[train])
    assert (real.training_labels == prepared.table["label"].to_numpy()[train]).all()
    assert (real.training_groups == prepared.table["group_id"].to_numpy()[train]).all()
    assert (real.training_images == prepared.images[train]).all()


def test_one_photograph_a_lesion():
    groups = np.array(["a", "b", "b", "b", "c", "c"])
    rows = evaluation_sets.one_a_lesion(groups, 0)
    assert sorted(groups[rows]) == ["a", "b", "c"]
    first = [groups[evaluation_sets.one_a_lesion(groups, s)[0]] for s in range(300)]
    assert first.count("b") > first.count("c") > first.count("a")


def test_what_was_measured_is_remembered(tmp_path, prepared, monkeypatch):
    small_encoder(monkeypatch, trained=True)
    write_gan(tmp_path, prepared, images=pictures(50, 9))
    first = measured(tmp_path, prepared)
    with monkeypatch.context() as patch:  # nobody is asked again
        patch.setattr(metrics_run.Judge, "sets", None)
        patch.setattr(metrics_run.Judge, "copies", None)
        again = measured(tmp_path, prepared)
    pd.testing.assert_frame_equal(first, again)
    for changed in (
        lambda: monkeypatch.setattr(metrics_run, "_code", lambda: "another"),
        lambda: small_encoder(monkeypatch, trained=True, seed=1),
        lambda: np.savez(
            tmp_path / "gans" / "dcgan" / "samples.npz",
            images=pictures(50, 10),
            training_groups=np.array(["L9999"]),
        ),
    ):
        before = set((tmp_path / "measured").iterdir())
        changed()
        measured(tmp_path, prepared)
        assert len(set((tmp_path / "measured").iterdir()) - before) == 3


@pytest.mark.parametrize(
    ("column", "correct"), [("label", lambda x: 2 - x), ("group_id", "N".__add__)]
)
def test_corrected_metadata_is_measured_again(tmp_path, prepared, monkeypatch, column, correct):
    small_encoder(monkeypatch, trained=True)
    write_gan(tmp_path, prepared, images=pictures(50, 9))
    measured(tmp_path, prepared)
    known = set((tmp_path / "measured").iterdir())
    table = prepared.table.assign(**{column: prepared.table[column].map(correct)})
    measured(tmp_path, replace(prepared, table=table))
    assert len(set((tmp_path / "measured").iterdir()) - known) == 3


def test_a_broken_memory_is_measured_again(tmp_path, prepared, monkeypatch):
    small_encoder(monkeypatch, trained=True)
    write_gan(tmp_path, prepared, images=pictures(50, 9))
    first = measured(tmp_path, prepared)
    for path in (tmp_path / "measured").iterdir():
        path.write_text('{"rows": [')
    pd.testing.assert_frame_equal(first, measured(tmp_path, prepared))


def test_every_module_that_decides_a_number_is_named():
    for name in metrics_run.MEASURING:
        assert (Path(metrics_run.__file__).parent / f"{name}.py").exists()
    assert len(metrics_run._code()) == 64
