"""Two ranks play the step that one plays: real processes, joined by gloo."""

import os
import subprocess
from pathlib import Path

import pandas as pd
import psutil
import pytest
import torch
from disks import disk
from rank_gradients import all_gradients
from small_gans import batch, build
from waiting import until

from nbhelpers import checkpoints, ranks
from nbhelpers.__main__ import main
from nbhelpers.errors import TrainingError
from nbhelpers.gans import GANS
from nbhelpers.launcher import torchrun

HERE = Path(__file__).parent


def ran(count: int, *command: object, seconds: int = 240) -> subprocess.CompletedProcess:
    """`command` by that many ranks, on a port of its own."""
    start = [*torchrun(count), *command]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(HERE.parent)}
    return subprocess.run(
        list(map(str, start)), capture_output=True, text=True, timeout=seconds, env=environment
    )


@pytest.fixture(scope="module")
def both(tmp_path_factory) -> tuple[dict, dict]:
    path = tmp_path_factory.mktemp("ranks") / "two.pt"
    done = ran(2, HERE / "rank_gradients.py", path)
    assert done.returncode == 0, done.stderr[-3000:]
    return all_gradients(), torch.load(path, weights_only=True)


@pytest.mark.parametrize("name", GANS)
def test_two_ranks_have_the_gradients_of_one(both, name):
    one, two = ({k: v for k, v in found.items() if k.startswith(f"{name}.")} for found in both)
    assert one.keys() == two.keys()
    for who in "DG":
        keys = [key for key in one if key.startswith(f"{name}.{who}.")]
        assert any(found[key].any() for found in (one, two) for key in keys)
        alone, together = (torch.cat([x[key].flatten() for key in keys]) for x in (one, two))
        assert (together - alone).norm() <= 1e-5 * alone.norm(), who


def command(prepared, folder: Path, *more: object) -> list[object]:
    """`nbhelpers train dcgan` in batches of 8, small."""
    settings = ["--batch", 8, "--preset", "smoke", "--set", "width=8", *more]
    return [
        "-m",
        "nbhelpers",
        "train",
        "dcgan",
        "--data",
        prepared.folder,
        "--to",
        folder,
        *settings,
    ]


def test_a_training_goes_on_with_another_number_of_ranks(prepared, tmp_path):
    """Two ranks, then one: as one alone, within what bfloat16 leaves of a sum."""
    for images, count in ((160, 2), (320, 1)):
        done = ran(count, *command(prepared, tmp_path / "both", "--images", images, "--resume"))
        assert done.returncode == 0, done.stderr[-3000:]
        assert done.stdout.count("dcgan is in") == 1
    alone = command(prepared, tmp_path / "one", "--images", 320)[2:]
    assert main(list(map(str, alone))) == 0
    both, one = (pd.read_csv(tmp_path / name / "history.csv") for name in ("both", "one"))
    assert both["images"].tolist() == one["images"].tolist()
    assert (both / one - 1).abs().head(10).max().max() < 0.05
    kept = {name: {path.name for path in (tmp_path / name).iterdir()} for name in ("both", "one")}
    assert kept["both"] == kept["one"]
    assert checkpoints.load(tmp_path / "both")["training"]["step"] == 40


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--batch", 7], "2 ranks cannot share batches of 7: set batch_size to a multiple of 2"),
        (["--device", "cuda"], "CUDA devices are here"),
        (["--to", __file__], "choose another place"),
    ],
)
def test_what_all_ranks_find_is_said_once(prepared, tmp_path, more, said):
    if more[-1] == "cuda" and torch.cuda.is_available():
        pytest.skip("there is a GPU")
    done = ran(2, *command(prepared, tmp_path / "run", *more))
    assert done.returncode == 1
    assert done.stderr.count("nbhelpers: ") == 1 and said in done.stderr
    assert not (tmp_path / "run" / "checkpoint.pt").exists()


