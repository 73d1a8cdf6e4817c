"""A canvas of smooth noise, honeycombs, spots and strokes, on which the phantoms are drawn.

Lengths are in units of half a photograph's height, whatever its number of pixels.
"""

import math

import numpy as np
from PIL import Image, ImageDraw

Map = np.ndarray  # float32 (rows, columns)


class Canvas:
    """A grid of units and the marks one can make on it; every mark draws from one random stream."""

    def __init__(self, rng: np.random.Generator, rows: int, columns: int, pixel: float):
        """`rows` x `columns` pixels, each `pixel` units wide, with the origin in the middle."""
        self.rng, self.shape, self.pixel = rng, (rows, columns), pixel
        self.y = ((np.arange(rows, dtype=np.float32) - (rows - 1) / 2) * pixel)[:, None]
        self.x = ((np.arange(columns, dtype=np.float32) - (columns - 1) / 2) * pixel)[None, :]

    def uniform(self, low: float, high: float) -> float:
        """One number between `low` and `high`."""
        return float(self.rng.uniform(low, high))

    def chance(self, probability: float) -> bool:
        """True with this probability."""
        return bool(self.rng.random() < probability)

    def noise(self, period: float) -> Map:
        """Smooth noise, mean 0 and deviation about 1, whose blobs are `period` units wide."""
        step = max(period / self.pixel / 2, 1.0)
        coarse = [int(np.ceil(side / step)) + 4 for side in self.shape]
        grid = 2 * self.rng.standard_normal(coarse, np.float32)
        return _spline(_spline(grid, self.shape[0], step).T, self.shape[1], step).T

    def clouds(self, period: float) -> Map:
        """Three octaves of noise, mean 0 and deviation about 1: cloudy pigment."""
        coarse, middle, fine = (self.noise(period / k) for k in (1, 2.1, 4.3))
        return 0.8 * coarse + 0.45 * middle + 0.3 * fine

    def patches(self, period: float, share: float, softness: float = 0.25) -> Map:
        """Cloud-edged patches in [0, 1] over about `share` of the canvas."""
        field = self.clouds(period)
        return sigmoid((field - float(np.quantile(field[::4, ::4], 1 - share))) / softness)

    def cells(self, period: float) -> tuple[Map, Map]:
        """Distances to the nearest centre and wall of an irregular honeycomb, in periods.

        Worley 1996, "A cellular texture basis function".
        """
        bend = 0.3 * self.noise(3 * period)
        u, v = self.x / period + bend, self.y / period - bend[::-1]
        u, v = u - math.floor(u.min()) + 1, v - math.floor(v.min()) + 1
        column, row = u.astype(np.intp), v.astype(np.intp)
        u, v = u - np.floor(u), v - np.floor(v)
        height, width = row.max() + 2, column.max() + 2
        across, down = self.rng.uniform(0.12, 0.88, (2, height * width)).astype(np.float32)
        near = np.full(self.shape, 9, np.float32)
        second = near.copy()
        for below, right in np.ndindex(3, 3):
            cell = (row + (below - 1)) * width + (column + (right - 1))
            square = (across.take(cell) + (right - 1.0) - u) ** 2
            square += (down.take(cell) + (below - 1.0) - v) ** 2
            np.minimum(second, np.maximum(near, square), out=second)
            np.minimum(near, square, out=near)
        near, second = np.sqrt(near), np.sqrt(second)
        return near, (second - near) / 2

    def strokes(self, curves: list[np.ndarray], widths: list[float]) -> Map:
        """Coverage in [0, 1] of lines along `curves`, (k, 2) x, y each; `widths` in units."""
        rows, columns = self.shape
        sheet = Image.new("L", (3 * columns, 3 * rows))
        pen = ImageDraw.Draw(sheet)
        for curve, width in zip(curves, widths, strict=True):
            points = 3 * (curve / self.pixel + (columns / 2, rows / 2))
            pen.line(points.ravel().tolist(), 255, max(1, round(3 * width / self.pixel)), "curve")
        return np.asarray(sheet.reduce(3), np.float32) / 255

    def scatter(
        self, where: Map, count: int, radius: tuple[float, float], edge: float = 0.2
    ) -> Map:
        """`count` roundish spots in [0, 1] where the boolean `where` is true.

        `radius` is a range in units; `edge`, the softness of their rims, a share of the radius.
        """
        total = np.zeros(self.shape, np.float32)
        wobble = 1 + 0.15 * self.noise(0.12)
        for x, y in self.points(where, count).tolist():
            distance = np.hypot(self.x - x, self.y - y) * wobble / self.uniform(*radius)
            np.maximum(total, sigmoid((1 - distance) / edge), out=total)
        return total

    def walk(self, start: np.ndarray, heading: float, length: float, bend: float) -> np.ndarray:
        """A curve (17, 2) from `start` towards `heading` that turns by `bend` radians a step."""
        turns = heading + np.cumsum(self.rng.normal(self.rng.normal(0, bend), bend, 16))
        steps = np.stack([np.cos(turns), np.sin(turns)], 1) * length / 16
        return np.vstack([start, start + np.cumsum(steps, 0)])

    def points(self, where: Map, count: int) -> np.ndarray:
        """`count` points (count, 2) x, y where the boolean `where` is true; none if nowhere."""
        rows, columns = np.nonzero(where)
        chosen = self.rng.integers(0, len(rows), count if len(rows) else 0)
        return np.stack([self.x[0, columns[chosen]], self.y[rows[chosen], 0]], 1)


def sigmoid(value: Map) -> Map:
    """The logistic function, safe from overflow."""
    return 0.5 + 0.5 * np.tanh(0.5 * value)


def _spline(grid: Map, length: int, step: float) -> Map:
    """`grid` with its rows made `length`, `step` times as fine, along cubic B-splines."""
    place = np.arange(length) / step
    whole = place.astype(np.intp)
    t = (place - whole).astype(np.float32)[:, None]
    weights = ((1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, 1 + 3 * t + 3 * t**2 - 3 * t**3, t**3)
    return sum(weight / 6 * grid[whole + k] for k, weight in enumerate(weights))
