"""One node's resources: who uses them and how often, and the stations that they are."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from scalesim.distributions import Distribution, Exponential
from scalesim.engines.analytic import times
from scalesim.engines.analytic.arrivals import AT_RANDOM, Balanced, arrivals_at
from scalesim.engines.analytic.model import Ask, Facility, Part, Program, Send, Use
from scalesim.engines.analytic.part_replies import completing
from scalesim.engines.analytic.priorities import ORDERS, Class
from scalesim.engines.analytic.reach import completion, weighted
from scalesim.engines.analytic.replies import Reply
from scalesim.engines.analytic.stations import (
    IN_BURSTS,
    MOST_SLOTS,
    NO_DOUBT,
    Arrivals,
    PoolAnswer,
    Station,
    StationAnswer,
    Unstable,
    open_station,
    taken_for,
)

if TYPE_CHECKING:
    from scalesim.engines.analytic.solver import Solution, Solver

__all__ = ["BESIDE", "NodeAnswer", "Uses"]

BESIDE = "pools beside each other"


@dataclass(eq=False)
class NodeAnswer:
    """What a group of equal nodes does.

    Parameters
    ----------
    members : list of int
        Their numbers.
    rates : dict of endpoint to float [1/s]
        At one of them.
    pools, resources : dict of name to PoolAnswer, StationAnswer
    replies : dict of endpoint to Reply
    leaving : dict of pool or resource to frozenset of str or None
        What streams are taken for behind it; None: nobody waits there.
    reached : dict of part to float
        How often an ask or send is made, for each request at its place.
    demands : dict of resource to (float, float) [1/s, ratio]
        Uses a second, and seconds of work a second.
    """

    members: list[int]
    rates: dict[str, float]
    pools: dict[str, PoolAnswer] = field(default_factory=dict)
    resources: dict[str, StationAnswer] = field(default_factory=dict)
    replies: dict[str, Reply] = field(default_factory=dict)
    leaving: dict[str, frozenset[str] | None] = field(default_factory=dict)
    reached: dict[Ask | Send, float] = field(default_factory=dict)
    demands: dict[str, tuple[float, float]] = field(default_factory=dict)


class Uses:
    """What a node's programs ask of its resources, at given rates."""

    def __init__(
        self, solver: Solver, facility: Facility, solution: Solution, members: list[int]
    ) -> None:
        self.solver, self.facility, self.solution = solver, facility, solution
        self.members = members
        rates = {
            name: float(
                solution.flows.rates_at(facility.component, name, facility.nodes)[members[0]]
            )
            for name in facility.programs
        }
        if facility.component == "client":
            rates = {name: solution.flows.rate["client", name] for name in facility.programs}
        self.answer = NodeAnswer(members, rates)
        self.stations: dict[str, Station] = {}

    def stages(self, program: Program) -> Iterable[tuple[str, tuple[Part, ...], float]]:
        """Yield (where, parts, how often they are begun) of what a program does, in order."""
        ask = completing(self.solution)
        here = 1.0
        for where, parts in (("before", program.before), (program.pool, program.inside),
                             ("after", program.after)):  # fmt: skip
            if where == program.pool and where in self.answer.pools:
                here *= self.answer.pools[where].admitted
            yield where, parts, here
            here *= math.prod(completion(part, ask) for part in parts)

    def uses(self, resource: str) -> Iterable[tuple[str, Use, str, float]]:
        """Yield (endpoint, use, where, how often) of a resource.

        Where: the pool that is held, ``before`` it or ``after``, or ``beside``: in a branch.
        """
        ask = completing(self.solution)
        for name, program in self.facility.programs.items():
            for where, parts, here in self.stages(program):
                own = {id(part) for part in parts}
                for part, weight in weighted(parts, ask, here):
                    if isinstance(part, Use) and part.resource == resource:
                        yield name, part, where if id(part) in own else "beside", weight

    def make_stations(self) -> dict[str, list[str]]:
        """Make stations of the resources; return their names by where they are used.

        ``beside``: in branches, or in several pools.
        """
        placed: dict[str, list[str]] = {}
        for name, resource in self.facility.resources.items():
            uses = list(self.uses(name))
            if resource.alone or not uses:
                continue
            shares = [(self.answer.rates[e] * w, times.drawn(u.law)) for e, u, _, w in uses]
            if not any(weight for weight, _ in shares):
                shares = [(1.0, time) for _, time in shares]
            law = times.mixed(shares)
            alike = {u.law for e, u, _, w in uses if self.answer.rates[e] * w or len(uses) == 1}
            plain = resource.shared or (
                len(alike) == 1 and all(isinstance(each, Exponential) for each in alike)
            )
            classes = self._classes(uses) if resource.order in ORDERS else {}
            plain = plain and len(classes) <= 1 and resource.failures is None
            bursts = IN_BURSTS if resource.failures is not None else taken_for(law.scv)
            self.answer.leaving[name] = NO_DOUBT if plain else bursts
            self.stations[name] = Station(
                name,
                resource.slots,
                resource.shared,
                partial(resource.speeds, law.mean),
                law.mean,
                law.scv,
                plain,
                MOST_SLOTS if resource.slowed else min(resource.slots, 100_000),
                resource.order,
                classes,
                resource.failures,
            )
            used = [each for each in uses if self.answer.rates[each[0]] * each[3] > 0]
            places = {where for _, _, where, _ in used or uses}
            placed.setdefault(places.pop() if len(places) == 1 else "beside", []).append(name)
        return placed

    def _classes(self, uses: list[tuple[str, Use, str, float]]) -> dict[int, Class]:
        """Return what comes to a station, by urgency."""
        found: dict[int, list[tuple[float, Distribution]]] = {}
        for endpoint, use, _, weight in uses:
            rate = self.answer.rates[endpoint] * weight
            if rate > 0:
                urgency = self.facility.programs[endpoint].urgency
                found.setdefault(urgency, []).append((rate, use.law))
        classes = {}
        for urgency, shares in found.items():
            law = times.mixed([(rate, times.drawn(each)) for rate, each in shares])
            alike = len({each for _, each in shares}) == 1
            exponential = alike and isinstance(shares[0][1], Exponential)
            rate = math.fsum(rate for rate, _ in shares)
            classes[urgency] = Class(rate, law.mean, law.scv, exponential)
        return classes

    def use_rate(self, resource: str) -> float:
        """Return how often a resource is used [1/s]."""
        return math.fsum(self.answer.rates[e] * weight for e, _, _, weight in self.uses(resource))

    def balanced(self, station: str) -> Balanced:
        """Return how requests come to a pool or resource of the node."""
        name = self.facility.component
        side = self.solver.sides[name][self.members[0]]
        coming = self.solution.streams.at((name, side, station))
        front = name in self.solver.fronts
        return arrivals_at(self.solver.arrivals, front, coming, self.members[0])

    def arrivals_of(self, station: str) -> Arrivals:
        """Return how requests come to a resource, or to a callee inside a pool's network."""
        if station not in self.facility.resources:
            return Arrivals()
        balanced = self.balanced(station)
        arrivals = balanced.arrivals.doubted(AT_RANDOM) if balanced.targets else balanced.arrivals
        everyone = math.fsum(self.answer.rates.values())
        whole = math.isclose(self.use_rate(station), everyone, rel_tol=1e-9)
        return arrivals if arrivals.poisson or whole else arrivals.as_poisson()

    def _solve_outside(self, names: list[str]) -> None:
        """Solve stations before or after the pools."""
        for name in names:
            self._solve_alone(name, self.arrivals_of(name))

    def _solve_beside(self, names: list[str]) -> None:
        """Solve stations in branches or in several pools, as if nobody were turned away."""
        for name in names:
            places = {where for _, _, where, _ in self.uses(name)}
            beside = "branches as if independent" if places == {"beside"} else BESIDE
            sizes = self.facility.pools.values()
            limited = {BESIDE} if any(size.limit is not None for size in sizes) else set()
            self._solve_alone(name, self.arrivals_of(name).doubted(beside, *limited))

    def _solve_alone(self, name: str, arrivals: Arrivals) -> None:
        rate = self.use_rate(name)
        if rate == 0:
            return
        answer = open_station(self.stations[name], rate, arrivals)
        if answer is None:
            raise Unstable(name)
        self.answer.resources[name] = answer
