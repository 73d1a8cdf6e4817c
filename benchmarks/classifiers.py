"""Do the images of a GAN help a lesion classifier? Notebook 22 with a budget of your own, from the
command line: resumable, and every finished training is kept.

    python benchmarks/classifiers.py --data data/prepared/ham10000-64 --run runs/gans-ham10000-64 \\
        [--gan modern] [--task all] [--steps 1752] [--seeds 2] [--trap] [--committee 4] \\
        [--rungs real,real_classic,balanced,half_balanced] [--more dose,share,earlier]

Trains the ladder of real-only recipes, or some rungs of it, with one seed, takes the best on
validation for the bar, then the bar, the generated images, the placebo and the filtered images with
all seeds, generated images alone with the first. Leaves predictions.npz, classifier.csv,
tables/22_*.csv and report.html in the run folder. `--more` adds exploratory arms with the first
seed, `--trap` the leaky split, `--committee` more seeds of the bar: how far real images alone go
when all trainings on them vote. With `--refit` the ladder alone is climbed with validation lesions
held out (its trainings are in ladder/): all later arms learn from them, too, and their logits are
adjusted as the ladder's bar was.
"""

import argparse
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from nbhelpers import (
    arms,
    comparison,
    extras,
    filters,
    power,
    predictions,
    sampling,
    statistics,
    study_tables,
    tasks,
    traps,
    tuning,
)
from nbhelpers.arms import Arm
from nbhelpers.classifier import Recipe
from nbhelpers.config import Paths, pick_device, preset
from nbhelpers.errors import one_of
from nbhelpers.notebook import Run
from nbhelpers.plots import comparisons
from nbhelpers.prepare import load_prepared
from nbhelpers.report import write_report

MORE = {"dose": arms.doses, "share": arms.fewer_lesions, "earlier": lambda bar: arms.EARLIER}


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--gan", default="modern")
    parser.add_argument("--task", default="all", choices=tasks.TASKS)
    parser.add_argument("--backbone", default="resnet18")
    parser.add_argument("--steps", type=int, default=1752)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--looks", type=int, default=4)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--filtered-seeds", type=int, default=0, help="fewer, to save time")
    parser.add_argument("--folds", type=int, default=1)
    parser.add_argument("--made", type=int, default=2000, help="generated images of a class")
    parser.add_argument("--encoder-steps", type=int, default=600, help="of the filter's judge")
    parser.add_argument("--rungs", default="", help="of the ladder; all when empty")
    parser.add_argument("--more", default="", help="exploratory arms: dose,share,earlier")
    parser.add_argument("--committee", type=int, default=0, help="seeds of the bar that vote")
    parser.add_argument("--refit", action="store_true", help="then learn from validation, too")
    parser.add_argument("--trap", action="store_true", help="the leaky split, too")
    parser.add_argument("--ladder", action="store_true", help="stop when the bar is known")
    parser.add_argument("--device", default="auto")
    return parser.parse_args()


