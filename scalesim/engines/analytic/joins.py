"""The time until all branches of a fork have ended."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from scalesim.engines.analytic import times
from scalesim.engines.analytic.fork_join import fork_join_response
from scalesim.engines.analytic.model import Ask, Fork
from scalesim.engines.analytic.replies import Reply
from scalesim.engines.analytic.stations import PoolAnswer

if TYPE_CHECKING:
    from scalesim.engines.analytic.solver import Solution

__all__ = ["joined"]


def joined(solution: Solution, part: Fork, branches: list[Reply]) -> Reply:
    """Return what a fork answers whose branches may wait: the slowest of them.

    Branches that each call an M/M/1 station of their own, all equal: Nelson and Tantawi's formula,
    exact for two. Others: as if the branches' times were independent.
    """
    doubts = frozenset[str]().union(*(branch.doubts for branch in branches))
    ok = math.prod(branch.completed for branch in branches)
    rejected = 1 - math.prod(1 - branch.rejected for branch in branches)
    lost = {"rejected": rejected, "failed": max(1 - ok - rejected, 0.0)}
    together = times.ranked([branch.time for branch in branches], len(branches))
    queues = max(2, max(branch.queues for branch in branches))
    equal = _equal_stations(solution, part)
    if equal is None:
        doubts |= {"branches as if independent"}
        return Reply(together, **lost, doubts=doubts, queues=queues)
    load, service = equal
    mean = fork_join_response(len(branches), load, service)
    if len(branches) > 2:
        doubts |= {"Nelson-Tantawi"}
    fit = times.fitted(mean, together.variance)
    return Reply(fit, **lost, doubts=doubts, queues=queues)


def _equal_stations(solution: Solution, part: Fork) -> tuple[float, float] | None:
    """Return (load, mean service [s]) if each branch is one call of an M/M/1 of its own."""
    found = set()
    for branch in part.branches:
        ask = branch[0] if len(branch) == 1 else None
        if not isinstance(ask, Ask) or ask.timeout is not None or ask.missed:
            return None
        name, _ = ask.to
        facility = solution.facilities[name]
        answers = solution.nodes.get(name, [])
        if facility.nodes > 1 or len(facility.pools) != 1 or len(answers) != 1:
            return None
        ((pool, size),) = facility.pools.items()
        answer: PoolAnswer = answers[0].pools[pool]
        rate = sum(answers[0].rates.values())
        ours = answers[0].rates[ask.to[1]]
        alone = math.isclose(rate, ours) and math.isclose(rate, solution.flows.rate[ask.to])
        if size.slots != 1 or answer.theorem != "M/M/c" or not alone or answer.wait_doubts:
            return None
        found.add((name, round(answer.busy, 12), round(answer.busy / rate, 15)))
    loads = {(load, service) for _, load, service in found}
    if len(loads) != 1 or len(found) != len(part.branches):
        return None
    return loads.pop()
