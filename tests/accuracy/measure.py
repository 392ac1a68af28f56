"""Measures: the ways in which a metric is read from the results of a trial; `table` names them."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from accuracy.experiment import Trial
from accuracy.question import Question
from accuracy.seen import Seen
from accuracy.stations import Place
from accuracy.words import Unsupported

import scalesim as ss
from scalesim.ops import OUTCOMES

__all__ = [
    "HISTOGRAM",
    "Q",
    "Measure",
    "Metric",
    "Read",
    "Row",
    "about_all",
    "at_a_station",
    "databases",
    "each_instance",
    "end_to_end",
    "labelled",
    "named",
    "of_applies",
    "of_class",
    "of_class_at_station",
    "of_client",
    "of_machines",
    "of_messages",
    "of_messages_in_order",
    "of_misses",
    "of_outcome",
    "one_station",
    "parse",
    "random_service",
    "seen",
    "share",
    "shared_cores",
    "unsaid",
    "whole",
    "with_breaker",
    "with_failures",
    "with_replicas",
    "with_setup",
]

NAME = re.compile(
    r"^(?P<base>\w+?)(\[(?P<label>[^\]]+)\])?(@(?P<station>\w+)(\[(?P<index>\d+)\])?)?$"
)


@dataclass(frozen=True)
class Metric:
    """A metric's name, taken apart, ``base[label]@station[index]``, and how many figures it is."""

    name: str
    base: str
    label: str = ""
    station: str = ""
    index: int | None = None
    figures: int = 1


def parse(name: str, figures: int = 1) -> Metric:
    """Take a metric's name apart."""
    found = NAME.match(name)
    if not found:
        raise Unsupported(f"metric {name}")
    index = None if found["index"] is None else int(found["index"])
    return Metric(name, found["base"], found["label"] or "", found["station"] or "", index, figures)


@dataclass(frozen=True)
class Measure:
    """How one metric is read from a trial.

    Parameters
    ----------
    read : function of a trial
    resolution : relative error of the reading
    records : whether the times of each request are needed
    keys : how many keys have to be counted apart
    """

    read: Callable[[Trial], Any]
    metric: Metric
    resolution: float = 0.0
    records: bool = False
    keys: int = 0

    def in_seconds(self) -> Measure:
        """Return the same of a model that was told in milliseconds."""
        if not re.search(r"_s(_nearest_rank)?$", self.metric.base):
            return self
        read = self.read
        return dataclasses.replace(self, read=lambda trial: read(trial) / 1000.0)


@dataclass(frozen=True)
class Row:
    """One row of the table; `make` gets metric, question and the pattern's groups."""

    pattern: str
    applies: Callable[[Metric, Question], bool]
    make: Callable[..., Callable[[Trial], Any]]
    resolution: float = 0.0
    records: bool = False


# When a row applies -----------------------------------------------------------------------------


def about_all(metric: Metric, question: Question) -> bool:
    """Whether a metric is about all requests of the variant."""
    return metric.label in ("", question.variant)


def end_to_end(metric: Metric, question: Question) -> bool:
    return not metric.station and about_all(metric, question) and not question.system.queue


def of_messages(metric: Metric, question: Question) -> bool:
    return not metric.station and about_all(metric, question) and bool(question.system.queue)


def of_messages_in_order(metric: Metric, question: Question) -> bool:
    """Whether recorded messages are handled one by one, so that later ones change none before."""
    if not of_messages(metric, question) or not question.arrivals.once:
        return False
    queue = question.topology.components[question.system.queue]
    alone = queue.batch is None and queue.partitions is None
    return alone and "stations" not in question.model


def of_client(metric: Metric, question: Question) -> bool:
    return not metric.station and about_all(metric, question)


def at_a_station(metric: Metric, question: Question) -> bool:
    return bool(metric.station) and about_all(metric, question)


def of_class(metric: Metric, question: Question) -> bool:
    return not metric.station and any(metric.label == each.name for each in question.classes)


def of_class_at_station(metric: Metric, question: Question) -> bool:
    return bool(metric.station) and f"{metric.station}[{metric.label}]" in question.places


