"""Places follow each measure's own direction, and agreement is told."""

import pandas as pd
import pytest

from nbhelpers import rankings
from nbhelpers.metric_rows import row


def table() -> pd.DataFrame:
    rows = []
    for gan, kid, psnr, spread, tstr in (
        ("a", 10.0, 12.0, 0.5, 0.6), ("b", 20.0, 13.0, 1.1, 0.7), ("c", 30.0, 14.0, 1.3, None)
    ):  # fmt: skip
        found = [
            row("all", "kid", kid, encoder="E", floor=0.0),
            row("all", "psnr real-generated", psnr, floor=12.5) | {"better": "near floor"},
            row("all", "psnr real-real", 12.5) | {"better": "near floor"},
            row("all", "spread", spread, floor=1.0),
            row("all", "copy_rate", 0.01, floor=0.01, encoder="pixels"),
            row("nv", "kid", 100 - kid, encoder="E"),
        ]
        if tstr:
            found.append(row("all", "tstr", tstr, encoder="E"))
        rows += [{"gan": gan} | one for one in found]
    return pd.DataFrame(rows)


def test_places_follow_the_arrow_of_each_measure():
    found = rankings.ranks(table())
    assert found.index.tolist() == [
        "KID x1000 (E)", "PSNR (dB), real-generated", "spread", "TSTR (E)"
    ]  # fmt: skip
    assert found.loc["KID x1000 (E)"].tolist() == [1, 2, 3]
    assert found.loc["PSNR (dB), real-generated"].tolist() == [3, 2, 1]  # as papers print it
    assert found.loc["spread"].tolist() == [3, 1, 2]  # near 1
    assert found.loc["TSTR (E)", ["a", "b"]].tolist() == [2, 1]
    assert pd.isna(found.loc["TSTR (E)", "c"])


def test_agreement_is_one_for_itself_and_minus_one_for_the_reverse():
    found = rankings.agreement(rankings.ranks(table()))
    assert found.loc["KID x1000 (E)", "KID x1000 (E)"] == pytest.approx(1)
    assert found.loc["KID x1000 (E)", "PSNR (dB), real-generated"] == pytest.approx(-1)


def test_one_gan_has_the_first_place():
    alone = table().query("gan == 'a'")
    assert set(rankings.ranks(alone)["a"]) == {1.0}
