"""Drawn colorectal tissue as haematoxylin and eosin show it: glands, their nuclei, the stroma.

Patterns after textbook histology and the pictures of EBHI-Seg (Shi et al. 2023). Lengths are in
units of 1/160 of a tile's side, whatever its number of pixels.
"""

import math
from collections.abc import Iterator
from dataclasses import astuple, dataclass

import numpy as np
from scipy import ndimage

from . import Palette
from .phantom_canvas import Canvas, Map, sigmoid

PALETTE: Palette = {
    "stroma": (255, 255, 255),
    "gland": (244, 164, 196),
    "lumen": (150, 205, 240),
    "epithelial nucleus": (98, 54, 148),
    "connective nucleus": (34, 139, 84),
    "inflammatory nucleus": (236, 146, 30),
}
STROMA, GLAND, LUMEN, EPITHELIAL, CONNECTIVE, INFLAMMATORY = range(len(PALETTE))
SIDE = 160.0  # units
MARGIN = 1.12  # a tile is cut out of a drawing this many times as wide
# Ruifrok and Johnston 2001: how strongly haematoxylin and eosin absorb red, green, blue
STAINS = np.array([[0.65, 0.70, 0.29], [0.07, 0.99, 0.11]])
# Concentrations of both stains in each class of the palette
TAKEN_UP = np.float32(
    [[0.10, 0.42], [0.34, 0.40], [0.03, 0.03], [1.05, 0.35], [0.95, 0.40], [1.45, 0.30]]
)


@dataclass(frozen=True)
class Look:
    """How a tissue is built: lengths in units, shares in [0, 1]."""

    spacing: float  # of the glands' centres, across
    elongation: float  # length of a gland over its width
    disorder: float  # of the places of glands, share of the spacing
    missing: float  # share of the places that hold no gland
    gap: float  # stroma between two glands at the least; they fuse where it is negative
    ragged: float  # how far outlines stray
    lumen: float  # share of a gland's depth
    goblets: float  # how much mucin its cells hold
    rows: float  # height of the band of nuclei
    length: float  # of its nuclei
    width: float
    packing: float  # distance of two nuclei
    unlike: float  # deviation of their sizes, share
    inflamed: float  # share of the stroma that is crowded with inflammatory cells


NORMAL = Look(52, 1.15, 0.10, 0.12, 6, 1.0, 0.30, 1.0, 2.5, 7.5, 3.8, 5.0, 0.08, 0.12)
ADENOMA = Look(46, 1.8, 0.14, 0.02, 3.5, 2.0, 0.22, 0.3, 7.5, 9.5, 4.0, 3.6, 0.12, 0.15)
CARCINOMA = Look(56, 1.5, 0.26, 0.10, -1, 6.0, 0.24, 0.0, 60.0, 9.5, 7.2, 7.6, 0.22, 0.32)


def look(grade: float) -> Look:
    """The tissue of a grade: 0 normal, 1 adenoma, 2 carcinoma, and what lies between them."""
    known = zip(*map(astuple, (NORMAL, ADENOMA, CARCINOMA)), strict=True)
    return Look(*(float(np.interp(grade, (0, 1, 2), values)) for values in known))


@dataclass(frozen=True)
class Staining:
    """What one patient's slide owes to the laboratory and the microscope."""

    vectors: np.ndarray  # (2, 3), absorption of red, green, blue by each stain
    light: np.ndarray  # (3,), colour of the empty slide in [0, 1]
    blur: float  # units


def draw_staining(rng: np.random.Generator) -> Staining:
    """Stains of other strength, and slightly other colour, than the next patient's."""
    tilted = np.clip(STAINS + rng.normal(0, 0.04, STAINS.shape), 0.05, None)
    strength = 1.5 * np.exp(rng.normal(0, [[0.15], [0.2]]))
    light = np.clip(rng.uniform(0.92, 1) + rng.normal(0, 0.02, 3), 0, 1)
    vectors = strength * tilted / np.linalg.norm(tilted, axis=1, keepdims=True)
    return Staining(np.float32(vectors), np.float32(light), rng.uniform(0.3, 0.6))


def draw_tile(
    tissue: Look, staining: Staining, rng: np.random.Generator, size: int
) -> tuple[np.ndarray, np.ndarray]:
    """A tile uint8 (size, size, 3) and the class of each of its pixels, uint8 (size, size)."""
    side = round(MARGIN * size)
    canvas = Canvas(rng, side, side, SIDE / size)
    glands = _glands(canvas, tissue)
    classes = glands.classes()
    stains = _ground(canvas, tissue, glands)
    chromatin = 0.85 + 0.16 * canvas.noise(2.2) + 0.12 * canvas.noise(8)
    for kind, spots in _nuclei(canvas, tissue, glands):
        inside = spots > 0
        classes[inside] = kind
        dark = chromatin[inside] + 0.3 * np.exp(-spots[inside] / 0.7)  # the rim is darkest
        stains[inside] = TAKEN_UP[kind] * np.clip(dark, 0.4, 1.6)[:, None]
    image = _developed(canvas, staining, stains)
    first = (side - size) // 2
    tile = slice(first, first + size)
    return image[tile, tile], classes[tile, tile]


