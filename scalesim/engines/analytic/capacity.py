"""What the model can carry at most: the bottleneck law, before anything is solved.

Denning & Buzen, "The operational analysis of queueing network models" (ACM Computing Surveys 10,
1978): no station serves more than its slots divided by the demand that one request makes of it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np

from scalesim.engines.analytic.model import ROOT, Ask, Facility, Program, Send, Use
from scalesim.engines.analytic.reach import completion, weighted
from scalesim.engines.analytic.solver import Solution, Solver
from scalesim.engines.analytic.stations import MOST_SLOTS

__all__ = ["Offered", "offered_loads"]


class Offered(NamedTuple):
    """What new requests ask of one resource, if nobody waits, gives up or tries again.

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
    """

    component: str
    resource: str
    slots: int
    load: float
    utilization: float
    capacity: float
    limited: bool


def offered_loads(solver: Solver, rate: float) -> list[Offered]:
    """Return what `rate` new requests a second ask of each resource."""
    flows, failed = solver.failing(rate)
    solution = Solution(rate, flows, facilities=solver.facilities)

    def completing(part: Ask | Send) -> float:
        if isinstance(part, Send):
            return 1.0
        return 1 - failed[part.to] * (flows.miss[part.missed] if part.missed else 1.0)

    def held(program: Program) -> float:
        """Return how long a slot is held on average for each request, if nobody waits."""
        here = math.prod(completion(part, completing) for part in program.before)
        total = 0.0
        for part in program.inside:
            total += here * solution.bare_part(part).mean
            here *= completion(part, completing)
        return total

    def work(program: Program, resource: str) -> float:
        parts = (*program.before, *program.inside, *program.after)
        return math.fsum(
            weight * part.law.mean
            for part, weight in weighted(parts, completing)
            if isinstance(part, Use) and part.resource == resource
        )

    def loads(facility: Facility, seconds: Callable[[Program], float]) -> list[float]:
        total = np.zeros(facility.nodes)
        for endpoint, program in facility.programs.items():
            rates = flows.rates_at(facility.component, endpoint, facility.nodes)
            total += rates * seconds(program)
        return [float(each) for each in total]

    rows = []
    for name, facility in solver.facilities.items():
        if name != ROOT:
            for pool in facility.pools:
                rows.append(_pool_row(facility, pool, held, loads, rate))
            for resource in facility.resources:
                used = loads(facility, partial(work, resource=resource))
                speed = _speed(facility, resource)
                total = int(speed * facility.nodes)
                rows.append(_row(name, resource, speed, total, used, rate, False))
    return rows


def _pool_row(
    facility: Facility,
    pool: str,
    held: Callable[[Program], float],
    loads: Callable[[Facility, Callable[[Program], float]], list[float]],
    rate: float,
) -> Offered:
    slots, limit = facility.pools[pool]
    meter = facility.meter
    limited = limit is not None or facility.patience is not None

    def seconds(program: Program) -> float:
        if program.pool != pool:
            return 0.0
        return held(program) if meter is None else 1 / meter.rate

    if meter is not None:
        limited = meter.on_excess == "reject"
    total = slots * facility.nodes_with(pool)
    return _row(facility.component, pool, slots, total, loads(facility, seconds), rate, limited)


def _speed(facility: Facility, resource: str) -> float:
    """Return the most slots that a resource is worth, however many use it."""
    sizes = facility.resources[resource]
    if sizes.slowed:
        return float(sizes.speeds(1.0, min(sizes.slots, MOST_SLOTS)).max())
    return sizes.slots


def _row(
    component: str, resource: str, slots: float, total: int, loads: list[float], rate: float,
    limited: bool,
) -> Offered:  # fmt: skip
    busiest = max(loads)
    capacity = rate * slots / busiest if busiest > 0 else math.inf
    return Offered(component, resource, total, math.fsum(loads), busiest / slots, capacity, limited)
