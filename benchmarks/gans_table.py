"""Every GAN at one budget of images shown to D, measured by one judge, on one page.

    python benchmarks/gans_table.py --data data/prepared/ham10000-64 --run runs/table-ham10000-64 \\
        [--images 100000] [--jobs 2] [--seed 0] [--switches | --only dcgan,cgan]

Trains what is not trained yet (`nbhelpers train --resume`, so it can be stopped and started
again), measures all with `metrics_run.measure_run`, and leaves in the run folder tables/, figures/
(a chart, and a grid of every GAN on one noise) and report.html.

The bar is what protocols commonly take: the conditional DCGAN with projection, balanced batches of
32 and the running average. The last table says by what factor each GAN beats it on the three rarest
classes: KID of all held-out photographs of a class against SAMPLES generated ones, with the
interval that resampling lesions and samples gives. `--switches` compares the recipe of `modern`
with itself, one switch changed at a time, instead of the GANs.
"""

import argparse
import os
import subprocess
import sys
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch

import nbhelpers.gans
from nbhelpers import evaluation_sets, features, gan_table, metrics, metrics_run, sampling
from nbhelpers.config import Paths, pick_device, preset
from nbhelpers.errors import UsageError, one_of
from nbhelpers.gan_folders import read_card
from nbhelpers.lesion_encoder import trained_encoder
from nbhelpers.notebook import Run
from nbhelpers.plots import image_grid, measures
from nbhelpers.prepare import Prepared, load_prepared
from nbhelpers.report import write_report

COLUMNS = 10  # samples of a class in a grid
SAMPLES, DRAWS = 500, 200  # generated of a rare class, and resamples, for the last table
BAR = "bar"


@dataclass(frozen=True)
class Arm:
    """How one line of the table is trained; the rest comes from preset laptop."""

    gan: str
    settings: tuple[str, ...] = ()
    batch: int = 0
    order: str = ""


GANS = {name: Arm(name) for name in nbhelpers.gans.GANS if name != "pix2pix"}  # it is given masks
GANS["r3gan"] = Arm("r3gan", batch=32)  # in batches of 8 its penalties see four images
GANS[BAR] = Arm("cgan", batch=32)
SWITCHES = {
    BAR: GANS[BAR],
    "modern": GANS["modern"],
    "batch_32": Arm("modern", batch=32),
    "constant_rate": Arm("modern", ("final_rate=1",)),
    "natural_batches": Arm("modern", order="natural"),
    "no_average": Arm("modern", ("average_share=0",)),
    "pairs": Arm("modern", ("relativistic=true",)),
    "r1_r2": Arm("modern", ("norm=none", "r1_weight=0.5", "r2_weight=0.5")),
    "diffaugment": Arm("modern", ("augment=translation,colour",)),
    "fades_in": Arm("modern", ("fade_from=0.1", "fade_to=0.3")),
    "bilinear": Arm("modern", ("upsampling=bilinear",)),
    "no_low_pass": Arm("modern", ("low_pass=false",)),
    "no_class_norm": Arm("modern", ("class_norm=false",)),
}
ARMS = GANS | SWITCHES


def finished(folder: Path, images: int, seed: int) -> bool:
    """Whether the GAN is there. UsageError where it is one of another seed or a larger budget."""
    if not (folder / sampling.CARD).exists():
        return False
    card, a_batch = read_card(folder), min(512, images)  # at most: budgets are of whole ones
    if card["seed"] != seed or card["images_shown"] >= images + a_batch:
        raise UsageError(
            f"{folder} holds seed {card['seed']}, {card['images_shown']:,} images shown: name "
            "another folder with --run."
        )
    return card["images_shown"] >= images


