"""The command line: the functions that the notebooks call, with names and values checked first."""

import argparse
import contextlib
import os
import sys

from .arguments import Parser, export_flags, folder, positive, setting, whole
from .errors import NbhelpersError, UsageError, let_rank_0_speak, one_of

DATASETS = "phantom, ham10000, isic, digits, folder, phantom-histology, ebhi, pannuke or unitopatho"
# Everything heavy is imported inside the commands: --help and a mistyped flag answer at once.


def run(args: argparse.Namespace) -> int:
    from . import pipeline
    from .report import write_report

    summary = pipeline.run(
        preset=args.preset,
        dataset=args.dataset,
        source=str(args.source or ""),
        image_size=args.size,
        seed=args.seed,
        runs=str(args.runs or "runs"),
        only=[name.strip() for name in args.only.split(",") if name.strip()],
        start_from=args.start_from,
        keep_going=args.keep_going,
        overrides=dict(args.set),
        force=args.force,
        cell_seconds=args.cell_timeout,
        jobs=args.jobs,
    )
    print(f"\n{summary}")
    if args.report:
        print(f"\nreport: {write_report(summary.folder)}")
    return 0 if summary.ok else 1


def report(args: argparse.Namespace) -> int:
    from .report import write_report

    print(f"report: {write_report(args.run)}")
    return 0


def download(args: argparse.Namespace) -> int:
    one_of("download", args.name, ["ham10000", "digits", "inception"])
    if args.name == "inception":
        from .download import fetch
        from .features import INCEPTION, inception_path

        place = fetch(INCEPTION, args.to or inception_path().parent)
    else:
        from .datasets import digits, ham10000

        fetched = ham10000 if args.name == "ham10000" else digits
        place = fetched.download(args.to or _paths(args.name).raw)
    print(f"{args.name} is in {place}")
    return 0


def prepare(args: argparse.Namespace) -> int:
    from . import datasets
    from .prepare import prepare as prepared_from

    one_of("dataset", args.name, datasets.READERS)
    if args.classes and not args.to:
        raise UsageError("--classes makes a part of the data: name its folder with --to.")
    places = _paths(args.name, args.size, str(args.source or ""), args.count)
    datasets.make_built_in(args.name, places.raw, args.source, args.count)
    raw = datasets.read(args.name, places.raw)
    raw = datasets.only(raw, args.classes.split(",")) if args.classes else raw
    to = args.to or places.prepared
    made = prepared_from(raw, to, args.size, args.frame, args.folds, args.strict)
    found = made.manifest["findings"]
    counts = f"{made.manifest['images']} images of {made.manifest['lesions']} lesions or patients"
    print(f"{to}: {counts}, {made.manifest['bad_images']} bad ones left out")
    for kind, count in found.items():
        print(f"  {kind}: {count}, such as {made.manifest['examples'][kind][0]}")
    return 0


def train(args: argparse.Namespace) -> int:
    from .train_command import command

    return command(args)


def sample(args: argparse.Namespace) -> int:
    from .sampling import export

    to = export(args.run, args.count, args.to, args.class_name, args.seed, args.checkpoint)
    print(f"images in {to}: {args.count:,}")
    return 0


def translate(args: argparse.Namespace) -> int:
    from .translate_files import translate_files

    to = translate_files(args.run, args.masks, args.to, args.class_name, args.seed)
    print(f"images in {to}: {len(list(to.glob('*.png'))):,}")
    return 0


def export(args: argparse.Namespace) -> int:
    from .export import command

    return command(args)


def measure(args: argparse.Namespace) -> int:
    from . import config
    from .metrics_run import judge_of, measure_run
    from .prepare import load_prepared
    from .run_places import run_label

    label = run_label(args.run, needed=not (args.data and args.preset))
    chosen = config.preset(args.preset or label["preset"])
    data = args.data
    if not data:
        images = config.preset(label["preset"]).phantom_images
        size = int(label["image_size"])
        data = _paths(label["dataset"], size, label["source"], images).prepared
    seed = label["seed"] if args.seed is None else args.seed
    device = config.pick_device(args.device)
    prepared = load_prepared(data)
    judge = judge_of(args.run, prepared, chosen, args.fold, seed, device)
    table = measure_run(args.run, prepared, judge)
    print(f"{len(table)} rows are in {args.run / 'metrics.csv'}")
    return 0


