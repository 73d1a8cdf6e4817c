"""Masks edited as a person would, a gland moved or a disc painted, by hand or with sliders.

A mask is one class map uint8 (S, S), class 0 the background. A thing is a connected part of it,
such as one gland with its lumen and nuclei, given as a region bool (S, S). Edits return a new mask.
"""

import io
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image
from scipy import ndimage

from .datasets import Palette
from .errors import UsageError
from .progress import headless

if TYPE_CHECKING:
    from types import ModuleType

    from ipywidgets import Widget

Draw = Callable[[np.ndarray, int], np.ndarray]  # mask (S, S), seed -> image uint8 (S, S, 3)

TOUCHING = np.ones((3, 3), bool)  # corners touch, too
SMALLEST = 8  # pixels; smaller ones are crumbs
MOST = 0.5  # share of the picture that a thing of `gallery` may fill
SHOWN = 320  # pixels a side of a picture between sliders, about


def things(mask: np.ndarray, classes: Iterable[int], smallest: int = SMALLEST) -> np.ndarray:
    """The number of each pixel's thing, int (S, S): 1 is the largest, 0 belongs to none. Things are
    the connected parts of `classes` together with at least `smallest` pixels."""
    parts, count = ndimage.label(np.isin(mask, list(classes)), TOUCHING)
    pixels = np.bincount(parts.ravel(), minlength=count + 1)
    pixels[0] = 0
    order = np.argsort(-pixels, kind="stable")
    order = order[pixels[order] >= max(smallest, 1)]
    number = np.zeros(count + 1, int)
    number[order] = np.arange(1, len(order) + 1)
    return number[parts]


def thing(numbers: np.ndarray, number: int) -> np.ndarray:
    """The region bool (S, S) of one of `things`. UsageError for a number that is not there."""
    if not 1 <= number <= numbers.max():
        raise UsageError(
            f"thing {number} is not among the {numbers.max()} of this mask, counted from 1: choose "
            "one of them, another mask, or things() with a lower `smallest`."
        )
    return numbers == number


def deleted(mask: np.ndarray, region: np.ndarray, background: int = 0) -> np.ndarray:
    """The mask without that thing."""
    return np.where(region, np.uint8(background), mask)


def copied(mask: np.ndarray, region: np.ndarray, dy: int, dx: int) -> np.ndarray:
    """The mask with that thing a second time, `dy` pixels further down and `dx` to the right; what
    leaves the frame is cut."""
    return _stamped(mask.copy(), mask, region, dy, dx)


def moved(mask: np.ndarray, region: np.ndarray, dy: int, dx: int) -> np.ndarray:
    """The mask with that thing `dy` pixels further down and `dx` to the right, over what is there;
    background where it was. What leaves the frame is cut."""
    return _stamped(deleted(mask, region), mask, region, dy, dx)


def _stamped(
    onto: np.ndarray, mask: np.ndarray, region: np.ndarray, dy: int, dx: int
) -> np.ndarray:
    rows, columns = np.nonzero(region)
    y, x = rows + dy, columns + dx
    inside = (y >= 0) & (y < len(mask)) & (x >= 0) & (x < mask.shape[1])
    onto[y[inside], x[inside]] = mask[rows[inside], columns[inside]]
    return onto


def shifted(region: np.ndarray, dy: int, dx: int) -> np.ndarray:
    """The region `dy` pixels further down and `dx` to the right, cut at the frame."""
    return _stamped(np.zeros_like(region), region, region, dy, dx)


def grown(mask: np.ndarray, region: np.ndarray, pixels: float) -> np.ndarray:
    """The mask with that thing wider by `pixels` all round, or narrower where it is negative.

    What is added takes the class most common at its rim, and only background, a pixel away from
    others of its kind: it neither eats nor joins them. What is taken away becomes background. A
    thing cut off by the frame stays cut there.
    """
    if not region.any():
        return mask.copy()
    if pixels < 0:
        return deleted(mask, region & _within(~region, -pixels))
    kin = np.isin(mask, mask[region]) & (mask > 0) & ~region
    free = (mask == 0) & ~ndimage.binary_dilation(kin, TOUCHING)
    outer = np.bincount(mask[rim(region)]).argmax()
    return np.where(~region & free & _within(region, pixels), outer.astype(np.uint8), mask)


