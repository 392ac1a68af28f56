"""Judgement: is a simulated figure the expected one, and how large an error would have shown?

Every random figure gets a t-interval over independent trials. One suite compares many figures, so
each interval has the false-alarm probability `FALSE_ALARM` / number of figures (Bonferroni): a
suite whose numbers are all right fails once in a hundred runs, whatever the figures' dependence.

An interval that is wide proves little. So each figure also says what it *detects*: the smallest
relative error that would have been called wrong with probability 99 %, which is

    (t quantile of the interval + t quantile at 99 %) * standard error + resolution,

where the resolution is that of the histograms that quantiles are read from, and what its *power*
is: the probability that an error of 2 % would have been called wrong. A figure whose interval is
wider than both 2 % and the case's own tolerance, and which is not within that tolerance itself,
counts as failed: run longer.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from scipy import stats

from scalesim.results.latency import histogram_quantile

__all__ = [
    "AIM",
    "Estimated",
    "FALSE_ALARM",
    "TOO_WIDE",
    "Expected",
    "Largest",
    "Quantile",
    "Verdict",
    "flat",
    "judge",
]

FALSE_ALARM = 0.01
"""Probability that a whole suite of right numbers fails."""

AIM = 0.02
"""Relative error of a mean that has to be caught."""

POWER = 0.99
TOO_WIDE = "interval too wide: run longer"
EXACT = 1e-9
"""Of times of traces [s], and relative of numbers that were printed with 12 digits."""


@dataclass(frozen=True)
class Expected:
    """What a case says of one metric.

    Parameters
    ----------
    value : number, string, bool, None or a list of them
    kind : {"exact", "asymptotic", "published", "bound_upper", "bound_lower"}
    relative, absolute : float
        The tolerance is the larger of the two; 0 if neither is given.
    """

    value: Any
    kind: str = "exact"
    relative: float = 0.0
    absolute: float = 0.0

    @classmethod
    def read(cls, data: dict[str, Any]) -> Expected:
        return cls(
            data["value"],
            data["kind"],
            data.get("tolerance_rel") or 0.0,
            data.get("tolerance_abs") or 0.0,
        )

    @property
    def figures(self) -> int:
        """How many numbers are compared."""
        return len(flat(self.value))

    def tolerance(self, value: float) -> float:
        """Return what the case allows around one value."""
        return max(self.relative * abs(value), self.absolute)


@dataclass(frozen=True)
class Verdict:
    """One figure, judged.

    Parameters
    ----------
    mean, half : float
        The interval is mean ± half.
    detects : float
        Smallest relative error that would have failed with probability 99 %; nan for bounds and
        where the expected value is zero.
    ok : bool
    why : str
        What is wrong; "" if nothing is.
    """

    expected: Any
    got: Any
    half: float
    detects: float
    ok: bool
    why: str = ""
    excess: float = 0.0
    """How many times too wide the interval is to detect what it should."""
    power: float = math.nan
    """Probability that a mean wrong by `AIM` would have failed; nan for what is no mean."""

    @property
    def wrong(self) -> bool:
        """Whether the number is wrong, and not just too little known."""
        return not self.ok and self.why != TOO_WIDE


@dataclass(frozen=True)
class Quantile:
    """A quantile of one trial: its histogram, as many zeros beside it, and the probability.

    The quantile is that of all trials together. How far it may be off follows from the share of
    observations below it, which is a ratio of sums over the trials: its t-interval p ± h gives
    the interval from the quantile at p - h to that at p + h. (The mean of the trials' own
    quantiles would be biased: a short trial seldom sees a long tail.)
    """

    p: float
    counts: np.ndarray
    zeros: int = 0


@dataclass(frozen=True)
class Largest:
    """The largest of several means in one trial: ``response_time_mean_s_worst_consumer``.

    Over all trials it is the mean that is largest then. (The mean of each trial's largest would be
    biased upwards: of equal ones, another is ahead by chance in each trial.)
    """

    values: tuple[float, ...]


@dataclass(frozen=True)
class Estimated:
    """A mean with its standard error, from so many independent trials."""

    mean: float
    error: float
    trials: int


def flat(value: Any) -> list[Any]:
    """Return a value or list of values as a list."""
    return list(value) if isinstance(value, (list, tuple)) else [value]


def judge(
    expected: Expected, values: Sequence[Any], figures: int, resolution: float = 0.0
) -> list[Verdict]:
    """Judge one metric, element by element.

    Parameters
    ----------
    expected : what the case says
    values : the metric in each independent trial; a single one is deterministic
    figures : how many figures the suite compares
    resolution : relative error of the reading
    """
    wanted = flat(expected.value)
    got = [flat(each) for each in values]
    if any(len(each) != len(wanted) for each in got):
        lengths = sorted({len(each) for each in got})
        return [Verdict(expected.value, got[0], 0.0, math.nan, False, f"{lengths} values")]
    return [
        _one(expected, target, [each[i] for each in got], figures, resolution)
        for i, target in enumerate(wanted)
    ]


def _quantile(
    expected: Expected, target: float, trials: list[Quantile], figures: int, resolution: float
) -> Verdict:
    counts, zeros = sum(t.counts for t in trials), sum(t.zeros for t in trials)
    p, n = trials[0].p, len(trials)
    middle = histogram_quantile(counts, p, zeros)
    last = int(np.searchsorted(np.cumsum(counts), max(p * (counts.sum() + zeros) - zeros, 0)))
    seen = np.asarray([t.counts.sum() + t.zeros for t in trials], float)
    below = np.asarray([t.counts[: last + 1].sum() + t.zeros for t in trials], float)
    if middle == 0:
        below = np.asarray([t.zeros for t in trials], float)
    excess = below - below.sum() / seen.sum() * seen
    error = math.sqrt(float((excess**2).sum()) / max(n * (n - 1), 1)) / float(seen.mean())

    def farthest(h: float) -> float:
        if p + h >= 1:
            return math.inf
        ends = [histogram_quantile(counts, each, zeros) for each in (max(p - h, 0.0), p + h)]
        return max(middle - ends[0], ends[1] - middle)

    wide, more = _quantiles_of_t(figures, n) if n > 1 else (0.0, 0.0)
    half, detects = farthest(wide * error), farthest((wide + more) * error)
    return _verdict(expected, target, middle, half, detects, resolution)


@cache
def _quantiles_of_t(figures: int, n: int) -> tuple[float, float]:
    """Return the t quantiles of the interval and of its power, for `n` trials."""
    wide = stats.t.ppf(1 - FALSE_ALARM / figures / 2, n - 1)
    return float(wide), float(stats.t.ppf(POWER, n - 1))


def _one(
    expected: Expected, target: Any, values: list[Any], figures: int, resolution: float
) -> Verdict:
    if isinstance(values[0], Quantile):
        return _quantile(expected, target, values, figures, resolution)
    if isinstance(values[0], Largest):
        each = np.asarray([x.values for x in values], float)
        values = list(each[:, int(np.argmax(each.mean(axis=0)))])
    if isinstance(values[0], Estimated):
        mean, error, n = values[0].mean, values[0].error, values[0].trials
        return _of_mean(expected, target, mean, error, n, figures, resolution)
    if not _number(target) or not all(_number(each) for each in values):
        same = all(each == target for each in values)
        return Verdict(target, values[0], 0.0, math.nan, same, "" if same else "differs")
    sample = np.asarray(values, float)
    mean, n = float(sample.mean()), len(sample)
    # Trials that differ in the last digits only have no chance in them.
    error = float(sample.std(ddof=1)) / math.sqrt(n) if n > 1 else 0.0
    if error <= 1e-12 * abs(mean):
        error = 0.0
    return _of_mean(expected, target, mean, error, n, figures, resolution)


def _of_mean(
    expected: Expected, target: float, mean: float, error: float, n: int, figures: int,
    resolution: float,
) -> Verdict:  # fmt: skip
    """Judge a mean with its standard error from `n` trials."""
    half = detects = 0.0
    if error:
        wide, more = _quantiles_of_t(figures, n)
        half, detects = wide * error, (wide + more) * error
    verdict = _verdict(expected, target, mean, half, detects, resolution)
    if expected.kind.startswith("bound") or not target:
        return verdict
    power = _power(abs(target) * AIM - half - _slack(expected, target, half, resolution), error, n)
    return dataclasses.replace(verdict, power=power)


def _power(beyond: float, error: float, n: int) -> float:
    """Return how likely a figure fails that is wrong by `beyond` more than what is let pass."""
    if not error:
        return float(beyond > 0)
    return float(stats.t.cdf(beyond / error, n - 1))


def _slack(expected: Expected, target: float, half: float, resolution: float) -> float:
    """Return how far beside its interval a value may be."""
    slack = max(
        EXACT * max(abs(target), 1.0 if not half else abs(target)), resolution * abs(target)
    )
    if expected.kind != "exact":
        return slack + expected.tolerance(target)  # the distance to the limit
    if half or expected.absolute > EXACT:
        return max(slack, expected.absolute)  # of events too rare for an interval
    return slack


def _verdict(
    expected: Expected, target: float, mean: float, half: float, detects: float, resolution: float
) -> Verdict:
    tolerance = expected.tolerance(target)
    if expected.kind in ("bound_upper", "bound_lower"):
        over = mean - target if expected.kind == "bound_upper" else target - mean
        ok = over <= tolerance + half
        return Verdict(target, mean, half, math.nan, ok, "" if ok else "beyond the bound")
    slack = _slack(expected, target, half, resolution)
    relative = (detects + slack) / abs(target) if target else math.nan
    ok = math.isfinite(mean) and abs(mean - target) <= half + slack
    why = "" if ok else f"off by {abs(mean / target - 1):.2%}" if target else "not zero"
    allowed = max(AIM * abs(target), tolerance)
    if ok and half > allowed and not abs(mean - target) <= tolerance:
        ok, why = False, TOO_WIDE
    aim = max(AIM * abs(target), expected.absolute, tolerance if resolution else 0.0)
    return Verdict(target, mean, half, relative, ok, why, detects / aim if aim else 0.0)


def _number(value: Any) -> bool:
    return isinstance(value, (int, float, np.number)) and not isinstance(value, (bool, np.bool_))
