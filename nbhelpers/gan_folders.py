"""What a trained GAN's folder holds, for those who read it."""

from contextlib import suppress
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from . import sampling, splits
from .errors import CheckpointError, LeakageError
from .gans import GANS
from .prepare import Prepared
from .sampling import read_card


def sample_sheets(folder: Path) -> tuple[list[int], list[np.ndarray]]:
    """The images D had been shown at each picture taken on the way, and the pictures, uint8 (H, W,
    3)."""
    files = sorted((folder / "samples").glob("*.png"))
    return [int(file.stem) for file in files], [
        np.asarray(Image.open(file).convert("RGB")) for file in files
    ]


def trained(run_folder: Path) -> dict[str, Path]:
    """The finished GANs of a run, by name, in the course's order. CheckpointError when there is
    none."""
    folders = {name: run_folder / "gans" / name for name in GANS}
    finished = {
        name: folder for name, folder in folders.items() if (folder / sampling.CARD).exists()
    }
    if not finished:
        raise CheckpointError(
            f"{run_folder} holds no trained GAN: run a GAN's notebook first, 10_dcgan for example."
        )
    return finished


def training_rows(folder: Path, prepared: Prepared) -> np.ndarray:
    """Row numbers of the photographs whose lesions the GAN in `folder` has seen."""
    return np.flatnonzero(prepared.table["group_id"].isin(sampling.training_groups(folder)))


def held_out_rows(folder: Path, prepared: Prepared) -> np.ndarray:
    """Row numbers of the test part of the GAN's fold; LeakageError when it has seen a lesion of
    it."""
    refuse_other_data(folder, prepared)
    rows = splits.parts(prepared.table, read_card(folder, "fold")["fold"])["test"]
    groups = prepared.table["group_id"].iloc[rows]
    splits.refuse_overlap(sampling.training_groups(folder), groups, folder.name)
    return rows


def refuse_other_data(folder: Path, prepared: Prepared) -> None:
    """Raises LeakageError when the GAN's card names other photographs: equal lesion ids of two data
    sets prove nothing. A folder without a card is judged by the lesions it lists alone."""
    card = read_card(folder) if (folder / sampling.CARD).exists() else {}
    known = card.get("data", {}).get("images_sha256")
    if known is not None and known != prepared.manifest["sha256"]["images.npy"]:
        raise LeakageError(
            f"{folder} was trained on other prepared data than {prepared.folder}: train it again, "
            "or name the data it was trained on."
        )


def read_table(path: Path) -> pd.DataFrame:
    """A CSV that is to be written again: to the last bit the numbers that stand in it (pandas 2
    would round them)."""
    table = pd.read_csv(path, dtype=str)
    for name in table:
        for kind in (int, float):  # text where neither fits
            with suppress(ValueError):
                table[name] = table[name].astype(kind)
                break
    return table
