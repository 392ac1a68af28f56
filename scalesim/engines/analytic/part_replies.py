"""What one part of a program takes and how it ends, once the stations it uses are solved."""

from __future__ import annotations

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
    Send,
    Use,
    Visits,
)
from scalesim.engines.analytic.reach import Completing
from scalesim.engines.analytic.replies import DONE, Reply, in_turn, one_of, repeated
from scalesim.engines.analytic.stations import Station, StationAnswer
from scalesim.engines.analytic.times import NOTHING

if TYPE_CHECKING:
    from scalesim.engines.analytic.solver import Solution

__all__ = ["completing", "reply_of", "response_of"]


def reply_of(
    part: Part,
    solution: Solution,
    stations: Mapping[str, Station],
    answers: Mapping[str, StationAnswer],
    urgency: int = 0,
) -> Reply:
    """Return the reply of one part.

    Parameters
    ----------
    solution : Solution
        What callees answer.
    stations, answers : mapping
        The node's resources at which requests queue, and what is known of them.
    urgency : int
        Of the request, where the node serves by it.
    """

    def again(inner: Part) -> Reply:
        return reply_of(inner, solution, stations, answers, urgency)

    if isinstance(part, Pause):
        return Reply(times.drawn(part.law))
    if isinstance(part, Use):
        return _use(part, stations, answers, urgency)
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
        return joined(solution, part, branches)
    if isinstance(part, Send):
        return _sent(part, solution)
    return DONE


def completing(solution: Solution) -> Completing:
    """Return what share of each call is answered, and of each message is taken."""

    def share(part: Ask | Send) -> float:
        reply = _ask(part, solution) if isinstance(part, Ask) else _sent(part, solution)
        return reply.completed

    return share


def response_of(station: Station, answer: StationAnswer, demand: float, urgency: int) -> float:
    """Return the mean response to one demand where it is not the same for all."""
    if urgency in answer.by_urgency:
        return answer.by_urgency[urgency](demand)
    assert station.failures is not None
    longer = 1 + station.failures.repair_time.mean / station.failures.time_to_failure.mean
    return answer.response + (demand - station.demand) * longer


def _sent(part: Send, solution: Solution) -> Reply:
    """Return what a publisher sees: a full queue that rejects, or nothing at all."""
    name, endpoint = part.to
    if endpoint == "publish":
        return solution.replies.get(part.to, DONE)
    if endpoint != "message":
        return DONE
    known = solution.nodes.get(name)
    pool = known[0].pools["consumers"] if known else None
    if pool is None or not pool.rejected:
        return DONE
    return Reply(NOTHING, rejected=pool.rejected, doubts=pool.wait_doubts)


def _ask(part: Ask, solution: Solution) -> Reply:
    reply = solution.asked(part)
    if not part.missed:
        return reply
    miss = solution.flows.miss[part.missed]
    doubts = reply.doubts | solution.flows.hit_doubts(part.missed)
    time = times.mixed([(miss * reply.completed, reply.time), (1 - miss, NOTHING)])
    return reply._replace(
        time=time,
        rejected=miss * reply.rejected,
        timed_out=miss * reply.timed_out,
        failed=miss * reply.failed,
        doubts=doubts,
    )


def _use(
    part: Use,
    stations: Mapping[str, Station],
    answers: Mapping[str, StationAnswer],
    urgency: int,
) -> Reply:
    station = stations.get(part.resource)
    drawn = times.drawn(part.law)
    answer = answers.get(part.resource)
    if station is None or answer is None:
        return Reply(drawn)
    if urgency in answer.by_urgency or station.failures is not None:
        mean = response_of(station, answer, drawn.mean, urgency)
        return Reply(times.fitted(mean, mean * mean), doubts=answer.doubts, queues=1)
    if station.shared:
        mean = answer.response * drawn.mean / station.demand
        use = answer.occupancy.at_least(station.slots)
        spread = drawn.scv + (2 + use) / (2 - use) - 1
        law = times.fitted(mean, mean * mean * spread)
        return Reply(law, doubts=answer.doubts, queues=1, tells=True)
    wait = max(answer.response - station.demand, 0.0)
    use = answer.occupancy.at_least(station.slots)
    queueing = times.fitted(wait, wait * wait * (2 / max(use, 1e-9) - 1))
    return Reply(times.added([queueing, drawn]), doubts=answer.doubts, queues=1)
