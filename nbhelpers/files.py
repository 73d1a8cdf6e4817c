"""Files that are whole or absent: everything is written beside its target and moved into place."""

import glob
import hashlib
import json
import os
import shutil
import tempfile
import time
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np

from .errors import DataError, NbhelpersError

# What numpy raises for an .npz that is missing, damaged, or no .npz
BROKEN_ARRAYS = (
    OSError, KeyError, ValueError, EOFError, NotImplementedError, zipfile.BadZipFile, zlib.error,
)  # fmt: skip


UNFINISHED = ".unfinished"  # the ending of what is being written, or was when its writer was killed
DAY = 86_400.0


def write_atomic(path: Path, data: bytes) -> Path:
    """`path`, now holding `data`: a reader or a kill at any moment sees the old file or the new
    one."""
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(UNFINISHED, f".{path.name}.", path.parent)
    except OSError as error:
        raise NbhelpersError(
            f"{path} cannot be written ({error.strerror}): choose another folder."
        ) from error
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, 0o644)
        os.replace(name, path)
    except OSError as error:
        raise NbhelpersError(
            f"{path} was not written ({error.strerror}): the previous file is intact. "
            "Mend that and run again."
        ) from error
    finally:
        Path(name).unlink(missing_ok=True)
    return path


def write_json(path: Path, value: Any) -> Path:
    """`path`, now holding `value` as indented JSON."""
    return write_atomic(path, (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode())


def read_json(path: Path) -> Any:
    """The JSON value in `path`; DataError when it is missing or not JSON."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DataError(f"{path} is missing: run the step that writes it first.") from None
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}.") from error
    except (ValueError, RecursionError) as error:  # no JSON, no UTF-8, or without end
        raise DataError(
            f"{path} is not valid JSON ({error}): delete it and run the step again."
        ) from error


def sha256_file(path: Path) -> str:
    """Hex SHA-256 of a file's bytes."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256_arrays(*arrays: np.ndarray) -> str:
    """Hex SHA-256 of the shapes, types and contents of arrays; objects count as their text."""
    digest = hashlib.sha256()
    for array in arrays:
        plain = array.astype(str) if array.dtype == object else array
        digest.update(f"{plain.shape} {plain.dtype.str}".encode())
        digest.update(np.ascontiguousarray(plain))
    return digest.hexdigest()


def remove_unfinished(folder: Path, pattern: str = ".*", seconds: float = DAY) -> None:
    """Removes what killed writers have left in `folder` under names of that pattern, once it is
    older than `seconds`: nobody writes one file for a day."""
    for left in Path(folder).glob(pattern + UNFINISHED):
        with suppress(FileNotFoundError):
            if time.time() - left.stat().st_mtime >= seconds:
                shutil.rmtree(left) if left.is_dir() else left.unlink()


def names_a_folder(name: str) -> bool:
    """Whether a folder of that name lies where it is made, on any system."""
    return name not in ("", ".", "..") and not set(name) & set("/\\\0")


def draft_of(to: Path) -> Path:
    """Where this process builds the folder `to`: beside it, and not there yet. What killed
    processes have left of theirs is removed."""
    remove_unfinished(to.parent, f".{glob.escape(to.name)}.*")
    draft = to.with_name(f".{to.name}.{os.getpid()}{UNFINISHED}")
    shutil.rmtree(draft, ignore_errors=True)
    return draft


@contextmanager
def whole_folder(to: Path) -> Iterator[Path]:
    """A new folder to fill, which takes the place of `to` when the block ends well; otherwise `to`
    is left as it was. DataError when the disk refuses."""
    draft = draft_of(to)
    try:
        draft.mkdir(parents=True)
        yield draft
        _swap(draft, to)
    except OSError as error:
        raise DataError(
            f"{to} could not be written ({error.strerror}): free space or choose another (--to)."
        ) from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def existing(place: Path) -> Path:
    """`place`, or the nearest folder above it that is there."""
    return next(path for path in (place, *place.parents) if path.exists())


def refuse_full_disk(
    folder: Path, needed: int, error: type[NbhelpersError] = DataError, what: str = ""
) -> None:
    """Raises `error` when the disk of `folder` has fewer bytes free than `needed`. Of a folder that
    cannot be written the first write tells."""
    if not os.access(folder, os.W_OK):
        return
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise error(
            f"{what}{needed:,} bytes are needed, {folder} has {free:,} free: free some space or "
            "choose another folder."
        )


def new_array(file: Path, shape: tuple[int, ...]) -> np.memmap:
    """A memory-mapped array uint8 in a new file, whose room on the disk is taken at once: a write
    to a map that finds the disk full kills the process."""
    array = np.lib.format.open_memmap(file, "w+", np.uint8, shape)
    if hasattr(os, "posix_fallocate"):  # not on macOS and Windows
        with open(file, "r+b") as handle:
            os.posix_fallocate(handle.fileno(), 0, os.path.getsize(file))
    return array


def _swap(new: Path, place: Path) -> None:
    """Puts the folder `new` in `place`; the old one goes only when the new one stands."""
    old = new.with_name(f"{new.name}.old{UNFINISHED}")
    if place.exists():
        os.replace(place, old)
    os.replace(new, place)
    shutil.rmtree(old, ignore_errors=True)
