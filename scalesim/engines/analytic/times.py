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

__all__ = ["NOTHING", "Grid", "Time", "added", "beyond", "constant", "drawn", "fitted", "mixed",
           "one_server", "ranked", "waiting"]  # fmt: skip

_POINTS = 1 << 14
_STEPS_PER_MEAN = 128
_COARSE = 1 << 13
_FINE = 4
_MOST_POINTS = 1 << 18


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
    return Time(mean, variance, known, survival is not None, area_of(law))


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
    )


def waiting(probability: float, rate: float) -> Time:
    """Return a wait that is zero, or with `probability` exponential of `rate` [1/s]."""
    mean = probability / rate
    return Time(
        mean,
        probability * (2 - probability) / rate**2,
        lambda grid: grid.masses(lambda t: probability * np.exp(-rate * t)),
        zero=1 - probability,
        fine=_FINE,
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
    area = service.area or _area(service)

    def law(grid: Grid) -> np.ndarray:
        finer = _refined(grid, service.mean, mean, load)
        masses = _geometric_sum(load, service.mean, mean, area, grid, finer)
        if len(masses) < grid.points:  # so far out that the grid as it is will do
            rest = _geometric_sum(load, service.mean, mean, area, grid, 1)[len(masses) :]
            masses = np.concatenate([masses, rest])
        return masses

    variance = mean * mean * (2 - load) / load if load else 0.0
    scale = service.mean / (1 - load)
    return Time(mean, variance, law, service.exact, zero=1 - load, fine=_FINE, scale=scale)


def _area(time: Time) -> Survival:
    """Return the mean of min(time, t) from the time's law on its own grid."""
    grid, below = time.cumulated
    late = np.concatenate([[1.0], np.maximum(1 - below, 0.0)])
    at = np.concatenate([[0.0], (np.arange(grid.points) + 0.5) * grid.step])
    until = np.concatenate([[0.0], np.cumsum(np.diff(at) * (late[1:] + late[:-1]) / 2)])
    until *= time.mean / until[-1]
    return lambda t: np.interp(t, at, until)


def _refined(grid: Grid, service: float, wait: float, load: float) -> int:
    """Return into how many each step is cut for a geometric sum, an odd number.

    A residual at the nearest point is off by up to step^2 / 8 / service in the mean, and the wait
    in the same proportion. At high load the grid of the wait is wider than services are.
    """
    if not load or not math.isfinite(wait):
        return 1
    scale = math.sqrt(service * wait * (1 - load) / load)
    most = max(_MOST_POINTS * grid.step / (24 * wait), 1.0)
    return 2 * math.ceil((min(96 * grid.step / scale, most) - 1) / 2) + 1


def _geometric_sum(
    load: float, service: float, wait: float, area: Survival, grid: Grid, finer: int
) -> np.ndarray:
    """Return the masses of the wait, as many as there is space for in so fine a grid."""
    from scipy import fft

    cells = min(grid.points, _MOST_POINTS // finer) if finer > 1 else grid.points
    points, step = cells * finer, grid.step / finer
    residual = np.diff(area((np.arange(points) + 0.5) * step) / service, prepend=0.0)
    # The mean sets the scale of the wait at high load, where the grid may be coarse for services.
    mean = wait * (1 - load) / load if load else 0.0
    if math.isfinite(mean) and (1 - residual.sum()) * points * step < 1e-6 * mean:
        moved = mean / step - float(np.dot(residual, np.arange(points)))
        residual[:2] += [-moved, moved]
    # What is beyond the grid comes round to its beginning: damped, it is negligible.
    size = fft.next_fast_len(2 * points, real=True)
    damped = np.exp(np.arange(points) * (-20.0 / size))
    whole = (1 - load) / (1 - load * fft.rfft(residual * damped, size))
    below = np.cumsum(fft.irfft(whole, size)[:points] / damped)
    return np.maximum(np.diff(below[finer // 2 :: finer], prepend=0.0), 0.0)


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
