"""200 kills of trainings and 50 of whole runs, at random moments (`make soak`).

What is killed is the command line itself, with SIGKILL. What stands there in the end must be what a
run leaves that nobody has killed.
"""

import math
import multiprocessing
import os
import random
import re
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest
import torch
from conftest import ROOT
from same_runs import refuse_unlike
from small_masks import masked

from nbhelpers import checkpoints
from nbhelpers.files import read_json
from nbhelpers.gans import GANS
from nbhelpers.graph import NODES

KILLS, KILLS_OF_RUNS = 200, 50
RUN = "runs/smoke-phantom-64"
# What depends on the clock or the folder: executed cells and their states, a training that lasts as
# long as another (and was begun with another length before a kill), two figures of seconds; and
# features that are only kept to save time
CLOCKED = "plain_at_equal_minutes"
BY_THE_CLOCK = ("notebooks/", "state/", "features/", f"gans/progan/experiment/{CLOCKED}/",
                f"gans/progan/experiment/replaced/{CLOCKED}.", "figures/13_points.png",
                "figures/16_arms.png")  # fmt: skip
# Every training is forked from a process that has imported torch: a kill costs no start of Python
FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["nbhelpers.train_command", "nbhelpers.__main__", "piq"])


class Sampled(threading.Thread):
    """Memory (bytes), open files and threads of a process, each second until it ends."""

    def __init__(self, process: psutil.Process):
        super().__init__(daemon=True)
        self.process, self.samples, self.family = process, [], set()

    def run(self) -> None:
        try:
            while self.process.is_running() and self.process.status() != psutil.STATUS_ZOMBIE:
                now = self.process.memory_info().rss, self.process.num_fds()
                self.samples.append((*now, self.process.num_threads()))
                self.family.update(self.process.children(recursive=True))
                time.sleep(1)
        except psutil.NoSuchProcess:
            pass

    def grown(self) -> list[float]:
        """How many times each is in the last third what it was in the second."""
        third = len(self.samples) // 3
        parts = self.samples[third : 2 * third], self.samples[2 * third :]
        second, last = (list(map(max, zip(*part, strict=True))) for part in parts)
        return [b / a for a, b in zip(second, last, strict=True)]


def course(place: Path) -> psutil.Popen:
    place.mkdir(exist_ok=True)
    environment = os.environ | {"NBHELPERS_DATA": str(place / "data"), "PYTHONPATH": str(ROOT)}
    call = [sys.executable, "-m", "nbhelpers", "run", "--preset", "smoke", "--no-report"]
    with open(place / "log.txt", "a") as log:
        return psutil.Popen(
            [*call, "--runs", str(place / "runs")],
            cwd=ROOT, env=environment, stdout=log, stderr=subprocess.STDOUT,
        )  # fmt: skip


def running(log: str) -> str:
    """The notebook that a run is at, by what it has printed; "" between two."""
    at = ""
    for name, what in re.findall(r"^(\d\d_\w+): (\w+)", log, re.MULTILINE):
        at = name if what == "started" else ""
    return at


class Killer:
    """Ends runs of the course, as often in each notebook, at any moment between its start and its
    end in the run that nobody kills."""

    def __init__(self, undisturbed: Path):
        self.undisturbed, self.random = undisturbed, random.Random(0)
        self.kills = self.finished = 0
        self.names = [node.name for node in NODES]

    def seconds(self, name: str) -> float:
        """How long the notebook takes; a guess where the undisturbed run has not come to it yet."""
        state = self.undisturbed / "state" / f"{name}.json"
        told = read_json(state) if state.exists() else {"status": "not begun"}
        return 60 * told["minutes"] if told["status"] == "done" else 12.0

    def due(self, name: str) -> bool:
        """Whether a kill is wanted: where a notebook was too fast, the next ones get its share, and
        the last four are there for what is missing then."""
        share = (self.names.index(name) + 1) / (len(self.names) - 4) + self.finished
        return self.kills < min(1.0, share) * KILLS_OF_RUNS

    def follow(self, place: Path) -> bool:
        """Whether a run in `place` came to its end; otherwise it was killed, and its kernel ended
        with it."""
        log = place / "log.txt"
        past, process, seen, end = len(log.read_text()) if log.exists() else 0, course(place), "", 0
        while process.poll() is None:
            name = running(log.read_text()[past:])
            if name and name != seen:
                seen, moment = name, self.random.uniform(0, 0.9 * self.seconds(name))
                end = time.monotonic() + moment if self.due(name) else math.inf
            if name and time.monotonic() > end:
                family = process.children(recursive=True)
                process.kill()
                process.wait()
                self.kills += 1
                assert psutil.wait_procs(family, timeout=30)[1] == [], "it outlived its run"
                return False
            time.sleep(0.1)
        assert process.returncode == 0, log.read_text()[-3000:]
        return True


