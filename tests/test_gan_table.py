"""All GANs in one table: floors beside them, the rare classes apart, variety by class."""

import numpy as np
import pandas as pd
from test_metrics_run import CLASSES, prepared, write_gan  # noqa: F401

from nbhelpers import gan_table, splits
from nbhelpers.files import write_json
from nbhelpers.plots import measures

ENCODERS = ("lesion", "ImageNet")


def measured(kid: dict[str, dict[str, float]], encoder: str = "lesion") -> pd.DataFrame:
    """As metrics.csv has it: KID by GAN and class, floor 2, and what else stands in that file."""
    rows = [
        {"gan": gan, "class": c, "metric": "kid", "value": value, "floor": 2.0, "encoder": encoder}
        for gan, classes in kid.items()
        for c, value in classes.items()
    ]
    rows += [
        {"gan": gan, "class": "all", "metric": metric, "value": 0.5, "floor": 0.9} | {"encoder": e}
        for gan in kid
        for metric, e in (("recall", encoder), ("psnr real-real", np.nan))
    ]
    rows.append({"gan": "dcgan", "class": "all", "metric": "fid", "encoder": "Inception"})
    return pd.DataFrame(rows)


def test_distances_pool_the_rare_classes_and_put_the_floor_first():
    table = measured({"cgan": {"all": 10, "df": 20, "vasc": 40, "nv": 1}, "dcgan": {"all": 30}})
    found = gan_table.distances(table, ["df", "vasc"])
    assert list(found.index) == [("lesion", g) for g in ("photographs", "cgan", "dcgan")]
    assert found.loc[("lesion", "cgan"), "kid"] == 10
    assert found.loc[("lesion", "cgan"), "kid_rare"] == 30
    floors = found.loc[("lesion", "photographs"), ["kid", "kid_rare", "recall"]]
    assert floors.tolist() == [2, 2, 0.9]
    assert np.isnan(found.loc[("lesion", "dcgan"), "kid_rare"])


def test_a_rare_class_that_was_not_measured_leaves_no_mean_of_the_others():
    found = gan_table.distances(measured({"cgan": {"all": 10, "df": 20}}), ["df", "vasc"])
    assert np.isnan(found.loc[("lesion", "cgan"), "kid_rare"])


def test_two_encoders_are_never_mixed():
    both = pd.concat([measured({"cgan": {"all": 10}}), measured({"cgan": {"all": 900}}, "other")])
    found = gan_table.distances(both, ["df"])
    assert found["kid"].drop("photographs", level=1).tolist() == [10, 900]


def test_where_nothing_was_measured_the_chart_says_so():
    nothing = measured({"cgan": {"all": 10}}).assign(value=np.nan)
    found = gan_table.distances(nothing, ["df"])
    assert len(found) and found.drop("photographs", level=1).isna().all(axis=None)
    figure = measures.gan_dots(found, {"kid": "all"}, "t")
    assert {t.get_text() for axis in figure.axes for t in axis.texts} == {"not measured"}


def test_the_rarest_classes_come_from_the_data(prepared):  # noqa: F811
    counts = prepared.table["dx"].value_counts()
    found = gan_table.rarest(prepared)
    assert found == sorted(CLASSES, key=counts.get)[:2], "one class of three is left out"


def test_variety_sees_one_picture_over_and_over(prepared, tmp_path):  # noqa: F811
    rows = splits.parts(prepared.table, 0)["train"]
    labels = prepared.table["label"].to_numpy()[rows]
    same = np.stack([prepared.images[rows[labels == c][0]] for c in labels])
    folders = {
        name: write_gan(tmp_path, prepared, name, images, labels)
        for name, images in {"fine": None, "one_picture": same}.items()
    }
    found = gan_table.spread(folders, prepared, 0, 0)
    assert list(found) == list(CLASSES)
    assert found.loc["fine"].between(0.7, 1.4).all()
    assert (found.loc["one_picture"] < 1e-6).all()


def test_costs_are_those_of_the_cards(tmp_path):
    write_json(tmp_path / "card.json", {"batch_size": 8, "images_shown": 640, "minutes": 0.5})
    assert gan_table.costs({"cgan": tmp_path}).loc["cgan"].tolist() == [8, 640, 30]


def test_the_chart_tells_floors_gaps_and_values_too_low_for_its_axis():
    table = gan_table.distances(
        measured({"cgan": {"all": -1, "df": 20}, "dcgan": {"all": 30}}), ["df"]
    )
    figure = measures.gan_dots(table, {"kid": "all", "kid_rare": "df"}, "t")
    told = [text.get_text() for axis in figure.axes for text in axis.texts]
    assert told == ["30", "-1, too low to draw", "not measured", "20"]
    assert "photographs: 2" in figure.axes[0].get_title()
