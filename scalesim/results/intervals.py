"""Intervals: how far a simulated figure may be from the true one, by chance.

Everything reported is a ratio of two sums over time: latency / requests, busy time / time, requests
beyond a value / requests. Samples of numerator and denominator are independent trials or batches
of consecutive buckets of time, and the interval is that of a ratio of means.

Batches of one run depend on each other if they are short. They are merged until their lag-1
correlation is low (Fishman & Yarberry, "An implementation of the batch means method", INFORMS
Journal on Computing 1997); what remains of it widens the interval. Sums of waiting are skewed to
the right, which makes symmetrical intervals miss too often: Student's t is adjusted for the
skewness of the samples (Willink, "A confidence interval and test for the mean of an asymmetric
distribution", Communications in Statistics 2005), as in Skart (Tafazzoli & Wilson, IIE Transactions
2011).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from scalesim.results.latency import bucket_edges, histogram_quantile

__all__ = [
    "CONFIDENCE",
    "Estimate",
    "Samples",
    "merge",
    "quantile_interval",
    "ratio_interval",
    "separate_stretches",
    "student",
]

CONFIDENCE = 0.95
FEWEST_TRIALS = 5
"""From so many trials on the trials are the samples, with fewer the batches of all of them."""
BATCHES = (24, 18, 12, 9, 6)
"""How many batches are tried; more than 30 gain nothing (Schmeiser, Operations Research 1982)."""
HIGH_CORRELATION = 0.15
FEWEST_STRETCHES = 3.0


@dataclass(frozen=True)
class Estimate:
    """A figure and the interval that holds the true one with probability `confidence`.

    Parameters
    ----------
    metric : str
    value, low, high : float
        In the unit that ends the metric's name. An unbounded interval ends at inf; without
        interval (see `method`) both ends are nan.
    confidence : float [ratio]
    method : {"trials", "batches", "none", "unstable"}
        What the samples are: independent trials, or batches of time. ``none``: traffic that changes
        over time and too few trials, or nothing measured. ``unstable``: there is no true value.
    samples : int
        Number of trials or batches.
    correlation : float [ratio]
        Between neighbouring batches; high (above 0.15) if the run is too short for the interval to
        be trusted. 0 for trials.
    """

    metric: str
    value: float
    low: float
    high: float
    confidence: float = CONFIDENCE
    method: str = "none"
    samples: int = 0
    correlation: float = 0.0

    @property
    def half_width(self) -> float:
        """The larger of the distances to the two ends; nan without interval."""
        return max(self.high - self.value, self.value - self.low)

    @property
    def relative(self) -> float:
        """`half_width` / value; 0 if both are 0."""
        if self.half_width == 0.0:
            return 0.0
        return self.half_width / abs(self.value) if self.value else math.inf

    def covers(self, value: float) -> bool:
        """Return whether `value` lies in the interval."""
        return self.low <= value <= self.high

    def __str__(self) -> str:
        how = {"trials": f"{self.samples} trials", "batches": f"{self.samples} batches"}
        if self.method not in how:
            return f"{self.metric} {self.value:.4g}, no interval ({self.method})"
        return (
            f"{self.metric} {self.value:.4g}, {self.confidence:.0%} interval "
            f"{self.low:.4g} to {self.high:.4g} ({how[self.method]})"
        )


@dataclass(frozen=True)
class Samples:
    """How buckets of time become samples.

    Parameters
    ----------
    groups : int array [all buckets of all trials]
        Which sample each bucket belongs to; -1: none.
    count : int
    neighbours : bool array [count - 1]
        Whether sample i + 1 follows sample i in the same trial.
    method : str
    correlation : float
    """

    groups: np.ndarray
    count: int
    neighbours: np.ndarray
    method: str
    correlation: float = 0.0

    def sums(self, values: np.ndarray) -> np.ndarray:
        """Return the sums of `values` [buckets, ...] over each sample."""
        inside = self.groups >= 0
        out = np.zeros((self.count, *values.shape[1:]))
        np.add.at(out, self.groups[inside], values[inside])
        return out


def merge(lengths: Sequence[int], stationary: bool, batches: int) -> Samples | None:
    """Return trials as samples, or about `batches` batches of them; None if there is no way.

    Parameters
    ----------
    lengths : sequence of int
        Measured buckets of each trial.
    stationary : bool
        Whether parts of a trial are samples of the same thing.
    """
    if len(lengths) >= FEWEST_TRIALS or (not stationary and len(lengths) > 1):
        groups = np.repeat(np.arange(len(lengths)), lengths)
        return Samples(groups, len(lengths), np.zeros(len(lengths) - 1, bool), "trials")
    if not stationary:
        return None
    parts, count, trial_of = [], 0, []
    for trial, length in enumerate(lengths):
        size = max(1, length // max(3, round(batches / len(lengths))))
        own = length // size
        # What does not fill a batch is left out at the beginning, where a transient would be.
        groups = np.repeat(np.arange(count, count + own), size)
        parts.append(np.concatenate([np.full(length - own * size, -1), groups]))
        trial_of += [trial] * own
        count += own
    if count < 3:
        return None
    return Samples(np.concatenate(parts), count, np.diff(trial_of) == 0, "batches")


def student(degrees: int, confidence: float) -> float:
    """Return Student's t that leaves (1 - confidence) / 2 on each side."""
    from scipy.special import stdtrit

    return float(stdtrit(degrees, (1 + confidence) / 2))


