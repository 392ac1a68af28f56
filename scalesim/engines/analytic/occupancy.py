"""How many are in a station: birth-death chains and what follows from them.

A station whose total speed depends on how many are in it is a birth-death chain if arrivals are
Poisson and the work is exponential (or the station shares its speed, whatever the law of the work:
Baskett, Chandy, Muntz & Palacios, JACM 22, 1975). Erlang's B and C, M/M/c/K and Erlang's A are such
chains. Formulas: Kleinrock, "Queueing systems" I (1975), chapter 3; Harchol-Balter, "Performance
modeling and design of computer systems" (2013), chapters 14, 15.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

__all__ = ["Occupancy", "birth_death", "erlang_a", "erlang_b", "erlang_c", "root", "speeds"]

_NEGLIGIBLE = 1e-14


@dataclass(frozen=True, eq=False)
class Occupancy:
    """Distribution over time of the number in a station.

    Parameters
    ----------
    probability : float array [states]
        Of 0, 1, 2, ... in the station.
    ratio : float [0 .. 1)
        Beyond the last state the probabilities go on in geometric progression; 0: they end.
    """

    probability: np.ndarray
    ratio: float = 0.0

    @property
    def mean(self) -> float:
        """Mean number in the station."""
        return self.excess(0)

    def excess(self, slots: int) -> float:
        """Return the mean number beyond `slots`: those who wait."""
        p, r = self.probability, self.ratio
        last = len(p) - 1
        inside = float(np.dot(np.maximum(np.arange(last + 1) - slots, 0), p))
        if r == 0.0:
            return inside
        over = max(last - slots, 0)
        return inside + float(p[-1]) * r * (over / (1 - r) + 1 / (1 - r) ** 2)

    def at_least(self, count: int) -> float:
        """Return the probability of `count` or more."""
        p, r = self.probability, self.ratio
        tail = float(p[-1]) * r / (1 - r) if r else 0.0
        if count >= len(p):
            return tail * r ** (count - len(p))
        return float(p[count:].sum()) + tail

    def departures(self, speed: np.ndarray, beyond: int = 0) -> float:
        """Return departures a second that leave `beyond` or more behind.

        As many come in to find `beyond` or more: each level is crossed as often up as down.

        Parameters
        ----------
        speed : float array [1/s]
            With 1, 2, ... in the station; the last holds for all beyond.
        """
        p, r = self.probability, self.ratio
        last = len(p) - 1
        at = np.asarray(speed)[np.minimum(np.arange(last), len(speed) - 1)]
        found = float(np.dot(p[beyond + 1 :], at[beyond:]))
        if r:
            found += float(p[-1] * speed[-1]) * r ** max(beyond + 1 - last, 1) / (1 - r)
        return found


def root(
    function: Callable[[float], float], low: float, high: float, tolerance: float = 1e-15
) -> float:
    """Return where `function` changes sign between `low` and `high`, by regula falsi.

    The Illinois variant (Dowell & Jarratt, BIT 11, 1971), with a bisection in each third step in
    case the function is far from straight. Loading scipy.optimize for it would take longer than all
    answers together.

    Parameters
    ----------
    tolerance : float [ratio]
        Of the result.
    """
    at_low, at_high = function(low), function(high)
    rising, moved = at_low < 0, 0
    for turn in range(200):
        middle = (low + high) / 2
        if high - low <= tolerance * abs(middle) or middle in (low, high):
            break
        if turn % 3 < 2 and at_high != at_low:
            chord = high - at_high * (high - low) / (at_high - at_low)
            middle = chord if low < chord < high else middle
        value = function(middle)
        if value == 0:
            return middle
        if (value < 0) == rising:
            low, at_low = middle, value
            at_high /= 2 if moved < 0 else 1
            moved = -1
        else:
            high, at_high = middle, value
            at_low /= 2 if moved > 0 else 1
            moved = 1
    return (low + high) / 2


def speeds(slots: int, count: int, demand: float) -> np.ndarray:
    """Return the completion rate with 1 .. `count` present in a station of equal `slots` [1/s]."""
    rates: np.ndarray = np.minimum(np.arange(1, count + 1), slots) / demand
    return rates


def birth_death(arrival: np.ndarray | float, service: np.ndarray, limit: int | None) -> Occupancy:
    """Return the stationary distribution of a birth-death chain.

    Parameters
    ----------
    arrival : float [1/s] or float array [states]
        Rate of arrivals in states 0, 1, ...
    service : float array [1/s]
        Rate of departures in states 1, 2, ...; the last holds for all beyond.
    limit : int or None
        Highest state; None: unbounded, and then the arrival rate is one number.

    Raises
    ------
    ValueError
        Unbounded, and arrivals are at least as fast as departures can get: there is no mean.

    Examples
    --------
    >>> chain = birth_death(40.0, speeds(4, 4, 0.1), 10)  # M/M/4/10, offered 4 erlang
    >>> round(float(chain.probability[10]), 12)
    0.108474576271
    """
    if limit is not None and limit > len(service):
        service = np.concatenate([service, np.full(limit - len(service), service[-1])])
    elif limit is not None:
        service = service[:limit]
    births = np.broadcast_to(np.asarray(arrival, float), service.shape)
    ratio = float(births[-1] / service[-1]) if limit is None and len(service) else 0.0
    if ratio >= 1:
        raise ValueError("arrivals are at least as fast as departures can get")
    with np.errstate(divide="ignore"):
        steps = np.log(births) - np.log(service)
    logs = np.concatenate([[0.0], np.cumsum(steps)])
    weights = np.exp(logs - logs.max())
    total = weights.sum() + (weights[-1] * ratio / (1 - ratio) if ratio else 0.0)
    return Occupancy(weights / total, ratio)


def erlang_b(slots: int, load: float) -> float:
    """Return the probability that all slots are taken and nobody may wait (Erlang, 1917).

    It does not depend on the law of the service time beyond its mean.

    Parameters
    ----------
    slots : int [>= 0]
    load : float [erlang, > 0]

    Examples
    --------
    >>> round(erlang_b(10, 8.0), 12)
    0.121661064253
    """
    from scipy.special import gammaincc, gammaln

    if slots == 0:
        return 1.0
    top = slots * math.log(load) - load - float(gammaln(slots + 1))
    return math.exp(top) / float(gammaincc(slots + 1, load))


def erlang_c(slots: int, load: float) -> float:
    """Return the probability of having to wait in M/M/c (Erlang, 1917).

    Parameters
    ----------
    slots : int [>= 1]
    load : float [erlang, 0 < load < slots]

    Examples
    --------
    >>> round(erlang_c(8, 7.2), 12)
    0.701532990146
    """
    blocked = erlang_b(slots, load)
    return blocked / (1 - load / slots * (1 - blocked))


def erlang_a(slots: int, rate: float, service: float, patience: float) -> tuple[float, Occupancy]:
    """Return (share who leave unserved, occupancy) of M/M/c+M: waiting requests lose patience.

    Palm (1957); Mandelbaum & Zeltyn, "Service engineering in action: the Palm/Erlang-A queue"
    (2007). Patience is exponential.

    Parameters
    ----------
    slots : int [>= 1]
    rate : float [1/s]
    service, patience : float [s]
        Means.

    Examples
    --------
    >>> left, chain = erlang_a(4, 36.0, 0.1, 2.0)
    >>> round(left, 6), round(chain.excess(4), 6)
    (0.043155, 3.107184)
    """
    count = slots + 64
    while True:
        n = np.arange(1, count + 1)
        deaths = np.minimum(n, slots) / service + np.maximum(n - slots, 0) / patience
        chain = birth_death(rate, deaths, count)
        if chain.probability[-1] < _NEGLIGIBLE:
            return chain.excess(slots) / patience / rate, chain
        count *= 2
