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
2011), and has fewer degrees of freedom where a few samples make up the variance.

A quantile is bounded by the shares of requests beyond its neighbours (Woodruff, "Confidence
intervals for medians and other position measures", Journal of the American Statistical Association
1952). Slow requests come in stretches, a busy period each, and their number is as random as that of
the stretches: see `_accepted`.
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
    "student",
]

CONFIDENCE = 0.95
FEWEST_TRIALS = 5
"""From so many trials on the trials are the samples, with fewer the batches of all of them."""
BATCHES = (24, 18, 12, 9, 6)
"""How many batches are tried; more than 30 gain nothing (Schmeiser, Operations Research 1982)."""
HIGH_CORRELATION = 0.15
_MOST_CORRELATION = 0.9
_MOST_STRETCHES = 1e9


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


def student(degrees: float, confidence: float) -> float:
    """Return Student's t that leaves (1 - confidence) / 2 on each side."""
    from scipy.special import stdtrit

    return float(stdtrit(degrees, (1 + confidence) / 2))


def _skewed(t: float, skew: float) -> float:
    """Return Willink's t for samples whose mean has a sixth of its skewness equal to `skew`."""
    if abs(skew) < 1e-4:
        return t
    return float(np.cbrt(1 + 6 * skew * (t - skew)) - 1) / (2 * skew)


def _error(top: np.ndarray, bottom: np.ndarray, samples: Samples) -> tuple[float, np.ndarray]:
    """Return the standard error of sum(top) / sum(bottom), and the residuals of the samples."""
    residual = top - top.sum() / bottom.sum() * bottom
    square = float((residual * residual).mean())
    if square <= (1e-12 * np.abs(top).max()) ** 2:
        return 0.0, residual  # rounding, not chance: all samples are equal
    # An estimated lag-1 correlation of n samples is too low by 1/n (Kendall, Biometrika 1954).
    left = 0.0
    if samples.method == "batches":
        left = min(max(samples.correlation + 1 / samples.count, 0.0), _MOST_CORRELATION)
    wider = (1 + left) / (1 - left)
    error = math.sqrt(square / (samples.count - 1) * wider) / float(bottom.mean())
    return error, residual


def _bounds(
    top: np.ndarray, bottom: np.ndarray, samples: Samples, confidence: float
) -> tuple[float, float]:
    """Return the ends of the interval of the ratio sum(top) / sum(bottom).

    The degrees of freedom are those of a variance estimated from samples of their kurtosis
    (O'Neill, "Some useful moment results in sampling problems", The American Statistician 2014).
    """
    count, ratio = samples.count, float(top.sum() / bottom.sum())
    error, residual = _error(top, bottom, samples)
    if not error:
        return ratio, ratio
    square = float((residual**2).mean())
    kurtosis = float((residual**4).mean()) / square**2
    t = student(max(min(count - 1, 2 * count / (kurtosis - 1)), 1.0), confidence)
    skew = float((residual**3).mean()) / square**1.5 / (6 * math.sqrt(count))
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
    alike: float = 0.0,
) -> Estimate:
    """Return sum(top) / sum(bottom) with its interval.

    Parameters
    ----------
    top, bottom : float array [all measured buckets of all trials]
    lengths : sequence of int
        How many of them each trial has.
    alike : float
        If `bottom` counts observations and `top` some of them: how many of them may well fare
        alike; at least 1. Otherwise 0.
    """
    total = float(bottom.sum())
    value = float(top.sum()) / total if total else math.nan
    samples = _chosen(top, bottom, lengths, stationary)
    if samples is None or not total or not samples.sums(bottom).all():
        return Estimate(metric, value, math.nan, math.nan, confidence)
    low, most = _bounds(samples.sums(top), samples.sums(bottom), samples, confidence)
    least = max(low, 0.0)  # nothing that is measured is negative
    if alike:
        # What was never (always) seen may still be (not be) so, this often; and so may what was
        # seen hardly (nearly always): samples in which it happened to be rare say no more.
        unseen = _unseen(max(total / alike, 1.0), confidence)
        least = min(least, 1 - unseen) if value > 1 - unseen else least
        most = min(max(most, unseen) if value < unseen else most, 1.0)
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


def _accepted(
    top: np.ndarray, bottom: np.ndarray, samples: Samples, share: float, confidence: float
) -> tuple[float, float]:
    """Return between which measured shares beyond a value its true share may be `share`.

    Parameters
    ----------
    top, bottom : float array [samples]
        Requests beyond the estimated quantile, and all requests.

    Notes
    -----
    Slow requests come in stretches of random number and size. Such a sum is about gamma
    distributed, with a shape that is the squared mean over the variance: the number of equal
    stretches that would vary as much. The variance is taken at the estimated quantile, so that it
    does not shrink with the number of slow requests that happened to be seen. Where a few samples
    hold most of the slow requests, Kish's effective number of samples (Survey Sampling, 1965) gives
    the degrees of freedom. If it might well be that no stretch was seen at all (Poisson), the lower
    end is below 0.
    """
    from scipy.special import gammaincinv, ndtri

    seen, tail = float(top.sum() / bottom.sum()), (1 - confidence) / 2
    stretches, wider = share * float(bottom.sum()), 1.0  # as independent requests would make
    if seen:
        error, _ = _error(top, bottom, samples)
        alike = share / seen * float(top.sum()) ** 2 / float((top**2).sum())
        t = student(max(min(samples.count, alike) - 1, 1.0), confidence)
        wider = t / float(ndtri(1 - tail))
        stretches = seen * share / error**2 if error else _MOST_STRETCHES
    shape = min(stretches, _MOST_STRETCHES) / wider**2
    low, high = (share * float(gammaincinv(shape, each)) / shape for each in (tail, 1 - tail))
    return low if math.exp(-stretches) < tail else -1.0, high


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
    with 1 - p. No upper end is given where the requests beyond the quantile are so few, or lie in
    so few stretches of time, that there might have been none.

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
    shares = beyond.sum(axis=0) / total.sum()
    at = int(np.argmax(shares <= 1 - p + 1e-12))
    samples = _chosen(beyond[:, at], total.astype(float), lengths, stationary)
    if samples is None or not samples.sums(total).all():
        return Estimate(metric, value, math.nan, math.nan, confidence)
    given = samples.sums(beyond[:, at]), samples.sums(total)
    fewest, most = _accepted(*given, samples, 1 - p, confidence)
    lowest = int(np.flatnonzero(shares >= min(most, 1.0))[-1])
    highest = int(np.argmax(shares <= fewest))
    if highest == 1:  # surely one of the zeros
        return Estimate(metric, 0.0, 0.0, 0.0, confidence, samples.method, samples.count)
    unbounded = fewest < 0
    return Estimate(
        metric,
        value,
        min(float(edges[lowest]), value),
        math.inf if unbounded else max(float(edges[highest]), value),
        confidence,
        samples.method,
        samples.count,
        samples.correlation,
    )
