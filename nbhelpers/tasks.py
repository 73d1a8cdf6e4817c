"""What a classifier is asked: all diagnoses, the three largest, or whether it is malignant."""

from dataclasses import replace

import numpy as np

from .config import FOLDS
from .errors import one_of
from .prepare import Prepared
from .splits import NOTED, assign_folds, noted

MALIGNANT = ("mel", "bcc", "akiec")
# Class asked for, by diagnosis; diagnoses that are not named are left out. "all" keeps every one.
TASKS: dict[str, dict[str, str]] = {
    "all": {},
    "three": {dx: dx for dx in ("nv", "mel", "bkl")},
    "malignant": {dx: "malignant" for dx in MALIGNANT}
    | {dx: "benign" for dx in ("nv", "bkl", "df", "vasc")},
}


def task(prepared: Prepared, name: str) -> Prepared:
    """The prepared data with the classes of a task, each lesion in the same fold and part. The
    manifest says under `of` what became of each diagnosis ("": left out), for synthetic sets made
    with all of them.

    UsageError for an unknown task, or one that asks for diagnoses that these data do not have.
    """
    of = TASKS[one_of("task", name, TASKS)]
    if not of:
        return prepared
    for dx in of:
        one_of(f"diagnosis of task {name!r}", dx, prepared.classes)
    classes = tuple(dict.fromkeys(of.values()))
    table = noted(prepared.table).assign(diagnosis=prepared.table["dx"])
    table["dx"] = table["diagnosis"].map(of)
    rows = np.flatnonzero(table["dx"].notna())
    table = table.iloc[rows].reset_index(drop=True)
    table["label"] = table["dx"].map(classes.index)
    told = {"task": name, "of": {dx: of.get(dx, "") for dx in prepared.classes}}
    every = len(rows) == len(prepared.table)
    return replace(
        prepared,
        images=prepared.images if every else prepared.images[rows],
        masks=None if prepared.masks is None else prepared.masks[rows],
        table=table,
        classes=classes,
        manifest=prepared.manifest | told,
    )


def by_image(prepared: Prepared, seed: int = 0) -> Prepared:
    """The same photographs split by image, as most scripts do: two of one lesion can stand on both
    sides. A lesson, never a result; the manifest's task says so, after the task of `prepared`.
    `lesion` keeps who is who."""
    table = prepared.table.drop(columns=NOTED, errors="ignore")
    table = table.assign(lesion=table["group_id"])
    table["group_id"] = table["image_id"]
    table["fold"] = assign_folds(table, FOLDS, seed)
    told = f"{prepared.manifest.get('task', '')} split by image".strip()
    return replace(prepared, table=table, manifest=prepared.manifest | {"task": told})
