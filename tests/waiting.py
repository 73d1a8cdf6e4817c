"""Waiting for what another process does."""

import time
from collections.abc import Callable


def until(true: Callable[[], bool], what: str, seconds: float = 120) -> None:
    """Waits for it; fails, naming it, when it does not come in time."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, f"{what}: not within {seconds} s"
        time.sleep(0.2)