def train(name: str, args: argparse.Namespace, threads: int) -> bool:
    """Whether one GAN's folder is filled now, by the command line in a process of its own."""
    arm, folder = ARMS[name], args.run / "gans" / name
    if finished(folder, args.images, args.seed):
        return True
    command = [sys.executable, "-m", "nbhelpers", "train", arm.gan, "--data", args.data]
    command += ["--run", folder, "--images", args.images, "--preset", "laptop", "--resume"]
    command += ["--seed", args.seed, *(p for text in arm.settings for p in ("--set", text))]
    command += ["--batch", arm.batch] if arm.batch else []
    command += ["--order", arm.order] if arm.order else []
    log = args.run / "logs" / f"{name}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("a") as file:
        environment = os.environ | {"OMP_NUM_THREADS": str(threads), "NBHELPERS_HEADLESS": "1"}
        done = subprocess.run(list(map(str, command)), stdout=file, stderr=file, env=environment)
    print(f"{name}: {'done' if done.returncode == 0 else f'FAILED, see {log}'}", flush=True)
    return done.returncode == 0


def grid(run: Run, name: str, prepared: Prepared, images: int) -> None:
    """All classes on fixed noise; a GAN that is told no class shows as many rows of anything."""
    gan = sampling.load(run.gan_folder(name))
    z, asked = sampling.fixed_noise(gan.z_dim, COLUMNS, seed=1), torch.ones(COLUMNS, dtype=int)
    if gan.conditional:
        rows = {c: sampling.decode(gan, z, i * asked) for i, c in enumerate(prepared.classes)}
    else:
        noises = [sampling.fixed_noise(gan.z_dim, COLUMNS, seed=10 + i) for i in range(4)]
        rows = {f"any {i + 1}": sampling.decode(gan, noise) for i, noise in enumerate(noises)}
    told = f"{name}, {images:,} images shown to D"
    run.save_figure(
        image_grid(rows, told), f"grid_{name}", f"{told}: generated, one noise a column."
    )


def sheet(run: Run, names: Iterable[str], prepared: Prepared, title: str) -> None:
    """One row a GAN, two samples a class, all on one noise."""
    asked, rows = torch.arange(2 * len(prepared.classes)) // 2, {}
    for name in names:
        gan = sampling.load(run.gan_folder(name))
        z = sampling.fixed_noise(gan.z_dim, len(asked), seed=3)
        rows[name] = sampling.decode(gan, z, asked)
    told = f"Two samples each of {', '.join(prepared.classes)}; {title}"
    run.save_figure(
        image_grid(rows, told, 0.55), "samples", f"{told}. Generated, one noise a column."
    )


