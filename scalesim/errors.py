"""Every exception scalesim raises on purpose. Lowest layer: imports nothing of ours.

::

    ScalesimError
    ├── InvalidModel            a description has problems; all of them, together
    ├── InvalidInput            a file, log or argument can't be used
    ├── MissingPrice            the price book lacks a row that the cost needs
    ├── UnsupportedByEngine     the engine asked for by name can't run this plan
    └── InternalError           an invariant broke: our fault, please report it

A user's mistake is always one of the first four; it carries one or more `Problem`, each naming the
subject, what was got, what is allowed, the nearest valid name, and the place in the file.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

__all__ = [
    "InternalError",
    "InvalidInput",
    "InvalidModel",
    "MissingPrice",
    "Problem",
    "ProblemsError",
    "ScalesimError",
    "UnsupportedByEngine",
    "nearest",
    "shown",
]


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong.

    Parameters
    ----------
    subject : str
        What it is about: ``service "web": workers``.
    message : str
        What was got and what is allowed, ending without a full stop being required.
    path : tuple of str or int
        Where it stands in the description; a file reader turns it into a place.
    place : str
        ``file:line:column`` when the description came from a file, else empty.
    """

    subject: str
    message: str
    path: tuple[str | int, ...] = ()
    place: str = ""

    def __str__(self) -> str:
        head = f"{self.place}: " if self.place else ""
        subject = f"{self.subject}: " if self.subject else ""
        return f"{head}{subject}{self.message}"

    def under(self, *path: str | int) -> Problem:
        """Return the same problem with its path put below `path`."""
        return replace(self, path=(*path, *self.path))


class ScalesimError(Exception):
    """Base of every error that scalesim raises on purpose."""


class ProblemsError(ScalesimError):
    """An error that carries one or more `Problem`."""

    def __init__(self, problems: Iterable[Problem] | str) -> None:
        if isinstance(problems, str):
            problems = [Problem("", problems)]
        self.problems: Sequence[Problem] = tuple(problems)
        super().__init__(self._text())

    def _text(self) -> str:
        if len(self.problems) == 1:
            return str(self.problems[0])
        lines = "\n".join(f"  {problem}" for problem in self.problems)
        return f"{len(self.problems)} problems:\n{lines}"


class InvalidModel(ProblemsError):
    """A topology, its components or its traffic can't be simulated as described."""


class InvalidInput(ProblemsError):
    """A file, a log line or an argument can't be used."""


class MissingPrice(ProblemsError):
    """The price book has no usable row for something the cost depends on."""


class UnsupportedByEngine(ProblemsError):
    """The engine that was asked for by name can't run this plan; the reasons name components."""


class InternalError(ScalesimError):
    """An invariant of scalesim broke. The numbers of that run must not be used."""


def nearest(name: object, known: Iterable[str]) -> str:
    """Return ``Did you mean "x"? `` for the nearest of `known`, or an empty string."""
    close = difflib.get_close_matches(str(name), list(known), n=1, cutoff=0.6)
    return f'Did you mean "{close[0]}"? ' if close else ""


def shown(value: object, limit: int = 60) -> str:
    """Return `value` as it would be typed, cut to `limit` characters."""
    text = repr(value) if not isinstance(value, str) else f'"{value}"'
    return text if len(text) <= limit else f"{text[: limit - 1]}…"
