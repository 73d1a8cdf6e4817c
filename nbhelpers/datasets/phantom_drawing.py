"""Drawn skin lesions: pigment, blood, veil and white as each diagnosis lays them out.

Patterns after Kittler et al. 2016, "Standardization of terminology in dermoscopy", and the
photographs of HAM10000 (Tschandl et al. 2018). Lengths are in units of half a photograph's height.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from .phantom_canvas import Canvas, Map, sigmoid

REACH = 1.5  # a lesion's canvas goes from -REACH to REACH both ways


@dataclass
class Pigment:
    """What a lesion adds to skin: densities of melanin and blood, opacities of veil and white."""

    melanin: Map
    blood: Map
    veil: Map | float = 0.0
    white: Map | float = 0.0

    def stack(self, shape: tuple[int, int]) -> np.ndarray:
        """The four maps as one float32 array (4, rows, columns)."""
        maps = (self.melanin, self.blood, self.veil, self.white)
        return np.stack([np.broadcast_to(np.float32(m), shape) for m in maps])


def outline(canvas: Canvas, radius: float, wildness: float) -> Map:
    """Depth inside a border: 1 at the heart, 0 on the border, negative outside; one map.

    `wildness` 0 is an ellipse of `radius` units; at 1 lobes have grown out of it and it is frayed.
    """
    bend = canvas.noise(0.9) * 0.12 * wildness
    x, y = canvas.x + bend, canvas.y + bend[::-1, ::-1]
    total = np.zeros(canvas.shape, np.float32)
    for lobe in range(1 + canvas.rng.poisson(1.3 * wildness)):
        turn, stretch = canvas.uniform(0, math.pi), canvas.uniform(1.0, 1.2 + 0.2 * wildness)
        size = radius * (canvas.uniform(0.4, 0.8) if lobe else 1.0)
        u, v = (axis + (canvas.rng.normal(0, 0.5) * radius if lobe else 0.0) for axis in (x, y))
        along = (u * math.cos(turn) + v * math.sin(turn)) / stretch
        across = (v * math.cos(turn) - u * math.sin(turn)) * stretch
        total += np.exp(6 * np.maximum(1 - np.hypot(along, across) / size, -5))
    return np.log(total) / 6 + (0.03 + 0.09 * wildness) * canvas.clouds(0.35)


def nevus(canvas: Canvas, depth: Map, inside: Map) -> Pigment:
    """One or two browns, evenly laid: a regular network, globules or neither; a darker heart."""
    texture, pattern = 1.0, canvas.uniform(0, 1)
    if pattern < 0.4:
        _, wall = canvas.cells(canvas.uniform(0.06, 0.1))
        texture = 1 + canvas.uniform(0.2, 0.7) * (np.exp(-wall / 0.09) - 0.35)
    elif pattern < 0.65:
        near, _ = canvas.cells(canvas.uniform(0.08, 0.13))
        texture = 1 + canvas.uniform(0.2, 0.5) * (sigmoid((0.36 - near) / 0.06) - 0.4)
    heart = canvas.uniform(-0.3, 0.9) * np.clip(depth, 0, 1)
    even = 0.75 + heart + canvas.uniform(0.06, 0.28) * canvas.clouds(0.4)
    darkness = canvas.uniform(0.6, 1.45) ** 2
    melanin = darkness * inside * np.clip(even, 0.1, 3) * texture
    return Pigment(melanin, inside * canvas.uniform(0, 0.35))


def melanoma(canvas: Canvas, depth: Map, inside: Map) -> Pigment:
    """Colours out of balance: black blotches, coarse network, blue-grey veil, regression, pink."""
    tilt = canvas.noise(1.6)
    _, wall = canvas.cells(canvas.uniform(0.09, 0.15))
    broken = np.exp(-wall / 0.1) * canvas.patches(0.6, 0.5)
    blotch = canvas.patches(0.7, canvas.uniform(0.2, 0.5)) * sigmoid(3 * tilt)
    base = np.clip(canvas.uniform(0.2, 1) * (1 + 0.4 * tilt) + 0.3 * canvas.clouds(0.4), 0.15, 3)
    regression = canvas.patches(0.6, canvas.uniform(0.05, 0.3)) * sigmoid(-3 * tilt)
    dots = canvas.scatter(np.abs(depth) < 0.25, 14, (0.02, 0.045)) * canvas.uniform(0, 1.2)
    veil = canvas.patches(0.7, canvas.uniform(0.15, 0.5), 0.5) * sigmoid(6 * depth - 1)
    melanin = (base + canvas.uniform(0.8, 2.6) * blotch + 0.6 * broken) * (1 - 0.75 * regression)
    return Pigment(
        melanin=inside * melanin + dots,
        blood=inside * (0.2 + canvas.uniform(0, 0.9) * canvas.patches(0.6, 0.3)),
        veil=inside * canvas.uniform(0.1, 0.8) * veil,
        white=inside * canvas.uniform(0.2, 0.6) * regression,
    )


def keratosis(canvas: Canvas, depth: Map, inside: Map) -> Pigment:
    """Waxy, sharply cut brown with pale keratin cysts, dark plugged openings and furrows."""
    _, wall = canvas.cells(canvas.uniform(0.14, 0.26))
    furrows = np.exp(-wall / 0.07) * canvas.uniform(0, 0.8)
    waxy = np.clip(1 + 0.3 * canvas.clouds(0.25) + furrows, 0.2, 3)
    eaten = canvas.patches(0.35, canvas.uniform(0, 0.3)) * canvas.uniform(0, 0.7)
    plugs = canvas.scatter(depth > 0.12, canvas.rng.integers(0, 14), (0.02, 0.06))
    cysts = canvas.scatter(depth > 0.12, canvas.rng.integers(2, 18), (0.018, 0.045))
    shine = canvas.uniform(0, 0.25) * canvas.patches(0.4, 0.5, 0.6)
    grey = max(0.0, canvas.uniform(-0.3, 0.7)) * canvas.patches(0.6, 0.6, 0.5)
    melanin = canvas.uniform(0.5, 1.2) ** 2 * waxy * (1 - eaten)
    return Pigment(
        melanin=inside * melanin + canvas.uniform(0.4, 1.5) * plugs,
        blood=inside * canvas.uniform(0, 0.2),
        veil=inside * grey,
        white=np.maximum(inside * shine, canvas.uniform(0.2, 0.75) * cysts),
    )


def basal_cell(canvas: Canvas, depth: Map, inside: Map) -> Pigment:
    """Shiny pink with branching vessels, blue-grey nests and now and then a crusted ulcer."""
    vessels = _branches(canvas, depth) * canvas.uniform(0.3, 1.0)
    nests = canvas.scatter(depth > 0.1, canvas.rng.integers(1, 9), (0.03, 0.14), 0.35)
    ulcer = canvas.patches(0.3, 0.12) * sigmoid(8 * depth - 2) * max(0.0, canvas.uniform(-1.2, 1.2))
    pink = canvas.uniform(0.15, 0.55) + 0.15 * canvas.clouds(0.4)
    brown = canvas.uniform(0, 0.3) * canvas.patches(0.5, 0.6, 0.5)
    shine = canvas.uniform(0.05, 0.4) * canvas.patches(0.45, 0.4, 0.5)
    return Pigment(
        melanin=inside * brown + 0.5 * nests + 0.6 * ulcer,
        blood=inside * pink + vessels + 0.9 * ulcer,
        veil=canvas.uniform(0.35, 0.8) * nests,
        white=inside * shine * (1 - nests),
    )


def _branches(canvas: Canvas, depth: Map) -> Map:
    """Vessels that enter over the border and branch: coverage in [0, 1]."""
    curves, widths = [], []
    for start in canvas.points(np.abs(depth - 0.05) < 0.12, canvas.rng.integers(2, 7)):
        inward = math.atan2(-start[1], -start[0]) + canvas.rng.normal(0, 0.5)
        trunk = canvas.walk(start, inward, canvas.uniform(0.25, 0.8), 0.08)
        curves.append(trunk)
        for fork in trunk[4::3]:
            heading = inward + canvas.rng.normal(0, 0.9)
            curves.append(canvas.walk(fork, heading, canvas.uniform(0.1, 0.3), 0.1))
        widths += [canvas.uniform(0.012, 0.026), *[0.008] * (len(curves) - len(widths) - 1)]
    return canvas.strokes(curves, widths) * sigmoid(8 * depth + 2)


def actinic(canvas: Canvas, depth: Map, inside: Map) -> Pigment:
    """Ill-defined red-pink: pale follicles in a red net (strawberry), scale, broken light brown."""
    near, wall = canvas.cells(canvas.uniform(0.11, 0.18))
    follicles = sigmoid((0.28 - near) / 0.07) * canvas.patches(0.6, 0.6) * canvas.uniform(0, 0.8)
    net = np.exp(-wall / 0.15)
    red = np.clip(0.8 + 0.45 * canvas.clouds(0.5) + 0.3 * net - 0.7 * follicles, 0, 3)
    brown = np.clip(0.9 + 0.4 * canvas.clouds(0.2) + 0.2 * net - 0.5 * follicles, 0, 3)
    brown *= canvas.patches(0.5, canvas.uniform(0.1, 0.7), 0.35)
    flakes = canvas.patches(0.18, 0.3, 0.12) * canvas.patches(0.6, canvas.uniform(0.15, 0.6))
    return Pigment(
        melanin=inside * canvas.uniform(0, 0.7) * brown,
        blood=inside * canvas.uniform(0.25, 0.7) * red,
        white=inside * np.maximum(canvas.uniform(0.2, 0.8) * flakes, 0.35 * follicles),
    )


def fibroma(canvas: Canvas, depth: Map, inside: Map) -> Pigment:
    """A white scar-like heart in a faint, blurred ring of fine brown network."""
    _, wall = canvas.cells(canvas.uniform(0.06, 0.09))
    edge = canvas.uniform(0.3, 0.6)
    heart = sigmoid((depth + 0.12 * canvas.clouds(0.5) - edge) / canvas.uniform(0.06, 0.15))
    fibres = np.clip(0.75 + 0.25 * canvas.clouds(0.12), 0, 1)
    ring = inside * (1 - 0.8 * heart) * np.clip(0.7 + 0.4 * canvas.clouds(0.5), 0.1, 2)
    pink = canvas.uniform(0.1, 0.6) * (1 - 0.4 * heart) * (0.9 + 0.2 * canvas.clouds(0.4))
    return Pigment(
        melanin=canvas.uniform(0.15, 0.7) * ring * (0.75 + 0.6 * np.exp(-wall / 0.1)),
        blood=inside * pink,
        white=canvas.uniform(0.3, 0.8) * heart * fibres,
    )


def vascular(canvas: Canvas, depth: Map, inside: Map) -> Pigment:
    """Red to purple lacunae, packed, some of them clotted dark."""
    _, wall = canvas.cells(canvas.uniform(0.13, 0.3))
    lacunae = sigmoid((wall - 0.08) / 0.05)
    full = 0.5 + canvas.uniform(0.1, 0.7) * lacunae + 0.15 * canvas.clouds(0.4)
    clots = canvas.patches(0.35, 0.4) * max(0.0, canvas.uniform(-1.5, 2.0))
    purple = max(0.0, canvas.uniform(-0.5, 0.7)) * (0.6 + 0.4 * lacunae)
    return Pigment(
        melanin=inside * (canvas.uniform(0, 0.2) + clots),
        blood=inside * canvas.uniform(1.2, 3.0) * np.clip(full, 0, 2),
        veil=inside * purple,
    )


@dataclass(frozen=True)
class Style:
    """How a diagnosis is drawn: its pattern; ranges of its border's radius, wildness, softness."""

    draw: Callable[[Canvas, Map, Map], Pigment]
    radius: tuple[float, float]
    wildness: tuple[float, float]
    softness: tuple[float, float]

    def border(self, canvas: Canvas) -> np.ndarray:
        """Radius in units, wildness and softness of one lesion (3,)."""
        return canvas.rng.uniform(*np.transpose([self.radius, self.wildness, self.softness]))


