"""When the next request arrives, and what it asks for: shared by both engines."""

from __future__ import annotations

import math

from scalesim.kernels.draws import bits, root_key, u01
from scalesim.kernels.sampling import cumulated_index, guided_index, standard_exponential

__all__ = ["batch_gap", "burst_gap", "draw_endpoint", "draw_popularity", "next_gap"]


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


def batch_gap(source, segment, now, work, number, u):
    """Return the time to the next request of a batch, 0 within one.

    `u`, uniform, makes the size of the next batch: fixed, or geometric by inversion.
    """
    if source[0].left > 0:
        source[0].left -= 1
        return 0.0
    size = source[0].size
    if size < -1.0:
        source[0].left = int(math.log(1.0 - u) / math.log(1.0 + 1.0 / size))
    else:
        source[0].left = int(abs(size)) - 1
    return next_gap(source, segment, now, work, number)


def burst_gap(source, phase, values, edge, height, seed, site, now, work):
    """Return the time from `now` to the next arrival of bursts, `work` mean gaps ahead.

    What is left of an exponential gap at the end of a state is exponential again, measured in the
    next state's gaps. The states' draws go by how often the state changed.
    """
    row = source[0]
    at = now
    if row.phase < 0:
        i = cumulated_index(values, row.shares, len(phase), u01(root_key(seed, 0), site, 3))
        row.phase = i
        stay = standard_exponential(edge, height, bits(root_key(seed, 0), site, 1))
        row.until = stay * phase[i].stay
    while True:
        i = row.phase
        gap = phase[i].gap
        if gap < math.inf:
            then = at + work * gap
            if then < row.until:
                return then - now
            work = max(work - (row.until - at) / gap, 0.0)
        elif row.until == math.inf:
            return math.inf
        at = row.until
        row.moves += 1
        key = root_key(seed, row.moves)
        row.phase = cumulated_index(values, phase[i].first, len(phase), u01(key, site, 2))
        stay = standard_exponential(edge, height, bits(key, site, 1))
        row.until = at + stay * phase[row.phase].stay


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
