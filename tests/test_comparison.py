import subprocess
import sys
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from small_lesions import CLASSES, coloured, tiny

from nbhelpers import comparison
from nbhelpers.arms import ARMS
from nbhelpers.classifier import Recipe, Trained
from nbhelpers.comparison import compare
from nbhelpers.config import project_root
from nbhelpers.errors import DataError, LeakageError, MetricError
from nbhelpers.predictions import load_predictions, score_table
from nbhelpers.sampling import write_synthetic
from nbhelpers.splits import parts

CPU = torch.device("cpu")
RECIPE = Recipe(steps=3, batch=8)


def make_set(prepared, path, fold=0, seed=5, part="train"):
    rows = parts(prepared.table, fold)[part]
    labels = np.full(12, 2)
    return write_synthetic(
        path, coloured(labels, seed), labels, CLASSES, set(prepared.table["group_id"].iloc[rows])
    )


@pytest.fixture
def project(tmp_path):
    prepared = tiny(tmp_path)
    return prepared, {(0, 0): make_set(prepared, tmp_path / "synthetic.npz")}, tmp_path / "run"


@pytest.fixture
def trainings(monkeypatch):
    """Names of the cells trained; the network is replaced by the images' mean colour."""
    names = []

    def fake_train(images, labels, order, outputs, recipe, seed, device, augment, label):
        names.append(label)
        return Trained(torch.nn.Identity(), np.zeros(len(order), np.float32), 0.0)

    def fake_predict(network, images, device):
        colour = images.mean((1, 2), dtype=np.float32)
        return colour / colour.sum(1, keepdims=True)

    monkeypatch.setattr(comparison, "train", fake_train)
    monkeypatch.setattr(comparison, "predict", fake_predict)
    return names


def test_a_real_comparison_leaves_what_the_report_reads(project):
    prepared, sets, run = project
    found = compare(prepared, run, RECIPE, sets, (0,), (0,), CPU)
    again = load_predictions(run / "predictions.npz")
    pd.testing.assert_frame_equal(found.table, again.table)
    assert np.array_equal(found.softmax, again.softmax)
    assert found.arms == [arm.name for arm in ARMS]
    table = pd.read_csv(run / "classifier.csv")
    assert list(table.columns) == ["arm", "fold", "seeds", "metric", "value"]
    recomputed = score_table(again).drop(columns="reason")
    assert table["value"].to_numpy() == pytest.approx(recomputed["value"].to_numpy(), nan_ok=True)
    held_out = {name: parts(prepared.table, 0)[name] for name in ("validation", "test")}
    for part, rows in held_out.items():
        ids = found.table[found.table["part"] == part].groupby("arm")["image_id"].agg(list)
        assert all(of == prepared.table["image_id"].iloc[rows].tolist() for of in ids)


def test_nothing_finished_is_repeated(project, trainings):
    prepared, sets, run = project
    compare(prepared, run, RECIPE, sets, (0,), (0, 1), CPU)
    assert len(trainings) == 8
    first = (run / "predictions.npz").read_bytes()
    compare(prepared, run, RECIPE, sets, (0,), (0, 1), CPU)
    assert len(trainings) == 8 and (run / "predictions.npz").read_bytes() == first

    (run / "predictions" / "placebo-f0-g0-s1.npz").unlink()
    (run / "predictions" / "real-f0-s0.npz").write_bytes(b"half a file")
    compare(prepared, run, RECIPE, sets, (0,), (0, 1), CPU)
    assert trainings[8:] == ["real-f0-s0", "placebo-f0-g0-s1"]


def test_an_interrupted_comparison_goes_on(project, trainings, monkeypatch):
    prepared, sets, run = project
    working = comparison.predict
    calls = iter([working, working])
    monkeypatch.setattr(comparison, "predict", lambda *a: next(calls)(*a))
    with pytest.raises(StopIteration):
        compare(prepared, run, RECIPE, sets, (0,), (0,), CPU)
    assert not (run / "predictions.npz").exists()
    monkeypatch.setattr(comparison, "predict", working)
    compare(prepared, run, RECIPE, sets, (0,), (0,), CPU)
    twice = ["synthetic-f0-g0-s0"] * 2
    assert trainings == ["real-f0-s0", "real_classic-f0-s0", *twice, "placebo-f0-g0-s0"]