STYLES = {
    "akiec": Style(actinic, (0.3, 0.75), (0.6, 1.4), (0.2, 0.6)),
    "bcc": Style(basal_cell, (0.2, 0.7), (0.4, 1.1), (0.1, 0.4)),
    "bkl": Style(keratosis, (0.2, 0.75), (0.3, 1.2), (0.04, 0.16)),
    "df": Style(fibroma, (0.3, 0.7), (0.1, 0.7), (0.2, 0.5)),
    "mel": Style(melanoma, (0.25, 0.75), (0.7, 1.5), (0.08, 0.25)),
    "nv": Style(nevus, (0.15, 0.6), (0.1, 0.75), (0.08, 0.3)),
    "vasc": Style(vascular, (0.1, 0.5), (0.1, 0.9), (0.06, 0.25)),
}


def draw_lesion(dx: str, rng: np.random.Generator, size: int) -> np.ndarray:
    """Maps float32 (5, size, size) of a lesion: melanin, blood, veil, white, and `outline` depth.

    Every lesion is a mix of a plain mole and its diagnosis, and in one of five the diagnosis is
    faint: that, and never a wrong label, is what makes the classes overlap.
    """
    canvas, style, plain = Canvas(rng, size, size, 2 * REACH / size), STYLES[dx], STYLES["nv"]
    share = canvas.uniform(0.2, 0.6) if canvas.chance(0.2) else canvas.uniform(0.75, 1.0)
    border = share * style.border(canvas) + (1 - share) * plain.border(canvas)
    radius, wildness, softness = border.tolist()
    depth = outline(canvas, radius, wildness)
    inside = sigmoid(2 * depth / softness)
    maps = style.draw(canvas, depth, inside).stack(canvas.shape)
    if style is not plain:
        maps = share * maps + (1 - share) * nevus(canvas, depth, inside).stack(canvas.shape)
    maps[0] *= np.clip(1 + 0.15 * canvas.clouds(0.08), 0.3, 2)  # pigment is never even
    maps[1] += canvas.uniform(0, 0.15) * sigmoid((depth + 0.4) / 0.15)  # a flush around it
    return np.concatenate([maps, depth[None]])