@dataclass(frozen=True)
class Glands:
    """Where glands are: maps of one shape."""

    depth: Map  # distance to the nearest outline in units, negative in the stroma
    lumen: Map  # boolean
    heading: Map  # the way inwards, radians

    def classes(self) -> np.ndarray:
        """STROMA, GLAND or LUMEN in each pixel, uint8."""
        return np.where(self.lumen, LUMEN, np.where(self.depth > 0, GLAND, STROMA)).astype(np.uint8)


def _glands(canvas: Canvas, tissue: Look) -> Glands:
    """Ellipses, pressed flat where they meet, or fused; frayed and bent as the tissue demands."""
    nearest, second, owner = _ellipses(canvas, tissue)
    fray = 0.35 * tissue.ragged * canvas.noise(9)
    apart = nearest - second - tissue.gap - tissue.ragged * canvas.noise(30)
    depth = _signed_distance(np.minimum(nearest + fray, apart) > 0) * canvas.pixel
    peak = np.zeros(owner.max() + 1, np.float32)
    np.maximum.at(peak, owner.ravel(), depth.ravel())
    opened = tissue.lumen * canvas.rng.uniform(0.5, 1.3, len(peak)).astype(np.float32)
    lumen = depth - (peak * (1 - opened))[owner] + 0.7 * canvas.noise(7) > 0
    rise = np.gradient(ndimage.gaussian_filter(depth, 1.5 / canvas.pixel))
    return Glands(depth, lumen & (depth > 6), np.arctan2(*rise))


def _ellipses(canvas: Canvas, tissue: Look) -> tuple[Map, Map, Map]:
    """How deep each pixel is in the two nearest glands, as if each were alone, in units; and the
    number of the nearest."""
    stray = 1.6 * tissue.ragged  # a bend's reach, two deviations
    x, y = (axis + stray / 2 * canvas.noise(36) for axis in (canvas.x, canvas.y))
    nearest = np.full(canvas.shape, -99, np.float32)
    second, owner = nearest.copy(), np.zeros(canvas.shape, np.intp)
    heading = canvas.uniform(0, math.pi)
    far = 0.55 * tissue.spacing * tissue.elongation + stray + max(tissue.gap, 0) + 4
    for number, (across, down) in enumerate(_places(canvas, tissue, heading)):
        turn = heading + canvas.rng.normal(0, 0.2)
        cos, sin = math.cos(turn), math.sin(turn)
        near = _between(canvas.y[:, 0], down, far), _between(canvas.x[0], across, far)
        u, v = x[near] - across, y[near] - down
        away = ((u * cos + v * sin) / tissue.elongation) ** 2 + (v * cos - u * sin) ** 2
        inner = tissue.spacing / 2 * canvas.uniform(0.88, 1.1) - np.sqrt(away)
        second[near] = np.maximum(second[near], np.minimum(nearest[near], inner))
        owner[near][inner > nearest[near]] = number
        nearest[near] = np.maximum(nearest[near], inner)
    return nearest, second, owner


def _places(canvas: Canvas, tissue: Look, heading: float) -> np.ndarray:
    """Centres of glands (n, 2) x, y: a disturbed honeycomb that is stretched along `heading`."""
    half = math.ceil(SIDE * MARGIN * 0.75 / tissue.spacing) + 1
    row, column = np.mgrid[-half : half + 1, -half : half + 1].reshape(2, -1)
    grid = np.stack([column + row % 2 / 2, row * 0.87], 1) + canvas.rng.uniform(-0.5, 0.5, 2)
    grid += canvas.rng.normal(0, tissue.disorder, grid.shape)
    grid = grid[canvas.rng.random(len(grid)) >= tissue.missing] * tissue.spacing
    cos, sin = math.cos(heading), math.sin(heading)
    places = grid @ np.array([[tissue.elongation * cos, tissue.elongation * sin], [-sin, cos]])
    edge = canvas.x.max() + 0.55 * tissue.spacing * tissue.elongation
    return places[(np.abs(places) < edge).all(1)]


def _between(axis: np.ndarray, middle: float, far: float) -> slice:
    """The pixels of an ascending `axis` that are at most `far` from `middle`."""
    return slice(*np.searchsorted(axis, (middle - far, middle + far)))


def _signed_distance(inside: Map) -> Map:
    """Pixels to the border of a boolean map: positive inside, negative outside."""
    inner, outer = (ndimage.distance_transform_edt(m) for m in (inside, ~inside))
    return np.float32(inner - outer)


