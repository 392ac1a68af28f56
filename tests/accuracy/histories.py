"""Histories: requests one by one, what is in flight at given times, and distributions over time."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import numpy as np
from accuracy.experiment import Trial
from accuracy.measure import Metric, Read, share, whole
from accuracy.question import Question
from accuracy.words import Unsupported, only

import scalesim as ss
from scalesim.distributions import Constant
from scalesim.ops import OUTCOMES

__all__ = [
    "all_at_station",
    "at",
    "counts",
    "empty_again",
    "ended_at",
    "finished_at",
    "first_without_wait",
    "harmonic",
    "hits",
    "level_quantile",
    "outcomes",
    "short_circuited",
    "slots_of",
    "spike_end",
    "targets",
    "variance",
    "waits",
    "whole_run",
]


def _prefixes(trial: Trial) -> Iterator[Any]:
    """Yield the results of the first request alone, of the first two, ...

    What they count differs by what the last of them added: later requests change nothing before.
    """
    question, engine = trial.question, trial.results.engine
    replay = question.traffic
    if not isinstance(replay, ss.ReplayTraffic):  # any times will do
        replay = ss.ReplayTraffic(
            tuple(float(i) for i in range(trial.question.arrivals.count or 6))
        )
    for n in range(1, len(replay.at) + 1):
        each = {name: getattr(replay, name) for name in ("endpoint", "key", "client")}
        first = {name: value and value[:n] for name, value in each.items()}
        traffic = dataclasses.replace(replay, at=replay.at[:n], **first)
        yield ss.simulate(
            question.topology,
            traffic,
            duration=replay.at[n - 1] + 86_400.0,
            warmup=0.0,
            engine=engine,
        )


def hits(trial: Trial) -> list[int]:
    """Return for each lookup whether it hit."""
    hits = [int(each.pooled("cache")["hits"].sum()) for each in _prefixes(trial)]
    return [b - a for a, b in pairwise([0, *hits])]


def targets(trial: Trial) -> list[int]:
    """Return for each request which target of the balancer it went to."""
    routed = [each.pooled("routed") for each in _prefixes(trial)]
    return [int(np.argmax(b - a)) for a, b in pairwise([np.zeros_like(routed[0]), *routed])]


def empty_again(trial: Trial) -> float:
    """Return when after the spike, which ends with the last step, nobody waits any more [s]."""
    times, slots = trial.times, slots_of(trial.question)
    ends = times[~np.isnan(times[:, 1]), 1]
    at = np.concatenate([times[:, 0], ends])
    step = np.concatenate([np.ones(len(times)), -np.ones(len(ends))])
    order = np.argsort(at, kind="stable")
    later = (at[order] >= spike_end(trial)) & (np.cumsum(step[order]) <= slots)
    return float(at[order][np.argmax(later)])


def spike_end(trial: Trial) -> float:
    return float(trial.question.model["arrival"]["rate"]["from_s"][-1])


def harmonic(trial: Trial) -> tuple[float, float]:
    """Return the largest mean number in flight over a period, and its phase [s].

    The mean is a sinusoid if the rate is one, so that a fit of one uses all phases.
    """
    period = trial.question.traffic.rate.period
    phases = np.arange(60) / 60
    means = [float(trial.in_flight_at(each * period).mean()) for each in phases]
    first = 2 * np.mean(means * np.exp(-2j * np.pi * phases))
    return float(np.mean(means) + abs(first)), float(-np.angle(first) / (2 * np.pi) % 1 * period)


def ended_at(trial: Trial) -> list[float | None]:
    """Return when each request was completed, None if it was not."""
    table = trial.results.attempts_table()
    pairs = zip(table["ended_at_s"], table["outcome"], strict=True)
    return [float(end) if outcome == "completed" else None for end, outcome in pairs]


def finished_at(trial: Trial) -> list[float]:
    """Return when the handling of each message ended: what the time of all grew by with it."""
    row = trial.results.plan.tally_names.index((trial.question.system.queue, "end_to_end_time"))
    total = [float(each.pooled("tally")[row]["total"]) for each in _prefixes(trial)]
    at = trial.question.traffic.at
    return [came + b - a for came, (a, b) in zip(at, pairwise([0.0, *total]), strict=True)]


def outcomes(trial: Trial) -> list[str]:
    """Return how each request ended."""
    found = list(trial.results.attempts_table()["outcome"])
    if "circuit_breaker" not in trial.question.model:
        return found
    if found.count("rejected") != short_circuited(trial):
        raise Unsupported("outcomes where it is not only the breaker that rejects")
    return ["short_circuited" if each == "rejected" else each for each in found]


def short_circuited(trial: Trial) -> int:
    """Return how many calls a circuit breaker stopped."""
    names, counts = trial.results.plan.counter_names, trial.results.pooled("counter")
    return sum(
        int(n) for (_, name), n in zip(names, counts, strict=True)
        if name.endswith(".breaker_rejected")
    )  # fmt: skip


def waits(trial: Trial) -> np.ndarray:
    """Return each request's wait: its latency less its service, which is a constant."""
    parts = trial.question.topology.components.values()
    station = only((p for p in parts if hasattr(p, "endpoints")), "each one's wait at a station")
    endpoint = only(station.endpoints.values(), "each one's wait in a class")
    step = only(endpoint.steps, "each one's wait before a step")
    time = getattr(step, "time", None) or getattr(step, "demand", None)
    if not isinstance(time, Constant):
        raise Unsupported("a wait of each request where service is random")
    times = trial.times
    waits: np.ndarray = times[:, 1] - times[:, 0] - time.value
    return waits


