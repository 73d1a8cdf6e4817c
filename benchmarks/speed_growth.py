"""What a cost follows: DCGAN's step and the reading of batches, against pictures, sides, classes
and ranks. Each fitted exponent stands beside the expected one.

Run by torchrun, this file is the rank that the last of them measures.
"""

import subprocess
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from speed_data import on_disk
from speed_steps import training
from windows import Row, sparse_photographs, speeds

from nbhelpers import ranks
from nbhelpers.launcher import torchrun
from nbhelpers.training_images import Budget

IMAGES = (1_000, 10_000, 100_000, 1_000_000)  # the last are 12 GB, in a file without content
SIDES = (32, 64, 128)
CLASSES = (2, 8, 32, 128)
RANKS = (1, 2)
BATCH = 32
EXPECTED = {"images": 0, "side": 2, "classes": 0, "ranks": -1}
UNITS = {
    "images": "ms to read a batch",
    "side": "ms an image, DCGAN",
    "classes": "ms an image, cGAN",
    "ranks": "ms an image, one thread a rank",
}


def measured(device: torch.device) -> list[Row]:
    costs = {
        "images": _reading(),
        "side": _together({n: training("dcgan", device, n, batch=BATCH) for n in SIDES}),
        "classes": _together({n: training("cgan", device, classes=n) for n in CLASSES}),
        "ranks": _ranks() if device.type == "cpu" else {},
    }
    return [row for what, cost in costs.items() if cost for row in _rows(what, cost)]


def _rows(what: str, cost: dict[int, float]) -> list[Row]:
    name = f"cost against {what}"
    found = [Row("growth", name, f"{n}", value, UNITS[what]) for n, value in cost.items()]
    slope = exponent(pd.Series(cost))
    return [*found, Row("growth", name, f"exponent (expected {EXPECTED[what]})", slope, "")]


def exponent(cost: pd.Series) -> float:
    """Of the power of the index that the values follow."""
    return float(np.polyfit(np.log(cost.index.astype(float)), np.log(cost), 1)[0])


def _reading() -> dict[int, float]:
    with tempfile.TemporaryDirectory() as folder:
        ways = {}
        for n in IMAGES:
            stream = on_disk(sparse_photographs(Path(folder) / f"{n}.npy", n))
            ways[n] = lambda stream=stream: _read(stream)
        return _milliseconds(speeds(ways))


def _read(stream, batches: int = 100) -> int:
    for k in range(batches):
        stream.batch(stream.rows(k, Budget(batches * BATCH, BATCH)))
    return batches


def _together(trainings: dict) -> dict[int, float]:
    return _milliseconds(speeds({n: lambda one=one: _play(one) for n, one in trainings.items()}))


def _play(one, steps: int = 2) -> int:
    for _ in range(steps):
        one._play()
    return steps * one.images_per_step


def _milliseconds(found: pd.DataFrame) -> dict[int, float]:
    return (1e3 / found.median()).to_dict()


def _ranks() -> dict[int, float]:
    return {n: _torchrun(n) for n in RANKS}


def _torchrun(count: int) -> float:
    call = [*torchrun(count), __file__]
    told = subprocess.run(call, check=True, capture_output=True, text=True).stdout
    return float(told.strip().splitlines()[-1])


def _one_rank() -> None:
    torch.set_num_threads(1)
    with ranks.joined(torch.device("cpu")) as device:
        one = training("dcgan", device, batch=BATCH)
        found = _milliseconds(speeds({0: lambda: _play(one)}))
        if ranks.rank() == 0:
            print(found[0])


if __name__ == "__main__":
    _one_rank()
