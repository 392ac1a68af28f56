"""Lines with rules of their own: priorities, patience, failing cores, and limits on a rate."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from scalesim.components import RateLimiter
from scalesim.distributions import Exponential
from scalesim.engines.analytic import times
from scalesim.engines.analytic.impatience import bucket_loss, impatient
from scalesim.engines.analytic.model import Facility
from scalesim.engines.analytic.occupancy import Occupancy, birth_death
from scalesim.engines.analytic.priorities import line_waits
from scalesim.engines.analytic.server_waits import one_server
from scalesim.engines.analytic.single_station import m_g_1_wait
from scalesim.engines.analytic.stations import (
    Arrivals,
    PoolAnswer,
    StationAnswer,
    Unstable,
    failing_response,
)
from scalesim.engines.analytic.survival import survival_of
from scalesim.engines.analytic.times import NOTHING, Time
from scalesim.errors import Problem, UnsupportedByEngine

if TYPE_CHECKING:
    from scalesim.engines.analytic.pools import Pool

__all__ = ["failing", "in_order", "metered", "with_patience"]

_ALONE = "priorities as at one server"


def in_order(facility: Facility, pool: Pool, answer: PoolAnswer) -> PoolAnswer:
    """Return a pool's answer where the line is not first come first served."""
    if not answer.wait.mean:
        return answer
    if facility.line == "lcfs":  # the mean does not depend on the order, the law does
        wait = answer.wait
        return replace(answer, wait=times.fitted(wait.mean, 2 * wait.variance), plain=False)
    loads: dict[int, float] = {}
    rates: dict[int, float] = {}
    full = pool.rate / float(pool.speed(pool.size.slots)[-1])  # load of the whole
    busy = math.fsum(load.rate * answer.holds[load.endpoint].mean for load in pool.loads)
    for load in pool.loads:
        urgency = facility.programs[load.endpoint].urgency
        share = load.rate * answer.holds[load.endpoint].mean / busy
        loads[urgency] = loads.get(urgency, 0.0) + share * full
        rates[urgency] = rates.get(urgency, 0.0) + load.rate
    loads = {urgency: load for urgency, load in loads.items() if load > 0}
    if len(loads) <= 1:
        return answer
    doubts = answer.wait_doubts
    single = pool.size.slots == 1 and not pool.stations
    if not (single and answer.theorem in ("M/M/c", "M/G/1")) and answer.theorem != "M/M/c":
        doubts |= {_ALONE}
    waits = line_waits(answer.wait.mean, loads)
    laws = {k: times.fitted(wait, _spread(wait, answer)) for k, wait in waits.items()}
    total = math.fsum(rates.values())
    whole = times.mixed([(rates[k] / total, law) for k, law in laws.items()])
    return replace(
        answer, wait=times.fitted(whole.mean, whole.variance), waits=laws, wait_doubts=doubts,
        depth=pool.rate * whole.mean, theorem="Cobham", plain=False,
    )  # fmt: skip


def _spread(wait: float, answer: PoolAnswer) -> float:
    """Return the variance of a wait that is zero or exponential."""
    blocked = answer.wait_probability
    return wait * wait * (2 - blocked) / blocked if blocked > 0 else 0.0


def with_patience(facility: Facility, pool: Pool, arrivals: Arrivals) -> PoolAnswer:
    """Return a pool's answer where those who wait too long leave: M/M/c+G, Erlang's A."""
    patience = facility.patience
    assert patience is not None
    doubts = arrivals.as_poisson().doubts | pool.doubts
    slots, service = pool.size.slots, pool.delay
    survival = survival_of(patience)
    if not pool.exponential:
        doubts |= {"M/M/c+G with this mean"}
    if pool.stations or survival is None:
        return _by_states(pool, patience.mean, isinstance(patience, Exponential), doubts)

    def stays(t: np.ndarray) -> np.ndarray:
        late: np.ndarray = survival(t) if patience.mean else np.zeros_like(t)
        return late

    found = impatient(slots, pool.rate, service, stays)
    holds = {load.endpoint: load.delay for load in pool.loads}
    mean = found.served_wait
    square = 2 * float(np.dot(found.late, found.at)) * float(found.at[1])
    law = Time(
        mean, max(square - mean * mean, 0.0),
        lambda grid: grid.masses(lambda t: np.interp(t, found.at, found.late, right=0.0)),
    ) if mean else NOTHING  # fmt: skip
    served = 1 - found.abandoned
    return PoolAnswer(
        law, holds, 0.0, pool.rate * served * service, found.depth, found.wait_probability,
        wait_doubts=doubts, hold_doubts=pool.doubts, theorem="M/M/c+G", abandoned=found.abandoned,
        left_after=times.fitted(found.left_after, found.left_after**2),
    )  # fmt: skip


