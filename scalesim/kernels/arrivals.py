"""When the next request arrives, and what it asks for: shared by both engines."""

from __future__ import annotations

import math

from scalesim.kernels.draws import u01
from scalesim.kernels.sampling import guided_index

__all__ = ["draw_endpoint", "draw_popularity", "next_gap"]


def next_gap(source, segment, now, work, number):
    """Return the time from `now` to the next arrival, `work` mean gaps ahead (inf: never)."""
    if len(segment) == 1 and source[0].repeat == 0:
        if source[0].random == 0:
            # Request `number` (from 0) comes after number + 1 gaps: multiplied, not added up, so
            # that rounding does not grow.
            return (number + 1) * segment[0].gap - now
        return work * segment[0].gap
    return gap_in_profile(source, segment, now, work)


def gap_in_profile(source, segment, now, work):
    """Return the same for a rate that changes over time.

    Inversion of the cumulated rate: with `work` drawn from the exponential with mean 1 this is the
    non-homogeneous Poisson process (Cinlar, "Introduction to stochastic processes", 1975, ch. 4).
    Moves ``source[0].segment`` and ``origin`` along with time.
    """
    at = now
    while True:
        i = source[0].segment
        end = source[0].origin + segment[i].end
        gap = segment[i].gap
        if gap < math.inf:
            then = at + work * gap
            if then < end:
                return then - now
            work -= (end - at) / gap
            work = max(work, 0.0)
        at = end
        source[0].segment = i + 1
        if i + 1 == len(segment):
            if source[0].repeat == 0:
                source[0].segment = i
                return math.inf
            source[0].segment = 0
            source[0].origin += source[0].period


def draw_endpoint(endpoint, u):
    """Return the endpoint that the uniform number `u` falls on."""
    e = 0
    while e < len(endpoint) - 1 and u >= endpoint[e].cumulated:
        e += 1
    return e


def draw_popularity(popularity, cumulated, guide, which, key, site):
    """Return a key (which = 0) or client (which = 1), or -1 if the plan does not use it."""
    kind = popularity[which].kind
    if kind == 0:
        return -1
    count = popularity[which].count
    u = u01(key, site, 0)
    if kind == 1:
        return int(u * count)
    return guided_index(cumulated, guide, popularity[which].first, count, u)
