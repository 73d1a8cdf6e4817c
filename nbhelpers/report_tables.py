"""Tables of the report: text left, numbers right and no more digits than one reads."""

import math
import re
from html import escape

MOST_ROWS = 60
SENTENCE = 40  # characters above which a cell is read as one
NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?", re.I)
NOTHING = ("", "nan", "NaN", "None")


def table_html(rows: list[list[str]], caption: str) -> str:
    """An HTML table of CSV rows, the first one its head; a long one is cut, and says so.

    `caption` is HTML already.
    """
    rows = [row for row in rows if row]
    if not rows:
        return f'<p class="quiet">{caption} The table is empty.</p>'
    head, body = rows[0], [(row + [""] * len(rows[0]))[: len(rows[0])] for row in rows[1:]]
    shown = body[:MOST_ROWS]
    columns = [_column([row[i] for row in shown]) for i in range(len(head))]
    marks = [_mark(numeric, texts) for numeric, texts in columns]
    cells = "".join(
        f"<th{mark}>{escape(name)}</th>" for name, mark in zip(head, marks, strict=True)
    )
    lines = "".join(
        "<tr>"
        + "".join(
            f"<td{mark}>{texts[r]}</td>" for (_, texts), mark in zip(columns, marks, strict=True)
        )
        + "</tr>"
        for r in range(len(shown))
    )
    cut = f" The first {len(shown)} of {len(body)} rows." if len(body) > len(shown) else ""
    table = f"<table><thead><tr>{cells}</tr></thead><tbody>{lines}</tbody></table>"
    heading = f"<figcaption>{caption}{cut}</figcaption>"
    return f'<figure class="table">{heading}<div class="scroll">{table}</div></figure>'


def _mark(numeric: bool, texts: list[str]) -> str:
    """The class of a column: numbers go right, sentences get room."""
    if numeric:
        return " class=n"
    return " class=long" if any(len(text) > SENTENCE for text in texts) else ""


def _column(values: list[str]) -> tuple[bool, list[str]]:
    """Whether a column holds numbers, and its cells as HTML."""
    filled = [v for v in values if v not in NOTHING]
    numeric = bool(filled) and all(NUMBER.fullmatch(v) for v in filled)
    if not numeric:
        return False, [escape(v) for v in values]
    decimals = _decimals([abs(float(v)) for v in filled])
    return True, ["–" if v in NOTHING else _number(v, decimals) for v in values]


def _decimals(sizes: list[float]) -> int | None:
    """Decimals that suit the whole column; None where its numbers are of too different size."""
    sizes = [size for size in sizes if size > 0]
    if not sizes or max(sizes) / min(sizes) > 1000:
        return None
    return min(max(0, 3 - math.floor(math.log10(max(sizes)))), 6)


def _number(text: str, decimals: int | None) -> str:
    if re.fullmatch(r"[-+]?\d+", text):
        return text.replace("-", "−")
    value = float(text)
    if decimals is None:
        shown = f"{value:.0f}" if abs(value) >= 1000 else f"{value:.4g}"
    else:
        shown = f"{value:.{decimals}f}"
    return re.sub(r"^-", "−", shown)
