import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import pytest
import torch
from small_lesions import CLASSES, coloured, tiny

from nbhelpers import comparison
from nbhelpers.arms import EARLIER, LADDER, Arm, around, doses, fewer_lesions
from nbhelpers.classifier import Recipe, Trained
from nbhelpers.comparison import compare, plan
from nbhelpers.config import project_root
from nbhelpers.errors import DataError, LeakageError, MetricError, UsageError
from nbhelpers.predictions import load_predictions, score_table
from nbhelpers.prepare import Prepared
from nbhelpers.sampling import write_synthetic
from nbhelpers.splits import parts

CPU = torch.device("cpu")
RECIPE = Recipe(steps=3, batch=8)
REAL, BAR = LADDER[:2]
ARMS = (REAL, BAR, *around(BAR)[:2])


def run_all(project, folds=(0,), seeds=(0,), arms=ARMS, recipe=RECIPE, **more):
    prepared, sets, run = project
    return compare(prepared, run, recipe, plan(arms, folds, seeds, sets), CPU, sets, **more)


def make_set(prepared, path, fold=0, seed=5, part="train"):
    rows = parts(prepared.table, fold)[part]
    labels = np.full(12, 2)
    return write_synthetic(
        path, coloured(labels, seed), labels, CLASSES, set(prepared.table["group_id"].iloc[rows])
    )


class Project(NamedTuple):
    prepared: Prepared
    sets: dict
    run: Path


@pytest.fixture
def project(tmp_path) -> Project:
    prepared = tiny(tmp_path)
    sets = {(0, 0): make_set(prepared, tmp_path / "synthetic.npz")}
    return Project(prepared, sets, tmp_path / "run")


@pytest.fixture
def trainings(monkeypatch):
    """Names of the cells trained; the network is replaced by the images' mean colour."""
    names = []

    def fake_train(lesson, recipe, seed, device, label, watched):
        names.append(label)
        return Trained(torch.nn.Identity(), np.zeros(len(lesson.order), np.float32), 0.0, 3, {})

    def fake_predict(network, images, device, views):
        colour = images.mean((1, 2), dtype=np.float32)
        return colour / colour.sum(1, keepdims=True)

    monkeypatch.setattr(comparison, "train", fake_train)
    monkeypatch.setattr(comparison, "predict", fake_predict)
    return names


def test_a_real_comparison_leaves_what_the_report_reads(project):
    prepared, run = project.prepared, project.run
    found = run_all(project)
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
    run = project.run
    run_all(project, seeds=(0, 1))
    assert len(trainings) == 8
    first = (run / "predictions.npz").read_bytes()
    run_all(project, seeds=(0, 1))
    assert len(trainings) == 8 and (run / "predictions.npz").read_bytes() == first

    (run / "predictions" / "placebo-f0-g0-s1.npz").unlink()
    (run / "predictions" / "real-f0-s0.npz").write_bytes(b"half a file")
    run_all(project, seeds=(0, 1))
    assert trainings[8:] == ["real-f0-s0", "placebo-f0-g0-s1"]


def test_an_interrupted_comparison_goes_on(project, trainings, monkeypatch):
    run = project.run
    working = comparison.predict

    def pulled(*given, **more):
        if len(trainings) == 3:
            raise KeyboardInterrupt
        return working(*given, **more)

    monkeypatch.setattr(comparison, "predict", pulled)
    with pytest.raises(KeyboardInterrupt):
        run_all(project)
    assert not (run / "predictions.npz").exists()
    monkeypatch.setattr(comparison, "predict", working)
    run_all(project)
    twice = ["synthetic-f0-g0-s0"] * 2
    assert trainings == ["real-f0-s0", "real_classic-f0-s0", *twice, "placebo-f0-g0-s0"]


def test_stale_cells_are_trained_again(project, trainings):
    prepared, sets, run = project
    run_all(project)
    make_set(prepared, sets[0, 0], seed=6)  # another generated set
    run_all(project)
    assert trainings[4:] == ["synthetic-f0-g0-s0", "placebo-f0-g0-s0"]
    run_all(project, recipe=replace(RECIPE, learning_rate=1e-3))
    assert len(trainings) == 10
    other = replace(prepared, manifest={"sha256": {"images.npy": "c"}})
    run_all((other, sets, run))
    assert len(trainings) == 14


