"""What the model can carry at most: the bottleneck law, before anything is solved.

Denning & Buzen, "The operational analysis of queueing network models" (ACM Computing Surveys 10,
1978): no station serves more than its slots divided by the demand that one request makes of it.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from scalesim.engines.analytic.flows import Flows
from scalesim.engines.analytic.model import ROOT, Ask, Facility, Send, Use
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

    rows = []
    for name, facility in solver.facilities.items():
        if name == ROOT:
            continue
        for pool, size in facility.pools.items():
            loads = [0.0] * facility.nodes
            for endpoint, program in facility.programs.items():
                if program.pool != pool:
                    continue
                here = math.prod(completion(part, completing) for part in program.before)
                held = 0.0
                for part in program.inside:
                    held += here * solution.bare_part(part).mean
                    here *= completion(part, completing)
                if facility.meter is not None:
                    held = 1 / facility.meter.rate
                for node, rate_here in enumerate(_rates(solution.flows, facility, endpoint)):
                    loads[node] += rate_here * held
            limited = size.limit is not None or facility.patience is not None
            if facility.meter is not None:
                limited = facility.meter.on_excess == "reject"
            rows.append(_row(name, pool, size.slots, loads, rate, limited))
        for resource, sizes in facility.resources.items():
            loads = [0.0] * facility.nodes
            for endpoint, program in facility.programs.items():
                parts = (*program.before, *program.inside, *program.after)
                work = math.fsum(
                    weight * part.law.mean
                    for part, weight in weighted(parts, completing)
                    if isinstance(part, Use) and part.resource == resource
                )
                for node, rate_here in enumerate(_rates(solution.flows, facility, endpoint)):
                    loads[node] += rate_here * work
            slots: float = sizes.slots
            if sizes.contention or sizes.coherency:
                slots = float(sizes.speeds(1.0, min(sizes.slots, MOST_SLOTS)).max())
            rows.append(_row(name, resource, slots, loads, rate, False))
    return rows


def _rates(flows: Flows, facility: Facility, endpoint: str) -> list[float]:
    rates = flows.rates_at(facility.component, endpoint, facility.nodes)
    return [float(each) for each in rates]


def _row(
    component: str, resource: str, slots: float, loads: list[float], rate: float, limited: bool
) -> Offered:
    busiest = max(loads)
    capacity = rate * slots / busiest if busiest > 0 else math.inf
    total = int(slots * len(loads))
    return Offered(component, resource, total, math.fsum(loads), busiest / slots, capacity, limited)
