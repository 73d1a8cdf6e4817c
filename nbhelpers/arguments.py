"""Flags and their values, checked before anything runs."""

import argparse
from difflib import get_close_matches
from pathlib import Path
from typing import NoReturn

from .errors import let_rank_0_speak


class Parser(argparse.ArgumentParser):
    """An argument parser that offers the nearest flag and answers an error in one line."""

    def error(self, message: str) -> NoReturn:
        typed = next((word for word in message.split() if word.startswith("--")), "")
        near = get_close_matches(typed, self._flags(), n=1) if "unrecognized" in message else []
        hint = f" (did you mean {near[0]}?)" if near else ""
        let_rank_0_speak()
        self.exit(2, f"{self.prog}: {message}{hint}. See {self.prog} --help.\n")

    def _flags(self) -> list[str]:
        below = [a.choices.values() for a in self._actions if isinstance(a.choices, dict)]
        parsers = [self, *(parser for parsers in below for parser in parsers)]
        return [flag for parser in parsers for flag in parser._option_string_actions]


def whole(text: str) -> int:
    """A whole number, 0 or more."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number, 0 or more")
    return int(text)


def positive(text: str) -> int:
    """A whole number, 1 or more."""
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number, 1 or more")
    return int(text)


def setting(text: str) -> tuple[str, str]:
    """`NAME=VALUE` or `10:NAME=VALUE`, taken apart."""
    name, sign, value = text.partition("=")
    if not sign or not name.strip():
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=VALUE or 10:NAME=VALUE")
    return name.strip(), value


def folder(text: str) -> Path:
    """A folder as a shell means it: relative to where one stands."""
    return Path(text).expanduser().absolute()


def export_flags(add) -> None:
    """What `nbhelpers export` is told; `add` is a parser's `add_argument`."""
    add("run", type=folder, metavar="RUN", help="a folder below runs/")
    add("--gan", required=True, metavar="NAME", help="a folder below RUN/gans: modern, cgan …")
    add("--to", type=folder, required=True, metavar="DIR")
    add("--layout", default="imagefolder", metavar="L", help="imagefolder (default) or ham10000")
    add("--class", dest="classes", nargs="+", action="extend", default=[], metavar="C",
        help="these classes alone")  # fmt: skip
    add("--count", type=positive, metavar="N", help="images of each class (default: all)")
    add("--seed", type=whole, default=0, metavar="N", help="which, where --count leaves some out")
    add("--only", type=folder, metavar="FILE.npz", help="those its array `passed` lets through")
