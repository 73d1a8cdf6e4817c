"""Which notebook needs which: the course as a graph, and the part of it that is to be run."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from .errors import UsageError, one_of


@dataclass(frozen=True)
class Node:
    """A notebook, the ones whose files it reads, and the files it must leave behind; `after` are
    those whose files it shows where they are: of a run they come first.

    Files are named as below `run/` or below `prepared/`.
    """

    name: str
    needs: tuple[str, ...] = ()
    makes: tuple[str, ...] = ()
    after: tuple[str, ...] = ()


def _gan(notebook: str, folder: str, *after: str) -> Node:
    files = ("checkpoint.pt", "history.csv", "card.json", "synthetic.npz")
    makes = tuple(f"run/gans/{folder}/{file}" for file in files)
    return Node(notebook, ("02_preprocess",), makes, after)


# A GAN joins here with one line: its notebook, and its folder below gans/
GANS = (
    _gan("10_dcgan", "dcgan"),
    _gan("11_cgan", "cgan"),
    _gan("12_wgan", "wgan"),
    _gan("13_wgan_gp", "wgan_gp"),
    _gan("14_sngan", "sngan"),
    _gan("15_acgan", "acgan", "11_cgan"),  # it compares the two
    _gan("16_progan", "progan"),
    # lesions are translated where there are masks of them; tissue is always there
    Node("17_pix2pix", ("02_preprocess",), ("run/tissue/pix2pix/card.json",)),
    _gan("18_modern", "modern"),
)
_DATA_AND_GANS = ("02_preprocess", *(gan.name for gan in GANS))
NODES = (
    Node("00_start_here"),
    Node("01_explore_data"),
    Node("02_preprocess", makes=("prepared/manifest.json",)),
    Node("03_two_players"),
    *GANS,
    Node("20_inspect_samples", _DATA_AND_GANS),
    Node("21_measure", _DATA_AND_GANS, ("run/metrics.csv",)),
    Node("22_classifier", _DATA_AND_GANS, ("run/classifier.csv", "run/predictions.npz")),
    Node("23_report", ("21_measure", "22_classifier")),
)


def ordered(nodes: Sequence[Node]) -> list[Node]:
    """The nodes, each after all it needs, otherwise as listed.

    Raises UsageError for a circle or an unknown name.
    """
    names, done, left = {n.name for n in nodes}, [], list(nodes)
    for node in nodes:
        for need in node.needs:
            one_of(f"what {node.name} needs,", need, names)
    while left:
        before = {n.name for n in done}
        ready = next((n for n in left if set(n.needs) <= before), None)
        if ready is None:
            raise UsageError(
                f"{', '.join(n.name for n in left)} need one another in a circle: "
                "take one need away."
            )
        left.remove(ready)
        done.append(ready)
    return done


def select(nodes: Sequence[Node], only: Iterable[str] = (), start_from: str = "") -> list[Node]:
    """The nodes to run, in order: all, just `only`, or `start_from` and what depends on it.

    Notebooks are named by number or by name.
    """
    line = ordered(nodes)
    only = list(only)
    if only and start_from:
        raise UsageError("--only and --from exclude each other: give one of them.")
    if only:
        wanted = {_find(line, text) for text in only}
    elif start_from:
        wanted = {_find(line, start_from)}
        for node in line:
            wanted |= {node.name} if wanted & set(node.needs) else set()
    else:
        return line
    return [node for node in line if node.name in wanted]


def _find(nodes: Sequence[Node], text: str) -> str:
    by_number = {node.name[:2]: node.name for node in nodes}
    return by_number.get(text) or one_of("notebook", text, [node.name for node in nodes])
