"""What TensorBoard and Weights & Biases are told of a training."""

import sys
from pathlib import Path

import pandas as pd
import pytest
import torch

from nbhelpers import gan_runs, loggers
from nbhelpers.errors import UsageError
from nbhelpers.gan_jobs import Job

CPU = torch.device("cpu")
SMALL = {"width": 4, "z_dim": 8}


def trained(prepared, folder: Path, images: int) -> pd.DataFrame:
    """The history of a DCGAN that was shown so many images, gone on with where there is one."""
    job = Job("dcgan", images, 8, settings=SMALL)
    gan_runs.train_run(job, prepared, folder, CPU, resume=True)
    return pd.read_csv(folder / "history.csv")


def test_tensorboard_has_the_history_also_of_a_training_that_went_on(
    prepared, tmp_path, monkeypatch
):
    events = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    monkeypatch.setenv(loggers.VARIABLE, "tensorboard")
    trained(prepared, tmp_path / "dcgan", 160)
    history = trained(prepared, tmp_path / "dcgan", 320)
    all_of_them = {"scalars": 0, "images": 0}
    folder = str(tmp_path / "dcgan" / "tensorboard")
    found = events.EventAccumulator(folder, size_guidance=all_of_them).Reload()
    for loss in ("d_cross_entropy", "g_cross_entropy"):
        told = [(event.step, event.value) for event in found.Scalars(loss)]
        assert [step for step, _ in told] == history["images"].tolist()
        assert [value for _, value in told] == pytest.approx(history[loss].tolist(), rel=1e-6)
    pictures = sorted(int(p.stem) for p in (tmp_path / "dcgan" / "samples").glob("*.png"))
    assert [event.step for event in found.Images("samples")] == pictures


def test_wandb_keeps_a_run_when_it_is_offline(prepared, tmp_path, monkeypatch):
    pytest.importorskip("wandb")
    monkeypatch.setenv(loggers.VARIABLE, " wandb ")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    trained(prepared, tmp_path / "dcgan", 160)
    (written,) = (tmp_path / "dcgan").glob("wandb/offline-run-*/run-*.wandb")
    kept = written.read_bytes()
    assert b"d_cross_entropy" in kept and b"samples" in kept


def test_nothing_is_told_unasked(prepared, tmp_path, monkeypatch):
    monkeypatch.delenv(loggers.VARIABLE, raising=False)
    trained(prepared, tmp_path / "dcgan", 160)
    assert not list(tmp_path.rglob("*tensorboard*")) and not list(tmp_path.rglob("wandb"))


def test_a_logger_nobody_knows_is_refused_before_the_first_step(prepared, tmp_path, monkeypatch):
    monkeypatch.setenv(loggers.VARIABLE, "tensorbord")
    with pytest.raises(UsageError, match="did you mean 'tensorboard'"):
        trained(prepared, tmp_path / "dcgan", 160)
    assert not (tmp_path / "dcgan" / "history.csv").exists()


def test_a_logger_that_is_not_installed_is_named(prepared, tmp_path, monkeypatch):
    monkeypatch.setenv(loggers.VARIABLE, "wandb")
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(UsageError, match="pip install wandb"):
        trained(prepared, tmp_path / "dcgan", 160)
