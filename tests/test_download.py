"""Every way in which a server, a network or a disk misbehaves, against a real loopback server."""

import hashlib
import shutil
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import pytest
from loopback import BODY, Server, cut, ranged, status, whole

from nbhelpers import __version__, download
from nbhelpers.download import Remote, fetch, verify
from nbhelpers.errors import DownloadError, UsageError

ROOT = Path(__file__).parents[1]
MANUAL = "open the page in a browser"


def remote(url, body=BODY, **more):
    digest = hashlib.md5(body).hexdigest()
    return Remote(name="file.zip", url=url, licence="CC BY 0", manual=MANUAL, md5=digest, **more)


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    monkeypatch.setenv("no_proxy", "*")


@pytest.fixture
def pauses():
    return []


def failing(server, tmp_path, pauses, **more):
    with pytest.raises(DownloadError) as caught:
        fetch(remote(server.url, **more), tmp_path, sleep=pauses.append)
    assert not (tmp_path / "file.zip").exists(), "nothing at the final path"
    assert len(str(caught.value).splitlines()) <= 2
    return str(caught.value)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_file_arrives_whole_with_its_licence_told_first(tmp_path, pauses, capsys):
    with Server(whole) as server:
        path = fetch(remote(server.url), tmp_path / "new folder é", sleep=pauses.append)
        assert path == tmp_path / "new folder é" / "file.zip"
        assert path.read_bytes() == BODY and names(path.parent) == ["file.zip"]
        (method, _, headers) = server.requests[0]
    assert method == "GET" and headers["User-Agent"] == f"nbhelpers/{__version__}"
    assert pauses == [] and "CC BY 0" in capsys.readouterr().out.splitlines()[0]


def test_sha256_and_unknown_length_work_too(tmp_path):
    with Server(status(200, BODY, length="none")) as server:
        digest = hashlib.sha256(BODY).hexdigest()
        one = Remote("file.zip", server.url, "L", MANUAL, sha256=digest.upper())
        assert fetch(one, tmp_path).read_bytes() == BODY


def test_a_remote_needs_one_hash():
    for both in ("", "2"):
        with pytest.raises(UsageError, match="exactly one"):
            Remote("file.zip", "http://x", "L", MANUAL, md5=both, sha256=both)


def test_an_existing_file_is_reused_without_the_network(tmp_path):
    with Server(whole) as server:
        one = remote(server.url)
        fetch(one, tmp_path)
        fetch(one, tmp_path)
        assert len(server.requests) == 1


def test_a_corrupted_cached_file_is_detected_and_kept(tmp_path):
    (tmp_path / "file.zip").write_bytes(BODY[:-1] + b"\0")
    one = remote("http://127.0.0.1:9/file.zip")
    for check in (lambda: fetch(one, tmp_path), lambda: verify(one, tmp_path / "file.zip")):
        with pytest.raises(
            DownloadError, match=f"expected md5 {one.md5}, got .*Delete it"
        ) as caught:
            check()
    assert MANUAL in str(caught.value)
    assert (tmp_path / "file.zip").exists(), "a user's file is never removed"


def test_a_wrong_hash_names_both_and_keeps_nothing(tmp_path, pauses):
    with Server(status(200, b"other bytes")) as server:
        text = failing(server, tmp_path, pauses)
    assert hashlib.md5(BODY).hexdigest() in text
    assert hashlib.md5(b"other bytes").hexdigest() in text
    assert names(tmp_path) == []


def test_a_cut_transfer_is_resumed_by_range(tmp_path, pauses):
    with Server(cut, ranged) as server:
        assert fetch(remote(server.url), tmp_path, sleep=pauses.append).read_bytes() == BODY
        assert [r[2].get("Range") for r in server.requests] == [None, "bytes=3000-"]
    assert pauses == [1.0] and names(tmp_path) == ["file.zip"]


def test_a_part_of_an_earlier_run_is_resumed(tmp_path):
    (tmp_path / "file.zip.part").write_bytes(BODY[:5000])
    with Server(ranged) as server:
        assert fetch(remote(server.url), tmp_path).read_bytes() == BODY
        assert server.requests[0][2]["Range"] == "bytes=5000-"


