"""Runs the notebooks in order and believes only executed cells and files on disk."""

import datetime
import hashlib
import json
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from . import __version__, config, datasets, lanes
from .errors import DataError, NbhelpersError
from .executed_copy import DONE, FAILED, INCOMPLETE, Outcome
from .execution import execute, stop_like_ctrl_c
from .files import read_json, remove_unfinished, write_json
from .graph import NODES, Node, select
from .parameters import COMMON, Notebook, assign, read_notebook
from .run_lock import run_lock
from .run_places import hidden, places, portable, project

UP_TO_DATE, SKIPPED, NOT_RUN = "up to date", "skipped", "not run"
GOOD = (DONE, UP_TO_DATE)


@dataclass(frozen=True)
class Result:
    """How one notebook ended in this run."""

    notebook: str
    status: str
    minutes: float = 0.0
    message: str = ""


@dataclass(frozen=True)
class Summary:
    """How a run ended: one result a notebook, in the order they were run."""

    folder: Path
    results: tuple[Result, ...]

    @property
    def ok(self) -> bool:
        return all(result.status in GOOD for result in self.results)

    def __str__(self) -> str:
        width = max(len(r.notebook) for r in self.results)
        rows = [f"{r.notebook:<{width}}  {r.minutes:8.1f}  {r.status}" for r in self.results]
        rows = [
            f"{row}: {r.message}" if r.message else row
            for row, r in zip(rows, self.results, strict=True)
        ]
        total = sum(r.minutes for r in self.results)
        return "\n".join(
            [f"{'notebook':<{width}}   minutes  status", *rows, f"{'all':<{width}}  {total:8.1f}"]
        )


@dataclass
class _Session:
    """What is fixed while a run lasts."""

    root: Path
    paths: config.Paths
    label: dict[str, Any]  # preset, dataset, image_size, seed, device
    hidden: dict[str, str]
    roots_hash: str  # of the package's source and the raw data
    force: bool
    cell_seconds: float | None
    bad: dict[str, str] = field(default_factory=dict)  # notebooks that did not end well in this run

    def files(self, node: Node) -> dict[str, Path]:
        """{as declared: where it is} of what a node makes."""
        places = {"run": self.paths.run, "prepared": self.paths.prepared}
        parts = {make: make.partition("/") for make in node.makes}
        return {make: places[head] / rest for make, (head, _, rest) in parts.items()}

    def missing(self, node: Node) -> list[Path]:
        return [path for path in self.files(node).values() if not path.exists()]

    def state(self, name: str) -> dict:
        """What the last run wrote about a notebook; empty when there is nothing readable."""
        try:
            return read_json(self.paths.run / "state" / f"{name}.json")
        except DataError:
            return {}

    def fingerprint(self, node: Node, book: Notebook, values: dict) -> str:
        """Hash of all that a result depends on. Needs count as they were run, not as they stand."""
        needs = [self.state(need).get("fingerprint") for need in node.needs]
        text = json.dumps([book.code, values, needs, self.roots_hash], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()


def run(
    preset: str = "laptop",
    dataset: str = "phantom",
    source: str = "",
    image_size: int = 64,
    seed: int = 0,
    runs: str = "runs",
    only: Iterable[str] = (),
    start_from: str = "",
    keep_going: bool = False,
    overrides: Mapping[str, Any] | None = None,
    force: bool = False,
    cell_seconds: float | None = None,
    jobs: int = 0,
    root: Path | None = None,
    nodes: Sequence[Node] = NODES,
) -> Summary:
    """How every notebook ended. What can be known before the first one starts is checked before.

    `overrides` are further parameters, `{"name": value}` or `{"10:name": value}`. Relative folders
    lie below `root`, the project. `jobs` notebooks are run at once, 0: as many as `lanes.room`
    says. A notebook that is up to date is not run again unless `force`.
    Raises NbhelpersError before the start; later failures are results, also in `summary.json`.
    """
    root = root or project()
    chosen = select(nodes, only, start_from)
    source, runs = (portable(text, root) for text in (source, runs))
    paths = places(root, preset, dataset, source, image_size, seed, runs)
    books = {node.name: read_notebook(root / "notebooks" / f"{node.name}.ipynb") for node in chosen}
    common = dict(zip(COMMON, (preset, dataset, source, image_size, seed, runs), strict=True))
    values = assign(list(books.values()), common, overrides or {})
    label = {key: common[key] for key in ("preset", "dataset", "source", "image_size", "seed")}
    session = _Session(root, paths, label | {"device": config.pick_device("auto").type},
                       hidden(root, source, paths),
                       _roots_hash(root, dataset, paths.raw), force, cell_seconds)  # fmt: skip
    _check_upstream(session, nodes, chosen, dataset)
    steps = [(node, books[node.name], values[node.name]) for node in chosen]
    with run_lock(paths.run, [node.name for node in chosen]), stop_like_ctrl_c():
        remove_unfinished(paths.run, "**/.*")
        return _run_all(session, steps, keep_going, jobs or lanes.room())


def _roots_hash(root: Path, dataset: str, raw: Path) -> str:
    """Hash of the package's source and of the raw files' names, sizes and times.

    What the package itself makes there does not count.
    """
    digest = hashlib.sha256()
    for path in sorted((root / "nbhelpers").rglob("*.py")):
        digest.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes())
    raw = raw.parent if raw.is_file() else raw  # a CSV names photographs beside it
    files = sorted(raw.rglob("*")) if not dataset.startswith("phantom") else []
    files = [path for path in files if datasets.MADE not in path.relative_to(raw).parts]
    for path, stat in ((path, path.stat()) for path in files if path.is_file()):
        digest.update(f"{path.relative_to(raw)}\0{stat.st_size}\0{stat.st_mtime_ns}\n".encode())
    return digest.hexdigest()


