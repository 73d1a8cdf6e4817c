"""The report's pictures: small enough that a whole run is one file to send by mail."""

import base64
import io
from pathlib import Path

from PIL import Image

WIDEST = 1200  # pixels: the column is 900 wide, and screens have more than one pixel for each
QUALITY = 75  # of WebP: 100 figures of a run are 4 MB where their PNGs are 37


def embedded(path: Path) -> tuple[str, tuple[int, int], dict[str, str]]:
    """A PNG as a data address of WebP, its size in pixels, and the texts it carries.

    OSError, SyntaxError, ValueError or AttributeError for a damaged file, as Pillow has it.
    """
    with Image.open(path) as image:
        image.load()
        text, picture = dict(image.text), image.convert("RGB")
    if picture.width > WIDEST:
        height = round(picture.height * WIDEST / picture.width)
        picture = picture.resize((WIDEST, height), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    picture.save(buffer, "WEBP", quality=QUALITY, method=4)
    data = base64.b64encode(buffer.getvalue()).decode()
    return f"data:image/webp;base64,{data}", picture.size, text
