"""Charts of a table of photographs: who is in it, how often, and what is missing."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes

LONG = 6  # letters of a class's name that still stand side by side


def _axis(axis: Axes | None, width: float, height: float) -> Axes:
    return axis or plt.subplots(figsize=(width, height), layout="constrained")[1]


def nothing(axis: Axes, title: str, told: str) -> Axes:
    """An empty frame with a sentence in place of a chart."""
    axis.text(0.5, 0.5, told, ha="center", va="center", transform=axis.transAxes)
    axis.set(title=title, xticks=[], yticks=[])
    return axis


def slant(axis: Axes) -> Axes:
    """Turns the names below an axis where they are long and would run into one another."""
    if max(len(label.get_text()) for label in axis.get_xticklabels()) > LONG:
        plt.setp(axis.get_xticklabels(), rotation=30, ha="right", rotation_mode="anchor")
    return axis


def class_bars(table: pd.DataFrame, title: str, axis: Axes | None = None) -> Axes:
    """Images and lesions of each class, the largest first. `table` has `dx` and `group_id`."""
    axis = _axis(axis, 7, 3.4)
    counts = table.groupby("dx")["group_id"].agg(images="size", lesions="nunique")
    counts = counts.sort_values("images", ascending=False)
    places = np.arange(len(counts))
    for column, shift, colour in (("images", -0.2, "tab:blue"), ("lesions", 0.2, "tab:cyan")):
        bars = axis.bar(places + shift, counts[column], 0.4, color=colour, label=column)
        axis.bar_label(bars, fmt="{:,.0f}", fontsize=8, padding=2)
    axis.set_xticks(places, counts.index)
    axis.set(title=title, xlabel="class", ylabel="number of images, lesions")
    axis.margins(y=0.12)
    axis.legend(frameon=False)
    return slant(axis)


def repeats_bars(table: pd.DataFrame, title: str, axis: Axes | None = None) -> Axes:
    """How many lesions were photographed once, twice, ... `table` has `group_id`."""
    axis = _axis(axis, 5, 3)
    counts = table["group_id"].value_counts().value_counts().sort_index()
    bars = axis.bar(counts.index.astype(str), counts, color="tab:blue")
    axis.bar_label(bars, fmt="{:,.0f}", fontsize=8, padding=2)
    axis.set(title=title, xlabel="photographs of a lesion", ylabel="number of lesions")
    axis.margins(y=0.12)
    return axis


def age_by_class(table: pd.DataFrame, title: str, axis: Axes | None = None) -> Axes:
    """Quartiles of age for each class, by median; where no age is known, a sentence that says so.
    `table` has `dx` and `age` (years)."""
    axis = _axis(axis, 7, 3.2)
    known = table.dropna(subset=["age"])
    if known.empty:
        return nothing(axis, title, "no ages are known")
    order = known.groupby("dx")["age"].median().sort_values().index
    sns.boxplot(known, x="dx", y="age", order=order, ax=axis, color="lightsteelblue", fliersize=2)
    axis.set(title=title, xlabel="class", ylabel="age (years)")
    return slant(axis)


def category_shares(table: pd.DataFrame, column: str, title: str, axis: Axes | None = None) -> Axes:
    """Share of each value of `column` within each class, as a heat map in per cent; where all are
    "unknown", a sentence that says so."""
    axis = _axis(axis, 8, 3.4)
    if table[column].eq("unknown").all():
        return nothing(axis, title, f"{column}: no values are known")
    shares = pd.crosstab(table["dx"], table[column], normalize="index") * 100
    shares = shares[shares.mean().sort_values(ascending=False).index]
    sns.heatmap(
        shares, annot=True, fmt=".0f", cmap="Blues", cbar=False, ax=axis, annot_kws={"size": 8}
    )
    axis.set(title=f"{title} (% of the class)", xlabel=column, ylabel="class")
    plt.setp(axis.get_xticklabels(), rotation=45, ha="right", rotation_mode="anchor")
    axis.tick_params(axis="y", rotation=0)
    return axis
