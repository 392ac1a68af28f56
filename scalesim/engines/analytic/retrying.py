"""Retries that come back before anything can have changed, which no fixed point describes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from scalesim.engines.analytic.flows import calls_of
from scalesim.engines.analytic.model import Ask, Place
from scalesim.engines.analytic.replies import pause
from scalesim.errors import Problem

if TYPE_CHECKING:
    from scalesim.engines.analytic.solver import Solution

__all__ = ["at_once"]

_FEW = 0.01
"""Below this share of requests turned away, how they try again hardly matters."""


def at_once(solution: Solution) -> Iterator[Problem]:
    """Yield those who, turned away, try again sooner than a place becomes free.

    The fixed point takes attempts as independent of each other: who has just found a station full
    finds it full again, unless something has left it meanwhile.
    """
    for name, facility in solution.facilities.items():
        for part in (part for each in facility.programs.values() for part in calls_of(each)):
            if not isinstance(part, Ask) or part.retry is None or "rejected" not in part.retry.on:
                continue
            wait = pause(part.retry, 0).mean
            full = [gap for gap in _gaps(solution, part.to) if gap > wait]
            if full and solution.flows.rate[part.to]:
                message = (
                    f"turned away, a request tries again after {wait:.3g} s, but a place becomes "
                    f"free only every {max(full):.3g} s"
                )
                yield Problem(f"{name}: retry", f'{message}; use engine="compiled"')


def _gaps(solution: Solution, place: Place) -> Iterator[float]:
    """Yield the mean time between departures of what is full, where a call turns requests away."""
    seen: set[Place] = set()
    todo = [place]
    while todo:
        here = todo.pop()
        if here in seen:
            continue
        seen.add(here)
        facility = solution.facilities[here[0]]
        todo += [part.to for part in calls_of(facility.programs[here[1]])]
        for answer in solution.nodes.get(here[0], []):
            pool = answer.pools.get(facility.programs[here[1]].pool)
            if pool is not None and pool.rejected > _FEW and pool.admitted > 0:
                through = sum(answer.rates.values()) * pool.admitted
                slots = facility.pools[facility.programs[here[1]].pool].slots
                yield pool.busy / through / slots
