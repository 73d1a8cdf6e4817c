"""A notebook's one parameter: ranks started from here do the job that was asked for."""

import os
import signal
import threading

import pandas as pd
import psutil
import pytest
import torch
from waiting import until

from nbhelpers import checkpoints, gan_runs, launcher
from nbhelpers.errors import TrainingError, UsageError
from nbhelpers.gan_jobs import Job
from nbhelpers.lesion_encoder import trained_encoder

CPU = torch.device("cpu")


def job(images: int = 160, **more) -> Job:
    return Job(
        "cgan", images, 8, settings={"width": 8, "smoothing": 0.1, "betas": (0.0, 0.9)}, **more
    )


def test_two_ranks_do_the_job_that_was_asked_for(prepared, tmp_path, capsys):
    """The folder is that of this very job: loading it refuses any other."""
    encoder = trained_encoder(prepared, 1, 2, CPU, tmp_path)
    gan = gan_runs.train_or_load(
        job(seed=3, fold=1), prepared, tmp_path / "gans" / "two", CPU, encoder=encoder, gpus=2
    )
    told = capsys.readouterr().out
    assert (
        "two: finished at 160 images, nothing to do" in told and "trained differently" not in told
    )
    assert gan.settings["betas"] == (0.0, 0.9)
    assert checkpoints.load(tmp_path / "gans" / "two")["training"]["step"] == 20
    gan_runs.train_or_load(job(seed=3, fold=1), prepared, tmp_path / "one", CPU)
    two, one = (pd.read_csv(tmp_path / name / "history.csv") for name in ("gans/two", "one"))
    assert (two / one - 1).abs().max().max() < 0.05  # another seed is off by a quarter


def test_what_the_ranks_refuse_is_said_here(prepared, tmp_path):
    odd = Job("dcgan", 160, 7, settings={"width": 8})
    with pytest.raises(TrainingError, match=r"^2 ranks cannot share batches of 7"):
        launcher.train_on(2, odd, prepared, tmp_path / "run", CPU)


@pytest.mark.parametrize("gpus", [0, 10_000])
def test_more_than_there_are_is_refused(prepared, tmp_path, gpus):
    with pytest.raises(UsageError, match=f"gpus is {gpus} and this machine has"):
        gan_runs.train_or_load(job(), prepared, tmp_path / "run", CPU, gpus=gpus)
    assert not (tmp_path / "run").exists()


def children() -> set[psutil.Process]:
    found = psutil.Process().children(recursive=True)
    return {process for process in found if process.status() != psutil.STATUS_ZOMBIE}


@pytest.fixture
def ctrl_c():
    """Ctrl-C raises KeyboardInterrupt, also in `make test &`, which begins with it ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("ctrl_c")
def test_an_interrupt_is_handed_on_and_nothing_is_lost(prepared, tmp_path):
    trained_encoder(prepared, 0, 2, CPU, tmp_path)
    folder, before = tmp_path / "gans" / "run", children()

    def press() -> None:
        until(lambda: len(list(folder.glob("samples/*.png"))) > 1, "a second picture")
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=press)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        launcher.train_on(2, job(8_000), prepared, folder, CPU)
    thread.join()
    assert children() <= before  # other tests may have left the helper of multiprocessing
    state = checkpoints.load(folder)["training"]
    assert 0 < state["step"] < 1_000
