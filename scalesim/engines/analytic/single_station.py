"""One station, open traffic: M/G/1 and its priorities, GI/M/c, Allen and Cunneen's G/G/c.

Kleinrock, "Queueing systems" I (1975), chapters 5, 6 and II (1976), chapter 3; Harchol-Balter,
"Performance modeling and design of computer systems" (2013), chapters 23, 29 to 32.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import NamedTuple

from scalesim.engines.analytic.occupancy import erlang_c, root

__all__ = [
    "Wait",
    "allen_cunneen",
    "batch_wait",
    "erlang_arrivals",
    "gi_m_c",
    "m_g_1_wait",
    "preemptive_response",
    "priority_wait",
]


class Wait(NamedTuple):
    """A wait that is zero with some probability and else exponential.

    Parameters
    ----------
    probability : float [ratio]
        Of waiting at all.
    rate : float [1/s]
        Of the exponential.
    """

    probability: float
    rate: float

    @property
    def mean(self) -> float:
        """Mean wait of all [s]."""
        return self.probability / self.rate


def m_g_1_wait(rate: float, service: float, scv: float) -> float:
    """Return the mean wait in M/G/1, by Pollaczek (1930) and Khinchine (1932) [s].

    Examples
    --------
    >>> round(m_g_1_wait(80.0, 0.01, 0.0), 12)  # M/D/1
    0.02
    """
    load = rate * service
    return load * service * (1 + scv) / 2 / (1 - load)


def batch_wait(beside: float, load: float, service: float) -> float:
    """Return what batches add to the mean wait in M/G/1: for others of the batch, and theirs [s].

    Burke, Operations Research 23 (1975).

    Parameters
    ----------
    beside : float
        Mean number of others in the batch of a request: E[X^2]/E[X] - 1.
    load : float [0 .. 1)
    service : float [s]

    Examples
    --------
    >>> round(m_g_1_wait(75.0, 0.01, 1.0) + batch_wait(4.0, 0.75, 0.01), 12)
    0.11
    """
    return beside * service / 2 / (1 - load)


def _levels(rates: Sequence[float], services: Sequence[float]) -> list[float]:
    """Return 1 - load of each class and all more urgent ones, 1 first."""
    free = [1.0]
    for rate, service in zip(rates, services, strict=True):
        free.append(free[-1] - rate * service)
    return free


def priority_wait(
    rates: Sequence[float], services: Sequence[float], scvs: Sequence[float], slots: int = 1
) -> list[float]:
    """Return each class's mean wait under non-preemptive priorities, most urgent first [s].

    Cobham, Operations Research 2 (1954). With several slots all services have the same mean and are
    exponential (Kella & Yechiali, Management Science 31, 1985).

    Examples
    --------
    >>> [round(w, 6) for w in priority_wait([30.0, 50.0], [0.01, 0.01], [1.0, 1.0])]
    [0.011429, 0.057143]
    """
    free = _levels(rates, [service / slots for service in services])
    if slots == 1:
        residual = sum(
            rate * service * service * (1 + scv) / 2
            for rate, service, scv in zip(rates, services, scvs, strict=True)
        )
    else:
        residual = erlang_c(slots, sum(rates) * services[0]) * services[0] / slots
    return [residual / (before * after) for before, after in pairwise(free)]


def preemptive_response(
    rates: Sequence[float], services: Sequence[float], scvs: Sequence[float]
) -> list[float]:
    """Return each class's mean response in M/G/1 with preemptive-resume priorities [s].

    Kleinrock II, section 3.4; the most urgent class first.

    Examples
    --------
    >>> [round(r, 6) for r in preemptive_response([30.0, 50.0], [0.01, 0.01], [1.0, 1.0])]
    [0.014286, 0.071429]
    """
    free = _levels(rates, services)
    residual, responses = 0.0, []
    for k, (rate, service, scv) in enumerate(zip(rates, services, scvs, strict=True)):
        residual += rate * service * service * (1 + scv) / 2
        responses.append(service / free[k] + residual / (free[k] * free[k + 1]))
    return responses


def erlang_arrivals(rate: float, phases: float) -> Callable[[float], float]:
    """Return the Laplace transform of Erlang interarrival times (infinitely many phases: constant).

    Every n-th arrival of a Poisson stream, which is what a round-robin balancer over n targets
    sends to each, is an Erlang stream of n phases.
    """

    def transform(s: float) -> float:
        if math.isinf(phases):
            return math.exp(-s / rate)
        return float((phases * rate / (phases * rate + s)) ** phases)

    return transform


def gi_m_c(transform: Callable[[float], float], service: float, slots: int) -> Wait:
    """Return the wait in GI/M/c: independent interarrival times, exponential service.

    Takács, "Introduction to the theory of queues" (1962), chapter 2.

    Parameters
    ----------
    transform : function
        Laplace transform of the interarrival time.
    service : float [s]
        Mean.
    slots : int

    Examples
    --------
    >>> wait = gi_m_c(erlang_arrivals(34.0, 3), 0.05, 2)
    >>> round(wait.probability, 9), round(wait.mean, 9)
    (0.701987477, 0.080138295)
    """
    mu = 1 / service

    def gap(sigma: float) -> float:
        return transform(slots * mu * (1 - sigma)) - sigma

    # 1 is a root, too; the one below it is where the gap, positive at 0, becomes negative.
    sigma = root(gap, 0.0, 1 - 1e-12)
    total, product = 1 / (1 - sigma), 1.0
    for j in range(1, slots + 1):
        g = transform(j * mu)
        product *= g / (1 - g)
        if product == 0 or 1 - sigma == 1:  # so seldom that nobody meets another
            return Wait(0.0, slots * mu)
        total += (
            math.comb(slots, j)
            * (slots * (1 - g) - j)
            / (product * (1 - g) * (slots * (1 - sigma) - j))
        )
    return Wait(1 / total / (1 - sigma), slots * mu * (1 - sigma))


def allen_cunneen(
    rate: float, service: float, slots: int, arrival_scv: float, service_scv: float
) -> float:
    """Return the mean wait in G/G/c, approximately: M/M/c's times (ca² + cs²)/2 [s].

    Allen, "Probability, statistics and queueing theory" (1978), section 5.3; exact for M/M/c and
    M/G/1.
    """
    load = rate * service
    wait = erlang_c(slots, load) * service / (slots - load)
    return wait * (arrival_scv + service_scv) / 2
