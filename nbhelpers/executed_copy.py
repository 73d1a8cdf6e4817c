"""The executed copy of a notebook: judged by its cells, kept short, free of paths and secrets."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
from nbclient.exceptions import CellTimeoutError, DeadKernelError
from papermill.exceptions import PapermillExecutionError

from .files import write_atomic

DONE, FAILED, INCOMPLETE = "done", "failed", "incomplete"
CAP = 20_000  # characters of one stream kept in the executed copy of a cell
ARROW = re.compile(r"^-+>\s*\d+\s+(.*\S)", re.M)
COLOURS = re.compile(r"\x1b\[[\d;]*m")
CUT = re.compile(r"\n\[(\d+) characters left out here\]\n")
# What comes before a secret: part of an address, a header, a quoted value, the environment
BEFORE = (
    r"[?&](?:[\w-]*(?:token|key|secret|signature|credential)|sig)=",
    r"://[^\s/:@]+:(?=[^\s/@]+@)",
    r"bearer\s+",
    r"[\w-]*(?:password|passwd|secret|token|api_?key|access_?key)[\"']?\s*[:=]\s*[\"'](?=[^\"']{6})",
    r"\"key\"\s*:\s*\"(?=[^\"]{16})",
    r"(?-i:\b[A-Z_]*(?:PASSWORD|SECRET|TOKEN|API_KEY|ACCESS_KEY))=",
)
# ... and what is one by its own form
ALONE = (
    r"\b(?:hf_|ghp_|gho_|github_pat_|glpat-|sk-)[\w-]{16,}",
    r"\bAKIA[0-9A-Z]{16}",
    r"\beyJ[\w-]+\.[\w-]+\.[\w-]+",
)
SECRETS = re.compile(rf"(?i)({'|'.join(BEFORE)})[^\s&\"'<>\\@]+|{'|'.join(ALONE)}")


@dataclass(frozen=True)
class Outcome:
    """How a notebook ended, and why.

    The status is `done`, `failed` (a cell raised) or `incomplete` (cells were not run).
    """

    status: str
    message: str = ""


def judge(partial: Path, ending: Exception | None, index: int) -> Outcome:
    """The truth about an executed copy: every code cell has run and none shows an error.

    `ending` is what papermill raised, `index` the cell that was running then.
    """
    try:
        everything = nbformat.read(partial, as_version=4).cells
    except (OSError, ValueError, nbformat.reader.NotJSONError):
        return Outcome(
            FAILED, f"no executed copy was written ({ending}): free space, then run it again."
        )
    if isinstance(ending, DeadKernelError):
        remedy = "the kernel died, likely out of memory: use a smaller preset."
        return Outcome(INCOMPLETE, f"{describe(everything[index])}: {remedy}")
    if isinstance(ending, CellTimeoutError):
        remedy = "took longer than the time-out: raise --cell-timeout."
        return Outcome(INCOMPLETE, f"{describe(everything[index])} {remedy}")
    # papermill adds marker cells to a failed notebook, and they are no code
    return _judge_cells(
        [c for c in everything if c.cell_type == "code" and c.source.strip()], ending
    )


def _judge_cells(cells: list[nbformat.NotebookNode], ending: Exception | None) -> Outcome:
    for cell in cells:
        for output in cell.outputs:
            if output.output_type == "error":
                return _raised(cell, output)
    if ending is not None and not isinstance(ending, PapermillExecutionError):
        reason = (str(ending).strip() or repr(ending)).splitlines()[0]
        return Outcome(FAILED, f"{type(ending).__name__}: {reason}")
    if unrun := [cell for cell in cells if cell.execution_count is None]:
        return Outcome(INCOMPLETE, f"{len(unrun)} of {len(cells)} code cells were not run.")
    return Outcome(DONE)


def _raised(cell: nbformat.NotebookNode, output: nbformat.NotebookNode) -> Outcome:
    # the first arrow of a traceback points at the cell's own line
    arrow = ARROW.search(COLOURS.sub("", "\n".join(output.traceback)))
    where = describe(cell, arrow[1] if arrow else "")
    if output.ename == "SystemExit":
        ending = "ended the notebook (SystemExit): later cells were not run."
        return Outcome(INCOMPLETE, f"{where} {ending}")
    reason = (output.evalue.strip() or "no message").splitlines()[0]
    return Outcome(FAILED, f"{where}: {output.ename}: {reason}")


def describe(cell: nbformat.NotebookNode, line: str = "") -> str:
    """A cell as a reader finds it: its number, and `line` or else its first line of code."""
    lines = [line, *(code.strip() for code in cell.source.splitlines())]
    first = next((code for code in lines if code and not code.startswith("#")), "")
    return f"cell [{cell.get('execution_count') or ' '}] `{first[:60]}`"


def keep(partial: Path, target: Path, hidden: dict[str, str]) -> None:
    """Moves the executed copy to its place, without machine paths and secrets.

    The old one stays when that fails.
    """
    try:
        notebook = nbformat.read(partial, as_version=4)
    except (OSError, ValueError, nbformat.reader.NotJSONError):
        return
    notebook.metadata.get("papermill", {}).update(input_path=target.name, output_path=target.name)
    clean = nbformat.from_dict(redact(notebook, hidden))
    write_atomic(target, (nbformat.writes(clean) + "\n").encode())


def redact(value: Any, hidden: dict[str, str]) -> Any:
    """`value`, any JSON, with hidden paths replaced and access tokens and signatures blanked.

    Images stay as they are.
    """
    if isinstance(value, str):
        for path in sorted(hidden, key=len, reverse=True):
            # not inside base64 text; a colour code of a traceback may come before
            value = re.sub(
                rf"(?:(?<=\dm)|(?<![\w+])){re.escape(path)}(?![\w.-])",
                lambda _, p=path: hidden[p],
                value,
            )
        return SECRETS.sub(lambda found: (found[1] or "") + "…", value)
    if isinstance(value, list):
        return [redact(item, hidden) for item in value]
    if isinstance(value, dict):
        return {k: v if k.startswith("image/") else redact(v, hidden) for k, v in value.items()}
    return value


def join_stream(outputs: list[nbformat.NotebookNode]) -> None:
    """Appends the last output, a stream, to the one of its name since the last figure."""
    new = outputs[-1]
    for old in reversed(outputs[:-1]):
        if old.output_type != "stream":
            break
        if old.name == new.name:
            old.text = shorten(old.text + new.text)
            del outputs[-1]
            return
    new.text = shorten(new.text)


def shorten(text: str) -> str:
    """`text` when it is at most `CAP` long, else its two ends with a note of what is left out."""
    if len(text) <= CAP + 50:  # room for the note itself
        return text
    left_out = sum(map(int, CUT.findall(text)))
    text = CUT.sub("", text)
    half = CAP // 2
    return f"{text[:half]}\n[{left_out + len(text) - CAP} characters left out here]\n{text[-half:]}"
