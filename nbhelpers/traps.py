"""What common mistakes report of the same classifier: lessons, never results."""

from pathlib import Path

import numpy as np
import pandas as pd
import torch

from .arms import LADDER
from .classifier import Recipe
from .comparison import compare, plan
from .prepare import Prepared
from .splits import parts
from .tasks import by_image


def split_twice(
    prepared: Prepared, folder: Path, recipe: Recipe, seed: int, device: torch.device
) -> pd.DataFrame:
    """The arm `real_classic` trained and scored on fold 0 of an image-level and of a lesion-level
    split. Columns: split, tested (images), twins (share with a photograph of the same lesion in
    training), accuracy beside the majority share and balanced accuracy, by image, and recall of
    twins and of others: the mean over the classes that have both, as lesions photographed twice are
    rarer diagnoses (NaN where there are none).

    The honest training is kept in `folder`, for a comparison there to find, the leaky one in
    `folder/split_by_image`.
    """
    rows, apart = [], Path(folder) / "split_by_image"
    for name, data, place in (
        ("image", by_image(prepared, seed), apart),
        ("lesion", prepared, folder),
    ):
        cells, part = plan(LADDER[1:2], [0], [seed]), parts(data.table, 0)
        found = compare(data, Path(place), recipe, cells, device)
        tested = (found.table["part"] == "test").to_numpy()
        label = found.table["label"].to_numpy()[tested]
        right = found.softmax[tested].argmax(1) == label
        lesion = data.table.get("lesion", data.table["group_id"]).to_numpy()
        twin = np.isin(lesion[part["test"]], lesion[part["train"]])
        row = {"split": f"by {name}", "tested": len(label), "twins": twin.mean()}
        row |= {"accuracy": right.mean(), "majority share": np.bincount(label).max() / len(label)}
        row["balanced accuracy"] = pd.Series(right).groupby(label).mean().mean()
        within = pd.Series(right).groupby([label, twin]).mean().unstack().dropna()
        within = within.mean().reindex([True, False])
        rows.append(row | dict(zip(("recall of twins", "recall of others"), within, strict=True)))
    return pd.DataFrame(rows)
