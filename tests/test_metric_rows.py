"""The rows of metrics.csv: complete, in the table's words, each beside its floor."""

import numpy as np
import pytest
from test_metrics import pictures

from nbhelpers import features, metric_rows, metrics
from nbhelpers.appearance import Look
from nbhelpers.degradation import degrade
from nbhelpers.metric_rows import COLUMNS, POOLED, row
from nbhelpers.probes import Exam


def test_a_row_has_every_column_but_the_gan_and_the_direction_of_the_table():
    found = row("nv", "kid", 3.0, n=7)
    assert set(found) == set(COLUMNS) - {"gan"}
    assert found["better"] == "lower" and found["n"] == 7 and np.isnan(found["floor"])
    assert row("nv", "psnr real-real", 3.0)["better"] == "higher"
    with pytest.raises(KeyError):
        row("nv", "beauty", 1.0)


def test_what_is_not_computed_has_a_reason_and_no_value():
    (kid, fid) = metric_rows.not_computed("nv", ("kid", "fid"), "no weights", encoder="Inception")
    assert kid["note"] == "not computed (no weights)" and np.isnan(kid["value"])
    assert fid["metric"] == "fid" and fid["encoder"] == "Inception"


def test_scopes_pool_all_or_what_is_there():
    classes = ("bcc", "mel", "nv")
    everything = metric_rows.scopes(np.array([2, 0, 1, 1]), classes)
    assert everything == {POOLED: [0, 1, 2], "bcc": [0], "mel": [1], "nv": [2]}
    assert metric_rows.scopes(np.array([2, 0]), classes) == {
        "bcc+nv": [0, 2],
        "bcc": [0],
        "nv": [2],
    }
    assert metric_rows.scopes(np.array([2, 2]), classes) == {"nv": [2]}


def test_three_rows_have_the_floor_of_photographs():
    real, blurred = pictures(12), degrade(pictures(12, 1), "blur", 2.0)
    scored = metrics.three_columns(real, blurred, 40, seed=0)
    rows = {r["metric"]: r for r in metric_rows.three_rows("nv", scored, 0)}
    assert len(rows) == 3 * len(metrics.PAIRED)
    for name in metrics.PAIRED:
        floor = rows[f"{name} real-real"]["value"]
        for column in metrics.COLUMNS:
            found = rows[f"{name} {column}"]
            assert found["floor"] == floor and found["n"] == 40
            assert found["low"] < found["value"] < found["high"]
            assert found["better"] == "near floor"


def test_distances_have_intervals_and_fid_its_warning():
    encoder = features.random_encoder(0)
    a, b, g = (encoder(pictures(40, seed)) for seed in (1, 2, 3))
    rows = metric_rows.distance_rows("all", "E", ("fid",), a, b, degraded(g), 0)
    told = {r["metric"]: r for r in rows}
    assert list(told) == ["kid", "fid", "precision", "recall", "density", "coverage"]
    assert "below 2048" in told["fid"]["note"] and told["kid"]["note"] == ""
    assert told["fid"]["value"] > told["fid"]["floor"]
    assert all(r["low"] <= r["value"] <= r["high"] for r in rows)
    rare = metric_rows.distance_rows("df", "E", (), a, b, g, 0)
    assert "fid" not in {r["metric"] for r in rare}


def degraded(found: np.ndarray) -> np.ndarray:
    return found + found.std()


def test_looks_of_photographs_lie_at_their_floor_and_blur_above_it():
    a, b = Look.of(pictures(40, 1)), Look.of(pictures(40, 2))
    fresh = {
        r["metric"]: r for r in metric_rows.look_rows("all", a, b, Look.of(pictures(40, 3)), 0)
    }
    blurred = Look.of(degrade(pictures(40, 3), "blur", 3.0))
    worse = {r["metric"]: r for r in metric_rows.look_rows("all", a, b, blurred, 0)}
    assert worse["sharpness"]["low"] > fresh["sharpness"]["high"]
    assert worse["spectrum"]["low"] > worse["spectrum"]["floor"] == fresh["spectrum"]["floor"]


def test_lessons_are_pooled_and_by_class_and_a_missing_class_is_told():
    rng, labels = np.random.default_rng(0), np.repeat([0, 1, 2], 20)

    def exam(of: np.ndarray) -> Exam:
        return Exam(rng.normal(size=(len(of), 6)) + 5 * np.eye(6)[of] * 3, of, np.arange(len(of)))

    real, held, made = exam(labels), exam(labels[labels < 2]), exam(labels)
    names = {"bcc": 0, "mel": 1, "nv": 2}
    rows = metric_rows.lesson_rows("all", "E", names, real, held, made, 0)
    told = {(r["class"], r["metric"]): r for r in rows}
    assert told["all", "tstr"]["value"] > 0.95 < told["all", "trts"]["value"]
    assert told["mel", "tstr"]["n"] == 20
    assert "no image of the class" in told["nv", "tstr"]["note"]


def test_why_not():
    encoder = features.random_encoder(0)
    assert metric_rows.why_not("no weights", 500) == "no weights"
    assert "random weights" in metric_rows.why_not(encoder, 500)
