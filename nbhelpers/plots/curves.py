"""Curves over training."""

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes

COLOURS = {"d": "tab:blue", "g": "tab:orange"}
STYLES = ("-", "--", ":", "-.")


def training_curves(
    history: pd.DataFrame,
    title: str,
    axis: Axes | None = None,
    reference: dict[str, float] | None = None,
) -> Axes:
    """Every term a GAN logged against images shown to D; D's in blue, G's in orange, references as
    grey lines.

    `history` has `images` and columns `d_<term>`, `g_<term>`; a faint line is the value, the strong
    one a running mean.
    """
    axis = axis or plt.subplots(figsize=(7, 3.2), layout="constrained")[1]
    seen = {"d": 0, "g": 0}
    for name in [c for c in history.columns if c[:2] in ("d_", "g_")]:
        player, term = name[0], name[2:].replace("_", " ")
        style = STYLES[seen[player] % len(STYLES)]
        seen[player] += 1
        axis.plot(history["images"], history[name], color=COLOURS[player], alpha=0.25, linewidth=1)
        smooth = (
            history[name].rolling(max(1, len(history) // 15), min_periods=1, center=True).mean()
        )
        axis.plot(
            history["images"],
            smooth,
            style,
            color=COLOURS[player],
            label=f"{player.upper()}: {term}",
        )
    for name, value in (reference or {}).items():
        axis.axhline(value, color="grey", linewidth=1, linestyle=":")
        place = {"xy": (1.0, value), "xycoords": ("axes fraction", "data")}
        offset = {"xytext": (4, 0), "textcoords": "offset points", "va": "center"}
        axis.annotate(name, **place, **offset, fontsize=8, color="grey")
    axis.set(xlabel="images shown to D", ylabel="loss", title=title)
    axis.xaxis.set_major_formatter(lambda x, _: f"{x:,.0f}")
    axis.legend(frameon=False)
    return axis
