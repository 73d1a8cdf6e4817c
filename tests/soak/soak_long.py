"""20,000 steps in one process: memory, open files, threads and figures stay what they were."""

import threading

import matplotlib.pyplot as plt
import psutil
import torch

from nbhelpers import features, gan_runs
from nbhelpers.gan_jobs import Job

STEPS, BATCH = 20_000, 4


def test_memory_is_flat(prepared, tmp_path, count, monkeypatch):
    monkeypatch.setattr("nbhelpers.gan_observer.SECONDS_BETWEEN_CHECKPOINTS", 2.0)
    process, taken, over = psutil.Process(), [], threading.Event()
    children = process.children()

    def take() -> None:
        while not over.wait(1):
            taken.append((process.memory_info().rss, process.num_fds(), process.num_threads()))

    taking = threading.Thread(target=take)
    taking.start()
    job = Job("dcgan", STEPS * BATCH, BATCH, settings={"width": 4, "z_dim": 8})
    try:
        gan_runs.train_run(
            job,
            prepared,
            tmp_path / "dcgan",
            torch.device("cpu"),
            encoder=features.random_encoder(0),
        )
    finally:
        over.set()
        taking.join()
    early, late = taken[len(taken) // 4 : len(taken) // 2], taken[-len(taken) // 4 :]
    assert len(early) > 5
    for what, before, after in zip(
        ("memory", "open files", "threads"),
        map(max, zip(*early, strict=True)),
        map(max, zip(*late, strict=True)),
        strict=True,
    ):
        assert after <= 1.03 * before + 0.5, f"{what}: {before} became {after}"
    assert plt.get_fignums() == []
    assert process.children() == children
    count("steps in one process", STEPS)