def test_a_refit_learns_from_validation_lesions_and_is_tested_on_the_same(
    project, trainings, monkeypatch
):
    shown, train = [], comparison.train
    monkeypatch.setattr(
        comparison, "train", lambda lesson, *more: shown.append(lesson) or train(lesson, *more)
    )
    first = run_all(project)
    again = run_all(project, recipe=replace(RECIPE, refit=True, looks=2))
    rows = parts(project.prepared.table, 0)
    learned = len(rows["train"]), len(rows["train"]) + len(rows["validation"])
    assert [len(lesson.images) for lesson in (shown[0], shown[len(ARMS)])] == list(learned)
    assert set(again.table["part"]) == {"test"}
    tested = first.table["part"] == "test"
    assert again.table["image_id"].tolist() == first.table["image_id"][tested].tolist()


def test_a_refit_has_no_validation_lesions_to_look_at(project):
    found = run_all(project, arms=[BAR], recipe=replace(RECIPE, refit=True, looks=2))
    assert set(found.table["part"]) == {"test"}


def test_arms_share_order_labels_and_test_images(project, trainings):
    run = project.run
    run_all(project)
    cells = {}
    for arm in ("real", "real_classic", "synthetic-g", "placebo-g"):
        path = next((run / "predictions").glob(f"{arm.replace('-g', '')}-f0*.npz"))
        cells[arm] = dict(np.load(path))
    for name in ("label_order", "steps", "rows"):
        assert len({cell[name].tobytes() for cell in cells.values()}) == 1
    assert cells["synthetic-g"]["extra"].tolist() == cells["placebo-g"]["extra"].tolist()
    assert cells["synthetic-g"]["extra"][2] > 0 and cells["real"]["extra"].sum() == 0


@pytest.mark.parametrize("what", ["steps", "label_order", "rows"])
def test_an_unfair_comparison_is_refused(project, trainings, monkeypatch, what):
    honest = comparison._train_cell

    def unfair(*given):
        result, cell = honest(*given), given[-1]
        if cell.arm.name == "synthetic":
            result[what] = {"steps": np.array(9), "label_order": np.array("x")}.get(
                what, result["rows"][::-1]
            )
        return result

    monkeypatch.setattr(comparison, "_train_cell", unfair)
    with pytest.raises(MetricError, match="synthetic-f0-g0-s0 and real-f0-s0 differ in"):
        run_all(project)


def test_a_leak_stops_before_any_training(project, trainings):
    prepared, sets = project.prepared, project.sets
    make_set(prepared, sets[0, 0], part="test")
    with pytest.raises(LeakageError):
        run_all(project)
    assert not trainings


def test_a_fold_without_a_generator_is_refused(project, trainings):
    with pytest.raises(DataError, match="no synthetic set of fold 1"):
        run_all(project, (0, 1))
    assert not trainings


def test_folds_and_generator_seeds_are_pooled(project, trainings, tmp_path):
    prepared, sets, run = project
    sets = {(f, g): make_set(prepared, tmp_path / f"{f}{g}.npz", f) for f in (0, 1) for g in (0, 1)}
    found = run_all((prepared, sets, run), (0, 1))
    assert len(trainings) == 2 * (2 + 2 * 2)
    seeds = found.table.groupby("arm")["generator_seed"].unique().map(sorted)
    assert seeds["real"] == [-1] and seeds["synthetic"] == seeds["placebo"] == [0, 1]


def test_tables_are_recomputed_where_torch_is_not(project, trainings):
    run = project.run
    run_all(project)
    code = (
        "import sys\n"
        "class Absent:\n"
        "    def find_spec(self, name, *rest):\n"
        "        if name.split('.')[0] == 'torch': raise ImportError(name)\n"
        "sys.meta_path.insert(0, Absent())\n"
        "from nbhelpers import predictions, statistics\n"
        "found = predictions.load_predictions(sys.argv[1])\n"
        "table = statistics.verdicts(statistics.study(found, 50), 'real_classic')\n"
        "print(table['verdict'].tolist())"
    )
    command = [sys.executable, "-c", code, str(run / "predictions.npz")]
    done = subprocess.run(command, capture_output=True, text=True, cwd=project_root())
    assert done.stdout.strip() == "['inconclusive', 'inconclusive']", done.stderr


