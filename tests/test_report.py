"""The report: self-contained, escaped, in order, and honest about what is missing."""

import base64
import io
import json
import re

import nbformat
import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from nbhelpers.__main__ import main
from nbhelpers.errors import DataError
from nbhelpers.graph import NODES
from nbhelpers.report import PHANTOM, SMOKE, write_report
from nbhelpers.report_tables import table_html

STAMP = " (smoke · phantom · 64 px · seed 0 · cpu · 2026-11-20)"


@pytest.fixture
def run_folder(tmp_path):
    """A finished run with one figure and one table, whose captions hold markup."""
    folder = tmp_path / "smoke-phantom-64"
    for name in ("figures", "tables", "notebooks"):
        (folder / name).mkdir(parents=True)
    for node in NODES:
        _state(folder, node.name)
    text = PngImagePlugin.PngInfo()
    text.add_text("Title", "10_training_curves")
    text.add_text("Description", "Both <b>losses</b> & more" + STAMP)
    image = Image.fromarray(np.zeros((20, 30, 3), np.uint8))
    image.save(folder / "figures" / "10_training_curves.png", pnginfo=text)
    table = f"# Images <per> class{STAMP}\ndx,share,note\nnv,0.67,a\nmel,-0.1,<i>\ndf,,\n"
    (folder / "tables" / "01_counts.csv").write_text(table)
    heading = nbformat.v4.new_markdown_cell("Intro\n\n# Who is <in> it?\n")
    book = nbformat.v4.new_notebook(cells=[heading])
    nbformat.write(book, folder / "notebooks" / "01_explore_data.ipynb")
    return folder


def _state(folder, name, **changes):
    state = {"preset": "smoke", "dataset": "phantom", "image_size": 64, "seed": 0, "device": "cpu"}
    state |= {"notebook": name, "status": "done", "message": "", "minutes": 0.5}
    state |= {"date": f"2026-11-20T10:{name[:2]}:00+00:00"}
    (folder / "state").mkdir(exist_ok=True)
    (folder / "state" / f"{name}.json").write_text(json.dumps(state | changes))


def test_one_file_that_loads_and_runs_nothing(run_folder):
    page = write_report(run_folder).read_text()
    assert page.startswith("<!DOCTYPE html>") and "<script" not in page
    assert re.findall(r"(?:src|href)=\"(?!data:image/webp;base64,|#)", page) == []
    assert "url(" not in page and "@import" not in page and "http" not in page
    assert str(run_folder.parent) not in page
    encoded = re.search(r'src="data:image/webp;base64,([^"]+)"', page)[1]
    with Image.open(io.BytesIO(base64.b64decode(encoded))) as image:
        assert image.size == (30, 20)


def test_it_can_be_written_again_from_the_command_line(run_folder, tmp_path, capsys):
    assert main(["report", str(run_folder)]) == 0
    assert str(run_folder / "report.html") in capsys.readouterr().out
    assert (run_folder / "report.html").read_text().startswith("<!DOCTYPE html>")
    assert main(["report", str(tmp_path / "nothing")]) == 1
    assert "holds no run" in capsys.readouterr().err


def test_text_is_escaped_and_captions_come_from_the_files(run_folder):
    page = write_report(run_folder).read_text()
    assert "Both &lt;b&gt;losses&lt;/b&gt; &amp; more" in page and "<b>losses" not in page
    assert "<b>Training curves.</b>" in page and "<td>&lt;i&gt;</td>" in page
    assert "Images &lt;per&gt; class" in page and "Who is &lt;in&gt; it?" in page
    assert '<small class="stamp">smoke · phantom · 64 px' in page


def test_phantom_and_smoke_are_said_and_nothing_else_is(run_folder):
    page = write_report(run_folder).read_text().lower()
    assert page.count(PHANTOM) >= 4  # on top, at the verdict, at each section
    assert SMOKE in page and "not complete" not in page
    for node in NODES:
        _state(run_folder, node.name, preset="full", dataset="ham10000")
    page = write_report(run_folder).read_text().lower()
    assert PHANTOM not in page and SMOKE not in page


def test_the_verdict_comes_first(run_folder):
    assert "There is no verdict yet" in write_report(run_folder).read_text()
    rows = "".join(f"real,{i},1,accuracy,0.5\n" for i in range(100))
    (run_folder / "classifier.csv").write_text("arm,fold,seeds,metric,value\n" + rows)
    page = write_report(run_folder).read_text()
    assert page.index("First rows of the classifier") < page.index("Notebooks of this run")
    assert "The first 60 of 100 rows" in page
    (run_folder / "tables" / "22_verdicts.csv").write_text("# c\narm,verdict\nreal,no difference\n")
    page = write_report(run_folder).read_text()
    assert page.index("no difference") < page.index("Notebooks of this run")
    assert page.count("no difference") == 1


VERDICT = """# c
arm,verdict,against_bar,bar_low,bar_high,against_placebo,placebo_low,placebo_high,note
filtered,gain,9,8,10,9,8,10,
synthetic,no gain,-6.8,-10.6,-3.3,0.25,-1,1.5,<one> fold
"""


