"""What this machine has and lacks, tried and not merely looked up."""

import argparse
import functools
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from .errors import NbhelpersError
from .files import existing, sha256_file
from .hosted import requirements, version

if TYPE_CHECKING:  # what imports torch is tried, and may not be there
    from .config import Paths
    from .datasets import RawDataset

    Reader = Callable[[str, Path], RawDataset]

# Bytes that a whole run writes below runs/ at 64 px, and bytes of memory at its worst moment. The
# first two were seen on phantoms and rounded up; full is reckoned from the weights of its networks
NEEDS = {"smoke": (1e9, 2e9), "laptop": (5e9, 4e9), "full": (30e9, 8e9)}
MISSING = "missing"
OPENED = 200  # photographs of the data set that is asked for, to see whether they are whole


@dataclass(frozen=True)
class Plan:
    """The run that is planned, as `nbhelpers run` is told it: what it needs must be there."""

    preset: str = "laptop"
    dataset: str = "phantom"
    source: str = ""
    image_size: int = 64
    runs: str = "runs"


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


def command(args: argparse.Namespace) -> int:
    """What `nbhelpers doctor` does with its arguments; its exit status."""
    told = args.preset, args.dataset, str(args.source or ""), args.size, str(args.runs or "runs")
    findings = examine(plan=Plan(*told))
    print("\n".join(map(str, findings)))
    return 0 if all(finding.ok for finding in findings) else 1


def examine(root: Path | None = None, plan: Plan | None = None) -> list[Finding]:
    """Findings on interpreter and packages and, where none is missing, on device, room, kernel,
    folders, data and weights. UsageError for a `plan` that cannot be meant."""
    findings = [_python(), *_packages()]
    if any(finding.found == MISSING for finding in findings):
        return findings
    from .run_places import places, project

    root, plan = root or project(), plan or Plan()
    told = plan.preset, plan.dataset, plan.source, plan.image_size, 0, plan.runs
    for what, check in _checks(root, plan, places(root, *told)):
        try:
            findings += check()
        except Exception as error:  # a broken installation may raise anything
            reason = (str(error).strip() or repr(error)).splitlines()[0]
            findings.append(Finding(what, type(error).__name__, reason))
    return findings


def _checks(
    root: Path, plan: Plan, where: "Paths"
) -> list[tuple[str, Callable[[], Iterator[Finding]]]]:
    @functools.cache
    def raw(name: str, folder: Path) -> "RawDataset":
        """A data set, read once however many checks ask for it."""
        from .datasets import read

        return read(name, folder)

    return [
        ("torchvision", _operators),
        ("device", lambda: _device(plan)),
        ("room", lambda: _room(plan, where, raw)),
        ("kernel", lambda: _kernel(root)),
        ("folders", lambda: _folders(root, where)),
        ("data", lambda: _data(root, plan, where, raw)),
        ("weights", _weights),
    ]


def _python() -> Finding:
    remedy = "" if sys.version_info >= (3, 11) else "install Python 3.11 or newer"
    return Finding("python", f"{platform.python_version()} on {platform.platform()}", remedy)


def _packages() -> Iterator[Finding]:
    """Every package that is asked for, with its version."""
    try:
        from packaging.requirements import Requirement
    except ImportError:
        yield Finding("packaging", MISSING, "pip install packaging")
        return
    for name, wanted in requirements().items():
        found = version(name)
        fits = found and Requirement(wanted).specifier.contains(found, prereleases=True)
        yield Finding(name, found or MISSING, "" if fits else f'pip install "{wanted}"')


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


def _device(plan: Plan) -> Iterator[Finding]:
    import torch

    from .config import cores, pick_device
    from .training import precision

    device = pick_device()
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.machine()
    yield Finding("device", f"{device.type} ({name}), training in {precision(device)}")
    yield Finding("cores", f"{cores()}")
    if plan.preset == "full" and device.type == "cpu":
        yield Finding("preset full", "no GPU", "expect days: laptop takes minutes", required=False)


