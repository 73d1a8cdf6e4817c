"""What is trained on what: a job, the GAN it builds, and what makes two jobs the same."""

import ast
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import torch

from . import checkpoints, splits
from .config import IMAGE_SIZES, check_size, mix
from .errors import CheckpointError, DataError, TrainingError, UsageError, one_of
from .gans import GAN, GANS
from .prepare import Prepared
from .training_images import Budget

# the layers of a GAN that translates which are shown masks and classes
FACE_MASKS = ("D.stages.0", "G.down.0.0", "G_average.down.0.0")


@dataclass(frozen=True)
class Job:
    """What is trained on what. `settings` are settings of the GAN other than the defaults."""

    gan: str
    images: int  # budget, images shown to D
    batch_size: int = 32
    seed: int = 0
    fold: int = 0
    class_name: str = ""  # "" trains on all classes
    settings: dict = field(default_factory=dict)
    order: str = ""  # "natural" or "balanced"; "" balances the classes of a conditional GAN
    crop: int = 0  # pixels a side of the windows trained on, anywhere in an image; 0: whole images

    def rows(self, prepared: Prepared) -> np.ndarray:
        """Row numbers trained on: the training part of the fold, of one class when one is named.

        UsageError for an unknown class; TrainingError for fewer images than a batch.
        """
        rows, whose, instead = splits.parts(prepared.table, self.fold)["train"], "the data have", ""
        if self.class_name:
            one_of("class", self.class_name, prepared.classes)
            rows = rows[prepared.table["dx"].to_numpy()[rows] == self.class_name]
            whose = f"class {self.class_name} has"
            instead = ", or train a conditional GAN on all classes (cgan)"
        if len(rows) < self.batch_size:
            raise TrainingError(
                f"{whose} {len(rows)} training images in fold {self.fold}, fewer than one batch of "
                f"{self.batch_size}: set the batch size to at most {len(rows)}{instead}."
            )
        return rows

    def build(self, prepared: Prepared) -> GAN:
        """The GAN with its first weights, which follow from seed and fold."""
        kind = GANS[one_of("GAN", self.gan, GANS)]
        with torch.random.fork_rng([]):
            torch.manual_seed(mix(self.seed, self.fold))
            size, classes = self.image_size(prepared), len(prepared.classes)
            return kind(size, classes, **self._settings(prepared))

    def image_size(self, prepared: Prepared) -> int:
        """Pixels a side of what is trained on. UsageError where no GAN draws that size."""
        stored = prepared.image_size
        if not self.crop and stored > max(IMAGE_SIZES):
            raise UsageError(
                f"{prepared.folder} holds images of {stored} px: train on windows of them, --crop "
                f"{max(IMAGE_SIZES)}, or prepare them smaller."
            )
        if self.crop > stored:
            raise UsageError(f"crop is {self.crop} and the images have {stored} px: crop less.")
        return check_size(self.crop) if self.crop else stored  # which `prepare` has checked

    def _settings(self, prepared: Prepared) -> dict:
        """The GAN's settings, those that follow from the data included."""
        if "mask_classes" not in GANS[self.gan].defaults():
            return self.settings
        if prepared.masks is None:
            lacking = [k for k in prepared.manifest["findings"] if "mask" in k]
            told = "".join(f" ({k}: {prepared.manifest['examples'][k][0]})" for k in lacking)
            raise DataError(
                f"{prepared.folder} holds no masks.npy and {self.gan} translates masks: prepare "
                f"data that have one for each image{told}."
            )
        return {"mask_classes": len(prepared.palette)} | self.settings

    def windows(self, array: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Those rows of `prepared.images` or `.masks`, the middle of each where windows are trained
        on."""
        if not self.crop:
            return np.asarray(array[rows])
        corner = (array.shape[1] - self.crop) // 2
        inside = slice(corner, corner + self.crop)
        return np.asarray(array[:, inside, inside][rows])

    def budget(self, gan: GAN) -> Budget:
        order = self.order or ("balanced" if gan.conditional else "natural")
        return Budget(self.images, self.batch_size, self.seed, order)

    def identity(self, gan: GAN, prepared: Prepared, start_from: Path | None) -> dict:
        """What a checkpoint must share with this job to be its past. The budget is among it only
        where the game follows it; elsewhere it may grow."""
        known = asdict(self) | {
            "settings": gan.settings,
            "order": self.budget(gan).order,
            "classes": list(prepared.classes),
            "data": prepared.manifest["sha256"]["images.npy"],
            "start_from": "" if start_from is None else checkpoints.weights_sha256(start_from),
        }
        if gan.translates:
            known["masks"] = prepared.manifest["sha256"]["masks.npy"]
        if not gan.follows_budget():
            del known["images"]
        if not self.crop:  # checkpoints that are older than windows know nothing of them
            del known["crop"]
        return known


def parsed_settings(kind: type[GAN], texts: dict[str, str]) -> dict[str, object]:
    """Settings of a GAN out of what was typed: numbers, true or false, and text as they are
    meant. UsageError for a name or a value that is not."""
    known, found = kind.defaults(), {}
    for name, text in texts.items():
        default = known[one_of("setting", name, known)]
        try:
            found[name] = text if isinstance(default, str) else ast.literal_eval(text.capitalize())
        except (ValueError, SyntaxError) as error:
            raise UsageError(
                f"setting {name} is {text!r}: expected {type(default).__name__}, such as {default}."
            ) from error
    return found


def differences(state: dict, identity: dict) -> list[str]:
    """In what the training in a checkpoint was another one, a sentence each."""
    before = {name: state["config"].get(name) for name in identity}
    return _unlike(before, identity)


def _unlike(before: dict, now: dict, within: str = "") -> list[str]:
    found = []
    for name in {**now, **before}:
        one, other = before.get(name), now.get(name)
        if isinstance(one, dict) and isinstance(other, dict):
            found += _unlike(one, other, f"{within}{name}.")
        elif one != other:
            found.append(f"{within}{name} was {one!r}, is {other!r}")
    return found


def refuse_another(state: dict, identity: dict, folder: Path, resume: bool) -> None:
    """Raises CheckpointError unless `state` is this job's past and may be gone on with."""
    if not resume:
        raise CheckpointError(
            f"{folder} holds a training: pass --resume to go on with it, or choose another folder."
        )
    if found := differences(state, identity):
        raise CheckpointError(
            f"{folder} holds another training: {'; '.join(found)}. Choose another folder."
        )


def take_weights(gan: GAN, folder: Path, classes: tuple[str, ...]) -> None:
    """Starts `gan` from the weights in `folder`.

    A GAN that translates may have seen other masks or classes: the layers that face them start
    anew and are named. CheckpointError when that is another GAN, or one of other classes.
    """
    state = checkpoints.load(folder)
    known = state["config"]
    if gan.translates and "mask_classes" in known["settings"]:
        return _take_what_fits(gan, state, folder, classes)
    if gan.conditional and known["classes"] != list(classes):
        raise CheckpointError(
            f"{folder} knows the classes {', '.join(known['classes'])}, the data have "
            f"{', '.join(classes)}: start from a GAN of the same classes."
        )
    if known["settings"] != gan.settings:
        found = "; ".join(_unlike(known["settings"], gan.settings, "settings."))
        raise CheckpointError(
            f"{folder} is another GAN ({found}): start from one of the same settings."
        )
    gan.load_state_dict(state["training"]["gan"])


def _take_what_fits(gan: GAN, state: dict, folder: Path, classes: tuple[str, ...]) -> None:
    mine, theirs = gan.state_dict(), state["training"]["gan"]
    before, now = state["config"]["settings"], gan.settings
    there, here = _shown(before, state["config"]["classes"]), _shown(now, classes)
    fits = {k: v for k, v in theirs.items() if k in mine and v.shape == mine[k].shape}
    if there != here:  # as many planes may mean something else
        fits = {k: v for k, v in fits.items() if _layer(k) not in FACE_MASKS}
    anew = sorted({_layer(k) for k in {*mine, *theirs} - {*fits}})
    if before["image_size"] != now["image_size"] or not {*anew} <= {*FACE_MASKS}:
        sizes = f"image size {before['image_size']} there and {now['image_size']} here"
        raise CheckpointError(
            f"{folder} does not fit: {sizes}, other shapes "
            f"in {', '.join(anew) or 'no layer'}. Start from a pix2pix of the same image_size, "
            "width and norm; only the number of masks and of classes may differ."
        )
    gan.load_state_dict(mine | fits)
    if anew:
        print(f"{', '.join(anew)} start anew: {there} in {folder.name}, {here} here")


def _layer(name: str) -> str:
    """The layer that a weight belongs to, the same whether or not its norm is spectral."""
    facing = (layer for layer in FACE_MASKS if name.startswith(f"{layer}."))
    return next(facing, name.rpartition(".")[0])


def _shown(settings: dict, classes: Iterable[str]) -> str:
    """What the networks of a GAN that translates are shown beside the image."""
    masks = f"{settings['mask_classes']} mask classes"
    return f"{masks} and the classes {', '.join(classes)}" if settings["conditional"] else masks
