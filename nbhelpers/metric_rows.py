"""The rows of `metrics.csv`: what one looks like, and what each kind of measure puts into it."""

import numpy as np
import pandas as pd

from . import metrics
from .appearance import Look, compare
from .appearance import interval as look_interval
from .audit import Audit, Value
from .features import Encoder
from .probes import Exam, accuracy_interval, balanced_accuracy, taught

COLUMNS = (
    "gan", "class", "metric", "value", "low", "high", "n", "floor", "better", "encoder", "note",
)  # fmt: skip
POOLED = "all"
NOT_COMPUTED = "not computed"


def row(scope: str, metric: str, value: float = np.nan, **known: object) -> dict:
    """A row of `metrics.csv` for the class or pool `scope`; what `known` leaves out is empty."""
    empty = dict.fromkeys(("low", "high", "floor"), np.nan) | {"n": 0, "encoder": "", "note": ""}
    better = metrics.METRICS[metric.split(" ")[0]].better
    return {"class": scope, "metric": metric, "value": value, "better": better} | empty | known


def not_computed(scope: str, names: tuple[str, ...], reason: object, **known: object) -> list[dict]:
    """A row for each measure that could not be taken, with its reason."""
    return [row(scope, name, note=f"{NOT_COMPUTED} ({reason})", **known) for name in names]


def scopes(labels: np.ndarray, classes: tuple[str, ...]) -> dict[str, list[int]]:
    """What a labelled set is measured on: everything it has pooled, then class by class."""
    present = sorted(set(labels.tolist()))
    single = {classes[c]: [c] for c in present}
    pooled = POOLED if len(present) == len(classes) else "+".join(single)
    return {pooled: present} | single


def three_rows(scope: str, scored: pd.DataFrame, seed: int) -> list[dict]:
    """Rows real-real, real-generated and generated-generated of every paired measure; the floor is
    real-real."""
    columns = dict(list(scored.groupby("column", sort=False)))
    found = {name: metrics.pair_intervals(part, seed) for name, part in columns.items()}
    common = {"better": "near floor", "note": "random pairs"}
    rows = []
    for metric in metrics.PAIRED:
        floor = float(found["real-real"].loc[metric, "value"])
        for name, table in found.items():
            value, low, high = table.loc[metric].astype(float)
            count = len(columns[name]) // len(table)
            known = {"low": low, "high": high, "n": count, "floor": floor} | common
            rows.append(row(scope, f"{metric} {name}", value, **known))
    return rows


def why_not(encoder: Encoder | str, n: int) -> str:
    """Why set measures of `n` images a side have no value with this encoder; "" when they do."""
    if isinstance(encoder, str):
        return encoder
    if not encoder.trained:
        return "the encoder has random weights"
    return too_few(n)


def too_few(n: int) -> str:
    """Why `n` photographs a side have no set measures; "" when they do."""
    few = f"{n} photographs a side, at least {metrics.FEWEST} are needed"
    return few if n < metrics.FEWEST else ""


def distance_rows(
    scope: str,
    encoder: str,
    wanted: tuple[str, ...],
    real: np.ndarray,
    other_real: np.ndarray,
    generated: np.ndarray,
    seed: int,
) -> list[dict]:
    """Measures of generated features against real ones; the floor is the other real half."""
    common = {"n": len(real), "encoder": encoder}
    value, low, high = metrics.kid(real, generated, seed)
    floor = metrics.kid(real, other_real, seed)[0]
    rows = [row(scope, "kid", value, low=low, high=high, floor=floor, **common)]

    def others(x: np.ndarray, y: np.ndarray) -> dict[str, float]:
        pooled = {"fid": metrics.fid(x, y)} if "fid" in wanted else {}
        return pooled | metrics.neighbourhood(x, y)

    found, floors = others(real, generated), others(real, other_real)
    reach = metrics.intervals(others, real, generated, seed)
    for name, value in found.items():
        low, high = reach[name]
        note = metrics.fid_warning(len(real)) if name == "fid" else ""
        known = {"low": low, "high": high, "floor": floors[name], "note": note}
        rows.append(row(scope, name, value, **known, **common))
    return rows


def look_rows(scope: str, real: Look, other_real: Look, generated: Look, seed: int) -> list[dict]:
    """How sharp, how coloured, how fine: distances that need no encoder."""
    found, reach = compare(real, generated), look_interval(real, generated, seed)
    floors, count = compare(real, other_real), len(real.sharpness)
    return [
        row(scope, name, value, low=reach[name][0], high=reach[name][1], floor=floors[name],
            n=count)
        for name, value in found.items()
    ]  # fmt: skip


def lesson_rows(
    scope: str,
    encoder: str,
    names: dict[str, int],
    real: Exam,
    held: Exam,
    generated: Exam,
    seed: int,
) -> list[dict]:
    """TSTR and TRTS, pooled (balanced accuracy) and of each class in `names` (recall). `real` and
    `generated` teach, `held` are the photographs of the exam; the floor is what `real` teaches of
    `held`."""
    right = {
        "tstr": (taught(generated, held), held),
        "trts": (taught(real, generated), generated),
    }
    ceiling, rows = taught(real, held), []
    for metric, (hits, exam) in right.items():
        known = {"n": len(real.labels), "encoder": encoder}
        low, high = accuracy_interval(hits, exam, seed)
        value, floor = (balanced_accuracy(h, e.labels) for h, e in ((hits, exam), (ceiling, held)))
        rows.append(row(scope, metric, value, low=low, high=high, floor=floor, **known))
        for name, label in names.items():
            here, there = exam.labels == label, held.labels == label
            known["n"] = int((real.labels == label).sum())
            if not (here.any() and there.any()):
                rows += not_computed(name, (metric,), "no image of the class in the exam", **known)
                continue
            low, high = accuracy_interval(hits[here], exam[here], seed)
            value, floor = float(hits[here].mean()), float(ceiling[there].mean())
            rows.append(row(name, metric, value, low=low, high=high, floor=floor, **known))
    return rows


def audit_rows(scope: str, found: Audit, first: str) -> list[dict]:
    """Copies by each detector; nearness, repeats and variety by the one named `first`."""

    def of(metric: str, value: Value, encoder: str) -> dict:
        known = {"low": value.low, "high": value.high, "floor": value.floor, "n": found.count}
        note = ", ".join(found.flags)
        return row(scope, metric, value.value, encoder=encoder, note=note, **known)

    rows = [of("copy_rate", value, name) for name, value in found.copy_rates.items()]
    for metric in ("nn_ratio", "spread", "repeat_rate"):
        rows.append(of(metric, getattr(found, metric), first))
    return rows
