"""Data sets that a program draws: their folder is whole, or not there."""

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ..errors import DataError
from ..files import draft_of, read_json

Settings = dict[str, int]


@dataclass(frozen=True)
class Drawn:
    """A drawn data set: `settings` that decide every byte, and what its folder holds then."""

    settings: Settings
    marker: str  # the file that holds the settings and is written last
    names: frozenset[str]  # of folders and files that every such set has, the marker's too
    prefix: str  # what the names of pictures begin with
    pictures: tuple[str, ...]  # patterns, each of which finds `count` files
    count: int

    def make(self, folder: Path, write: Callable[[Path, Settings], None]) -> Path:
        """`folder`, absolute, filled by `write(draft, settings)` unless it is complete. A
        half-written one is made again. DataError when it holds other settings or other files."""
        folder = Path(folder).expanduser().absolute()
        if self.is_complete(folder):
            return folder
        draft = draft_of(folder)
        try:
            draft.mkdir(parents=True)
            write(draft, self.settings)
            self._move(draft, folder)
        finally:
            shutil.rmtree(draft, ignore_errors=True)
        return folder

    def is_complete(self, folder: Path) -> bool:
        """True when `folder` holds these settings' files; False when it holds nothing, or half."""
        if not folder.exists():
            return False
        inside = (path.name for path in folder.rglob("*"))
        foreign = [n for n in inside if n not in self.names and not n.startswith(self.prefix)]
        if foreign:  # the real data set's folders have the same names
            told = f"{folder} holds {min(foreign)}, no phantom's file"
            raise DataError(f"{told}: choose another folder.")
        if not (folder / self.marker).exists():
            return False
        if (found := read_json(folder / self.marker)) != self.settings:
            raise DataError(f"{folder} was made with {found}: choose another folder, or delete it.")
        return all(len(list(folder.glob(p))) == self.count for p in self.pictures)

    def _move(self, draft: Path, folder: Path) -> None:
        """Puts the draft in place, unless another process was quicker: its folder is the same."""
        if self.is_complete(folder):
            return
        if folder.exists():
            shutil.rmtree(folder)
        os.replace(draft, folder)