def _by_states(pool: Pool, patience: float, exact: bool, doubts: frozenset[str]) -> PoolAnswer:
    """Return the answer by the number at the pool, each of those who wait leaving at one rate."""
    if not exact:
        doubts |= {"patience as if exponential"}
    if not pool.exponential:
        doubts |= {"flow-equivalent"}
    slots = pool.size.slots
    inside = pool.speed(slots)
    leaving = 1 / max(patience, 1e-12)
    count = slots + 64
    while True:
        n = np.arange(1, count + 1)
        waiting = np.maximum(n - slots, 0)
        chain = birth_death(pool.rate, inside[np.minimum(n, slots) - 1] + waiting * leaving, count)
        if chain.probability[-1] < 1e-12:
            break
        count *= 2
    depth = chain.excess(slots)
    left = depth * leaving / pool.rate
    answer = pool.settled(chain, pool.rate * (1 - left), doubts, limited=False)
    # Of the mean wait of all, those who leave have a part that is not told apart here.
    mean = depth / pool.rate
    return replace(
        answer, wait=times.fitted(mean, mean * mean), depth=depth, abandoned=left,
        wait_probability=chain.at_least(slots), left_after=times.fitted(mean, mean * mean),
        wait_doubts=answer.wait_doubts | {"waits of all"}, theorem="M/M(n)/c+M", plain=False,
    )  # fmt: skip


def failing(pool: Pool, arrivals: Arrivals) -> PoolAnswer | None:
    """Return the answer of one slot on one core that fails; None if no core does.

    Raises
    ------
    UnsupportedByEngine
        Slots may run out of which there is not just one, or more happens while it is held.
    Unstable
    """
    cores = [each for each in pool.stations if each.failures is not None]
    if not cores or not pool.rate:
        return None
    (core,) = cores
    alone = pool.size.slots == 1 and pool.size.limit is None and len(pool.stations) == 1
    alone = alone and pool.visits[core.name] == 1 and not pool.delay
    if not alone or any(load.again for load in pool.loads):
        message = "failures are covered where workers never run out, or where one only computes"
        raise UnsupportedByEngine(
            [Problem(f"{pool.name}: failures", f'{message}; use engine="compiled"')]
        )
    response = failing_response(core, pool.rate)
    if math.isinf(response):
        raise Unstable(pool.name)
    failures = core.failures
    assert failures is not None
    up, repair = failures.time_to_failure.mean, failures.repair_time
    held = core.demand * (1 + repair.mean / up)
    if failures.when == "always" and repair.mean:
        # Failures while nobody is there; who comes before their end holds the slot until then.
        idle = 1 / (up + repair.mean) - pool.rate * core.demand / up
        before = (1 - times.drawn(repair).laplace(pool.rate)) / pool.rate
        held += idle * (repair.mean - before) / pool.rate
    longer = held / core.demand
    holds = {
        load.endpoint: times.fitted(mean := load.work[core.name][1] * longer, mean * mean)
        for load in pool.loads
    }
    wait, busy = response - held, pool.rate * held
    doubts = arrivals.as_poisson().doubts | pool.doubts
    # Nobody but the one request is there; while the core is down it waits for the core.
    there = StationAnswer(Occupancy(np.array([1 - busy, busy])), held, pool.rate, doubts)
    return PoolAnswer(
        times.fitted(wait, wait * wait * (2 / busy - 1)), holds, 0.0, busy, pool.rate * wait, busy,
        {core.name: there}, wait_doubts=doubts, hold_doubts=doubts, theorem="M/G/1 with failures",
    )  # fmt: skip


def metered(
    meter: RateLimiter, endpoints: list[str], rate: float, arrivals: Arrivals
) -> PoolAnswer:
    """Return what a token bucket does to Poisson requests at `rate`: M/D/1, with or without bound.

    Raises
    ------
    Unstable
        Those it delays come faster than it lets them pass.
    """
    holds = dict.fromkeys(endpoints, NOTHING)
    doubts = arrivals.as_poisson().doubts
    load = rate / meter.rate
    if not rate:
        return PoolAnswer(NOTHING, holds, 0.0, 0.0, 0.0, 0.0, theorem="no requests")
    if meter.on_excess == "reject":
        lost = bucket_loss(rate, meter.rate, meter.burst)
        return PoolAnswer(NOTHING, holds, lost, load * (1 - lost), 0.0, 0.0,
                          wait_doubts=doubts, theorem="M/D/1/K")  # fmt: skip
    if load >= 1:
        raise Unstable("rate")
    gap = 1 / meter.rate
    mean = m_g_1_wait(rate, gap, 0.0)
    work = one_server(load, times.constant(gap), mean)
    if meter.burst > 1:
        work = times.beyond(work, (meter.burst - 1) * gap)
        blocked = math.nan
    else:
        blocked = load
    return PoolAnswer(
        work, holds, 0.0, load, rate * work.mean, blocked, wait_doubts=doubts, theorem="M/D/1"
    )  # fmt: skip
