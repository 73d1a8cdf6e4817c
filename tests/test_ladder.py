"""The ladder computes every printed arrow, sees a wrong one, and says where a measure is blind."""

import io
import zipfile
from dataclasses import replace

import matplotlib

matplotlib.use("agg")

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from conftest import SHARED
from PIL import Image

from nbhelpers import features, metrics
from nbhelpers.datasets.phantom_drawing import draw_lesion
from nbhelpers.datasets.phantom_photograph import draw_setting, photograph
from nbhelpers.degradation import KINDS, LADDER
from nbhelpers.errors import MetricError
from nbhelpers.ladder import COLUMNS, arrows, climb, climb_pairs, climb_sets, dissent, trends
from nbhelpers.plots import measures

SETS = [name for name, metric in metrics.METRICS.items() if metric.kind == "set"]
JUDGED = [*metrics.PAIRED, *(name for name in SETS if name not in ("tstr", "trts"))]


def square(image: Image.Image) -> np.ndarray:
    """64 px of the middle."""
    left = (image.width - image.height) // 2
    middle = image.crop((left, 0, left + image.height, image.height))
    return np.asarray(middle.resize((64, 64), Image.Resampling.LANCZOS))


def phantoms(count: int) -> np.ndarray:
    """Drawn lesions of three diagnoses in turn, uint8 (count, 64, 64, 3)."""
    drawn = []
    for number in range(count):
        rng = np.random.default_rng([7, number])
        maps = draw_lesion(("nv", "mel", "bcc")[number % 3], rng, 150)
        drawn.append(square(Image.fromarray(photograph(maps, draw_setting(rng), rng, 134, 100)[0])))
    return np.stack(drawn)


def disagreeing(table: pd.DataFrame, known: dict[str, metrics.Metric]) -> list[str]:
    """The metrics whose printed arrow is not what the ladder says."""
    return [name for name, arrow in arrows(table).items() if known[name].better != arrow]


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    images = phantoms(60)
    return climb(images[::2], images[1::2], features.random_encoder(0))


def test_the_table_has_every_measure_kind_and_step(table):
    assert list(table.columns) == COLUMNS
    assert list(table["metric"].unique()) == JUDGED
    assert np.isfinite(table["value"]).all()
    for metric, rows in table.groupby("metric"):
        steps = range(1, 6) if metric in metrics.PAIRED else range(6)
        wanted = [(kind, step) for kind in KINDS for step in steps]
        assert sorted(zip(rows["kind"], rows["step"], strict=True)) == sorted(wanted)


def test_untouched_photographs_are_the_same_for_all_kinds(table):
    ground = table[table["step"] == 0].groupby("metric")["value"]
    assert ground.count().tolist() == [len(KINDS)] * (len(JUDGED) - len(metrics.PAIRED))
    assert (ground.nunique() == 1).all()


def test_every_printed_arrow_is_what_the_ladder_computes(table):
    assert arrows(table) == {name: metrics.METRICS[name].better for name in JUDGED}
    assert disagreeing(table, metrics.METRICS) == []


@pytest.mark.parametrize("metric", JUDGED)
def test_a_wrong_arrow_is_caught(table, metric):
    other = {"higher": "lower", "lower": "higher"}[metrics.METRICS[metric].better]
    wrong = metrics.METRICS | {metric: replace(metrics.METRICS[metric], better=other)}
    assert disagreeing(table, wrong) == [metric]


@pytest.mark.parametrize("metric", JUDGED)
def test_a_measure_turned_upside_down_gets_the_other_arrow(table, metric):
    turned = table[table["metric"] == metric].assign(value=lambda t: -t["value"])
    assert disagreeing(turned, metrics.METRICS) == [metric]


@pytest.mark.parametrize(
    ("metric", "kind"),
    [(metric, kind) for metric in metrics.PAIRED for kind in LADDER]
    + [(metric, kind) for metric in ("sharpness", "spectrum") for kind in ("blur", "noise")]
    + [("colour", "hue")],
)
def test_what_is_monotone_is_so_at_every_step(table, metric, kind):
    line = table[(table["metric"] == metric) & (table["kind"] == kind)]
    steps = line.sort_values("step")["value"].diff().dropna()
    assert (steps < 0 if metrics.METRICS[metric].better == "higher" else steps > 0).all()


def test_what_a_measure_cannot_see_has_no_trend(table):
    rho = trends(table)
    assert list(rho.columns) == [*KINDS, "all"] and list(rho.index) == JUDGED
    blind = {"ms_gmsd": ["hue"], "sharpness": ["hue", "shift"], "spectrum": ["hue"],
             "colour": ["blur", "shift"]}  # fmt: skip
    for metric, kinds in blind.items():
        assert rho.loc[metric, kinds].isna().all()


def test_haarpsi_takes_the_opposite_hue_for_a_nearer_one(table):
    """It compares magnitudes of both colour differences, and half a turn changes their signs."""
    line = table[(table["metric"] == "haarpsi") & (table["kind"] == "hue")].set_index("step")
    assert line["value"][5] > line["value"][4] + 0.1


