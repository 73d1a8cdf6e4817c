"""A whole run on one page that loads nothing, and says first what was found. The one thing that it
runs is the slider of `report_walks`."""

import csv
import io
import re
from html import escape
from pathlib import Path

from .errors import DataError
from .files import write_atomic
from .report_data import DONE, VERDICTS, Section, facts, read_text, sections, words
from .report_pictures import embedded
from .report_style import STYLE
from .report_tables import table_html
from .report_walks import walks_html

PHANTOM = "phantom data: procedural images, not patients"
SMOKE = "smoke preset: a test of the machinery, too short to mean anything"
STAMP = re.compile(r"\s*\(([^()]* · [^()]*)\)$")  # what notebooks put behind a caption
KINDS = {
    "done": "good",
    "failed": "bad",
    "incomplete": "warn",
    "outdated": "warn",
    "unknown": "warn",
}
AGAINST = {
    "bar": "the best recipe on photographs alone",
    "placebo": "duplicated photographs in their places",
}
PAGE = """<!DOCTYPE html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>{style}</style></head>
<body>
<nav>{contents}</nav>
<main>{main}</main>
</body></html>
"""


def write_report(run_folder: Path) -> Path:
    """`run_folder/report.html`, made from the figures, tables and states that are there.

    Raises DataError when there are none.
    """
    folder = Path(run_folder)
    if not (folder / "state").is_dir() and not (folder / "figures").is_dir():
        raise DataError(f"{folder} holds no run: name the folder that `nbhelpers run` wrote.")
    found = sections(folder)
    about = facts(found, folder)
    blocks = _blocks(folder, found)
    parts = [_header(about, found)]
    parts += [_block(*block, about) for block in blocks]
    parts += [_overview(found)]
    parts += [_section(section, about) for section in found if section.shown]
    title, main = escape(_headline(about)), "\n".join([*parts, _footer(about)])
    beginning = [*(block[:2] for block in blocks), ("notebooks", "Notebooks")]
    page = PAGE.format(title=title, style=STYLE, contents=_contents(beginning, found), main=main)
    return write_atomic(folder / "report.html", page.encode())


def _headline(about: dict[str, str]) -> str:
    return f"Run report: {about['dataset']} at {about['size']} px"


def _header(about: dict[str, str], found: list[Section]) -> str:
    pairs = "".join(f"<div><dt>{k}</dt><dd>{escape(v) or '–'}</dd></div>" for k, v in about.items())
    title = f"<h1>{escape(_headline(about))}</h1>"
    return f"<header>{title}<dl>{pairs}</dl>{_banners(about, found)}</header>"


def _banners(about: dict[str, str], found: list[Section]) -> str:
    said = []
    if "phantom" in about["dataset"]:
        said.append(("phantom", PHANTOM))
    if "smoke" in about["preset"]:
        said.append(("smoke", SMOKE))
    if open_ends := [section.name for section in found if section.status != DONE]:
        said.append(("broken", f"this run is not complete: {', '.join(open_ends)}"))
    return "".join(f'<p class="banner {kind}">{escape(text)}</p>' for kind, text in said)


def _label(about: dict[str, str]) -> str:
    """The line below a heading, so that a page torn out still says what it is."""
    said = [PHANTOM] if "phantom" in about["dataset"] else []
    said += ["smoke preset"] if "smoke" in about["preset"] else []
    return f'<p class="label">{escape(" · ".join(said))}</p>' if said else ""


def _blocks(folder: Path, found: list[Section]) -> list[tuple[str, ...]]:
    """What a supervisor looks at before the notebooks: name, heading and body of all that is there.
    Figures are taken out of their sections."""
    blocks = [
        ("verdict", "Do the GAN images help?", _verdict(folder, found)),
        ("pictures", "What the GANs draw", _taken(found, "20_grid")),
        ("walk", "Walk through a GAN", _walk(folder)),
        ("measures", "How near to photographs", _taken(found, "23_gans", "21_three_columns")),
        ("copies", "Are they copies?", _taken(found, "20_nearest", "21_neighbours")),
        ("costs", "What they cost", _costs(folder)),
    ]
    return [block for block in blocks if block[-1]]


def _block(name: str, heading: str, body: str, about: dict[str, str]) -> str:
    return f'<section id="{name}"><h2>{heading}</h2>{_label(about)}{body}</section>'


def _verdict(folder: Path, found: list[Section]) -> str:
    """Verdicts of notebook 22, a sentence and a picture first, else the first rows of its numbers,
    else that there are none."""
    verdicts, numbers = folder / "tables" / f"{VERDICTS}.csv", folder / "classifier.csv"
    if verdicts.exists():
        text = read_text(verdicts)
        return _answer(text) + _taken(found, "22_forest") + _table("Verdicts", text)
    if numbers.exists():
        first = "\n".join(read_text(numbers).splitlines()[:13])
        return _table("First rows of the classifier comparison", first)
    return "<p>There is no verdict yet: notebook 22 has not been run to its end.</p>"


