"""Charts of a comparison of classifiers: differences, recalls, confusions, shares."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

AGAINST = {"bar": "tab:blue", "placebo": "tab:orange"}


def forest(
    contrasts: pd.DataFrame,
    bar: str,
    placebo: str,
    title: str,
    margin: float = 0.02,
    axis: Axes | None = None,
) -> Axes:
    """Difference of each arm against the bar and the placebo, in points, with 95 % intervals.

    `contrasts` has arm, against, difference, low, high (shares); the band is `margin` either way.
    """
    shown = contrasts[contrasts["against"].isin([bar, placebo])]
    arms = list(dict.fromkeys(shown["arm"]))
    axis = axis or plt.subplots(figsize=(7.5, 1.2 + 0.7 * len(arms)), layout="constrained")[1]
    axis.axvspan(-100 * margin, 100 * margin, color="0.92", label=f"±{100 * margin:g} points")
    axis.axvline(0, color="0.3", linewidth=1)
    for other, colour, marker, shift in (
        (bar, AGAINST["bar"], "o", -0.14),
        (placebo, AGAINST["placebo"], "s", 0.14),
    ):
        rows = shown[shown["against"] == other]
        places = np.array([arms.index(arm) for arm in rows["arm"]]) + shift
        _points(axis, rows, "difference", places, colour, marker, f"against {other}")
    axis.set_yticks(range(len(arms)), arms)
    axis.set_ylim(len(arms) - 0.5, -0.5)
    axis.set(xlabel="difference in balanced accuracy (points, 95 % interval)", ylabel="arm")
    axis.set_title(title)
    axis.legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return axis


def _points(
    axis: Axes,
    rows: pd.DataFrame,
    value: str,
    places: np.ndarray,
    colour: str,
    marker: str,
    label: str,
) -> None:
    """Values with intervals, in per cent; rows whose value is not known are left out."""
    known = rows[value].notna().to_numpy()
    middle, low, high = (100 * rows.loc[known, name].to_numpy() for name in (value, "low", "high"))
    reach = np.clip([middle - low, high - middle], 0, None)
    axis.errorbar(
        middle, places[known], xerr=reach, fmt=marker, color=colour, label=label, capsize=3
    )


def confusions(matrices: dict[str, np.ndarray], classes: tuple[str, ...], title: str) -> Figure:
    """One confusion matrix an arm: colour and per cent by true class (row), count in brackets.

    `matrices` hold counts (K, K), true class by predicted class.
    """
    columns = min(2, len(matrices))
    rows = -(-len(matrices) // columns)
    size = (0.6 + 0.66 * len(classes)) * columns, (0.7 + 0.5 * len(classes)) * rows
    figure, axes = plt.subplots(rows, columns, figsize=size, layout="constrained", squeeze=False)
    for axis, (arm, counts) in zip(axes.flat, matrices.items(), strict=False):
        share = counts / np.maximum(counts.sum(1, keepdims=True), 1)
        text = [
            [f"{100 * s:.0f}\n({n})" if n else "" for s, n in zip(*pair, strict=True)]
            for pair in zip(share, counts.astype(int), strict=True)
        ]
        names = {"xticklabels": classes, "yticklabels": classes}
        sns.heatmap(
            share, annot=np.array(text), fmt="", cmap="Blues", vmin=0, vmax=1, cbar=False,
            annot_kws={"size": 7}, ax=axis, **names,
        )  # fmt: skip
        axis.set(title=arm, xlabel="predicted", ylabel="true")
        axis.tick_params(axis="y", rotation=0)
    for axis in axes.flat[len(matrices) :]:
        axis.set_visible(False)
    figure.suptitle(f"{title} (% of the row, lesions in brackets)")
    return figure


def recall_dots(recalls: dict[str, pd.DataFrame], title: str, axis: Axes | None = None) -> Axes:
    """Recall of each class and arm with Wilson intervals; the class names carry their support.

    `recalls` holds, for each arm, class, support, recall, low, high.
    """
    first = next(iter(recalls.values()))
    axis = axis or plt.subplots(figsize=(7.5, 1 + 0.65 * len(first)), layout="constrained")[1]
    shifts = np.linspace(-0.27, 0.27, len(recalls)) if len(recalls) > 1 else [0.0]
    colours = sns.color_palette("colorblind", len(recalls))
    for shift, colour, marker, (arm, rows) in zip(
        shifts, colours, "osD^v<>Xph*P"[: len(recalls)], recalls.items(), strict=True
    ):
        _points(axis, rows, "recall", np.arange(len(rows)) + shift, colour, marker, arm)
    labels = [f"{c}\n{n} lesions" for c, n in zip(first["class"], first["support"], strict=True)]
    axis.set_yticks(range(len(first)), labels)
    for line in range(1, len(first)):
        axis.axhline(line - 0.5, color="0.9", linewidth=1)
    axis.set_ylim(len(first) - 0.5, -0.5)
    axis.set(xlim=(-2, 102), xlabel="recall (%, 95 % interval)", ylabel="class", title=title)
    axis.legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return axis


def accuracy_bars(
    arms: list[str],
    accuracy: np.ndarray,
    balanced: np.ndarray,
    majority: float,
    chance: float,
    title: str,
    axis: Axes | None = None,
) -> Axes:
    """Accuracy beside balanced accuracy; lines where always naming the commonest class would stand.

    All are shares; `majority` belongs to accuracy, `chance` (1 / classes) to balanced accuracy.
    """
    axis = axis or plt.subplots(figsize=(7.5, 1 + 0.5 * len(arms)), layout="constrained")[1]
    series = (
        ("accuracy", accuracy, "tab:blue", -0.2, majority),
        ("balanced accuracy", balanced, "tab:orange", 0.2, chance),
    )
    for name, values, colour, shift, floor in series:
        bars = axis.barh(
            np.arange(len(arms)) + shift, 100 * np.asarray(values), 0.38, color=colour, label=name
        )
        axis.bar_label(bars, fmt="{:.1f}", fontsize=8, padding=2)
        label = f"always the commonest class: {100 * floor:.1f}"
        axis.axvline(100 * floor, color=colour, linestyle="--", linewidth=1.2, label=label)
    axis.set_yticks(range(len(arms)), arms)
    axis.set_ylim(len(arms) - 0.5, -0.5)
    axis.set(xlim=(0, 100), xlabel="accuracy on test lesions (%)", ylabel="arm", title=title)
    axis.legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return axis


def ladder_dots(table: pd.DataFrame, chosen: str, title: str, axis: Axes | None = None) -> Axes:
    """Validation scores of real-only recipes, as trained and with adjusted logits; the bar first.

    `table` has arm, as trained, adjusted (shares); `chosen` is printed bold.
    """
    axis = axis or plt.subplots(figsize=(7.5, 1 + 0.4 * len(table)), layout="constrained")[1]
    places = np.arange(len(table))
    first, second = (100 * table[name].to_numpy() for name in ("as trained", "adjusted"))
    axis.hlines(places, first, second, color="0.8", zorder=1)
    axis.scatter(first, places, color="tab:blue", label="as trained")
    axis.scatter(second, places, color="tab:orange", marker="D", label="logits adjusted")
    axis.set_yticks(places, table["arm"])
    axis.set_ylim(len(table) - 0.5, -0.5)
    for label in axis.get_yticklabels():
        label.set_fontweight("bold" if label.get_text() == chosen else "normal")
    axis.set(xlabel="balanced accuracy on validation lesions (%)", ylabel="arm", title=title)
    axis.legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return axis


def learning_curve(
    scores: pd.DataFrame,
    levels: dict[str, float],
    title: str,
    axis: Axes | None = None,
) -> Axes:
    """Balanced accuracy with its 95 % interval against the number of real training lesions, and
    dotted lines where arms with extra images stand.

    `scores` has lesions, balanced_accuracy, low, high (shares).
    """
    axis = axis or plt.subplots(figsize=(7.5, 3.6), layout="constrained")[1]
    middle, low, high = (100 * scores[n].to_numpy() for n in ("balanced_accuracy", "low", "high"))
    reach, lesions = np.clip([middle - low, high - middle], 0, None), scores["lesions"].to_numpy()
    axis.errorbar(lesions, middle, yerr=reach, marker="o", color="0.2", capsize=3, label="real")
    for colour, (name, level) in zip(sns.color_palette("colorblind"), levels.items(), strict=False):
        label = f"{name}: {100 * level:.1f}"
        axis.axhline(100 * level, color=colour, linestyle=":", label=label)
    axis.set_xscale("log", base=2)
    axis.set_xticks(lesions, [f"{n:,.0f}" for n in lesions])
    axis.minorticks_off()
    axis.set(xlabel="number of real lesions to learn from", ylabel="balanced accuracy (%)")
    axis.set_title(title)
    axis.legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return axis
