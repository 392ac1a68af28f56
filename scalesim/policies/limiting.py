"""Limiting: when a rate limiter lets a request through.

``earliest(limiter, meter, place, now)`` returns when the next request may pass, `now` at the
earliest; ``let_through(limiter, meter, place, at)`` notes that one passes at `at`, which may lie
ahead: then it waits until then, behind those noted before. `meter` holds floats; a limiter's own
begin at `place`, all zero before the first request.

Token bucket: one cell, the time at which the bucket would be full if nobody came, less the burst
that it holds: the virtual scheduling form of the generic cell rate algorithm (ITU-T I.371), which
needs no count of tokens. Fixed window: the number of the window and how many passed in it. Sliding
window: the times of the last `limit` that passed, in a ring, and how many passed in all.
"""

from __future__ import annotations

import math

from scalesim.ops import ROUNDING

__all__ = ["ALGORITHMS", "earliest", "let_through", "meter_size"]

ALGORITHMS = ("token_bucket", "fixed_window", "sliding_window")


def meter_size(algorithm: str, limit: int) -> int:
    """Return how many cells of the meter table a limiter needs."""
    return {"token_bucket": 1, "fixed_window": 2, "sliding_window": limit + 1}[algorithm]


def earliest(limiter, meter, place, now):
    """Return when the next request may pass [s, >= now]."""
    limit = limiter.limit
    if limiter.kind == 0:
        at = meter[place] - (limit - 1) * limiter.gap
    elif limiter.kind == 1:
        number = meter[place]
        full = meter[place + 1] >= limit
        at = (number + 1.0 if full else number) * limiter.window
    else:
        passed = int(meter[place + limit])
        at = meter[place + passed % limit] + limiter.window if passed >= limit else 0.0
    return at if at - now > now * ROUNDING else now


def let_through(limiter, meter, place, at):
    """Note that a request passes at time `at` [s]."""
    limit = limiter.limit
    if limiter.kind == 0:
        meter[place] = max(meter[place], at) + limiter.gap
    elif limiter.kind == 1:
        number = math.floor(at / limiter.window * (1.0 + ROUNDING)) * 1.0
        if number > meter[place]:
            meter[place] = number
            meter[place + 1] = 0.0
        meter[place + 1] += 1.0
    else:
        passed = int(meter[place + limit])
        meter[place + passed % limit] = at
        meter[place + limit] += 1.0