def lines(**values: list[float]) -> pd.DataFrame:
    """A made-up table of one metric: values from step 1 on, kind by kind."""
    rows = [(k, step, "m", v) for k, line in values.items() for step, v in enumerate(line, 1)]
    return pd.DataFrame(rows, columns=COLUMNS)


def test_trends_are_spearmans_rho_and_all_counts_by_reach():
    made = lines(blur=[1, 4, 9, 16], noise=[9.0, 5, 6, 0], hue=[3, 3.2, 3.4, 3.6])
    rho = trends(made).loc["m"]
    assert rho["blur"] == pytest.approx(1) and rho["noise"] == pytest.approx(-0.8)
    assert np.isnan(rho["hue"])  # it reaches over 0.6, and blur over 15
    assert rho["all"] == pytest.approx((15 * 1 - 9 * 0.8) / (15 + 9))
    shuffled = pd.concat([made.iloc[::2], made.iloc[1::2].reset_index(drop=True)])
    assert trends(shuffled).loc["m", rho.index].equals(rho)


def test_kinds_that_disagree_give_no_arrow_and_are_named():
    assert arrows(lines(blur=[1, 2, 3], noise=[3, 2, 1])) == {"m": "unclear"}
    assert arrows(lines(blur=[1, 1, 1], noise=[1, 1, 1])) == {"m": "unclear"}
    odd = lines(blur=[1, 2, 3], noise=[2, 4, 6], jpeg=[1, 3, 5], hue=[3, 2, 3], shift=[4, 3, 2])
    assert arrows(odd) == {"m": "lower"}
    assert dissent(odd) == {"m": ("shift",)}
    assert dissent(lines(blur=[1, 2, 3], noise=[2, 4, 6])) == {}


def test_pairs_of_identical_images_count_as_100_db():
    grey = np.full((2, 64, 64, 3), 90, np.uint8)  # a turn of hue leaves it as it is
    found = climb_pairs(grey).set_index(["kind", "metric", "step"])["value"]
    assert found["hue"]["psnr"].tolist() == [100] * 5 and found["noise"]["psnr"][5] < 15


def test_the_seed_decides_the_noise():
    images = phantoms(3)
    one, again, other = (climb_pairs(images, seed) for seed in (0, 0, 1))
    changed = one["value"] != other["value"]
    assert one.equals(again) and set(one["kind"][changed]) == {"noise"}


def test_too_few_photographs_are_refused():
    few = phantoms(9)
    with pytest.raises(MetricError, match="at least 10"):
        climb_sets(few, few, features.random_encoder(0))


@pytest.mark.parametrize(("count", "rows"), [(1, 1), (5, 1), (9, 2), (14, 3)])
def test_the_figure_has_a_panel_a_measure_and_one_legend(table, count, rows):
    known = {name: (metrics.METRICS[name].label, metrics.METRICS[name].better) for name in JUDGED}
    chosen = dict(list(known.items())[:count])
    figure = measures.ladder(table, chosen, "Title")
    titles = [axis.get_title() for axis in figure.axes]
    assert titles == [f"{label}\n{measures.ARROWS[better]}" for label, better in chosen.values()]
    assert figure.axes[0].get_gridspec().nrows == rows
    (legend,) = figure.legends
    untouched = ["untouched"] * (count > len(metrics.PAIRED))
    assert [text.get_text() for text in legend.get_texts()] == [*KINDS, *untouched]
    for axis, metric in zip(figure.axes, chosen, strict=True):
        here = table[table["metric"] == metric]
        for line in axis.lines[: len(KINDS)]:
            drawn = here[(here["kind"] == line.get_label()) & (here["step"] > 0)]
            assert list(line.get_xdata()) == [1, 2, 3, 4, 5]
            assert list(line.get_ydata()) == drawn["value"].tolist()
        ground = here.loc[here["step"] == 0, "value"].tolist()[:1]
        assert [line.get_ydata()[0] for line in axis.lines[len(KINDS) :]] == ground
    plt.close(figure)


def photographs(count: int) -> np.ndarray:
    """Real photographs of `count` lesions."""
    lesions = pd.read_csv(SHARED / "HAM10000_metadata.csv").drop_duplicates("lesion_id")
    chosen = set(lesions["image_id"].sample(count, random_state=0))
    with zipfile.ZipFile(SHARED / "ham10000_200x150.zip") as archive:
        names = [n for n in archive.namelist() if n.split("/")[-1].removesuffix(".jpg") in chosen]
        files = [Image.open(io.BytesIO(archive.read(name))) for name in sorted(names)]
        return np.stack([square(file.convert("RGB")) for file in files])


@pytest.mark.skipif(not SHARED.exists(), reason="real photographs are not here")
def test_every_printed_arrow_holds_on_real_photographs():
    images = photographs(80)
    assert len(images) == 80
    found = climb(images[::2], images[1::2], features.random_encoder(0))
    assert arrows(found) == {name: metrics.METRICS[name].better for name in JUDGED}
