"""What a balancer's policy makes of the stream that comes to one node."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from scalesim.distributions import Exponential
from scalesim.engines.analytic import times
from scalesim.engines.analytic.balancing import mean_field, pooled_and_mean_field, shortest_of
from scalesim.engines.analytic.flows import Stream
from scalesim.engines.analytic.occupancy import Occupancy, birth_death
from scalesim.engines.analytic.pools import Pool, plenty
from scalesim.engines.analytic.stations import NO_DOUBT, Arrivals, Unstable
from scalesim.policies.load_balancing import (
    IpHash,
    LeastConnections,
    PowerOfTwo,
    Random,
    RoundRobin,
)
from scalesim.traffic.processes import Arrivals as Spacing, Batches, Even, Renewal

if TYPE_CHECKING:
    from scalesim.engines.analytic.streams import Coming

__all__ = ["Balanced", "arrivals_at", "keeps_poisson", "new_arrivals"]

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
        speed = pool.speed(min(pool.size.slots, max(_DEEP, math.ceil(2 * offered))))
        top, limit = len(speed) - 1, pool.size.limit
        most = None if limit is None else pool.size.slots + limit

        def at(n: int) -> float:
            return float(speed[min(n - 1, top)])

        if speed[-1] <= pool.rate and most is None:
            raise Unstable(pool.name)
        total = pool.rate * self.targets
        chain = shortest_of(self.targets, self.choices, total, at, most)
        if chain is not None:
            return chain, NO_DOUBT
        if most is not None:
            chain = mean_field(self.choices or self.targets, pool.rate, at, most)
            return chain, frozenset({"mean field"})
        return self._between(pool, speed, total), frozenset({"mean field"})

    def _between(self, pool: Pool, speed: np.ndarray, total: float) -> Occupancy:
        """Return a mixture of the mean-field and the random chain with the wanted mean."""
        top = len(speed)
        field = mean_field(
            self.choices or self.targets,
            pool.rate,
            lambda n: float(speed[min(n, top) - 1]),
        )
        random = birth_death(pool.rate, speed, None)
        k = np.arange(1, top * self.targets + 1) / self.targets
        common = self.targets * np.interp(k, np.arange(top + 1), np.concatenate([[0.0], speed]))
        pooled = birth_death(total, common, None).mean / self.targets
        base = pool.rate * pool.law.mean
        extra = pooled_and_mean_field(max(pooled - base, 0.0), max(field.mean - base, 0.0))
        wanted = min(base + extra, random.mean)
        span = random.mean - field.mean
        weight = min(max((wanted - field.mean) / span, 0.0), 1.0) if span > 0 else 0.0
        count = max(len(field.probability), len(random.probability) + 400)
        mixture = np.zeros(count)
        mixture[: len(field.probability)] += (1 - weight) * field.probability
        at_random = np.zeros(count)
        at_random[: len(random.probability)] = random.probability
        tail = np.arange(1, count - len(random.probability) + 1)
        at_random[len(random.probability) :] = random.probability[-1] * random.ratio**tail
        mixture += weight * at_random
        return Occupancy(mixture / mixture.sum())


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


def arrivals_at(new: Arrivals, front: bool, coming: Coming) -> Balanced:
    """Return how requests come to a station.

    Parameters
    ----------
    new : Arrivals
        How new requests come.
    front : bool
        Whether all of them come to the station's component, through balancers only.
    coming : Coming
        What else is known of the stream.
    """
    before = Arrivals(doubts=coming.doubts)
    if coming.straight and front and not new.poisson:
        before = new
    return Balanced(before) if coming.choice is None else _through(
        Stream(choice=coming.choice), before
    )  # fmt: skip


def keeps_poisson(stream: Stream) -> bool:
    """Return whether a Poisson stream reaches each node as one."""
    choice = stream.choice
    return choice is None or choice.targets == 1 or isinstance(choice.policy, (Random, IpHash))


def _through(stream: Stream, before: Arrivals) -> Balanced:
    choice = stream.choice
    if choice is None or choice.targets == 1:
        return Balanced(before)
    equal = bool(np.ptp(choice.shares[choice.shares > 0]) < 1e-9)
    if isinstance(choice.policy, RoundRobin):
        if equal:
            return Balanced(before.every(choice.targets))
        share = float(np.mean(choice.shares[choice.shares > 0]))
        return Balanced(before.every(1 / share).doubted("weighted round robin as if Erlang"))
    if isinstance(choice.policy, (LeastConnections, PowerOfTwo)) and equal:
        drawn = choice.policy.choices if isinstance(choice.policy, PowerOfTwo) else None
        return Balanced(before.as_poisson(), choice.targets, drawn)
    if isinstance(choice.policy, (Random, IpHash)):
        return Balanced(before.as_poisson())
    return Balanced(before.as_poisson().doubted("balanced as if at random"))
