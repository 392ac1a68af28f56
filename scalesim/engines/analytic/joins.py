"""The time until all branches of a fork have ended, or so many as are needed."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from scalesim.engines.analytic import times
from scalesim.engines.analytic.fork_join import fork_join_response
from scalesim.engines.analytic.model import Ask, Fork
from scalesim.engines.analytic.reach import at_least
from scalesim.engines.analytic.replies import Reply
from scalesim.engines.analytic.stations import PoolAnswer

if TYPE_CHECKING:
    from scalesim.engines.analytic.solver import Solution

__all__ = ["joined"]


def joined(solution: Solution, part: Fork, branches: list[Reply]) -> Reply:
    """Return what a fork answers: its slowest branch, or the one that makes up the number.

    Branches that nobody makes wait or turns away are independent: order statistics (David &
    Nagaraja, "Order statistics", 2003). All of two branches that each call an M/M/1 station of
    their own, both equal: exact (Nelson & Tantawi); of more their approximation. Others: as if the
    branches' times were independent, although they come to their stations at the same moment.
    """
    doubts = frozenset[str]().union(*(branch.doubts for branch in branches))
    needed = part.needed or len(branches)
    queues = max(branch.queues for branch in branches)
    crowded = queues or any(branch.rejected or branch.timed_out for branch in branches)
    lost = _losses(branches, needed)
    if sum(lost.values()) and (needed < len(branches) or _mixed_failures(branches)):
        doubts |= {"failures as if alike"}
    time = _together(branches, needed)
    gone = times.ranked([each.time for each in branches], needed)
    if sum(lost.values()) and needed == len(branches):
        gone = _after_all(branches, time)
    if crowded:
        equal = _equal_stations(solution, part) if needed == len(branches) else None
        queues = max(2, queues)
        if equal is None:
            doubts |= {"branches as if independent"}
        else:
            mean = fork_join_response(len(branches), *equal)
            doubts |= {"Nelson-Tantawi"} if len(branches) > 2 else frozenset()
            time = times.fitted(mean, time.variance)
    time_doubts = frozenset[str]().union(*(branch.time_doubts for branch in branches))
    return Reply(
        time, **lost, doubts=doubts, queues=queues, gone=gone, time_doubts=time_doubts,
        tells=bool(crowded),
    )  # fmt: skip


def _losses(branches: list[Reply], needed: int) -> dict[str, float]:
    """Return the shares that fail, by outcome: that of the branches that fail, in proportion."""
    lost = 1 - at_least([branch.completed for branch in branches], needed)
    by = {name: math.fsum(branch.shares()[name] for branch in branches)
          for name in branches[0].shares()}  # fmt: skip
    total = math.fsum(by.values())
    return {name: lost * share / total if total else 0.0 for name, share in by.items()}


def _mixed_failures(branches: list[Reply]) -> bool:
    kinds = {name for branch in branches for name, share in branch.shares().items() if share}
    return len(kinds) > 1


def _together(branches: list[Reply], needed: int) -> times.Time:
    """Return the time of the `needed`-th branch that completes, given that so many do."""
    if needed == len(branches) or all(branch.completed == 1 for branch in branches):
        return times.ranked([branch.time for branch in branches], needed)
    return times.ranked([branch.time for branch in branches], needed,
                        [branch.completed for branch in branches])  # fmt: skip


def _after_all(branches: list[Reply], completed: times.Time) -> times.Time:
    """Return when all branches have ended, given that not all completed."""
    ends = [
        times.mixed([(b.completed, b.time), (1 - b.completed, b.gone)]) for b in branches
    ]  # fmt: skip
    whole = times.ranked(ends, len(ends))
    ok = math.prod(branch.completed for branch in branches)
    mean = max((whole.mean - ok * completed.mean) / (1 - ok), 0.0)
    return times.fitted(mean, mean * mean)


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
