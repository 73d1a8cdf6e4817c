"""The reported table is read rightly, and stands beside what was measured here."""

import numpy as np
import pandas as pd
import pytest

from nbhelpers import earlier_work
from nbhelpers.metric_rows import row
from nbhelpers.metrics import PAIRED


def measured(gan: str = "acgan") -> pd.DataFrame:
    rows = [row("all", "psnr real-real", 15.0), row("all", "psnr real-generated", 16.0),
            row("nv", "psnr real-generated", 99.0)]  # fmt: skip
    return pd.DataFrame([{"gan": gan} | one for one in rows])


def test_ms_gmsd_was_read_upside_down():
    table = earlier_work.aidl21({})
    at = table[(table["metric"] == "ms_gmsd") & (table["size"] == 128)].set_index("model")
    assert at["place"].to_dict() == {"sngan": 2, "wgan_gp": 1, "acgan": 3}
    assert at["place as reported"].to_dict() == {"sngan": 2, "wgan_gp": 3, "acgan": 1}
    others = table[table["metric"] != "ms_gmsd"]
    assert (others["place"] == others["place as reported"]).all()
    assert len(table) == len(earlier_work.REPORTED) * len(PAIRED)


def test_ours_stand_beside_them_at_their_size():
    table = earlier_work.aidl21({64: measured()}).set_index(["model", "size", "metric"])
    ours = table.loc[("acgan", 64, "psnr")]
    assert (ours["real-real"], ours["real-generated"]) == (15.0, 16.0)
    assert np.isnan(ours["generated-generated"])
    assert np.isnan(table.loc[("acgan", 128, "psnr"), "real-generated"])
    assert ours["reported"] == 12.17 and ours["better"] == "higher"


def test_the_run_of_the_other_size_is_found(tmp_path):
    for size in (64, 128):
        folder = tmp_path / f"laptop-phantom-{size}"
        folder.mkdir()
        measured("wgan_gp").to_csv(folder / "metrics.csv", index=False)
    table = earlier_work.beside(folder)
    found = table[(table["model"] == "wgan_gp") & (table["metric"] == "psnr")]
    assert found["real-generated"].tolist() == pytest.approx([16.0, 16.0])
    (folder / "metrics.csv").unlink()
    assert earlier_work.beside(folder)["real-generated"].notna().sum() == 1
