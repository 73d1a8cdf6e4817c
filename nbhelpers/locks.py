"""Turns: one process at a time works on a file.

The system frees a lock when its owner dies, so none is ever stale.
"""

import errno
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from .errors import NbhelpersError

PATIENCE = 5.0  # seconds

if os.name == "nt":
    import msvcrt

    def _try_lock(handle: IO) -> None:
        msvcrt.locking(handle.fileno(), msvcrt.LK_NBLCK, 1)
else:
    import fcntl

    def _try_lock(handle: IO) -> None:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)


@contextmanager
def one_process(target: Path, refusal: NbhelpersError | None = None) -> Iterator[None]:
    """Inside, nobody else is inside for the same `target`; a later process or thread waits, or
    raises `refusal` after the seconds that the kernel of a killed runner needs to end."""
    path = target.with_name(f".{target.name}.lock")
    handle = _locked(path)
    deadline = time.monotonic() + PATIENCE
    if handle is None and refusal is None:
        print(f"another process is writing {target.name}: waiting for it", flush=True)
    while handle is None:
        if refusal is not None and time.monotonic() > deadline:
            raise refusal
        time.sleep(0.2)
        handle = _locked(path)
    try:
        yield
    finally:
        with suppress(OSError):  # Windows keeps a file that is open
            path.unlink()
        handle.close()


def _locked(path: Path) -> IO | None:
    """The open, locked file, or None when another process has it."""
    try:
        handle = path.open("a")
    except OSError as error:
        raise NbhelpersError(
            f"{path} cannot be written ({error}): choose another folder."
        ) from error
    try:
        _try_lock(handle)
        if os.path.samestat(os.fstat(handle.fileno()), path.stat()):
            return handle
    except (BlockingIOError, PermissionError, FileNotFoundError):
        pass  # held, or removed by its last owner between opening and locking
    except OSError as error:
        if error.errno not in (errno.ENOSYS, errno.ENOTSUP, errno.ENOLCK):
            raise
        return handle  # a network disk without locks: one process is expected there
    handle.close()
    return None
