"""Times as random quantities: mean and variance exactly, the whole law on a grid when asked.

A law is its probability masses on multiples of a step, so that sums are products of transforms and
the slowest of several is a product of cumulated masses. The step is a small part of the mean, which
keeps quantiles within 0.5 %.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, reduce
from typing import NamedTuple

import numpy as np

from scalesim.distributions import Constant, Distribution
from scalesim.engines.analytic.survival import survival_of

__all__ = ["NOTHING", "Grid", "Time", "added", "beyond", "constant", "drawn", "fitted", "mixed",
           "one_server", "ranked", "waiting"]  # fmt: skip

_POINTS = 1 << 14
_STEPS_PER_MEAN = 128
_COARSE = 1 << 13


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
    """

    mean: float
    variance: float
    law: Callable[[Grid], np.ndarray] | None = None
    exact: bool = True

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
        spread = self.mean if not math.isfinite(self.variance) else math.sqrt(self.variance)
        step = max(self.mean / _STEPS_PER_MEAN, (self.mean + 24 * spread) / _POINTS)
        grid = Grid(step)
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
        grid, below = self.cumulated
        k = int(np.searchsorted(below, p))
        if k == 0:
            return 0.0
        if k >= len(below):
            return math.nan
        mass = below[k] - below[k - 1]
        if mass > 0.25:  # an atom, not a slope
            return k * grid.step
        return (k - 0.5 + float((p - below[k - 1]) / mass)) * grid.step

    def within(self, limit: float) -> tuple[float, float]:
        """Return (probability of at most `limit`, mean of those that are) [ratio, s]."""
        if self.mean == 0:
            return 1.0, 0.0
        if not self.exact:
            return _gamma_within(self.mean, self.variance, limit)
        grid, _ = self.cumulated
        masses = self._masses(grid)
        position = limit / grid.step
        k = int(position + 0.5)
        if k >= grid.points:
            return 1.0, self.mean
        part = position + 0.5 - k if k else 1.0
        chance = float(masses[:k].sum() + part * masses[k])
        total = float(np.dot(np.arange(k), masses[:k]) + part * k * masses[k]) * grid.step
        return min(chance, 1.0), total / chance if chance > 0 else math.nan


def _zero(grid: Grid) -> np.ndarray:
    return np.concatenate([[1.0], np.zeros(grid.points - 1)])


NOTHING = Time(0.0, 0.0, _zero)


def _gamma(mean: float, variance: float, grid: Grid) -> np.ndarray:
    from scipy.special import gammaincc

    if mean <= 0:
        return _zero(grid)
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
    return Time(mean, scv * mean * mean if mean else 0.0, known, survival is not None)


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

    return Time(
        math.fsum(each.mean for each in parts),
        math.fsum(each.variance for each in parts),
        law,
        all(each.exact for each in parts),
    )


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

    return Time(mean, second - mean**2, law, all(t.exact for _, t in parts))


def waiting(probability: float, rate: float) -> Time:
    """Return a wait that is zero, or with `probability` exponential of `rate` [1/s]."""
    mean = probability / rate
    return Time(
        mean,
        probability * (2 - probability) / rate**2,
        lambda grid: grid.masses(lambda t: probability * np.exp(-rate * t)),
    )


def one_server(load: float, service: Time, mean: float) -> Time:
    """Return the wait in M/G/1: a geometric number of residual services (Pollaczek, Khinchine).

    Parameters
    ----------
    load : float [0 .. 1)
    service : Time
    mean : float [s]
        Mean wait; the variance is that of a wait that is zero or exponential.
    """

    def law(grid: Grid) -> np.ndarray:
        size = 2 * grid.points
        late = np.maximum(1 - np.cumsum(service.on(grid)), 0.0)
        # The area under P(service > t) around each point, half of it before and half after.
        residual = np.concatenate([late[:1], late[:-1] + late[1:]])
        residual /= residual.sum()
        whole = (1 - load) / (1 - load * np.fft.rfft(residual, size))
        return np.maximum(np.fft.irfft(whole, size)[: grid.points], 0.0)

    variance = mean * mean * (2 - load) / load if load else 0.0
    return Time(mean, variance, law, service.exact)


def ranked(times: Sequence[Time], rank: int, chances: Sequence[float] = ()) -> Time:
    """Return the time of the `rank`-th of several independent replies: an order statistic.

    Parameters
    ----------
    chances : sequence of float, optional
        How likely each comes at all; the time is that of those cases in which `rank` come.
    """
    if len(times) == 1:
        return times[0]
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
