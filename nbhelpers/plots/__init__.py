"""Figures: arrays in, Axes or Figure out. numpy, matplotlib and seaborn only."""

from .curves import training_curves
from .images import (
    GAP,
    image_blocks,
    image_grid,
    interpolation_strip,
    labelled_row,
    labelled_sheet,
    progress_strip,
    stamp,
    tile,
)
from .tables import age_by_class, category_shares, class_bars, repeats_bars, slant

__all__ = [
    "GAP",
    "age_by_class",
    "category_shares",
    "class_bars",
    "image_blocks",
    "image_grid",
    "interpolation_strip",
    "labelled_row",
    "labelled_sheet",
    "progress_strip",
    "repeats_bars",
    "slant",
    "stamp",
    "tile",
    "training_curves",
]
