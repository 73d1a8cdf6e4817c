import io
import itertools
import sys

from nbhelpers import progress as module
from nbhelpers.progress import progress


def test_items_come_through_unchanged():
    assert list(progress(range(5), "counting")) == list(range(5))
    assert list(progress(iter("ab"), "counting", total=2)) == ["a", "b"]


def test_a_log_gets_a_line_every_few_seconds(monkeypatch, capsys):
    clock = itertools.count(0, 2)
    monkeypatch.setenv("NBHELPERS_HEADLESS", "1")
    monkeypatch.setattr(module.time, "monotonic", lambda: next(clock))
    list(progress(range(10), "decoding", unit="images"))
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    assert lines[0] == "decoding: 3 of 10 (30 %) images, 0.5 images/s"


def test_a_notebook_has_its_bar_where_nothing_looks_wrong(monkeypatch, capsys):
    """On stdout: what comes from stderr is painted red there."""
    cell = type("OutStream", (io.StringIO,), {"__module__": "ipykernel.iostream"})()
    monkeypatch.delenv("NBHELPERS_HEADLESS", raising=False)
    monkeypatch.setattr(sys, "stdout", cell)
    list(progress(range(10), "counting"))
    assert "counting" in cell.getvalue()
    assert "counting" not in capsys.readouterr().err
