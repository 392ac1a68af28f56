"""The law of the wait for one server: a geometric number of residual services."""

from __future__ import annotations

import math

import numpy as np

from scalesim.engines.analytic.survival import Survival
from scalesim.engines.analytic.times import FINE, Grid, Time

__all__ = ["one_server"]

_MOST_POINTS = 1 << 18


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
    return Time(mean, variance, law, service.exact, zero=1 - load, fine=FINE, scale=scale)


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
