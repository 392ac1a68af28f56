"""Balancers that look at the targets' numbers in flight: exact for few targets, limits for many.

Flatto & McKean (1977) and later work treat two targets; here the Markov chain of the sorted numbers
is cut off where its probabilities vanish and solved. Many targets: Vvedenskaya, Dobrushin &
Karpelevich (1996); Mitzenmacher, IEEE TPDS 12 (2001).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import numpy as np

from scalesim.engines.analytic.occupancy import Occupancy, birth_death

__all__ = ["mean_field", "pooled_and_mean_field", "shortest_of"]

_MOST_STATES = {2: 20_000, 3: 6_000}
_MOST_OF_MORE, _MOST_TARGETS = 4_000, 20


def shortest_of(
    targets: int,
    choices: int | None,
    rate: float,
    speed: Callable[[int], float],
    top: int | None = None,
) -> Occupancy | None:
    """Return the occupancy of one of few equal targets, exactly but for the cut-off.

    Parameters
    ----------
    targets : int
    choices : int or None
        How many are drawn, with replacement, for each request; None: all are looked at.
    rate : float [1/s]
        Of all requests.
    speed : function
        Completions a second of a target with n in flight.
    top : int, optional
        So many in flight at most; what is sent to a full target is turned away.

    Returns
    -------
    Occupancy or None
        None if the chain has too many states to be solved at once.

    Examples
    --------
    >>> two = shortest_of(2, None, 160.0, lambda n: 100.0)
    >>> round(2 * two.mean / 160, 6)
    0.029557
    """
    if top is None and speed(10_000) * targets <= rate:
        raise ValueError("arrivals are at least as fast as departures can get")
    if targets > _MOST_TARGETS:
        return None
    most = _MOST_STATES.get(targets, _MOST_OF_MORE)
    start = 16 if targets <= 3 else 4  # more are seldom far apart from each other
    depth = min(start, top or start)
    while math.comb(depth + targets, targets) <= most:
        states = list(itertools.combinations_with_replacement(range(depth + 1), targets))
        p = _solve(states, depth, choices, rate, speed)
        marginal = np.zeros(depth + 1)
        for state, probability in zip(states, p, strict=True):
            for n in state:
                marginal[n] += probability / targets
        if marginal[-1] < 1e-6 or depth == top:
            return Occupancy(marginal)
        depth = min(depth * 3 // 2, top or depth * 2)
    return None


def _solve(
    states: list[tuple[int, ...]],
    depth: int,
    choices: int | None,
    rate: float,
    speed: Callable[[int], float],
) -> np.ndarray:
    from scipy.sparse import csc_matrix
    from scipy.sparse.linalg import spsolve

    index = {state: i for i, state in enumerate(states)}
    targets = len(states[0])
    row: list[int] = []
    column: list[int] = []
    value: list[float] = []

    def move(i: int, to: tuple[int, ...], at: float) -> None:
        row.extend((index[tuple(sorted(to))], i))
        column.extend((i, i))
        value.extend((at, -at))

    for i, state in enumerate(states):
        for place in range(targets):
            n = state[place]
            if n:
                move(i, (*state[:place], n - 1, *state[place + 1 :]), speed(n))
            # Sorted: the chosen one is at `place` if all drawn are there or after, not all after.
            draws = math.inf if choices is None else choices
            share = ((targets - place) / targets) ** draws
            share -= ((targets - place - 1) / targets) ** draws
            if share > 0 and n < depth:
                move(i, (*state[:place], n + 1, *state[place + 1 :]), rate * share)
    size = len(states)
    matrix = csc_matrix((value, (row, column)), (size, size))
    # The balance of the empty state follows from the others; its probability is set to 1 at first.
    weights = np.concatenate([[1.0], spsolve(matrix[1:, 1:], -matrix[1:, 0].toarray()[:, 0])])
    solution: np.ndarray = weights / weights.sum()
    return solution


def mean_field(
    choices: int, rate: float, speed: Callable[[int], float], top: int | None = None
) -> Occupancy:
    """Return the occupancy of one of infinitely many targets, the least loaded of `choices` drawn.

    Parameters
    ----------
    choices : int [>= 1]
    rate : float [1/s]
        For each target.
    speed : function
        Completions a second of a target with n in flight.
    top : int, optional
        So many in flight at most.

    Examples
    --------
    >>> many = mean_field(2, 90.0, lambda n: 100.0)
    >>> round(many.mean, 6)
    2.352652
    """
    if top is None and speed(10_000) <= rate:
        raise ValueError("arrivals are at least as fast as departures can get")
    depth = min(64, top or 64)
    while True:
        service = np.asarray([speed(n) for n in range(1, depth + 1)])
        arrival = np.full(depth, rate)
        for _ in range(10_000):
            p = birth_death(arrival, service, depth).probability
            s = np.cumsum(p[::-1])[::-1]  # share of targets with k or more
            with np.errstate(invalid="ignore", divide="ignore"):
                wanted = rate * (s[:-1] ** choices - s[1:] ** choices) / p[:-1]
            wanted = np.where(p[:-1] > 1e-15, wanted, 0.0)
            if np.abs(wanted - arrival).max() < 1e-9 * rate:
                break
            arrival = (wanted + arrival) / 2
        if p[-1] < 1e-10 or depth == top:
            return Occupancy(p)
        depth = min(2 * depth, top or 2 * depth)


def pooled_and_mean_field(pooled: float, field: float) -> float:
    """Return the mean wait between two limits: one common line, and infinitely many targets [s].

    The root of the sum of squares: for loads at which no chain can be solved.
    """
    return math.hypot(pooled, field)
