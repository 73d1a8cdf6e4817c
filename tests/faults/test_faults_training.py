"""Faults 41 to 54, training and checkpoints: exact resume of every GAN, full disks, memory, a real
kernel that is interrupted, workers that die."""

import copy
import os
import signal
from queue import Empty

import numpy as np
import pytest
import torch
from disks import disk
from jupyter_client.manager import KernelManager
from small_gans import CLASSES, CPU, build, equal, run_to, stream
from waiting import until

from nbhelpers import checkpoints, gan_runs, locks, sampling
from nbhelpers.__main__ import main
from nbhelpers.errors import CheckpointError, NbhelpersError, TrainingError
from nbhelpers.gan_jobs import Job, refuse_another
from nbhelpers.gan_observer import Observer
from nbhelpers.gans import GANS
from nbhelpers.side_by_side import each
from nbhelpers.training import Training
from nbhelpers.training_images import Budget

SMALL = {"width": 4, "z_dim": 8}
EPOCH = 5  # batches of 8 among 40 photographs


def start(name: str) -> Training:
    gan = build(name, **SMALL, n_critic=min(GANS[name].n_critic, 2))
    return Training(gan, stream(gan), Budget(8 * gan.n_critic * 2 * EPOCH, 8, 0), CPU)


def drawn(one: Training) -> np.ndarray:
    return sampling.generate(one.gan, 8, 1, torch.arange(8) % CLASSES)


