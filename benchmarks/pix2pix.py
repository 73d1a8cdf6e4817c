"""pix2pix on real pairs: trained, shown and judged as notebook 17 does, at a budget that counts.

    python benchmarks/pix2pix.py --data data/prepared/ebhi-128 --run runs/pix2pix-ebhi-128 \\
        [--images 24000] [--conditional] [--segmenter-steps 400] [--seed 0] [--threads 1]

Leaves in the run folder the GAN (gans/pix2pix), tables/*.csv, figures/triples.png (held-out masks,
their photographs, and what G draws: for your eyes) and figures/generated.png (masks that a program
drew, and what G draws: may be published).
"""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from nbhelpers import datasets, gan_jobs, gan_runs, mask_edits, sampling, segmentation, translation
from nbhelpers.config import pick_device, preset
from nbhelpers.gan_folders import read_card
from nbhelpers.gans import GAN
from nbhelpers.lesion_encoder import the_runs_encoder
from nbhelpers.pictures import read_mask
from nbhelpers.plots import image_grid
from nbhelpers.prepare import Prepared, load_prepared

POOL, HELD = 3_000, 600  # pairs at most that segmenters learn from, and that all are judged by
SHOWN = 10
THINGS = ("gland", "lumen", "epithelial nucleus", "lesion")


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
    show(args, gan, prepared, held, made, read_card(folder))


def write(run: Path, **tables: pd.DataFrame) -> None:
    (run / "tables").mkdir(parents=True, exist_ok=True)
    for name, table in tables.items():
        table.to_csv(run / "tables" / f"{name}.csv", index=False)
        print(f"\n{name}\n{table.round(3).to_string(index=False)}")


def show(args: argparse.Namespace, gan: GAN, prepared: Prepared, held, made, card: dict) -> None:
    """Two figures: held-out masks beside their photographs, to be looked at, and masks that a
    program drew, which may be published."""
    some = np.linspace(0, len(made) - 1, SHOWN).astype(int)
    told = f"{card['images_shown']:,} images shown to D, {card['minutes']:.0f} minutes"
    title = f"{card['data']['source']}, {prepared.image_size} px, seed {args.seed}: {told}"
    masks = mask_edits.coloured(held.masks[some], prepared.palette)
    rows = {"mask": masks, "photograph": held.images[some], "generated": made[some]}
    drawn = program_masks(prepared, args.run / "drawn")
    labels = torch.arange(SHOWN) % len(prepared.classes)
    images = sampling.decode(gan, torch.from_numpy(drawn), labels, args.seed)
    names = "generated" if not gan.conditional else "generated as " + ", ".join(prepared.classes)
    own = {"mask": mask_edits.coloured(drawn, prepared.palette), "generated": images}
    (args.run / "figures").mkdir(parents=True, exist_ok=True)
    for name, grid, what in (("triples", rows, "held-out masks"), ("generated", own, names)):
        caption = f"{title}\n{what}, {card['device']}, {card['date']}"
        figure = image_grid(grid, caption, max(1.2, prepared.image_size / 80))
        figure.savefig(args.run / "figures" / f"{name}.png", dpi=90, bbox_inches="tight")


def program_masks(prepared: Prepared, folder: Path) -> np.ndarray:
    """Masks uint8 (SHOWN, S, S) of phantoms: whole glands, or lesions, for data of two classes."""
    tissue = prepared.manifest["source"] in datasets.TISSUE
    name = datasets.PHANTOM_TISSUE if tissue else "phantom"
    datasets.make_built_in(name, folder, "", 150)
    raw = datasets.read(name, folder)
    paths = raw.table["mask_path"].iloc[np.linspace(0, len(raw.table) - 1, SHOWN).astype(int)]
    maps = np.stack([read_mask(p, prepared.image_size, palette=raw.palette) for p in paths])
    if len(prepared.palette) > 2:
        return maps
    things = [k for k, name in enumerate(raw.palette) if name in THINGS]
    return np.isin(maps, things).astype(np.uint8)


if __name__ == "__main__":
    main()