def test_a_complete_part_needs_no_server(tmp_path):
    (tmp_path / "file.zip.part").write_bytes(BODY)
    assert fetch(remote("http://127.0.0.1:9/"), tmp_path).read_bytes() == BODY
    assert names(tmp_path) == ["file.zip"]


@pytest.mark.parametrize(
    "first",
    [whole, status(416), status(206, BODY[1:], Content_Range="bytes 1-10239/10240")],
    ids=["range ignored", "range refused", "other range"],
)
def test_a_server_without_ranges_starts_over_cleanly(tmp_path, pauses, first):
    (tmp_path / "file.zip.part").write_bytes(b"x" * 5000)
    with Server(first, whole) as server:
        assert fetch(remote(server.url), tmp_path, sleep=pauses.append).read_bytes() == BODY


def test_a_part_of_other_bytes_ends_in_a_clean_error(tmp_path, pauses):
    (tmp_path / "file.zip.part").write_bytes(b"x" * 5000)
    with Server(ranged) as server:
        assert "expected md5" in failing(server, tmp_path, pauses)
        assert names(tmp_path) == []
        assert fetch(remote(server.url), tmp_path).read_bytes() == BODY, "the next run is clean"


def test_a_transfer_that_is_always_cut_gives_up_and_keeps_the_part(tmp_path, pauses):
    with Server(cut) as server:
        text = failing(server, tmp_path, pauses)
    assert len(server.requests) == 6
    assert "3,000 bytes are kept" in text and "cut short" in text and "run again" in text
    assert names(tmp_path) == ["file.zip.part"]


def test_503_twice_succeeds(tmp_path, pauses):
    with Server(status(503), status(503), whole) as server:
        assert fetch(remote(server.url), tmp_path, sleep=pauses.append).read_bytes() == BODY
    assert pauses == [1.0, 2.0]


def test_retry_after_is_obeyed_within_bounds(tmp_path, pauses):
    slow = [status(429, Retry_After=seconds) for seconds in ("7", "86400", "Wed, 21 Oct 2015")]
    with Server(*slow, whole) as server:
        fetch(remote(server.url), tmp_path, sleep=pauses.append)
    assert pauses == [7.0, download.LONGEST_PAUSE, 4.0]


def test_a_busy_server_is_given_up(tmp_path, pauses):
    with Server(status(503)) as server:
        text = failing(server, tmp_path, pauses)
    assert "failed 6 times (status 503)" in text and MANUAL in text
    assert pauses == list(download.PAUSES) and names(tmp_path) == []


def test_a_silent_server_is_asked_again(tmp_path, pauses, monkeypatch):
    monkeypatch.setattr(download, "PATIENCE", 0.2)
    start = time.monotonic()
    with Server(lambda handler: time.sleep(5), whole) as server:
        assert fetch(remote(server.url), tmp_path, sleep=pauses.append).read_bytes() == BODY
    assert pauses == [1.0] and time.monotonic() - start < 5  # it did not wait for the answer


def test_a_stall_in_the_middle_is_resumed(tmp_path, pauses, monkeypatch):
    monkeypatch.setattr(download, "PATIENCE", 0.2)
    monkeypatch.setattr(download, "CHUNK", 1000)

    def stall(handler):
        handler.reply(200, BODY[:4000], length=len(BODY))
        handler.wfile.flush()
        time.sleep(1)

    with Server(stall, ranged) as server:
        assert fetch(remote(server.url), tmp_path, sleep=pauses.append).read_bytes() == BODY
        assert server.requests[1][2]["Range"] == "bytes=4000-"


def test_404_is_final(tmp_path, pauses):
    with Server(status(404)) as server:
        text = failing(server, tmp_path, pauses)
    assert len(server.requests) == 1 and "404" in text and MANUAL in text and pauses == []


PAGE = b"\xef\xbb\xbf\n<!DOCTYPE HTML><title>Just a moment</title>"


