"""What one part of a program takes and how it ends, once the stations it uses are solved."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

from scalesim.engines.analytic import times
from scalesim.engines.analytic.joins import joined
from scalesim.engines.analytic.model import (
    Ask,
    Either,
    Failing,
    Fork,
    Part,
    Pause,
    Use,
    Visits,
)
from scalesim.engines.analytic.replies import DONE, Reply, asked, in_turn, one_of, repeated
from scalesim.engines.analytic.stations import NO_DOUBT, Station, StationAnswer
from scalesim.engines.analytic.times import NOTHING

if TYPE_CHECKING:
    from scalesim.engines.analytic.solver import Solution

__all__ = ["reply_of"]


def reply_of(
    part: Part,
    solution: Solution,
    stations: Mapping[str, Station],
    answers: Mapping[str, StationAnswer],
) -> Reply:
    """Return the reply of one part.

    Parameters
    ----------
    solution : Solution
        What callees answer.
    stations, answers : mapping
        The node's resources at which requests queue, and what is known of them.
    """

    def again(inner: Part) -> Reply:
        return reply_of(inner, solution, stations, answers)

    if isinstance(part, Pause):
        return Reply(times.drawn(part.law))
    if isinstance(part, Use):
        return _use(part, stations, answers)
    if isinstance(part, Ask):
        return _ask(part, solution)
    if isinstance(part, Either):
        return one_of([(ask.probability, again(ask)) for ask in part.asks])
    if isinstance(part, Visits):
        return repeated([(ask.probability, again(ask)) for ask in part.asks])
    if isinstance(part, Failing):
        return Reply(NOTHING, failed=part.probability)
    if isinstance(part, Fork):
        branches = [in_turn([again(each) for each in branch]) for branch in part.branches]
        return _fork(part, solution, branches)
    return DONE


def _ask(part: Ask, solution: Solution) -> Reply:
    reply = asked(solution.replies.get(part.to, DONE), part.timeout, part.retry)
    if not part.missed:
        return reply
    miss = solution.flows.miss[part.missed]
    method = solution.flows.hit_method[part.missed]
    doubts = reply.doubts | ({method} if method else NO_DOUBT)
    time = times.mixed([(miss * reply.completed, reply.time), (1 - miss, NOTHING)])
    return reply._replace(
        time=time,
        rejected=miss * reply.rejected,
        timed_out=miss * reply.timed_out,
        failed=miss * reply.failed,
        doubts=doubts,
    )


def _use(part: Use, stations: Mapping[str, Station], answers: Mapping[str, StationAnswer]) -> Reply:
    station = stations.get(part.resource)
    drawn = times.drawn(part.law)
    answer = answers.get(part.resource)
    if station is None or answer is None:
        return Reply(drawn)
    if station.shared:
        mean = answer.response * drawn.mean / station.demand
        use = answer.occupancy.at_least(station.slots)
        spread = drawn.scv + (2 + use) / (2 - use) - 1
        return Reply(times.fitted(mean, mean * mean * spread), doubts=answer.doubts, queues=1)
    wait = max(answer.response - station.demand, 0.0)
    use = answer.occupancy.at_least(station.slots)
    queueing = times.fitted(wait, wait * wait * (2 / max(use, 1e-9) - 1))
    return Reply(times.added([queueing, drawn]), doubts=answer.doubts, queues=1)


def _fork(part: Fork, solution: Solution, branches: list[Reply]) -> Reply:
    if any(branch.queues for branch in branches):
        return joined(solution, part, branches)
    ok = math.prod(branch.completed for branch in branches)
    together = times.ranked([branch.time for branch in branches], len(branches))
    doubts = NO_DOUBT.union(*(branch.doubts for branch in branches))
    return Reply(together, failed=1 - ok, doubts=doubts)
