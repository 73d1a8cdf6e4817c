"""What a generator can be asked for: each class with the same noise, and sliders over noise, class
and the directions that show most."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from .gans import GAN
from .latent import Directions, placed
from .mask_edits import SHOWN, png, widgets
from .sampling import CARD, asked, decode, fixed_noise, generate, load

if TYPE_CHECKING:
    from ipywidgets import Widget

Nearest = Callable[[np.ndarray], np.ndarray]  # image (S, S, 3) -> the one most like it

REACH = 4.0  # standard deviations: one coordinate in 16,000 is further out


def by_class(
    folder: Path, gan: GAN, classes: Sequence[str], count: int, seed: int
) -> dict[str, np.ndarray]:
    """`count` images uint8 (count, S, S, 3) of each class that the GAN in `folder` can draw.

    A GAN that is told the class gets the same noises, or masks, for every class: nothing else
    differs between two images of one number. Of another its descendants in `by_class/<class>` are
    asked, where they have been trained; without any there are no images.
    """
    if gan.conditional:
        given = asked(gan, count, seed)
        labels = {name: torch.full((count,), i) for i, name in enumerate(classes)}
        return {name: decode(gan, given, label, seed) for name, label in labels.items()}
    device = next(gan.parameters()).device
    tails = {name: folder / "by_class" / name for name in classes}
    trained = {name: tail for name, tail in tails.items() if (tail / CARD).exists()}
    return {name: generate(load(tail, device), count, seed) for name, tail in trained.items()}


def explorer(
    gan: GAN, found: Directions, classes: Sequence[str] = (), nearest: Nearest | None = None
) -> "Widget | None":
    """Sliders for noise, class and the coordinate along each direction, the image of G_average
    above them, and beside it what `nearest` finds for it; None where nobody could move a slider.

    Coordinates are in standard deviations of noise and start, to a tenth, as the noise has them.
    """
    module = widgets()
    return module and _Explorer(module, gan, found, classes, nearest).box


class _Explorer:
    """The state behind `explorer`: the noise that was drawn, and where the sliders have put it."""

    def __init__(self, widgets, gan: GAN, found: Directions, classes, nearest: Nearest | None):
        self.gan, self.vectors, self.nearest = gan, found.vectors, nearest
        told = [(name, i) for i, name in enumerate(classes)] if gan.conditional else []
        self.noise = widgets.IntSlider(0, 0, 999, description="noise")
        self.label = widgets.Dropdown(options=told or [("not told", 0)], description="class")
        self.coordinates = [
            widgets.FloatSlider(
                0.0, min=-REACH, max=REACH, description=f"{i} ({share:.0%})", readout_format=".1f"
            )
            for i, share in enumerate(found.share.tolist(), 1)
        ]
        self.back = widgets.Button(description="as it was drawn")
        names = ["generated", "nearest training photograph"][: 1 if nearest is None else 2]
        self.pictures = [widgets.Image(format="png", width=SHOWN, height=SHOWN) for _ in names]
        self._listen()
        named = zip(self.pictures, map(widgets.Label, names), strict=True)
        shown = widgets.HBox([widgets.VBox(pair) for pair in named])
        controls = [self.noise, self.label, *self.coordinates, self.back]
        self.box = widgets.VBox([shown, widgets.VBox(controls)])
        self._other_noise()

    def _listen(self) -> None:
        self.noise.observe(self._other_noise, "value")
        self.back.on_click(self._other_noise)
        for control in (self.label, *self.coordinates):
            control.observe(self._redraw, "value")

    def _other_noise(self, change=None) -> None:
        """Draws the noise of that number and puts the sliders to where it lies."""
        self.still = True  # one picture, not one a slider
        self.z = fixed_noise(self.gan.z_dim, 1, self.noise.value)[0]
        for slider, value in zip(self.coordinates, (self.vectors @ self.z).tolist(), strict=True):
            slider.value = round(value, 1)  # a browser would do so, too, and draw again
        self.still = False
        self._redraw()

    def _redraw(self, change=None) -> None:
        if self.still:
            return
        there = torch.tensor([slider.value for slider in self.coordinates])
        z = placed(self.z, self.vectors, there)[None]
        image = decode(self.gan, z, torch.tensor([self.label.value]))[0]
        self.pictures[0].value = png(image)
        if self.nearest is not None:
            self.pictures[1].value = png(self.nearest(image))