@pytest.mark.parametrize(
    "step",
    [
        status(200, BODY, Content_Type="text/html; charset=utf-8"),
        status(200, PAGE, Content_Type="application/zip"),
        status(202), status(202, BODY), status(200), status(204), status(401), status(403, PAGE),
    ],
    ids=["type", "doctype", "202", "202 body", "empty", "204", "401", "403"],
)  # fmt: skip
def test_a_web_page_is_recognised_and_the_part_survives(tmp_path, pauses, step):
    (tmp_path / "file.zip.part").write_bytes(BODY[:77])
    with Server(step) as server:
        text = failing(server, tmp_path, pauses)
        assert len(server.requests) == 1
    assert "the server sent a web page" in text and MANUAL in text and pauses == []
    assert (tmp_path / "file.zip.part").read_bytes() == BODY[:77]


def test_offline_lists_the_local_file_that_would_do(tmp_path, pauses):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}/file.zip"
    start = time.monotonic()
    with pytest.raises(DownloadError, match=r"127.0.0.1 cannot be reached") as caught:
        fetch(remote(url), tmp_path, sleep=pauses.append)
    assert time.monotonic() - start < 10 and pauses == []
    assert str(tmp_path / "file.zip") in str(caught.value) and MANUAL in str(caught.value)


def test_a_name_look_up_without_end_is_cut_off(tmp_path, monkeypatch):
    assert max(download.OFFLINE_AFTER, download.PATIENCE) < 10
    monkeypatch.setattr(download, "OFFLINE_AFTER", 0.3)
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **names: time.sleep(3))
    start = time.monotonic()
    with pytest.raises(DownloadError, match=r"dataverse.example cannot be reached"):
        fetch(remote("http://dataverse.example/file.zip"), tmp_path)
    assert time.monotonic() - start < 3  # it did not wait for the look-up


def test_a_full_disk_is_seen_before_anything_is_written(tmp_path, pauses, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=10_000))
    with Server(whole) as server:
        text = failing(server, tmp_path, pauses)
    assert "10,240 bytes are needed" in text and "10,000 free" in text
    assert names(tmp_path) == []
    (tmp_path / "file.zip.part").write_bytes(BODY[:1000])
    with Server(ranged) as server:
        assert fetch(remote(server.url), tmp_path).read_bytes() == BODY, "only what lacks must fit"


def test_a_target_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "in the way").write_text("a file")
    with pytest.raises(DownloadError, match=r"in the way.* cannot be written"):
        fetch(remote("http://127.0.0.1:9/"), tmp_path / "in the way")


def test_a_redirect_is_followed_and_its_signed_address_never_shown(tmp_path, pauses, capsys):
    secret = "signature=SECRET"
    with Server(status(404)) as storage:
        with Server(status(302, Location=f"{storage.url}?{secret}")) as server:
            text = failing(server, tmp_path, pauses)
        assert secret in storage.requests[0][1]
        assert storage.requests[0][2]["User-Agent"].startswith("nbhelpers/")
    output = capsys.readouterr()
    assert "SECRET" not in text + output.out + output.err


def test_threads_that_ask_at_once_share_one_transfer(tmp_path):
    def slow(handler):
        time.sleep(0.3)
        whole(handler)

    with Server(slow) as server:
        one = remote(server.url)
        with ThreadPoolExecutor(4) as pool:
            results = list(pool.map(lambda _: fetch(one, tmp_path).read_bytes(), range(4)))
        assert results == [BODY] * 4 and len(server.requests) == 1
    assert names(tmp_path) == ["file.zip"]


ASK = """
import sys
from pathlib import Path
from nbhelpers.download import Remote, fetch
url, md5, folder = sys.argv[1:]
print(fetch(Remote("file.zip", url, "L", "M", md5=md5), Path(folder)).stat().st_size)
"""


def test_processes_that_ask_at_once_get_one_valid_file(tmp_path):
    with Server(lambda handler: (time.sleep(0.5), whole(handler))) as server:
        one = remote(server.url)
        command = [sys.executable, "-c", ASK, server.url, one.md5, str(tmp_path)]
        asking = [
            subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) for _ in range(2)
        ]
        answers = [process.communicate(timeout=60)[0] for process in asking]
        assert len(server.requests) == 1
    assert [process.returncode for process in asking] == [0, 0]
    assert all(answer.splitlines()[-1] == str(len(BODY)) for answer in answers)
    assert names(tmp_path) == ["file.zip"] and (tmp_path / "file.zip").read_bytes() == BODY
