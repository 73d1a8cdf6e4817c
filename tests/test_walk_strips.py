"""Walks that a run leaves, and the slider that the report makes of them."""

import json
import re

import numpy as np
import pytest
from PIL import Image
from small_gans import CLASSES, PHOTOGRAPHS, build

from nbhelpers import sampling, walk_strips
from nbhelpers.errors import DataError
from nbhelpers.neighbours import Known
from nbhelpers.report_walks import walks_html

NAMES = ("<mel>", "nv", "df")


@pytest.fixture(scope="module")
def left(tmp_path_factory):
    """A run with the walks of a GAN that is told the class and of one that is not."""
    folder = tmp_path_factory.mktemp("run")
    gans = {name: build(name).eval() for name in ("cgan", "dcgan")}
    walk_strips.leave(folder, gans, Known(PHOTOGRAPHS[:20]), PHOTOGRAPHS[20:], NAMES, 3)
    return folder, gans


def test_each_frame_lies_where_the_slider_looks(left):
    folder, gans = left
    told = walk_strips.left(folder)
    assert told["cgan"]["rows"] == list(NAMES) and told["dcgan"]["rows"] == ["all classes"]
    sheet = np.asarray(Image.open(folder / "walks" / "cgan.png"))
    assert sheet.shape == (CLASSES * 64, walk_strips.FRAMES * 64, 3)
    walk = sampling.walk(gans["cgan"], walk_strips.FRAMES, 3, 2)
    for step in (0, 4, 8):
        assert np.array_equal(sheet[128:192, 64 * step : 64 * step + 64], walk[step])


def test_distances_are_told_in_those_of_unseen_photographs(left, tmp_path):
    """A generator that returns a training photograph stands at 0, photographs themselves near 1."""
    folder, gans = left
    distances = np.array(walk_strips.left(folder)["cgan"]["distances"])
    assert distances.shape == (CLASSES, walk_strips.FRAMES) and (distances > 0).all()
    copied = sampling.walk(gans["dcgan"], walk_strips.FRAMES, 3)
    known = Known(np.concatenate([PHOTOGRAPHS[:20], copied]))
    walk_strips.leave(tmp_path, {"dcgan": gans["dcgan"]}, known, PHOTOGRAPHS[20:], NAMES, 3)
    assert np.allclose(walk_strips.left(tmp_path)["dcgan"]["distances"], 0, atol=0.01)


def test_the_slider_is_escaped_and_stands_alone(left, tmp_path):
    html = walks_html(left[0])
    assert html.count("<option>") == 2 and "<mel>" not in html and "\\u003cmel>" in html
    assert html.count("<script") == 2 and "http" not in html and 'src="data:image/webp' in html
    data = re.search(r'<script type="application/json">(.*?)</script>', html)[1]
    assert json.loads(data)["cgan"]["rows"][0] == "<mel>"
    assert walks_html(tmp_path) == ""


def test_a_damaged_list_is_named(left, tmp_path):
    (tmp_path / "walks").mkdir()
    (tmp_path / "walks" / "walks.json").write_text('{"../x": {"rows": [], "distances": []}}')
    with pytest.raises(DataError, match=r"walks\.json"):
        walks_html(tmp_path)
