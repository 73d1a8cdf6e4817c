"""Figures: arrays in, Axes or Figure out. numpy, matplotlib and seaborn only."""

from .curves import training_curves
from .images import image_grid, interpolation_strip, labelled_row, progress_strip, tile
from .tables import age_by_class, category_shares, class_bars, repeats_bars

__all__ = [
    "age_by_class",
    "category_shares",
    "class_bars",
    "image_grid",
    "interpolation_strip",
    "labelled_row",
    "progress_strip",
    "repeats_bars",
    "tile",
    "training_curves",
]
