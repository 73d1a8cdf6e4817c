"""What a run folder holds for its report: one section a notebook, and the facts about the run."""

import re
from dataclasses import dataclass, field
from pathlib import Path

import nbformat

from .errors import DataError
from .files import read_json
from .graph import NODES

DONE = "done"
VERDICTS = "22_verdicts"  # the table that the report begins with
RESULTS = {
    "metrics.csv": ("21_measure", "Every metric with its interval and its floor"),
    "classifier.csv": ("22_classifier", "Every arm of the classifier comparison"),
}


@dataclass
class Section:
    """One notebook in the report."""

    name: str
    title: str
    state: dict
    needs: tuple[str, ...] = ()
    figures: list[Path] = field(default_factory=list)
    tables: list[tuple[str, str]] = field(default_factory=list)  # (title, CSV text)

    @property
    def status(self) -> str:
        return self.state.get("status", "not run")

    @property
    def message(self) -> str:
        return self.state.get("message", "")

    @property
    def shown(self) -> bool:
        """Whether there is something to see, or something to say."""
        return bool(self.figures or self.tables or (self.state and self.status != DONE))


def sections(folder: Path) -> list[Section]:
    """One section a notebook, in the order of their numbers, those never run included."""
    summary = _json(folder / "state" / "summary.json")
    latest = {result["notebook"]: result for result in summary.get("results", [])}
    needs = {node.name: node.needs for node in NODES}
    named = {path.stem for path in (folder / "state").glob("*.json")} - {"summary"}
    found = {}
    for name in sorted(named | set(needs)):
        state = _json(folder / "state" / f"{name}.json")
        if latest.get(name, {}).get("status") in ("skipped", "not run"):
            earlier = "what is shown here is from an earlier run" if state else ""
            said = filter(None, (latest[name]["message"], earlier))
            state |= latest[name] | {"message": "; ".join(said)}
        found[name] = Section(name, _title(folder, name), state, needs.get(name, ()))
    for section in found.values():
        _note_outdated(section, found)
    _fill(folder, found)
    return sorted(found.values(), key=lambda section: section.name)


def _note_outdated(section: Section, found: dict[str, Section]) -> None:
    """Marks a notebook that read files which another one has written anew since."""
    date = section.state.get("date", "")
    for need in section.needs:
        if section.status == DONE and found[need].state.get("date", "") > date:
            message = f"{need}, which it reads, was run again after it"
            section.state |= {"status": "outdated", "message": message}


def _fill(folder: Path, found: dict[str, Section]) -> None:
    """Hands each figure and table to the notebook whose number it bears."""

    def owner(path: Path) -> Section:
        number = path.name[:2]
        for name in found:
            if name[:2] == number:
                return found[name]
        return found.setdefault(number, Section(number, "Other results", {"status": DONE}))

    figures = (folder / "figures").glob("*.png")
    for path in sorted(figures, key=lambda path: path.stat().st_mtime_ns):  # as they were drawn
        owner(path).figures.append(path)
    for path in sorted((folder / "tables").glob("*.csv")):
        if path.stem != VERDICTS:
            owner(path).tables.append((words(path.stem), read_text(path)))
    for file, (notebook, title) in RESULTS.items():
        if (folder / file).exists():
            found[notebook].tables.append((title, read_text(folder / file)))


def facts(found: list[Section], folder: Path) -> dict[str, str]:
    """What holds for the run as a whole; a fact that notebooks disagree on has all its values."""
    states = [section.state for section in found]

    def told(key: str) -> str:
        values = {str(state[key]) for state in states if state.get(key) not in (None, "")}
        return " and ".join(sorted(values))

    days = sorted({state["date"][:10] for state in states if state.get("date")})
    # <preset>-<dataset>-<size>, for a run without a readable state
    preset, _, rest = folder.resolve().name.partition("-")
    dataset, _, size = rest.rpartition("-")
    return {
        "preset": told("preset") or preset,
        "dataset": told("dataset") or dataset,
        "size": told("image_size") or size,
        "seed": told("seed"),
        "device": told("device"),
        "date": " to ".join(days[:1] + days[1:][-1:]),
        "minutes": f"{sum(state.get('minutes', 0.0) for state in states):.1f}",
    }


def _json(path: Path) -> dict:
    """A state file. A missing one says nothing, a broken one shows as `unknown`."""
    try:
        return read_json(path)
    except DataError:
        return {"status": "unknown", "message": f"{path.name} is damaged"} if path.exists() else {}


def read_text(path: Path) -> str:
    return path.read_text(encoding="utf-8-sig", errors="replace")


def _title(folder: Path, name: str) -> str:
    """The first heading of the executed notebook, else its name."""
    try:
        cells = nbformat.read(folder / "notebooks" / f"{name}.ipynb", as_version=4).cells
    except (OSError, ValueError, nbformat.reader.NotJSONError):
        return words(name)
    heading = re.compile(r"^#\s+(?:\d\d · )?(.+)$", re.M)  # the number stands before it already
    found = (heading.search(c.source) for c in cells if c.cell_type == "markdown")
    return next((match[1].strip() for match in found if match), words(name))


def words(stem: str) -> str:
    """`10_training_curves` as `Training curves`."""
    text = re.sub(r"^\d\d_", "", stem).replace("_", " ")
    return text[:1].upper() + text[1:]
