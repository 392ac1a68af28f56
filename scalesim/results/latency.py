"""Latency: exact means, quantiles from the log-scale histogram.

A quantile is the nearest rank: the smallest value x with P(latency <= x) >= p, read to within its
bucket. Buckets are 1/64 of an octave wide at most, and the middle is reported: the error is below
0.8 % of the value.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from scalesim.errors import InvalidInput
from scalesim.kernels.draws import BUCKETS, BUCKETS_PER_OCTAVE, LOWEST_EXPONENT

__all__ = ["Latency", "bucket_edges", "histogram_quantile"]


def bucket_edges() -> np.ndarray:
    """Return the edges of the histogram's buckets [s], float array [BUCKETS + 1]."""
    index = np.arange(BUCKETS + 1)
    octave, step = np.divmod(index, BUCKETS_PER_OCTAVE)
    edges: np.ndarray = np.ldexp(1.0 + step / BUCKETS_PER_OCTAVE, octave + LOWEST_EXPONENT)
    return edges


def histogram_quantile(counts: np.ndarray, p: float, zeros: int = 0) -> float:
    """Return the nearest-rank quantile of a histogram; nan if it is empty.

    Parameters
    ----------
    counts : int64 array [BUCKETS]
    p : float (0 .. 1)
    zeros : int
        Further observations of exactly zero.
    """
    total = int(counts.sum()) + zeros
    if total == 0:
        return math.nan
    rank = max(1, math.ceil(p * total - 1e-9))
    if rank <= zeros:
        return 0.0
    place = int(np.searchsorted(np.cumsum(counts), rank - zeros))
    edges = bucket_edges()[place : place + 2]
    return 0.0 if place == 0 else float((edges[0] + edges[1]) / 2)


@dataclass(frozen=True, eq=False)
class Latency:
    """Latency of the requests that ended in one way in the measured window.

    Parameters
    ----------
    count : int
    total, squared, longest : float [s, s^2, s]
    histogram : int64 array [BUCKETS]
    """

    count: int
    total: float
    squared: float
    longest: float
    histogram: np.ndarray

    @property
    def mean(self) -> float:
        """Exact mean [s]; nan if there was no request."""
        return self.total / self.count if self.count else math.nan

    @property
    def std(self) -> float:
        """Exact standard deviation [s]; nan for fewer than two requests."""
        if self.count < 2:
            return math.nan
        spread = self.squared - self.total * self.total / self.count
        return math.sqrt(max(spread, 0.0) / (self.count - 1))

    def quantile(self, p: float) -> float:
        """Return the quantile at probability `p` in (0, 1) [s], within 0.8 %; nan if empty."""
        if not 0 < p < 1:
            raise InvalidInput(f"quantile: got {p}, allowed is a probability above 0 and below 1")
        return min(histogram_quantile(self.histogram, p), self.longest) if self.count else math.nan
