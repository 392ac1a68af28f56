"""Closed networks: exact by convolution, multi-class exact and approximate, and bounds.

Buzen, CACM 16 (1973); Reiser & Lavenberg, JACM 27 (1980); Lazowska, Zahorjan, Graham & Sevcik,
"Quantitative system performance" (1984), chapters 5 to 8.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

__all__ = ["Bounds", "ClosedNetwork", "bounds", "exact_multiclass", "linearizer"]

_ROUNDS = 3
"""More change little (Chandy & Neuse)."""
_STEPS = 10_000


class ClosedNetwork:
    """Exact solution of a closed product-form network for every population up to `users`.

    Stations' speeds may depend on how many are there, so that processors with several cores and
    whole subnetworks (Chandy, Herzog & Woo, IBM J. R&D 19, 1975) are stations, too. Convolution, in
    which all terms are positive, keeps its precision where the recursion of mean values loses it.

    Parameters
    ----------
    users : int
    delay : float [s]
        Time for each round spent without queueing (think time, sleeping).
    stations : sequence of (float, float array [users])
        Visits for each round, and completions a second with 1 .. `users` present.

    Examples
    --------
    >>> import numpy as np
    >>> machines = ClosedNetwork(10, 10.0, [(1.0, np.minimum(np.arange(1, 11), 2) / 2.0)])
    >>> round(float(machines.throughput[10]), 12)
    0.759627846987
    """

    def __init__(
        self, users: int, delay: float, stations: Sequence[tuple[float, np.ndarray]]
    ) -> None:
        self.users = users
        scale = min((float(speed.max()) / visits for visits, speed in stations), default=1.0)
        n = np.arange(1, users + 1)
        terms = [np.log(visits * scale) - np.log(speed[:users]) for visits, speed in stations]
        if delay > 0:
            terms.append(np.log(delay * scale) - np.log(n))
        wide = np.longdouble  # the factors span more powers of ten than a double holds
        factors = [np.exp(np.concatenate([[0], np.cumsum(term.astype(wide))])) for term in terms]
        self._factors = factors[: len(stations)]
        self._others = [
            _product([f for k, f in enumerate(factors) if k != i], users)
            for i in range(len(stations))
        ]
        self._whole = whole = _product(factors, users)
        self.throughput = np.zeros(users + 1)
        """Rounds a second with 0 .. `users` users."""
        with np.errstate(invalid="ignore", divide="ignore"):
            self.throughput[1:] = (whole[:-1] / whole[1:]).astype(float) * scale
        bare = delay + sum(visits / float(speed[0]) for visits, speed in stations)
        lost = ~np.isfinite(self.throughput) | (self.throughput <= 0)
        self.throughput[lost] = np.arange(users + 1)[lost] / bare

    def marginal(self, station: int, users: int) -> np.ndarray:
        """Return the distribution of the number at a station, float array [users + 1]."""
        f, g = self._factors[station][: users + 1], self._others[station][: users + 1]
        weights: np.ndarray = (f * g[::-1] / self._whole[users]).astype(float)
        return weights


def _product(factors: Sequence[np.ndarray], users: int) -> np.ndarray:
    whole = np.zeros(users + 1, np.longdouble)
    whole[0] = 1
    for factor in factors:
        whole = np.convolve(whole, factor)[: users + 1]
    return whole


def exact_multiclass(
    users: Sequence[int], think: Sequence[float], demands: Sequence[Sequence[float]]
) -> tuple[np.ndarray, np.ndarray]:
    """Return (throughput by class, response [classes, stations]) by exact mean value analysis.

    Stations have one server each, shared or first come first served with equal exponential
    services. The work grows as the product of the populations.

    Parameters
    ----------
    users, think : sequence [classes]
    demands : sequence of sequence of float [s] [classes][stations]

    Examples
    --------
    >>> x, r = exact_multiclass([20], [1.0], [[0.05]])
    >>> round(float(x[0]), 6), round(float(r[0].sum()), 6)
    (16.822161, 0.188908)
    """
    demand, pause = np.asarray(demands, float), np.asarray(think, float)
    classes, stations = demand.shape
    queue = {(0,) * classes: np.zeros(stations)}
    throughput, response = np.zeros(classes), np.zeros_like(demand)
    for population in itertools.product(*(range(count + 1) for count in users)):
        if not any(population):
            continue
        throughput, response = np.zeros(classes), np.zeros_like(demand)
        for c, count in enumerate(population):
            if count:
                fewer = (*population[:c], count - 1, *population[c + 1 :])
                response[c] = demand[c] * (1 + queue[fewer])
                throughput[c] = count / (pause[c] + response[c].sum())
        queue[population] = throughput @ response
    return throughput, response


def linearizer(
    users: Sequence[int],
    think: Sequence[float],
    demands: Sequence[Sequence[float]],
    servers: Sequence[int] | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Return what `exact_multiclass` does, approximately and fast.

    Chandy & Neuse, CACM 25 (1982): an arriving request of a class sees the means with one fewer of
    it; how the share of each class at each station changes by that is found at the next smaller
    populations, where it is taken to change alike. Several servers: Seidmann's split of the demand
    D into a queue of D/c and a delay of D (c - 1)/c (Seidmann, Schweitzer & Shalev-Oren, 1987).

    Examples
    --------
    >>> x, r = linearizer([20], [1.0], [[0.05]])
    >>> round(float(x[0]), 2)
    16.91
    """
    demand, count = np.asarray(demands, float), np.asarray(users, float)
    classes, stations = demand.shape
    cores = np.ones(stations) if servers is None else np.asarray(servers, float)
    queueing, fixed = demand / cores, demand * (cores - 1) / cores
    pause = np.asarray(think, float) + fixed.sum(axis=1)
    one = np.eye(classes)
    change = np.zeros((classes, classes, stations))  # by who is fewer; of each class's share

    def core(present: np.ndarray, queue: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        for _ in range(_STEPS):
            share = queue / np.maximum(present, 1)[:, None]
            fewer = np.maximum(present - one, 0)
            seen = (fewer[:, :, None] * (share + change)).sum(axis=1)
            response = queueing * (1 + np.maximum(seen, 0))
            throughput = present / (pause + response.sum(axis=1))
            new = throughput[:, None] * response
            close = np.abs(new - queue).max() < 1e-10 * count.max()
            queue = new
            if close:
                break
        return throughput, response, queue

    throughput, response, queue = core(count, np.outer(count, np.ones(stations)) / stations)
    for _ in range(_ROUNDS):
        share = queue / np.maximum(count, 1)[:, None]
        less = np.zeros_like(change)
        for c in range(classes):
            present = np.maximum(count - one[c], 0)
            less[c] = core(present, queue)[2] / np.maximum(present, 1)[:, None]
            less[c, present == 0] = share[present == 0]
        change = less - share
        throughput, response, queue = core(count, queue)
    return throughput, response + fixed


class Bounds(NamedTuple):
    """Asymptotic bounds of a closed network [requests/s, s]."""

    throughput_low: float
    throughput_high: float
    response_low: float
    response_high: float


def bounds(users: int, think: float, demands: Sequence[float], servers: Sequence[int]) -> Bounds:
    """Return the asymptotic bounds (Denning & Buzen, 1978; Lazowska et al., chapter 5).

    Examples
    --------
    >>> b = bounds(300, 5.0, [0.035, 0.03], [1, 1])
    >>> round(b.throughput_high, 4), round(b.response_low, 4)
    (28.5714, 5.5)
    """
    total = sum(demands)
    slowest = max(d / c for d, c in zip(demands, servers, strict=True))
    high = min(1 / slowest, users / (think + total))
    low = users / (think + users * total)
    return Bounds(low, high, max(total, users * slowest - think), users * total)
