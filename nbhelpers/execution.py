"""One notebook in one kernel of the running environment, executed with papermill."""

import contextlib
import importlib.util
import logging
import os
import re
import shutil
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar, Self

import nbformat
import papermill
from jupyter_client import AsyncKernelManager
from jupyter_client.kernelspec import KernelSpec
from papermill.clientwrap import PapermillNotebookClient
from papermill.engines import Engine, papermill_engines

from .errors import NotebookError
from .executed_copy import Outcome, join_stream, judge, keep, redact


class Ticker:
    """The line that says where a notebook is.

    In a terminal it is rewritten in place, in a log a new one comes now and then.
    """

    # between lines, in a terminal (True) and in a log (False)
    seconds: ClassVar[dict[bool, float]] = {True: 1.0, False: 15.0}
    in_place: ClassVar[bool] = True

    def __init__(self, name: str, cells: int, hidden: dict[str, str] | None = None):
        self.hidden = hidden or {}  # machine paths, as in `redact`
        self.name, self.cells, self.index, self.last = name, cells, 0, ""
        self.start, self.live = time.monotonic(), self.in_place and sys.stdout.isatty()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._tick, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        if self.live:
            print("\r\x1b[K", end="", flush=True)

    def at_cell(self, cell: nbformat.NotebookNode, cell_index: int) -> None:
        """Called before each cell; the arguments bear nbclient's names."""
        self.index = cell_index

    def heard(self, text: str) -> None:
        """Called with what a cell prints; its last line is shown."""
        lines = [line.strip() for line in re.split(r"[\r\n]", text) if line.strip()]
        self.last = redact(lines[-1], self.hidden) if lines else self.last

    def __str__(self) -> str:
        minutes, seconds = divmod(int(time.monotonic() - self.start), 60)
        place = f"{self.name} · cell {self.index + 1} of {self.cells} · {minutes}:{seconds:02d}"
        return f"{place} · {self.last}" if self.last else place

    def _tick(self) -> None:
        # a closed pipe must end the run in the main thread, not here
        with contextlib.suppress(OSError, ValueError):
            while not self._stop.wait(self.seconds[self.live]):
                if self.live:
                    width = shutil.get_terminal_size().columns - 1
                    print(f"\r\x1b[K{str(self)[:width]}", end="", flush=True)
                else:
                    print(f"  {self}", flush=True)


def this_python(root: Path) -> type[AsyncKernelManager]:
    """A kernel manager that starts the running interpreter, whatever kernels are registered."""
    if importlib.util.find_spec("ipykernel") is None:
        raise NotebookError(f"{sys.executable} has no kernel: pip install ipykernel.")
    path = os.pathsep.join(filter(None, (str(root), os.environ.get("PYTHONPATH"))))
    environment = {
        "PYTHONPATH": path,
        "NBHELPERS_HEADLESS": "1",
        "MPLBACKEND": "module://matplotlib_inline.backend_inline",
        "PYDEVD_DISABLE_FILE_VALIDATION": "1",
    }
    if data := os.environ.get("NBHELPERS_DATA"):  # the kernel has another working folder
        environment["NBHELPERS_DATA"] = os.path.abspath(data)
    command = [
        sys.executable,
        "-m",
        "ipykernel_launcher",
        "-f",
        "{connection_file}",
        "--log-level=50",
    ]

    class ThisPython(AsyncKernelManager):
        kernel_spec = KernelSpec(
            argv=command, display_name="Python 3", language="python", env=environment
        )

    return ThisPython


class _Client(PapermillNotebookClient):
    """Papermill's client, with progress, and with a cap on what a chatty cell leaves in memory."""

    ticker: Ticker

    def process_message(self, msg: dict, cell: nbformat.NotebookNode, cell_index: int) -> Any:
        output = super().process_message(msg, cell, cell_index)
        if output and output.output_type == "stream":
            self.ticker.heard(output.text)
            join_stream(cell.outputs)
        return output


class _Engine(Engine):
    @classmethod
    def execute_managed_notebook(
        cls, nb_man, kernel_name, *, ticker, manager, cell_seconds, start_timeout=120, **_ignored
    ):
        client = _Client(
            nb_man,
            kernel_name=kernel_name,
            kernel_manager_class=manager,
            timeout=cell_seconds,
            startup_timeout=start_timeout,
            on_cell_start=ticker.at_cell,
            log=logging.getLogger("papermill"),
        )
        client.ticker = ticker
        client.execute()


def execute(
    source: Path,
    target: Path,
    parameters: dict[str, Any],
    root: Path,
    hidden: dict[str, str],
    cell_seconds: float | None = None,
) -> Outcome:
    """How `source` ended when it was run with `parameters`.

    Its executed copy lies in `target`, whole, in any case.

    The kernel's working folder is the notebook's, as in JupyterLab. `hidden` is {machine path: what
    the copy shows}.
    """
    logging.getLogger("papermill").setLevel(
        logging.CRITICAL
    )  # what it would say is said by the outcome
    papermill_engines.register("nbhelpers", _Engine)
    partial = target.with_name(f".{target.stem}.partial.ipynb")
    cells = len(nbformat.read(source, as_version=4).cells) + 1  # and the injected one
    try:
        with Ticker(source.stem, cells, hidden) as ticker:
            ending = _ending(source, partial, parameters, this_python(root), ticker, cell_seconds)
        outcome = judge(partial, ending, ticker.index)
        return Outcome(outcome.status, redact(outcome.message, hidden))
    finally:
        try:
            keep(partial, target, hidden)
        finally:
            partial.unlink(missing_ok=True)


def _ending(source, partial, parameters, manager, ticker, cell_seconds) -> Exception | None:
    """The exception papermill ended with, or None."""
    try:
        papermill.execute_notebook(
            _literal(source), _literal(partial), parameters,
            engine_name="nbhelpers", kernel_name="python3",
            language="python", progress_bar=False, cwd=str(source.parent),
            ticker=ticker, manager=manager, cell_seconds=cell_seconds,
        )  # fmt: skip
    except Exception as error:  # whatever ends a notebook is a result, not the end of the run
        return error
    return None


def _literal(path: Path) -> str:
    """`path` for papermill, which takes braces for fields to fill in."""
    return str(path).replace("{", "{{").replace("}", "}}")


@contextlib.contextmanager
def stop_like_ctrl_c() -> Iterator[None]:
    """A polite kill ends the run like Ctrl-C, so that the kernel goes with it."""

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    try:
        before = signal.signal(signal.SIGTERM, stop)
    except ValueError:  # only a main thread may; elsewhere the caller handles signals
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
