"""A synthetic set leaves the course: PNG files in a layout that other tools read, the lesions that
its generator has learned from, and a card that says what the images may not be used for.
"""

import argparse
import datetime
import re
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from . import __version__, graph, sampling, splits
from .config import mix
from .datasets import ham10000
from .errors import DataError, LeakageError, UsageError, one_of
from .files import (
    BROKEN_ARRAYS,
    names_a_folder,
    read_json,
    sha256_file,
    whole_folder,
    write_atomic,
    write_json,
)
from .gans import GANS

SET = "synthetic.npz"
IMAGES = "HAM10000_images"
TABLE = f"{ham10000.METADATA}.csv"
LESIONS = "training_lesions.txt"
DATA_CARD = "DATA_CARD.md"
NEEDED = ("fold", "steps", "images_shown", "settings", "data.source", "data.licence",
          "data.training_images", "data.training_lesions")  # fmt: skip
OURS = {sampling.CARD, DATA_CARD, LESIONS, TABLE}
PICTURE = re.compile(r"[^/]+/[^/]+_\d{6,}\.png")
USE = (
    "Not for diagnosis: a GAN drew these images, none shows a patient, and a class is what the "
    "generator was asked for, which no physician has confirmed."
)


def export(
    folder: Path,
    to: Path,
    layout: str = "imagefolder",
    classes: tuple[str, ...] = (),
    count: int | None = None,
    seed: int = 0,
    passed: np.ndarray | None = None,
    filter_name: str = "unnamed",
) -> Path:
    """`to`, holding the synthetic set of the GAN in `folder` as PNG files, `card.json`,
    `DATA_CARD.md` and `training_lesions.txt`. An earlier export there is replaced.

    `layout` imagefolder is torchvision's, a folder for each class; ham10000 is what the reader of
    that name reads. `classes` takes some classes alone, `count` so many images of each, drawn by
    `seed`: fewer are a part of more. `passed` bool (N,) is what a filter let through of the set.
    An image is named by its place in its class of the set, so it has one name in every export.
    UsageError for what the set does not have; DataError for no labelled set, or a folder of other
    files; LeakageError where the lesions it has learned from are in doubt.
    """
    one_of("layout", layout, LAYOUTS)
    folder, to = Path(folder), Path(to).absolute()
    images, dx, groups = _labelled(folder)
    known = sampling.read_card(folder, "gan")
    _refuse_doubt(folder, known, groups)
    sampling.read_card(folder, *NEEDED)
    _refuse_other(passed, dx, folder / SET, filter_name)
    there = np.unique(dx).tolist()
    classes = sorted({one_of("class", name, there) for name in classes or there})
    _refuse_names(classes, layout)
    table = _named(dx, passed, known["gan"])
    chosen = _chosen(table, classes, count, seed, folder)
    made = {
        "layout": layout,
        "images": len(chosen),
        "image_size": images.shape[1],
        "classes": _counts(table, chosen, classes),
        "filter": "none" if passed is None else filter_name,
        "seed": seed,
        "set_sha256": sha256_file(folder / SET),
    }
    _refuse_foreign(to)
    _build(to, chosen, images, groups, _card(known, groups, made))
    return to


def command(args: argparse.Namespace) -> int:
    """What `nbhelpers export` does with its arguments; its exit status."""
    trained = [card.parent.name for card in sorted(args.run.glob(f"gans/*/{sampling.CARD}"))]
    folder = args.run / "gans" / one_of("GAN", args.gan, dict.fromkeys([*GANS, *trained]))
    told = args.layout, tuple(args.classes), args.count, args.seed
    told += (read_passed(args.only, folder / SET), args.only.name) if args.only else ()
    to = export(folder, args.to, *told)
    print(f"images in {to}: {read_json(to / sampling.CARD)['export']['images']:,}")
    return 0


def read_passed(path: Path, of: Path) -> np.ndarray:
    """The array `passed` of an `.npz`: what a filter let through of the synthetic set `of`.
    DataError where the file says (by SHA-256; it need not) that it was another."""
    passed = _array(path, "passed", "write it with numpy.savez(FILE, passed=...)")
    with np.load(path, allow_pickle=False) as file:
        told = str(file["of"]) if "of" in file.files else ""
    if told and of.exists() and told != sha256_file(of):
        raise DataError(f"{path} is about another set than {of} holds now: filter that again.")
    return passed


