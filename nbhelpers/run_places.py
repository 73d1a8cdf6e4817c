"""Where a run's files are, and how its folders are named so that they mean the same everywhere."""

import contextlib
import sys
from pathlib import Path
from typing import Any

from . import config, datasets
from .errors import DataError, UsageError, one_of
from .files import read_json


def run_label(folder: Path, needed: bool = True) -> dict[str, Any]:
    """What a run was told: preset, dataset, source, image_size, seed.

    A folder filled by hand in JupyterLab has no summary: there its name tells. Where that tells
    nothing, DataError, or seed 0 alone unless the rest is `needed`.
    """
    try:
        return read_json(folder / "state" / "summary.json")
    except DataError:
        preset, _, rest = folder.name.partition("-")
        dataset, _, size = rest.rpartition("-")
    if not (size.isdecimal() or needed):
        return {"seed": 0}
    if not size.isdecimal():
        raise DataError(f"{folder} is no run folder: give one below runs/, or --data and --preset.")
    told = {"preset": preset, "dataset": dataset, "source": ""}
    return told | {"image_size": int(size), "seed": 0}


def project() -> Path:
    """The project's folder: around the caller's folder, else around this package.

    Raises UsageError when neither has notebooks.
    """
    root = config.project_root()
    if not config.is_project(root):  # a run's folder has notebooks/, too
        raise UsageError(
            "there is no notebooks/ folder here or above: change into the project's folder first."
        )
    return root


def portable(text: str, root: Path) -> str:
    """A folder as notebooks get it: below the project or the home where it can be.

    So no machine path shows.
    """
    if not text:
        return ""
    path = (root / Path(text).expanduser()).resolve()
    for base, prefix in ((root.resolve(), Path()), (Path.home().resolve(), Path("~"))):
        if path.is_relative_to(base):
            return (prefix / path.relative_to(base)).as_posix()
    return str(path)


def left_by(notebook: str, folder: Path, file: str) -> Path:
    """The path of a file of the run `folder` that a notebook writes; DataError that names both when
    it is missing."""
    if not (folder / file).exists():
        raise DataError(f"{folder / file} is missing: run notebook {notebook} first.")
    return folder / file


def places(root: Path, preset, dataset, source, image_size, seed, runs) -> config.Paths:
    """Where this run's files are; UsageError names a parameter that cannot be meant."""
    chosen = config.preset(preset)
    one_of("dataset", dataset, datasets.READERS)
    if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
        raise UsageError(f"seed is {seed!r}: expected a whole number, 0 or more.")
    for name, value in {"source": source, "runs": runs}.items():
        if not isinstance(value, str):
            raise UsageError(f"{name} is {value!r}: expected text, the path of a folder.")
    with contextlib.chdir(root):  # the notebooks look for the project from inside it
        return config.paths(
            chosen, dataset, config.check_size(image_size, config.NOTEBOOK_SIZES), source, runs
        )


def hidden(root: Path, source: str, paths: config.Paths) -> dict[str, str]:
    found = {
        str(root): ".",
        str(Path.home()): "~",
        sys.prefix: "<python>",
        str(paths.run.parent): "runs",
    }
    if source:
        found[str(paths.raw.parent)] = "…"
    return {path: shown for path, shown in found.items() if len(path) > 1}