def test_the_answer_is_a_sentence_before_it_is_a_table(run_folder):
    (run_folder / "tables" / "22_verdicts.csv").write_text(VERDICT)
    (run_folder / "gans.csv").write_text("gan,minutes\ndcgan,1.5\n")
    figures = run_folder / "figures"
    for name in ("22_forest", "20_grid", "20_nearest", "23_gans"):
        (figures / f"{name}.png").write_bytes((figures / "10_training_curves.png").read_bytes())
    page = write_report(run_folder).read_text()
    answer = re.search(r'<p class="answer">(.*?)</p>', page)[1]
    assert answer.startswith(
        "<b>no gain.</b> Balanced accuracy by lesion: −6.8 points (−10.6 to −3.3)"
    )
    assert "and +0.2 points (−1.0 to +1.5) against duplicated" in answer
    assert answer.endswith("&lt;one&gt; fold.")
    ids = re.findall(r'<section id="(\w+)">', page)
    assert ids[:6] == ["verdict", "pictures", "measures", "copies", "costs", "notebooks"]
    assert page.count("<img") == 5  # each figure once, wherever it stands


def test_an_answer_without_a_placebo_says_what_it_has(run_folder):
    """A run whose placebo was not trained has empty cells there."""
    text = VERDICT.replace("0.25,-1,1.5,", ",,,")
    (run_folder / "tables" / "22_verdicts.csv").write_text(text)
    answer = re.search(r'<p class="answer">(.*?)</p>', write_report(run_folder).read_text())[1]
    assert "against the best recipe" in answer and "duplicated" not in answer


def test_a_large_figure_is_made_small(run_folder):
    noise = np.random.default_rng(0).integers(0, 256, (900, 1800, 3), dtype=np.uint8)
    Image.fromarray(noise).save(run_folder / "figures" / "20_noise.png")
    page = write_report(run_folder).read_text()
    assert 'width="1200" height="600"' in page
    assert len(page) < 0.4 * (run_folder / "figures" / "20_noise.png").stat().st_size


def test_sections_are_in_order_and_linked(run_folder):
    page = write_report(run_folder).read_text()
    ids = re.findall(r'<section id="(\w+)">', page)
    assert ids == ["verdict", "notebooks", "01_explore_data", "10_dcgan"]
    assert set(re.findall(r'href="#(\w+)"', page)) == set(ids)


def test_what_went_wrong_is_shown(run_folder):
    _state(run_folder, "20_inspect_samples", status="failed", message="cell [3] `a < b`: KeyError")
    (run_folder / "state" / "21_measure.json").unlink()
    (run_folder / "state" / "22_classifier.json").write_text("{")
    skipped = {"notebook": "23_report", "status": "skipped", "minutes": 0, "message": "it needs 21"}
    (run_folder / "state" / "summary.json").write_text(json.dumps({"results": [skipped]}))
    (run_folder / "figures" / "20_broken.png").write_bytes(b"\x89PNG\r\n\x1a\n half")
    page = write_report(run_folder).read_text()
    assert "cell [3] `a &lt; b`: KeyError" in page and '<span class="badge bad">failed' in page
    assert '<span class="badge off">not run' in page and '<span class="badge warn">unknown' in page
    assert "it needs 21; what is shown here is from an earlier run" in page
    assert "figures/20_broken.png is no readable PNG" in page
    banner = re.search(r'<p class="banner broken">(.*?)</p>', page)[1]
    assert [name[:2] for name in banner.split(": ")[1].split(", ")] == ["20", "21", "22", "23"]


def test_results_older_than_what_they_read_are_marked(run_folder):
    assert "outdated" not in _badges(run_folder)
    _state(run_folder, "10_dcgan", date="2026-11-20T23:00:00+00:00")
    assert _badges(run_folder).count("outdated") == 3 + 1  # 20, 21, 22, and 20's heading shows it


def _badges(folder):
    (folder / "tables" / "20_distances.csv").write_text("a\n1\n")
    page = write_report(folder).read_text()
    return re.findall(r'<span class="badge \w+">(\w+)', page)[: len(NODES)] + re.findall(
        r'<h2><span class="number">20.*?badge \w+">(\w+)', page
    )


def test_an_empty_folder_is_refused(tmp_path):
    with pytest.raises(DataError, match="holds no run"):
        write_report(tmp_path)


def test_numbers_stand_right_with_digits_one_reads():
    html = table_html([["name", "value", "n"], ["a", "0.123456", "12"], ["b", "-12.3", ""]], "c")
    assert "<td class=n>0.12</td>" in html and "<td class=n>−12.30</td>" in html
    assert "<td class=n>12</td>" in html and "<td class=n>–</td>" in html and "<td>a</td>" in html
    mixed = table_html([["value"], ["187.234567"], ["0.00041234"], ["nan"], ["1234567.8"]], "c")
    assert "187.2" in mixed and "0.0004123" in mixed and "1234568" in mixed
    assert "The table is empty" in table_html([], "c")
    assert table_html([["a", "b"], ["only one"], ["x", "y", "z"]], "c").count("<td>") == 4
