import os
import signal
import subprocess
import sys
import textwrap
import time

import numpy as np
import pytest
import torch

from nbhelpers import checkpoints
from nbhelpers.errors import CheckpointError


def state(number: int) -> dict:
    return {"number": number, "weights": torch.full((1000,), float(number))}


def test_round_trip_and_previous(tmp_path):
    checkpoints.save(tmp_path, state(1))
    checkpoints.save(tmp_path, state(2))
    assert checkpoints.load(tmp_path)["number"] == 2
    (tmp_path / checkpoints.NAME).unlink()
    assert checkpoints.load(tmp_path)["number"] == 1
    assert sorted(p.name for p in tmp_path.iterdir()) == [checkpoints.PREVIOUS]


def test_plain_torch_can_read_it(tmp_path):
    path = checkpoints.save(tmp_path, state(3))
    assert torch.load(path, weights_only=True)["number"] == 3


def test_one_file_is_read_alone_and_nothing_takes_its_place(tmp_path):
    checkpoints.save(tmp_path, state(1))
    best = checkpoints.write(tmp_path / checkpoints.BEST, state(2))
    assert checkpoints.read(best)["number"] == 2
    assert checkpoints.load(tmp_path)["number"] == 1  # the best one is no checkpoint to go on from
    checkpoints.write(best, state(3))
    assert checkpoints.read(best)["number"] == 3
    assert not (tmp_path / checkpoints.PREVIOUS).exists()
    best.write_bytes(best.read_bytes()[:-1])
    with pytest.raises(CheckpointError, match=r"best\.pt is damaged"):
        checkpoints.read(best)
    best.unlink()
    with pytest.raises(CheckpointError, match=r"best\.pt is missing"):
        checkpoints.read(best)
    assert not checkpoints.exists(tmp_path / "elsewhere")


@pytest.mark.parametrize("damage", ["flip", "truncate", "empty", "tail"])
def test_damage_is_found_and_the_previous_one_used(tmp_path, capsys, damage):
    checkpoints.save(tmp_path, state(1))
    path = checkpoints.save(tmp_path, state(2))
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= damage == "flip"
    content[-1] ^= damage == "tail"
    keep = {"truncate": len(content) // 2, "empty": 0}.get(damage, len(content))
    path.write_bytes(content[:keep])
    assert checkpoints.load(tmp_path)["number"] == 1
    assert "damaged (checksum)" in capsys.readouterr().out


def test_nothing_left_is_an_error_with_the_next_step(tmp_path):
    with pytest.raises(CheckpointError, match="holds no checkpoint: train first"):
        checkpoints.load(tmp_path)
    (tmp_path / checkpoints.NAME).write_bytes(b"x" * 200)
    with pytest.raises(CheckpointError, match=r"damaged \(checksum\).*train again"):
        checkpoints.load(tmp_path)


class Bomb:
    def __reduce__(self):
        return os.mkdir, (self.where,)


def test_code_in_a_checkpoint_is_refused_and_not_run(tmp_path):
    bomb = Bomb()
    bomb.where = str(tmp_path / "exploded")
    checkpoints.save(tmp_path, {"bomb": bomb})
    with pytest.raises(CheckpointError, match="is refused"):
        checkpoints.load(tmp_path)
    assert not (tmp_path / "exploded").exists()


WRITER = """
    import sys, torch
    from pathlib import Path
    from nbhelpers import checkpoints
    for number in range(1000):
        state = {"number": number, "weights": torch.full((300_000,), float(number))}
        checkpoints.save(Path(sys.argv[1]), state)
        print(number, flush=True)
"""


def test_killed_at_any_moment_a_checkpoint_is_loadable(tmp_path):
    random = np.random.default_rng(0)
    for trial in range(5):
        folder = tmp_path / str(trial)
        folder.mkdir()
        process = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(WRITER), folder],
            stdout=subprocess.PIPE,
            text=True,
        )
        process.stdout.readline()  # the first one is written
        time.sleep(random.uniform(0.0, 0.15))
        process.send_signal(signal.SIGKILL)
        written = [0, *map(int, process.communicate()[0].split())][-1]
        loaded = checkpoints.load(folder)
        assert loaded["number"] in (written, written + 1, written - 1)
        assert (loaded["weights"] == loaded["number"]).all()


def test_weights_are_known_whatever_the_clock_said(tmp_path):
    """The same training in another folder, on another day, is the same base to start from."""
    weights = {"a": torch.ones(2), "b": torch.zeros(3)}
    for name, seconds in (("one", 1.0), ("other", 2.0)):
        (tmp_path / name).mkdir()
        checkpoints.save(tmp_path / name, {"training": {"gan": weights}, "seconds": seconds})
    one, other = (checkpoints.weights_sha256(tmp_path / name) for name in ("one", "other"))
    assert one == other
    checkpoints.save(tmp_path / "one", {"training": {"gan": weights | {"b": torch.ones(3)}}})
    assert checkpoints.weights_sha256(tmp_path / "one") != one
