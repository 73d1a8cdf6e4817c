"""Edits of tiny masks against masks written by hand; sliders without a browser."""

import io
import sys

import numpy as np
import pytest
from PIL import Image

from nbhelpers import mask_edits
from nbhelpers.errors import UsageError
from nbhelpers.mask_edits import (
    coloured,
    copied,
    deleted,
    explorer,
    gallery,
    grown,
    moved,
    painted,
    rim,
    thing,
    things,
)

PALETTE = {"stroma": (255, 255, 255), "gland": (200, 0, 0), "lumen": (0, 0, 200)}


def read(text: str) -> np.ndarray:
    """A mask from rows of digits; a dot is 0."""
    return np.array([[int(c) for c in row.replace(".", "0")] for row in text.split()], np.uint8)


def written(mask: np.ndarray) -> str:
    return " ".join("".join(str(v) if v else "." for v in row) for row in mask)


GLANDS = read("111... 121... 111..3 ......  ....1. .....1")
FIRST = things(GLANDS, {1, 2}, 1) == 1


def test_things_are_numbered_from_the_largest_and_corners_touch():
    wanted = "111... 111... 111... ...... ....2. .....2"
    assert written(things(GLANDS, {1, 2}, 1)) == wanted
    assert things(GLANDS, {1, 2}, 3).max() == 1  # the second has two pixels
    assert things(GLANDS, {1}, 1).max() == 2 and things(GLANDS, {4}, 1).max() == 0
    assert things(GLANDS, (1, 2, 3), 0).max() == 3  # never the background


def test_a_thing_that_is_not_there_is_named():
    numbers = things(GLANDS, {1, 2}, 1)
    assert thing(numbers, 2).sum() == 2
    for number in (0, 3):
        with pytest.raises(UsageError, match=f"thing {number} is not among the 2.*another mask"):
            thing(numbers, number)


@pytest.mark.parametrize(
    "dy, dx, wanted",
    [
        (0, 0, "111... 121... 111..3 ...... ....1. .....1"),
        (1, 0, "...... 111... 121..3 111... ....1. .....1"),
        (0, 3, "...111 ...121 ...111 ...... ....1. .....1"),
        (-1, -1, "21.... 11.... .....3 ...... ....1. .....1"),
        (0, 6, "...... ...... .....3 ...... ....1. .....1"),
    ],
)
def test_a_gland_moves_with_its_lumen_and_is_cut_by_the_frame(dy, dx, wanted):
    before = GLANDS.copy()
    assert written(moved(GLANDS, FIRST, dy, dx)) == wanted
    assert (before == GLANDS).all()


def test_a_copy_leaves_the_first_where_it_is():
    wanted = "111... 121... 111..3 ..111. ..121. ..1111"
    assert written(copied(GLANDS, FIRST, 3, 2)) == wanted


def test_deleted_leaves_background_or_what_is_asked_for():
    assert written(deleted(GLANDS, FIRST)) == "...... ...... .....3 ...... ....1. .....1"
    assert written(deleted(GLANDS, FIRST, 3)) == "333... 333... 333..3 ...... ....1. .....1"


ISLAND = read("....... ....... ..111.. ..121.. ..111.3 ....... .......")
MIDDLE = things(ISLAND, {1, 2}, 1) == 1


@pytest.mark.parametrize(
    "pixels, wanted",
    [
        (0, "....... ....... ..111.. ..121.. ..111.3 ....... ......."),
        (1, "....... ..111.. .11111. .11211. .111113 ..111.. ......."),
        (1.5, "....... .11111. .11111. .11211. .111113 .11111. ......."),
        (2, "..111.. .11111. 1111111 1112111 1111113 .11111. ..111.."),
        (-1, "....... ....... ....... ...2... ......3 ....... ......."),
        (-9, "....... ....... ....... ....... ......3 ....... ......."),
    ],
)
def test_a_thing_grows_in_its_outer_class_and_eats_no_other(pixels, wanted):
    assert written(grown(ISLAND, MIDDLE, pixels)) == wanted


