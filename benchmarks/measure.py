"""How long a run's whole table takes: the first time, with features cached, and looked up.

    python benchmarks/measure.py --run RUN --data data/prepared/ham10000-64 [--preset laptop]

Takes away what the run remembers (`measured/`), keeps its features, and measures twice. Prints
seconds, GANs and generated images; with `--profile` where they go.
"""

import argparse
import cProfile
import pstats
import shutil
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from nbhelpers.config import preset
from nbhelpers.metrics_run import judge_of, measure_run
from nbhelpers.prepare import load_prepared


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--preset", default="laptop")
    parser.add_argument("--images", type=int, help="a side of set measures, at most")
    parser.add_argument("--profile", action="store_true")
    args = parser.parse_args()
    chosen, prepared = preset(args.preset), load_prepared(args.data)
    chosen = replace(chosen, measure_images=args.images or chosen.measure_images)
    sets = [*args.run.glob("gans/*/samples.npz"), *args.run.glob("gans/*/synthetic.npz")]
    images = sum(len(np.load(file)["images"]) for file in sets)
    gans = len({file.parent for file in sets})
    print(f"{gans} GANs, {images:,} images, {chosen.measure_pairs:,} pairs a column")
    known = (args.run / "features").exists()
    shutil.rmtree(args.run / "measured", ignore_errors=True)
    for name in ("features cached" if known else "nothing cached", "looked up"):
        profile, start = cProfile.Profile(), time.perf_counter()
        profile.enable() if args.profile else None
        table = measure_run(args.run, prepared, judge_of(args.run, prepared, chosen))
        profile.disable()
        print(f"{name}: {time.perf_counter() - start:.1f} s, {len(table):,} rows")
        if args.profile:
            pstats.Stats(profile).sort_stats("cumulative").print_stats(40)


if __name__ == "__main__":
    main()
