"""Pictures of images: grids, and strips over time or between two noises."""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

GAP = 2  # pixels of white between two tiles


def tile(images: np.ndarray, columns: int) -> np.ndarray:
    """One picture uint8 (H, W, 3) of the images uint8 (N, S, S, 3), row by row, on white."""
    count, size = len(images), images.shape[1]
    rows = -(-count // columns)
    step = size + GAP
    sheet = np.full((rows * step - GAP, columns * step - GAP, 3), 255, np.uint8)
    for i, image in enumerate(images):
        top, left = step * (i // columns), step * (i % columns)
        sheet[top : top + size, left : left + size] = image
    return sheet


def image_grid(rows: dict[str, np.ndarray], title: str, inches: float = 1.0) -> Figure:
    """One labelled row of images for each entry; every value is uint8 (N, S, S, 3)."""
    most = max(len(images) for images in rows.values())
    figure, axes = plt.subplots(
        len(rows),
        1,
        figsize=(inches * most + 1, inches * len(rows) + 0.4),
        squeeze=False,
        layout="constrained",
    )
    for axis, (name, images) in zip(axes.flat, rows.items(), strict=True):
        padded = np.full((most, *images.shape[1:]), 255, np.uint8)
        padded[: len(images)] = images
        axis.imshow(tile(padded, most), interpolation="nearest")
        axis.set_ylabel(name, rotation=0, ha="right", va="center")
        _bare(axis)
    figure.suptitle(title)
    return figure


def image_blocks(
    blocks: dict[str, np.ndarray], rows: list[str], title: str, inches: float = 0.8
) -> Figure:
    """Blocks of images uint8 (R, C, S, S, 3) side by side under their names, in rows that they
    share."""
    wide = [block.shape[1] for block in blocks.values()]
    words = 0.3 + 0.09 * max(map(len, "\n".join(rows).split("\n")))  # inches that the names take
    figure, axes = plt.subplots(
        1,
        len(blocks),
        figsize=(inches * (sum(wide) + 0.2 * len(wide)) + words, inches * len(rows) + 0.8),
        width_ratios=wide,
        squeeze=False,
        layout="constrained",
    )
    for axis, (name, block) in zip(axes.flat, blocks.items(), strict=True):
        picture = tile(block.reshape(-1, *block.shape[2:]), block.shape[1])
        axis.imshow(picture, interpolation="nearest")
        axis.set_title(name, fontsize=9)
        _bare(axis)
    step = block.shape[2] + GAP
    middles = [step * i + block.shape[2] / 2 for i in range(len(rows))]
    axes[0, 0].set_yticks(middles, rows)
    axes[0, 0].tick_params(length=0)
    figure.suptitle(title)
    return figure


def labelled_row(images: np.ndarray, labels: list[str], title: str, inches: float = 1.4) -> Figure:
    """Images uint8 (N, S, S, 3) side by side, each under its label."""
    return labelled_sheet(images, labels, len(images), title, inches)


def labelled_sheet(
    images: np.ndarray, labels: list[str], columns: int, title: str, inches: float = 1.4
) -> Figure:
    """Images uint8 (N, S, S, 3) row by row, each under its label."""
    rows = -(-len(images) // columns)
    figure, axes = plt.subplots(
        rows,
        columns,
        figsize=(inches * columns, (inches + 0.2) * rows + 0.4),
        squeeze=False,
        layout="constrained",
    )
    for axis in axes.flat:
        _bare(axis)
    for axis, (image, label) in zip(axes.flat, zip(images, labels, strict=True), strict=False):
        axis.imshow(image, interpolation="nearest")
        axis.set_title(label, fontsize=9)
    figure.suptitle(title)
    return figure


def progress_strip(shown: list[int], sheets: list[np.ndarray], title: str, most: int = 6) -> Figure:
    """Sample sheets uint8 (H, W, 3) side by side, each under the number of images D had been
    shown."""
    chosen = np.unique(np.linspace(0, len(sheets) - 1, most).round().astype(int))
    figure, axes = plt.subplots(
        1, len(chosen), figsize=(2.6 * len(chosen), 3.1), squeeze=False, layout="constrained"
    )
    for axis, i in zip(axes.flat, chosen, strict=True):
        axis.imshow(sheets[i])
        axis.set_title(f"{shown[i]:,} images", fontsize=9)
        _bare(axis)
    figure.suptitle(title)
    return figure


def interpolation_strip(walks: np.ndarray, title: str) -> Figure:
    """Walks uint8 (W, steps, S, S, 3), one a row, from one noise on the left to another on the
    right."""
    figure, axis = plt.subplots(
        figsize=(walks.shape[1], walks.shape[0] + 0.5), layout="constrained"
    )
    axis.imshow(tile(walks.reshape(-1, *walks.shape[2:]), walks.shape[1]), interpolation="nearest")
    axis.set_xlabel("one noise  →  another")
    _bare(axis)
    figure.suptitle(title)
    return figure


def stamp(figure: Figure, text: str, color: str = "grey") -> Figure:
    """The figure with a small line at its lower right, below all its labels."""
    figure.draw_without_rendering()  # now its labels have their places
    figure.set_layout_engine("none")  # and keep them: a legend outside would move below again
    below = min(0.0, figure.get_tightbbox().y0 / figure.get_figheight())
    figure.text(1.0, below - 0.01, text, ha="right", va="top", fontsize=7, color=color)
    return figure


def _bare(axis: plt.Axes) -> None:
    axis.set(xticks=[], yticks=[])
    for side in axis.spines.values():
        side.set_visible(False)
