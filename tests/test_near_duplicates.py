import numpy as np
import pandas as pd
from PIL import Image, ImageFilter

from nbhelpers import near_duplicates


def pictures(count: int = 12) -> np.ndarray:
    random = np.random.default_rng(0)
    blurred = [
        Image.fromarray(random.integers(0, 256, (64, 64, 3), dtype=np.uint8)).filter(
            ImageFilter.GaussianBlur(6)
        )
        for _ in range(count)
    ]
    return np.stack([np.asarray(image) for image in blurred])


def table(groups: list[str]) -> pd.DataFrame:
    return pd.DataFrame({"image_id": [f"I{i}" for i in range(len(groups))], "group_id": groups})


def test_different_pictures_stay_apart():
    images = pictures()
    groups, found = near_duplicates.merge_groups(images, table([f"L{i}" for i in range(12)]))
    assert found == {}
    assert list(groups) == [f"L{i}" for i in range(12)]


def test_a_picture_under_two_names_joins_its_lesions():
    images = pictures()
    images[7] = images[2]
    groups, found = near_duplicates.merge_groups(images, table([f"L{i}" for i in range(12)]))
    assert found == {"pixel-identical images": ["I2 = I7"]}
    assert groups[7] == groups[2] == "L2"
    assert len(set(groups)) == 11


def test_a_picture_saved_again_is_nearly_identical():
    images = pictures()
    images[5] = np.clip(
        images[1].astype(int) + np.random.default_rng(1).integers(-2, 3, images[1].shape), 0, 255
    )
    _, found = near_duplicates.merge_groups(images, table([f"L{i}" for i in range(12)]))
    assert found == {"near-identical images": ["I1 = I5"]}


def test_joins_are_transitive():
    images = pictures()
    images[3] = images[9]
    groups, _ = near_duplicates.merge_groups(
        images, table(["a", "b", "c", "a", "d", "e", "f", "g", "h", "c", "i", "j"])
    )
    assert groups[0] == groups[3] == groups[9] == groups[2] == "a"
