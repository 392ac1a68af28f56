"""Times as random quantities: mean and variance exactly, the whole law on a grid when asked.

A law is its probability masses on multiples of a step, so that sums are products of transforms and
the slowest of several is a product of cumulated masses. The step is a small part of the mean, which
keeps quantiles within 0.5 %: a part of the law that is a constant is off by up to half a step.
Waits for one server are within 0.01 % of the quantile or of the mean, whichever is more.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, reduce
from typing import NamedTuple

import numpy as np

from scalesim.distributions import Constant, Distribution
from scalesim.engines.analytic.survival import Survival, area_of, survival_of

__all__ = ["FINE", "NOTHING", "Grid", "Time", "added", "beyond", "constant", "drawn", "fitted",
           "mixed", "ranked", "truncated", "waiting"]  # fmt: skip

_POINTS = 1 << 14
_STEPS_PER_MEAN = 128
_COARSE = 1 << 13
FINE = 4
_ROUNDING = 1e-12
"""Relative error of sums of constants."""


class Grid(NamedTuple):
    """Where masses stand: multiples of `step` [s], `points` of them."""

    step: float
    points: int = _POINTS

    def masses(self, survival: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
        """Return the masses of a law, each at the nearest multiple of the step."""
        late = survival((np.arange(self.points) + 0.5) * self.step)
        return -np.diff(late, prepend=1.0)


@dataclass(frozen=True, eq=False)
class Time:
    """A random time.

    Parameters
    ----------
    mean, variance : float [s, s^2]
    law : function of Grid, optional
        Its masses; absent: only the moments are known.
    exact : bool
        Whether the law follows from a theorem, or is a fit.
    area : function of t, optional
        The mean of min(time, t), where it has a closed form.
    zero : float, optional
        Probability of no time at all, where it is known.
    after : (float, Time), optional
        The time is this constant [s] and another time: a constant needs no grid.
    fine : int
        How much finer its own grid is.
    late : function of t, optional
        P(more than t), where it has a closed form.
    among : sequence of (float, Time)
        The time is one of these, each with its probability.
    scale : float [s]
        What the grid is measured by where the mean is infinite.
    """

    mean: float
    variance: float
    law: Callable[[Grid], np.ndarray] | None = None
    exact: bool = True
    area: Survival | None = None
    zero: float | None = None
    after: tuple[float, Time] | None = None
    fine: int = 1
    late: Survival | None = None
    among: Sequence[tuple[float, Time]] = ()
    scale: float = math.nan

    @property
    def size(self) -> float:
        """The mean, or what stands for it if it is infinite [s]."""
        return self.mean if math.isfinite(self.mean) else self.scale

    @property
    def scv(self) -> float:
        """Variance / mean squared; 0 for a time that is always zero."""
        return self.variance / self.mean**2 if self.mean else 0.0

    def on(self, grid: Grid) -> np.ndarray:
        """Return the masses; without a law those of a gamma law with the same moments."""
        if self.law is not None:
            return self.law(grid)
        return _gamma(self.mean, self.variance, grid)

    @cached_property
    def cumulated(self) -> tuple[Grid, np.ndarray]:
        """A fitting grid and the cumulated masses on it."""
        size = self.size
        spread = size if not math.isfinite(self.variance) else math.sqrt(self.variance)
        step = max(size / _STEPS_PER_MEAN, (size + 24 * spread) / _POINTS)
        grid = Grid(step / self.fine, _POINTS * self.fine)
        return grid, np.cumsum(self._masses(grid))

    def _masses(self, grid: Grid) -> np.ndarray:
        """Return the masses on the time's own grid, found once."""
        known = self.__dict__.get("_own")
        if known is None:
            known = self.__dict__["_own"] = self.on(grid)
        found: np.ndarray = known
        return found

    def laplace(self, s: float) -> float:
        """Return the mean of ``exp(-s time)``."""
        grid, _ = self.cumulated
        masses = self._masses(grid)
        return float(np.dot(masses, np.exp(-s * grid.step * np.arange(grid.points))))

    def quantile(self, p: float) -> float:
        """Return the smallest time that is not exceeded with probability `p` [s]."""
        if self.mean == 0:
            return 0.0
        fit = not self.exact and not math.isfinite(self.variance)
        if fit or math.isnan(self.size):  # no two moments to fit a law to, or no scale for a grid
            return math.nan
        if self.after is not None:
            constant, rest = self.after
            return constant + rest.quantile(p)
        grid, below = self.cumulated
        for _ in range(3):  # a heavy tail goes far beyond the mean and the deviation
            if p <= below[-1]:
                break
            grid = Grid(8 * grid.step, grid.points)
            below = np.cumsum(self.on(grid))
        k = int(np.searchsorted(below, p))
        if k == 0:
            if self.zero is None or p <= self.zero:
                return 0.0
            return float((p - self.zero) / (below[0] - self.zero)) * grid.step / 2
        if k >= len(below):
            return math.nan
        mass = below[k] - below[k - 1]
        if mass > 0.25:  # an atom, not a slope
            return k * grid.step
        return (k - 0.5 + float((p - below[k - 1]) / mass)) * grid.step

    def within(self, limit: float) -> tuple[float, float]:
        """Return (probability of at most `limit`, mean of those that are) [ratio, s].

        Constants are told apart from what is spread over a step, so that one that equals the limit
        is within it.
        """
        if not self.variance:
            on_time = self.mean <= limit * (1 + _ROUNDING)
            return (1.0, self.mean) if on_time else (0.0, math.nan)
        if self.among:
            found = [(weight, *each.within(limit)) for weight, each in self.among]
            chance = math.fsum(weight * part for weight, part, _ in found)
            total = math.fsum(weight * part * mean for weight, part, mean in found if part)
        elif self.after is not None:
            constant, rest = self.after
            if limit < constant * (1 - _ROUNDING):
                return 0.0, math.nan
            chance, mean = rest.within(max(limit - constant, 0.0))
            total = chance * (constant + mean) if chance else 0.0
        elif self.late is not None and self.area is not None:
            at = np.array([limit * (1 + _ROUNDING)])
            beyond = float(self.late(at)[0])
            chance, total = 1 - beyond, max(float(self.area(at)[0]) - limit * beyond, 0.0)
        elif not self.exact:
            return _gamma_within(self.mean, self.variance, limit)
        else:
            chance, total = self._on_grid(limit)
        return min(chance, 1.0), total / chance if chance > 0 else math.nan

    def _on_grid(self, limit: float) -> tuple[float, float]:
        """Return (probability of at most `limit`, mean over those that are, else 0)."""
        grid, _ = self.cumulated
        masses = self._masses(grid)
        position = limit / grid.step
        k = int(position + 0.5)
        if k >= grid.points:
            return 1.0, self.mean
        if k == 0 and self.zero is not None:  # what is no time at all, and half a step after it
            return self.zero + 2 * position * float(masses[0] - self.zero), 0.0
        part = position + 0.5 - k if k else 1.0
        chance = float(masses[:k].sum() + part * masses[k])
        return chance, float(np.dot(np.arange(k), masses[:k]) + part * k * masses[k]) * grid.step


