"""A notebook on a machine that is lent (Colab, Kaggle): the standard library alone, until the rest
is there."""

import importlib.metadata
import importlib.util
import os
import re
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

from .errors import UsageError

ROOT = Path(__file__).resolve().parents[1]
BROUGHT = ("torch", "torchvision", "numpy", "pandas")  # the host's own fit its GPU: never touched
INSTEAD = ("jupyterlab",)  # the host has a page and a server of its own
DRIVE = Path("/content/drive")


def on_colab() -> bool:
    """Whether this is a Colab machine."""
    return "google.colab" in sys.modules or _found("google.colab")


def on_kaggle() -> bool:
    """Whether this is a Kaggle machine."""
    return "KAGGLE_KERNEL_RUN_TYPE" in os.environ


def ready(drive: bool = False) -> None:
    """On Colab and Kaggle: installs what the course needs and the machine lacks; elsewhere nothing
    is done. With `drive`, on Colab, data and runs live in Google Drive: the same notebook on
    tomorrow's machine goes on where it stopped.

    UsageError where torch is missing, or runs are here already that Drive does not know.
    """
    if not on_colab() and not on_kaggle():
        return
    install(lacking())
    if drive and on_colab():
        keep_in_drive()


def lacking() -> list[str]:
    """What pyproject.toml asks for, notebooks use and is not installed. UsageError where that is
    one of `BROUGHT`."""
    wanted = {name: line for name, line in requirements().items() if name not in INSTEAD}
    missing = {name: line for name, line in wanted.items() if not version(name)}
    if gone := [name for name in BROUGHT if name in missing]:
        raise UsageError(
            f"this machine brings no {gone[0]}: choose a runtime with it, one made for PyTorch."
        )
    return list(missing.values())


def requirements() -> dict[str, str]:
    """What pyproject.toml asks for: each package's name and its whole line."""
    with open(ROOT / "pyproject.toml", "rb") as file:
        wanted = tomllib.load(file)["project"]["dependencies"]
    return {re.match(r"[\w-]+", line)[0]: line for line in wanted}


def version(package: str) -> str:
    """The version that is installed, "" where none is."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ""


def install(packages: list[str]) -> None:
    """Installs them, with what the host has brought held at its versions."""
    if not packages:
        return
    print(f"installing {', '.join(packages)}")
    with tempfile.TemporaryDirectory() as folder:
        held = Path(folder) / "held.txt"
        held.write_text("".join(f"{name}=={version(name)}\n" for name in BROUGHT))
        pip = [sys.executable, "-m", "pip", "install", "-q", "-c", str(held)]
        subprocess.run([*pip, *packages], check=True)


def keep_in_drive(root: Path = ROOT) -> Path:
    """Mounts Google Drive; from here on data are read and written there, and `runs/` is a link to
    its folder."""
    from google.colab import drive

    drive.mount(str(DRIVE))
    home = DRIVE / "MyDrive" / root.name
    for name in ("data", "runs"):
        (home / name).mkdir(parents=True, exist_ok=True)
    os.environ["NBHELPERS_DATA"] = str(home / "data")
    runs = root / "runs"
    if runs.is_dir() and not runs.is_symlink():
        if any(runs.iterdir()):
            raise UsageError(
                f"{runs} holds runs that are not in Drive: move them to {home / 'runs'}, delete "
                "the folder and run this cell again."
            )
        runs.rmdir()
    if not runs.is_symlink():
        runs.symlink_to(home / "runs", target_is_directory=True)
    print(f"data and runs are kept in {home}")
    return home


def _found(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False
