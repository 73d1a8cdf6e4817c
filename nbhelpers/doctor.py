"""What this machine has and lacks, tried and not merely looked up."""

import importlib.metadata
import os
import platform
import shutil
import sys
import tempfile
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from .errors import NbhelpersError
from .files import sha256_file

ENOUGH_DISK = 5e9  # bytes: one run with its prepared data
DOWNLOADED = ("ham10000", "digits")  # data that `nbhelpers download` fetches
ENOUGH_MEMORY = 4e9


@dataclass(frozen=True)
class Finding:
    """One line of the examination. Something optional that is missing is a note, and `ok`."""

    what: str
    found: str
    remedy: str = ""
    required: bool = True

    @property
    def ok(self) -> bool:
        return not (self.remedy and self.required)

    def __str__(self) -> str:
        mark = "ok" if not self.remedy else "FAILED" if self.required else "note"
        text = f"{mark:<7} {self.what:<20} {self.found}"
        return f"{text}: {self.remedy}" if self.remedy else text


def examine(root: Path | None = None) -> list[Finding]:
    """Findings on interpreter, packages, device, room, kernel, folders, data and weights."""
    from .run_places import project

    root = root or project()
    findings = [_python(), *_packages(root)]
    for what, check in _checks(root):
        try:
            findings += check()
        except Exception as error:  # a broken installation may raise anything
            reason = (str(error).strip() or repr(error)).splitlines()[0]
            findings.append(Finding(what, type(error).__name__, reason))
    return findings


def _checks(root: Path) -> list[tuple[str, Callable[[], Iterator[Finding]]]]:
    return [
        ("torchvision", _operators),
        ("device", _device),
        ("room", lambda: _room(root)),
        ("kernel", lambda: _kernel(root)),
        ("folders", lambda: _folders(root)),
        ("data", lambda: _data(root)),
        ("weights", _weights),
    ]


def _python() -> Finding:
    remedy = "" if sys.version_info >= (3, 11) else "install Python 3.11 or newer"
    return Finding("python", f"{platform.python_version()} on {platform.platform()}", remedy)


def _packages(root: Path) -> Iterator[Finding]:
    """Every package that `pyproject.toml` asks for, with its version."""
    from packaging.requirements import Requirement

    with open(root / "pyproject.toml", "rb") as file:
        wanted = tomllib.load(file)["project"]["dependencies"]
    for requirement in map(Requirement, wanted):
        try:
            version = importlib.metadata.version(requirement.name)
        except importlib.metadata.PackageNotFoundError:
            yield Finding(requirement.name, "missing", f'pip install "{requirement}"')
            continue
        fits = requirement.specifier.contains(version, prereleases=True)
        yield Finding(requirement.name, version, "" if fits else f'pip install "{requirement}"')


def _operators() -> Iterator[Finding]:
    """A compiled operator of torchvision, which fails when its build is not torch's."""
    import torch

    try:
        from torchvision.ops import nms

        kept = nms(torch.tensor([[0.0, 0, 2, 2], [0, 0, 2, 2]]), torch.tensor([0.9, 0.8]), 0.5)
        fits = kept.tolist() == [0]
    except Exception:
        fits = False
    remedy = "" if fits else "install torch and torchvision together, from one place"
    yield Finding("torch + torchvision", "one build" if fits else "do not match", remedy)


def _device() -> Iterator[Finding]:
    import psutil
    import torch

    from .config import pick_device
    from .training import precision

    device = pick_device()
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.machine()
    yield Finding("device", f"{device.type} ({name}), training in {precision(device)}")
    yield Finding("cores", f"{psutil.cpu_count(logical=False) or os.cpu_count()}")


def _room(root: Path) -> Iterator[Finding]:
    import psutil

    memory, disk = psutil.virtual_memory().available, shutil.disk_usage(root).free
    short = "close other programs, or use --preset smoke"
    yield _amount("memory free", memory, ENOUGH_MEMORY, short)
    yield _amount("disk free", disk, ENOUGH_DISK, "free space, or choose another --runs")


def _amount(what: str, size: float, enough: float, remedy: str) -> Finding:
    return Finding(what, f"{size / 1e9:.1f} GB", "" if size >= enough else remedy, required=False)


def _kernel(root: Path) -> Iterator[Finding]:
    """A kernel of this interpreter, started, asked and stopped."""
    import nbformat
    from nbclient import NotebookClient

    from .execution import this_python

    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("6 * 7")])
    manager = this_python(root)
    NotebookClient(notebook, kernel_manager_class=manager, kernel_name="python3").execute()
    right = notebook.cells[0].outputs[0].data["text/plain"] == "42"
    yield Finding("kernel", "starts and answers", "" if right else "pip install -U ipykernel")


def _folders(root: Path) -> Iterator[Finding]:
    for name, place in {"runs": root / "runs", "data": data_folder(root)}.items():
        there = next(p for p in (place, *place.parents) if p.exists())
        try:
            with tempfile.TemporaryFile(dir=there):
                yield Finding(f"{name} folder", "can be written")
        except OSError as error:
            yield Finding(f"{name} folder", error.strerror, f"make {there} writable")


def data_folder(root: Path) -> Path:
    return Path(os.environ.get("NBHELPERS_DATA", root / "data"))


def _data(root: Path) -> Iterator[Finding]:
    from .datasets import BUILT_IN, READERS, read
    from .prepare import load_prepared

    for name in BUILT_IN:
        yield Finding(f"data: {name}", "is drawn when it is needed")
    for name in (name for name in READERS if name not in (*BUILT_IN, "folder")):
        place = data_folder(root) / "raw" / name
        try:
            yield Finding(f"data: {name}", f"{len(read(name, place).table)} images")
        except NbhelpersError:
            fetched = f"nbhelpers download {name}, or " * (name in DOWNLOADED)
            remedy = f"{fetched}--source DIR with a copy of yours (data/README.md)"
            yield Finding(f"data: {name}", "not here", remedy, required=False)
    made = sorted((data_folder(root) / "prepared").glob("[!.]*/manifest.json"))
    for folder in (manifest.parent for manifest in made):
        try:
            yield Finding(f"prepared: {folder.name}", f"{len(load_prepared(folder).table)} images")
        except NbhelpersError as error:
            yield Finding(f"prepared: {folder.name}", "cannot be used", str(error))
    if not made:
        yield Finding("prepared", "nothing yet")


def _weights() -> Iterator[Finding]:
    """Pretrained networks in torch's cache. None is needed: what lacks one says so in its place.
    One that is damaged stops what asks for it."""
    from .backbones import PUBLISHED, digest_in_name, imagenet_file
    from .features import INCEPTION, inception_path

    for name in PUBLISHED:
        file, without = imagenet_file(name), "training starts from random weights"
        yield _optional(f"ImageNet {name}", file, digest_in_name(file), without)
    without = "FID in Inception's features is not computed: nbhelpers download inception"
    yield _optional("Inception", inception_path(), INCEPTION.sha256, without)


def _optional(what: str, file: Path, digest: str, without: str) -> Finding:
    if not file.exists():
        return Finding(what, "not here", without, required=False)
    if not sha256_file(file).startswith(digest):
        return Finding(what, "damaged (SHA-256 differs)", f"delete {file} and fetch it again")
    return Finding(what, "here")
