"""Samples from a trained GAN: fixed noise, walks between two noises, per-class sets, export."""

import io
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from PIL import Image

from . import checkpoints
from .config import mix
from .errors import CheckpointError, DataError, UsageError, one_of
from .files import BROKEN_ARRAYS, names_a_folder, write_atomic, write_json
from .gans import GAN, GANS, Masks
from .images import to_uint8
from .mask_edits import coloured
from .records import FOLDER_NAME, PALETTE, TEXT, TRUTH, WHOLE, having, read_record
from .unet import mask_planes

BLOCK = 64  # noise comes in blocks: the first images of a larger sample are those of a smaller
CARD = "card.json"
GROUPS = "training_groups.txt"
ABOUT_DATA = {
    "source": TEXT, "licence": TEXT, "images_sha256": TEXT, "training_groups_sha256": TEXT,
    "image_size": WHOLE, "training_images": WHOLE, "training_lesions": WHOLE, "palette": PALETTE,
}  # fmt: skip
ON_THE_CARD = {
    "gan": FOLDER_NAME, "class": FOLDER_NAME, "fold": WHOLE, "seed": WHOLE, "steps": WHOLE,
    "images_shown": WHOLE, "settings": having({"conditional": TRUTH}, ()),
}  # fmt: skip
MASKS = "masks.npz"


