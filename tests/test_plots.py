"""Figures: what they are given is in them."""

import matplotlib

matplotlib.use("agg")

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from nbhelpers import plots

IMAGES = np.arange(5, dtype=np.uint8)[:, None, None, None] * np.ones((1, 8, 8, 3), np.uint8) * 40
TABLE = pd.DataFrame(
    {
        "dx": ["nv"] * 6 + ["mel"] * 3,
        "group_id": list("aabcde") + list("xyz"),
        "age": [30.0, 31, 40, 50, 60, np.nan, 70, 75, 80],
        "sex": ["male", "female"] * 4 + ["male"],
    }
)


@pytest.fixture(autouse=True)
def close():
    yield
    plt.close("all")


def test_tiles_stand_row_by_row_on_white():
    sheet = plots.tile(IMAGES, columns=3)
    assert sheet.shape == (18, 28, 3)
    assert sheet[0, 10, 0] == 40 and sheet[10, 0, 0] == 120  # the second and the fourth
    assert sheet[8:10].min() == 255 and sheet[10:, 20:].min() == 255


def test_a_grid_has_a_labelled_row_for_each_entry():
    figure = plots.image_grid({"one": IMAGES, "two": IMAGES[:2]}, "title")
    assert [axis.get_ylabel() for axis in figure.axes] == ["one", "two"]


def test_a_strip_shows_the_first_and_the_last_moment():
    sheets = [np.full((4, 4, 3), v, np.uint8) for v in range(20)]
    figure = plots.progress_strip(list(range(0, 2000, 100)), sheets, "t", most=4)
    titles = [axis.get_title() for axis in figure.axes]
    assert titles[0] == "0 images" and titles[-1] == "1,900 images" and len(titles) == 4


def test_bars_count_images_and_lesions():
    axis = plots.class_bars(TABLE, "classes")
    heights = [[bar.get_height() for bar in bars] for bars in axis.containers]
    assert [label.get_text() for label in axis.get_xticklabels()] == ["nv", "mel"]
    assert heights == [[6, 3], [5, 3]]


def test_repeats_count_lesions_by_their_photographs():
    axis = plots.repeats_bars(TABLE, "repeats")
    assert [bar.get_height() for bar in axis.containers[0]] == [7, 1]


def test_shares_add_up_to_100_in_each_class():
    axis = plots.category_shares(TABLE, "sex", "sex")
    values = axis.collections[0].get_array().reshape(2, 2)
    np.testing.assert_allclose(np.asarray(values).sum(axis=1), 100)


def test_ages_are_ordered_by_median():
    axis = plots.age_by_class(TABLE, "age")
    assert [label.get_text() for label in axis.get_xticklabels()] == ["nv", "mel"]


def test_long_names_are_turned_and_short_ones_are_not():
    long = TABLE.assign(dx=TABLE["dx"].replace("nv", "serrated_adenoma"))
    for table, turned in ((TABLE, 0), (long, 30)):
        axis = plots.class_bars(table, "classes")
        assert {label.get_rotation() for label in axis.get_xticklabels()} == {turned}


def test_a_table_without_patients_says_so_and_draws_nothing():
    bare = TABLE.assign(age=np.nan, sex="unknown")
    for axis, told in (
        (plots.age_by_class(bare, "age"), "no ages are known"),
        (plots.category_shares(bare, "sex", "sex"), "sex: no values are known"),
    ):
        axis.figure.draw_without_rendering()
        assert [text.get_text() for text in axis.texts] == [told]
        assert axis.get_title() and not axis.collections and not axis.patches


def test_curves_have_a_line_for_every_term_of_every_player():
    terms = {"d_real": [1.0, 2], "d_fake": [1.0, 1], "g_fool": [3.0, 4]}
    history = pd.DataFrame({"step": [1, 2], "images": [8, 16], **terms})
    axis = plots.training_curves(history, "t", reference={"zero": 0.0})
    assert [text.get_text() for text in axis.get_legend().get_texts()] == [
        "D: real", "D: fake", "G: fool"]  # fmt: skip
    assert axis.get_xlabel() == "images shown to D"


def test_a_row_has_its_labels_and_a_walk_its_ends():
    figure = plots.labelled_row(IMAGES, list("abcde"), "row")
    assert [axis.get_title() for axis in figure.axes] == list("abcde")
    walks = np.stack([IMAGES, IMAGES])
    picture = plots.interpolation_strip(walks, "walk").axes[0].images[0].get_array()
    assert picture.shape == (18, 48, 3)


def test_blocks_stand_side_by_side_in_rows_they_share():
    left, right = IMAGES[:4].reshape(2, 2, 8, 8, 3), IMAGES[3:].reshape(2, 1, 8, 8, 3)
    figure = plots.image_blocks({"a": left, "b": right}, ["one", "two"], "title")
    assert [axis.get_title() for axis in figure.axes] == ["a", "b"]
    first, second = figure.axes
    assert [label.get_text() for label in first.get_yticklabels()] == ["one", "two"]
    assert first.get_yticks().tolist() == [4, 14] and not second.get_yticks().size
    pictures = [np.asarray(axis.images[0].get_array()) for axis in figure.axes]
    assert [picture.shape for picture in pictures] == [(18, 18, 3), (18, 8, 3)]
    assert pictures[0][14, 14, 0] == 120 and pictures[1][14, 4, 0] == 160


def test_a_sheet_labels_every_image_and_leaves_the_rest_empty():
    figure = plots.labelled_sheet(IMAGES, list("abcde"), 3, "sheet")
    assert [axis.get_title() for axis in figure.axes] == [*"abcde", ""]
    assert [len(axis.images) for axis in figure.axes] == [1, 1, 1, 1, 1, 0]
    assert np.array_equal(figure.axes[4].images[0].get_array(), IMAGES[4])
