"""What is kept of an executed notebook, and what is not."""

import re

from nbhelpers.executed_copy import CAP, redact, shorten


def test_shorten_keeps_both_ends_and_counts():
    text = "".join(f"{i:06d}\n" for i in range(10_000))
    once = shorten(text)
    assert len(once) < CAP + 60 and once.startswith(text[:100]) and once.endswith(text[-100:])
    piecewise = ""
    for start in range(0, len(text), 500):
        piecewise = shorten(piecewise + text[start : start + 500])
    assert f"[{len(text) - CAP} characters left out here]" in once
    assert piecewise.startswith(text[:100]) and piecewise.endswith(text[-100:])
    left_out, noted = len(text) - CAP, int(re.search(r"\[(\d+) char", piecewise)[1])
    assert abs(noted - left_out) <= 100
    assert shorten("short") == "short"


def test_redact():
    hidden = {"/home/ann": "~", "/home/ann/project": "."}
    assert (
        redact("/home/ann/project/runs, /home/ann/x, /home/anna", hidden)
        == "./runs, ~/x, /home/anna"
    )
    assert redact("\x1b[32m/home/ann/x", hidden) == "\x1b[32m~/x"
    assert (
        redact("https://x.org/a?X-Amz-Signature=abc&n=1", {})
        == "https://x.org/a?X-Amz-Signature=…&n=1"
    )
    assert redact("token hf_abcdefghijklmnopqrst", {}) == "token …"
    cell = {"data": {"image/png": "a/home/ann/", "text/plain": ["/home/ann/"]}}
    assert redact(cell, hidden) == {"data": {"image/png": "a/home/ann/", "text/plain": ["~/"]}}
    for secret, shown in (
        ('{"username": "ann", "key": "0123456789abcdef"}', '{"username": "ann", "key": "…"}'),
        ("https://ann:s3cr3t@x.org/a", "https://ann:…@x.org/a"),
        ("login(password='hunter22')", "login(password='…')"),
        ("KAGGLE_API_KEY=0123456789", "KAGGLE_API_KEY=…"),
        ("AKIAIOSFODNN7EXAMPLE", "…"),
        ("Bearer abc.def", "Bearer …"),
    ):
        assert redact(secret, {}) == shown
    for harmless in (
        "signature = inspect(f)", "token = tokens[0]", "10:30@x", '{"key": "value"}',
        "password = getpass()", "http://localhost:8888/lab", "sorted(rows, key=len)",
    ):  # fmt: skip
        assert redact(harmless, {}) == harmless