def test_stale_cells_are_trained_again(project, trainings):
    prepared, sets, run = project
    compare(prepared, run, RECIPE, sets, (0,), (0,), CPU)
    make_set(prepared, sets[0, 0], seed=6)  # another generated set
    compare(prepared, run, RECIPE, sets, (0,), (0,), CPU)
    assert trainings[4:] == ["synthetic-f0-g0-s0", "placebo-f0-g0-s0"]
    compare(prepared, run, replace(RECIPE, learning_rate=1e-3), sets, (0,), (0,), CPU)
    assert len(trainings) == 10
    other = replace(prepared, manifest={"sha256": {"images.npy": "c"}})
    compare(other, run, RECIPE, sets, (0,), (0,), CPU)
    assert len(trainings) == 14


def test_arms_share_order_labels_and_test_images(project, trainings):
    prepared, sets, run = project
    compare(prepared, run, RECIPE, sets, (0,), (0,), CPU)
    cells = {}
    for arm in ("real", "real_classic", "synthetic-g", "placebo-g"):
        path = next((run / "predictions").glob(f"{arm.replace('-g', '')}-f0*.npz"))
        cells[arm] = dict(np.load(path))
    for name in ("real_order", "label_order", "steps", "rows"):
        assert len({cell[name].tobytes() for cell in cells.values()}) == 1
    assert cells["synthetic-g"]["extra"].tolist() == cells["placebo-g"]["extra"].tolist()
    assert cells["synthetic-g"]["extra"][2] > 0 and cells["real"]["extra"].sum() == 0


@pytest.mark.parametrize("what", ["steps", "label_order", "rows"])
def test_an_unfair_comparison_is_refused(project, trainings, monkeypatch, what):
    prepared, sets, run = project
    honest = comparison._train_cell

    def unfair(cell, *rest):
        result = honest(cell, *rest)
        if cell.arm.name == "synthetic":
            result[what] = {"steps": np.array(9), "label_order": np.array("x")}.get(
                what, result["rows"][::-1]
            )
        return result

    monkeypatch.setattr(comparison, "_train_cell", unfair)
    with pytest.raises(MetricError, match="synthetic-f0-g0-s0 and real-f0-s0 differ in"):
        compare(prepared, run, RECIPE, sets, (0,), (0,), CPU)


def test_a_leak_stops_before_any_training(project, trainings):
    prepared, sets, run = project
    make_set(prepared, sets[0, 0], part="test")
    with pytest.raises(LeakageError):
        compare(prepared, run, RECIPE, sets, (0,), (0,), CPU)
    assert not trainings


def test_a_fold_without_a_generator_is_refused(project, trainings):
    prepared, sets, run = project
    with pytest.raises(DataError, match="no synthetic set of fold 1"):
        compare(prepared, run, RECIPE, sets, (0, 1), (0,), CPU)
    assert not trainings


def test_folds_and_generator_seeds_are_pooled(project, trainings, tmp_path):
    prepared, sets, run = project
    sets = {(f, g): make_set(prepared, tmp_path / f"{f}{g}.npz", f) for f in (0, 1) for g in (0, 1)}
    found = compare(prepared, run, RECIPE, sets, (0, 1), (0,), CPU)
    assert len(trainings) == 2 * (2 + 2 * 2)
    seeds = found.table.groupby("arm")["generator_seed"].unique().map(sorted)
    assert seeds["real"] == [-1] and seeds["synthetic"] == seeds["placebo"] == [0, 1]


def test_tables_are_recomputed_where_torch_is_not(project, trainings):
    prepared, sets, run = project
    compare(prepared, run, RECIPE, sets, (0,), (0,), CPU)
    code = (
        "import sys\n"
        "class Absent:\n"
        "    def find_spec(self, name, *rest):\n"
        "        if name.split('.')[0] == 'torch': raise ImportError(name)\n"
        "sys.meta_path.insert(0, Absent())\n"
        "from nbhelpers import predictions, statistics\n"
        "found = predictions.load_predictions(sys.argv[1])\n"
        "print(statistics.verdicts(statistics.study(found, 50))['verdict'].tolist())"
    )
    command = [sys.executable, "-c", code, str(run / "predictions.npz")]
    done = subprocess.run(command, capture_output=True, text=True, cwd=project_root())
    assert done.stdout.strip() == "['inconclusive', 'inconclusive']", done.stderr
