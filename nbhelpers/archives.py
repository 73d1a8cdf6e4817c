"""Zip and tar archives, unpacked without trusting them: checked as a whole, moved as a whole."""

import lzma
import os
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath
from typing import IO

from .errors import DownloadError
from .files import draft_of, refuse_full_disk
from .progress import progress

MAX_FILES = 500_000
MAX_BYTES = 200 * 2**30
MAX_RATIO = 200  # unpacked over packed bytes; photographs stay near 1, text near 10
SMALL = 64 * 2**20  # bytes below which the ratio does no harm
BROKEN = (
    zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError,
    EOFError, UnicodeError, RuntimeError,
)  # fmt: skip


@dataclass(frozen=True)
class Entry:
    """One member of an archive; `kind` is "file", "folder", or what it is instead."""

    name: str
    bytes: int
    kind: str
    open: Callable[[], IO[bytes]]


def extract(archive: Path, to: Path) -> Path:
    """`to`, now holding everything in `archive`; absent or empty before, and after a DownloadError.

    Refused: names that leave the folder, links, devices, repeated names, and bombs: more than
    `MAX_FILES`, `MAX_BYTES` or `MAX_RATIO`.
    """
    archive, to = Path(archive), Path(to)
    draft = draft_of(to)
    try:
        with _entries(archive) as entries:
            members = list(_checked(archive, entries))
            _refuse_unusable(archive, to, sum(member.bytes for member in members))
            draft.mkdir(parents=True)
            for member in progress(members, f"unpacking {archive.name}", unit="files"):
                _write(member, draft)
        if to.exists():
            to.rmdir()
        os.replace(draft, to)
    except BROKEN as error:
        raise DownloadError(
            f"{archive} is damaged ({error}): delete it and download it again."
        ) from error
    except OSError as error:
        raise DownloadError(
            f"{archive} could not be unpacked into {to} ({error}): choose another folder."
        ) from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return to


@contextmanager
def _entries(archive: Path) -> Iterator[Iterator[Entry]]:
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as file:
            yield (_zip_entry(file, info) for info in file.infolist())
    elif tarfile.is_tarfile(archive):
        with tarfile.open(archive) as file:
            yield (_tar_entry(file, info) for info in file)
    else:
        with archive.open("rb") as file:
            head = file.read(16)
        raise DownloadError(
            f"{archive} is no readable zip or tar: it begins with {head!r}. "
            "It may be cut short or a web page: delete it and download it again."
        )


def _zip_entry(file: zipfile.ZipFile, info: zipfile.ZipInfo) -> Entry:
    mode = stat.S_IFMT(info.external_attr >> 16)
    kind = "folder" if info.is_dir() else "file"
    if mode not in (0, stat.S_IFREG, stat.S_IFDIR):
        kind = "link" if mode == stat.S_IFLNK else "device"
    return Entry(info.filename, info.file_size, kind, lambda: file.open(info))


def _tar_entry(file: tarfile.TarFile, info: tarfile.TarInfo) -> Entry:
    kind = "file" if info.isreg() else "folder" if info.isdir() else "link"
    if info.isdev():
        kind = "device"
    return Entry(info.name, info.size, kind, lambda: file.extractfile(info))


def _checked(archive: Path, entries: Iterator[Entry]) -> Iterator[Entry]:
    """The entries, each proven harmless. Totals are watched on the way: no bomb is listed whole."""
    total, packed = 0, archive.stat().st_size
    for count, entry in enumerate(entries, 1):
        _refuse_name(archive, entry)
        total += entry.bytes
        if count > MAX_FILES:
            raise DownloadError(
                f"{archive} holds more than {MAX_FILES:,} files, a bomb: not unpacked, delete it."
            )
        if total > MAX_BYTES or total > max(SMALL, MAX_RATIO * packed):
            raise DownloadError(
                f"{archive} claims over {total:,} bytes of its {packed:,}, a bomb: not unpacked, "
                "delete it."
            )
        yield entry


def _refuse_name(archive: Path, entry: Entry) -> None:
    # read as a Windows path, a name shows drives, both kinds of slash and '..' alike
    path = PureWindowsPath(entry.name)
    if path.anchor or ".." in path.parts or (not path.parts and entry.kind == "file"):
        raise DownloadError(
            f"{archive} holds {entry.name!r}, which leaves its folder: not unpacked, do not use it."
        )
    if entry.kind not in ("file", "folder"):
        raise DownloadError(
            f"{archive} holds {entry.name!r}, a {entry.kind}: not unpacked, do not use it."
        )


def _refuse_unusable(archive: Path, to: Path, needed: int) -> None:
    if to.is_file() or (to.is_dir() and any(to.iterdir())):
        raise DownloadError(
            f"{to} is there already: delete it or choose another folder for {archive.name}."
        )
    to.parent.mkdir(parents=True, exist_ok=True)
    refuse_full_disk(to.parent, needed, DownloadError, f"{archive.name}: ")


def _write(entry: Entry, folder: Path) -> None:
    target = folder / entry.name.replace("\\", "/")
    if entry.kind == "folder":
        target.mkdir(parents=True, exist_ok=True)
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    with (
        entry.open() as source,
        target.open("xb") as out,
    ):  # "x": a repeated name is an error, not an overwrite
        shutil.copyfileobj(source, out)
