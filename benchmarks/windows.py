"""Ways of doing one thing, measured in turn: what disturbs a noisy machine disturbs them alike."""

import time
from collections.abc import Callable
from dataclasses import astuple, dataclass, fields
from pathlib import Path

import numpy as np
import pandas as pd

WINDOWS = 5


@dataclass(frozen=True)
class Row:
    """One line of results.csv. `ratio` says how many times the speed of the usual way it is, the
    median over windows; `lowest` and `highest` are those of the windows' values."""

    group: str
    name: str
    variant: str
    value: float
    unit: str
    ratio: float = np.nan
    lowest: float = np.nan
    highest: float = np.nan


def table(rows: list[Row]) -> pd.DataFrame:
    return pd.DataFrame(map(astuple, rows), columns=[field.name for field in fields(Row)])


def speeds(ways: dict[str, Callable[[], int]], windows: int = WINDOWS) -> pd.DataFrame:
    """What each way does a second: a row a window, a column a way. A way says how many things it
    has done. One window more warms up."""
    found: list[dict[str, float]] = []
    for _ in range(windows + 1):
        found.append({})
        for name, work in ways.items():
            start = time.perf_counter()
            done = work()
            found[-1][name] = done / (time.perf_counter() - start)
    return pd.DataFrame(found[1:])


def rows(group: str, name: str, unit: str, found: pd.DataFrame) -> list[Row]:
    """A row a way; the first way is the usual one."""
    ratios = found.div(found.iloc[:, 0], axis=0).median()
    numbers = zip(found, found.median(), ratios, found.min(), found.max(), strict=True)
    return [
        Row(group, name, way, value, unit, ratio, lowest, highest)
        for way, value, ratio, lowest, highest in numbers
    ]


def noise_photographs(count: int, size: int) -> np.ndarray:
    """uint8 (count, size, size, 3): what they show changes no speed."""
    return np.random.default_rng(0).integers(0, 256, (count, size, size, 3), dtype=np.uint8)


def sparse_photographs(file: Path, count: int, size: int = 64) -> np.ndarray:
    """As many black pictures, uint8 and memory-mapped, in a file that takes no room on a disk."""
    return np.lib.format.open_memmap(file, "w+", np.uint8, (count, size, size, 3))
