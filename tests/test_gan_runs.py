"""A GAN's folder: what it holds, how it resumes after a kill, and what it refuses."""

import dataclasses
import itertools
import signal
import subprocess
import sys
import textwrap
import time

import numpy as np
import pandas as pd
import pytest
import torch
from small_gans import CPU, equal

from nbhelpers import (
    checkpoints,
    features,
    gan_folders,
    gan_runs,
    gan_table,
    health,
    sampling,
    splits,
)
from nbhelpers.errors import CheckpointError, LeakageError, TrainingDiverged, UsageError
from nbhelpers.gan_jobs import Job
from nbhelpers.gans import DCGAN

SMALL = {"width": 4, "z_dim": 8}


def job(images: int = 96, seed: int = 0, gan: str = "dcgan", **changes) -> Job:
    return Job(gan, images, 16, seed, settings=SMALL, **changes)


def weights(folder):
    return checkpoints.load(folder)["training"]["gan"]


def same_weights(one, other) -> bool:
    a, b = weights(one), weights(other)
    return all(torch.equal(a[k], b[k]) for k in a)


def test_the_folder_holds_what_the_design_says(prepared, tmp_path):
    gan_runs.train_run(job(), prepared, tmp_path / "dcgan", CPU)
    names = {p.name for p in (tmp_path / "dcgan").iterdir()}
    assert names == {
        "checkpoint.pt",
        "history.csv",
        "health.csv",
        "card.json",
        "samples",
        "progress.gif",
        "training_groups.txt",
        "samples.npz",
    }
    shown, sheets = gan_folders.sample_sheets(tmp_path / "dcgan")
    assert shown[0] == 0 and shown[-1] == 96
    assert sheets[0].shape == (8 * 66 - 2, 8 * 66 - 2, 3)
    history = pd.read_csv(tmp_path / "dcgan" / "history.csv")
    assert history["images"].iloc[-1] == 96
    card = gan_folders.read_card(tmp_path / "dcgan")
    assert card["images_shown"] == 96 and card["fold"] == 0 and card["device"] == "cpu"


def test_it_trains_on_the_folds_training_lesions_only(prepared, tmp_path):
    gan_runs.train_run(job(), prepared, tmp_path / "dcgan", CPU)
    part = splits.parts(prepared.table, 0)
    seen = sampling.training_groups(tmp_path / "dcgan")
    assert seen == set(prepared.table["group_id"].iloc[part["train"]])
    assert set(gan_folders.held_out_rows(tmp_path / "dcgan", prepared)) == set(part["test"])
    with open(tmp_path / "dcgan" / sampling.GROUPS, "a") as file:
        file.write("\n" + prepared.table["group_id"].iloc[part["test"][0]])
    with pytest.raises(LeakageError, match="dcgan was trained on 1 lesions"):
        gan_folders.held_out_rows(tmp_path / "dcgan", prepared)


def test_a_finished_training_has_nothing_to_do(prepared, tmp_path, capsys):
    gan_runs.train_run(job(), prepared, tmp_path / "dcgan", CPU)
    before = contents(tmp_path / "dcgan")
    gan_runs.train_run(job(), prepared, tmp_path / "dcgan", CPU, resume=True)
    assert "nothing to do" in capsys.readouterr().out
    assert contents(tmp_path / "dcgan") == before


def test_a_folder_in_use_is_refused_without_resume(prepared, tmp_path):
    gan_runs.train_run(job(), prepared, tmp_path / "dcgan", CPU)
    with pytest.raises(CheckpointError, match="pass --resume"):
        gan_runs.train_run(job(), prepared, tmp_path / "dcgan", CPU)
    with pytest.raises(CheckpointError, match="seed was 0, is 1"):
        gan_runs.train_run(job(seed=1), prepared, tmp_path / "dcgan", CPU, resume=True)


def test_a_larger_budget_goes_on(prepared, tmp_path):
    gan_runs.train_run(job(48), prepared, tmp_path / "grown", CPU)
    gan_runs.train_run(job(96), prepared, tmp_path / "grown", CPU, resume=True)
    gan_runs.train_run(job(96), prepared, tmp_path / "whole", CPU)
    assert same_weights(tmp_path / "grown", tmp_path / "whole")


@pytest.mark.parametrize("gan", ["modern", "progan"])
def test_a_game_that_follows_its_budget_is_not_gone_on_with_a_larger_one(gan, prepared, tmp_path):
    """Its learning rate, or its size, would jump back."""
    gan_runs.train_run(job(48, gan=gan), prepared, tmp_path / gan, CPU)
    with pytest.raises(CheckpointError, match="images was 48, is 96"):
        gan_runs.train_run(job(96, gan=gan), prepared, tmp_path / gan, CPU, resume=True)
    gan_runs.train_or_load(job(96, gan=gan), prepared, tmp_path / gan, CPU)
    assert gan_folders.read_card(tmp_path / gan)["images_shown"] == 96


