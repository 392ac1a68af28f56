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

from scalesim.components import Cache
from scalesim.results import Results
from scalesim.results.saturation import full_line, growing_line
from scalesim.run import simulate
from scalesim.studies.bracketing import RATIO, Monotone, aim, search
from scalesim.studies.objective import Objective
from scalesim.topology import Topology
from scalesim.traffic import Traffic

__all__ = [
    "BreakingLoad",
    "Evaluation",
    "Evaluator",
    "find_breaking_load",
    "in_threads",
    "likely_breaking_rate",
]

T = TypeVar("T")
_LIKELY = 0.9
_STEP = 1.5
_STEP_OF_OTHER_TRIALS = 1.02
"""They start where the first trial ended: halved once, such a step is a bracket that is done."""
_LONGER = (1, 8, 64)
"""Times the requests that were asked for: what a run is lengthened to."""
_IDLE = 0.01
_DESCENTS = 3
"""How often the search goes down by `bracketing.HIGHEST_FACTOR` until the system is idle."""


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

    @property
    def idle(self) -> bool:
        """Whether even the busiest resource has next to nothing to do: less load changes little."""
        return not self.unstable and not self.results.bottleneck.utilization >= _IDLE


@dataclass(frozen=True, eq=False)
class BreakingLoad:
    """Where an objective starts to be missed.

    Parameters
    ----------
    rate, low, high : float [requests/s]
        Mean over trials and its 95 % interval; inf if no rate was found to break it. The rate is
        0 if the objective is missed at every load, `high` then the lowest that was simulated.
    failing : Evaluation or None
        The lowest simulated rate that misses it, of the first trial.
    passing : Evaluation or None
        The highest that meets it; None if the objective is missed at every load.
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
        How many measured requests one simulation aims at; more where most of them take longer than
        it lasts.
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
        for longer in _LONGER:
            warmup = longer * self.warmup_requests / rate
            results = simulate(
                self.topology,
                self.traffic.steady(rate),
                duration=warmup + longer * self.requests / rate,
                warmup=warmup,
                seed=self.seed + trial,
                progress=False,
            )
            if results.partial:  # Ctrl-C: half a run must not decide anything
                raise KeyboardInterrupt
            found = self._judge(rate, results)
            # Where most requests take longer than the run, nothing is known of those that ended.
            if found.unstable or 2 * sum(results.counts.values()) >= results.arrived:
                break
        return found

    def _judge(self, rate: float, results: Results) -> Evaluation:
        objective = self.objective
        unstable = growing_line(results) or full_line(results)
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


def find_breaking_load(
    evaluate: Evaluator,
    start: float,
    *,
    trials: int = 5,
    tick: Callable[[], None] = lambda: None,
    guess: float = math.nan,
) -> BreakingLoad:
    """Return the load at which `evaluate` starts to miss its objective.

    Parameters
    ----------
    evaluate : Evaluator
    start : float [requests/s]
        Where to start looking.
    trials : int
        How many seeds are searched; the interval comes from them.
    guess : float [requests/s]
        Near which to look first; nan: near what theory says. Spares simulations, no more.
    """
    wide = 1.02
    if math.isnan(guess):
        guess, wide = likely_breaking_rate(evaluate.topology, evaluate.traffic, start), 1.1
    first = _bracket(evaluate, start, 0, tick, guess, wide)
    if first.failing is None or first.passing is None:  # no rate for the others to start from
        return first
    brackets = [first]
    if trials > 1:
        brackets += in_threads(
            lambda trial: _bracket(evaluate, first.rate, trial, tick), range(1, trials)
        )
    rates = [each.rate for each in brackets if math.isfinite(each.rate)]
    mean, half = _interval(rates)
    spread = mean * (RATIO - 1) / 2
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
    evaluate: Evaluator,
    start: float,
    trial: int,
    tick: Callable[[], None],
    guess: float = math.nan,
    wide: float = 1.1,
) -> BreakingLoad:
    """Close in on one trial's breaking rate, looking first where it is guessed to be."""
    seen: dict[float, Evaluation] = {}

    def at(rate: float) -> Evaluation:
        if rate not in seen:
            tick()
            seen[rate] = evaluate(rate, trial)
        return seen[rate]

    step = _STEP if trial == 0 else _STEP_OF_OTHER_TRIALS
    misses = Monotone(lambda rate: bool(at(rate).misses))
    if math.isfinite(guess):
        aim(misses, start, step, guess, wide)
    low, high = search(misses, start, step)
    for _ in range(_DESCENTS):
        if high is None or low is not None or at(high).idle:
            break
        low, high = search(misses, high, step)
    passing, failing = (None if rate is None else at(rate) for rate in (low, high))
    if failing is None:
        assert passing is not None
        return BreakingLoad(math.inf, passing.rate, math.inf, None, passing)
    if passing is None:
        return BreakingLoad(0.0, 0.0, failing.rate, failing, None)
    rate = math.sqrt(failing.rate * passing.rate)
    return BreakingLoad(rate, passing.rate, failing.rate, failing, passing)


def likely_breaking_rate(topology: Topology, traffic: Traffic, near: float) -> float:
    """Return a rate at which something is likely to break [requests/s]; nan if there is no guess.

    A little below what the bottleneck carries: objectives are missed before it is always busy.
    """
    from scalesim.engines.analytic import capacity

    return _LIKELY * capacity(topology, traffic.steady(near))


def _interval(values: Sequence[float]) -> tuple[float, float]:
    """Return the mean and the half-width of its 95 % t-interval (0 for one value)."""
    n = len(values)
    mean = math.fsum(values) / n
    if n < 2:
        return mean, 0.0
    from scipy.special import stdtrit

    variance = math.fsum((x - mean) ** 2 for x in values) / (n - 1)
    return mean, float(stdtrit(n - 1, 0.975)) * math.sqrt(variance / n)
