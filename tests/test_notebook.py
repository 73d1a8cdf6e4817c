from dataclasses import replace

import matplotlib

matplotlib.use("agg")

import matplotlib.pyplot as plt
import pandas as pd
import pytest
from PIL import Image

from nbhelpers import notebook
from nbhelpers.errors import DataError, NbhelpersError, UsageError


def start(tmp_path, **changes) -> notebook.Run:
    told = {
        "preset": "smoke", "dataset": "phantom", "source": "", "image_size": 64,
        "seed": 3, "runs": str(tmp_path / "runs"), "device": "cpu",
    } | changes  # fmt: skip
    return notebook.start("10_dcgan", **told)


def test_a_run_knows_its_place_and_its_stamp(tmp_path, capsys):
    run = start(tmp_path)
    assert run.folder == tmp_path / "runs" / "smoke-phantom-64"
    assert run.stamp.startswith("smoke · phantom · 64 px · seed 3 · cpu · 20")
    assert "torch" in capsys.readouterr().out
    assert run.gan_folder("dcgan") == run.folder / "gans" / "dcgan"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"preset": "somke"}, "did you mean 'smoke'"),
        ({"dataset": "fantom"}, "did you mean 'phantom'"),
        ({"image_size": 100}, "image size 100"),
        ({"seed": "1"}, "seed is '1'"),
        ({"seed": True}, "seed is True"),
        ({"seed": -1}, "seed is -1"),
        ({"source": 5}, "source is 5"),
        ({"device": "tpu"}, "device 'tpu'"),
    ],
)
def test_parameters_that_cannot_be_meant_are_named(tmp_path, change, message):
    with pytest.raises(UsageError, match=message):
        start(tmp_path, **change)


def test_a_notebook_out_of_order_says_what_to_run(tmp_path, monkeypatch):
    monkeypatch.setenv("NBHELPERS_DATA", str(tmp_path / "data"))
    with pytest.raises(DataError, match="run notebook 02"):
        start(tmp_path, dataset="ham10000").prepared()
    run = start(tmp_path)
    with pytest.raises(DataError, match=r"metrics\.csv is missing: run notebook 21 first"):
        run.require("metrics.csv", "21")


def test_built_in_data_are_prepared_where_they_are_missing(tmp_path, monkeypatch):
    """Each Colab badge opens a machine of its own, and there is no notebook 02 on it."""
    monkeypatch.setenv("NBHELPERS_DATA", str(tmp_path / "data"))
    run = start(tmp_path)
    made = run.prepared()
    assert made.folder == run.paths.prepared and len(made.images) == 150
    assert made.manifest["frame"] == "crop" and made.manifest["folds"] == 5


def test_a_task_stands_in_the_stamp(tmp_path, monkeypatch):
    monkeypatch.setenv("NBHELPERS_DATA", str(tmp_path / "data"))
    run = start(tmp_path)
    asked, prepared = run.asking("malignant")
    assert " · phantom · malignant · 64 px" in asked.stamp and asked.folder == run.folder
    assert prepared.classes == ("malignant", "benign")
    assert asked.asking("all")[0].stamp == run.stamp


def test_figures_carry_caption_and_stamp_and_smoke_says_so(tmp_path):
    run = start(tmp_path)
    figure, axis = plt.subplots()
    axis.plot([0, 1])
    run.save_figure(figure, "line", "A line.")
    with Image.open(run.folder / "figures" / "10_line.png") as picture:
        assert picture.text["Title"] == "10_line"
        assert picture.text["Description"] == f"A line. ({run.stamp})"
    assert any("smoke" in text.get_text() for text in figure.texts)
    with pytest.raises(UsageError, match="figure name 'A b'"):
        run.save_figure(figure, "A b", "")


def test_no_figure_stays_open(tmp_path):
    """Also where it cannot be written: a course of 200 figures would hold them all."""
    run, before = start(tmp_path), plt.get_fignums()
    for name in ("one", "two", "three"):
        run.save_figure(plt.subplots()[0], name, "")
    assert plt.get_fignums() == before
    (tmp_path / "a_file").touch()
    run = replace(run, paths=replace(run.paths, run=tmp_path / "a_file"))
    with pytest.raises(NbhelpersError, match="cannot be written"):
        run.save_figure(plt.subplots()[0], "four", "")
    assert plt.get_fignums() == before


def test_the_stamp_lies_below_the_labels_of_a_figure_without_a_layout_engine(tmp_path):
    figure, axis = plt.subplots(figsize=(4, 2))
    axis.plot([0, 1])
    axis.set_xlabel("images shown to D")
    start(tmp_path).save_figure(figure, "low", "")
    label, stamp = (text.get_window_extent() for text in (axis.xaxis.label, figure.texts[-1]))
    assert stamp.y1 < label.y0


def test_tissue_is_what_is_named_or_the_runs_own_or_drawn(tmp_path, monkeypatch, prepared):
    monkeypatch.setenv("NBHELPERS_DATA", str(tmp_path / "data"))
    assert start(tmp_path).tissue(str(prepared.folder)).folder == prepared.folder
    drawn = start(tmp_path).tissue()
    assert drawn.manifest["source"] == "phantom-histology" and drawn.image_size == 64
    assert drawn.masks.shape == drawn.images.shape[:3] and len(drawn.palette) == 6
    own = start(tmp_path, dataset="phantom-histology")
    assert own.tissue().folder == own.paths.prepared == drawn.folder
    with pytest.raises(DataError, match="run notebook 02"):
        start(tmp_path, dataset="ebhi").tissue()


def test_tables_carry_their_caption(tmp_path):
    run = start(tmp_path)
    run.save_table(pd.DataFrame({"a": [1]}), "numbers", "Some numbers")
    text = (run.folder / "tables" / "10_numbers.csv").read_text()
    assert text.splitlines() == [f"# Some numbers ({run.stamp})", "a", "1"]


def test_the_running_table_has_one_row_a_gan(tmp_path):
    run = start(tmp_path)
    run.add_row({"gan": "dcgan", "minutes": 1.0})
    run.add_row({"gan": "wgan", "minutes": 2.0})
    table = run.add_row({"gan": "dcgan", "minutes": 3.0})
    assert dict(zip(table["gan"], table["minutes"], strict=True)) == {"wgan": 2.0, "dcgan": 3.0}
    assert pd.read_csv(run.folder / "gans.csv").equals(table)
