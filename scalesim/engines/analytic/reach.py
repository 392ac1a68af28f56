"""How often each part of a program is come to: the first failure ends a request."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence

from scalesim.engines.analytic.flows import Flows
from scalesim.engines.analytic.model import (
    Ask,
    Either,
    Facility,
    Failing,
    Fork,
    Part,
    Place,
    Send,
    Visits,
    parts_within,
)

__all__ = ["Completing", "completion", "known_failures", "most_visits", "weighted"]

Completing = Callable[[Ask | Send], float]
"""The share of calls (or messages) that are answered (or taken)."""


def completion(part: Part, completing: Completing) -> float:
    """Return the share of requests that go on after a part."""
    if isinstance(part, Failing):
        return 1 - part.probability
    if isinstance(part, (Ask, Send)):
        return completing(part)
    if isinstance(part, Either):
        return math.fsum(ask.probability * completing(ask) for ask in part.asks)
    if isinstance(part, Visits):
        lost = math.fsum(ask.probability * (1 - completing(ask)) for ask in part.asks)
        return max(1 - lost, 0.0)
    if isinstance(part, Fork):
        if not part.needed:
            return math.prod(completion(each, completing) for b in part.branches for each in b)
        whole = [math.prod(completion(each, completing) for each in b) for b in part.branches]
        return at_least(whole, part.needed)
    return 1.0


def at_least(chances: list[float], count: int) -> float:
    """Return the probability that at least `count` of independent events happen."""
    exactly = [1.0]
    for chance in chances:
        grown = [*exactly, 0.0]
        for k, here in enumerate(exactly):
            grown[k] = grown[k] - here * chance
            grown[k + 1] += here * chance
        exactly = grown
    return math.fsum(exactly[count:])


def weighted(
    parts: tuple[Part, ...], completing: Completing, here: float = 1.0
) -> Iterator[tuple[Part, float]]:
    """Yield the parts, those of branches and alternatives too, and how often each is come to.

    Parameters
    ----------
    here : float
        How often the first one is.
    """
    for part in parts:
        yield part, here
        if isinstance(part, (Either, Visits)):
            yield from ((ask, here) for ask in part.asks)
        elif isinstance(part, Fork):
            for branch in part.branches:
                yield from weighted(branch, completing, here)
        here *= completion(part, completing)


def most_visits(
    facilities: Mapping[str, Facility],
    order: Sequence[Place],
    roots: Sequence[Place],
    retries: bool,
) -> dict[Place, int]:
    """Return how often one request of a client may come to each place; 2 stands for more, too.

    Parameters
    ----------
    order : sequence of Place
        Callers before callees.
    roots : sequence of Place
        Where requests begin.
    retries : bool
        Whether those who try again are counted.
    """
    most = dict.fromkeys(order, 0)
    for root in roots:
        found = dict.fromkeys(order, 0) | {root: 1}
        for place in order:
            program = facilities[place[0]].programs[place[1]]
            parts = (*program.before, *program.inside, *program.after)
            loops = {ask for part in parts if isinstance(part, Visits) for ask in part.asks}
            for part in parts_within(parts) if found[place] else ():
                if isinstance(part, (Ask, Send)):
                    again = part in loops or (retries and isinstance(part, Ask) and part.retry)
                    more = found[place] * (2 if again else 1)
                    found[part.to] = min(found[part.to] + more, 2)
        most = {place: max(most[place], found[place]) for place in order}
    return most


def known_failures(
    facilities: Mapping[str, Facility],
    callees_first: Sequence[str],
    flows: Flows,
    turned_away: Mapping[tuple[str, str], float],
) -> tuple[dict[Place, float], dict[Ask | Send, float]]:
    """Return what fails whatever the load: shares that fail, and how often calls are made.

    Parameters
    ----------
    flows : Flows
        From which the shares of misses are taken.
    turned_away : mapping of (component, pool) to float [ratio]
        Of those who come to its line.
    """
    failed: dict[Place, float] = {}
    reached: dict[Ask | Send, float] = {}

    def completing(part: Ask | Send) -> float:
        if isinstance(part, Send):
            return 1.0
        miss = flows.miss[part.missed] if part.missed else 1.0
        return 1 - miss * failed[part.to]

    for name in callees_first:
        for endpoint, program in facilities[name].programs.items():
            here = 1.0
            admitted = 1 - turned_away.get((name, program.pool), 0.0)
            for parts, share in (
                (program.before, 1.0),
                ((*program.inside, *program.after), admitted),
            ):
                here *= share
                for part in parts:
                    for inner, weight in weighted((part,), completing, here):
                        if isinstance(inner, (Ask, Send)):
                            reached[inner] = weight
                    here *= completion(part, completing)
            failed[name, endpoint] = 1 - here
    return failed, reached
