"""What every notebook calls first, and where its figures and tables go."""

import datetime
import io
import re
from dataclasses import dataclass, replace
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd
import torch
import torchvision
from matplotlib.figure import Figure

from . import __version__, config, datasets, plots, prepare, tasks
from .errors import UsageError
from .features import Encoder
from .files import write_atomic
from .gan_folders import read_table
from .lesion_encoder import the_runs_classifier, the_runs_encoder
from .locks import one_process
from .run_places import left_by, places
from .side_by_side import workers_for


@dataclass(frozen=True)
class Run:
    """One run as a notebook sees it: its preset, its folders and its stamp."""

    notebook: str  # "10_dcgan"
    preset: config.Preset
    dataset: str
    image_size: int
    seed: int
    device: torch.device
    paths: config.Paths
    source: str = ""  # the folder of raw photographs, where the reader named one
    task: str = ""  # what a classifier is asked, where it is not all diagnoses

    @property
    def folder(self) -> Path:
        return self.paths.run

    @property
    def stamp(self) -> str:
        """What a figure needs beside it to be believed: preset, data, task, size, seed, device,
        date."""
        parts = (self.preset.name, self.dataset, self.task, f"{self.image_size} px",
                 f"seed {self.seed}", self.device.type, f"{datetime.date.today()}")  # fmt: skip
        return " · ".join(filter(None, parts))

    def raw(self) -> datasets.RawDataset:
        """The raw photographs. Phantoms are drawn when they are not there; digits are
        scikit-learn's where there is neither MNIST nor a named source."""
        count = self.preset.phantom_images
        datasets.make_built_in(self.dataset, self.paths.raw, self.source, count)
        return datasets.read(self.dataset, self.paths.raw)

    def prepared(self) -> prepare.Prepared:
        """The prepared arrays that notebook 02 writes. Of a set that is built in they are made here
        where they are missing, so that each notebook can be opened alone; of another, DataError
        that says what to run."""
        place = self.paths.prepared
        if not place.exists() and datasets.is_built_in(self.dataset, self.source):
            place.parent.mkdir(parents=True, exist_ok=True)
            with one_process(place):  # notebooks may run side by side: the second finds it made
                return prepare.prepare(self.raw(), place, self.image_size)
        return prepare.load_prepared(place)

    def asking(self, task: str) -> tuple["Run", prepare.Prepared]:
        """This run, its figures stamped with a task other than all diagnoses, and its data with the
        classes of the task."""
        told = "" if task == "all" else task
        return replace(self, task=told), tasks.task(self.prepared(), task)

    def tissue(self, folder: str = "") -> prepare.Prepared:
        """Tissue with masks: the prepared data in `folder`, below the project; else this run's own,
        where they are tissue; else the built-in phantom's, drawn and prepared when missing."""
        if folder:
            return prepare.load_prepared(config.project_root() / Path(folder).expanduser())
        if self.dataset in datasets.TISSUE:
            return self.prepared()
        name, count = datasets.PHANTOM_TISSUE, self.preset.phantom_images
        places = config.paths(self.preset, name, self.image_size)
        datasets.make_built_in(name, places.raw, "", count)
        return prepare.prepare(datasets.read(name, places.raw), places.prepared, self.image_size)

    def encoder(self, prepared: prepare.Prepared) -> Encoder:
        """The lesion encoder of this run (fold 0), which judges checkpoints and samples; it is
        trained first when it is not there."""
        steps = self.preset.encoder_steps
        return the_runs_encoder(prepared, 0, steps, self.device, self.folder)

    def classifier(self, prepared: prepare.Prepared, fold: int) -> Path:
        """The file of the classifier behind `encoder`, of any fold, for the filter of generated
        images; it is trained first when it is not there."""
        steps = self.preset.encoder_steps
        return the_runs_classifier(prepared, fold, steps, self.device, self.folder)

    @property
    def workers(self) -> int:
        """How many classifiers are trained side by side."""
        return workers_for(self.device)

    def gan_folder(self, name: str) -> Path:
        return self.folder / "gans" / name

    def require(self, file: str, notebook: str) -> Path:
        """The path of a file of this run that another notebook writes; DataError that names it when
        it is missing."""
        return left_by(notebook, self.folder, file)

    def save_figure(self, figure: Figure, name: str, caption: str) -> None:
        """Writes `figures/NN_name.png` for the report, caption and stamp inside the file, and shows
        the figure."""
        smoke = "smoke preset, too short to mean anything · " if self.preset.name == "smoke" else ""
        plots.stamp(figure, smoke + self.stamp, "firebrick" if smoke else "grey")
        buffer = io.BytesIO()
        text = {"Title": self._numbered(name), "Description": f"{caption} ({self.stamp})"}
        figure.savefig(buffer, format="png", dpi=110, bbox_inches="tight", metadata=text)
        try:
            write_atomic(self.folder / "figures" / f"{self._numbered(name)}.png", buffer.getvalue())
            plt.show()
        finally:
            plt.close(figure)

    def save_table(self, table: pd.DataFrame, name: str, caption: str) -> pd.DataFrame:
        """The table, written to `tables/NN_name.csv` for the report, the caption in a first comment
        line."""
        text = f"# {caption} ({self.stamp})\n" + table.to_csv(index=False)
        write_atomic(self.folder / "tables" / f"{self._numbered(name)}.csv", text.encode())
        return table

    def add_row(self, row: dict) -> pd.DataFrame:
        """The run's running table of GANs, with this notebook's row in it (`gan` is the key),
        written to gans.csv."""
        path = self.folder / "gans.csv"
        with one_process(path):  # notebooks may run side by side
            rows = read_table(path).to_dict("records") if path.exists() else []
            table = pd.DataFrame([*(old for old in rows if old["gan"] != row["gan"]), row])
            write_atomic(path, table.to_csv(index=False).encode())
        return table

    def _numbered(self, name: str) -> str:
        if not re.fullmatch(r"[a-z0-9_]+", name):
            raise UsageError(f"figure name {name!r}: use lower-case letters, digits and _.")
        return f"{self.notebook[:2]}_{name}"


def start(
    notebook: str,
    preset: str,
    dataset: str,
    source: str,
    image_size: int,
    seed: int,
    runs: str,
    device: str = "auto",
) -> Run:
    """The run these parameters describe. Prints versions and device; UsageError names a parameter
    that cannot be meant."""
    root = config.project_root()
    where = places(root, preset, dataset, source, image_size, seed, runs)
    known = config.preset(preset), dataset, image_size, seed, config.pick_device(device)
    run = Run(notebook, *known, where, source)
    run.folder.mkdir(parents=True, exist_ok=True)
    versions = {"nbhelpers": __version__, "torch": torch.__version__}
    versions["torchvision"] = torchvision.__version__
    print(" · ".join(f"{name} {version}" for name, version in versions.items()))
    print(f"{notebook} · {run.stamp} · {run.folder.name}")
    config.warn_of_days(preset, run.device)
    return run
