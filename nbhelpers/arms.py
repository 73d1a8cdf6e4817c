"""The arms of a comparison as data: what each shows the same classifier.

The ladder asks how far real images alone go; its best arm is the bar. Around the bar stand the
arms with generated images and their controls.
"""

from dataclasses import dataclass, replace

from . import extras
from .classic_augmentation import CLASSIC, Augment, unchanged
from .extras import Extra

PLACES = ("swap", "add", "alone")
DOSES = (0.25, 0.5, 2.0, 5.0)  # beside 1; the last, "median", fills the tail up to the median class
SHARES = (0.125, 0.25, 0.5)  # of the training lesions, beside all of them


@dataclass(frozen=True)
class Arm:
    """One way of feeding the same classifier.

    `sampling_power`, `loss`, `blend`: see `row_order.real_order` and `classifier.Lesson`. `dose`:
    see `extras.wanted`. `place` of the extra images: "swap" lets them take the place of real images
    of their class, so that the class prior stays; "add" pools them with the real ones, as earlier
    projects did, so that it changes; "alone" shows nothing else. `share`: of the training lesions.
    """

    name: str
    code: str  # in the protocol's table
    why: str
    augment: Augment = CLASSIC
    sampling_power: float = 0.0
    loss: str = "plain"
    blend: str = ""
    extra: Extra | None = None
    dose: float | str = 1.0
    place: str = "swap"
    share: float = 1.0

    @property
    def settings(self) -> dict:
        """Everything that decides what this arm trains, as plain values."""
        told = {key: getattr(self, key) for key in self.__dataclass_fields__}
        named = {"augment": self.augment, "extra": self.extra}
        told |= {key: getattr(value, "__name__", repr(value)) for key, value in named.items()}
        return {key: value for key, value in told.items() if key not in ("code", "why")}

    @property
    def prior(self) -> tuple:
        """What decides which classes are shown: arms that agree in it see equal labels."""
        own = (self.name,) if self.place == "add" or self.share < 1 else ()
        return (self.sampling_power, *own)


_balanced = Arm(
    "balanced", "A2", "classes shown equally often: more tail images without new ones",
    sampling_power=1.0,
)  # fmt: skip
LADDER = (
    Arm("real", "A0", "the floor: real images as they are", augment=unchanged),
    Arm("real_classic", "A1", "the same images, turned, moved and recoloured"),
    _balanced,
    replace(
        _balanced, name="half_balanced", code="A2", sampling_power=0.5,
        why="half way: weights 1 / root of the class's count",
    ),
    Arm("weighted", "A3", "rare classes weigh more in the loss", loss="class_weights"),
    Arm("logit_adjusted", "A4", "the loss knows the class prior", loss="logit_adjusted"),
    replace(
        _balanced, name="mixup", code="A5", blend="mixup",
        why="balanced, and two images blended into one",
    ),
)  # fmt: skip


def around(bar: Arm) -> tuple[Arm, ...]:
    """The arms with generated images, and their controls, all fed like `bar`."""
    return tuple(
        replace(bar, name=name, code=code, why=why, extra=extra, place=place)
        for name, code, why, extra, place in (
            ("synthetic", "S1", "the question: the bar, with generated images for the tail classes",
             extras.generated, "swap"),
            ("placebo", "C1", "the control: the bar, with as many duplicated real images instead",
             extras.duplicated, "swap"),
            ("filtered", "S2", "the same, from the generated images that pass the filter",
             extras.filtered, "swap"),
            ("synthetic_only", "S3", "generated images alone, tested on photographs",
             extras.generated, "alone"),
            ("blended", "C2", "a cheap generator: blends of two real images of the class",
             extras.blended, "swap"),
            ("permuted", "C4", "generated images with labels permuted: if this helps, it is noise",
             extras.permuted, "swap"),
        )
    )  # fmt: skip


def doses(bar: Arm) -> tuple[Arm, ...]:
    """The bar with fewer and with more generated images than the tail classes have."""
    why = "generated images for the tail classes: {} times the real ones"
    some = [
        replace(bar, name=f"synthetic_x{r:g}", code="dose", why=why.format(f"{r:g}"), dose=r)
        for r in DOSES
    ]
    median = "generated images fill the tail classes up to the median class"
    some.append(replace(bar, name="synthetic_median", code="dose", why=median, dose="median"))
    return tuple(replace(arm, extra=extras.generated) for arm in some)


def fewer_lesions(bar: Arm) -> tuple[Arm, ...]:
    """The bar on an eighth, a quarter and a half of the training lesions."""
    return tuple(
        replace(
            bar, name=f"real_{100 * s:g}", code="R", why=f"the bar, {s:.1%} of lesions", share=s
        )
        for s in SHARES
    )


# What earlier projects did: natural sampling, extra images pooled with the real ones
EARLIER = tuple(
    Arm(f"earlier_{name}", "earlier", why, extra=extras.generated, dose=dose, place="add")
    for name, dose, why in (
        ("500", "+500", "IA376L: 500 generated images more of each class"),
        ("balanced", "largest", "AIDL21: generated images fill every class up to the largest"),
        ("10", "+10%", "AIDL21: a tenth more of each class, generated"),
    )
)
