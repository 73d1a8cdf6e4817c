"""All GANs of a run side by side: how far from photographs, how varied, at what cost."""

from pathlib import Path

import numpy as np
import pandas as pd

from . import neighbours
from .evaluation_sets import held_out, read_generated
from .gan_observer import HEALTH
from .metric_rows import POOLED
from .prepare import Prepared
from .sampling import read_card

PHOTOGRAPHS = "photographs"  # the row of the floors
RAREST = 3  # classes whose mean makes the column `kid_rare`
WANTED = ("kid", "fid", "precision", "recall")  # measures of sets that make the table
MOST = 250  # images of a class whose variety is taken, at most


def rarest(prepared: Prepared) -> list[str]:
    """The classes with the fewest photographs, the rarest first; `RAREST` of them at most."""
    counts = prepared.table["dx"].value_counts(ascending=True)
    return counts.index[: min(RAREST, len(counts) - 1)].tolist()


def distances(measured: pd.DataFrame, rare: list[str]) -> pd.DataFrame:
    """Set measures from `metrics.csv`, a row for each encoder and GAN (an index of two levels).

    Columns `kid`, `fid`, `precision`, `recall` of all classes pooled, and `kid_rare`, the mean KID
    x1000 of the classes `rare`, nan unless each was measured. The row "photographs" holds the
    floors, the mean over the GANs. An encoder that measured nothing is left out, unless none did.
    """
    found = measured[measured["metric"].isin(WANTED)]
    found = found if found["value"].isna().all() else found.dropna(subset=["value"])
    tables = {}
    for encoder, rows in found.groupby("encoder", sort=False):
        floor = _wide(rows, rare, "floor").mean().rename(PHOTOGRAPHS)
        tables[encoder] = pd.concat([floor.to_frame().T, _wide(rows, rare, "value")])
    return pd.concat(tables, names=["encoder", "gan"])


def kid_panels(rare: list[str]) -> dict[str, str]:
    """{column of `distances`: what a chart calls it} of the KID, for `plots.measures.gan_dots`."""
    return {"kid": "KID x1000, all classes", "kid_rare": f"KID x1000, {', '.join(rare)}"}


def _wide(rows: pd.DataFrame, rare: list[str], column: str) -> pd.DataFrame:
    pooled = rows[rows["class"] == POOLED]
    wide = pooled.pivot(index="gan", columns="metric", values=column)
    of_class = rows[rows["metric"].eq("kid") & rows["class"].isin(rare)]
    by_class = of_class.pivot(index="gan", columns="class", values=column)
    wide = wide.reindex(rows["gan"].unique())
    wide["kid_rare"] = by_class.reindex(columns=rare).mean(axis=1, skipna=False)
    return wide.reindex(columns=["kid", "kid_rare", *WANTED[1:]]).rename_axis(columns=None)


def row(folder: Path, photographs: np.ndarray) -> dict:
    """A line of the run's table of GANs: what one cost, and how it ended.

    `pixel deviation` is the mean standard deviation of a pixel, in [0, 1], over the samples that
    training left, and the next column that of `photographs` uint8 (N, S, S, 3). KID and `told
    apart` are the last in `health.csv`. KID is the mean over classes; that of a GAN that is told no
    class is of all of them pooled, and stands in a column of its own.
    """
    card, last = read_card(folder), pd.read_csv(folder / HEALTH).iloc[-1]
    made = np.load(folder / "samples.npz")["images"]
    deviation, usual = (
        round(float(images.std(axis=0).mean() / 255), 3) for images in (made, photographs)
    )
    kid = "kid" if card["settings"]["conditional"] else "kid, pooled"
    return {
        "gan": card["gan"], "images shown": card["images_shown"], "minutes": card["minutes"],
        "weights G": card["parameters"]["G"], "weights D": card["parameters"]["D"],
        "pixel deviation": deviation, "of photographs": usual,
        kid: round(last["kid"], 1), "told apart": round(last["told_apart"], 3),
    }  # fmt: skip


def costs(folders: dict[str, Path]) -> pd.DataFrame:
    """What each GAN was trained with: `batch`, `images` shown to D, `seconds`; by GAN."""
    cards = {name: read_card(folder) for name, folder in folders.items()}
    return pd.DataFrame(
        {
            name: [card["batch_size"], card["images_shown"], round(60 * card["minutes"])]
            for name, card in cards.items()
        },
        ["batch", "images", "seconds"],
    ).T


def spread(folders: dict[str, Path], prepared: Prepared, fold: int, seed: int) -> pd.DataFrame:
    """Typical distance of two generated images of a class over that of two held-out photographs of
    it, GAN by class: 1 is as varied, 0 is one picture. A GAN that is told no class has one number,
    in the column "all"."""
    real = held_out(prepared, fold, seed)
    names = {c: name for c, name in enumerate(prepared.classes) if (real.labels == c).sum() > 1}
    photographs = {name: real.images[real.labels == c][:MOST] for c, name in names.items()}
    shuffled = np.random.default_rng(seed).permutation(len(real.images))[:MOST]
    photographs[POOLED] = real.images[shuffled]
    usual = {name: neighbours.typical_distance(images) for name, images in photographs.items()}
    rows = {}
    for gan, folder in folders.items():
        one = read_generated(folder, prepared)[-1]
        made = {POOLED: one.images}
        if one.labels is not None:
            made = {name: one.images[one.labels == c] for c, name in names.items()}
        rows[gan] = {
            name: neighbours.spread(images[:MOST], usual[name])
            for name, images in made.items()
            if len(images) > 1
        }
    return pd.DataFrame(rows).T.reindex(columns=list(usual)).dropna(axis=1, how="all")
