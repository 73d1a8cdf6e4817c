"""Files from the internet: resumed, verified by hash, never half written under their final name."""

import hashlib
import os
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse
from itertools import chain
from pathlib import Path
from queue import Empty, Queue
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

from . import __version__
from .errors import DownloadError, UsageError
from .files import refuse_full_disk
from .locks import one_process
from .progress import progress

PATIENCE = 8.0  # seconds a connected but silent server is waited for
OFFLINE_AFTER = 9.0  # seconds until a missing network is reported, name look-up included
PAUSES = (1.0, 2.0, 4.0, 8.0, 16.0)  # seconds between attempts; one attempt more than pauses
LONGEST_PAUSE = 60.0  # seconds, whatever the server asks for in Retry-After
BUSY = {408, 429, 500, 502, 503, 504}
CHUNK = 1 << 20  # bytes: one step of the progress bar
PAGE_STARTS = (b"<!doctype html", b"<html", b"<head", b"<script")


@dataclass(frozen=True)
class Remote:
    """A published file: where it is and the one hash that proves it, `md5` or `sha256`."""

    name: str  # file name on disk
    url: str
    licence: str
    manual: str  # what a person does when the server refuses programs
    md5: str = ""
    sha256: str = ""
    bytes: int | None = None  # None: the server's Content-Length is believed

    def __post_init__(self) -> None:
        if bool(self.md5) == bool(self.sha256):
            raise UsageError(f"Remote {self.name!r} needs exactly one of md5 and sha256.")

    @property
    def hash(self) -> tuple[str, str]:
        """(algorithm, expected hexadecimal digest)."""
        return ("md5", self.md5) if self.md5 else ("sha256", self.sha256)


class _TryAgain(Exception):
    """A failure that may pass; `after` is the number of seconds the server asked to wait, or 0."""

    def __init__(self, reason: str, after: float = 0.0) -> None:
        super().__init__(reason)
        self.after = after


def fetch(remote: Remote, to: Path, sleep: Callable[[float], None] = time.sleep) -> Path:
    """The verified file `to/remote.name`, downloaded unless it is already there.

    An interrupted transfer stays in `<name>.part` and is resumed by the next call; processes that
    ask for the same file take turns. DownloadError when it cannot be had or has another hash.
    """
    target = Path(to) / remote.name
    try:
        Path(to).mkdir(parents=True, exist_ok=True)
        if not target.exists():
            with one_process(target):
                if not target.exists():
                    return _download(remote, target, sleep)
        verify(remote, target)
    except OSError as error:
        raise DownloadError(
            f"{target} cannot be written or read: {error}. Choose another folder."
        ) from error
    return target


def verify(remote: Remote, path: Path) -> None:
    """Raises DownloadError, with both hashes, unless `path` has the published one."""
    difference = _difference(remote, path)
    if difference:
        raise DownloadError(
            f"{path} is not the published file: {difference}. Delete it and run again; "
            f"if it stays so, {remote.manual}"
        )


def _difference(remote: Remote, path: Path) -> str:
    algorithm, expected = remote.hash
    with path.open("rb") as file:
        got = hashlib.file_digest(file, algorithm).hexdigest()
    return "" if got == expected.lower() else f"expected {algorithm} {expected}, got {got}"


def _download(remote: Remote, target: Path, sleep: Callable[[float], None]) -> Path:
    part = target.with_name(target.name + ".part")
    host = urlsplit(remote.url).hostname
    print(f"downloading {remote.name} from {host}. Licence: {remote.licence}", flush=True)
    _transfer(remote, part, sleep)
    difference = _difference(remote, part)
    if difference:
        part.unlink()  # going on from wrong bytes can only give wrong bytes
        raise DownloadError(
            f"what {host} sent for {remote.name} is not the published file: {difference}. "
            f"Nothing was kept: run again; if it stays so, {remote.manual}"
        )
    os.replace(part, target)
    print(f"{remote.name}: its {remote.hash[0]} is the published one", flush=True)
    return target


def _transfer(remote: Remote, part: Path, sleep: Callable[[float], None]) -> None:
    """Bring all bytes into `part`, in several attempts where the trouble may pass."""
    if part.exists() and not _difference(remote, part):
        return  # whole already: a process ended before renaming it
    for pause in (*PAUSES, None):
        try:
            return _receive(remote, part)
        except _TryAgain as trouble:
            if pause is None:
                kept = part.stat().st_size if part.exists() else 0
                raise DownloadError(
                    f"{remote.url} failed {len(PAUSES) + 1} times ({trouble}). {kept:,} bytes are "
                    f"kept in {part}: run again later to go on, or {remote.manual}"
                ) from trouble
            sleep(min(max(pause, trouble.after), LONGEST_PAUSE))