NOTHING = Time(0.0, 0.0, lambda grid: np.concatenate([[1.0], np.zeros(grid.points - 1)]))


def _gamma(mean: float, variance: float, grid: Grid) -> np.ndarray:
    from scipy.special import gammaincc

    if mean <= 0:
        return NOTHING.on(grid)
    if variance <= 0 or not math.isfinite(variance):
        return grid.masses(lambda t: np.where(t < mean, 1.0, 0.0))
    shape = mean * mean / variance
    return grid.masses(lambda t: gammaincc(shape, t * mean / variance))


def _gamma_within(mean: float, variance: float, limit: float) -> tuple[float, float]:
    from scipy.special import gammainc

    if variance <= 0 or not math.isfinite(variance):
        return (1.0, mean) if mean <= limit else (0.0, math.nan)
    shape, at = mean * mean / variance, limit * mean / variance
    chance = float(gammainc(shape, at))
    return chance, mean * float(gammainc(shape + 1, at)) / chance if chance > 0 else math.nan


def fitted(mean: float, variance: float) -> Time:
    """Return a time of which only two moments are known."""
    return Time(mean, variance, None, False)


def drawn(law: Distribution) -> Time:
    """Return the time that a distribution describes."""
    mean, scv = law.mean, law.scv
    survival = survival_of(law)
    known = None if survival is None else lambda grid: grid.masses(survival)
    variance = scv * mean * mean if mean else 0.0
    return Time(mean, variance, known, survival is not None, area_of(law), late=survival)


def constant(value: float) -> Time:
    """Return a time that is always the same [s]."""
    return drawn(Constant(value))


def beyond(time: Time, part: float) -> Time:
    """Return what is left of a time after its first `part` [s], 0 if nothing is."""
    grid, _ = time.cumulated
    masses, at = time.on(grid), np.arange(grid.points) * grid.step
    left = np.maximum(at - part, 0.0)
    mean = float(np.dot(masses, left))
    variance = max(float(np.dot(masses, left * left)) - mean * mean, 0.0)

    def law(own: Grid) -> np.ndarray:
        below = np.cumsum(time.on(grid))
        return own.masses(lambda t: 1 - np.interp(t + part, at + grid.step / 2, below, right=1.0))

    return Time(mean, variance, law, time.exact) if mean else NOTHING


def added(times: Sequence[Time]) -> Time:
    """Return the sum of independent times."""
    parts = [each for each in times if each.mean > 0]
    if len(parts) <= 1:
        return parts[0] if parts else NOTHING

    def law(grid: Grid) -> np.ndarray:
        size = 2 * grid.points
        whole = reduce(lambda a, b: a * b, (np.fft.rfft(each.on(grid), size) for each in parts))
        return np.maximum(np.fft.irfft(whole, size)[: grid.points], 0.0)

    fixed = math.fsum(each.mean for each in parts if not each.variance)
    random = [each for each in parts if each.variance]
    after = (fixed, added(random)) if fixed and random else None
    zeros = [each.zero for each in parts if each.zero is not None]
    return Time(
        math.fsum(each.mean for each in parts),
        math.fsum(each.variance for each in parts),
        law,
        all(each.exact for each in parts),
        _area_after(*after) if after else None,
        math.prod(zeros) if len(zeros) == len(parts) else None,
        after,
        fine=max(each.fine for each in parts),
        scale=math.fsum(each.size for each in parts),
    )