def _skewed(t: float, skew: np.ndarray) -> np.ndarray:
    """Return Willink's t for samples whose mean has a sixth of its skewness equal to `skew`."""
    skew = np.where(np.abs(skew) < 1e-4, 1e-4, skew)
    adjusted: np.ndarray = (np.cbrt(1 + 6 * skew * (t - skew)) - 1) / (2 * skew)
    return adjusted


def _bounds(
    top: np.ndarray, bottom: np.ndarray, samples: Samples, confidence: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return the ends of the intervals of the ratios sum(top) / sum(bottom).

    Parameters
    ----------
    top : float array [samples, ratios]
    bottom : float array [samples]
    """
    count = samples.count
    ratio = top.sum(axis=0) / bottom.sum()
    residual = top - ratio * bottom[:, None]
    square = (residual * residual).mean(axis=0)
    # Rounding, not chance: all samples are equal.
    square[square <= (1e-12 * np.abs(top).max(axis=0)) ** 2] = 0.0
    left = max(samples.correlation, 0.0)
    error = np.sqrt(square / (count - 1) * (1 + left) / (1 - left)) / bottom.mean()
    with np.errstate(invalid="ignore", divide="ignore"):
        skew = (residual**3).mean(axis=0) / square**1.5 / (6 * math.sqrt(count))
    skew = np.where(square > 0, skew, 0.0)
    t = student(count - 1, confidence)
    return ratio - _skewed(t, skew) * error, ratio - _skewed(-t, skew) * error


def _chosen(
    top: np.ndarray, bottom: np.ndarray, lengths: Sequence[int], stationary: bool
) -> Samples | None:
    """Return samples of low correlation, or the last tried."""
    samples = None
    for batches in BATCHES:
        samples = merge(lengths, stationary, batches)
        if samples is None or samples.method == "trials":
            return samples
        x, y = samples.sums(top), samples.sums(bottom)
        total = y.sum()
        residual = x - (x.sum() / total if total else 0.0) * y
        square = float((residual * residual).sum())
        pairs = (residual[1:] * residual[:-1])[samples.neighbours]
        found = float(pairs.sum()) / square if square > 0 else 0.0
        samples = Samples(samples.groups, samples.count, samples.neighbours, "batches", found)
        if found <= HIGH_CORRELATION:
            break
    return samples


def ratio_interval(
    metric: str,
    top: np.ndarray,
    bottom: np.ndarray,
    lengths: Sequence[int],
    stationary: bool,
    confidence: float,
    *,
    share: bool = False,
) -> Estimate:
    """Return sum(top) / sum(bottom) with its interval.

    Parameters
    ----------
    top, bottom : float array [all measured buckets of all trials]
    lengths : sequence of int
        How many of them each trial has.
    share : bool
        Whether `bottom` counts observations and `top` some of them.
    """
    total = float(bottom.sum())
    value = float(top.sum()) / total if total else math.nan
    samples = _chosen(top, bottom, lengths, stationary)
    if samples is None or not total or not samples.sums(bottom).all():
        return Estimate(metric, value, math.nan, math.nan, confidence)
    low, high = _bounds(samples.sums(top)[:, None], samples.sums(bottom), samples, confidence)
    least, most = max(float(low[0]), 0.0), float(high[0])  # nothing that is measured is negative
    if share:
        # What was never (always) seen may still be (not be) so, this often.
        unseen = _unseen(total, confidence)
        least = min(least, 1 - unseen) if value == 1 else least
        most = min(max(most, unseen) if value == 0 else most, 1.0)
    return Estimate(
        metric,
        value,
        min(least, value),
        max(most, value),
        confidence,
        samples.method,
        samples.count,
        samples.correlation,
    )


def _unseen(count: float, confidence: float) -> float:
    """Return the largest share that `count` independent observations may well miss altogether."""
    return 1 - math.pow((1 - confidence) / 2, 1 / count)


def separate_stretches(counts: np.ndarray) -> float:
    """Return in how many buckets of time the counts would lie, were they spread evenly: at least 1.

    Waits beyond a high quantile come in a few long stretches of bad luck; a thousand of them in one
    stretch say little more than one.
    """
    square = float((counts.astype(float) ** 2).sum())
    return float(counts.sum()) ** 2 / square if square else 0.0


def quantile_interval(
    metric: str,
    first: int,
    histograms: np.ndarray,
    zeros: np.ndarray,
    p: float,
    lengths: Sequence[int],
    stationary: bool,
    confidence: float,
) -> Estimate:
    """Return the quantile at `p` with its interval, the width of the histogram's buckets included.

    The interval holds the values x for which the measured share of requests beyond x is compatible
    with 1 - p. No upper end is given where the requests beyond the quantile are too few, or lie in
    fewer than 3 stretches.

    Parameters
    ----------
    first : int
        The place in the whole histogram at which `histograms` begins.
    histograms : int64 array [all measured buckets of all trials, places]
    zeros : int64 array [all measured buckets of all trials]
        Further observations of exactly zero.
    """
    pooled = np.zeros(first + histograms.shape[1], np.int64)
    pooled[first:] = histograms.sum(axis=0)
    value = histogram_quantile(pooled, p, int(zeros.sum()))
    if math.isnan(value):
        return Estimate(metric, value, math.nan, math.nan, confidence)
    # beyond[:, 0]: all, also zeros; then those at or above the lower edge of each place; then none.
    total = histograms.sum(axis=1) + zeros
    slower = histograms[:, ::-1].cumsum(axis=1)[:, ::-1]
    beyond = np.pad(np.column_stack([total, slower]), ((0, 0), (0, 1))).astype(float)
    edges = np.concatenate([[0.0], bucket_edges()[first : len(pooled) + 1]])
    edges[1] = 0.0 if first == 0 else edges[1]
    at = int(np.argmax(beyond.sum(axis=0) <= (1 - p) * total.sum() + 1e-9))
    samples = _chosen(beyond[:, at], total.astype(float), lengths, stationary)
    if samples is None or not samples.sums(total).all():
        return Estimate(metric, value, math.nan, math.nan, confidence)
    low, high = _bounds(samples.sums(beyond), samples.sums(total), samples, confidence)
    # Where nobody was seen beyond, even independent requests leave this share possible.
    unseen = _unseen(float(total.sum()), confidence)
    high = np.maximum(high, np.where(beyond.any(axis=0), 0.0, unseen))
    highest = int(np.flatnonzero(high >= 1 - p)[-1]) + 1
    lowest = int(np.flatnonzero(low <= 1 - p)[0]) - 1
    if highest == 1:  # surely one of the zeros
        return Estimate(metric, 0.0, 0.0, 0.0, confidence, samples.method, samples.count)
    few = separate_stretches(beyond[:, at]) < FEWEST_STRETCHES and beyond[:, at].any()
    unbounded = highest >= len(edges) or few
    return Estimate(
        metric,
        value,
        min(float(edges[max(lowest, 0)]), value),
        math.inf if unbounded else max(float(edges[highest]), value),
        confidence,
        samples.method,
        samples.count,
        samples.correlation,
    )
