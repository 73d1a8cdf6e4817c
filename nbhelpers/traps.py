"""What common mistakes report of the same classifier: lessons, never results."""

from pathlib import Path

import numpy as np
import pandas as pd
import torch

from .arms import LADDER
from .classifier import Recipe
from .comparison import compare, plan
from .neighbours import nearest
from .prepare import Prepared
from .splits import parts
from .tasks import by_image

NETWORK, NEAREST = "network", "nearest photograph"


def split_twice(
    prepared: Prepared, folder: Path, recipe: Recipe, seed: int, device: torch.device
) -> pd.DataFrame:
    """Two classifiers scored on fold 0 of an image-level and of a lesion-level split: the arm
    `real_classic`, and one that only remembers: it answers with the diagnosis of the training
    photograph whose pixels correlate best.

    Columns: classifier, split, tested (images), twins (share with a photograph of the same lesion
    in training), accuracy beside the majority share and balanced accuracy, by image, and recall of
    twins and of others: the mean over the classes that have both, as lesions photographed twice are
    rarer diagnoses (NaN where there are none).

    The honest training is kept in `folder`, for a comparison there to find, the leaky one in
    `folder/split_by_image`.
    """
    rows, apart = [], Path(folder) / "split_by_image"
    for split, data, place in (
        ("by image", by_image(prepared, seed), apart),
        ("by lesion", prepared, folder),
    ):
        part, labels = parts(data.table, 0), data.table["label"].to_numpy()
        found = compare(data, Path(place), recipe, plan(LADDER[1:2], [0], [seed]), device)
        tested = (found.table["part"] == "test").to_numpy()
        known, asked = (data.images[part[name]] for name in ("train", "test"))
        guesses = {
            NETWORK: found.softmax[tested].argmax(1),
            NEAREST: labels[part["train"]][nearest(known, asked)[0]],
        }
        lesion = data.table.get("lesion", data.table["group_id"]).to_numpy()
        twin = np.isin(lesion[part["test"]], lesion[part["train"]])
        for name, guess in guesses.items():
            told = {"classifier": name, "split": split}
            rows.append(told | _scores(labels[part["test"]], guess, twin))
    return pd.DataFrame(rows).sort_values("classifier", kind="stable").reset_index(drop=True)


def _scores(label: np.ndarray, guess: np.ndarray, twin: np.ndarray) -> dict[str, float]:
    right = pd.Series(guess == label)
    row = {"tested": len(label), "twins": twin.mean(), "accuracy": right.mean()}
    row["majority share"] = np.bincount(label).max() / len(label)
    row["balanced accuracy"] = right.groupby(label).mean().mean()
    within = right.groupby([label, twin]).mean().unstack().dropna().mean().reindex([True, False])
    return row | dict(zip(("recall of twins", "recall of others"), within, strict=True))
