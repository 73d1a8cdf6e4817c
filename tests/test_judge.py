"""The judge deals equal sides, measures by class, and says what it could not take."""

from dataclasses import replace

import numpy as np
import pytest
from test_metrics import pictures

from nbhelpers import features
from nbhelpers.config import PRESETS
from nbhelpers.evaluation_sets import Generated, HeldOut
from nbhelpers.judge import Judge, equal_mix

CLASSES = ("mel", "nv")
COUNTS = (30, 70)


def images_of(labels: np.ndarray, seed: int) -> np.ndarray:
    """Pictures whose class shows in their colour."""
    images = pictures(len(labels), seed)
    images[..., 0] = images[..., 0] // 2 + (labels * 100)[:, None, None].astype(np.uint8)
    return images


LABELS = np.repeat([0, 1], COUNTS)


@pytest.fixture
def judge(tmp_path) -> Judge:
    """A hundred photographs of eighty lesions, twenty of them seen twice."""
    groups = np.array([f"L{i - i % 2 if i < 40 else i}" for i in range(100)])
    half = np.array([int(g[1:]) // 2 % 2 for g in groups])
    training = images_of(LABELS, 2), LABELS, np.array([f"T{i}" for i in range(100)])
    real = HeldOut(0, images_of(LABELS, 1), LABELS, groups, half, *training)
    fast = replace(features.random_encoder(0), trained=True, name="fast")
    preset = replace(PRESETS["smoke"], measure_pairs=20, measure_images=60)
    known = {"fast": fast, "Inception": "no weights"}
    return Judge(real, CLASSES, preset, 0, known, tmp_path / "features")


def test_a_labelled_set_is_measured_pooled_and_by_class(judge):
    one = Generated(images_of(LABELS, 3), LABELS)
    rows = judge.pooled(one) + judge.by_class(one)
    by_class = {}
    for row in rows:
        by_class.setdefault(row["metric"], set()).add(row["class"])
    assert by_class["fid"] == by_class["mia_auc"] == {"all"}  # pooled only
    for metric in ("kid", "recall", "colour", "tstr", "trts", "copy_rate", "spread"):
        assert by_class[metric] == {"all", *CLASSES}, metric
    told = {(r["class"], r["metric"], r["encoder"]): r for r in rows}
    assert told["all", "tstr", "fast"]["value"] > 0.9 < told["all", "tstr", "fast"]["floor"]
    assert told["all", "nn_ratio", "pixel correlation"]["value"] == pytest.approx(1, abs=0.25)


def test_an_absent_encoder_is_told_once(judge):
    one = Generated(images_of(LABELS, 3), LABELS)
    rows = judge.pooled(one) + judge.by_class(one)
    absent = [r for r in rows if r["encoder"] == "Inception"]
    assert {r["class"] for r in absent} == {"all"} and "fid" in {r["metric"] for r in absent}
    assert {r["note"] for r in absent} == {"not computed (no weights)"}


def test_swapped_labels_teach_the_wrong_thing(judge):
    rows = judge.lessons(Generated(images_of(LABELS, 3), 1 - LABELS))
    told = {(r["class"], r["metric"]): r["value"] for r in rows}
    assert told["all", "tstr"] < 0.2 and told["mel", "trts"] < 0.2


def test_a_set_without_labels_or_of_one_class_teaches_nothing(judge):
    for labels in (None, np.zeros(40, int)):
        rows = judge.lessons(Generated(images_of(np.zeros(40, int), 3), labels))
        assert [r["metric"] for r in rows] == ["tstr", "trts"]
        assert all("one class" in r["note"] and np.isnan(r["value"]) for r in rows)


def test_a_class_with_few_images_has_a_reason(judge):
    labels = np.repeat([0, 1], (4, 60))
    rows = judge.by_class(Generated(images_of(labels, 3), labels))
    told = {(r["class"], r["metric"]): r for r in rows}
    for metric in ("kid", "colour", "spread"):
        assert np.isnan(told["mel", metric]["value"])
        assert told["mel", metric]["note"].startswith("not computed ("), metric
    assert np.isfinite(told["nv", "kid"]["value"])


def test_sides_have_one_mix_of_classes():
    sides = [np.array([0] * 8 + [1] * 4), np.array([0] * 20 + [1] * 2), np.array([1] * 9 + [0] * 9)]
    picks = equal_mix(sides, np.random.default_rng(0))
    mixes = [np.bincount(side[pick]).tolist() for side, pick in zip(sides, picks, strict=True)]
    assert mixes == [[4, 2]] * 3
    assert picks[0].tolist() != picks[1].tolist()