def first_without_wait(trial: Trial) -> float:
    """Return when the first request after a backlog arrived that did not wait."""
    waited = waits(trial) > 1e-9
    first = int(np.argmax(waited))
    return float(trial.times[first + int(np.argmin(waited[first:])), 0])


def counts(outcome: str) -> Callable[..., Read]:
    return whole(lambda t: t.results.counts[outcome])


def whole_run(outcome: str) -> Callable[..., Read]:
    """Read how many requests ended in one way from the beginning of the run, warm-up included."""
    place = OUTCOMES.index(outcome)
    return whole(lambda t: int(t.results.recordings[0].flow["count"][:, :, place].sum()))


# At given times, and distributions over time


def at(function: Callable[[np.ndarray, Question], Any]) -> Callable[..., Read]:
    """Read something of the number in flight at each time of observation, as a list."""
    return whole(
        lambda t: [function(t.in_flight_at(each), t.question) for each in t.question.observe]
    )


def slots_of(question: Question) -> int:
    return question.place.slots or 1


def _levels(trial: Trial) -> tuple[np.ndarray, np.ndarray]:
    """Return the numbers in flight in the measured window, and how long each lasted [s]."""
    spec, times = trial.results.recordings[0].spec, trial.times
    ends = times[~np.isnan(times[:, 1]), 1]
    at = np.concatenate([times[:, 0], ends])
    step = np.concatenate([np.ones(len(times)), -np.ones(len(ends))])
    order = np.argsort(at, kind="stable")
    at, level = at[order], np.cumsum(step[order])
    edges = np.clip(np.append(at, spec.duration), spec.warmup, spec.duration)
    return level, np.diff(edges)


def all_at_station(trial: Trial) -> float:
    """Return the share of time in which every user waits for an answer."""
    level, lasted = _levels(trial)
    return float(lasted[level >= trial.question.traffic.users].sum() / lasted.sum())


def variance(trial: Trial) -> float:
    level, lasted = _levels(trial)
    mean = float((level * lasted).sum() / lasted.sum())
    return float((level**2 * lasted).sum() / lasted.sum()) - mean**2


def level_quantile(metric: Metric, question: Question, p: str) -> Read:
    def read(trial: Trial) -> int:
        level, lasted = _levels(trial)
        time = np.cumsum(np.bincount(level.astype(np.int64), weights=lasted))
        return int(np.searchsorted(time, share(p) * time[-1]))

    return read