def _check_upstream(
    session: _Session, nodes: Sequence[Node], chosen: list[Node], dataset: str
) -> None:
    """DataError when raw photographs or files of a notebook that is not to be run are missing. Data
    that are built in may be missing: each notebook makes them where they are not there."""
    raw, prepared = session.paths.raw, session.paths.prepared
    built_in = datasets.is_built_in(dataset, session.label["source"])
    if (
        not built_in
        and any(not node.needs for node in chosen)
        and not (raw.is_file() or (raw.is_dir() and any(raw.iterdir())))
    ):
        fetch = f"`nbhelpers download {dataset}`, or " * (dataset in datasets.DOWNLOADED)
        raise DataError(
            f"{raw} is missing or empty: {fetch}name the folder of your {dataset} images with "
            "--source."
        )
    known, names = {node.name: node for node in nodes}, {node.name for node in chosen}
    for node in chosen:
        for need in (known[need] for need in node.needs if need not in names):
            missing = session.missing(need)
            if missing and not (built_in and missing[0].is_relative_to(prepared)):
                raise DataError(
                    f"{node.name} needs {missing[0]}: "
                    f"run {need.name[:2]} first (--only {need.name[:2]})."
                )


def _run_all(
    session: _Session, steps: list[tuple[Node, Notebook, dict]], keep_going: bool, jobs: int
) -> Summary:
    results = {node.name: Result(node.name, NOT_RUN) for node, _, _ in steps}
    with lanes.executor(jobs) as executor:
        try:
            _play(session, steps, keep_going, jobs, executor, results)
        finally:
            summary = Summary(session.paths.run, tuple(results.values()))
            rows = {"ok": summary.ok, "results": [asdict(result) for result in summary.results]}
            write_json(session.paths.run / "state" / "summary.json", session.label | rows)
    return summary


