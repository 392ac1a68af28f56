"""Priorities: from the wait first come first served to the waits of the classes.

Cobham, Operations Research 2 (1954); Kleinrock, "Queueing systems" II (1976), chapter 3; Kella &
Yechiali, Management Science 31 (1985), for several slots; Bondi & Buzen, SIGMETRICS 1984, who use
the ratios of one server for several of any law.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import NamedTuple

from scalesim.engines.analytic.single_station import allen_cunneen, preemptive_response

__all__ = ["ORDERS", "Class", "line_waits", "preemptive_waits"]

ORDERS = ("priority", "priority_preemptive")


class Class(NamedTuple):
    """Requests of one urgency at one station: rate [1/s], mean [s] and scv of the service."""

    rate: float
    mean: float
    scv: float
    exponential: bool = True


def line_waits(wait: float, loads: Mapping[int, float]) -> dict[int, float]:
    """Return each urgency's mean wait for a slot, without interruption [s].

    Parameters
    ----------
    wait : float [s]
        Mean wait of the same requests first come first served.
    loads : mapping of int to float [ratio]
        Share of all slots that each urgency keeps busy.

    Examples
    --------
    >>> {k: round(w, 6) for k, w in line_waits(0.04, {0: 0.3, 1: 0.5}).items()}
    {0: 0.011429, 1: 0.057143}
    """
    order = sorted(loads)
    free = [1.0]
    for urgency in order:
        free.append(free[-1] - loads[urgency])
    residual = wait * free[-1]
    return {
        urgency: residual / (before * after)
        for urgency, (before, after) in zip(order, pairwise(free), strict=True)
    }


def preemptive_waits(
    classes: Mapping[int, Class], slots: int
) -> dict[int, Callable[[float], float]]:
    """Return each urgency's mean response as a function of the demand, if it interrupts others [s].

    One slot: exact for any law. Several: the most urgent k classes do not notice the others, so
    that their numbers are those of M/M/c without them; exact for equal exponential services.

    Examples
    --------
    >>> two = {0: Class(30.0, 0.01, 1.0), 1: Class(50.0, 0.01, 1.0)}
    >>> {k: round(f(0.01), 6) for k, f in preemptive_waits(two, 1).items()}
    {0: 0.014286, 1: 0.071429}
    """
    order = sorted(classes)
    own = [classes[urgency] for urgency in order]
    found: dict[int, Callable[[float], float]] = {}
    if slots == 1:
        responses = preemptive_response(
            [c.rate for c in own], [c.mean for c in own], [c.scv for c in own]
        )
        free = 1.0
        for urgency, each, response in zip(order, own, responses, strict=True):
            found[urgency] = _stretched(1 / free, response - each.mean / free)
            free -= each.rate * each.mean
        return found
    before = 0.0
    for k, urgency in enumerate(order):
        ahead = own[: k + 1]
        rate = math.fsum(c.rate for c in ahead)
        mean = math.fsum(c.rate * c.mean for c in ahead) / rate
        second = math.fsum(c.rate * c.mean**2 * (1 + c.scv) for c in ahead) / rate
        wait = allen_cunneen(rate, mean, slots, 1.0, second / mean**2 - 1)
        number = rate * (wait + mean)
        each = own[k]
        found[urgency] = _stretched(1.0, (number - before) / each.rate - each.mean)
        before = number
    return found


def _stretched(stretch: float, wait: float) -> Callable[[float], float]:
    return lambda demand: demand * stretch + wait