def _labelled(folder: Path) -> tuple[np.ndarray, np.ndarray, set[str]]:
    """The synthetic set of a GAN: images uint8 (N, S, S, 3), the class of each by name, and the
    lesions that the GAN's folder and the set list as seen."""
    path = folder / SET
    if not path.exists():
        gan = folder.name.partition("-")[0]
        names = (f"notebook {node.name}" for node in graph.GANS if node.name[3:] == gan)
        notebook = next(names, "the notebook of this GAN")
        raise DataError(f"{folder} holds no synthetic set: run {notebook} first.")
    remedy = "take the set of a GAN that is told the class, or was trained on one"
    names = ("labels", "images", "classes", "training_groups")
    labels, images, classes, groups = (_array(path, name, remedy) for name in names)
    right = len(labels) == len(images) and np.isin(labels, np.arange(len(classes))).all()
    if not right or images.dtype != np.uint8 or images.ndim != 4 or images.shape[3] != 3:
        raise DataError(
            f"{path}: images {images.shape} {images.dtype} and {len(labels)} labels of "
            f"{len(classes)} classes are no labelled set: sample again."
        )
    return images, classes[labels], set(groups.tolist()) | sampling.training_groups(folder)


def _array(path: Path, name: str, remedy: str) -> np.ndarray:
    try:
        with np.load(path, allow_pickle=False) as file:
            return file[name]
    except KeyError:
        raise DataError(f"{path} has no {name}: {remedy}.") from None
    except (*BROKEN_ARRAYS, TypeError) as error:  # TypeError: a lone array, no .npz
        raise DataError(f"{path} cannot be read ({error}): make it again.") from error


def _refuse_doubt(folder: Path, card: dict, groups: set[str]) -> None:
    """Raises LeakageError for a card of other lesions than `groups`: its fold would guard none."""
    if card.get("data", {}).get("training_groups_sha256") != splits.groups_hash(groups):
        raise LeakageError(
            f"{folder}: the card and the lists of training lesions do not agree: train it again."
        )


def _refuse_other(passed: np.ndarray | None, dx: np.ndarray, path: Path, name: str) -> None:
    """Raises DataError for a filter's answer that is not about the set in `path`."""
    if passed is not None and (passed.dtype != bool or passed.shape != dx.shape):
        raise DataError(
            f"filter {name}: {passed.shape} {passed.dtype} for the {len(dx)} images of {path}: "
            "filter this set again."
        )


def _named(dx: np.ndarray, passed: np.ndarray | None, gan: str) -> pd.DataFrame:
    """image_id, dx and passed of each image of the set."""
    table = pd.DataFrame({"dx": dx, "passed": True if passed is None else passed})
    place = table.groupby("dx").cumcount() + 1
    names = [f"{gan}_{name}_{i:06d}" for name, i in zip(dx, place, strict=True)]
    return table.assign(image_id=names)


def _refuse_names(classes: list[str], layout: str) -> None:
    """Raises when a class has no place in the layout."""
    for name in classes:
        if layout == "ham10000" and name not in ham10000.CLASSES:
            raise UsageError(
                f"class {name!r} is none of HAM10000's ({', '.join(ham10000.CLASSES)}): take "
                "layout imagefolder."
            )
        if not names_a_folder(name):
            raise DataError(f"class {name!r} cannot name a folder: rename it in the raw data.")


def _chosen(
    table: pd.DataFrame, classes: list[str], count: int | None, seed: int, folder: Path
) -> pd.DataFrame:
    """The rows to export, in the order of the set."""
    shuffled = table.iloc[np.random.default_rng(mix(seed)).permutation(len(table))]
    some = shuffled[shuffled["passed"] & shuffled["dx"].isin(classes)]
    if some.empty:
        raise DataError(f"no image of {folder / SET} passed: filter less, or sample more.")
    there = some["dx"].value_counts().reindex(classes, fill_value=0)
    if count is not None and not 1 <= count <= there.min():
        name = there.idxmin()
        raise UsageError(
            f"count is {count} and class {name!r} has {there[name]} images to export: ask for "
            f"at least 1 and at most that, or draw more with `nbhelpers sample {folder} --class "
            f"{name} --count {count} --to DIR`."
        )
    return some.groupby("dx").head(count or len(some)).sort_index()


def _counts(table: pd.DataFrame, chosen: pd.DataFrame, classes: list[str]) -> dict:
    """Images of each class that were made, that passed, and that are exported."""
    each = table.groupby("dx")["passed"].agg(made="size", passed="sum")
    each["exported"] = chosen["dx"].value_counts()
    return each.loc[classes].fillna(0).astype(int).to_dict("index")


