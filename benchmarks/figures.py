"""The pictures of a README, made from a finished run: generated images only.

    python benchmarks/figures.py RUN --data data/prepared/ham10000-64 [--to figures] \\
        [--only grid learning ...]

    grid.png      the same noise and the same class from every GAN
    learning.gif  the same noise while every GAN learns
    players.png   G and D of one GAN, drawn from the shapes that pass through them
    distances.png KID of every GAN beside its floor           (after notebook 21)
    verdict.png   each arm against the bar and the placebo    (after notebook 22)

Each file is named after the data set and its size, and says in a corner which preset, data, seed,
device and date it comes from. What the run does not hold is told and left out.
"""

import argparse
import io
import sys
from collections.abc import Iterator
from functools import cached_property, partial
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from PIL import Image
from torch import Tensor, nn

from nbhelpers import gan_folders, gan_table, plots, sampling
from nbhelpers.errors import DataError, NbhelpersError
from nbhelpers.files import read_json, write_atomic
from nbhelpers.gans.base import GAN
from nbhelpers.plots import GAP, comparisons, image_grid, measures
from nbhelpers.prepare import Prepared, load_prepared
from nbhelpers.run_places import left_by
from nbhelpers.sampling import read_card

FRAMES = 9  # of the GIF: from the first weights to the last in equal shares of the budget
TILES = 7  # images of a GAN in a frame
LAYERS = (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)
ARMS = ("synthetic", "filtered", "synthetic_only", "placebo", "real")
NAMES = ("grid", "learning", "players", "distances", "verdict")
NOT_PATIENTS = "generated images, not patients"


class Pictures:
    """What can be drawn of one run, each as a method that returns a figure or a GIF's frames."""

    def __init__(self, run: Path, prepared: Prepared):
        self.run, self.prepared = run, prepared
        self.folders = gan_folders.trained(run)
        self.cards = {name: read_card(folder) for name, folder in self.folders.items()}

    @property
    def stamp(self) -> str:
        """Preset, where the run says it, data, size, seed, device, date of the last training."""
        card = max(self.cards.values(), key=lambda card: card["date"])
        states = sorted((self.run / "state").glob("*.json"))
        preset = [read_json(states[-1])["preset"]] if states else []
        data = f"{self.prepared.manifest['source']} · {self.prepared.image_size} px"
        return " · ".join([*preset, data, f"seed {card['seed']}", card["device"], card["date"]])

    @cached_property
    def drawers(self) -> dict[str, GAN]:
        """The GANs that draw from noise. DataError where there is none."""
        loaded = {name: sampling.load(folder) for name, folder in self.folders.items()}
        found = {name: gan for name, gan in loaded.items() if not gan.translates}
        if not found:
            raise DataError(f"{self.run} holds no GAN that draws from noise.")
        return found

    def grid(self) -> Figure:
        """A row for each GAN that can be asked for a class, one noise for all."""
        classes = self.prepared.classes
        asked = torch.arange(2 * len(classes)) // 2
        rows = {}
        for name, gan in self.drawers.items():
            if gan.conditional:
                z = sampling.fixed_noise(gan.z_dim, len(asked), seed=3)
                rows[f"{name}\n{self.budget(name)}"] = sampling.decode(gan, z, asked)
        if not rows:
            raise DataError(f"{self.run} holds no GAN that is told a class.")
        figure = image_grid(rows, f"Two of each class: {NOT_PATIENTS}", 0.7)
        step = self.prepared.image_size + GAP
        figure.axes[0].set_xticks(
            [(2 * i + 1) * step - GAP / 2 for i in range(len(classes))], classes
        )
        figure.axes[0].tick_params(length=0, labeltop=True, labelbottom=False)
        return figure

    def learning(self) -> Iterator[Figure]:
        """Frames: a row of samples for each GAN that draws from noise, at one share of its
        training."""
        sheets = {name: gan_folders.sample_sheets(self.folders[name]) for name in self.drawers}
        for share in np.linspace(0, 1, FRAMES):
            rows, images = {}, set()
            for name, (shown, pictures) in sheets.items():
                at = int(np.abs(np.array(shown) - share * shown[-1]).argmin())
                rows[name] = self.first_tiles(pictures[at])
                images.add(shown[at])
            told = " to ".join(f"{count:,}" for count in sorted({min(images), max(images)}))
            yield image_grid(rows, f"{told} images shown to D\n({NOT_PATIENTS})", 0.7)

    def first_tiles(self, sheet: np.ndarray) -> np.ndarray:
        """The first images of a sheet, uint8 (TILES, S, S, 3), without the white between them."""
        size, step = self.prepared.image_size, self.prepared.image_size + GAP
        places = range(0, min(TILES * step, sheet.shape[1]), step)
        return np.stack([sheet[:size, left : left + size] for left in places])

    def players(self) -> Figure:
        """Both networks of the first GAN: a bar a layer, as high as its images and as wide as its
        channels."""
        (name, gan), labels = next(iter(self.drawers.items())), torch.zeros(1, dtype=int)
        z = sampling.fixed_noise(gan.z_dim, 1, seed=3)
        with torch.no_grad():
            drawn = shapes(gan.G, z, labels)
            size = self.prepared.image_size
            judged = shapes(gan.D, torch.zeros(1, 3, size, size), labels)
        figure, axes = plt.subplots(1, 2, figsize=(11, 3.4), sharey=True, layout="constrained")
        count = self.cards[name]["parameters"]
        layers(axes[0], [("noise", (gan.z_dim,)), *drawn], f"G draws: {count['G']:,} weights")
        layers(axes[1], [("image", (3, size, size)), *judged], f"D judges: {count['D']:,} weights")
        figure.suptitle(f"{name} at {size} px: channels x height x width behind every layer")
        return figure

    def distances(self) -> Figure:
        """KID by encoder, the floor as a dotted line."""
        rare = gan_table.rarest(self.prepared)
        table = gan_table.distances(pd.read_csv(left_by("21", self.run, "metrics.csv")), rare)
        title = "Distance to photographs, lower is nearer"
        return measures.gan_dots(table, gan_table.kid_panels(rare), title)

    def verdict(self) -> Figure:
        """The forest of notebook 22, of the arms that the question is about."""
        found = pd.read_csv(left_by("22", self.run, "tables/22_contrasts.csv"), comment="#")
        mine = found[found["arm"].isin(ARMS)]
        bar = next(name for name in mine["against"].unique() if name != "placebo")
        return comparisons.forest(mine, bar, "placebo", "Do generated images help?").figure

    def budget(self, name: str) -> str:
        return f"{self.cards[name]['images_shown']:,} images"


