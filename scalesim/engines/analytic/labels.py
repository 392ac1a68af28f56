"""One figure and its label: exact, approximate, or a bound."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["Figure", "labelled"]


class Figure(NamedTuple):
    """One number and how far it can be trusted.

    Parameters
    ----------
    value : float
    kind : {"exact", "approximate", "bound"}
    method : str
        The theorem, the approximations, or the law that it follows from.
    """

    value: float
    kind: str
    method: str

    def __str__(self) -> str:
        label = self.kind if self.kind == "exact" else f"{self.kind}: {self.method}"
        return f"{self.value:,.6g} ({label})"


def labelled(value: float, doubts: frozenset[str], theorem: str) -> Figure:
    """Return a figure that is exact if it rests on no approximation."""
    if doubts:
        return Figure(value, "approximate", ", ".join(sorted(doubts)))
    return Figure(value, "exact", theorem)
