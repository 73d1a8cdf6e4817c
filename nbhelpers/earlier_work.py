"""What an earlier project printed of its GANs, beside the same measures with their floors.

AIDL21 (a student project of 2021, ISIC archive, 22,922 photographs) scored random generated images
against random photographs by five paired measures, one number each, and read MS-GMSD the wrong way
round: it is a deviation, lower is better, 0 is identical (Zhang et al. 2017).
"""

from pathlib import Path

import pandas as pd

from .metrics import COLUMNS, METRICS, PAIRED

# model, pixels a side: PSNR (dB), SSIM, MS-GMSD, MDSI, HaarPSI, as reported
REPORTED = {
    ("dcgan", 64): (12.92, 0.35, 0.29, 0.45, 0.39),
    ("sngan", 64): (12.21, 0.21, 0.26, 0.49, 0.41),
    ("wgan_gp", 64): (12.63, 0.30, 0.27, 0.50, 0.35),
    ("acgan", 64): (12.17, 0.32, 0.27, 0.49, 0.31),
    ("sngan", 128): (12.18, 0.24, 0.15, 0.52, 0.45),
    ("wgan_gp", 128): (12.27, 0.31, 0.14, 0.44, 0.40),
    ("acgan", 128): (11.81, 0.39, 0.25, 0.47, 0.31),
}


def aidl21(measured: dict[int, pd.DataFrame]) -> pd.DataFrame:
    """The reported rows and ours, a row for each model, size and measure.

    `measured` holds our `metrics.csv` by image size. Columns: model, size, metric, better,
    reported, and ours, pooled over same-class pairs, as `COLUMNS` (real-real is the floor); NaN for
    a model that was not measured at that size. `place` and `place as reported` order the models of
    a size by the reported number, read rightly and as that project read it.
    """
    rows = []
    for (model, size), values in REPORTED.items():
        ours = _pooled(measured.get(size), model)
        for metric, value in zip(PAIRED, values, strict=True):
            found = {column: ours.get(f"{metric} {column}", float("nan")) for column in COLUMNS}
            known = {"model": model, "size": size, "metric": metric}
            rows.append(known | {"better": METRICS[metric].better, "reported": value} | found)
    table = pd.DataFrame(rows)
    lower = table["better"].eq("lower")
    read_so = lower & table["metric"].ne("ms_gmsd")
    for name, turned in (("place", lower), ("place as reported", read_so)):
        signed = table["reported"].where(turned, -table["reported"])
        groups = [table["size"], table["metric"]]
        table[name] = signed.groupby(groups).rank(method="min").astype(int)
    return table


def beside(run_folder: Path) -> pd.DataFrame:
    """`aidl21` beside the run in `run_folder` and the one that differs from it in the size alone,
    where they have been measured."""
    stem = run_folder.name.rpartition("-")[0]
    files = {size: run_folder.with_name(f"{stem}-{size}") / "metrics.csv" for size in (64, 128)}
    return aidl21({size: pd.read_csv(file) for size, file in files.items() if file.exists()})


def _pooled(measured: pd.DataFrame | None, model: str) -> dict[str, float]:
    if measured is None:
        return {}
    rows = measured[measured["gan"].eq(model)].drop_duplicates("metric")  # the pool stands first
    return dict(zip(rows["metric"], rows["value"], strict=True))