def test_a_read_only_disk_is_said_once(prepared, tmp_path):
    with disk(tmp_path / "disk", read_only=True) as folder:
        done = ran(2, *command(prepared, folder / "run"))
    assert done.returncode == 1
    assert done.stderr.count("nbhelpers: ") == 1, done.stderr
    assert f"{folder / 'run'}: Read-only file system: choose another" in done.stderr


def test_other_versions_are_refused(tmp_path):
    script = tmp_path / "versions.py"
    script.write_text(
        "import os, torch, nbhelpers\n"
        "from nbhelpers import errors, ranks\n"
        "ranks.__version__ = '0.0.' + os.environ['RANK']\n"
        "try:\n"
        "    with ranks.joined(torch.device('cpu')): pass\n"
        "except errors.TrainingError as error:\n"
        "    print(os.environ['RANK'] + f' {error}\\n', end='')\n"
    )
    told = sorted(filter(None, ran(2, script).stdout.splitlines()))
    assert [line[0] for line in told] == ["0", "1"]
    assert "rank 0 has nbhelpers 0.0.0 and rank 1 has 0.0.1: give all" in told[0]


def test_a_dead_rank_ends_all(prepared, tmp_path):
    start = torchrun(2) + command(prepared, tmp_path / "run", "--images", 1_000_000)
    log = tmp_path / "log"
    with log.open("w") as file:
        parent = psutil.Popen(list(map(str, start)), stdout=file, stderr=file,
                              env=os.environ | {"OMP_NUM_THREADS": "1"})  # fmt: skip
    until(lambda: "images/s" in log.read_text() or parent.poll() is not None, "training begins")
    assert parent.poll() is None, log.read_text()[-2000:]
    below = parent.children(recursive=True)
    second = next(child for child in below if child.environ().get("RANK") == "1")
    second.kill()
    assert parent.wait(60) == 1
    assert psutil.wait_procs(below, timeout=10)[1] == []
    assert "Signal 9 (SIGKILL)" in log.read_text() or "another rank has ended" in log.read_text()


def test_alone_there_is_nothing_to_share():
    rows = torch.arange(6).reshape(2, 3)
    assert ranks.count() == 1 and ranks.rank() == 0
    assert ranks.mine(rows, axis=1) is rows and ranks.mean(rows) is rows
    assert ranks.drawn(torch.zeros, 2, 3).shape == (2, 3)


def test_batch_norm_alone_is_torch_s():
    x = torch.randn(4, 3, 5, 5)
    mine, theirs = ranks.BatchNorm2d(3), torch.nn.BatchNorm2d(3)
    assert torch.equal(mine(x), theirs(x))
    assert all(map(torch.equal, mine.state_dict().values(), theirs.state_dict().values()))


@pytest.mark.parametrize(
    ("ranks_here", "part", "rows", "mine"),
    [(1, 0.25, 8, 2), (1, 0.1, 2, 1), (2, 0.5, 4, 2), (4, 0.5, 2, 1)],
)
def test_the_penalised_share_is_that_of_the_whole_batch(monkeypatch, ranks_here, part, rows, mine):
    monkeypatch.setattr(ranks, "count", lambda: ranks_here)
    assert ranks.share(part, rows) == mine


def test_a_gan_without_penalties_shares_none(monkeypatch):
    def refused(*_):
        raise TrainingError("asked for a share")

    monkeypatch.setattr(ranks, "share", refused)
    assert set(build("modern").d_loss(batch())) == {"game"}
    with pytest.raises(TrainingError, match="asked for a share"):
        build("modern", norm="none", r1_weight=1.0).d_loss(batch())


def test_a_share_that_cannot_be_divided_is_refused(monkeypatch):
    monkeypatch.setattr(ranks, "count", lambda: 8)
    with pytest.raises(TrainingError, match="8 ranks cannot share the 4 images of a batch"):
        ranks.share(0.5, 1)
