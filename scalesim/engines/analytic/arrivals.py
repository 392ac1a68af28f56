"""What a balancer's policy makes of the stream that comes to one node."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from scalesim.distributions import Exponential
from scalesim.engines.analytic import times
from scalesim.engines.analytic.flows import Stream
from scalesim.engines.analytic.least_loaded import least_loaded
from scalesim.engines.analytic.occupancy import Occupancy
from scalesim.engines.analytic.pools import Pool, plenty
from scalesim.engines.analytic.stations import Arrivals, Unstable, require_variance
from scalesim.policies.load_balancing import PowerOfTwo, RoundRobin
from scalesim.traffic.processes import Arrivals as Spacing, Batches, Even, Renewal

if TYPE_CHECKING:
    from scalesim.engines.analytic.streams import Coming

__all__ = ["AT_RANDOM", "Balanced", "arrivals_at", "new_arrivals"]

AT_RANDOM = "balanced as if at random"
_DEEP = 400


@dataclass(frozen=True)
class Balanced:
    """How requests come to one node of a facility.

    Parameters
    ----------
    arrivals : Arrivals
    targets : int
        Among how many nodes the balancer looks for the least loaded; 0: it does not look.
    choices : int or None
        How many it looks at; None: all.
    """

    arrivals: Arrivals
    targets: int = 0
    choices: int | None = None

    def chain(self, pool: Pool) -> tuple[Occupancy, frozenset[str]] | None:
        """Return the number at the node, and doubts, if the balancer looks for the least loaded.

        Raises
        ------
        Unstable
        """
        offered = pool.rate * pool.law.mean
        endless = not pool.stations and plenty(pool.size.slots, offered)
        if not self.targets or not pool.rate or endless:
            return None
        require_variance(pool.name, pool.law.scv)
        speed = pool.speed(min(pool.size.slots, max(_DEEP, math.ceil(2 * offered))))
        limit = pool.size.limit
        most = None if limit is None else pool.size.slots + limit
        if speed[-1] <= pool.rate and most is None:
            raise Unstable(pool.name)
        return least_loaded(self.targets, self.choices, pool.rate, speed, offered, most)


def new_arrivals(spacing: Spacing) -> Arrivals:
    """Return how new requests come, of those processes that `support` lets through."""
    if isinstance(spacing, Even):
        return Arrivals(0.0, lambda x: math.exp(-x))
    if isinstance(spacing, Renewal):
        if isinstance(spacing.gap, Exponential):
            return Arrivals()
        gap = times.drawn(spacing.gap)
        return Arrivals(gap.scv, lambda x: gap.laplace(x / gap.mean))
    if isinstance(spacing, Batches) and spacing.size > 1:
        # E[X^2]/E[X] is the size if it is fixed, twice the mean less 1 if geometric.
        beside = spacing.size - 1 if spacing.law == "fixed" else 2 * (spacing.size - 1)
        return Arrivals(1 + beside, beside=beside)
    return Arrivals()


def arrivals_at(new: Arrivals, front: bool, coming: Coming, node: int) -> Balanced:
    """Return how requests come to a station.

    Parameters
    ----------
    new : Arrivals
        How new requests come.
    front : bool
        Whether all of them come to the station's component, through balancers only.
    coming : Coming
        What else is known of the stream.
    node : int
        Which of the component's.
    """
    before = Arrivals(doubts=coming.doubts)
    if coming.straight and front and not new.poisson:
        before = new
    return _through(Stream(choice=coming.choice), before, node)


def _through(stream: Stream, before: Arrivals, node: int) -> Balanced:
    choice = stream.choice
    if choice is None or choice.targets == 1:
        return Balanced(before)
    if isinstance(choice.policy, RoundRobin):
        if choice.even:
            return Balanced(before.every(choice.targets))
        share = float(choice.shares[node]) * choice.part
        return Balanced(before.every(1 / share).doubted("weighted round robin as if Erlang"))
    if choice.reacts:  # over targets that are alike; `targets` refuses others
        drawn = choice.policy.choices if isinstance(choice.policy, PowerOfTwo) else None
        return Balanced(before.as_poisson(), choice.targets, drawn)
    return Balanced(before.as_poisson())