def test_every_arm_trains_and_is_fair(project, tmp_path):
    prepared, run = project.prepared, project.run
    labels = np.repeat([0, 1, 2], 12)
    groups = set(prepared.table["group_id"].iloc[parts(prepared.table, 0)["train"]])
    path = write_synthetic(tmp_path / "all.npz", coloured(labels, 3), labels, CLASSES, groups)
    passed = {(0, 0): np.arange(36) % 2 == 0}
    arms = (*LADDER, *around(BAR), *doses(BAR), *fewer_lesions(BAR), *EARLIER)
    found = run_all((prepared, {(0, 0): path}, run), arms=arms, passed=passed)
    assert found.arms == [arm.name for arm in arms]
    cells = {arm.name: dict(np.load(next((run / "predictions").glob(f"{arm.name}-f0*"))))
             for arm in arms}  # fmt: skip
    assert len({int(cell["steps"]) for cell in cells.values()}) == 1
    same = {str(cells[a.name]["label_order"]) for a in arms if a.prior == BAR.prior}
    assert len(same) == 1
    assert str(cells["earlier_500"]["label_order"]) not in same
    assert cells["synthetic_only"]["extra"].tolist() == [12, 12, 12]
    assert cells["earlier_500"]["extra"].tolist() == [12, 12, 12]
    lesions = [int(cells[name]["lesions"]) for name in ("real_12.5", "real_25", "real_50", "real")]
    assert lesions == sorted(lesions) and lesions[0] < lesions[-1] / 5


def test_a_smaller_share_of_lesions_is_part_of_a_larger_one():
    groups = np.repeat([f"L{i}" for i in range(60)], 2)
    labels, rows = np.repeat([0, 1, 2], [80, 30, 10]), np.arange(0, 120)
    small, large, other = (
        comparison.fewer_lesions(groups, labels, rows, share, seed)
        for share, seed in ((0.25, 0), (0.5, 0), (0.5, 1))
    )
    assert set(small) < set(large) != set(other)
    assert np.bincount(labels[large]).tolist() == [40, 16, 4]  # whole lesions, 2 photographs each
    assert all(np.isin(2 * (rows // 2), large) == np.isin(2 * (rows // 2) + 1, large))
    assert comparison.fewer_lesions(groups, labels, rows, 0.001, 0).tolist() != []


def test_the_filter_decides_what_is_trained(project, trainings):
    prepared, sets, run = project
    arms = (BAR, *around(BAR)[:3])
    some, others = np.arange(12) < 6, np.arange(12) > 3
    run_all(project, arms=arms, passed={(0, 0): some})
    run_all(project, arms=arms, passed={(0, 0): some})
    assert len(trainings) == 4
    run_all(project, arms=arms, passed={(0, 0): others})
    assert trainings[4:] == ["filtered-f0-g0-s0"]
    with pytest.raises(DataError, match="nobody has filtered"):
        run_all((prepared, sets, run / "new"), arms=arms)


def test_images_that_have_an_up_are_never_turned(project, monkeypatch):
    prepared, sets, run = project
    prepared = replace(prepared, manifest=prepared.manifest | {"upright": True})
    seen = []

    def fake_train(lesson, *rest):
        seen.append(lesson.augment)
        return Trained(torch.nn.Identity(), np.zeros(3, np.float32), 0.0, 3, {})

    def fake_predict(network, images, device, views):
        seen.append(views)
        return np.full((len(images), 3), 1 / 3, np.float32)

    monkeypatch.setattr(comparison, "train", fake_train)
    monkeypatch.setattr(comparison, "predict", fake_predict)
    run_all((prepared, sets, run), arms=(REAL, BAR))
    assert seen[0] is REAL.augment and seen[2].turns is False and seen[1] == seen[3] == 1


def test_two_workers_train_what_one_does(project, tmp_path):
    prepared, sets, _ = project
    arms = (REAL, BAR)
    two = run_all(Project(prepared, sets, tmp_path / "two"), arms=arms, workers=2)
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    one = run_all(Project(prepared, sets, tmp_path / "one"), arms=arms)
    torch.set_num_threads(before)
    assert np.array_equal(one.softmax, two.softmax) and one.table.equals(two.table)


def test_generated_images_alone_need_every_class(project, trainings):
    only = next(arm for arm in around(BAR) if arm.place == "alone")
    with pytest.raises(DataError, match="has no image of every class"):
        run_all(project, arms=(only,))


def test_an_arm_that_wants_no_image_is_the_bar(project, trainings):
    """As the median dose in classes that are all of one size."""
    same, none = replace(BAR, name="same"), replace(around(BAR)[0], name="none", dose=0.0)
    found = run_all(project, arms=(same, none))
    one, two = (found.softmax[(found.table["arm"] == name).to_numpy()] for name in ("same", "none"))
    assert np.array_equal(one, two) and len(one)


def test_a_misspelt_place_is_refused(project, trainings):
    with pytest.raises(UsageError, match="place 'swop' is unknown: did you mean 'swap'"):
        run_all(project, arms=(replace(around(BAR)[0], place="swop"),))


def test_arms_without_generators_need_no_sets(project, trainings):
    prepared, run = project.prepared, project.run
    found = compare(prepared, run, RECIPE, plan((REAL, BAR), (0, 1), (0,)), CPU)
    assert found.arms == ["real", "real_classic"] and isinstance(BAR, Arm)
