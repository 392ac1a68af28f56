"""Instants: when something was counted, found by looking ever closer.

A run that measures [a, b) counts in equal buckets of it what happens there. So a moment is found by
measuring the bucket that it is in, and so on, until the bucket is as short as the traces are exact.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import lru_cache

import numpy as np
from accuracy.experiment import Trial
from accuracy.words import Unsupported, only

import scalesim as ss
from scalesim.recording import Recording

__all__ = ["attempts", "batch_sizes", "batches_at", "failed_at", "granted_at", "sent_at"]

Series = Callable[[Recording], np.ndarray]
"""What is counted in each bucket of time."""

SHORT = 1e-10
"""Length of a bucket that is a moment [s]."""

MOST = 1000


def instants(trial: Trial, series: Series) -> list[float]:
    """Return each moment [s] at which something was counted, as often as it was then."""
    return [moment for moment, times, _ in moments(trial, series, series) for _ in range(times)]


def moments(trial: Trial, series: Series, other: Series) -> list[tuple[float, int, int]]:
    """Return each moment [s] at which something was counted, how often, and how often `other`."""
    question, engine = trial.question, trial.results.engine
    if not question.arrivals.once or question.arrivals.count > MOST:
        raise Unsupported("moments of a trace that is no short one")
    spec = trial.results.recordings[0].spec

    def look(start: float, end: float) -> Iterator[tuple[float, int, int]]:
        results = ss.simulate(
            question.topology, question.traffic, duration=end, warmup=start, engine=engine
        )
        (recording,) = results.recordings
        edges = np.concatenate([[0.0], recording.spec.boundaries])
        counted, beside = series(recording), other(recording)
        for i in range(recording.spec.warmup_buckets, len(counted)):
            if not counted[i]:
                continue
            left, right = float(edges[i]), float(edges[i + 1])
            if right - left <= SHORT * max(1.0, math.fabs(left) * 1e-3):
                yield left, int(counted[i]), int(beside[i])
            else:
                yield from look(left, right)

    found = list(look(0.0, spec.duration))
    if len(found) > MOST:
        raise Unsupported("moments of more than a thousand events")
    return found


def _counter(part: str, name: str) -> Series:
    def series(recording: Recording) -> np.ndarray:
        rows = [
            i for i, (component, label) in enumerate(recording.plan.counter_names)
            if component == part and label.endswith(name)
        ]  # fmt: skip
        out: np.ndarray = recording.counter[:, rows].sum(axis=1)
        return out

    return series


def _granted(trial: Trial, component: str, resource: str) -> Series:
    rows = trial.results.stations_of(component, resource)

    def series(recording: Recording) -> np.ndarray:
        out: np.ndarray = recording.station["granted"][:, rows].sum(axis=1)
        return out

    return series


def granted_at(trial: Trial, station: str) -> list[float]:
    """Return when each of those who came to a station got a slot there [s]."""
    place = trial.question.places.get(station)
    if place is None:
        raise Unsupported(f"metric {station}_granted_at_s: no station {station}")
    component = only(place.components, f"{station}_granted_at_s at a component")
    return instants(trial, _granted(trial, component, place.waiting))


def sent_at(trial: Trial) -> list[float]:
    """Return when the client sent each attempt [s]."""
    if trial.question.traffic.retry is None and trial.question.traffic.timeout is None:
        return [float(each) for each in trial.times[:, 0]]
    return instants(trial, _counter("client", ".attempts"))


def attempts(trial: Trial) -> list[int]:
    """Return how many attempts each request of a trace made, each being a class of its own."""
    names, counts = trial.results.plan.counter_names, trial.results.pooled("counter")
    made = {
        label.removesuffix(".attempts"): int(n)
        for (part, label), n in zip(names, counts, strict=True)
        if part == "client"
    }
    return [made.get(each.name, 1) for each in trial.question.classes]


def failed_at(trial: Trial) -> float | list[float | None]:
    """Return when each request failed, None if it did not; of a single request the number."""
    table = trial.results.attempts_table()
    ended = [
        float(end) if outcome == "failed" else None
        for end, outcome in zip(table["ended_at_s"], table["outcome"], strict=True)
    ]
    return ended[0] if len(ended) == 1 and ended[0] is not None else ended


@lru_cache(maxsize=8)
def _batches(trial: Trial) -> list[tuple[float, int, int]]:
    queue = trial.question.system.queue
    taken = _granted(trial, queue, "consumers")
    return moments(trial, _counter(queue, "batches"), taken)


def batches_at(trial: Trial) -> list[float]:
    """Return when each batch was taken [s]."""
    return [moment for moment, batches, _ in _batches(trial) for _ in range(batches)]


def batch_sizes(trial: Trial) -> list[int]:
    """Return how many messages each batch had."""
    if any(batches > 1 for _, batches, _ in _batches(trial)):
        raise Unsupported("sizes of batches that are taken at one moment")
    return [messages for _, _, messages in _batches(trial)]