def doctor(args: argparse.Namespace) -> int:
    from .doctor import command

    return command(args)


def _paths(dataset: str, size: int = 64, source: str = "", count: int = 1000):
    """Where the notebooks look for this data set, whatever the caller's folder is."""
    from dataclasses import replace

    from . import config
    from .run_places import project

    chosen = replace(config.preset("laptop"), phantom_images=count)
    with contextlib.chdir(project()):
        return config.paths(chosen, dataset, config.check_stored_size(size), source)


def parser() -> Parser:
    """The whole command line."""
    top = Parser(
        prog="nbhelpers",
        description="GAN-made medical images, from photographs to an honest answer.",
    )
    commands = top.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for add in (_add_run, _add_data, _add_gans):
        add(commands)
    return top


def _command(commands, function, text: str) -> Parser:
    made = commands.add_parser(function.__name__, help=text, description=text, allow_abbrev=False)
    made.set_defaults(function=function)
    return made


def _add_run(commands) -> None:
    add = _command(commands, run, "Run the notebooks in order and write a report.").add_argument
    _add_place(add)
    add("--seed", type=whole, default=0, metavar="N")
    add("--only", default="", metavar="10,21", help="just these notebooks")
    add("--from", dest="start_from", default="", metavar="20", help="this one and what needs it")
    add("--keep-going", action="store_true",
        help="after a failure, go on with what does not need it")  # fmt: skip
    add("--force", action="store_true", help="run what is up to date, too")
    add("--set", type=setting, action="append", default=[], metavar="NAME=VALUE",
        help="another parameter; 10:NAME=VALUE for notebook 10 alone")  # fmt: skip
    add("--jobs", type=positive, default=0, metavar="N",
        help="notebooks at once (default: one a GPU, or one for every eight cores)")  # fmt: skip
    add("--no-report", dest="report", action="store_false", help="leave report.html as it is")
    add("--cell-timeout", type=positive, metavar="S", help="stop a cell after so many seconds")

    text = "Write report.html of a run again."
    _command(commands, report, text).add_argument("run", type=folder, metavar="RUN")
    _add_place(_command(commands, doctor, "Say what this machine lacks for a run.").add_argument)


def _add_data(commands) -> None:
    text = "Fetch a public data set, or the weights that FID asks for."
    add = _command(commands, download, text).add_argument
    add("name", metavar="NAME", help="ham10000, digits (MNIST), inception (weights)")
    add("--to", type=folder, metavar="DIR", help="default: where the notebooks look for it")
    add = _command(commands, prepare, "Crop, resize, clean and fold raw photographs.").add_argument
    add("name", metavar="NAME", help=DATASETS)
    add("--source", type=folder, metavar="DIR", help="raw photographs; phantoms are drawn there")
    sizes = "64, 128, 256, or more for train --crop"
    add("--size", type=positive, required=True, metavar="PX", help=sizes)
    add("--to", type=folder, metavar="DIR", help="default: where the notebooks look for it")
    add("--frame", default="crop", metavar="HOW", help="crop (default) or squeeze")
    add("--folds", type=positive, default=5, metavar="N")
    add("--strict", action="store_true", help="stop at the first bad image")
    add("--count", type=positive, default=1000, metavar="N", help="images of a phantom data set")
    add("--classes", default="", metavar="A,B", help="these classes (or tissues) alone")


