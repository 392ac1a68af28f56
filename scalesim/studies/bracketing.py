"""Close in on a rate by yes-or-no questions: widen by steps that grow, then bisect.

The rates asked about lie on a grid that `start` and `step` fix. So a guess, good or bad, can
spare questions but does not move the answer, as long as what misses at one rate misses at all
higher ones.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from functools import partial

__all__ = ["HIGHEST_FACTOR", "HIGHEST_RATE", "LOWEST_RATE", "RATIO", "Monotone", "aim", "search"]

RATIO = 1.01
"""How close the two rates get."""
HIGHEST_FACTOR = 4096.0
"""How far from the start, each way, is looked."""
HIGHEST_RATE = 1e9
"""Traffic has no rate above it."""
LOWEST_RATE = 1e-9
"""One request in 30 years: what is simulated is at least that."""
_AIMS = 4


def search(
    misses: Callable[[float], bool], start: float, step: float
) -> tuple[float | None, float | None]:
    """Return (highest rate found that passes, lowest that misses); None: there is none.

    Parameters
    ----------
    misses : function of float [1/s]
    start : float [1/s]
    step : float [> 1]
        Factor of the first step away from it.

    Examples
    --------
    >>> low, high = search(lambda rate: rate > 300.0, 100.0, 1.5)
    >>> low <= 300.0 < high <= low * RATIO
    True
    """
    if misses(start):
        failing, lowest = start, start / HIGHEST_FACTOR
        while True:
            below = max(failing / step, lowest)
            if not misses(below):
                passing = below
                break
            failing = below
            step *= step
            if failing <= lowest:
                return None, failing
    else:
        passing, highest = start, min(start * HIGHEST_FACTOR, HIGHEST_RATE)
        while True:
            above = min(passing * step, highest)
            if misses(above):
                failing = above
                break
            passing = above
            step = min(step * step, 4.0)
            if passing >= highest:
                return passing, None
    while failing > passing * RATIO:
        middle = math.sqrt(failing * passing)
        if misses(middle):
            failing = middle
        else:
            passing = middle
    return passing, failing


class Monotone:
    """A question that is asked only where the answers so far leave it open.

    Parameters
    ----------
    ask : function of float [1/s]
        Whether a rate misses.
    """

    def __init__(self, ask: Callable[[float], bool]) -> None:
        self.ask = ask
        self.passes, self.misses = 0.0, math.inf

    def __call__(self, rate: float) -> bool:
        """Return whether `rate` misses."""
        if self.passes < rate < self.misses:
            if self.ask(rate):
                self.misses = rate
            else:
                self.passes = rate
        return rate >= self.misses


def aim(misses: Monotone, start: float, step: float, guess: float, wide: float = 1.1) -> None:
    """Ask about the rates of the grid on both sides of a guess, and further off if it was wrong.

    Parameters
    ----------
    misses : Monotone
    start, step : float
        Of the search.
    guess : float [1/s]
    wide : float [> 1]
        By what factor it may well be wrong.
    """
    for _ in range(_AIMS):
        low, high = search(partial(operator.le, guess), start, step)
        if low is None or high is None:
            return
        if misses(low):
            guess = low / wide
        elif not misses(high):
            guess = high * wide
        else:
            return
        wide *= wide