def test_a_thing_does_not_grow_together_with_its_like():
    row = read("11....11 11....11")
    left = things(row, {1}, 1) == 1
    assert written(grown(row, left, 9)) == "11111.11 11111.11"


def test_the_frame_is_no_rim():
    assert written(grown(GLANDS, FIRST, -1)) == "11.... 12.... .....3 ...... ....1. .....1"
    full = np.ones((4, 4), np.uint8)
    assert (grown(full, full > 0, -2) == full).all() and (grown(full, full > 0, 2) == full).all()
    assert rim(full > 0).all() and not rim(FIRST)[0, 0] and rim(FIRST).sum() == 5
    assert (grown(GLANDS, np.zeros_like(FIRST), 2) == GLANDS).all()


def test_a_disc_is_painted_over_everything_and_cut():
    mask = painted(ISLAND, 0, 0, 1, 3)
    assert written(mask) == "33..... 3...... ..111.. ..121.. ..111.3 ....... ......."
    assert (painted(ISLAND, 3, 3, 0, 1) == np.where(ISLAND == 2, 1, ISLAND)).all()


def tissue() -> np.ndarray:
    """A mask (32, 32): a gland with lumen at the top left, and a smaller one below."""
    mask = np.zeros((32, 32), np.uint8)
    mask[2:12, 2:12], mask[5:9, 5:9], mask[24:29, 3:8] = 1, 2, 1
    return mask


def test_the_gallery_shows_each_edit_of_the_largest_thing():
    shown = gallery(tissue(), {1, 2})
    assert list(shown) == ["as it is", "moved", "grown", "shrunk", "deleted"]
    pixels = {name: int((mask > 0).sum()) for name, mask in shown.items()}
    assert pixels["as it is"] == pixels["moved"] == 125 and pixels["deleted"] == 25
    assert pixels["grown"] > 125 > pixels["shrunk"] > 25
    assert (shown["moved"][2:12, 10:20] == tissue()[2:12, 2:12]).all()  # 8 px to where it is free
    assert all((mask[24:29, 3:8] == 1).all() for mask in shown.values())


def test_the_gallery_moves_a_thing_to_where_there_is_room():
    mask = tissue()
    mask[2:12, 14:22] = 3  # no gland, and in its way
    assert (gallery(mask, {1, 2})["moved"][10:20, 2:12] == tissue()[2:12, 2:12]).all()


def test_the_gallery_passes_over_what_fills_most_of_the_picture():
    mask = np.ones((16, 16), np.uint8)
    mask[:4], mask[:3, :3] = 0, 1
    assert (gallery(mask, {1})["deleted"][4:] == 1).all()
    with pytest.raises(UsageError, match=r"none of the 1 things.*choose another mask"):
        gallery(np.ones((16, 16), np.uint8), {1})


def test_masks_are_shown_in_the_colours_of_their_palette():
    picture = coloured(GLANDS[None, :2], PALETTE)
    assert picture.shape == (1, 2, 6, 3) and picture.dtype == np.uint8
    assert picture[0, 1, :3].tolist() == [[200, 0, 0], [0, 0, 200], [200, 0, 0]]
    with pytest.raises(UsageError, match="holds class 3 and the palette names 3"):
        coloured(GLANDS, PALETTE)


class Drawer:
    """A GAN that paints masks in their colours, darker by the seed, and remembers them."""

    def __init__(self):
        self.asked = []

    def __call__(self, mask: np.ndarray, seed: int) -> np.ndarray:
        self.asked.append(mask)
        return coloured(mask, PALETTE) // np.uint8(1 + seed)


