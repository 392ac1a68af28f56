"""Experiments: a question simulated with some effort; returns one `Results` for each trial."""

from __future__ import annotations

import dataclasses
import math
from functools import cached_property
from typing import Any

import numpy as np
from accuracy.question import Question
from accuracy.suite import TRIALS, Effort

import scalesim as ss
from scalesim.results import Results

__all__ = ["Trial", "simulate"]

WARMUP = 0.2
"""Share of a steady run that is not measured."""

MOST_RECORDED = 40_000_000
"""Requests of all trials together whose times are kept, at most."""


@dataclasses.dataclass(frozen=True, eq=False)
class Trial:
    """One trial, or all its requests seen as starts of their own.

    Parameters
    ----------
    results : Results of this trial alone
    starts : float array [s]
        When an episode or a period began, relative to which `Question.observe` is meant.
    """

    question: Question
    results: Results
    starts: np.ndarray

    @property
    def times(self) -> np.ndarray:
        """Arrival and end of each recorded request [s], nan while in flight; array [n, 2]."""
        rows = self.results.recordings[0].requests
        return rows[~np.isnan(rows[:, 0]), :2]

    @cached_property
    def _steps(self) -> tuple[np.ndarray, np.ndarray]:
        """When requests came, and when they went, in order [s]."""
        return np.sort(self.times[:, 0]), np.sort(self.times[:, 1])

    def in_flight_at(self, offset: float) -> np.ndarray:
        """Return how many requests are in flight `offset` seconds after each start."""
        arrived, ended = self._steps
        at = self.starts + offset
        return np.searchsorted(arrived, at, side="right") - np.searchsorted(ended, at, side="right")


def simulate(question: Question, effort: Effort, records: bool, keys: int = 0) -> list[Trial]:
    """Run a question, keeping each request's times if `records`, and counts of the first `keys`."""
    if keys:
        question = dataclasses.replace(question, keys=keys)
    return MODES[question.mode](question, effort, records)


def _run(question: Question, effort: Effort, starts: np.ndarray, **arguments: Any) -> list[Trial]:
    arguments = {
        "engine": effort.engine,
        "seed": effort.seed,
        "traffic": question.traffic,
        "record_keys": question.keys,
        **arguments,
    }
    results = ss.simulate(question.topology, **arguments)
    return [
        Trial(question, Results(results.topology, results.traffic, [each], results.engine), starts)
        for each in results.recordings
    ]


NO_STARTS = np.zeros(0)


