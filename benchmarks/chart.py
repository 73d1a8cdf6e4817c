"""results.csv as a picture: what is how many times as fast, and what a cost follows."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, StrMethodFormatter


def chart(results: pd.DataFrame, title: str) -> Figure:
    """Ratios on the left, on a logarithmic axis; growth on the right, a panel a cause."""
    faster = results[results["ratio"].notna() & (results["ratio"] != 1)]
    causes = list(results.loc[results["group"] == "growth", "name"].unique())
    figure = plt.figure(figsize=(13, max(4.0, 1.2 + 0.22 * len(faster))), layout="constrained")
    figure.suptitle(title, fontsize=10)
    grid = figure.add_gridspec(2, 4)
    if not faster.empty:
        _ratios(figure.add_subplot(grid[:, :2] if causes else grid[:, :]), faster)
    for k, name in enumerate(causes):
        rows = results[results["name"] == name]
        _growth(figure.add_subplot(grid[k // 2, 2 + k % 2]), name, rows)
    return figure


def _ratios(axis: Axes, rows: pd.DataFrame) -> None:
    names = rows["name"] + ": " + rows["variant"]
    places, groups = np.arange(len(rows)), list(rows["group"].unique())
    for k, group in enumerate(groups):
        mine = (rows["group"] == group).to_numpy()
        axis.barh(places[mine], rows["ratio"][mine], color=f"C{k}", label=group, height=0.7)
    for place, ratio in zip(places, rows["ratio"], strict=True):
        axis.text(ratio * 1.03, place, f"{ratio:.3g}", va="center", fontsize=7)
    axis.axvline(1, color="0.3", linewidth=1)
    axis.set_yticks(places, names, fontsize=7)
    axis.set(xscale="log", ylim=(len(rows) - 0.4, -0.6), xlabel="times as fast as the usual way")
    axis.set_xlim(min(0.5, rows["ratio"].min() / 1.5), rows["ratio"].max() * 3)
    axis.legend(frameon=False, fontsize=8)


def _growth(axis: Axes, name: str, rows: pd.DataFrame) -> None:
    fit, cost = rows[rows["unit"] == ""].iloc[0], rows[rows["unit"] != ""]
    places = cost["variant"].astype(float)
    axis.loglog(places, cost["value"], "o-")
    axis.set_ylim(cost["value"].min() / 3, cost["value"].max() * 3)
    axis.set_xticks(places, [f"{place:,.0f}" for place in places])
    axis.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axis.minorticks_off()
    power = fit["variant"].replace("exponent", f"power {fit['value']:.2f}")
    axis.set_title(f"{name}\n{power}", fontsize=8)
    axis.set_ylabel(cost["unit"].iloc[0], fontsize=8)
    axis.tick_params(labelsize=7)