def test_train_or_load_keeps_what_it_replaces(prepared, tmp_path, capsys):
    gan_runs.train_or_load(job(), prepared, tmp_path / "dcgan", CPU)
    first = weights(tmp_path / "dcgan")
    gan_runs.train_or_load(job(seed=1), prepared, tmp_path / "dcgan", CPU)
    assert "kept as replaced/dcgan.1" in capsys.readouterr().out
    kept = weights(tmp_path / "replaced" / "dcgan.1")
    assert all(torch.equal(first[k], kept[k]) for k in first)
    assert gan_folders.read_card(tmp_path / "dcgan")["seed"] == 1
    gan_runs.train_or_load(job(48, seed=1), prepared, tmp_path / "dcgan", CPU)
    assert gan_folders.read_card(tmp_path / "dcgan")["images_shown"] == 48


def test_one_class_starts_from_the_weights_of_all(prepared, tmp_path):
    gan_runs.train_run(job(), prepared, tmp_path / "all", CPU)
    gan = gan_runs.train_run(
        job(16, class_name="mel"), prepared, tmp_path / "mel", CPU, start_from=tmp_path / "all"
    )
    seen = sampling.training_groups(tmp_path / "mel")  # those of the GAN it started from, too
    assert seen == sampling.training_groups(tmp_path / "all")
    assert gan_folders.read_card(tmp_path / "mel")["data"]["training_images"] < len(seen) * 2
    start = weights(tmp_path / "all")["G.first.weight"]
    assert 0 < (gan.G.first.weight - start).abs().max() < 0.01  # one step away
    assert gan_folders.read_card(tmp_path / "mel")["class"] == "mel"


def test_an_unknown_class_or_gan_offers_the_nearest(prepared, tmp_path):
    with pytest.raises(UsageError, match="did you mean 'mel'"):
        gan_runs.train_run(job(class_name="mell"), prepared, tmp_path / "x", CPU)
    with pytest.raises(UsageError, match="did you mean 'dcgan'"):
        gan_runs.train_run(Job("dcgna", 96), prepared, tmp_path / "x", CPU)
    assert not (tmp_path / "x").exists()


def test_a_run_without_gans_says_what_to_run(tmp_path):
    with pytest.raises(CheckpointError, match="run a GAN's notebook first"):
        gan_folders.trained(tmp_path)


def contents(folder) -> dict:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def breaks_down(monkeypatch, player_loss: str) -> None:
    """From now on this loss of a DCGAN is nan."""
    known = getattr(DCGAN, player_loss)
    monkeypatch.setattr(
        DCGAN, player_loss, lambda gan, batch: {"lost": known(gan, batch).popitem()[1] * np.nan}
    )


def test_a_training_that_diverges_leaves_the_last_good_checkpoint(prepared, tmp_path, monkeypatch):
    folder = tmp_path / "dcgan"
    gan_runs.train_run(job(48), prepared, folder, CPU)
    before = contents(folder)
    with monkeypatch.context() as patched:
        breaks_down(patched, "g_loss")
        with pytest.raises(TrainingDiverged) as found:
            gan_runs.train_run(job(96), prepared, folder, CPU, resume=True)
    for told in ("g_lost is nan at step 4", "last good checkpoint is at 48 images"):
        assert told in str(found.value)
    assert contents(folder) == before
    assert sampling.generate(sampling.load(folder), 2, 0).shape == (2, 64, 64, 3)
    gan_runs.train_run(job(96), prepared, folder, CPU, resume=True)  # and it can be gone on with
    gan_runs.train_run(job(96), prepared, tmp_path / "whole", CPU)
    assert same_weights(folder, tmp_path / "whole")


def test_where_nothing_was_saved_yet_no_checkpoint_is_promised(prepared, tmp_path, monkeypatch):
    breaks_down(monkeypatch, "d_loss")
    with pytest.raises(TrainingDiverged, match="d_lost is nan at step 1") as found:
        gan_runs.train_run(job(), prepared, tmp_path / "dcgan", CPU)
    assert not checkpoints.exists(tmp_path / "dcgan")
    assert "last good checkpoint" not in str(found.value)


