"""Charts of measures: every value beside its floor, and generated images beside their nearest
neighbours.
"""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

PAIR_COLUMNS = ("real-real", "real-generated", "generated-generated")
COLOURS = ("tab:grey", "tab:blue", "tab:orange")
SHORT = ("real\nreal", "real\ngenerated", "generated\ngenerated")
ARROWS = {"higher": "↑ more alike", "lower": "↓ more alike"}


def three_columns(
    table: pd.DataFrame, directions: dict[str, tuple[str, str]], title: str
) -> Figure:
    """One small chart a measure: the mean of random pairs in three columns, floor as a dotted line.

    `table` has `metric` ("psnr real-real", …), `value`, `low`, `high` of one GAN and one class;
    `directions` gives each measure's label and whether higher or lower means more alike.
    """
    rows = table.set_index("metric")
    figure, axes = _small_multiples(len(directions), 3.0)
    for axis, (metric, (label, better)) in zip(axes.flat, directions.items(), strict=True):
        for x, (column, colour) in enumerate(zip(PAIR_COLUMNS, COLOURS, strict=True)):
            value, low, high = rows.loc[f"{metric} {column}", ["value", "low", "high"]].astype(
                float
            )
            axis.errorbar(
                x, value, [[value - low], [high - value]], fmt="o", color=colour, capsize=4
            )
            # beside its point, clear of the dotted line
            above = 7 if column == "real-real" else 0
            axis.annotate(f"{value:.3g}", (x, value), (6, above), textcoords="offset points",
                          va="center", fontsize=8, color=colour)  # fmt: skip
        axis.axhline(
            float(rows.loc[f"{metric} real-real", "value"]), color="grey", linestyle=":", lw=1
        )
        axis.set_xticks(range(3), SHORT, fontsize=7)
        axis.set_title(f"{label}\n{ARROWS[better]}", fontsize=9)
        axis.set_xlim(-0.5, 2.9)
        axis.margins(y=0.25)
    figure.suptitle(title)
    return figure


def floor_bars(table: pd.DataFrame, title: str, axis: Axes | None = None) -> Axes:
    """Bars with intervals, one a row, each with its floor as a black line; rows without a value say
    why.

    `table` has `name`, `value`, `low`, `high`, `floor`, `note`.
    """
    axis = axis or plt.subplots(figsize=(7, 0.42 * len(table) + 1.4), layout="constrained")[1]
    places = np.arange(len(table))[::-1]
    value = table["value"].to_numpy(float)
    reach = np.nan_to_num(np.stack([value - table["low"], table["high"] - value]).astype(float))
    known = np.isfinite(value)
    axis.barh(places[known], value[known], 0.6, color="tab:blue", alpha=0.75)
    axis.errorbar(
        value[known], places[known], xerr=reach[:, known], fmt="none", color="navy", capsize=3
    )
    floor = table["floor"].to_numpy(float)
    axis.vlines(
        floor, places - 0.38, places + 0.38, color="black", lw=2, label="floor: real against real"
    )
    for place, row in zip(places, table.itertuples(), strict=True):
        if not np.isfinite(row.value):
            axis.annotate(
                row.note, (0.01, place), xycoords=("axes fraction", "data"), va="center", fontsize=8
            )
    axis.set_yticks(places, table["name"])
    axis.set(title=title)
    axis.set_ylim(-0.6, len(table) - 0.4)
    if np.isfinite(floor).any():
        axis.legend(frameon=False, fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.1))
    return axis


