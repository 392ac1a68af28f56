"""The breaking load: the rate from which on an objective is missed, found by bracketing.

Each trial has its own seed and is searched on its own, all rates of a trial under common random
numbers, so that the verdict is (nearly) monotone in the rate and the bracket is sharp. The trials'
breaking rates give the interval.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from scalesim.components import Cache
from scalesim.plan.tables import AMOUNT
from scalesim.results import Results
from scalesim.run import simulate
from scalesim.studies.objective import Objective
from scalesim.topology import Topology
from scalesim.traffic import Traffic

__all__ = ["BreakingLoad", "Evaluation", "Evaluator", "find_breaking_load", "in_threads"]

T = TypeVar("T")
_RATIO = 1.01
_HIGHEST_FACTOR = 4096.0


@dataclass(frozen=True, eq=False)
class Evaluation:
    """One rate, simulated and held against the objective.

    Parameters
    ----------
    rate : float [requests/s]
    results : Results
    unstable : str
        ``component.resource`` whose waiting line grows without end, or empty.
    latency : float [s]
        At the objective's quantile; nan if unstable.
    error_ratio : float [ratio]
    misses : str
        Which part of the objective is missed: ``unstable``, ``error_ratio``, ``latency`` or empty.
    """

    rate: float
    results: Results
    unstable: str
    latency: float
    error_ratio: float
    misses: str


@dataclass(frozen=True, eq=False)
class BreakingLoad:
    """Where an objective starts to be missed.

    Parameters
    ----------
    rate, low, high : float [requests/s]
        Mean over trials and its 95 % interval; inf if no rate was found to break it.
    failing : Evaluation or None
        The lowest simulated rate that misses it, of the first trial.
    passing : Evaluation or None
        The highest that meets it; None if the lowest rate tried misses it already.
    """

    rate: float
    low: float
    high: float
    failing: Evaluation | None
    passing: Evaluation | None


class Evaluator:
    """Simulates one topology at steady rates and holds it against the objective.

    Parameters
    ----------
    requests : int
        How many measured requests one simulation aims at.
    """

    def __init__(
        self,
        topology: Topology,
        traffic: Traffic,
        objective: Objective,
        *,
        requests: int = 40_000,
        seed: int = 1,
    ) -> None:
        self.topology, self.traffic, self.objective = topology, traffic, objective
        self.requests, self.seed = requests, seed
        items = [x.items for x in topology.components.values() if isinstance(x, Cache)]
        keys = traffic.keys.count if traffic.keys is not None else 0
        # A cold cache is not the steady state: let every item be asked for several times.
        self.warmup_requests = requests // 4 + 4 * sum(min(each, keys) for each in items)

    def __call__(self, rate: float, trial: int = 0) -> Evaluation:
        """Return the evaluation of `rate` [requests/s] under the seed of `trial`."""
        warmup = self.warmup_requests / rate
        results = simulate(
            self.topology,
            self.traffic.steady(rate),
            duration=warmup + self.requests / rate,
            warmup=warmup,
            seed=self.seed + trial,
            progress=False,
        )
        if results.partial:  # Ctrl-C: half a run must not decide anything
            raise KeyboardInterrupt
        return self._judge(rate, results)

    def _judge(self, rate: float, results: Results) -> Evaluation:
        objective = self.objective
        unstable = growing_line(results)
        errors = results.error_ratio
        latency = math.nan if unstable else results.latency.quantile(objective.quantile)
        misses = ""
        if objective.latency is not None and not latency <= objective.latency:
            misses = "latency"
        if objective.error_ratio is not None and not errors <= objective.error_ratio:
            misses = "error_ratio"
        if unstable:
            misses = "unstable"
        return Evaluation(rate, results, unstable, latency, errors, misses)


def growing_line(results: Results) -> str:
    """Return the ``component.resource`` whose waiting line grows without end, or ``""``.

    A line grows without end when arrivals outrun departures by more than chance explains while the
    slots are always busy: the offered utilization is 1 or more.
    """
    station = results.station
    growth = station["arrived"] - station["rejected"] - station["abandoned"] - station["served"]
    plan = results.plan.station
    limited = (plan["queue_limit"] >= 0) | (plan["leaving"] > 0) | (plan["kind"] == AMOUNT)
    beyond = growth - 3.0 * np.sqrt(np.maximum(station["arrived"], 1)) - 10.0
    beyond[limited | (results.utilization < 0.98)] = -1.0
    if not (beyond > 0).any():
        return ""
    # Callers pile up behind a callee, too: the deepest of the growing lines is the cause.
    level = results.call_levels()
    labels = results.plan.station_labels
    s = max(
        np.flatnonzero(beyond > 0), key=lambda s: (level[labels[s].component], float(beyond[s]))
    )
    return f"{labels[s].component}.{labels[s].resource}"


def find_breaking_load(
    evaluate: Evaluator, start: float, *, trials: int = 5, tick: Callable[[], None] = lambda: None
) -> BreakingLoad:
    """Return the load at which `evaluate` starts to miss its objective.

    Parameters
    ----------
    evaluate : Evaluator
    start : float [requests/s]
        Where to start looking.
    trials : int
        How many seeds are searched; the interval comes from them.
    """
    first = _bracket(evaluate, start, 0, tick)
    if first.failing is None:
        return first
    brackets = [first]
    if trials > 1:
        brackets += in_threads(
            lambda trial: _bracket(evaluate, first.rate, trial, tick), range(1, trials)
        )
    rates = [each.rate for each in brackets if math.isfinite(each.rate)]
    mean, half = _interval(rates)
    spread = mean * (_RATIO - 1) / 2
    return BreakingLoad(
        mean, max(mean - half - spread, 0.0), mean + half + spread, first.failing, first.passing
    )


def in_threads(work: Callable[[int], T], numbers: Iterable[int]) -> list[T]:
    """Return ``[work(n) for n in numbers]``, two at a time; Ctrl-C drops what has not begun."""
    pool = ThreadPoolExecutor(2)
    try:
        return list(pool.map(work, numbers))
    finally:
        pool.shutdown(cancel_futures=True)


def _bracket(
    evaluate: Evaluator, start: float, trial: int, tick: Callable[[], None]
) -> BreakingLoad:
    """Close in on one trial's breaking rate: widen by steps that double, then bisect."""

    def at(rate: float) -> Evaluation:
        tick()
        return evaluate(rate, trial)

    here = at(start)
    step = 1.05 if trial else 1.5
    if here.misses:
        failing, passing = here, None
        while passing is None:
            below = at(failing.rate / step)
            if below.misses:
                failing = below
                step *= step
                if failing.rate < start / _HIGHEST_FACTOR:
                    return BreakingLoad(0.0, 0.0, failing.rate, failing, None)
            else:
                passing = below
    else:
        passing, failing_ = here, None
        while failing_ is None:
            above = at(passing.rate * step)
            if above.misses:
                failing_ = above
            else:
                passing = above
                step = min(step * step, 4.0)
                if passing.rate > start * _HIGHEST_FACTOR:
                    return BreakingLoad(math.inf, passing.rate, math.inf, None, passing)
        failing = failing_
    while failing.rate > passing.rate * _RATIO:
        middle = at(math.sqrt(failing.rate * passing.rate))
        if middle.misses:
            failing = middle
        else:
            passing = middle
    rate = math.sqrt(failing.rate * passing.rate)
    return BreakingLoad(rate, passing.rate, failing.rate, failing, passing)


def _interval(values: Sequence[float]) -> tuple[float, float]:
    """Return the mean and the half-width of its 95 % t-interval (0 for one value)."""
    n = len(values)
    mean = math.fsum(values) / n
    if n < 2:
        return mean, 0.0
    from scipy.special import stdtrit

    variance = math.fsum((x - mean) ** 2 for x in values) / (n - 1)
    return mean, float(stdtrit(n - 1, 0.975)) * math.sqrt(variance / n)
