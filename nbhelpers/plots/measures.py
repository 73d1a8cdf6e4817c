"""Charts of measures: every value beside its floor, and generated images beside their nearest
neighbours.
"""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

from .tables import nothing

PAIR_COLUMNS = ("real-real", "real-generated", "generated-generated")
COLOURS = ("tab:grey", "tab:blue", "tab:orange")
SHORT = ("real\nreal", "real\ngenerated", "generated\ngenerated")
LINES = (("#0072b2", "o"), ("#d55e00", "s"), ("#009e73", "^"), ("#cc79a7", "D"), ("#7f7f7f", "v"))
ARROWS = {"higher": "↑ more alike", "lower": "↓ more alike"}
DECIBELS = ("sharpness", "spectrum")  # distances in dB, whose names do not say so


def three_columns(
    table: pd.DataFrame, directions: dict[str, tuple[str, str]], title: str
) -> Figure:
    """One small chart a measure: the mean of random pairs in three columns, floor as a dotted line.

    `table` has `metric` ("psnr real-real", …), `value`, `low`, `high` of one GAN and one class;
    `directions` gives each measure's label and whether higher or lower means more alike.
    """
    rows = table.set_index("metric")
    figure, axes = _small_multiples(len(directions), 3.0, 2.8)
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
        axis.set_xlabel("pairs of images", fontsize=8)
        axis.set_ylabel(label, fontsize=8)
        axis.set_xlim(-0.5, 2.9)
        axis.margins(y=0.25)
    figure.suptitle(title)
    return figure


