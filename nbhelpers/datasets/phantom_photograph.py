"""Photographs of drawn lesions: skin around them, hair over them, a lamp, a lens.

Melanin and blood are optical densities: light falls as exp(-density) in each colour (Beer-Lambert).
Veil and white cover with an opacity in [0, 1].
"""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from .phantom_canvas import Canvas, Map, sigmoid
from .phantom_drawing import REACH

BROWN = np.array([0.38, 0.78, 1.12], np.float32)  # how strongly melanin absorbs red, green, blue
RED = np.array([0.08, 0.80, 0.48], np.float32)  # and haemoglobin
VEIL = np.array([0.40, 0.40, 0.50], np.float32)  # melanin seen through the dermis: blue-grey
WHITE = np.array([0.97, 0.92, 0.88], np.float32)  # scar, scale and keratin
SKIN = np.array([0.96, 0.89, 0.90], np.float32)
LIGHTS = np.array(
    [[1.0, 0.96, 0.9], [1.02, 0.8, 0.8], [0.96, 0.87, 1.02], [1.04, 0.83, 0.7], [0.93, 0.95, 0.98]]
)


@dataclass(frozen=True)
class Setting:
    """The skin around a lesion and the camera before it: densities, colours in [0, 1], units."""

    tone: float  # melanin of the skin
    flush: float  # its blood
    mottling: float
    freckles: float
    vessels: float
    hairs: int
    hair_colour: np.ndarray
    light: np.ndarray
    tunnel: float  # radius of the lens's round window, infinite when it is wider than the picture
    ruler: bool


def draw_setting(rng: np.random.Generator) -> Setting:
    """The skin and the camera of one lesion's photographs."""
    u = rng.uniform
    return Setting(
        tone=0.02 + 0.25 * rng.beta(1.2, 3),
        flush=0.4 * rng.beta(1, 2.5),
        mottling=u(0.01, 0.07),
        freckles=max(0.0, u(-0.5, 0.4)),
        vessels=max(0.0, u(-0.9, 0.35)),
        hairs=rng.choice([0, 3, 9, 22], p=[0.5, 0.2, 0.2, 0.1]),
        hair_colour=np.array([0.25, 0.18, 0.15], np.float32) * u(0.4, 2.2),
        light=np.float32(
            rng.dirichlet([0.3] * len(LIGHTS)) @ LIGHTS * rng.normal(1, 0.02, 3) * u(0.88, 1.06)
        ),
        tunnel=u(1.05, 1.5) if rng.random() < 0.15 else np.inf,
        ruler=rng.random() < 0.12,
    )


def photograph(
    maps: np.ndarray, setting: Setting, rng: np.random.Generator, width: int, height: int
) -> tuple[np.ndarray, np.ndarray]:
    """A photograph uint8 (height, width, 3) of a lesion, and its mask uint8 (height, width).

    The mask is 0 or 255. Each call turns, shifts, zooms and lights the same lesion anew, under
    other hair.
    """
    canvas = Canvas(rng, height, width, 2 / height)
    melanin, blood, veil, white, depth = _seen(maps, canvas)
    melanin = np.maximum(melanin, 0) + _skin_melanin(canvas, setting)
    blood = np.maximum(blood, 0) + _skin_blood(canvas, setting)
    colour = 0.05 + 0.95 * SKIN * np.exp(-melanin[..., None] * BROWN - blood[..., None] * RED)
    for opacity, paint in ((veil, VEIL), (white, WHITE)):
        colour += np.clip(opacity, 0, 1)[..., None] * (paint - colour)
    colour *= (1 + canvas.uniform(0.003, 0.02) * canvas.clouds(0.1) + 0.008 * canvas.noise(0.03))[
        ..., None
    ]
    cover = 0.75 * np.maximum(_hairs(canvas, setting), _ticks(canvas) if setting.ruler else 0)
    colour += cover[..., None] * (setting.hair_colour - colour)
    colour = np.clip(_lit(canvas, setting, colour), 0, 1)
    return np.uint8(colour * 255 + 0.5), np.uint8(255 * (depth > 0))


def _seen(maps: np.ndarray, canvas: Canvas) -> list[Map]:
    """The lesion's maps on the photograph's grid: turned, perhaps mirrored, shifted, zoomed."""
    turn, zoom = canvas.uniform(0, 2 * np.pi), np.exp(canvas.uniform(-0.2, 0.15))
    matrix = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    matrix *= canvas.pixel / zoom * maps.shape[-1] / (2 * REACH)
    middle = (np.array(canvas.shape) - 1) / 2 + canvas.rng.normal(0, 0.08, 2) / canvas.pixel
    offset = (maps.shape[-1] - 1) / 2 - matrix @ middle
    return [
        ndimage.affine_transform(m, matrix, offset, canvas.shape, order=1, mode="nearest")
        if m.any()
        else np.zeros(canvas.shape, np.float32)
        for m in maps
    ]


def _skin_melanin(canvas: Canvas, setting: Setting) -> Map:
    mottled = setting.mottling * canvas.clouds(0.5) + 0.01 * canvas.noise(0.1)
    freckles = setting.freckles * canvas.patches(0.22, 0.06, 0.5) if setting.freckles else 0.0
    return np.maximum(setting.tone + mottled + freckles, 0)


def _skin_blood(canvas: Canvas, setting: Setting) -> Map:
    blood = setting.flush * (1 + 0.25 * canvas.clouds(0.6))
    if setting.vessels:
        lines = np.exp(-np.abs(canvas.clouds(0.5)) / 0.09)
        blood += setting.vessels * lines * sigmoid(2 * canvas.noise(0.9))
    return np.maximum(blood, 0)


def _hairs(canvas: Canvas, setting: Setting) -> Map | float:
    count, lean = canvas.rng.poisson(setting.hairs), canvas.uniform(0, np.pi)
    roots = canvas.rng.uniform(-1.4, 1.4, (count, 2))
    headings = canvas.rng.normal(lean, 0.5, count)
    curves = [
        canvas.walk(r, h, canvas.uniform(0.3, 1.7), 0.03)
        for r, h in zip(roots, headings, strict=True)
    ]
    return canvas.strokes(curves, canvas.rng.uniform(0.006, 0.015, count)) if count else 0.0


def _ticks(canvas: Canvas) -> Map:
    """A ruler's marks across an upper corner."""
    count, side = canvas.rng.integers(4, 8), canvas.rng.choice([-1, 1])
    corner = np.array([side * canvas.shape[1] / canvas.shape[0], -1.0])
    start = corner - (side * canvas.uniform(0.3, 0.5), 0)
    marks = [start + k * np.array([side, 1]) * 0.085 for k in range(count)]
    return canvas.strokes(
        [m + np.outer([0, 1], [0.09 * side, -0.07]) for m in marks], [0.02] * count
    )


def _lit(canvas: Canvas, setting: Setting, colour: np.ndarray) -> np.ndarray:
    """The colours under an uneven lamp, behind a round window, a little blurred and noisy."""
    distance = np.hypot(canvas.x, canvas.y)
    light = 1 + 0.06 * canvas.noise(2.5) - canvas.uniform(0, 0.12) * distance**2
    light = light * sigmoid((setting.tunnel - distance) / 0.02)
    colour = colour * light[..., None] * np.float32(setting.light * canvas.rng.normal(1, 0.015, 3))
    blur = canvas.uniform(0.2, 0.5) * canvas.shape[0] / 150
    colour = ndimage.gaussian_filter(colour, (blur, blur, 0))
    return colour + 0.005 * canvas.rng.standard_normal(colour.shape, np.float32)