def _answer(text: str) -> str:
    """The verdict on generated images as a sentence; "" for a table without it."""
    rows = csv.DictReader(line for line in text.splitlines() if not line.startswith("#"))
    row = next((row for row in rows if row.get("arm") == "synthetic"), None)
    if row is None or not row.get("verdict"):
        return ""
    against = []
    for side, told in AGAINST.items():
        cells = [row.get(name) for name in (f"against_{side}", f"{side}_low", f"{side}_high")]
        if all(cells):  # an arm that was not trained leaves them empty
            value, low, high = (f"{float(cell):+.1f}" for cell in cells)
            against.append(f"{value} points ({low} to {high}) against {told}")
    said = f"Balanced accuracy by lesion: {' and '.join(against)}." if against else ""
    said = said.replace("-", "−")
    note = f" {row['note'][:1].upper()}{row['note'][1:]}." if row.get("note") else ""
    return f'<p class="answer"><b>{escape(row["verdict"])}.</b> {escape(said + note)}</p>'


def _walk(folder: Path) -> str:
    try:
        return walks_html(folder)
    except DataError as error:
        return _trouble(str(error))


def _costs(folder: Path) -> str:
    table = folder / "gans.csv"
    return _table("gans", read_text(table)) if table.exists() else ""


def _taken(found: list[Section], *stems: str) -> str:
    """The figures of those names that are there, no longer in their notebooks' sections."""
    taken = []
    for stem in stems:
        for section in found:
            named = [path for path in section.figures if path.stem == stem]
            section.figures = [path for path in section.figures if path.stem != stem]
            taken += map(_figure, named)
    return "".join(taken)


def _overview(found: list[Section]) -> str:
    rows = []
    for section in found:
        message = f"<small>{escape(section.message)}</small>" if section.message else ""
        cells = f"<td>{escape(section.name[:2])}</td><td>{_link(section)}{message}</td>"
        minutes = f"<td class=n>{section.state.get('minutes', 0.0):.1f}</td>"
        rows.append(f"<tr>{cells}<td>{_badge(section.status)}</td>{minutes}</tr>")
    head = "<tr><th colspan=2>notebook</th><th>status</th><th class=n>minutes</th></tr>"
    table = f"<table><thead>{head}</thead><tbody>{''.join(rows)}</tbody></table>"
    heading = "<h2>Notebooks of this run</h2>"
    return f'<section id="notebooks">{heading}<div class="scroll">{table}</div></section>'


def _contents(beginning: list[tuple[str, str]], found: list[Section]) -> str:
    fixed = "".join(f'<li><a href="#{name}">{told}</a></li>' for name, told in beginning)
    items = (
        f'<li class="{KINDS.get(s.status, "off")}"><span>{escape(s.name[:2])}</span>{_link(s)}</li>'
        for s in found
    )
    return f"<h2>Contents</h2><ul>{fixed}{''.join(items)}</ul>"


def _link(section: Section) -> str:
    title = escape(section.title)
    return f'<a href="#{escape(section.name)}">{title}</a>' if section.shown else title


def _badge(status: str) -> str:
    return f'<span class="badge {KINDS.get(status, "off")}">{escape(status)}</span>'


def _section(section: Section, about: dict[str, str]) -> str:
    badge = "" if section.status == DONE else _badge(section.status)
    number = f'<span class="number">{escape(section.name[:2])}</span>'
    parts = [f"<h2>{number} {escape(section.title)} {badge}</h2>", _label(about)]
    parts += [_trouble(section.message)] if section.message else []
    parts += [_figure(path) for path in section.figures]
    parts += [_table(title, text) for title, text in section.tables]
    return f'<section id="{escape(section.name)}">{"".join(parts)}</section>'


def _trouble(text: str) -> str:
    return f'<p class="trouble">{escape(text)}</p>'


def _figure(path: Path) -> str:
    """A PNG as part of the page, with the caption it carries; a damaged file is said to be one."""
    try:
        source, (width, height), text = embedded(path)
    except (OSError, SyntaxError, ValueError, AttributeError) as error:
        reason = f"figures/{path.name} is no readable PNG ({type(error).__name__})"
        return _trouble(f"{reason}: run its notebook again.")
    title = escape(words(text.get("Title") or path.stem))
    picture = f'<img src="{source}" alt="{title}" width="{width}" height="{height}">'
    caption = f"<b>{title}.</b> {_caption(text.get('Description', ''))}"
    return f"<figure>{picture}<figcaption>{caption}</figcaption></figure>"


def _caption(text: str) -> str:
    """A caption as HTML, the stamp behind it on a line of its own."""
    stamp, said = STAMP.search(text), escape(STAMP.sub("", text))
    return f'{said} <small class="stamp">{escape(stamp[1])}</small>' if stamp else said


def _table(title: str, text: str) -> str:
    """A CSV text as a table; a first line `# …` is its caption."""
    caption = ""
    if text.startswith("#"):
        caption, _, text = text.partition("\n")
    heading = f"<b>{escape(title)}.</b> {_caption(caption.lstrip('# ').strip())}"
    return table_html(list(csv.reader(io.StringIO(text))), heading)


def _footer(about: dict[str, str]) -> str:
    flags = [f"--{k} {about[k]}" for k in ("preset", "dataset", "size", "seed") if about[k]]
    command = f"<code>nbhelpers run {escape(' '.join(flags))}</code>"
    return f"<footer>Made by {command}. The executed notebooks lie beside this file.</footer>"