def fixed_noise(z_dim: int, count: int, seed: int) -> torch.Tensor:
    """z (count, z_dim) on the CPU: a function of the seed alone, whatever the device and the
    count."""
    blocks = [_block(z_dim, seed, i) for i in range(-(-count // BLOCK))]
    return torch.cat(blocks)[:count] if blocks else torch.empty(0, z_dim)


def _block(z_dim: int, seed: int, index: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(mix(seed, index, 2))
    return torch.randn(BLOCK, z_dim, generator=generator)


def asked(gan: GAN, count: int, seed: int, label: torch.Tensor | None = None) -> torch.Tensor:
    """What G is asked with, a function of the seed: noise (count, z_dim), or masks uint8 (count, S,
    S), of the classes `label` where G is told them. UsageError for a translating G without masks.
    """
    if not gan.translates:
        return fixed_noise(gan.z_dim, count, seed)
    if gan.masks is None:
        raise UsageError("this GAN translates masks and has none: pass masks to sampling.decode.")
    return gan.masks.draw(count, seed, label if gan.conditional else None)


@torch.no_grad()
def decode(
    gan: GAN, z: torch.Tensor, label: torch.Tensor | None = None, seed: int = 0
) -> np.ndarray:
    """Images uint8 (N, S, S, 3) that G_average makes of `z` (N, z_dim), in float32 and by blocks.

    A G that translates takes masks uint8 (N, S, S) as `z`; its dropout is decided by `seed`.
    Without `label` int64 (N,) a conditional GAN draws its classes in turn.
    A GAN that is still growing draws smaller; its pixels are repeated to fill S.
    """
    device = next(gan.G_average.parameters()).device
    gan.G_average.eval()
    label = _in_turn(gan, len(z)) if label is None else label
    images = []
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        for start in range(0, len(z), BLOCK):
            torch.manual_seed(mix(seed, start, 8))
            part = slice(start, start + BLOCK)
            told = None if label is None else label[part].to(device)
            given = mask_planes(z[part], gan.mask_classes) if gan.translates else z[part]
            images.append(to_uint8(gan.G_average(given.to(device), told)))
    drawn = np.concatenate(images)
    if gan.translates:
        return drawn
    times = gan.settings["image_size"] // drawn.shape[1]
    return drawn.repeat(times, axis=1).repeat(times, axis=2)


def _in_turn(gan: GAN, count: int) -> torch.Tensor | None:
    return torch.arange(count) % gan.settings["classes"] if gan.conditional else None


def generate(gan: GAN, count: int, seed: int, label: torch.Tensor | None = None) -> np.ndarray:
    """`count` images uint8 (N, S, S, 3) from G_average; the seed decides the noise, `label` int64
    (N,) the classes."""
    if count < 1:
        raise UsageError(f"count is {count}: ask for at least one image.")
    label = _in_turn(gan, count) if label is None else label
    return decode(gan, asked(gan, count, seed, label), label, seed)


def walk(gan: GAN, steps: int, seed: int, label: int = 0) -> np.ndarray:
    """Images uint8 (steps, S, S, 3) along the great circle between two noises (White 2016: not
    through the centre), all of the class `label` where the GAN is told one. UsageError for a GAN
    that is given masks: between two of them there is no way."""
    if gan.translates:
        raise UsageError("this GAN is given masks and no noise: there is nothing to walk along.")
    a, b = fixed_noise(gan.z_dim, 2, seed).double()
    angle = torch.arccos(torch.dot(a, b) / (a.norm() * b.norm()))
    t = torch.linspace(0, 1, steps, dtype=torch.float64)[:, None]
    z = (torch.sin((1 - t) * angle) * a + torch.sin(t * angle) * b) / torch.sin(angle)
    return decode(gan, z.float(), torch.full((steps,), label))


def load(folder: Path, device: torch.device | str = "cpu", which: str = "last") -> GAN:
    """The GAN whose checkpoint is in `folder`, ready to sample; `which` is "last" or "best" (lowest
    KID on the validation part)."""
    return load_with_classes(folder, device, which)[0]


def load_with_classes(
    folder: Path, device: torch.device | str = "cpu", which: str = "last"
) -> tuple[GAN, list[str]]:
    """The GAN, as `load` gives it, and the names of its classes."""
    best = one_of("checkpoint", which, ("last", "best")) == "best"
    state = checkpoints.read(Path(folder) / checkpoints.BEST) if best else checkpoints.load(folder)
    known = state["config"]
    gan = GANS[one_of("GAN", known["gan"], GANS)](**known["settings"])
    try:
        gan.load_state_dict(state["training"]["gan"])
    except RuntimeError as error:
        wrong = str(error).splitlines()[1].strip()
        raise CheckpointError(
            f"{folder}: weights do not fit {known['gan']} ({wrong}): take the version of nbhelpers "
            "that its card names, or train again."
        ) from error
    if gan.translates:
        gan.masks = _read_masks(Path(folder) / MASKS)
    return gan.to(device).eval(), known["classes"]


def write_masks(folder: Path, masks: Masks) -> Path:
    """`folder/masks.npz`: the masks that a GAN which translates can be asked with."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, maps=masks.maps, labels=masks.labels)
    return write_atomic(Path(folder) / MASKS, buffer.getvalue())


def _read_masks(path: Path) -> Masks:
    try:
        with np.load(path, allow_pickle=False) as file:
            return Masks(file["maps"], file["labels"])
    except BROKEN_ARRAYS as error:
        raise CheckpointError(
            f"{path} holds no masks ({error}): run the training again, it writes them."
        ) from error


def write_synthetic(
    path: Path, images: np.ndarray, labels: np.ndarray, classes: tuple[str, ...], groups: set[str]
) -> Path:
    """A labelled synthetic set as one `.npz` without objects: images, labels, classes,
    training_groups.

    images uint8 (N, S, S, 3); labels int64 (N,) into `classes`; `groups` are the lesions the
    generator has seen.
    """
    arrays = {
        "images": images,
        "labels": labels.astype(np.int64),
        "classes": np.array(classes, dtype=str),
        "training_groups": np.array(sorted(groups), dtype=str),
    }
    return _write_arrays(path, arrays)


def write_samples(path: Path, images: np.ndarray) -> Path:
    """Unlabelled samples uint8 (N, S, S, 3) as one `.npz` with `images`."""
    return _write_arrays(path, {"images": images})


def _write_arrays(path: Path, arrays: dict[str, np.ndarray]) -> Path:
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return write_atomic(path, buffer.getvalue())


def training_groups(folder: Path) -> set[str]:
    """The lesions a GAN's training has seen, as its run folder lists them."""
    path = Path(folder) / GROUPS
    if not path.exists():
        raise CheckpointError(
            f"{path} is missing: train again, a GAN of unknown training lesions cannot be judged."
        )
    return set(path.read_text(encoding="utf-8").split("\n")) - {""}


def read_card(folder: Path, *needed: str) -> dict:
    """What the card in a trained GAN's `folder` says of it; DataError unless it says what is
    `needed`: "fold", or "data.licence"."""
    inside = [name.removeprefix("data.") for name in needed if name.startswith("data.")]
    fields = ON_THE_CARD | {"data": having(ABOUT_DATA, inside)}
    return read_record(Path(folder) / CARD, having(fields, {n.partition(".")[0] for n in needed}))


def progress_gif(frames: list[np.ndarray], path: Path, milliseconds: int = 350) -> Path:
    """An endless GIF of same-sized frames uint8 (H, W, 3), the last one held for two seconds."""
    images = [Image.fromarray(frame) for frame in frames]
    pauses = [milliseconds] * (len(images) - 1) + [2000]
    buffer = io.BytesIO()
    images[0].save(buffer, "GIF", save_all=True, append_images=images[1:], duration=pauses, loop=0)
    return write_atomic(path, buffer.getvalue())


def export(
    folder: Path,
    count: int,
    to: Path,
    class_name: str = "",
    seed: int = 0,
    which: str = "last",
) -> Path:
    """`count` generated images as PNG files in `to`, with `images.csv` (image, label) and
    `card.json` beside them.

    The layout is what `--dataset folder` reads. With `class_name` a conditional GAN is asked for
    that class, and of another the one trained on that class is used. UsageError for a class that a
    conditional GAN was not trained on, and for none where it was trained on several.
    """
    if Path(to).exists() and any(Path(to).iterdir()):
        raise DataError(
            f"{to} is not empty: choose a new folder, so that no list of images is lost."
        )
    source, card = Path(folder), read_card(folder, "class", "settings")
    if class_name not in ("", card["class"]) and not card["settings"].get("conditional"):
        source = source / "by_class" / class_name
    gan, classes = load_with_classes(source, "cpu", which)
    card = read_card(source, "class")
    label = class_name or card["class"]
    if not names_a_folder(label):
        raise UsageError(f"class {label!r} is no name of a folder, where its images go.")
    if gan.conditional:
        one_of("class", label, classes if card["class"] == "all" else [card["class"]])
    wanted = torch.full((count,), classes.index(label) if label in classes else 0)
    given = asked(gan, count, seed, wanted)
    images = decode(gan, given, wanted, seed)
    label = "unlabelled" if label == "all" else label
    names = [f"{label}_{seed}_{i:05d}.png" for i in range(count)]
    for name, image in zip(names, images, strict=True):
        write_picture(Path(to) / label / name, Image.fromarray(image))
    if gan.translates:
        masks = coloured(given.numpy(), read_card(source, "data.palette")["data"]["palette"])
        for name, mask in zip(names, masks, strict=True):
            place = Path(to) / label / name.replace(".png", "_mask.png")
            write_picture(place, Image.fromarray(mask))
    rows = pd.DataFrame({"image": [f"{label}/{name}" for name in names], "label": label})
    write_atomic(Path(to) / "images.csv", rows.to_csv(index=False).encode())
    write_json(Path(to) / CARD, card | {"synthetic": True, "sampled": count, "sampling_seed": seed})
    return Path(to)


def write_picture(path: Path, picture: Image.Image) -> Path:
    """`path`, now holding the picture as PNG."""
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return write_atomic(path, buffer.getvalue())