def test_the_moment_with_the_lowest_kid_is_kept_beside_the_last(prepared, tmp_path, monkeypatch):
    kids, seen = itertools.count(10.0, 10.0), []  # the first moment is the best

    def taken(self, gan, seed):
        seen.append({name: value.clone() for name, value in gan.state_dict().items()})
        return {"kid": next(kids), "spread": 1.0, "told_apart": 0.5}

    monkeypatch.setattr(health.Health, "__call__", taken)
    gan_runs.train_run(job(16 * 4), prepared, tmp_path / "dcgan", CPU)
    best, last = (sampling.load(tmp_path / "dcgan", which=w) for w in ("best", "last"))
    assert len(seen) > 1
    assert equal(best.state_dict(), seen[0])
    assert equal(last.state_dict(), seen[-1])
    assert not equal(best.state_dict(), last.state_dict())
    card = gan_folders.read_card(tmp_path / "dcgan")
    assert "best 10 at" in card["health"]


TRAIN = """
    import sys, torch
    from pathlib import Path
    from nbhelpers import features, gan_jobs, gan_observer, gan_runs, prepare
    torch.set_num_threads(1)
    gan_observer.SECONDS_BETWEEN_CHECKPOINTS = 0.0
    prepared = prepare.load_prepared(Path(sys.argv[1]))
    job = gan_jobs.Job("dcgan", 1600, 16, settings={"width": 4, "z_dim": 8})
    folder, encoder = Path(sys.argv[2]), features.random_encoder(0)
    gan_runs.train_run(job, prepared, folder, torch.device("cpu"), True, encoder=encoder)
"""


def train_in_a_process(prepared, folder) -> subprocess.Popen:
    return subprocess.Popen([sys.executable, "-c", textwrap.dedent(TRAIN), prepared.folder, folder])


def test_killed_and_resumed_equals_never_killed(prepared, tmp_path):
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    process = train_in_a_process(prepared, killed)
    deadline = time.monotonic() + 60
    while not (killed / "checkpoint.previous.pt").exists() and time.monotonic() < deadline:
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert 0 < checkpoints.load(killed)["training"]["step"] < 100
    assert train_in_a_process(prepared, killed).wait() == 0
    assert train_in_a_process(prepared, whole).wait() == 0
    assert same_weights(killed, whole)
    for name in ("history.csv", "health.csv"):
        assert (killed / name).read_bytes() == (whole / name).read_bytes()
    best, other = (sampling.load(folder, which="best").state_dict() for folder in (killed, whole))
    assert equal(best, other)
    for one, other in zip(
        gan_folders.sample_sheets(killed)[1], gan_folders.sample_sheets(whole)[1], strict=True
    ):
        assert np.array_equal(one, other)


def test_a_start_from_a_gan_of_another_fold_or_size_is_refused(prepared, tmp_path):
    gan_runs.train_run(job(fold=1), prepared, tmp_path / "base", CPU)
    with pytest.raises(LeakageError, match=r"the GAN in .*base was trained on"):
        gan_runs.train_run(
            job(class_name="mel"), prepared, tmp_path / "x", CPU, False, tmp_path / "base"
        )
    wider = Job("dcgan", 96, 16, fold=1, settings={"width": 8, "z_dim": 8})
    with pytest.raises(CheckpointError, match="start from one of the same settings"):
        gan_runs.train_run(wider, prepared, tmp_path / "y", CPU, False, tmp_path / "base")


def test_a_gan_of_other_photographs_is_not_judged_by_its_lesion_ids(prepared, tmp_path):
    gan_runs.train_run(job(), prepared, tmp_path / "dcgan", CPU)
    other = dataclasses.replace(prepared, manifest={"sha256": {"images.npy": "another"}})
    with pytest.raises(LeakageError, match="was trained on other prepared data"):
        gan_folders.held_out_rows(tmp_path / "dcgan", other)


def test_a_row_of_the_table_is_what_the_run_left(prepared, tmp_path):
    for name, kid in (("dcgan", "kid, pooled"), ("cgan", "kid")):
        folder = tmp_path / name
        gan = gan_runs.train_run(
            job(64, gan=name), prepared, folder, CPU, encoder=features.random_encoder(0)
        )
        row = gan_table.row(folder, prepared.images[:20])
        last = pd.read_csv(folder / "health.csv").iloc[-1]
        assert (row["gan"], row["images shown"]) == (name, 64)
        assert row["weights G"] == sum(w.numel() for w in gan.G.parameters())
        left = np.load(folder / "samples.npz")["images"] / 255
        assert row["pixel deviation"] == pytest.approx(left.std(axis=0).mean(), abs=6e-4)
        photographs = prepared.images[:20] / 255
        assert row["of photographs"] == pytest.approx(photographs.std(axis=0).mean(), abs=6e-4)
        assert row[kid] == pytest.approx(last["kid"], abs=0.06, nan_ok=True)
        assert row["told apart"] == pytest.approx(last["told_apart"], abs=6e-4)
        assert len(row) == 9 and {"kid", "kid, pooled"} & set(row) == {kid}
