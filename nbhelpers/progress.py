"""One way to say how far a long piece of work is, for people and for logs."""

import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TextIO, TypeVar

from tqdm import tqdm

Item = TypeVar("Item")
SECONDS_BETWEEN_LINES = 5.0


def headless() -> bool:
    """True where a moving bar would only fill a log: under the runner, in a pipe, in CI."""
    return bool(os.environ.get("NBHELPERS_HEADLESS")) or not (_in_notebook() or sys.stderr.isatty())


def reporter(label: str, total: int | None, unit: str, done: int = 0) -> Callable[[int, str], None]:
    """A function to call with (done, note): it moves a live bar, or prints a plain line every few
    seconds.

    `done` is what an earlier session did: it says nothing of today's speed.
    """
    return (_line_reporter if headless() else _bar_reporter)(label, total, unit, done)


def progress(
    items: Iterable[Item], label: str, total: int | None = None, unit: str = "items"
) -> Iterator[Item]:
    """The items, one by one, while saying how many of `total` are done."""
    if total is None and hasattr(items, "__len__"):
        total = len(items)
    tell = reporter(label, total, unit)
    for done, item in enumerate(items, 1):
        yield item
        tell(done, "")


def _in_notebook() -> bool:
    return type(sys.stdout).__module__.startswith("ipykernel.")


def _screen() -> TextIO:
    """Where bars are drawn: a notebook paints what comes from stderr red, as if it were wrong."""
    return sys.stdout if _in_notebook() else sys.stderr


def _bar_reporter(
    label: str, total: int | None, unit: str, before: int
) -> Callable[[int, str], None]:
    bar = tqdm(
        desc=label, total=total, unit=f" {unit}", initial=before, file=_screen(), leave=False
    )

    def tell(done: int, note: str) -> None:
        bar.set_postfix_str(note, refresh=False)
        bar.update(done - bar.n)
        if done == total:
            bar.close()

    return tell


def _line_reporter(
    label: str, total: int | None, unit: str, before: int
) -> Callable[[int, str], None]:
    start = last = time.monotonic()

    def tell(done: int, note: str) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last < SECONDS_BETWEEN_LINES:
            return
        last = now
        share = f" of {total} ({100 * done / total:.0f} %)" if total else ""
        speed = (done - before) / (now - start)
        print(f"{label}: {done}{share} {unit}, {speed:.1f} {unit}/s {note}".rstrip(), flush=True)

    return tell
