"""Theorems: the same metrics from the analytic engine, where it answers."""

from __future__ import annotations

from functools import cache
from typing import Any

from accuracy.measure import Metric
from accuracy.question import Question
from accuracy.words import Unsupported

import scalesim as ss
from scalesim.errors import ScalesimError

__all__ = ["Theorem"]

WHOLE = {
    "response_time": "latency",
    "goodput_rps": "throughput_rps",
}
"""Beginning of a metric's name -> what the analytic engine calls it of all requests."""

HELD = ("in_flight_mean", "response_time")
WAITED = ("wait_time", "wait_probability", "queue_depth")


class Theorem:
    """What the analytic engine says of one question."""

    def __init__(self, question: Question) -> None:
        self.question = question

    @cache  # noqa: B019 (lives as long as one case)
    def _solved(self) -> Any:
        q = self.question
        return ss.simulate(q.topology, q.traffic, duration=1.0, engine="analytic")

    def figure(self, metric: Metric) -> Any:
        """Return the figure of a metric with its label; raise `ScalesimError` if there is none."""
        question = self.question
        if metric.label and metric.label not in (each.name for each in question.classes):
            raise Unsupported(f"analytic: {metric.name}")
        name, component, resource = metric.base, None, None
        if metric.station or name.startswith(WAITED) or name == "utilization":
            if metric.base == "hit_ratio":
                component = metric.station
            else:
                place = question.places[metric.station] if metric.station else question.place
                component = place.components[0]
                if not name.startswith(HELD):
                    resource = place.waiting if name.startswith(WAITED) else place.serving
        elif name == "hit_ratio":
            component = question.system.caches[0]
        else:
            for word, known in WHOLE.items():
                name = known + name.removeprefix(word) if name.startswith(word) else name
        return self._solved().metric(name, component, resource, metric.label or None)

    def value(self, metric: Metric) -> float | None:
        """Return the value of a metric, None if there is none."""
        try:
            return float(self.figure(metric).value)
        except (ScalesimError, Unsupported, KeyError, IndexError, NotImplementedError):
            return None