def shapes(network: nn.Module, *inputs: Tensor) -> list[tuple[str, tuple[int, ...]]]:
    """Name and output shape, without the batch, of each layer with weights that inputs pass, in
    that order."""
    passed, hooks = [], []
    for layer in network.modules():
        if isinstance(layer, LAYERS):
            kind = {"ConvTranspose2d": "up", "Conv2d": "conv"}.get(type(layer).__name__, "linear")
            hooks.append(layer.register_forward_hook(partial(note, kind, passed)))
    network.eval()(*inputs)
    for hook in hooks:
        hook.remove()
    return passed


def note(kind: str, passed: list, layer: nn.Module, inputs: tuple, output: Tensor) -> None:
    passed.append((kind, tuple(output.shape[1:])))


def layers(axis: plt.Axes, passed: list[tuple[str, tuple[int, ...]]], title: str) -> None:
    """A bar for each shape: height by pixels, width by channels, both on a logarithmic scale."""
    left = 0.0
    for i, (kind, shape) in enumerate(passed):
        side = shape[-1] if len(shape) == 3 else 1
        wide, high = 0.12 * np.log2(shape[0] + 1), 0.3 + np.log2(side)
        colour = "0.75" if i == 0 else "C0"
        axis.add_patch(Rectangle((left, -high / 2), wide, high, color=colour, alpha=0.8))
        told = " x ".join(map(str, shape))
        middle, edge = left + wide / 2, high / 2 + 0.2
        axis.text(middle, -edge, kind, ha="center", va="top", fontsize=7)
        axis.text(middle, edge, told, ha="left", va="bottom", fontsize=7, rotation=40)
        left += wide + 0.45
    axis.set(xlim=(-0.3, left + 0.6), ylim=(-4.2, 6), title=title)
    axis.axis("off")


def rendered(figure: Figure, stamp: str) -> bytes:
    """The figure as a PNG with its stamp below."""
    buffer = io.BytesIO()
    plots.stamp(figure, stamp).savefig(buffer, format="png", dpi=90, bbox_inches="tight")
    plt.close(figure)
    return buffer.getvalue()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path, metavar="RUN")
    parser.add_argument("--data", type=Path, required=True, metavar="PREPARED")
    parser.add_argument("--to", type=Path, default=Path("figures"), metavar="DIR")
    parser.add_argument("--only", nargs="+", choices=NAMES, default=NAMES)
    args = parser.parse_args()
    prepared = load_prepared(args.data)
    pictures = Pictures(args.run, prepared)
    missing = 0
    for name in args.only:
        data = f"{prepared.manifest['source']}-{prepared.image_size}".replace("/", "_")
        place = args.to / f"{name}_{data}"
        try:
            drawn = getattr(pictures, name)()
            if isinstance(drawn, Figure):
                place = write_atomic(place.with_suffix(".png"), rendered(drawn, pictures.stamp))
            else:
                pngs = (rendered(frame, pictures.stamp) for frame in drawn)
                frames = [np.asarray(Image.open(io.BytesIO(png)).convert("RGB")) for png in pngs]
                sampling.progress_gif(frames, place := place.with_suffix(".gif"), 600)
            print(f"{place}: {place.stat().st_size / 1e6:.2f} MB")
        except NbhelpersError as error:
            missing += 1
            print(f"{name}: left out. {error}")
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())