def _steady(question: Question, effort: Effort, records: bool) -> list[Trial]:
    rate = question.arrivals.rate
    if math.isnan(rate):
        rate = _pilot(question, effort)
    requests = max(question.requests * effort.scale, 100.0 * effort.trials)
    if records:
        requests = min(requests, MOST_RECORDED)
    trials, settle = effort.trials, question.warmup_requests / rate / TRIALS
    if effort.engine == "reference":
        settle = 0.0
    if question.system.levels:
        trials = max(trials // 5, 5)  # each keeps every instance's shares in each bucket of time
    if question.system.caches:
        # A cache has to fill in every trial, so there are few.
        trials = max(effort.trials // 4, 5)
        settle = max(question.warmup_requests * min(effort.scale, 1.0) / rate, _lifetimes(question))
    measured = max(requests / trials / rate, 4 * _lifetimes(question))
    warmup = max(measured * WARMUP / (1 - WARMUP), settle)
    record = int((measured + warmup) * rate * 1.2) if records else 0
    return _run(
        question, effort, NO_STARTS, duration=warmup + measured, warmup=warmup,
        trials=trials, record_requests=record,
    )  # fmt: skip


def _lifetimes(question: Question) -> float:
    """Return several times the longest time that a cache keeps an item, if it is finite [s]."""
    parts = [question.topology.components[name] for name in question.system.caches]
    times = [getattr(each, name, math.inf) for each in parts for name in ("ttl", "time_to_idle")]
    return 5 * max((each for each in times if each < math.inf), default=0.0)


def _pilot(question: Question, effort: Effort) -> float:
    """Return the rate at which closed users get answers, from a short run [requests/s]."""
    groups = getattr(question.traffic, "groups", {"all": question.traffic}).values()
    think = max(each.think_time.mean for each in groups)
    service = sum(sum(p.service_mean.values()) for p in question.places.values())
    duration = 20 * max(sum(each.users for each in groups) / 20, 1.0) * (think + service)
    results = ss.simulate(
        question.topology, question.traffic, duration=duration, engine=effort.engine
    )
    return results.throughput


def _once(question: Question, effort: Effort, records: bool) -> list[Trial]:
    """Run a recording; more than one trial only if something in the model is random."""
    record = (question.arrivals.count or 100_000) if records else 0
    arguments = {
        "duration": question.duration,
        "warmup": question.warmup,
        "record_requests": record,
    }
    if question.arrivals.count > 1000:
        return _run(question, effort, NO_STARTS, **arguments)
    trials = _run(question, effort, NO_STARTS, trials=2, **arguments)
    same = not set(trials[0].results.recordings[0].differences(trials[1].results.recordings[0]))
    return (
        trials[:1] if same else _run(question, effort, NO_STARTS, trials=effort.trials, **arguments)
    )


def _finite(question: Question, effort: Effort, records: bool) -> list[Trial]:
    """Run many short trials, each from an empty start to its given end."""
    trials = min(max(int(question.trials * effort.scale), 10), 4000)
    service = sum(sum(p.service_mean.values()) for p in question.places.values())
    duration = max(question.duration, 10 * (1 / question.arrivals.rate + service))
    expected = question.arrivals.rate * duration
    if expected > 10_000:
        trials = min(trials, effort.trials)
    record = int(expected * 2 + 1000) if records else 0
    return _run(question, effort, NO_STARTS, duration=duration, warmup=question.warmup,
                trials=trials, record_requests=record)  # fmt: skip


def _episodes(question: Question, effort: Effort, records: bool) -> list[Trial]:
    """Start from empty again and again within one trial: a stretch of load, then silence.

    The silence is lengthened until the system has always emptied before the next start.
    """
    episodes = max(int(question.trials * effort.scale / effort.trials), 3)
    load, silence = question.duration, 2
    while True:
        rates, bucket = _rates(question.traffic.rate, load)
        profile = ss.RateProfile((*rates, *(0.0,) * (len(rates) * silence)), bucket=bucket)
        traffic = dataclasses.replace(question.traffic, rate=profile)
        starts = np.arange(episodes) * profile.period
        expected = math.fsum(rates) * bucket * episodes
        trials = _run(question, effort, starts, traffic=traffic, duration=profile.period * episodes,
                      warmup=0.0, trials=effort.trials,
                      record_requests=int(expected * 1.2 + 1000))  # fmt: skip
        if all((each.in_flight_at(0.0) == 0).all() for each in trials):
            return trials
        silence *= 2


def _rates(rate: float | ss.RateProfile, load: float) -> tuple[list[float], float]:
    """Return the rates in the buckets of the first `load` seconds, and the bucket."""
    if not isinstance(rate, ss.RateProfile):
        return [rate], load
    count = math.ceil(load / rate.bucket - 1e-9)
    return list(rate.rates[:count]), rate.bucket


def _periods(question: Question, effort: Effort, records: bool) -> list[Trial]:
    """Observe the same phases of many periods, after the first few."""
    period = question.traffic.rate.period
    count = max(int(question.trials * effort.scale / effort.trials), 3)
    starts = (question.skipped + np.arange(count)) * period
    duration = (question.skipped + count) * period
    record = int(question.traffic.rate.mean * duration * 1.2)
    return _run(question, effort, starts, duration=duration, warmup=question.skipped * period,
                trials=effort.trials, record_requests=record)  # fmt: skip


MODES = {
    "steady": _steady,
    "once": _once,
    "finite": _finite,
    "episodes": _episodes,
    "periods": _periods,
}
