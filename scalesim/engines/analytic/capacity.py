"""What the model can carry at most: the bottleneck law, before anything is solved.

Denning & Buzen, "The operational analysis of queueing network models" (ACM Computing Surveys 10,
1978): no station serves more than its slots divided by the demand that one request makes of it.

The demand is that of the idle model: waiting only adds to the time for which slots are held. So no
more requests can be served without losing more of them than at a vanishing rate, where a line would
not grow without end. It is a bound unless the demand itself is an approximation, as the hit ratio
of a cache may be, or the shares of a balancer that adapts.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np

from scalesim.components import Cache
from scalesim.engines.analytic.idle import Idle
from scalesim.engines.analytic.model import ROOT, Facility, Program, Use
from scalesim.engines.analytic.occupancy import root
from scalesim.engines.analytic.part_replies import completing
from scalesim.engines.analytic.reach import weighted
from scalesim.engines.analytic.solver import Solver
from scalesim.engines.analytic.stations import MOST_SLOTS, NO_DOUBT

__all__ = ["Offered", "offered_loads"]

_ENDLESS = 1e9
"""What is not full at so many times the rate expected never is."""
_CLOSE = 1e-10
_FURTHER = 8.0


class Offered(NamedTuple):
    """What new requests ask of one resource, if nobody waits.

    Parameters
    ----------
    component, resource : str
    slots : int
        Of all nodes.
    load : float [erlang]
        Mean number of slots asked for, all nodes together.
    utilization : float [ratio]
        Of the busiest node; may exceed 1.
    capacity : float [requests/s]
        New requests a second at which the busiest node is always busy: an upper bound.
    limited : bool
        Whether it turns requests away instead of letting them queue without end.
    doubts : frozenset of str
        Approximations on which these rest; none: the capacity is a bound.
    """

    component: str
    resource: str
    slots: int
    load: float
    utilization: float
    capacity: float
    limited: bool
    doubts: frozenset[str]


def offered_loads(solver: Solver, rate: float) -> list[Offered]:
    """Return what `rate` new requests a second ask of each resource."""
    known = {rate: _Loads(solver, rate)}

    def at(other: float) -> _Loads:
        if other not in known:
            known[other] = _Loads(solver, other)
        return known[other]

    rows = []
    changing = _changing(solver)
    for (name, resource), loads in known[rate].seconds.items():
        facility = solver.facilities[name]
        pool = facility.pools.get(resource)
        slots: float = pool.slots if pool is not None else _speed(facility, resource)
        busiest = max(loads)
        capacity = rate * slots / busiest if busiest > 0 else math.inf
        # Most loads go with the rate all the same.
        straight = not changing or busiest == 0 or math.isclose(
            max(at(_FURTHER * rate).seconds[name, resource]), _FURTHER * busiest, rel_tol=1e-12
        )  # fmt: skip
        if not straight:

            def load(other: float, key: tuple[str, str] = (name, resource)) -> float:
                return max(at(other).seconds[key])

            capacity = _filled(load, slots, capacity)
        meter = facility.meter
        limited = pool is not None and (pool.limit is not None or facility.patience is not None)
        rows.append(
            Offered(
                name,
                resource,
                int(slots * facility.nodes_with(resource)),
                math.fsum(loads),
                busiest / slots,
                capacity,
                limited if meter is None else meter.on_excess == "reject",
                known[rate].doubts[name, resource],
            )
        )
    return rows


def _changing(solver: Solver) -> bool:
    """Return whether what a request asks for depends on the rate: entries expire before it."""
    return any(
        isinstance(part, Cache)
        and part.origin is not None
        and part.hit_ratio is None
        and math.isfinite(min(part.ttl, part.time_to_idle))
        for part in solver.topology.components.values()
    )


def _filled(load: Callable[[float], float], slots: float, guess: float) -> float:
    """Return the rate at which a load, which rises with it, fills the slots; inf: at none."""
    high = guess
    while load(high) < slots * (1 - 1e-9):
        high *= 4
        if high > _ENDLESS * guess:
            return math.inf
    low = guess
    while load(low) > slots:
        low /= 4
    return root(lambda rate: load(rate) - slots, low, high, _CLOSE)


class _Loads:
    """What new requests at a rate ask of each resource, at each of its nodes.

    Parameters
    ----------
    solver : Solver
    rate : float [requests/s]
    """

    def __init__(self, solver: Solver, rate: float) -> None:
        self.idle = Idle(solver, rate)
        self.seconds: dict[tuple[str, str], list[float]] = {}
        """Seconds of each second, for each node."""
        self.doubts: dict[tuple[str, str], frozenset[str]] = {}
        rates = self.idle.doubts()
        for name, facility in solver.facilities.items():
            if name == ROOT:
                continue
            own = rates.get(name, NO_DOUBT)
            for pool in facility.pools:
                self._put(facility, pool, partial(self._held, facility, pool))
                self.doubts[name, pool] = own.union(
                    *(self.idle.reply(program.inside).doubts
                      for program in facility.programs.values() if program.pool == pool)
                )  # fmt: skip
            for resource in facility.resources:
                self._put(facility, resource, partial(self._work, resource))
                replies = (self.idle.solution.replies[name, each] for each in facility.programs)
                failing = (reply.doubts for reply in replies if reply.completed < 1 - 1e-12)
                self.doubts[name, resource] = own.union(*failing)

    def _put(self, facility: Facility, resource: str, seconds: Callable[[Program], float]) -> None:
        flows, name = self.idle.solution.flows, facility.component
        total = np.zeros(facility.nodes)
        for endpoint, program in facility.programs.items():
            total += flows.rates_at(name, endpoint, facility.nodes) * seconds(program)
        self.seconds[name, resource] = total.tolist()

    def _held(self, facility: Facility, pool: str, program: Program) -> float:
        """Return how long a slot is held on average for each request, if nobody waits."""
        if program.pool != pool:
            return 0.0
        if facility.meter is not None:
            return 1 / facility.meter.rate
        return self.idle.begun(program) * self.idle.reply(program.inside).spent

    def _work(self, resource: str, program: Program) -> float:
        parts = (*program.before, *program.inside, *program.after)
        return math.fsum(
            weight * part.law.mean
            for part, weight in weighted(parts, completing(self.idle.solution))
            if isinstance(part, Use) and part.resource == resource
        )


def _speed(facility: Facility, resource: str) -> float:
    """Return the most slots that a resource is worth, however many use it."""
    sizes = facility.resources[resource]
    if sizes.slowed:
        return float(sizes.speeds(1.0, min(sizes.slots, MOST_SLOTS)).max())
    return sizes.slots