def _ground(canvas: Canvas, tissue: Look, glands: Glands) -> np.ndarray:
    """Concentrations of both stains (rows, columns, 2) before any nucleus is drawn."""
    classes = glands.classes()
    stains = TAKEN_UP[classes]
    waves = np.sin(-glands.depth * 1.3 + 3.5 * canvas.noise(14)) * sigmoid(2 * canvas.noise(12))
    fibres = 1 + 0.35 * waves + 0.2 * canvas.noise(8)
    grain = 1 + 0.14 * canvas.noise(3) + 0.1 * canvas.noise(24)
    stains *= np.where(classes == STROMA, np.clip(fibres, 0.15, 2), grain)[..., None]
    mucin = tissue.goblets * _goblets(canvas, tissue, glands)
    stains[..., 0] *= 1 - 0.35 * mucin
    stains[..., 1] *= 1 - 0.75 * mucin
    mucus = 0.1 * sigmoid(4 * canvas.noise(16)) * glands.lumen
    return stains + mucus[..., None] * np.float32([1, 0.5])


def _goblets(canvas: Canvas, tissue: Look, glands: Glands) -> Map:
    """Drops of mucin in [0, 1], in a wreath between the nuclei and the lumen."""
    cells = (glands.depth > 0) & ~glands.lumen
    drops = _spots(canvas, glands, cells & (glands.depth > tissue.rows + 5), 6.5, (10, 6.2), 0.15)
    return sigmoid(drops / 0.4) * cells


def _nuclei(canvas: Canvas, tissue: Look, glands: Glands) -> Iterator[tuple[int, Map]]:
    """Each kind of nucleus, and how deep each pixel is inside one: units, negative outside."""
    stroma = glands.depth < -1.5
    crowd = canvas.patches(30, tissue.inflamed) > 0.5
    yield CONNECTIVE, _spots(canvas, glands, stroma, 12, (9, 2.8), 0.15, math.pi / 2)
    yield INFLAMMATORY, _spots(canvas, glands, stroma & crowd, 6.5, (5.8, 5.4), 0.08)
    basal = glands.depth - tissue.length / 2 + 0.5
    band = (basal > 0) & (basal < tissue.rows) & ~glands.lumen
    size = tissue.length, tissue.width
    yield EPITHELIAL, _spots(canvas, glands, band, tissue.packing, size, tissue.unlike)


def _spots(
    canvas: Canvas,
    glands: Glands,
    where: Map,
    spacing: float,
    size: tuple[float, float],
    unlike: float,
    turned: float = 0.0,
) -> Map:
    """How deep each pixel is inside the nearest of many ellipses, in units; negative outside.

    They are `spacing` apart where the boolean `where` is true, of about `size` (length, width), and
    point from the outlines inwards, or `turned` from that.
    """
    rng, reach = canvas.rng, math.ceil(0.75 * size[0] / canvas.pixel) + 1
    rows, columns = _sites(canvas, where, spacing, reach)
    count = len(rows)
    turn = glands.heading[rows, columns] + turned + rng.normal(0, 0.22, count)
    cos, sin = (f(turn).astype(np.float32)[:, None, None] for f in (np.cos, np.sin))
    long, wide = np.outer(size, np.exp(rng.normal(0, unlike, count))).astype(np.float32) / 2
    window = np.arange(-reach, reach + 1)
    y, x = (rng.uniform(-0.5, 0.5, (2, count, 1)) + window).astype(np.float32) * canvas.pixel
    along = x[:, None, :] * cos + y[:, :, None] * sin
    across = y[:, :, None] * cos - x[:, None, :] * sin
    wide = wide[:, None, None]
    inner = (1 - np.sqrt((along / long[:, None, None]) ** 2 + (across / wide) ** 2)) * wide
    index = (rows[:, None] + window)[:, :, None] * canvas.shape[1] + (columns[:, None] + window)[
        :, None
    ]
    spots = np.full(canvas.shape[0] * canvas.shape[1], -9, np.float32)
    np.maximum.at(spots, index.ravel(), inner.ravel())
    return spots.reshape(canvas.shape) + 2 * unlike * canvas.noise(5)


def _sites(
    canvas: Canvas, where: Map, spacing: float, border: int
) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns of points about `spacing` units apart where the boolean `where` is true."""
    window = 2 * max(1, round(spacing / canvas.pixel)) - 1
    free, found = np.zeros((2, *canvas.shape), bool)
    inner = slice(border, -border)
    free[inner, inner] = where[inner, inner]
    for _ in range(2):  # the first round leaves gaps
        rank = canvas.rng.random(canvas.shape, np.float32) * free
        found |= free & (rank == ndimage.maximum_filter(rank, window))
        free &= ~ndimage.maximum_filter(found, window)
    return np.nonzero(found)


def _developed(canvas: Canvas, staining: Staining, stains: np.ndarray) -> np.ndarray:
    """The light that passes both stains (Beer-Lambert), a little blurred and noisy, as uint8."""
    blur = staining.blur / canvas.pixel
    colour = staining.light * np.exp(-stains @ staining.vectors)
    colour = ndimage.gaussian_filter(colour, (blur, blur, 0))
    colour *= 1 + 0.03 * canvas.noise(120)[..., None]
    colour += 0.008 * canvas.rng.standard_normal(colour.shape, np.float32)
    return np.uint8(255 * np.clip(colour, 0, 1) + 0.5)
