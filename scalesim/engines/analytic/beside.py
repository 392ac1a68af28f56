"""Two pools beside each other on shared processors: a replica's queries and its applies.

One slot applies, so that of the writes that wait one computes at a time, beside the queries. The
two numbers are a Markov chain in two dimensions, which is cut off where its probabilities vanish
and solved: exact for exponential work (Neuts, "Matrix-geometric solutions in stochastic models",
1981, treats such chains).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from scalesim.engines.analytic.occupancy import Occupancy

__all__ = ["Stream", "beside_each_other"]

_MOST_STATES = 40_000
_NEGLIGIBLE = 1e-7


class Stream(NamedTuple):
    """What comes to one of the pools.

    Parameters
    ----------
    rate : float [1/s]
    demand : float [s]
        Mean of the exponential work.
    slots : int
    most : int or None
        In the pool at once, those who wait included; None: any number.
    """

    rate: float
    demand: float
    slots: int
    most: int | None = None


def beside_each_other(
    first: Stream, second: Stream, share: Callable[[int], float]
) -> tuple[Occupancy, Occupancy, Occupancy] | None:
    """Return the numbers in two pools whose computations share processors, and that of these.

    Parameters
    ----------
    share : function
        Speed of each of so many computations, 1 at full speed.

    Returns
    -------
    (Occupancy, Occupancy, Occupancy) or None
        None if lines are too long for the chain to be solved, or grow without end.

    Examples
    --------
    >>> alone = Stream(50.0, 0.01, 1)
    >>> seldom = Stream(1e-9, 0.01, 1)
    >>> one, _, _ = beside_each_other(alone, seldom, lambda n: 1.0 / n)
    >>> round(one.mean, 6)
    1.0
    """
    depth = [32 if s.most is None else min(s.most, 32) for s in (first, second)]
    while (depth[0] + 1) * (depth[1] + 1) <= _MOST_STATES:
        p = _solved(first, second, share, depth[0], depth[1])
        margins = (p.sum(axis=1), p.sum(axis=0))
        short = [
            margin[-1] > _NEGLIGIBLE and top != s.most
            for margin, top, s in zip(margins, depth, (first, second), strict=True)
        ]
        if not any(short):
            n, m = np.indices(p.shape)
            computing = np.minimum(n, first.slots) + np.minimum(m, second.slots)
            counts = np.bincount(computing.ravel(), p.ravel())
            return Occupancy(margins[0]), Occupancy(margins[1]), Occupancy(counts)
        for k, s in enumerate((first, second)):
            if short[k]:
                depth[k] = depth[k] * 2 if s.most is None else min(depth[k] * 2, s.most)
    return None


def _solved(
    first: Stream, second: Stream, share: Callable[[int], float], top: int, high: int
) -> np.ndarray:
    """Return the probability of each pair of numbers, float array [top + 1, high + 1]."""
    from scipy.sparse import csc_matrix
    from scipy.sparse.linalg import spsolve

    n, m = np.meshgrid(np.arange(top + 1), np.arange(high + 1), indexing="ij")
    busy, other = np.minimum(n, first.slots), np.minimum(m, second.slots)
    speed = np.array([0.0] + [share(k) for k in range(1, first.slots + second.slots + 1)])
    each = speed[np.minimum(busy + other, len(speed) - 1)]
    at = n * (high + 1) + m
    moves = (
        (at, at + high + 1, first.rate, n < top),
        (at, at + 1, second.rate, m < high),
        (at, at - high - 1, busy * each / first.demand, n > 0),
        (at, at - 1, other * each / second.demand, m > 0),
    )
    row, column, value = [], [], []
    for start, end, rate, possible in moves:
        rates = np.broadcast_to(rate, at.shape)[possible]
        row += [end[possible], start[possible]]
        column += [start[possible], start[possible]]
        value += [rates, -rates]
    size = at.size
    matrix = csc_matrix((np.concatenate(value), (np.concatenate(row), np.concatenate(column))),
                        (size, size))  # fmt: skip
    # The balance of the empty state follows from the others; its probability is set to 1 at first.
    weights = spsolve(matrix[1:, 1:], -matrix[1:, 0].toarray()[:, 0])
    p = np.concatenate([[1.0], weights]).reshape(at.shape)
    found: np.ndarray = p / p.sum()
    return found
