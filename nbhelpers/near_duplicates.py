"""Photographs that are the same picture, so that one lesion under two names cannot be in train and
in test."""

import hashlib

import numpy as np
import pandas as pd
from PIL import Image
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

THUMBNAIL = 16  # pixels a side
# Root-mean-square difference, in grey levels, under which two thumbnails are one picture saved
# twice
SAME_PICTURE = 2.0
BLOCK = 1024


def identical_pairs(images: np.ndarray) -> list[tuple[int, int]]:
    """Pairs of rows with the same pixels. `images` uint8 (N, S, S, 3)."""
    first: dict[bytes, int] = {}
    seen = (hashlib.sha256(image.tobytes()).digest() for image in images)
    return [(first[key], i) for i, key in enumerate(seen) if first.setdefault(key, i) != i]


def near_pairs(images: np.ndarray) -> list[tuple[int, int]]:
    """Pairs of rows, i < j, whose 16 x 16 colour thumbnails differ by less than `SAME_PICTURE` grey
    levels RMS."""
    small = np.stack([_thumbnail(image) for image in images]).astype(np.float32)
    norms = (small**2).sum(1)
    pairs: list[tuple[int, int]] = []
    for start in range(0, len(small), BLOCK):
        rows = slice(start, start + BLOCK)
        squared = norms[rows, None] + norms[None] - 2 * small[rows] @ small.T
        i, j = np.nonzero(squared < SAME_PICTURE**2 * small.shape[1])
        pairs += [(int(a) + start, int(b)) for a, b in zip(i, j, strict=True) if a + start < b]
    return pairs


def _thumbnail(image: np.ndarray) -> np.ndarray:
    return np.asarray(Image.fromarray(image).resize((THUMBNAIL,) * 2, Image.Resampling.BOX)).ravel()


def merge_groups(
    images: np.ndarray, table: pd.DataFrame
) -> tuple[np.ndarray, dict[str, list[str]]]:
    """Group ids (N,) after joining lesions that share a picture, and the joined pairs of image ids,
    by kind."""
    found = {
        "pixel-identical images": identical_pairs(images),
        "near-identical images": near_pairs(images),
    }
    found["near-identical images"] = sorted(
        set(found["near-identical images"]) - set(found["pixel-identical images"])
    )
    codes, names = pd.factorize(table["group_id"])
    pairs = np.array([p for kind in found.values() for p in kind], dtype=int).reshape(-1, 2)
    edges = (np.ones(len(pairs)), (codes[pairs[:, 0]], codes[pairs[:, 1]]))
    _, joined = connected_components(coo_array(edges, shape=(len(names),) * 2), directed=False)
    # the first lesion of a joined set gives it its name
    leader = pd.Series(range(len(names))).groupby(joined).transform("min").to_numpy()
    ids = table["image_id"].to_numpy()
    named = {kind: [f"{ids[i]} = {ids[j]}" for i, j in both] for kind, both in found.items()}
    return names[leader][codes].to_numpy(), {kind: both for kind, both in named.items() if both}
