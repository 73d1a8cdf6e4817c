"""Shared small data: drawn once for the whole session, in temporary folders only."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import hypothesis
import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from nbhelpers import prepare
from nbhelpers.datasets import COLUMNS, RawDataset

ROOT = Path(__file__).parents[1]
SHARED = ROOT.parent / "shared" / "data"
CLASSES = ("mel", "nv")
# How many strange inputs each test of tests/faults/test_faults_fuzzed.py is given
CALM = {"deadline": None, "database": None, "suppress_health_check": list(hypothesis.HealthCheck)}
hypothesis.settings.register_profile("quick", max_examples=40, derandomize=True, **CALM)
hypothesis.settings.register_profile("soak", max_examples=2_600, **CALM)
hypothesis.settings.load_profile("quick")


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    """Two test processes share two cores, and sums come out in one order."""
    torch.set_num_threads(1)


def write_photograph(path: Path, colour: tuple[int, int, int], seed: int, size=(80, 60)) -> None:
    """A noisy JPEG of one colour with a dark disc in the middle."""
    random = np.random.default_rng(seed)
    width, height = size
    y, x = np.mgrid[:height, :width]
    disc = (x - width / 2) ** 2 + (y - height / 2) ** 2 < (height * random.uniform(0.15, 0.4)) ** 2
    pixels = np.where(disc[..., None], np.array(colour) // 2, np.array(colour))
    pixels = np.clip(pixels + random.normal(0, 12, (height, width, 3)), 0, 255).astype(np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, quality=90)


def make_raw(folder: Path, lesions: int = 24, repeats: int = 2) -> RawDataset:
    """Two classes, `lesions` lesions each with `repeats` photographs."""
    rows = []
    for i in range(2 * lesions * repeats):
        lesion = i // repeats
        dx = CLASSES[lesion % 2]
        path = folder / f"IMG_{i:04d}.jpg"
        write_photograph(path, (200, 150 + 10 * (lesion % 5), 120 if dx == "mel" else 150), seed=i)
        rows.append(
            (path.stem, str(path), f"L{lesion:04d}", dx, 40.0 + i, "male", "back", "histo", "")
        )
    table = pd.DataFrame(rows, columns=COLUMNS)
    return RawDataset("tiny", table, CLASSES, folder, "MIT")


@pytest.fixture(scope="session")
def raw(tmp_path_factory) -> RawDataset:
    return make_raw(tmp_path_factory.mktemp("raw"))


@pytest.fixture(scope="session")
def prepared(raw, tmp_path_factory) -> prepare.Prepared:
    """96 images at 64 px, 48 lesions, two classes, five folds. Tests must not change it."""
    return prepare.prepare(raw, tmp_path_factory.mktemp("data") / "tiny-64", 64)


@pytest.fixture
def count(request) -> Callable[..., None]:
    """Adds to what the last line of a soak tells."""
    counts = Counter()

    def add(what: str, how_many: int = 1) -> None:
        counts[what] += how_many
        request.node.user_properties[:] = counts.items()  # now: a report travels before teardown

    return add


def pytest_terminal_summary(terminalreporter) -> None:
    """What was counted, over all tests and processes."""
    counts = Counter()
    for report in terminalreporter.getreports("passed") + terminalreporter.getreports("failed"):
        for what, how_many in report.user_properties:
            counts[what] += how_many
    if counts:
        told = ", ".join(f"{n:,} {what}" for what, n in sorted(counts.items()))
        terminalreporter.write_line(f"counted: {told}")
