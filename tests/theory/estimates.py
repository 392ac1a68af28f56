"""Estimates with an interval, from independent trials.

A check is `assert_covers(values, expected, within)`: the t-interval of the trials' values at a
false-alarm probability of 1e-6 must cover the expected value, and its half-width must be at most
`within` of it. Seeds are fixed, so a green test stays green; the interval says how large an error
would have turned it red: one of more than twice `within` at the latest.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from scipy import stats

import scalesim as ss
from scalesim.results import Results

__all__ = ["FALSE_ALARM", "assert_covers", "by_trial", "of_station", "one_server", "simulate"]

FALSE_ALARM = 1e-6
TRIALS = 40


def simulate(topology: Any, traffic: Any, *, requests: float, rate: float, **rest: Any) -> Results:
    """Simulate 40 trials that measure `requests` together, each after a tenth of warm-up.

    With few trials the interval is wide: at 1e-6 it is 6.0 standard errors each way, with 12 trials
    it would be 9.4.
    """
    duration = requests / TRIALS / rate / 0.9
    settings = {"trials": TRIALS, "seed": 1, **rest}
    return ss.simulate(topology, traffic, duration=duration, warmup=duration / 10, **settings)


def one_server(service: Any, **fields: Any) -> Any:
    """Return a topology of one service, `server`, whose one endpoint computes `service` [s]."""
    server = ss.Service("server", endpoints={"get": [ss.compute(service)]}, **fields)
    return ss.Topology(server, entry="server")


def trials_of(results: Results) -> Iterator[Results]:
    for recording in results.recordings:
        yield Results(results.topology, results.traffic, [recording], results.engine)


def by_trial(results: Results, value: Callable[[Results], float]) -> list[float]:
    """Return a figure of each trial."""
    return [value(each) for each in trials_of(results)]


def of_station(results: Results, component: str, resource: str, figure: str) -> list[float]:
    """Return a figure of a resource (all instances) in each trial.

    `figure`: ``wait`` [s], ``depth``, ``busy`` (time averages), ``use`` [ratio], ``rejected``,
    ``abandoned`` [ratio of arrivals].
    """
    labels = results.plan.station_labels
    rows = [s for s, x in enumerate(labels) if x.component == component and x.resource == resource]
    slots = float(results.plan.station["slots"][rows].sum())

    def value(trial: Results) -> float:
        station = {
            name: float(trial.station[name][rows].sum()) for name in trial.station.dtype.names
        }
        time = trial.measured_time
        return {
            "wait": station["waited"] / station["granted"],
            "depth": station["depth"] / time,
            "busy": station["busy"] / time,
            "use": station["busy"] / time / slots,
            "rejected": station["rejected"] / station["arrived"],
            "abandoned": station["abandoned"] / station["arrived"],
        }[figure]

    return by_trial(results, value)


def assert_covers(values: list[float], expected: float, within: float) -> None:
    """Assert that the interval covers `expected` and is at most `within` of it wide, each way."""
    n = len(values)
    mean, error = float(np.mean(values)), float(np.std(values, ddof=1)) / math.sqrt(n)
    half = float(stats.t.ppf(1 - FALSE_ALARM / 2, n - 1)) * error
    assert half <= within * abs(expected), (
        f"the interval {mean:.6g} ± {half:.2g} is wider than {within:.1%}: run longer"
    )
    # The values of a constant differ in the last bits only, and so may theirs from the formula.
    half = max(half, 1e-12 * abs(expected))
    assert abs(mean - expected) <= half, f"got {mean:.6g} ± {half:.2g}, expected {expected:.6g}"
