"""Detecting the warm-up: from when on a run looks like the rest of it.

MSER (White, "An effective truncation heuristic for bias reduction in simulation output", Simulation
1997; MSER-5: White, Cobb & Spratt, Winter Simulation Conference 2000) cuts where the standard error
of the mean of what remains is smallest. MSER-5 first averages five observations; here a bucket of
time is the average, over its requests and over the trials.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from scalesim.ops import COMPLETED
from scalesim.recording import Recording

__all__ = ["mser", "truncation"]

_LEAST_GAIN = 0.4
"""A cut that lowers the squared error by less is chance: stationary runs have such minima too."""
_ROUNDING = 1e-9
"""Values that differ by less than this share of them differ by rounding."""
_LEAST_LEFT = 0.3
"""Share of the values that stays: of a few at the end any may be close together by chance."""


def mser(values: np.ndarray, least: int = 0) -> int:
    """Return how many of the first `values` to cut, at least `least`.

    Parameters
    ----------
    values : float array [buckets]

    Examples
    --------
    >>> mser(np.asarray([9.0, 7.0, 5.0, 1.0, 2.0, 1.0, 2.0, 1.0, 2.0, 1.0, 2.0, 1.0]))
    3
    """
    count = len(values)
    if np.ptp(values) <= _ROUNDING * np.abs(values).max():
        return least
    cuts = np.arange(least, max(int(count * (1 - _LEAST_LEFT)), least + 1))
    left, own = count - cuts, values - values[least:].mean()
    sums, squares = (np.cumsum(each[::-1])[::-1][cuts] for each in (own, own * own))
    error = (squares - sums * sums / left) / left**2
    best = int(np.argmin(error))
    return int(cuts[best]) if error[best] < _LEAST_GAIN * error[0] else least


def truncation(recordings: Sequence[Recording], least: int) -> int:
    """Return how many buckets of time to cut: the longer of what latency and line length need.

    Parameters
    ----------
    least : int
        How many are cut in any case.
    """
    whole = [each for each in recordings if not each.partial]
    if not whole:
        return least
    with np.errstate(invalid="ignore", divide="ignore"):
        latency = sum(each.flow["latency"][:, :, COMPLETED].sum(axis=1) for each in whole) / sum(
            each.flow["count"][:, :, COMPLETED].sum(axis=1) for each in whole
        )
        width = np.diff(whole[0].spec.boundaries, prepend=0.0)
        line = sum(each.station["depth"].sum(axis=1) for each in whole) / width
    series = [each for each in (latency, line) if np.isfinite(each).all()]
    return max((mser(each, least) for each in series), default=least)
