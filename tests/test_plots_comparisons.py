import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from nbhelpers.plots.comparisons import (
    accuracy_bars,
    confusions,
    forest,
    ladder_dots,
    learning_curve,
    recall_dots,
)


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def words(figure) -> list[str]:
    return [text.get_text() for text in figure.findobj(matplotlib.text.Text)]


CONTRASTS = pd.DataFrame(
    [
        ("synthetic", "bar", 0.03, 0.01, 0.05),
        ("synthetic", "placebo", np.nan, np.nan, np.nan),
        ("placebo", "bar", 0.0, -0.04, 0.04),
    ],
    columns=["arm", "against", "difference", "low", "high"],
)


def test_forest_is_in_points_with_a_zero_line_and_a_band():
    axis = forest(CONTRASTS, "bar", "placebo", "Title")
    middle = axis.containers[0].lines[0].get_xdata()
    assert middle == pytest.approx([3.0, 0.0])
    assert axis.patches[0].get_x() == -2 and axis.patches[0].get_width() == 4
    assert any(list(line.get_xdata()) == [0, 0] for line in axis.lines)
    assert [label.get_text() for label in axis.get_yticklabels()] == ["synthetic", "placebo"]
    assert {"±2 points", "against bar", "against placebo"} <= set(words(axis.figure))


def test_confusions_show_shares_of_the_row_and_counts():
    figure = confusions({"real": np.array([[3, 1], [0, 0]])}, ("nv", "df"), "Title")
    assert {"75\n(3)", "25\n(1)", "real", "nv", "df"} <= set(words(figure))


def test_recalls_carry_their_support_and_leave_out_what_is_not_known():
    unknown = {"recall": np.nan, "low": np.nan, "high": np.nan}
    known = {"class": "nv", "support": 9, "recall": 0.8, "low": 0.5, "high": 0.9}
    rows = pd.DataFrame([known, {"class": "df", "support": 0} | unknown])
    axis = recall_dots({"real": rows, "synthetic": rows}, "Title")
    assert all(len(container.lines[0].get_xdata()) == 1 for container in axis.containers)
    assert {"nv\n9 lesions", "df\n0 lesions"} <= set(words(axis.figure))


def test_bars_stand_beside_the_majority_share():
    axis = accuracy_bars(["a", "b"], [0.7, 0.6], [0.3, 0.2], 0.669, 1 / 7, "Title")
    assert "always the commonest class: 66.9" in words(axis.figure)
    assert [line.get_xdata()[0] for line in axis.lines] == pytest.approx([66.9, 100 / 7])
    assert [text.get_text() for text in axis.get_yticklabels()] == ["a", "b"]


def test_the_ladder_shows_both_scores_and_the_chosen_arm():
    table = pd.DataFrame({"arm": ["b", "a"], "as trained": [0.7, 0.6], "adjusted": [0.72, 0.55]})
    axis = ladder_dots(table, "b", "Title")
    trained, adjusted = (axis.collections[k].get_offsets() for k in (1, 2))
    assert trained[:, 0].tolist() == pytest.approx([70, 60])
    assert adjusted[:, 0].tolist() == pytest.approx([72, 55])
    weights = {label.get_text(): label.get_fontweight() for label in axis.get_yticklabels()}
    assert weights == {"b": "bold", "a": "normal"}


def test_the_learning_curve_counts_lesions():
    scores = pd.DataFrame({"balanced_accuracy": [0.5, 0.6], "low": [0.4, 0.5], "high": [0.6, 0.7]})
    axis = learning_curve(scores.assign(lesions=[640, 5120]), {"synthetic": 0.65}, "Title")
    assert axis.containers[0].lines[0].get_ydata() == pytest.approx([50, 60])
    assert [label.get_text() for label in axis.get_xticklabels()] == ["640", "5,120"]
    assert "synthetic: 65.0" in words(axis.figure)