def neighbour_strip(
    rows: dict[str, np.ndarray], distances: dict[str, np.ndarray], title: str
) -> Figure:
    """Rows of images uint8 (N, S, S, 3), column by column what belongs together.

    `rows` holds the queries first, then what was found for them; `distances` (N,) is printed above
    the images of the row of that name.
    """
    count = len(next(iter(rows.values())))
    figure, axes = plt.subplots(
        len(rows),
        count,
        figsize=(1.05 * count + 1.6, 1.3 * len(rows) + 0.4),
        squeeze=False,
        layout="constrained",
    )
    for line, (name, images) in zip(axes, rows.items(), strict=True):
        for k, axis in enumerate(line):
            axis.imshow(images[k], interpolation="nearest")
            axis.set(xticks=[], yticks=[])
            if name in distances:
                axis.set_title(f"{distances[name][k]:.3f}", fontsize=8, pad=2)
        line[0].set_ylabel(name, rotation=0, ha="right", va="center")
    figure.suptitle(title)
    return figure


def _small_multiples(count: int, height: float) -> tuple[Figure, np.ndarray]:
    size = (2.5 * count, height)
    return plt.subplots(1, count, figsize=size, squeeze=False, layout="constrained")


def ladder(table: pd.DataFrame, directions: dict[str, tuple[str, str]], title: str) -> Figure:
    """Each measure against the strength of a degradation, one line a kind.

    `table` has `kind`, `step` (0 is untouched), `metric`, `value`; `directions` as in
    `three_columns`.
    """
    figure, axes = _small_multiples(len(directions), 2.8)
    for axis, (metric, (label, better)) in zip(axes.flat, directions.items(), strict=True):
        for kind, lines in table[table["metric"] == metric].groupby("kind", sort=False):
            axis.plot(lines["step"], lines["value"], marker="o", markersize=3, label=kind)
        axis.set_title(f"{label}\n{ARROWS[better]}", fontsize=9)
        axis.set_xlabel("strength", fontsize=8)
        axis.set_xticks(range(1, 1 + int(table["step"].max())))
    axes.flat[0].legend(frameon=False, fontsize=8)
    figure.suptitle(title)
    return figure


def gan_dots(table: pd.DataFrame, panels: dict[str, str], title: str) -> Figure:
    """A column of values for every GAN, one row of panels an encoder, the best GAN on top.

    `table` is that of `gan_table.distances`: an index of encoder and GAN, the floors in the row
    "photographs". `panels` gives the columns and what they are called. The axes are logarithmic,
    as GANs differ by factors, so a floor at or below 0 is told and not drawn. A panel without any
    value is left out, unless all are.
    """
    panels = {c: label for c, label in panels.items() if table[c].notna().any()} or panels
    encoders = list(table.index.unique(0))
    order = table.drop("photographs", level=1).groupby(level=1)[next(iter(panels))].mean()
    names = order.sort_values(ascending=False).index
    size = (5.0 * len(panels), (0.28 * len(names) + 1.3) * len(encoders))
    figure, axes = plt.subplots(
        len(encoders), len(panels), figsize=size, squeeze=False, sharey=True, layout="constrained"
    )
    for row, encoder in zip(axes, encoders, strict=True):
        for axis, (column, label) in zip(row, panels.items(), strict=True):
            values = table.loc[encoder][column]
            mine, floor = values.reindex(names), values["photographs"]
            axis.plot(mine.where(mine > 0), range(len(names)), "o", color="tab:blue")
            for place, value in enumerate(mine):
                if value > 0:
                    axis.annotate(
                        f"{value:.0f}", (value, place), (7, 0), textcoords="offset points",
                        va="center", fontsize=8,
                    )  # fmt: skip
                    continue
                told = "not measured" if np.isnan(value) else f"{value:.0f}, too low to draw"
                left = axis.get_yaxis_transform()
                axis.text(0.02, place, told, transform=left, va="center", fontsize=8)
            axis.set_xscale("log")
            axis.xaxis.set_minor_formatter(NullFormatter())  # the values stand beside the dots
            axis.margins(x=0.2)
            if floor > 0:
                axis.axvline(floor, color="black", ls=":")
            axis.set_title(f"{label}\n{encoder}; photographs: {floor:.0f}", fontsize=9)
            axis.set_yticks(range(len(names)), names)
            axis.grid(axis="x", alpha=0.3)
    figure.suptitle(title)
    return figure
