"""A made-up data set whose classes are colours, for tests of classifiers and comparisons."""

from pathlib import Path

import numpy as np
import pandas as pd

from nbhelpers.prepare import Prepared
from nbhelpers.splits import assign_folds

CLASSES = ("nv", "mel", "df")
COLOURS = np.array([[200, 60, 60], [60, 200, 60], [60, 60, 200]])


def coloured(labels: np.ndarray, seed: int = 0) -> np.ndarray:
    """Noise of 32 px whose mean colour tells its class: uint8 (N, 32, 32, 3)."""
    noise = np.random.default_rng(seed).normal(0, 20, (len(labels), 32, 32, 3))
    return (COLOURS[labels][:, None, None] + noise).clip(0, 255).astype(np.uint8)


def tiny(folder: Path, lesions: tuple[int, ...] = (40, 20, 10)) -> Prepared:
    """Three classes in five folds, every second lesion photographed twice."""
    rows = [
        (f"L{c}_{i:02d}", name, c)
        for c, name in enumerate(CLASSES)
        for i in range(lesions[c])
        for _ in range(1 + i % 2)
    ]
    table = pd.DataFrame(rows, columns=["group_id", "dx", "label"])
    table.insert(0, "image_id", [f"I{i:04d}" for i in range(len(table))])
    table["fold"] = assign_folds(table)
    manifest = {"sha256": {"images.npy": "a", "table.csv": "b"}}
    return Prepared(folder, coloured(table["label"].to_numpy()), table, CLASSES, None, manifest)
