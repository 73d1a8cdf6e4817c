"""One runner a notebook of a run folder: a lock file that names process and host, taken over from
the dead. So jobs of a cluster can share a folder, and two whole runs cannot."""

import json
import os
import socket
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from .errors import NbhelpersError


@contextmanager
def run_lock(folder: Path, notebooks: Iterable[str]) -> Iterator[None]:
    """Holds `folder/state/<notebook>.lock` of all of them.

    NbhelpersError when another runner holds one, or when the folder cannot be written.
    """
    held = []
    try:
        _take_all(folder, notebooks, held)
        yield
    finally:
        for lock in held:
            lock.unlink(missing_ok=True)


def _take_all(folder: Path, notebooks: Iterable[str], held: list[Path]) -> None:
    try:
        for place in (folder, folder / "notebooks", folder / "state"):
            place.mkdir(parents=True, exist_ok=True)
            probe = place / f".probe.{socket.gethostname()}.{os.getpid()}"
            try:
                probe.write_text("a full disk takes no letter")
            finally:
                probe.unlink(missing_ok=True)
        for name in notebooks:
            lock = folder / "state" / f"{name}.lock"
            if not _create(lock):
                _take_over(lock)
            held.append(lock)
    except OSError as error:
        raise NbhelpersError(
            f"{folder} cannot be written ({error.strerror}): choose another place with --runs."
        ) from error


def _create(lock: Path) -> bool:
    """True when the lock is ours now, False when there is one already."""
    me = {
        "pid": os.getpid(),
        "host": socket.gethostname(),
        "started": psutil.Process().create_time(),
    }
    try:
        handle = os.open(lock, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
    except FileExistsError:
        return False
    try:
        with os.fdopen(handle, "w") as file:
            json.dump(me, file)
    except OSError:  # a full disk; what is left would be a lock that nobody holds
        lock.unlink()
        raise
    return True


def _take_over(lock: Path) -> None:
    """Replaces a stale lock by ours; NbhelpersError when its runner lives, or may elsewhere."""
    text = lock.read_text()
    try:
        holder = json.loads(text)
        who = f"process {holder['pid']} on {holder['host']}"
        elsewhere = holder["host"] != socket.gethostname()
        busy = elsewhere or _alive(holder["pid"], holder["started"])
    except (ValueError, KeyError, TypeError):
        who, elsewhere, busy = "another runner", True, True
    remedy = (
        f"delete {lock} if it runs no more"
        if elsewhere
        else "wait for it, or choose another --runs"
    )
    refusal = NbhelpersError(f"{lock.stem} of {lock.parents[1]} is being run by {who}: {remedy}.")
    if busy:
        raise refusal
    # Two runners may find the same stale lock: the rename decides, and a fresh lock taken by
    # mistake goes back
    aside = lock.with_name(f".{lock.name}.{os.getpid()}")
    try:
        os.rename(lock, aside)
    except FileNotFoundError:
        raise refusal from None
    if aside.read_text() != text:
        os.rename(aside, lock)
        raise refusal
    aside.unlink()
    if not _create(lock):
        raise refusal


def _alive(pid: int, started: float) -> bool:
    """True when that very process runs: a later one with the same number does not count."""
    try:
        process = psutil.Process(pid)
        return abs(process.create_time() - started) < 2 and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False
