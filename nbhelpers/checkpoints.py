"""Checkpoints that are whole or absent, and that know when they are damaged.

A checkpoint is a torch file whose zip comment is the SHA-256 of everything before it: one file,
replaced in one move, readable by plain `torch.load`, and a flipped bit is found. The one before it
is kept until the run
is finished.
"""

import hashlib
import io
import os
from pathlib import Path
from typing import Any

import numpy as np
import torch

from .errors import CheckpointError
from .files import UNFINISHED, sha256_arrays, write_atomic

NAME = "checkpoint.pt"
PREVIOUS = "checkpoint.previous.pt"
BEST = "best.pt"  # the weights of the moment with the lowest KID on the validation part
DIGEST = 64  # hex characters of a SHA-256


def save(folder: Path, state: dict[str, Any]) -> Path:
    """Writes `folder/checkpoint.pt`; the one that was there becomes `checkpoint.previous.pt`."""
    path = Path(folder) / NAME
    if path.exists():
        _keep_previous(path)
    return write(path, state)


def write(path: Path, state: dict[str, Any]) -> Path:
    """`path`, now holding `state` and the digest of itself."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    # the last two bytes of a zip file are the length of its comment
    body = buffer.getvalue()[:-2] + DIGEST.to_bytes(2, "little")
    return write_atomic(path, body + hashlib.sha256(body).hexdigest().encode())


def _keep_previous(path: Path) -> None:
    """A second name for the current file, so that no moment is without a whole checkpoint."""
    link = path.with_name(f".{PREVIOUS}.{os.getpid()}{UNFINISHED}")
    link.unlink(missing_ok=True)
    try:
        os.link(path, link)
    except OSError:  # a file system without hard links: the loader looks for both names
        os.replace(path, path.with_name(PREVIOUS))
    else:
        os.replace(link, path.with_name(PREVIOUS))


def room(gan: torch.nn.Module) -> int:
    """Bytes on the disk that a training of `gan` takes: a checkpoint (weights, and two moments of
    each for Adam), the one before, one that is being written, and the best weights."""
    weights = sum(value.nbytes for value in gan.state_dict().values())
    return (3 * 3 + 1) * weights


def drop_previous(folder: Path) -> None:
    """Removes the older checkpoint of a finished run."""
    (Path(folder) / PREVIOUS).unlink(missing_ok=True)


def exists(folder: Path) -> bool:
    """True when `folder` holds a checkpoint, damaged or not."""
    return any((Path(folder) / name).exists() for name in (NAME, PREVIOUS))


def load(folder: Path) -> dict[str, Any]:
    """The state in `folder/checkpoint.pt`, or in the one before it when that is damaged (and says
    so).

    Tensors come to the CPU. Only tensors and plain values are read: code in a file is refused,
    never run.
    """
    problems = []
    for path in (Path(folder) / NAME, Path(folder) / PREVIOUS):
        if not path.exists():
            continue
        try:
            state = read(path)
        except CheckpointError as error:
            problems.append(str(error))
        else:
            if problems:
                print(f"{problems[0]} Going on from {path.name}.")
            return state
    if problems:
        raise CheckpointError(
            f"{' '.join(problems)} Delete the folder's checkpoints and train again."
        )
    raise CheckpointError(
        f"{folder} holds no checkpoint: train first (nbhelpers train, or the GAN's notebook)."
    )


def weights_sha256(folder: Path) -> str:
    """SHA-256 of the weights in `folder`'s checkpoint, whatever else stands in it (seconds)."""
    weights = load(folder)["training"]["gan"]
    names = np.array(sorted(weights))
    return sha256_arrays(names, *(weights[name].numpy() for name in names))


def read(path: Path) -> dict[str, Any]:
    """The state in one checkpoint file; CheckpointError when it is damaged, or no such file."""
    if not path.exists():
        raise CheckpointError(f"{path} is missing: take the last checkpoint, or train again.")
    content = path.read_bytes()
    if hashlib.sha256(content[:-DIGEST]).hexdigest().encode() != content[-DIGEST:]:
        raise CheckpointError(f"{path} is damaged (checksum): take another, or train again.")
    try:
        return torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many kinds for a file it will not read
        reason = str(error).splitlines()[0]
        raise CheckpointError(
            f"{path} is refused: not a checkpoint of tensors and plain values ({reason})."
        ) from error
