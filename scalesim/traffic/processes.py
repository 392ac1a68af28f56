"""Arrival processes: how the arrivals of open traffic are spaced, whatever their rate.

Each says the shape alone; the rate is the traffic's, so that growth makes every one of them denser.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from scalesim.distributions import Distribution, times
from scalesim.distributions.base import AsDistribution
from scalesim.errors import Problem
from scalesim.fields import (
    AsTuple,
    Description,
    Family,
    Given,
    ListOf,
    Name,
    Number,
    Values,
    described,
    param,
)

__all__ = ["ARRIVALS", "Arrivals", "Batches", "Bursts", "Even", "Poisson", "Renewal"]

ARRIVALS = Family("arrival process")


class Arrivals(Description):
    """Base of arrival processes."""


@ARRIVALS.add("poisson")
@described
class Poisson(Arrivals):
    """Random and independent: many users who know nothing of each other."""


@ARRIVALS.add("constant")
@described
class Even(Arrivals):
    """Evenly spaced, the first after one gap: a timer, a load generator."""


@ARRIVALS.add("renewal")
@described
class Renewal(Arrivals):
    """Independent gaps of any distribution.

    Parameters
    ----------
    gap : Distribution or float [s]
        Only its shape counts: gaps are stretched so that the mean rate is the traffic's.
    """

    primary = "gap"
    gap: AsDistribution = param(times(), "distribution of the gaps, up to scale", kw_only=False)

    def check_together(self) -> Iterator[Problem]:
        sound = isinstance(self.gap, Distribution) and not list(self.gap.check())
        if sound and not self.gap.mean > 0:
            yield Problem("", "the mean gap is 0; requests would come all at once", ("gap",))


@ARRIVALS.add("batches")
@described
class Batches(Arrivals):
    """Batches arrive at random moments, the requests of one at the same instant.

    The rate of batches is the traffic's divided by the mean size.

    Parameters
    ----------
    size : float [requests, >= 1]
        Mean size of a batch; whole if the size is fixed.
    law : {"fixed", "geometric"}
        Every batch the same, or each further request with probability 1 - 1 / size.
    """

    primary = "size"
    size: float = param(Number(at_least=1, at_most=1e6), "mean requests in a batch", kw_only=False)
    law: str = param(Name(choices=("fixed", "geometric")), "law of the size", default="fixed")

    def check_together(self) -> Iterator[Problem]:
        if isinstance(self.size, (int, float)) and self.law == "fixed" and self.size % 1:
            yield Problem("", f"got {self.size:g}; a fixed size is a whole number", ("size",))


@ARRIVALS.add("bursts")
@described
class Bursts(Arrivals):
    """A Markov-modulated Poisson process: the rate jumps between states at random moments.

    Fischer & Meier-Hellstern, "The Markov-modulated Poisson process cookbook", Performance
    Evaluation 18 (1993). More traffic means higher rates in every state, not longer bursts.

    Parameters
    ----------
    rates : sequence of float [>= 0, not all 0]
        Rate in each state; only their proportions count, the mean rate is the traffic's.
    switch_rates : sequence of sequence of float [1/s, >= 0]
        Row i, column j: rate of jumps from state i to state j; the diagonal is 0.
    """

    rates: AsTuple[float] = param(ListOf(Number(at_least=0)), "relative rate in each state")
    switch_rates: Given[tuple[tuple[float, ...], ...], Values[Values[float]]] = param(
        ListOf(ListOf(Number("1/s", at_least=0))), "rates of jumps from state to state"
    )

    def check_together(self) -> Iterator[Problem]:
        rates, switch = self.rates, self.switch_rates
        if not isinstance(rates, tuple) or not isinstance(switch, tuple):
            return
        n = len(rates)
        if not any(isinstance(rate, (int, float)) and rate > 0 for rate in rates):
            yield Problem("", "all rates are zero", ("rates",))
        if len(switch) != n or any(not isinstance(row, tuple) or len(row) != n for row in switch):
            message = f"must have one row and one column for each of the {n} rates"
            yield Problem("", message, ("switch_rates",))
        elif any(row[i] for i, row in enumerate(switch)):
            message = "the diagonal must be 0: no state is left for itself"
            yield Problem("", message, ("switch_rates",))
        elif n > 1 and not _irreducible(switch):
            message = "some state is never left, or never reached from another"
            yield Problem("", message, ("switch_rates",))

    def shares(self) -> list[float]:
        """Return the share of time in each state."""
        import numpy as np

        n = len(self.rates)
        generator = np.asarray(self.switch_rates, float)
        generator -= np.diag(generator.sum(axis=1))
        equations = np.vstack([generator.T, np.ones(n)])
        solution, *_ = np.linalg.lstsq(equations, np.append(np.zeros(n), 1.0), rcond=None)
        return [float(share) for share in solution]

    @property
    def mean_rate(self) -> float:
        """Mean of `rates` over time."""
        return math.fsum(p * r for p, r in zip(self.shares(), self.rates, strict=True))


def _irreducible(switch: tuple[tuple[float, ...], ...]) -> bool:
    """Whether every state is reached from every other."""
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import connected_components

    jumps = csr_array([[float(bool(rate)) for rate in row] for row in switch])
    return bool(connected_components(jumps, connection="strong", return_labels=False) == 1)
