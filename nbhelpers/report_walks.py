"""The report's slider: a GAN, a class, and a walk through its noise, drawn beforehand."""

import json
from html import escape
from pathlib import Path

from .report_pictures import embedded
from .walk_strips import FOLDER, FRAMES, left

SCRIPT = """
(() => {
  const walk = document.getElementById("walk"), part = name => walk.querySelector(name);
  const told = JSON.parse(part("script").textContent);
  const [gan, row, step] = ["gan", "row", "step"].map(name => part(`[name=${name}]`));
  const show = () => {
    const { distances } = told[gan.value], at = Number(step.value);
    for (const sheet of walk.querySelectorAll(".window img")) {
      sheet.hidden = sheet.dataset.gan !== gan.value;
      sheet.style.transform = `translate(${-at * 256}px, ${-row.selectedIndex * 256}px)`;
    }
    const far = distances[row.selectedIndex][at];
    part("output").textContent = `${far.toFixed(2)} times as far from its nearest training ` +
      `photograph as an unseen photograph is${far < 0.5 ? ": look for a copy" : ""}`;
  };
  const choose = () => {
    row.replaceChildren(...told[gan.value].rows.map(name => new Option(name)));
    show();
  };
  gan.addEventListener("change", choose);
  for (const control of [row, step]) control.addEventListener("input", show);
  choose();
})();
"""


def walks_html(run_folder: Path) -> str:
    """Choices, slider and pictures of a run's walks, and the one script of the page; "" where the
    run has left none. Without scripts the first GAN's whole sheet is shown."""
    told = left(run_folder)
    if not told:
        return ""
    sheets, options = [], []
    for name, of in told.items():
        source, (width, _), _ = embedded(Path(run_folder) / FOLDER / f"{name}.png")
        scale = 256 * FRAMES / width
        size = f'width="{round(scale * width)}" height="{256 * len(of["rows"])}"'
        hidden = " hidden" if sheets else ""
        sheets.append(f'<img src="{source}" alt="" data-gan="{escape(name)}" {size}{hidden}>')
        options.append(f"<option>{escape(name)}</option>")
    data = json.dumps(told).replace("<", "\\u003c")
    return (
        '<div class="controls">'
        f'<label>GAN <select name="gan">{"".join(options)}</select></label>'
        '<label>class <select name="row"></select></label>'
        f'<label>walk <input name="step" type="range" min="0" max="{FRAMES - 1}" value="0"></label>'
        f'</div><div class="window">{"".join(sheets)}</div><p><output></output></p>'
        f'<script type="application/json">{data}</script><script>{SCRIPT}</script>'
    )
