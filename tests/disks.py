"""Real disks, small or read-only, which root may mount; elsewhere such tests are skipped."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def disk(folder: Path, size: str = "1m", read_only: bool = False) -> Iterator[Path]:
    """A disk of its own at `folder`, as long as the block lasts."""
    folder.mkdir()
    options = f"size={size},{'ro' if read_only else 'rw'}"
    call = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    try:
        done = subprocess.run(call, capture_output=True, text=True)
    except FileNotFoundError:
        pytest.skip("there is no mount here")
    if done.returncode:
        pytest.skip(f"mount: {done.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)
