"""Charts of measures show every value that they are given, and say what is missing."""

import matplotlib
import numpy as np
import pandas as pd

from nbhelpers import earlier_work, metrics
from nbhelpers.plots import measures

matplotlib.use("Agg")


def texts(figure) -> list[str]:
    figure.draw_without_rendering()
    return [text.get_text() for axis in figure.axes for text in axis.texts]


def test_places_are_written_and_the_best_gan_stands_first():
    places = pd.DataFrame({"a": [2.0, 2.0], "b": [1.0, np.nan], "c": [3.0, 1.0]}, ["KID", "TSTR"])
    figure = measures.rank_grid(places, "title")
    names = [label.get_text() for label in figure.axes[0].get_xticklabels()]
    assert names == ["b", "a", "c"]
    assert texts(figure) == ["1", "2", "3", "–", "2", "1"]


def test_detectors_without_anything_to_find_say_so():
    curves = {"pixels": (np.array([0, 0.5, 1]), np.full(3, np.nan))}
    axis = measures.roc(curves, 0.01, "title")
    (told,) = texts(axis.figure)
    assert "nothing to find" in told and not axis.lines


def test_the_working_point_and_every_detector_are_drawn():
    curves = {"pixels": (np.array([0, 0.5, 1]), np.array([0, 0.7, 1]))}
    axis = measures.roc(curves, 0.01, "title")
    assert axis.lines[0].get_label() == "pixels"
    assert axis.lines[1].get_xdata()[0] == 0.01
    assert axis.get_xlabel() and axis.get_ylabel()


def test_reported_values_stand_beside_what_is_known_here():
    rows = pd.DataFrame({"gan": "acgan", "class": "all", "value": [15.0, 16.0],
                         "metric": ["psnr real-real", "psnr real-generated"]})  # fmt: skip
    directions = {m: (metrics.METRICS[m].label, metrics.METRICS[m].better) for m in metrics.PAIRED}
    figure = measures.reported(earlier_work.aidl21({64: rows}), directions, "title")
    figure.draw_without_rendering()
    crosses, dots = figure.axes[0].lines[:2]
    assert len(crosses.get_xdata()) == 7
    assert np.nansum(np.asarray(dots.get_xdata(), float)) == 16.0
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [
        "reported", "here", "photographs"
    ]  # fmt: skip


def test_by_number_has_a_panel_a_measure():
    figure = measures.by_number([10, 20], {"FID": [4.0, 2.0], "KID x1000": [1.0, -1.0]}, "title")
    assert [axis.get_title() for axis in figure.axes] == ["FID", "KID x1000"]
    assert figure.axes[0].lines[0].get_ydata().tolist() == [4.0, 2.0]
