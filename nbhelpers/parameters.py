"""The `parameters` cell: read without running it, and new values checked against its literals."""

import ast
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat

from .errors import NotebookError, UsageError, one_of

# What the runner sets in every notebook; the command line has a flag for each
COMMON = ("preset", "dataset", "source", "image_size", "seed", "runs")
WORDS = {"true": True, "false": False}


@dataclass(frozen=True)
class Notebook:
    """A notebook on disk: its code, and its parameters with their defaults."""

    path: Path
    code: tuple[str, ...]  # sources of the code cells
    defaults: dict[str, Any]

    @property
    def name(self) -> str:
        return self.path.stem


def read_notebook(path: Path) -> Notebook:
    """The notebook in `path`.

    NotebookError when it is missing, no notebook, or without one readable `parameters` cell.
    """
    if not path.exists():
        raise NotebookError(
            f"notebooks/{path.name} is missing: check out the project again, "
            "or name other notebooks."
        )
    try:
        cells = nbformat.read(path, as_version=4).cells
    except Exception as error:  # nbformat raises its own, json's and AttributeError
        raise NotebookError(
            f"notebooks/{path.name} is not a valid notebook ({type(error).__name__})."
        ) from error
    code = [cell for cell in cells if cell.cell_type == "code"]
    tagged = [cell for cell in code if "parameters" in cell.metadata.get("tags", ())]
    if len(tagged) != 1:
        raise NotebookError(
            f"notebooks/{path.name} has {len(tagged)} cells tagged `parameters`: tag exactly one "
            "(JupyterLab: property inspector, Cell Tags)."
        )
    return Notebook(path, tuple(c.source for c in code), _literals(tagged[0].source, path.name))


def _literals(source: str, name: str) -> dict[str, Any]:
    """{parameter: default} of a cell that holds nothing but `name = literal`."""
    try:
        pairs = [_pair(statement) for statement in ast.parse(source).body]
    except (SyntaxError, ValueError, TypeError) as error:
        line = getattr(error, "lineno", None) or "?"
        raise NotebookError(
            f"notebooks/{name}: the parameters cell may hold only `name = plain literal` "
            f"(line {line})."
        ) from error
    return dict(pairs)


def _pair(statement: ast.stmt) -> tuple[str, Any]:
    if isinstance(statement, ast.Assign) and len(statement.targets) == 1:
        target = statement.targets[0]
    elif isinstance(statement, ast.AnnAssign) and statement.value is not None:
        target = statement.target
    else:
        raise SyntaxError("not an assignment", (None, statement.lineno, 0, ""))
    if not isinstance(target, ast.Name):
        raise SyntaxError("not a name", (None, statement.lineno, 0, ""))
    try:
        return target.id, ast.literal_eval(statement.value)
    except ValueError:
        raise SyntaxError("not a literal", (None, statement.lineno, 0, "")) from None


def assign(
    notebooks: list[Notebook], common: Mapping[str, Any], overrides: Mapping[str, Any]
) -> dict[str, dict[str, Any]]:
    """{notebook: {parameter: value}}: the `common` values, and the overrides where they belong.

    An override is `name: value`, for every notebook that has it, or `10:name: value` for notebook
    10 alone; text is read as the default's type. UsageError names what is misspelt or of another.
    """
    values: dict[str, dict[str, Any]] = {}
    for book in notebooks:
        missing = [name for name in common if name not in book.defaults]
        if missing:
            raise NotebookError(
                f"notebooks/{book.path.name} has no parameter {missing[0]!r}: "
                "add it to the parameters cell."
            )
        values[book.name] = {
            name: convert(name, value, book.defaults[name]) for name, value in common.items()
        }
    for key, value in overrides.items():
        number, _, name = key.rpartition(":")
        if name in COMMON:
            raise UsageError(
                f"--set {key}: use --{'size' if name == 'image_size' else name}, "
                "it holds for the whole run."
            )
        for book in _meant(notebooks, number, name):
            values[book.name][name] = convert(name, value, book.defaults[name])
    return values


def _meant(notebooks: list[Notebook], number: str, name: str) -> list[Notebook]:
    """The notebooks an override is for; UsageError when there is none."""
    books = [
        book for book in notebooks if not number or book.name == number or book.name[:2] == number
    ]
    if not books:
        one_of("notebook", number, [book.name[:2] for book in notebooks])
    own = sorted({p for book in books for p in book.defaults if p not in COMMON})
    if not own:
        raise UsageError(
            f"parameter {name!r} is unknown: {', '.join(b.name for b in books)} "
            "can be run with no --set."
        )
    one_of("parameter", name, own)
    return [book for book in books if name in book.defaults]


def convert(name: str, value: Any, default: Any) -> Any:
    """`value` in the type of `default`, read from text where it is text.

    Raises UsageError that names the parameter otherwise.
    """
    wanted = type(default)
    try:
        found = _read(value, default) if isinstance(value, str) else value
    except (ValueError, SyntaxError, KeyError):
        raise _refused(name, value, default) from None
    if wanted is float and type(found) is int:
        found = float(found)
    if default is not None and type(found) is not wanted:
        raise _refused(name, value, default)
    return found


def _refused(name: str, value: Any, default: Any) -> UsageError:
    return UsageError(
        f"{name} is {value!r}: expected {type(default).__name__}, like its default {default!r}."
    )


def _read(text: str, default: Any) -> Any:
    if isinstance(default, bool):
        return WORDS[text.lower()]
    if isinstance(default, (int, float, str)):
        return type(default)(text)
    if default is None:
        try:
            return ast.literal_eval(text)
        except (ValueError, SyntaxError):
            return text
    return ast.literal_eval(text)
