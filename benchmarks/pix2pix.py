"""pix2pix on real pairs: trained, shown and judged as notebook 17 does, at a budget that counts.

    python benchmarks/pix2pix.py --data data/prepared/ebhi-128 --run runs/pix2pix-ebhi-128 \\
        [--images 24000] [--conditional] [--segmenter-steps 400] [--seed 0] [--threads 1]

Leaves in the run folder the GAN (gans/pix2pix), tables/*.csv, figures/triples.png (masks of test
patients, their photographs, and what G draws) and figures/generated.png (without photographs).
"""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from nbhelpers import gan_jobs, gan_runs, mask_edits, segmentation, translation
from nbhelpers.config import pick_device, preset
from nbhelpers.gan_folders import read_card
from nbhelpers.lesion_encoder import the_runs_encoder
from nbhelpers.plots import image_grid
from nbhelpers.prepare import load_prepared

POOL, HELD = 3_000, 600  # pairs at most that segmenters learn from, and that all are judged by
SHOWN = 10


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--images", type=int, default=24_000)
    parser.add_argument("--conditional", action="store_true")
    parser.add_argument("--segmenter-steps", type=int, default=400)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    return parser.parse_args()


def main() -> None:
    args = arguments()
    torch.set_num_threads(args.threads)
    prepared, device, laptop = load_prepared(args.data), pick_device(), preset("laptop")
    names, steps = list(prepared.palette), args.segmenter_steps
    pool, held = (
        translation.pairs(prepared, part, most) for part, most in (("train", POOL), ("test", HELD))
    )
    settings = {"width": laptop.gan_width, "conditional": args.conditional}
    job = gan_jobs.Job("pix2pix", args.images, laptop.gan_batch, args.seed, settings=settings)
    encoder = the_runs_encoder(prepared, 0, laptop.encoder_steps, device, args.run)
    folder = args.run / "gans" / "pix2pix"
    gan = gan_runs.train_or_load(job, prepared, folder, device, encoder=encoder)
    made, again = (held.translated(gan, args.seed + i) for i in range(2))
    reader = segmentation.train_segmenter(
        pool.images, pool.masks, len(names), steps, args.seed, device
    )
    drawn = translation.drawn_pairs(gan, len(pool.masks), args.seed)
    useful = translation.utility(pool, drawn, held, len(names), steps, args.seed + 1, device)
    write(
        args.run,
        consistency=translation.consistency_table(reader, made, held.images, held.masks, names),
        against_truth=translation.against_truth(held.images, made, pool.images, args.seed),
        realism=translation.realism(held, made, again, encoder, args.seed),
        utility=useful,
    )
    read = segmentation.segment(reader, made)
    told = segmentation.dice_interval(read, held.masks, len(names), held.groups, args.seed)
    print("mean Dice of generated images {:.3f} ({:.3f} to {:.3f})".format(*told))
    show(args, held, made, prepared.palette, read_card(folder))


def write(run: Path, **tables: pd.DataFrame) -> None:
    (run / "tables").mkdir(parents=True, exist_ok=True)
    for name, table in tables.items():
        table.to_csv(run / "tables" / f"{name}.csv", index=False)
        print(f"\n{name}\n{table.round(3).to_string(index=False)}")


def show(args: argparse.Namespace, held, made: np.ndarray, palette: dict, card: dict) -> None:
    some = np.linspace(0, len(made) - 1, SHOWN).astype(int)
    masks = mask_edits.coloured(held.masks[some], palette)
    rows = {"mask": masks, "photograph": held.images[some], "generated": made[some]}
    told = f"{card['images_shown']:,} images shown to D, {card['minutes']:.0f} minutes"
    figure = image_grid(rows, f"{args.data.name}, test patients: {told}, {card['date']}", 1.3)
    (args.run / "figures").mkdir(parents=True, exist_ok=True)
    figure.savefig(args.run / "figures" / "triples.png", dpi=110)
    rows.pop("photograph")  # what is left may be published
    figure = image_grid(rows, f"{args.data.name}, test patients: {told}, {card['date']}", 1.3)
    figure.savefig(args.run / "figures" / "generated.png", dpi=110)


if __name__ == "__main__":
    main()