def test_kills_of_whole_runs(tmp_path, count):
    """The course at preset smoke, killed in every notebook, beside one that nobody kills and that
    must not grow or leave anything behind."""
    whole = course(tmp_path / "whole")
    sampled = Sampled(whole)
    sampled.start()
    killer = Killer(tmp_path / "whole" / RUN)
    while killer.kills < KILLS_OF_RUNS:
        while not killer.follow(tmp_path / f"été {killer.finished}"):
            pass
        killer.finished += 1
    assert whole.wait() == 0, (tmp_path / "whole" / "log.txt").read_text()[-3000:]
    sampled.join()
    assert psutil.wait_procs(sampled.family, timeout=30)[1] == [], "a process outlived its run"
    assert max(sampled.grown()) < 1.1, sampled.grown()
    for place in [tmp_path / f"été {n}" for n in range(killer.finished)]:
        for left in place.rglob(".*.unfinished"):  # of the last day, which a later run removes
            shutil.rmtree(left) if left.is_dir() else left.unlink()
        files = refuse_unlike(tmp_path / "whole" / RUN, place / RUN, BY_THE_CLOCK)
        files += refuse_unlike(tmp_path / "whole" / "data", place / "data")
        count("files of killed runs equal to those of one never killed", files)
    count("kills of whole runs", killer.kills)


def train(name: str, data: Path, run: Path) -> None:
    """`nbhelpers train`, which writes a checkpoint at every step."""
    from nbhelpers import gan_observer
    from nbhelpers.__main__ import main

    torch.set_num_threads(1)
    gan_observer.SECONDS_BETWEEN_CHECKPOINTS = 0.0
    small = ["--set", "width=4"] + ["--set", "z_dim=8"] * (name != "pix2pix")
    size = ["--preset", "smoke", "--images", "640", "--batch", "16", "--device", "cpu"]
    where = ["--data", str(data), "--run", str(run)]
    with open(os.devnull, "w") as sys.stdout:
        status = main(["train", name, *where, "--resume", *size, *small])
    os._exit(status)


def started(name: str, data: Path, run: Path) -> multiprocessing.Process:
    process = FORKS.Process(target=train, args=(name, data, run))
    process.start()
    return process


@pytest.fixture(scope="module")
def pairs(tmp_path_factory) -> Path:
    """Photographs with masks, which every GAN can be trained on."""
    FORKS.Process(target=time.sleep, args=(0,)).start()  # starts what all others are forked from
    return masked(tmp_path_factory.mktemp("pairs")).folder


def last_step(folder: Path) -> int:
    """The step of the last checkpoint; -1 where there is none yet. A damaged one is an error."""
    return checkpoints.load(folder)["training"]["step"] if checkpoints.exists(folder) else -1


@pytest.mark.parametrize("name", GANS)
def test_kills_of_trainings(pairs, tmp_path, count, name):
    """A share for each GAN, anywhere between its first line and its last."""
    share, moments, kills, finished = KILLS // len(GANS), random.Random(name), 0, 0
    whole, begin = started(name, pairs, tmp_path / "whole" / "gans" / name), time.monotonic()
    whole.join()
    seconds = time.monotonic() - begin
    assert whole.exitcode == 0
    while kills < share:
        run, step, process = tmp_path / str(finished) / "gans" / name, -1, None
        while process is None or process.exitcode is None:
            process = started(name, pairs, run)
            process.join(moments.uniform(0, seconds / 2) if kills < share else None)
            if process.exitcode is None:
                process.kill()
                process.join()
                kills += 1
                assert last_step(run) >= step, "a checkpoint was lost"
                process, step = None, last_step(run)
        assert process.exitcode == 0
        refuse_unlike(tmp_path / "whole", tmp_path / str(finished))
        finished += 1
    count("kills of trainings", kills)
    count("trainings equal to those never killed", finished)