def _add_gans(commands) -> None:
    add = _command(commands, train, "Train one GAN on prepared data.").add_argument
    add("gan", metavar="GAN", help="dcgan, cgan, wgan, wgan_gp, sngan, acgan, progan, r3gan …")
    add("--data", type=folder, required=True, metavar="PREPARED")
    add("--run", "--to", dest="run", type=folder, required=True, metavar="DIR",
        help="the folder to fill; under torchrun, which has a --run of its own, --to")  # fmt: skip
    add("--preset", default="laptop", metavar="P", help="where budget and batch size come from")
    add("--images", type=positive, metavar="N", help="budget: images shown to the discriminator")
    add("--batch", type=positive, metavar="N", help="images in a batch")
    add("--class", dest="class_name", default="", metavar="C", help="train on one class")
    add("--order", default="", metavar="O", help="natural, or balanced: every class as often")
    add("--set", type=setting, action="append", default=[], metavar="NAME=VALUE",
        help="a setting of the GAN, such as n_critic=1 or augment=translation,colour")  # fmt: skip
    add("--crop", type=positive, default=0, metavar="PX",
        help="train on windows of so many pixels, anywhere in an image")  # fmt: skip
    add("--start-from", type=folder, metavar="DIR", help="begin with the weights of that GAN")
    add("--resume", action="store_true", help="go on with the training in --run")
    add("--seed", type=whole, default=0, metavar="N")
    _add_common(add)
    add = _command(commands, sample, "Write generated images as PNG files.").add_argument
    add("run", type=folder, metavar="RUN", help="the folder that train filled")
    add("--count", type=positive, required=True, metavar="N")
    add("--class", dest="class_name", default="", metavar="C")
    add("--seed", type=whole, default=0, metavar="N")
    add("--to", type=folder, required=True, metavar="DIR")
    add("--checkpoint", default="last", metavar="W", help="last (default), or best by KID")
    add = _command(commands, translate, "Draw the images of mask files, of any size.").add_argument
    add("run", type=folder, metavar="RUN", help="the folder that train pix2pix filled")
    add("--masks", type=folder, required=True, metavar="PATH", help="a mask, or a folder of masks")
    add("--class", dest="class_name", default="", metavar="C")
    add("--seed", type=whole, default=0, metavar="N")
    add("--to", type=folder, required=True, metavar="DIR")
    export_flags(_command(commands, export, "Hand a synthetic set to other tools.").add_argument)
    add = _command(commands, measure, "Write metrics.csv of a run.").add_argument
    add("run", type=folder, metavar="RUN", help="a folder below runs/")
    add("--data", type=folder, metavar="PREPARED", help="default: the run's own")
    add("--preset", default="", metavar="P", help="default: the run's own")
    add("--seed", type=whole, metavar="N", help="default: the run's own")
    _add_common(add)


def _add_place(add) -> None:
    """What says which run is meant."""
    add("--preset", default="laptop", metavar="P", help="smoke, laptop (default) or full")
    add("--dataset", default="phantom", metavar="NAME", help=DATASETS)
    add("--source", type=folder, metavar="DIR", help="raw photographs, where not below data/raw")
    add("--size", type=positive, default=64, metavar="PX", help="64 (default) or 128 pixels")
    add("--runs", type=folder, metavar="DIR", help="where runs are kept (default: runs)")


def _add_common(add) -> None:
    add("--fold", type=whole, default=0, metavar="K", help="the fold left out of training")
    add("--device", default="auto", metavar="D", help="auto (default), cpu, cuda or cuda:N")


COMMANDS = ("run", "report", "doctor", "download", "prepare", "train", "sample", "translate",
            "export", "measure")  # fmt: skip


def main(argv: list[str] | None = None) -> int:
    """Exit status: 0 done, 1 failed, 2 wrong usage, 130 interrupted."""
    argv = sys.argv[1:] if argv is None else argv
    try:
        if argv and not argv[0].startswith("-"):
            one_of("command", argv[0], COMMANDS)
        args = parser().parse_args(argv)
        return args.function(args)
    except NbhelpersError as error:
        _say(str(error))
        return error.exit_status
    except OSError as error:
        if isinstance(error, BrokenPipeError):
            # what we print is not wanted any more; Python must not try again while it ends
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 1
        name = f"{error.filename}: " if error.filename else ""
        _say(f"{name}{error.strerror or error}: choose another place.")
        return 1
    except KeyboardInterrupt:
        if not int(os.environ.get("RANK", 0)):  # torchrun hands the signal to all
            _say("interrupted. The same command goes on where it stopped.")
        return 130


def _say(message: str) -> None:
    rank = let_rank_0_speak()
    print(f"nbhelpers: {f'rank {rank}: ' * bool(rank)}{message}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
