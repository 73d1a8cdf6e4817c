"""Whether two folders hold the same, byte for byte, but for what a clock said."""

import io
import json
from pathlib import Path

import numpy as np
import pandas as pd
from small_gans import equal

from nbhelpers import checkpoints
from nbhelpers.errors import CheckpointError

TIMES = ("minutes", "date", "seconds")  # on a card, in a table or in a checkpoint


def refuse_unlike(one: Path, other: Path, leave_out: tuple[str, ...] = ()) -> int:
    """How many files were compared. AssertionError that names those that differ, or that one folder
    lacks; names that begin with one of `leave_out` do not count."""
    first, second = ({*files(folder, leave_out)} for folder in (one, other))
    assert first == second, sorted(first ^ second)
    unlike = sorted(name for name in first if not same(one / name, other / name))
    assert not unlike, unlike
    return len(first)


def files(folder: Path, leave_out: tuple[str, ...]) -> list[str]:
    names = (p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())
    return [name for name in names if not name.startswith(leave_out)]


def same(one: Path, other: Path) -> bool:
    return one.read_bytes() == other.read_bytes() or equal(told(one), told(other))


def told(path: Path):
    """What a file says beside the time."""
    content = path.read_bytes()
    if path.suffix == ".json":
        return timeless(json.loads(content))
    if path.suffix == ".csv":
        table = pd.read_csv(io.BytesIO(content), comment="#", dtype=str)
        return table.drop(columns=[name for name in TIMES if name in table]).to_csv()
    if path.suffix == ".npz":
        with np.load(path) as arrays:
            return {k: arrays[k].tobytes() for k in arrays.files if k not in TIMES}
    if path.suffix == ".pt":
        try:
            return timeless(checkpoints.read(path))
        except CheckpointError:
            return content
    return content


def timeless(value):
    if isinstance(value, dict):
        return {key: timeless(one) for key, one in value.items() if key not in TIMES}
    return [timeless(one) for one in value] if isinstance(value, list) else value
