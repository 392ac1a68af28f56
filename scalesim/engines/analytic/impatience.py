"""Waiting requests that lose patience: M/M/c+G, and token buckets as queues without requests.

Zeltyn & Mandelbaum, "Call centers with impatient customers: many-server asymptotics of the M/M/n+G
queue" (Queueing Systems 51, 2005), section 2, after Baccelli & Hebuterne (1981): exact for Poisson
arrivals, exponential service and patience of any law. With exponential patience it is Erlang's A.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

__all__ = ["Impatient", "bucket_loss", "impatient"]

_POINTS = 200_001


class Impatient(NamedTuple):
    """What becomes of those who wait with patience.

    Parameters
    ----------
    abandoned : float [ratio]
        Share of all who leave unserved.
    wait_probability : float [ratio]
        Of being served only after a wait, among those who are served.
    depth : float
        Mean number waiting.
    served_wait, left_after : float [s]
        Mean wait of those served, and of those who leave.
    at, late : float array [points] [s, ratio]
        P(a served request has waited more than t).
    """

    abandoned: float
    wait_probability: float
    depth: float
    served_wait: float
    left_after: float
    at: np.ndarray
    late: np.ndarray


def impatient(
    slots: int, rate: float, service: float, patience: Callable[[np.ndarray], np.ndarray]
) -> Impatient:
    """Return what happens in M/M/c+G.

    Parameters
    ----------
    slots : int [>= 1]
    rate : float [1/s]
    service : float [s]
        Mean of the exponential service time.
    patience : function of float array [s]
        P(patience > t).

    Examples
    --------
    >>> import numpy as np
    >>> palm = impatient(4, 36.0, 0.1, lambda t: np.exp(-t / 2.0))
    >>> round(palm.abandoned, 6), round(palm.depth, 5)
    (0.043155, 3.10718)
    """
    clear = slots / service
    end = 8 * service / slots
    while True:
        t = np.linspace(0.0, end, _POINTS)
        step = t[1]
        # At the middle of each step, so that a jump at the limit of a patience is met exactly.
        stays = patience(t[:-1] + step / 2)
        area = np.concatenate([[0.0], np.cumsum(stays)]) * step
        exponent = rate * area - clear * t
        if exponent[-1] - exponent.max() < math.log(1e-16):
            break
        end *= 2
    top = exponent.max()
    weight = np.exp(exponent - top)
    # Exact for a constant patience between two points: the exponent is linear there.
    slope = np.diff(exponent) / step
    flat = np.abs(slope * step) < 1e-9
    with np.errstate(divide="ignore", invalid="ignore"):
        pieces = np.where(flat, weight[:-1] * step, np.diff(weight) / slope)
    middle = t[:-1] + step / 2
    total = float(pieces.sum())
    idle = 1.0
    below = 1.0
    for j in range(slots - 1, 0, -1):  # sum of (load^j / j!) over its last term
        below *= j * 1.0 / (rate * service)
        idle += below
    one = math.exp(-top) if top < 700 else 0.0
    norm = idle * one + rate * total
    abandoned = (one + (rate - clear) * total) / norm
    served = pieces * stays
    good = float(served.sum())
    waits = float(np.dot(served, middle))
    all_waits = rate * float(np.dot(pieces, (area[:-1] + area[1:]) / 2)) / norm
    late = 1.0 - np.concatenate([[0.0], np.cumsum(served)]) / good if good else np.zeros(_POINTS)
    blocked = rate * good / norm / (1 - abandoned)
    served_wait = rate * waits / norm / (1 - abandoned)
    left = all_waits - served_wait * (1 - abandoned)
    return Impatient(
        max(abandoned, 0.0), blocked, rate * all_waits, served_wait,
        max(left, 0.0) / abandoned if abandoned > 1e-15 else 0.0, t, blocked * late,
    )  # fmt: skip


def bucket_loss(rate: float, limit: float, burst: int) -> float:
    """Return the share of Poisson requests that find no token.

    Tokens that are missing are the work of a queue with constant services of 1 / limit, in which
    `burst` find room: M/D/1/K (Gross & Harris, "Fundamentals of queueing theory", section 5.1.8),
    by the chain at departures, in which all terms are positive.

    Parameters
    ----------
    rate, limit : float [1/s]
    burst : int [>= 1]

    Examples
    --------
    >>> round(bucket_loss(90.0, 100.0, 5), 12)
    0.064361897186
    """
    load = rate / limit
    chance = [math.exp(-load)]
    for k in range(1, burst + 1):
        chance.append(chance[-1] * load / k)
    more = 1.0 - np.cumsum(chance)  # P(more than k come during a service)
    found = [1.0]
    for j in range(burst - 1):
        into = found[0] * more[j]
        into += math.fsum(found[i] * more[j - i + 1] for i in range(1, j + 1))
        found.append(into / chance[0])
        if found[-1] > 1e200:
            found = [each / 1e200 for each in found]
    empty = found[0] / math.fsum(found)
    return max(1 - 1 / (empty + load), 0.0)