def _receive(remote: Remote, part: Path) -> None:
    """One attempt: append what `part` lacks, or start over where the server ignores ranges."""
    have = part.stat().st_size if part.exists() else 0
    with _ask(remote, part, have) as reply:
        start = have if reply.status == 206 else 0
        total = _total(reply, start, remote)
        chunks = _chunks(reply)
        first = next(chunks, b"")
        _refuse_page(remote, reply, first)
        if total is not None:
            refuse_full_disk(part.parent, total - start, DownloadError)
        steps = None if total is None else -(-(total - start) // CHUNK)
        with part.open("ab" if start else "wb") as out:
            for chunk in progress(chain([first], chunks), remote.name, total=steps, unit="MiB"):
                out.write(chunk)
    size = part.stat().st_size
    if total is not None and size < total:
        raise _TryAgain(f"cut short at {size:,} of {total:,} bytes")


def _chunks(reply: HTTPResponse) -> Iterator[bytes]:
    """The body; its failures are told apart from those of writing it."""
    try:
        while chunk := reply.read(CHUNK):
            yield chunk
    except (OSError, HTTPException) as error:
        raise _TryAgain(f"the connection broke: {type(error).__name__}") from error


def _ask(remote: Remote, part: Path, have: int) -> HTTPResponse:
    """The reply, its body unread: 206 and exactly the missing bytes, or another status."""
    headers = {"User-Agent": f"nbhelpers/{__version__}"}
    if have:
        headers["Range"] = f"bytes={have}-"
    try:
        reply = _open(Request(remote.url, headers=headers))
    except HTTPError as error:
        error.close()
        if have and error.code == 416:
            raise _restart(part, "the server refused to resume") from None
        raise _status_error(remote, error) from None
    except URLError as error:
        raise _offline(remote, part, error.reason) from None
    except (OSError, HTTPException) as error:
        raise _TryAgain(f"no reply: {type(error).__name__}") from error
    resumed_at = reply.headers.get("Content-Range", "")
    if reply.status == 206 and not resumed_at.startswith(f"bytes {have}-"):
        reply.close()
        raise _restart(part, "the server resumed at another byte")
    return reply


def _restart(part: Path, reason: str) -> _TryAgain:
    part.unlink()
    return _TryAgain(reason)


def _open(request: Request) -> HTTPResponse:
    """The opened reply. A daemon thread asks, because a name look-up obeys no time limit."""
    answers: Queue = Queue()

    def ask() -> None:
        try:
            answers.put(urlopen(request, timeout=PATIENCE))
        except Exception as error:
            answers.put(error)

    threading.Thread(target=ask, daemon=True).start()
    try:
        answer = answers.get(timeout=OFFLINE_AFTER)
    except Empty:
        raise URLError(f"no answer within {OFFLINE_AFTER:.0f} seconds") from None
    if isinstance(answer, Exception):
        raise answer
    return answer


def _status_error(remote: Remote, error: HTTPError) -> Exception:
    if error.code in BUSY:
        asked = error.headers.get("Retry-After", "")
        return _TryAgain(f"status {error.code}", float(asked) if asked.isdigit() else 0.0)
    if error.code in (401, 403):
        return _page(remote, f"status {error.code}")
    return DownloadError(
        f"{remote.url} answers {error.code} {error.reason}: the file is not there. "
        f"Instead, {remote.manual}"
    )


def _offline(remote: Remote, part: Path, reason: object) -> DownloadError:
    algorithm, expected = remote.hash
    host = urlsplit(remote.url).hostname
    return DownloadError(
        f"{host} cannot be reached ({reason}). Without a network this local file will do: "
        f"{part.with_suffix('')} ({algorithm} {expected}).\nTo get it elsewhere, {remote.manual}"
    )


def _page(remote: Remote, sign: str) -> DownloadError:
    return DownloadError(
        f"{remote.url}: the server sent a web page, not {remote.name} ({sign}). "
        f"Instead, {remote.manual}"
    )


def _refuse_page(remote: Remote, reply: HTTPResponse, first: bytes) -> None:
    kind = reply.headers.get_content_type()
    if reply.status not in (200, 206):
        raise _page(remote, f"status {reply.status}")
    head = first[:512].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if kind == "text/html" or head.startswith(PAGE_STARTS):
        raise _page(remote, f"type {kind}")
    if not first and int(reply.headers.get("Content-Length") or 0) == 0:
        raise _page(remote, "an empty one")


def _total(reply: HTTPResponse, start: int, remote: Remote) -> int | None:
    length = reply.headers.get("Content-Length")
    return start + int(length) if length else remote.bytes