def _card(known: dict, groups: set[str], made: dict) -> dict:
    """The GAN's own card, and what there is to say of these images."""
    fold, licence = known["fold"], known["data"]["licence"]
    terms = "What is derived from these data keeps their terms."
    if "-NC" in licence:
        terms = "What is derived from CC BY-NC data stays non-commercial: so do these images."
    guard = (
        f"The generator of fold {fold} has learned from the {len(groups)} lesions in {LESIONS}. "
        "Never test or tune a classifier that is given these images on one of them: in this course "
        f"use the set with fold {fold} alone; elsewhere look for your test lesions in that file "
        "first. (Lesions that share a photograph stand there under one id, the group_id of the "
        "prepared data.)"
    )
    today = {"date": str(datetime.date.today()), "nbhelpers": __version__}
    return known | {
        "synthetic": True,
        "use": USE,
        "leak_guard": guard,
        "licence": f"{licence}. {terms}",
        "export": made | today,
    }


def _in_words(card: dict) -> str:
    """The card as a page of Markdown."""
    data, made = card["data"], card["export"]
    counts = {name: " | ".join(map(str, of.values())) for name, of in made["classes"].items()}
    facts = {
        "source data": data["source"],
        "training part": f"fold {card['fold']}: {data['training_images']} images of "
        f"{data['training_lesions']} lesions",
        f"training_groups_sha256 (of {LESIONS})": data["training_groups_sha256"],
        "GAN": f"{card['gan']}, {card['steps']} steps, {card['images_shown']} images shown",
        "settings": ", ".join(f"{name} {value}" for name, value in card["settings"].items()),
        "image size": f"{made['image_size']} x {made['image_size']} pixels, PNG",
        "filter": made["filter"],
        "seed of the selection": made["seed"],
        f"SHA-256 of {SET}": made["set_sha256"],
        "exported": f"{made['date']}, nbhelpers {made['nbhelpers']}, layout {made['layout']}",
    }
    lines = [
        f"# {made['images']} synthetic images by {card['gan']}\n",
        f"**{USE}**\n",
        f"**Leak guard.** {card['leak_guard']}\n",
        f"**Licence of the training data.** {card['licence']}\n",
        *("| class | made | passed the filter | exported |", "|---|---|---|---|"),
        *(f"| {name} | {numbers} |" for name, numbers in counts.items()),
        *("", "| | |", "|---|---|"),
        *(f"| {name} | {value} |" for name, value in facts.items()),
    ]
    return "\n".join(lines) + "\n"


def _build(to: Path, chosen: pd.DataFrame, images: np.ndarray, groups: set[str], card: dict):
    """Fills a folder beside `to` and moves it into place."""
    with whole_folder(to) as building:
        LAYOUTS[card["export"]["layout"]](building, chosen, images)
        write_atomic(building / LESIONS, "\n".join(sorted(groups)).encode())
        write_atomic(building / DATA_CARD, _in_words(card).encode())
        write_json(building / sampling.CARD, card)


def _refuse_foreign(to: Path) -> None:
    """Raises DataError when `to` holds anything but an earlier export: it is replaced."""
    if to.exists() and not to.is_dir():
        raise DataError(f"{to} is a file: name a folder.")
    there = {path.relative_to(to).as_posix() for path in to.rglob("*") if not path.is_dir()}
    foreign = sorted(there)
    if sampling.CARD in there and "export" in read_json(to / sampling.CARD):
        foreign = sorted(name for name in there - OURS if not PICTURE.fullmatch(name))
    if foreign:
        raise DataError(
            f"{to} holds {foreign[0]}, no earlier export: choose an empty folder, or move it away."
        )


def _as_imagefolder(folder: Path, chosen: pd.DataFrame, images: np.ndarray) -> None:
    for row, one in chosen.iterrows():
        path = folder / one["dx"] / f"{one['image_id']}.png"
        sampling.write_picture(path, Image.fromarray(images[row]))


def _as_ham10000(folder: Path, chosen: pd.DataFrame, images: np.ndarray) -> None:
    rows = chosen.assign(
        lesion_id="SYN_" + chosen["image_id"], dx_type="synthetic", age="", sex="unknown",
        localization="unknown", synthetic=1,
    )  # fmt: skip
    _as_imagefolder(folder, chosen.assign(dx=IMAGES), images)
    columns = [*ham10000.METADATA_COLUMNS, "synthetic"]
    write_atomic(folder / TABLE, rows[columns].to_csv(index=False).encode())


LAYOUTS = {"imagefolder": _as_imagefolder, "ham10000": _as_ham10000}