def _play(
    session: _Session,
    steps: list[tuple[Node, Notebook, dict]],
    keep_going: bool,
    jobs: int,
    executor: Executor,
    results: dict[str, Result],
) -> None:
    """Starts every notebook as soon as what it needs has ended, and writes down how it ended."""
    waiting, running = list(steps), {}
    while waiting or running:
        stopped = session.bad and not keep_going
        step = None if stopped or len(running) == jobs else _ready(waiting, running)
        if step is not None:
            waiting.remove(step)
            name = step[0].name
            results[name] = Result(name, INCOMPLETE, 0.0, "interrupted")
            running[name] = _started(session, step, executor)
        elif not running:
            break
        else:
            wait(running.values(), return_when=FIRST_COMPLETED)
        for name in [name for name, future in running.items() if future.done()]:
            results[name] = running.pop(name).result()
            if results[name].status not in GOOD:
                session.bad[name] = results[name].status


def _ready(waiting: list[tuple], running: Iterable[str]) -> tuple | None:
    """The first notebook that needs none that is still to be run; None while there is none."""
    open_ones = {step[0].name for step in waiting} | {*running}
    return next((s for s in waiting if not open_ones & {*s[0].needs, *s[0].after}), None)


def _started(session: _Session, step: tuple[Node, Notebook, dict], executor: Executor) -> Future:
    """The result to come of one notebook; it is skipped when one it needs did not end well."""
    node = step[0]
    blocked = [need for need in node.needs if need in session.bad]
    if not blocked:
        return executor.submit(_run_one, session, *step)
    print(f"{node.name}: {SKIPPED}, it needs {blocked[0]}", flush=True)
    skipped: Future = Future()
    skipped.set_result(Result(node.name, SKIPPED, 0.0, f"it needs {blocked[0]}"))
    return skipped


def _run_one(session: _Session, node: Node, book: Notebook, values: dict) -> Result:
    """The result of one notebook; what is printed and kept in `state/` says the same."""
    mark = session.fingerprint(node, book, values)
    state = session.state(node.name)
    fresh = (
        state.get("status") == DONE
        and state.get("fingerprint") == mark
        and not session.missing(node)
    )
    if fresh and not session.force:
        print(f"{node.name}: up to date", flush=True)
        return Result(node.name, UP_TO_DATE)
    print(f"{node.name}: started", flush=True)
    _write_state(session, node.name, Outcome(INCOMPLETE, "it was interrupted."), 0.0, values, None)
    start = time.monotonic()
    outcome = _execute(session, node, book, values)
    minutes = (time.monotonic() - start) / 60
    _write_state(
        session, node.name, outcome, minutes, values, mark if outcome.status == DONE else None
    )
    ending = f"{node.name}: {outcome.status} after {minutes:.1f} minutes"
    print(f"{ending}: {outcome.message}" if outcome.message else ending, flush=True)
    return Result(node.name, outcome.status, round(minutes, 3), outcome.message)


def _execute(session: _Session, node: Node, book: Notebook, values: dict) -> Outcome:
    """How the notebook ended, its declared files included."""
    target = session.paths.run / "notebooks" / f"{node.name}.ipynb"
    try:
        outcome = execute(
            book.path, target, values, session.root, session.hidden, session.cell_seconds
        )
    except NbhelpersError as error:
        return Outcome(FAILED, str(error))
    gone = [make for make, path in session.files(node).items() if not path.exists()]
    if outcome.status == DONE and gone:
        return Outcome(INCOMPLETE, f"all cells ran and {', '.join(gone)} was not written.")
    return outcome


def _write_state(
    session, name, outcome: Outcome, minutes: float, values: dict, mark: str | None
) -> None:
    now = datetime.datetime.now().astimezone().isoformat(timespec="seconds")
    write_json(session.paths.run / "state" / f"{name}.json", session.label | {
        "notebook": name, "status": outcome.status, "message": outcome.message,
        "minutes": round(minutes, 3),
        "date": now, "version": __version__, "parameters": values, "fingerprint": mark,
    })  # fmt: skip