@pytest.fixture(scope="module", params=GANS)
def whole(request) -> tuple[str, dict, np.ndarray, dict[int, dict]]:
    """A GAN trained for two epochs in one go: its name, end, images, and its states on the way."""
    one, states = start(request.param), {}
    n_critic = one.gan.n_critic
    moments = {"step 1": 1, "mid-epoch": EPOCH // n_critic + 1, "epoch end": EPOCH}
    for step in sorted(moments.values()):
        run_to(one, step)
        states[step] = copy.deepcopy(one.state())  # later steps must not reach into it
    run_to(one, one.steps)
    return request.param, one.state(), drawn(one), states


def test_41_resume_is_exact_at_step_1_mid_epoch_and_epoch_end(whole, tmp_path):
    name, end, images, states = whole
    for step, state in states.items():
        file = checkpoints.write(tmp_path / f"{step}.pt", state)
        torch.manual_seed(99)  # whatever the new process's random state is
        resumed = start(name)
        resumed.load(checkpoints.read(file))
        run_to(resumed, resumed.steps)
        assert equal(resumed.state(), end), f"from step {step}"
        assert np.array_equal(drawn(resumed), images), f"from step {step}"


def test_37_two_trainings_in_one_folder(prepared, tmp_path, monkeypatch):
    """The second is refused, and what a killed one was writing is gone when the next begins."""
    folder = tmp_path / "gans" / "dcgan"
    (folder / "samples").mkdir(parents=True)
    for left in (folder / ".checkpoint.pt.1.unfinished", folder / "samples" / ".0.png.unfinished"):
        left.touch()
    job = Job("dcgan", 32, 16, settings=SMALL)
    monkeypatch.setattr(locks, "PATIENCE", 0.3)
    with locks.one_process(folder), pytest.raises(TrainingError) as caught:
        gan_runs.train_run(job, prepared, folder, CPU)
    assert str(caught.value).startswith(f"{folder} is being trained by another process: wait")
    assert not (folder / "checkpoint.pt").exists()
    gan_runs.train_run(job, prepared, folder, CPU)
    assert [path for path in folder.parent.rglob(".*")] == []


def test_45_each_difference_is_listed(prepared, tmp_path):
    def identity(job: Job) -> dict:
        return job.identity(job.build(prepared), prepared, None)

    state = {"config": identity(Job("cgan", 96, 16, settings=SMALL))}
    other = Job("dcgan", 96, 8, seed=3, settings=SMALL | {"width": 8})
    with pytest.raises(CheckpointError) as caught:
        refuse_another(state, identity(other), tmp_path, resume=True)
    differences = "gan was 'cgan', is 'dcgan'", "batch_size was 16, is 8", "seed was 0, is 3"
    for told in (*differences, "settings.width was 4, is 8", "Choose another folder"):
        assert told in str(caught.value)


def test_46_a_full_disk_leaves_the_checkpoint_before(tmp_path):
    with disk(tmp_path / "disk", "1m") as folder:
        saved = 0
        with pytest.raises(NbhelpersError, match=r"No space left.*previous file is intact"):
            for saved in range(1, 100):
                checkpoints.save(folder, {"step": saved, "weights": torch.zeros(saved * 5_000)})
        assert saved > 2
        assert checkpoints.load(folder)["step"] == saved - 1
        assert not [path for path in folder.iterdir() if ".pt." in path.name], "no half file"


def test_46_a_training_on_a_disk_that_fills_up_goes_on_when_there_is_room(
    prepared, tmp_path, monkeypatch
):
    job = Job("dcgan", 320, 16, settings=SMALL)
    monkeypatch.setattr("nbhelpers.gan_observer.SECONDS_BETWEEN_CHECKPOINTS", 0)
    gan_runs.train_run(job, prepared, tmp_path / "whole", CPU)
    look, moments = Observer.__call__, []

    def filling(observer, training):
        moments.append(training.step)
        if len(moments) == 4:
            with pytest.raises(OSError, match="No space left"):
                (observer.folder.parent / "ballast").write_bytes(bytes(64_000_000))
        look(observer, training)

    with disk(tmp_path / "disk", "32m") as folder:
        monkeypatch.setattr(Observer, "__call__", filling)
        with pytest.raises(NbhelpersError, match="No space left"):
            gan_runs.train_run(job, prepared, folder / "run", CPU)
        assert 0 < checkpoints.load(folder / "run")["training"]["step"] < 20
        (folder / "ballast").unlink()
        monkeypatch.setattr(Observer, "__call__", look)
        gan_runs.train_run(job, prepared, folder / "run", CPU, resume=True)
        one, two = (checkpoints.load(f)["training"] for f in (folder / "run", tmp_path / "whole"))
        assert equal(one, two)


def test_48_too_little_memory_says_what_to_set_and_leaves_the_kernel_usable(
    prepared, tmp_path, monkeypatch
):
    """The error is torch's; what a GPU frees is asked in the next test."""
    real, steps = GANS["dcgan"].d_loss, []

    def d_loss(gan, batch):
        steps.append(1)
        if len(steps) == 3:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")
        return real(gan, batch)

    monkeypatch.setattr(GANS["dcgan"], "d_loss", d_loss)
    with pytest.raises(TrainingError, match="batches of 16 images: set batch_size to 8") as caught:
        gan_runs.train_run(Job("dcgan", 160, 16, settings=SMALL), prepared, tmp_path / "a", CPU)
    assert caught.value.__context__ is None, "the first error would hold the memory"
    gan_runs.train_run(Job("dcgan", 160, 8, settings=SMALL), prepared, tmp_path / "b", CPU)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
def test_48_on_a_gpu_memory_is_free_again(prepared, tmp_path):
    gpu = torch.device("cuda")
    torch.cuda.set_per_process_memory_fraction(0.02)
    before = torch.cuda.memory_allocated()
    try:
        with pytest.raises(TrainingError, match="set batch_size to"):
            job = Job("dcgan", 4_000, 64, settings={"width": 1024})
            gan_runs.train_run(job, prepared, tmp_path / "a", gpu)
        gan_runs.train_run(Job("dcgan", 160, 8, settings=SMALL), prepared, tmp_path / "b", gpu)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert torch.cuda.memory_allocated() < before + 100e6


def test_49_auto_warns_once_where_a_preset_wants_a_gpu(prepared, tmp_path, capsys):
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    call = ["train", "dcgan", "--data", prepared.folder, "--run", tmp_path / "r"]
    call += ["--preset", "full", "--batch", 1_000]  # more than there are: nothing is trained
    assert main(list(map(str, call))) == 1
    assert capsys.readouterr().out.count("made for a GPU") == 1


CELL = """
import os, torch
from pathlib import Path
from nbhelpers import gan_runs
from nbhelpers.gan_jobs import Job
from nbhelpers.prepare import load_prepared
torch.set_num_threads(1)
job = Job("dcgan", 20_000, 16, settings={"width": 4, "z_dim": 8})
data = load_prepared(Path(os.environ["PREPARED"]))
gan_runs.train_or_load(job, data, Path(os.environ["FOLDER"]), torch.device("cpu"))
"""


def test_51_ctrl_c_in_a_real_kernel(prepared, tmp_path):
    folder = tmp_path / "gan"
    manager = KernelManager(kernel_name="python3")
    manager.start_kernel(env=os.environ | {"PREPARED": str(prepared.folder), "FOLDER": str(folder)})
    client = manager.blocking_client()
    try:
        client.start_channels()
        client.wait_for_ready(timeout=60)
        steps = []
        for _ in range(2):  # the second time it goes on from where it was stopped
            pictures = len(list(folder.glob("samples/*.png")))
            asked = client.execute(CELL)
            until(lambda have=pictures: len(list(folder.glob("samples/*.png"))) > have, "a picture")
            manager.interrupt_kernel()
            reply = _reply(client, asked)
            assert (reply["status"], reply["ename"]) == ("error", "KeyboardInterrupt")
            steps.append(checkpoints.load(folder)["training"]["step"])
            alive = client.execute("", user_expressions={"sum": "1 + 1"})
            assert _reply(client, alive)["user_expressions"]["sum"]["data"]["text/plain"] == "2"
        assert 0 < steps[0] < steps[1]
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


def _reply(client, asked: str) -> dict:
    while True:
        try:
            message = client.get_shell_msg(timeout=60)
        except Empty:
            pytest.fail("the kernel does not answer")
        if message["parent_header"].get("msg_id") == asked:
            return message["content"]


def killed_at_b(item: str) -> str:
    if item == "b":
        os.kill(os.getpid(), signal.SIGKILL)
    return item


def test_52_a_worker_that_dies_is_told_by_what_it_did():
    with pytest.raises(TrainingError, match=r"a process was killed.* at one of .*b"):
        list(each(killed_at_b, (), ["a", "b"], 2))
