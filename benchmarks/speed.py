"""`make bench`: how fast the parts are, each against what people would otherwise run, in one table.

    python benchmarks/speed.py [--only data,memory] [--device cpu] [--to benchmarks]

Leaves results.csv and results.png in `--to`. A ratio compares windows that took turns, so it holds
on a noisy machine; the values are this machine's.
"""

import argparse
import time
from pathlib import Path

import pandas as pd
import speed_data
import speed_growth
import speed_measures
import speed_steps
import torch
from chart import chart
from windows import table

from nbhelpers.config import pick_device
from nbhelpers.errors import one_of

GROUPS = {
    "data": lambda device: speed_data.measured(),
    "steps": speed_steps.measured,
    "measures": speed_measures.measured,
    "growth": speed_growth.measured,
}
HERE = Path(__file__).parent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default=",".join(GROUPS), help="some of " + ", ".join(GROUPS))
    parser.add_argument("--device", default="auto")
    parser.add_argument("--to", type=Path, default=HERE)
    args = parser.parse_args()
    args.to.mkdir(parents=True, exist_ok=True)
    device, found, start = pick_device(args.device), [], time.monotonic()
    for name in args.only.split(","):
        found += GROUPS[one_of("group", name, GROUPS)](device)
        print(f"{name}: {(time.monotonic() - start) / 60:.1f} minutes", flush=True)
        results = table(found)  # a later group that fails takes none of it away
        results.to_csv(args.to / "results.csv", index=False, float_format="%.4g")
    chart(results, told(device)).savefig(args.to / "results.png", dpi=110)
    print(f"\n{told(device)}\n\n{printed(results)}")


def told(device: torch.device) -> str:
    """What measured."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{device.type}, {torch.get_num_threads()} threads, torch {torch.__version__}"


def printed(results: pd.DataFrame) -> str:
    """The table in Markdown; a spread of windows where there is one."""
    lines = ["| group | name | variant | value | windows | unit | ratio |", "|---" * 7 + "|"]
    for row in results.itertuples():
        spread = "" if pd.isna(row.lowest) else f"{row.lowest:.3g} to {row.highest:.3g}"
        ratio = "" if pd.isna(row.ratio) else f"{row.ratio:.2f}"
        told = row.group, row.name, row.variant, f"{row.value:.3g}", spread, row.unit, ratio
        lines.append(f"| {' | '.join(told)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