def _within(region: np.ndarray, pixels: float) -> np.ndarray:
    """The pixels at most so far from a region; none when it is empty."""
    if not region.any():  # scipy measures to somewhere outside of the frame then
        return region
    return ndimage.distance_transform_edt(~region) <= pixels


def rim(region: np.ndarray) -> np.ndarray:
    """The outermost pixels of a region, or all of one that fills the frame."""
    edge = region & ~ndimage.binary_erosion(region, border_value=1)
    return edge if edge.any() else region


def painted(mask: np.ndarray, y: int, x: int, radius: float, value: int) -> np.ndarray:
    """The mask with a disc of class `value` on it, pixels no further than `radius` from (y, x)."""
    return np.where(disc(mask.shape, y, x, radius), np.uint8(value), mask)


def disc(shape: tuple[int, int], y: int, x: int, radius: float) -> np.ndarray:
    """The region bool of that shape no further than `radius` pixels from (y, x)."""
    rows, columns = np.ogrid[: shape[0], : shape[1]]
    return (rows - y) ** 2 + (columns - x) ** 2 <= radius**2


def gallery(mask: np.ndarray, classes: Iterable[int]) -> dict[str, np.ndarray]:
    """The mask "as it is", and with one thing "moved", "grown", "shrunk" and "deleted": the largest
    that fills at most half of the picture. UsageError when there is none."""
    numbers, side = things(mask, classes), len(mask)
    fit = _editable(numbers)
    if not len(fit):
        raise UsageError(
            f"none of the {numbers.max()} things of this mask fills {SMALLEST} pixels to half of "
            "the picture: choose another mask."
        )
    region = thing(numbers, fit[0])
    return {
        "as it is": mask.copy(),
        "moved": moved(mask, region, *_freest(mask, region, side // 4)),
        "grown": grown(mask, region, side / 16),
        "shrunk": grown(mask, region, -side / 32),
        "deleted": deleted(mask, region),
    }


def is_editable(mask: np.ndarray, classes: Iterable[int]) -> bool:
    """Whether `gallery` finds a thing to edit."""
    return len(_editable(things(mask, classes))) > 0


def _editable(numbers: np.ndarray) -> np.ndarray:
    pixels = np.bincount(numbers.ravel())
    return np.flatnonzero(pixels[1:] <= MOST * numbers.size) + 1


def _freest(mask: np.ndarray, region: np.ndarray, step: int) -> tuple[int, int]:
    """The way (dy, dx), straight or diagonal, that takes most of a thing to background."""
    ways = [(dy, dx) for dy in (-step, 0, step) for dx in (-step, 0, step) if dy or dx]
    free = deleted(mask, region) == 0
    return max(ways, key=lambda way: (free & shifted(region, *way)).sum())


def coloured(masks: np.ndarray, palette: Palette) -> np.ndarray:
    """Masks uint8 (..., S, S) in the colours of their classes: uint8 (..., S, S, 3)."""
    if masks.max() >= len(palette):
        raise UsageError(
            f"a mask holds class {masks.max()} and the palette names {len(palette)}: pass the "
            "palette of the mask's data set."
        )
    return np.array(list(palette.values()), np.uint8)[masks]


def explorer(
    draw: Draw, masks: np.ndarray, palette: Palette, classes: Iterable[int]
) -> "Widget | None":
    """Sliders that edit one of `masks` uint8 (N, S, S), a mask and what `draw` makes of it beside
    them; None where nobody could move a slider. `classes` are those that a thing is made of."""
    found = widgets()
    return found and _Explorer(found, draw, masks, palette, classes).box


def widgets() -> "ModuleType | None":
    """ipywidgets; None where it is not installed, or nobody could move a slider."""
    try:
        import ipywidgets
    except ImportError:
        return None
    return None if headless() else ipywidgets


class _Explorer:
    """The state behind `explorer`: what the sliders say, and the discs painted so far.

    Discs lie on top of the edited thing, where they were seen when they were painted; another mask
    starts without.
    """

    def __init__(self, widgets, draw: Draw, masks: np.ndarray, palette: Palette, classes):
        self.draw, self.masks, self.palette, self.classes = draw, masks, palette, list(classes)
        self.discs: list[tuple[int, int, int, int]] = []
        side = masks.shape[1]
        reach, middle = side // 2, side // 2

        def slider(name: str, value: int, low: int, high: int):
            return widgets.IntSlider(value, low, high, description=name, continuous_update=False)

        self.mask = slider("mask", 0, 0, len(masks) - 1)
        self.thing = slider("thing", 0, 0, 0)
        self.dy, self.dx = slider("down", 0, -reach, reach), slider("right", 0, -reach, reach)
        self.grow = slider("grow", 0, -side // 8, side // 8)
        self.delete = widgets.Checkbox(False, description="delete")
        self.seed = slider("dropout", 0, 0, 99)
        self.x, self.y = slider("x", middle, 0, side - 1), slider("y", middle, 0, side - 1)
        self.radius = slider("radius", side // 16, 1, side // 4)
        options = [(name, value) for value, name in enumerate(palette)]
        self.value = widgets.Dropdown(options=options, value=1, description="class")
        self.paint = widgets.Button(description="paint a disc")
        self.undo = widgets.Button(description="undo")
        self.pictures = [widgets.Image(format="png", width=SHOWN, height=SHOWN) for _ in range(2)]
        edits = [self.mask, self.thing, self.dy, self.dx, self.grow, self.delete, self.seed]
        brush = [self.x, self.y, self.radius, self.value]
        self._listen(edits, brush)
        buttons = widgets.HBox([self.paint, self.undo])
        columns = [widgets.VBox(edits), widgets.VBox([*brush, buttons])]
        self.box = widgets.VBox([widgets.HBox(self.pictures), widgets.HBox(columns)])
        self._other_mask()

    def _listen(self, edits: list, brush: list) -> None:
        self.mask.observe(self._other_mask, "value")
        for control in edits[1:]:
            control.observe(self._redraw, "value")
        for control in brush:
            control.observe(self._show_mask, "value")
        self.paint.on_click(self._paint)
        self.undo.on_click(self._undo)

    def _other_mask(self, change=None) -> None:
        self.numbers = things(self.masks[self.mask.value], self.classes)
        self.discs.clear()
        self.thing.max = int(self.numbers.max())
        self._redraw()

    def _paint(self, button) -> None:
        self.discs.append((self.y.value, self.x.value, self.radius.value, self.value.value))
        self._redraw()

    def _undo(self, button) -> None:
        del self.discs[-1:]
        self._redraw()

    def edited(self) -> tuple[np.ndarray, np.ndarray]:
        """The mask (S, S) as the sliders and the brush have it, and the chosen thing in it."""
        mask = self.masks[self.mask.value]
        region = self.numbers == (self.thing.value or -1)
        if region.any():
            mask, region = self._edited_thing(mask, region)
        for y, x, radius, value in self.discs:
            mask = painted(mask, y, x, radius, value)
        return mask, region

    def _edited_thing(self, mask: np.ndarray, region: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        if self.delete.value:
            return deleted(mask, region), region
        way = self.dy.value, self.dx.value
        mask, region = moved(mask, region, *way), shifted(region, *way)
        return grown(mask, region, self.grow.value), region

    def _redraw(self, change=None) -> None:
        self._show_mask()
        self.pictures[1].value = png(self.draw(self.edited()[0], self.seed.value))

    def _show_mask(self, change=None) -> None:
        """The mask with the outlines of the chosen thing and of the brush, in opposite colours."""
        mask, region = self.edited()
        picture = coloured(mask, self.palette)
        brush = disc(mask.shape, self.y.value, self.x.value, self.radius.value)
        for outlined in (region, brush):
            if outlined.any():
                picture[rim(outlined)] ^= 255
        self.pictures[0].value = png(picture)


def png(image: np.ndarray) -> bytes:
    """An image uint8 (S, S, 3) as a PNG file of about 320 pixels a side, each pixel a square."""
    times = max(1, SHOWN // len(image))
    buffer = io.BytesIO()
    Image.fromarray(image.repeat(times, 0).repeat(times, 1)).save(buffer, "PNG")
    return buffer.getvalue()