def floor_bars(
    table: pd.DataFrame, title: str, label: str = "value", axis: Axes | None = None
) -> Axes:
    """Bars with intervals, one a row, each with its floor as a black line; rows without a value say
    why.

    `table` has `name`, `value`, `low`, `high`, `floor`, `note`; `label` is the measure's name.
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
    axis.set(title=title, xlabel=label, ylabel="class")
    axis.set_ylim(-0.6, len(table) - 0.4)
    if np.isfinite(floor).any():
        axis.figure.legend(frameon=False, fontsize=8, loc="outside lower left")
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


def _small_multiples(count: int, height: float, width: float = 2.5) -> tuple[Figure, np.ndarray]:
    size = (width * count, height)
    return plt.subplots(1, count, figsize=size, squeeze=False, layout="constrained")


def ladder(table: pd.DataFrame, directions: dict[str, tuple[str, str]], title: str) -> Figure:
    """A small chart a measure, five in a row: its value against the step of a damage, one line a
    kind. A dotted line is the value of untouched photographs, step 0, where the table has it.

    `table` has `kind`, `step`, `metric`, `value`; `directions` as in `three_columns`.
    """
    count, columns, kinds = len(directions), min(5, len(directions)), table["kind"].unique()
    rows = -(-count // columns)
    size = (2.6 * columns, 2.2 * rows + 1.0)
    figure, axes = plt.subplots(rows, columns, figsize=size, squeeze=False, layout="constrained")
    for axis, (metric, (label, better)) in zip(axes.flat, directions.items(), strict=False):
        _rungs(axis, table[table["metric"] == metric], kinds)
        axis.set_title(f"{label}\n{ARROWS[better]}", fontsize=9)
        axis.set_ylabel(f"{label} (dB)" if metric in DECIBELS else label, fontsize=8)
        axis.set_xlabel("strength (step)", fontsize=8)
    for axis in axes.flat[count:]:
        axis.remove()
    names = {line.get_label(): line for axis in figure.axes for line in axis.lines}
    place = {"loc": "outside lower center", "ncols": len(names), "frameon": False}
    figure.legend(names.values(), names, **place)
    figure.suptitle(title)
    return figure


def _rungs(axis: Axes, table: pd.DataFrame, kinds: np.ndarray) -> None:
    """The lines of one measure, each kind in its own colour and with its own marker."""
    climbed, untouched = table[table["step"] > 0], table.loc[table["step"] == 0, "value"]
    for kind, (colour, marker) in zip(kinds, LINES[: len(kinds)], strict=True):
        line = climbed[climbed["kind"] == kind]
        style = {"color": colour, "marker": marker, "markersize": 4, "lw": 1.5, "clip_on": False}
        axis.plot(line["step"], line["value"], label=kind, **style)
    if len(untouched):
        axis.axhline(untouched.iloc[0], color="black", ls=":", lw=1.2, zorder=0, label="untouched")
    axis.set_xticks(climbed["step"].unique())
    axis.tick_params(labelsize=8)
    axis.spines[["top", "right"]].set_visible(False)


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
    size = (5.0 * len(panels), (0.28 * len(names) + 1.4) * len(encoders))
    figure, axes = plt.subplots(
        len(encoders), len(panels), figsize=size, squeeze=False, sharey=True, layout="constrained"
    )
    for row, encoder in zip(axes, encoders, strict=True):
        row[0].set_ylabel("GAN")
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
            axis.set_title(f"{encoder}; photographs: {floor:.0f}", fontsize=9)
            axis.set_xlabel(label)
            axis.set_yticks(range(len(names)), names)
            axis.grid(axis="x", alpha=0.3)
    figure.suptitle(title)
    return figure


def rank_grid(places: pd.DataFrame, title: str) -> Figure:
    """Places of GANs (columns) by measure (rows), 1 the best and dark; the GAN with the best mean
    place stands first."""
    places = places[places.mean().sort_values().index]
    size = (0.75 * places.shape[1] + 4.5, 0.27 * len(places) + 1.2)
    figure, axis = plt.subplots(figsize=size, layout="constrained")
    axis.imshow(places, cmap="viridis", aspect="auto")
    middle = (1 + places.shape[1]) / 2
    for y, row in enumerate(places.to_numpy()):
        for x, place in enumerate(row):
            colour = "white" if place < middle else "black"
            told = "–" if np.isnan(place) else f"{place:g}"
            axis.text(x, y, told, ha="center", va="center", fontsize=8, color=colour)
    axis.set_xticks(range(places.shape[1]), places.columns, rotation=45, ha="left")
    axis.xaxis.tick_top()
    axis.set_yticks(range(len(places)), places.index, fontsize=8)
    axis.set(xlabel="GAN (the numbers are places, 1 is best)", ylabel="measure")
    figure.suptitle(title)
    return figure


def roc(curves: dict[str, tuple[np.ndarray, np.ndarray]], at: float, title: str) -> Axes:
    """Share found (y) against false alarms (x, logarithmic), a line a detector, with the working
    point `at` as a dotted line. Without anything to find, a sentence that says so."""
    axis = plt.subplots(figsize=(6, 3.6), layout="constrained")[1]
    if all(np.isnan(found).all() for _, found in curves.values()):
        return nothing(axis, title, "nothing was photographed twice: there is nothing to find")
    for name, (alarms, found) in curves.items():
        axis.step(alarms, found, where="post", label=name)
    axis.axvline(at, color="black", linestyle=":", lw=1)
    axis.set_xscale("log")
    axis.set_xlim(at / 5, 1)
    axis.set_ylim(0, 1)
    axis.set(title=title, xlabel="share of strangers accused (false alarms)",
             ylabel="share of repeat photographs found")  # fmt: skip
    axis.legend(frameon=False, fontsize=8)
    return axis


def reported(table: pd.DataFrame, directions: dict[str, tuple[str, str]], title: str) -> Figure:
    """One panel a paired measure: what was reported (crosses), the same measure here between
    photographs and generated images (dots), and between photographs (dotted lines).

    `table` is that of `earlier_work.aidl21`.
    """
    figure, axes = _small_multiples(len(directions), 3.4)
    names = table["model"] + " " + table["size"].astype(str)
    for axis, (metric, (label, better)) in zip(axes.flat, directions.items(), strict=True):
        rows = table[table["metric"] == metric]
        places = np.arange(len(rows))[::-1]
        axis.plot(rows["reported"], places, "x", color="black", label="reported")
        axis.plot(rows["real-generated"], places, "o", color=COLOURS[1], label="here")
        for size, floors in rows.groupby("size")["real-real"]:
            if floors.notna().any():
                here = places[(rows["size"] == size).to_numpy()]
                axis.vlines(
                    floors.mean(), here.min() - 0.4, here.max() + 0.4, color="grey",
                    linestyle=":", label="photographs",
                )  # fmt: skip
        axis.set_title(f"{label}\n{ARROWS[better]}", fontsize=9)
        axis.set_xlabel(label, fontsize=8)
        axis.set_yticks(places, names[rows.index] if axis is axes.flat[0] else [""] * len(rows))
        axis.margins(x=0.2)
    axes.flat[0].set_ylabel("GAN and pixels a side", fontsize=8)
    handles = dict(zip(*axes.flat[0].get_legend_handles_labels()[::-1], strict=True))
    figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=3,
                  frameon=False, fontsize=8)  # fmt: skip
    figure.suptitle(title)
    return figure


def by_number(sizes: list[int], curves: dict[str, list[float]], title: str) -> Figure:
    """One panel a measure: its value for photographs against photographs, by images a side."""
    figure, axes = _small_multiples(len(curves), 2.8, 4.0)
    for axis, (name, values) in zip(axes.flat, curves.items(), strict=True):
        axis.plot(sizes, values, marker="o")
        axis.axhline(0, color="grey", linewidth=1)
        axis.set(title=name, xlabel="images a side", ylabel=name)
    figure.suptitle(title)
    return figure
