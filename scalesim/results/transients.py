"""What happens when: requests in flight over time, and how long a backlog takes to drain.

Parts of a run under changing traffic are no samples of each other, so that intervals are from
trials only.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from scalesim.errors import InvalidInput
from scalesim.results.intervals import Estimate, student
from scalesim.results.measured import widths

if TYPE_CHECKING:
    import pandas as pd

    from scalesim.results.results import Results

__all__ = ["backlog_table", "drain_time"]


def _in_flight(results: Results, component: str | None) -> np.ndarray:
    """Return requests in flight, float array [trials, buckets]; nan where a trial did not get.

    Of the whole system at the end of each bucket, of a component (its busiest resource) the mean
    over the bucket.
    """
    rows = []
    for each in results.recordings:
        width = widths(each)
        with np.errstate(invalid="ignore", divide="ignore"):
            if component is None:
                ended = each.flow["count"].sum(axis=(1, 2))
                values = np.cumsum(each.arrived.sum(axis=1) - ended).astype(float)
            else:
                own = each.station[:, results.stations_of(component)]
                values = (own["busy"] + own["depth"]).max(axis=1) / width
        rows.append(np.where(width > 0, values, math.nan))
    return np.asarray(rows)


def _mean(values: np.ndarray, confidence: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return mean and ends of the t-interval over the first axis."""
    mean, count = values.mean(axis=0), len(values)
    if count < 2:
        return mean, np.full_like(mean, math.nan), np.full_like(mean, math.nan)
    half = student(count - 1, confidence) * values.std(axis=0, ddof=1) / math.sqrt(count)
    return mean, mean - half, mean + half


def backlog_table(results: Results, component: str | None, confidence: float) -> pd.DataFrame:
    """Return requests in flight over time, with the interval of their mean over trials."""
    import pandas as pd

    values = _in_flight(results, component)
    mean, low, high = _mean(values, confidence)
    ends = results.recordings[0].spec.boundaries
    return pd.DataFrame(
        {
            "start_s": np.concatenate([[0.0], ends[:-1]]),
            "end_s": ends,
            "in_flight_mean": mean,
            "in_flight_mean_low": np.maximum(low, 0.0),
            "in_flight_mean_high": high,
            "in_flight_max": values.max(axis=0),
        }
    )


def drain_time(
    results: Results, since: float, level: float | None, component: str | None, confidence: float
) -> Estimate:
    """Return how long after `since` the requests in flight are back at `level`."""
    spec = results.recordings[0].spec
    if not 0 <= since < spec.duration:
        raise InvalidInput(
            f"since: got {since!r}, allowed is 0 s to the duration, {spec.duration:g} s"
        )
    values = _in_flight(results, component)
    if level is None:
        level = float(np.nanmedian(values))
    # Of a component the mean over a bucket is known: it may have come down in the one before.
    back = 0 if component is None else 1
    drained = [_drained(row, spec.boundaries, since, level, back) for row in values]
    first, at, last = np.asarray(drained).T
    name = "drain_time_s" if component is None else f"drain_time_s@{component}"
    count = len(at)
    if not np.isfinite(at).all():
        return Estimate(name, math.inf, math.nan, math.inf, confidence, "none", count)
    mean = float(at.mean())
    if count < 2:
        return Estimate(name, mean, math.nan, math.nan, confidence, "none", count)
    low, high = float(_mean(first, confidence)[1]), float(_mean(last, confidence)[2])
    return Estimate(name, mean, max(low, 0.0), high, confidence, "trials", count)


def _drained(
    values: np.ndarray, ends: np.ndarray, since: float, level: float, back: int
) -> tuple[float, float, float]:
    """Return when after `since` `values` first come down to `level`: at least, about, at most.

    When in its bucket of time it happened is not known, nor in which of the `back` before. All are
    inf if it does not happen.
    """
    after = np.flatnonzero((ends >= since) & (values <= level))
    if not len(after):
        return math.inf, math.inf, math.inf
    i = int(after[0])
    starts = np.concatenate([[0.0], ends[:-1]])
    first, last = (max(float(x) - since, 0.0) for x in (starts[max(i - back, 0)], ends[i]))
    if i == 0 or values[i - 1] <= level:
        return 0.0, 0.0, last  # it was down before
    share = (values[i - 1] - level) / (values[i - 1] - values[i])
    return first, max(float(starts[i] + share * (ends[i] - starts[i])) - since, first), last