class Study:
    """The trainings of one call, and what they leave in the run folder."""

    def __init__(self, args: argparse.Namespace):
        self.args, data = args, load_prepared(args.data)
        self.prepared = tasks.task(data, args.task)
        self.recipe = Recipe(args.backbone, args.steps, args.batch, looks=args.looks)
        self.final, self.first = self.recipe, args.run
        if args.refit:
            self.final, self.first = replace(self.recipe, refit=True), args.run / "ladder"
        told = f"laptop, {args.steps:,} steps of {args.batch}"
        chosen = replace(preset("laptop"), name=told, encoder_steps=args.encoder_steps)
        paths, device = Paths(args.run, args.data, args.run), pick_device(args.device)
        size, source = data.image_size, data.manifest["source"]
        self.run = Run("22_classifier", chosen, source, size, 0, device, paths)
        self.folds, named = range(args.folds), [name for name in args.rungs.split(",") if name]
        for name in named:
            one_of("--rungs", name, [arm.name for arm in arms.LADDER])
        self.rungs = [arm for arm in arms.LADDER if arm.name in named or not named]

    def ladder(self) -> Arm:
        """The bar; `divisors` are what a refit is adjusted by."""
        cells = comparison.plan(self.rungs, self.folds, [0])
        found = self._compare(cells, self.recipe, self.first)
        table = tuning.ladder(found)
        name = tuning.best(table)
        self.divisors = tuning.chosen(found, name) if self.args.refit else None
        print(table.round(4).to_string(index=False), f"the bar: {name}", sep="\n")
        self.run.save_table(table.round(4), "ladder", "Balanced accuracy of validation lesions")
        axis = comparisons.ladder_dots(table, name, "Real images only: which recipe is the bar?")
        self.run.save_figure(axis.figure, "ladder", "Validation lesions; the bar in bold.")
        return next(arm for arm in self.rungs if arm.name == name)

    def trap(self) -> None:
        """What a split by image would have reported: a lesson, never a result."""
        table = traps.split_twice(self.prepared, self.first, self.recipe, 0, self.run.device)
        told = "Two classifiers, two splits: a lesson, never a result"
        print(self.run.save_table(table.round(4), "traps", told).to_string())

    def committee(self, bar: Arm) -> None:
        """How far real images alone go when several trainings on them vote: the bar's seeds, and
        these with the other rungs of the ladder."""
        cells = comparison.plan([bar], self.folds, range(self.args.committee))
        others = [arm for arm in self.rungs if arm != bar]
        cells += comparison.plan(others, self.folds, [0])
        found = self._compare(cells, self.final, self.args.run)
        of_bar = (found.table["arm"] == bar.name).to_numpy()
        rows = []
        for name, keep in (
            (f"{self.args.committee} x {bar.name}", of_bar),
            (f"these and {len(others)} other rungs", np.ones_like(of_bar)),
        ):
            voters = found.where(keep)
            voters = predictions.committees(replace(voters, table=voters.table.assign(arm=name)))
            for logits, each in (("as trained", voters), ("adjusted", self.adjusted(voters))):
                scores = study_tables.scores(each)[["balanced_accuracy", "accuracy", "macro_auc"]]
                rows.append(scores.assign(logits=logits).reset_index())
        table = pd.concat(rows).round(4)
        told = "Trainings on real images alone, softmax averaged; by test lesion"
        print(self.run.save_table(table, "real_committees", told).to_string())

    def passed(self, sets: comparison.Sets) -> comparison.Passed:
        passed, counts = {}, []
        for key, path in sets.items():
            pool, judge = extras.read_pool(path, self.prepared, key[0]), self._judge(key[0])
            passed[key], count = filters.passes(pool, self.prepared, key[0], judge, self.run.device)
            filters.write_passed(path, passed[key])
            counts.append(count.assign(fold=key[0], generator=key[1]))
        self.run.save_table(pd.concat(counts), "filter", "Generated images left out, by reason")
        return passed

    def enlarge(self, path: Path) -> None:
        """Draws `--made` images of each class from the checkpoint where the set has another number.
        A GAN that is told no class keeps its set, which descendants of one class each have drawn.
        """
        count, (gan, classes) = self.args.made, sampling.load_with_classes(path.parent)
        if gan.conditional and len(np.load(path)["labels"]) != count * len(classes):
            labels = np.repeat(np.arange(len(classes)), count)
            images = sampling.generate(gan, len(labels), 4, torch.from_numpy(labels))
            groups = sampling.training_groups(path.parent)
            sampling.write_synthetic(path, images, labels, classes, groups)

    def all_arms(self, bar: Arm) -> comparison.Predictions:
        found = extras.synthetic_sets(self.args.run / "gans", self.args.gan)
        sets = {key: path for key, path in found.items() if key[0] in self.folds}
        for path in sets.values():
            self.enlarge(path)
        primary, seeds = arms.around(bar), range(self.args.seeds)
        more = [arm for kind in self.args.more.split(",") if kind for arm in MORE[kind](bar)]
        rest = [arm for arm in (*self.rungs, primary[3], *more) if arm != bar]
        cells = comparison.plan([bar, *primary[:2]], self.folds, seeds, sets)
        few = seeds[: self.args.filtered_seeds or len(seeds)]
        cells += comparison.plan(primary[2:3], self.folds, few, sets)
        cells += comparison.plan(rest, self.folds, seeds[:1], sets)
        return self._compare(cells, self.final, self.args.run, sets, self.passed(sets))

    def adjusted(self, found: comparison.Predictions) -> comparison.Predictions:
        return tuning.adjusted(found, self.divisors)

    def _compare(
        self, cells: list, recipe: Recipe, folder: Path, sets=None, passed=None
    ) -> comparison.Predictions:
        known = folder, recipe, cells, self.run.device, sets, passed, self.run.workers
        return comparison.compare(self.prepared, *known)

    def _judge(self, fold: int) -> Path:
        return self.run.classifier(self.prepared, fold)

    def tables(self, found: comparison.Predictions, bar: str) -> None:
        """Every table and figure, from the predictions alone."""
        comparison.save_scores(self.args.run, found)
        study = statistics.study(found, preset("full").resamples)
        results, together = (
            study_tables.scores(each).round(4).reset_index()
            for each in (found, predictions.committees(found))
        )
        contrasts = statistics.contrasts(study, bar)
        primary = [bar, "synthetic", "placebo", "filtered", "synthetic_only"]
        told = f"Bar {bar}; balanced accuracy in %, differences in points"
        support = self.prepared.table.drop_duplicates("group_id")["label"].value_counts()
        doubt = [power.DISCORDANCE, power.measured_discordance(found, bar)]
        for name, table, caption in (
            ("verdicts", study_tables.in_points(statistics.verdicts(study, bar), primary), told),
            ("results", results, "By lesion, folds pooled, mean of seeds"),
            ("committees", together, "Softmax of an arm's trainings averaged, then by lesion"),
            ("contrasts", contrasts.round(4), "Paired differences of balanced accuracy"),
            ("power", power.table(support.sort_index().to_numpy(), doubt), "Power 0.8"),
        ):
            print(self.run.save_table(table, name, caption).to_string(), end="\n\n")
        shown = contrasts[contrasts["arm"].isin(primary)]
        axis = comparisons.forest(shown, bar, "placebo", "Does it differ? By how much?")
        self.run.save_figure(axis.figure, "forest", "Paired differences, 95 % intervals.")
        _, recalls = study_tables.by_arm(found, primary[:3])
        axis = comparisons.recall_dots(recalls, "Recall of each class")
        self.run.save_figure(axis.figure, "recalls", "By lesion, first seed; Wilson's intervals.")


def main() -> None:
    args, start = arguments(), time.monotonic()
    study = Study(args)
    bar = study.ladder()
    if args.trap:
        study.trap()
    if args.committee:
        study.committee(bar)
    if not args.ladder:
        study.tables(study.adjusted(study.all_arms(bar)), bar.name)
        print(write_report(args.run))
    print(f"{(time.monotonic() - start) / 60:.1f} minutes")


if __name__ == "__main__":
    main()