@pytest.fixture
def board(monkeypatch):
    """The explorer's controls by description, its two pictures and what was drawn last."""
    monkeypatch.setattr(mask_edits, "headless", lambda: False)
    drawer = Drawer()
    masks = np.stack([tissue(), np.zeros((32, 32), np.uint8), tissue()[::-1]])
    box = explorer(drawer, masks, PALETTE, {1, 2})
    pictures, (edits, brush) = (part.children for part in box.children)
    controls = [*edits.children, *brush.children[:-1], *brush.children[-1].children]
    return {c.description: c for c in controls}, pictures, drawer.asked


def opened(picture) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(picture.value)))


def test_the_explorer_shows_mask_and_image_enlarged(board):
    controls, pictures, asked = board
    assert opened(pictures[1]).shape == (320, 320, 3)
    assert (opened(pictures[1])[::10, ::10] == coloured(tissue(), PALETTE)).all()
    assert (asked[-1] == tissue()).all()
    assert (controls["thing"].value, controls["thing"].max) == (0, 2)


@pytest.mark.parametrize(
    "name, value, wanted",
    [
        ("right", 5, lambda m, r: moved(m, r, 0, 5)),
        ("down", -1, lambda m, r: moved(m, r, -1, 0)),
        ("grow", 2, lambda m, r: grown(m, r, 2)),
        ("grow", -2, lambda m, r: grown(m, r, -2)),
        ("delete", True, deleted),
    ],
)
def test_a_slider_edits_the_chosen_thing_and_redraws(board, name, value, wanted):
    controls, pictures, asked = board
    controls[name].value = value
    assert (asked[-1] == tissue()).all()  # no thing is chosen yet
    controls["thing"].value = 2
    region = things(tissue(), {1, 2}) == 2
    assert (asked[-1] == wanted(tissue(), region)).all()
    assert (opened(pictures[1])[::10, ::10] == coloured(asked[-1], PALETTE)).all()


def test_every_control_changes_what_is_seen(board):
    controls, pictures, _ = board
    controls["thing"].value = 1
    for name, value in {"down": 3, "right": 3, "grow": 1, "mask": 2, "dropout": 4}.items():
        before = pictures[1].value
        controls[name].value = value
        assert pictures[1].value != before, name
    for name, value in {"x": 3, "y": 9, "radius": 6}.items():  # the brush is outlined
        mask, image = (picture.value for picture in pictures)
        controls[name].value = value
        assert pictures[0].value != mask and pictures[1].value == image, name


def test_discs_are_painted_undone_and_forgotten_with_their_mask(board):
    controls, _, asked = board
    controls["x"].value, controls["y"].value, controls["radius"].value = 20, 10, 3
    controls["class"].value = 2
    controls["paint a disc"].click()
    first = painted(tissue(), 10, 20, 3, 2)
    assert (asked[-1] == first).all()
    controls["y"].value, controls["class"].value = 28, 1
    controls["paint a disc"].click()
    assert (asked[-1] == painted(first, 28, 20, 3, 1)).all()
    controls["undo"].click()
    assert (asked[-1] == first).all()
    controls["undo"].click()
    controls["undo"].click()  # nothing is left to undo
    assert (asked[-1] == tissue()).all()
    controls["paint a disc"].click()
    controls["mask"].value = 2
    assert (asked[-1] == tissue()[::-1]).all()


def test_another_mask_has_its_own_things(board):
    controls, _, asked = board
    controls["thing"].value = 2
    controls["mask"].value = 1  # an empty one
    assert (controls["thing"].value, controls["thing"].max) == (0, 0)
    assert not asked[-1].any()
    controls["delete"].value = True
    assert not asked[-1].any()


def test_there_is_no_explorer_where_nobody_moves_sliders(monkeypatch):
    monkeypatch.setenv("NBHELPERS_HEADLESS", "1")
    assert explorer(Drawer(), tissue()[None], PALETTE, {1, 2}) is None


def test_there_is_no_explorer_without_ipywidgets(monkeypatch):
    monkeypatch.setitem(sys.modules, "ipywidgets", None)
    monkeypatch.setattr(mask_edits, "headless", lambda: False)
    assert explorer(Drawer(), tissue()[None], PALETTE, {1, 2}) is None
