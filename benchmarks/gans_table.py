"""Every GAN at one budget of images shown to D, measured by one judge, in one table.

    python benchmarks/gans_table.py --data data/prepared/ham10000-64 --run runs/table-64 \\
        [--images 100000] [--jobs 2] [--only dcgan,cgan]

Trains what is not trained yet (`nbhelpers train --resume`, so it can be stopped and started
again), measures all with `metrics_run.measure_run`, and leaves in the run folder `table.csv` and
figures/: a chart, and a grid for every GAN. The bar is the conditional DCGAN with projection,
balanced batches and the running average, at the batch of 32 that protocols commonly take.
"""

import argparse
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch

from nbhelpers import gan_folders, metrics_run, sampling
from nbhelpers.audit import typical_distance
from nbhelpers.config import preset
from nbhelpers.evaluation_sets import held_out
from nbhelpers.plots import image_grid
from nbhelpers.prepare import Prepared, load_prepared

TAIL = ("df", "vasc", "akiec")  # the small classes that the recipe is judged by
COLUMNS = 10  # samples of a class in a grid


@dataclass(frozen=True)
class Arm:
    """How one line of the table is trained; the rest comes from preset laptop."""

    gan: str
    settings: tuple[str, ...] = ()
    batch: int = 0


ARMS = {
    name: Arm(name)
    for name in ("dcgan", "cgan", "wgan", "wgan_gp", "sngan", "acgan", "progan", "r3gan", "modern")
}
ARMS["bar"] = Arm("cgan", batch=32)


def train(name: str, args: argparse.Namespace, threads: int) -> None:
    """One GAN's folder, filled by the command line in a process of its own."""
    arm, folder = ARMS[name], args.run / "gans" / name
    command = [sys.executable, "-m", "nbhelpers", "train", arm.gan, "--data", args.data]
    command += ["--run", folder, "--images", args.images, "--preset", "laptop", "--resume"]
    command += [part for text in arm.settings for part in ("--set", text)]
    command += ["--batch", arm.batch] if arm.batch else []
    log = args.run / "logs" / f"{name}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("a") as file:
        environment = os.environ | {"OMP_NUM_THREADS": str(threads), "NBHELPERS_HEADLESS": "1"}
        done = subprocess.run(list(map(str, command)), stdout=file, stderr=file, env=environment)
    print(f"{name}: {'done' if done.returncode == 0 else f'FAILED, see {log}'}", flush=True)


def diversity(folder: Path, real: np.ndarray, labels: np.ndarray, prepared: Prepared) -> float:
    """Typical distance of two samples of a class over that of two held-out photographs of it, the
    mean over the tail; of all samples where the GAN is told no class."""
    if not (folder / "synthetic.npz").exists():
        made = np.load(folder / "samples.npz")["images"]
        return typical_distance(made) / typical_distance(real[:500])
    file, found = np.load(folder / "synthetic.npz"), []
    for c in (prepared.classes.index(name) for name in TAIL if name in prepared.classes):
        made = file["images"][file["labels"] == c]
        found.append(typical_distance(made) / typical_distance(real[labels == c]))
    return float(np.mean(found))


def line(name: str, args: argparse.Namespace, measured: pd.DataFrame, prepared: Prepared) -> dict:
    """One GAN's row of the table."""
    folder = args.run / "gans" / name
    card, real = gan_folders.read_card(folder), held_out(prepared, 0, 0)
    mine = measured[measured["gan"] == name]
    row = {"GAN": name, "batch": card["batch_size"], "images": card["images_shown"],
           "seconds": round(60 * card["minutes"])}  # fmt: skip
    for encoder, short in (
        ("lesion ResNet-18", "lesion"),
        ("ImageNet EfficientNet-Lite0", "ImageNet"),
    ):
        of = mine[(mine["encoder"] == encoder) & mine["value"].notna()]
        pooled = of[of["class"] == metrics_run.POOLED]
        for metric in ("kid", "fid", "precision", "recall"):
            found = pooled[pooled["metric"] == metric]
            for column in ("value", "floor"):
                key = f"{metric} {short}" + (" floor" if column == "floor" else "")
                row[key] = float(found[column].iloc[0]) if len(found) else np.nan
        tail = of[(of["metric"] == "kid") & of["class"].isin(TAIL)]
        row[f"tail kid {short}"] = float(tail["value"].mean()) if len(tail) else np.nan
        row[f"tail kid {short} floor"] = float(tail["floor"].mean()) if len(tail) else np.nan
    row["diversity"] = diversity(folder, real.images, real.labels, prepared)
    return row


def grid(name: str, args: argparse.Namespace, prepared: Prepared) -> None:
    """All classes on fixed noise; a GAN that is told no class shows as many rows of anything."""
    gan = sampling.load(args.run / "gans" / name)
    z = sampling.fixed_noise(gan.z_dim, COLUMNS, seed=1)
    rows = {}
    for c, title in enumerate(prepared.classes):
        noise = z if gan.conditional else sampling.fixed_noise(gan.z_dim, COLUMNS, seed=10 + c)
        rows[title if gan.conditional else f"any {c + 1}"] = sampling.decode(
            gan, noise, torch.full((COLUMNS,), c)
        )
    figure = image_grid(
        rows, f"{name}: {args.images:,} images shown to D, {prepared.image_size} px"
    )
    figure.savefig(args.run / "figures" / f"grid_{name}.png", dpi=110, bbox_inches="tight")
    plt.close(figure)


def chart(table: pd.DataFrame, folder: Path) -> None:
    """KID of every GAN beside its floor, pooled and on the tail, for both encoders."""
    panels = [
        (scope, encoder) for encoder in ("lesion", "ImageNet") for scope in ("kid", "tail kid")
    ]
    figure, axes = plt.subplots(2, 2, figsize=(11, 7), layout="constrained", sharey=True)
    order = table.sort_values("kid lesion", ascending=False)
    for axis, (scope, encoder) in zip(axes.flat, panels, strict=True):
        axis.barh(order["GAN"], order[f"{scope} {encoder}"], color="tab:blue")
        axis.axvline(max(0.0, order[f"{scope} {encoder} floor"].mean()), color="black", ls="--")
        what = "all classes" if scope == "kid" else "df, vasc, akiec"
        axis.set(title=f"{what}, {encoder} encoder", xlabel="KID x1000 (dashed: photographs)")
    figure.savefig(folder / "kid.png", dpi=110, bbox_inches="tight")
    plt.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, metavar="PREPARED")
    parser.add_argument("--run", type=Path, required=True, metavar="DIR")
    parser.add_argument("--images", type=int, default=100_000)
    parser.add_argument("--jobs", type=int, default=1, help="trainings at once, sharing the cores")
    parser.add_argument("--only", default=",".join(ARMS), metavar="a,b")
    args = parser.parse_args()
    names, threads = args.only.split(","), max(1, (os.cpu_count() or 1) // args.jobs)
    with ThreadPoolExecutor(args.jobs) as pool:
        list(pool.map(lambda name: train(name, args, threads), names))
    prepared = load_prepared(args.data)
    measured = metrics_run.measure_run(args.run, prepared, preset("laptop"))
    names = [name for name in ARMS if (args.run / "gans" / name / sampling.CARD).exists()]
    table = pd.DataFrame([line(name, args, measured, prepared) for name in names])
    (args.run / "figures").mkdir(exist_ok=True)
    table.to_csv(args.run / "table.csv", index=False)
    for name in names:
        grid(name, args, prepared)
    chart(table, args.run / "figures")
    print(table.round(2).to_string(index=False))


if __name__ == "__main__":
    main()