class RareClasses:
    """Held-out photographs of the rarest classes, to be compared with generated ones."""

    def __init__(self, run: Run, prepared: Prepared):
        self.run, self.prepared, self.rare = run, prepared, gan_table.rarest(prepared)
        self.real = evaluation_sets.held_out(prepared, 0, run.seed)
        known = features.encoders(run.folder, run.device)
        self.encoders = {n: e for n, e in known.items() if isinstance(e, features.Encoder)}

    def kid(self, name: str) -> dict[str, np.ndarray]:
        """KID x1000 by encoder, (1 + DRAWS, classes): of all, then of halves of the lesions and
        samples, drawn without replacement: the spread of half a set is that of the whole around
        its expectation (Shao and Tu 1995, delete-half jackknife)."""
        gan, cache = sampling.load(self.run.gan_folder(name)), self.run.folder / "features"
        found = {encoder: np.empty((1 + DRAWS, len(self.rare))) for encoder in self.encoders}
        for k, c in enumerate(self.prepared.classes.index(n) for n in self.rare):
            made = sampling.generate(gan, SAMPLES, 1000 + c, torch.full((SAMPLES,), c))
            rows = np.flatnonzero(self.real.labels == c)
            for encoder, kids in found.items():
                encode = self.encoders[encoder]
                f = features.cached(encode, self.real.images[rows], cache)
                g, rng = features.cached(encode, made, cache), np.random.default_rng([7, c])
                kids[0, k] = metrics.mmd2(f, g)
                for draw in range(1, 1 + DRAWS):
                    some = half_of(self.real.groups[rows], rng)
                    others = rng.choice(SAMPLES, SAMPLES // 2, replace=False)
                    kids[draw, k] = metrics.mmd2(f[some], g[others])
        return {encoder: 1000 * kids for encoder, kids in found.items()}

    def beside_the_bar(self, names: list[str]) -> pd.DataFrame:
        """KID by class, its mean, and the factor to the bar with a 95 % interval."""
        kids, rows = {name: self.kid(name) for name in names}, []
        for encoder in self.encoders:
            bar = kids[BAR][encoder].mean(axis=1)
            for name in names:
                mean = kids[name][encoder].mean(axis=1)
                factors = np.where(mean[1:] > 0, bar[1:] / mean[1:], np.inf)
                low, high = np.quantile(factors, [0.025, 0.975], method="nearest")
                by_class = dict(zip(self.rare, kids[name][encoder][0], strict=True))
                factor = {"factor": bar[0] / mean[0], "low": low, "high": high}
                rows.append(
                    {"encoder": encoder, "gan": name} | by_class | {"mean": mean[0]} | factor
                )
        return pd.DataFrame(rows)


def half_of(groups: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Rows of a random half of the lesions."""
    lesions = np.unique(groups)
    return np.isin(groups, rng.choice(lesions, len(lesions) // 2, replace=False))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, metavar="PREPARED")
    parser.add_argument("--run", type=Path, required=True, metavar="DIR")
    parser.add_argument("--images", type=int, default=100_000)
    parser.add_argument("--jobs", type=int, default=1, help="trainings at once, sharing the cores")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--encoder-steps", type=int, default=600, help="of the judging encoder")
    parser.add_argument("--switches", action="store_true", help="the switches of modern, not GANs")
    parser.add_argument("--only", metavar="a,b")
    args = parser.parse_args()
    names = args.only.split(",") if args.only else list(SWITCHES if args.switches else GANS)
    names = [one_of("--only", name, ARMS) for name in names]
    threads = max(1, (os.cpu_count() or 1) // args.jobs)
    prepared, device = load_prepared(args.data), pick_device("auto")
    trained_encoder(prepared, 0, args.encoder_steps, device, args.run)  # the judge of them all
    with ThreadPoolExecutor(args.jobs) as pool:
        trained = list(pool.map(lambda name: train(name, args, threads), names))

    told = f"laptop, {args.images:,} images"
    chosen = replace(preset("laptop"), name=told, encoder_steps=args.encoder_steps)
    dataset, paths = prepared.manifest["source"], Paths(args.run, args.data, args.run)
    run = Run("21_gans", chosen, dataset, prepared.image_size, args.seed, device, paths)
    folders = {
        name: run.gan_folder(name) for name, done in zip(names, trained, strict=True) if done
    }
    judge = metrics_run.judge_of(args.run, prepared, chosen, seed=args.seed, device=device)
    measured = metrics_run.measure_run(args.run, prepared, judge)
    measured = measured[measured["gan"].isin(folders)]

    rare = gan_table.rarest(prepared)
    table = gan_table.distances(measured, rare)
    title = f"{args.images:,} images shown to D each"
    figure = measures.gan_dots(table, gan_table.kid_panels(rare), title)
    run.save_figure(figure, "kid", "KID of every GAN, by encoder.")
    said = "every GAN at one budget; kid_rare: the mean KID of " + ", ".join(rare)
    table = table.join(gan_table.costs(folders), on="gan")
    run.save_table(table.round(2).reset_index(), "gans", said)
    varied = gan_table.spread(folders, prepared, 0, args.seed).round(2)
    run.save_table(varied.reset_index(names="gan"), "spread", "within a class, photographs = 1")
    sheet(run, folders, prepared, title)
    for name in folders:
        grid(run, name, prepared, args.images)
    tables = [table, varied]
    if BAR in folders:
        told = [n for n, folder in folders.items() if (folder / "synthetic.npz").exists()]
        beside = RareClasses(run, prepared).beside_the_bar(told)
        run.save_table(beside.round(2), "bar", "KID x1000 of the rarest classes beside the bar")
        tables.append(beside)
    for one in tables:
        print(one.round(2).to_string(), end="\n\n")
    print(write_report(args.run))
    return 0 if all(trained) else 1


if __name__ == "__main__":
    sys.exit(main())