def _room(plan: Plan, where: "Paths", raw: "Reader") -> Iterator[Finding]:
    """Memory, and room on the disks of the runs and of the data, against what the plan needs."""
    import psutil

    run, memory = NEEDS[plan.preset]
    smaller = "" if plan.preset == "smoke" else ", or take a smaller --preset"
    free = psutil.virtual_memory().available
    yield _amount("memory free", free, memory, f"close other programs{smaller}")
    run *= plan.image_size / 64
    data = 0.0 if where.prepared.exists() else _images(plan, where, raw) * plan.image_size**2 * 4
    runs, below = existing(where.run), existing(where.prepared)
    if runs.stat().st_dev == below.stat().st_dev:
        run, data = run + data, 0.0
    yield _amount(
        "disk free (runs)",
        shutil.disk_usage(runs).free,
        run,
        f"free space{smaller}, or choose another --runs",
    )
    if data:
        yield _amount(
            "disk free (data)",
            shutil.disk_usage(below).free,
            data,
            "free space, or point NBHELPERS_DATA to another disk",
        )


def _images(plan: Plan, where: "Paths", raw: "Reader") -> int:
    """How many photographs the plan's data set has; 0 where that is not known yet."""
    from .config import preset
    from .datasets import BUILT_IN

    if plan.dataset in BUILT_IN:
        return preset(plan.preset).phantom_images
    try:
        return len(raw(plan.dataset, where.raw).table)
    except NbhelpersError:
        return 0


def _amount(what: str, size: float, enough: float, remedy: str) -> Finding:
    found = f"{size / 1e9:.1f} GB, {enough / 1e9:.1f} needed"
    return Finding(what, found, "" if size >= enough else remedy)


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


def _folders(root: Path, where: "Paths") -> Iterator[Finding]:
    for name, place in {"runs": where.run.parent, "data": data_folder(root)}.items():
        there = existing(place)
        try:
            with tempfile.TemporaryFile(dir=there):
                yield Finding(f"{name} folder", "can be written")
        except OSError as error:
            yield Finding(f"{name} folder", error.strerror, f"make {there} writable")


def data_folder(root: Path) -> Path:
    return Path(os.environ.get("NBHELPERS_DATA", root / "data"))


def _data(root: Path, plan: Plan, where: "Paths", raw: "Reader") -> Iterator[Finding]:
    from .datasets import BUILT_IN, DOWNLOADED, READERS
    from .prepare import load_prepared

    for name in BUILT_IN:
        yield Finding(f"data: {name}", "is drawn when it is needed")
    for name in (name for name in READERS if name not in BUILT_IN):
        planned = name == plan.dataset
        place = where.raw if planned else data_folder(root) / "raw" / name
        if name == "folder" and not planned:
            continue
        try:
            yield _photographs(name, raw(name, place), planned)
        except NbhelpersError as error:
            fetched = f"nbhelpers download {name}, or " * (name in DOWNLOADED)
            remedy = f"{fetched}--source DIR with a copy of yours (data/README.md)"
            if planned and place.exists():
                remedy = str(error)
            # digits are fetched by the notebooks themselves
            yield Finding(f"data: {name}", "not here", remedy, planned and name != "digits")
    made = sorted((data_folder(root) / "prepared").glob("[!.]*/manifest.json"))
    for folder in (manifest.parent for manifest in made):
        try:
            yield Finding(f"prepared: {folder.name}", f"{len(load_prepared(folder).table)} images")
        except NbhelpersError as error:
            yield Finding(f"prepared: {folder.name}", "cannot be used", str(error))
    if not made:
        yield Finding("prepared", "nothing yet")


def _photographs(name: str, raw: "RawDataset", planned: bool) -> Finding:
    """How many there are; of the data set that is planned some are opened."""
    from .pictures import is_readable

    found = f"{len(raw.table)} images"
    if not planned:
        return Finding(f"data: {name}", found)
    some = raw.table["path"].iloc[:: max(1, len(raw.table) // OPENED)]
    bad = [path for path in some if not is_readable(path)]
    remedy = f"{len(bad)} cannot be read, such as {bad[0]}: fetch them again" if bad else ""
    return Finding(f"data: {name}", f"{found}, {len(some)} of them opened", remedy)


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