def _area_after(fixed: float, rest: Time) -> Survival | None:
    area = rest.area
    if area is None:
        return None
    return lambda t: np.minimum(t, fixed) + area(np.maximum(t - fixed, 1e-300))


def mixed(weighted: Sequence[tuple[float, Time]]) -> Time:
    """Return one of several times, each with its weight."""
    parts = [(weight, time) for weight, time in weighted if weight > 0]
    total = math.fsum(weight for weight, _ in parts)
    if not total:
        return NOTHING
    if len(parts) == 1:
        return parts[0][1]
    mean = math.fsum(w * t.mean for w, t in parts) / total
    second = math.fsum(w * (t.variance + t.mean**2) for w, t in parts) / total

    def law(grid: Grid) -> np.ndarray:
        whole: np.ndarray = np.sum([w / total * t.on(grid) for w, t in parts], axis=0)
        return whole

    areas = [(w / total, t.area) for w, t in parts if t.area is not None]

    def area(t: np.ndarray) -> np.ndarray:
        whole: np.ndarray = np.sum([w * each(t) for w, each in areas], axis=0)
        return whole

    return Time(
        mean,
        second - mean**2,
        law,
        all(t.exact for _, t in parts),
        area if len(areas) == len(parts) else None,
        fine=max(t.fine for _, t in parts),
        scale=math.fsum(w / total * t.size for w, t in parts),
        among=tuple((w / total, t) for w, t in parts),
    )


def truncated(time: Time, limit: float) -> Time:
    """Return the law of those times that are at most `limit`; the limit itself if none are."""
    chance, mean = time.within(limit)
    if chance >= 1.0:
        return time
    if chance <= 0.0:
        return constant(limit)
    if time.among:
        return mixed([(w * each.within(limit)[0], truncated(each, limit))
                      for w, each in time.among])  # fmt: skip
    if time.after is not None:
        fixed, rest = time.after
        return added([constant(fixed), truncated(rest, max(limit - fixed, 0.0))])
    if not time.exact:
        return fitted(mean, time.variance * (mean / time.mean) ** 2)
    grid, _ = time.cumulated
    masses = time.on(grid)[: int(limit / grid.step) + 1]
    at_square = (np.arange(len(masses)) * grid.step) ** 2
    square = float(np.dot(at_square, masses) / masses.sum())

    def law(at: Grid) -> np.ndarray:
        kept = time.on(at).copy()
        position = limit / at.step + 0.5
        last = math.floor(position)
        if last < at.points:
            kept[last] *= position - last
            kept[last + 1 :] = 0.0
        scaled: np.ndarray = kept / kept.sum()
        return scaled

    return Time(mean, max(square - mean * mean, 0.0), law, time.exact)


def waiting(probability: float, rate: float) -> Time:
    """Return a wait that is zero, or with `probability` exponential of `rate` [1/s]."""
    mean = probability / rate
    return Time(
        mean,
        probability * (2 - probability) / rate**2,
        lambda grid: grid.masses(lambda t: probability * np.exp(-rate * t)),
        zero=1 - probability,
        fine=FINE,
    )


def ranked(times: Sequence[Time], rank: int, chances: Sequence[float] = ()) -> Time:
    """Return the time of the `rank`-th of several independent replies: an order statistic.

    Parameters
    ----------
    chances : sequence of float, optional
        How likely each comes at all; the time is that of those cases in which `rank` come.
    """
    if len(times) == 1 or not (chances or any(each.variance for each in times)):
        return sorted(times, key=lambda each: each.mean)[rank - 1]
    sure = chances or [1.0] * len(times)

    def law(grid: Grid) -> np.ndarray:
        come = [np.ones(grid.points)] + [np.zeros(grid.points) for _ in range(rank)]
        for each, chance in zip(times, sure, strict=True):
            here = np.minimum(np.cumsum(each.on(grid)), 1.0) * chance
            come[rank] = come[rank] + come[rank - 1] * here
            for k in range(rank - 1, 0, -1):
                come[k] = come[k] * (1 - here) + come[k - 1] * here
            come[0] = come[0] * (1 - here)
        masses: np.ndarray = np.diff(come[rank], prepend=0.0)
        return masses / masses.sum() if chances else masses

    longest = sum(each.mean for each in times)
    largest = max(each.variance for each in times)
    spread = math.sqrt(largest) if math.isfinite(largest) else longest
    grid = Grid((longest + 24 * spread) / _COARSE, _COARSE)
    masses, at = law(grid), np.arange(grid.points) * grid.step
    mean = float(np.dot(masses, at))
    variance = max(float(np.dot(masses, at * at)) - mean * mean, 0.0)
    return Time(mean, variance, law, all(each.exact for each in times))