def of_outcome(metric: Metric, question: Question) -> bool:
    return not metric.station and metric.label in OUTCOMES


def of_misses(metric: Metric, question: Question) -> bool:
    return metric.label == "miss"


def one_station(metric: Metric, question: Question) -> bool:
    """Whether all that is in flight is at one station."""
    try:
        _ = question.place
    except Unsupported:
        return False
    return end_to_end(metric, question)


def of_machines(metric: Metric, question: Question) -> bool:
    return bool(question.system.needed)


def with_failures(metric: Metric, question: Question) -> bool:
    parts = question.topology.components.values()
    return any(getattr(each, "failures", None) is not None for each in parts)


def of_applies(metric: Metric, question: Question) -> bool:
    return metric.label == "apply" and "apply" in question.places


def databases(question: Question) -> list[ss.Database]:
    """Return the databases with replicas."""
    parts = question.topology.components.values()
    return [each for each in parts if isinstance(each, ss.Database) and each.read_replicas]


def with_replicas(metric: Metric, question: Question) -> bool:
    return about_all(metric, question) and ("apply" in question.places or bool(databases(question)))


def with_setup(metric: Metric, question: Question) -> bool:
    """Whether servers have to start, of which only `question.place` is asked."""
    parts = question.topology.components.values()
    return about_all(metric, question) and any(getattr(each, "cold_start", None) for each in parts)


def with_breaker(metric: Metric, question: Question) -> bool:
    return about_all(metric, question) and "circuit_breaker" in question.model


def random_service(metric: Metric, question: Question) -> bool:
    """Whether a wait can't be had from a request's latency less its service."""
    return question.mode == "finite"


def shared_cores(metric: Metric, question: Question) -> bool:
    rules = [getattr(each, "cpu_discipline", "") for each in question.topology.components.values()]
    return rules == ["ps"]


# How it is read ---------------------------------------------------------------------------------

Read = Callable[[Trial], Any]
HISTOGRAM = 0.008
Q = r"_p(\d+(?:_\d+)?)_s"


def whole(function: Read) -> Callable[..., Read]:
    """Read something of the whole trial."""
    return lambda metric, question, *groups: function


def unsaid(what: str) -> Callable[..., Read]:
    """Refuse a metric that says too little in a model of this kind."""

    def make(metric: Metric, question: Question, *groups: str) -> Read:
        raise Unsupported(f"metric {metric.name}: {what}")

    return make


def labelled(function: Callable[[Trial, str], Any]) -> Callable[..., Read]:
    """Read something of the class or outcome that the label names."""
    return lambda metric, question, *groups: lambda trial: function(trial, metric.label)


def seen(function: Callable[..., Any]) -> Callable[..., Read]:
    """Read something of a station; `function` gets what was seen and the pattern's groups."""

    def make(metric: Metric, question: Question, *groups: str) -> Read:
        place = _place(metric, question)
        return lambda trial: function(Seen(trial.results, place), *groups)

    return make


def each_instance(function: Callable[[Seen], Any]) -> Callable[..., Read]:
    """Read something of each instance of a station, as a list."""
    return seen(lambda s: [function(each) for each in s.instances()])


def _place(metric: Metric, question: Question) -> Place:
    name = metric.station
    if not name:
        return question.place
    if metric.label and f"{name}[{metric.label}]" in question.places:
        return question.places[f"{name}[{metric.label}]"]
    if name not in question.places:
        raise Unsupported(f"metric {metric.name}: no station {name}")
    place = question.places[name]
    return place if metric.index is None else place.instance(metric.index)


def share(text: str) -> float:
    """Return the probability that ``99_9`` stands for."""
    return float(text.replace("_", ".")) / 100


def named(metric: Metric, question: Question, name: str) -> Read:
    """Read what the library calls `name`, of the class or at the component that is asked for."""
    of = f"[{metric.label}]" if metric.label and metric.label != question.variant else ""
    where = f"@{metric.station}" if metric.station else ""
    return lambda trial: trial.results.estimate(f"{name}{of}{where}").value
