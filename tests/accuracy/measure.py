"""Measures: the ways in which a metric is read from the results of a trial; `table` names them."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from accuracy.experiment import Trial
from accuracy.question import Question
from accuracy.seen import Seen
from accuracy.stations import Place
from accuracy.words import Unsupported

import scalesim as ss
from scalesim.distributions import Constant
from scalesim.ops import OUTCOMES

__all__ = [
    "HISTOGRAM",
    "Measure",
    "Metric",
    "Q",
    "Read",
    "Row",
    "about_all",
    "all_at_station",
    "at",
    "at_a_station",
    "attempts_mean",
    "client_figure",
    "coalesced",
    "counts",
    "each_instance",
    "empty_again",
    "end_to_end",
    "end_to_end_mean",
    "ended_at",
    "fetch_rate",
    "fetch_count",
    "first_without_wait",
    "harmonic",
    "hit_ratio",
    "hit_ratios",
    "hits",
    "in_system",
    "keys_counted",
    "labelled",
    "latency_of_misses",
    "level_quantile",
    "messages_rate",
    "named",
    "of_class",
    "of_class_at_station",
    "of_client",
    "of_messages",
    "of_misses",
    "of_outcome",
    "one_station",
    "parse",
    "partitions",
    "random_service",
    "seen",
    "share",
    "shared_cores",
    "slots_of",
    "spike_end",
    "targets",
    "variance",
    "wait_of_class",
    "waits",
    "whole",
    "whole_run",
    "of_machines",
    "with_failures",
    "up_mean",
    "outage_rate",
    "availability",
    "cores_down",
    "applies",
    "lag_histogram",
    "lag_mean",
    "of_applies",
    "per_request",
    "wait_before_service",
]

NAME = re.compile(
    r"^(?P<base>\w+?)(\[(?P<label>[^\]]+)\])?(@(?P<station>\w+)(\[(?P<index>\d+)\])?)?$"
)


@dataclass(frozen=True)
class Metric:
    """A metric's name, taken apart: ``base[label]@station[index]``."""

    name: str
    base: str
    label: str = ""
    station: str = ""
    index: int | None = None


def parse(name: str) -> Metric:
    """Take a metric's name apart."""
    found = NAME.match(name)
    if not found:
        raise Unsupported(f"metric {name}")
    index = None if found["index"] is None else int(found["index"])
    return Metric(name, found["base"], found["label"] or "", found["station"] or "", index)


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


def in_system(trial: Trial) -> float:
    """Mean number in the system, by Little's law over all that ended."""
    return float(trial.results.flow["latency"].sum()) / trial.results.measured_time


def wait_of_class(metric: Metric, question: Question) -> Read:
    """Read a class's wait: its response time less the mean of its service time."""
    service = question.place.service_mean[metric.label]
    return lambda trial: trial.results.latency_of(metric.label).mean - service


def partitions(metric: Metric, question: Question) -> Read:
    """Read how many partitions each consumer has: its share of the messages tells."""
    queue = question.topology.components[question.system.queue]

    def read(trial: Trial) -> list[int]:
        s = Seen(trial.results, question.place)
        return [round(each.arrived / s.arrived * queue.partitions) for each in s.instances()]

    return read


def latency_of_misses(metric: Metric, question: Question) -> Read:
    (cache,) = question.system.caches
    lookup = question.topology.components[cache].delay.mean
    (place,) = (p for name, p in question.places.items() if name.startswith("miss["))
    return lambda trial: lookup + Seen(trial.results, place).response_mean


def client_figure(trial: Trial, name: str) -> float:
    """Return what the components table says of the client's attempts."""
    table = trial.results.components_table()
    client = table[table["component"] == "client"]
    (value,) = client[client["metric"].str.startswith(f"{name}[")]["value"]
    return float(value)


def attempts_mean(trial: Trial) -> float:
    """Return attempts, copies included, for each request."""
    names, counts = trial.results.plan.counter_names, trial.results.pooled("counter")
    sent = sum(
        int(n) for (_, name), n in zip(names, counts, strict=True) if name.endswith(".attempts")
    )
    return sent / trial.results.arrived


def _messages(trial: Trial) -> np.void:
    """Return what is tallied of messages from the arrival of the request to the last handler."""
    row = trial.results.plan.tally_names.index((trial.question.system.queue, "end_to_end_time"))
    return trial.results.pooled("tally")[row]


def end_to_end_mean(trial: Trial) -> float:
    tally = _messages(trial)
    return float(tally["total"] / tally["count"])


def messages_rate(trial: Trial) -> float:
    return float(_messages(trial)["count"]) / trial.results.measured_time


# Replication, and calls of calls


def _lag_rows(trial: Trial) -> list[int]:
    queues = trial.question.places["apply"].components
    names = trial.results.plan.tally_names
    return [i for i, (part, name) in enumerate(names) if part in queues and name == "message_time"]


def lag_mean(trial: Trial) -> float:
    """Return the mean time from a write's commit until a replica has applied it [s]."""
    rows = trial.results.pooled("tally")[_lag_rows(trial)]
    return float(rows["total"].sum() / rows["count"].sum())


def lag_histogram(trial: Trial) -> np.ndarray:
    return trial.results.histogram("tally", _lag_rows(trial))


def applies(trial: Trial) -> float:
    """Return the rate at which one replica applies writes [1/s]."""
    rows = trial.results.pooled("tally")[_lag_rows(trial)]
    return float(rows["count"].mean()) / trial.results.measured_time


def per_request(metric: Metric, question: Question, place: str) -> Read:
    """Read how often a part of a chain was called for each request of a client."""

    def read(trial: Trial) -> float:
        called = Seen(trial.results, question.places[place]).arrived
        return round(called / trial.results.arrived, 9)

    return read


# Machines


def up_shares(trial: Trial, name: str) -> np.ndarray:
    """Return the share of time with each number of machines up, float array [machines + 1]."""
    return trial.results.time_shares(name, "down")[::-1]


def availability(metric: Metric, question: Question) -> Read:
    """Read the share of time with enough machines up, in the tier named or in all of them."""
    names = [metric.station] if metric.station else list(question.system.needed)
    needed = question.system.needed

    def read(trial: Trial) -> float:
        # Tiers fail independently of each other.
        return math.prod(float(up_shares(trial, name)[needed[name] :].sum()) for name in names)

    return read


def outage_rate(trial: Trial) -> float:
    """Return how often too few are up from one moment to the next [1/h]; a second is an hour."""
    ((_, needed),) = trial.question.system.needed.items()
    table = trial.results.availability_table()
    (rate,) = table[table["needed"] == needed]["outages_per_hour"]
    return float(rate) / 3600


def up_mean(trial: Trial) -> float:
    """Return the mean number up, of machines or of a station's cores."""
    (name,) = trial.question.system.needed or trial.question.place.components
    shares = up_shares(trial, name)
    return float(shares @ np.arange(len(shares)))


def cores_down(trial: Trial) -> float:
    """Return the share of a station's cores that are down."""
    return 1 - up_mean(trial) / (trial.question.place.slots or 1)


def wait_before_service(trial: Trial) -> float:
    """Return the mean time until service begins, where servers fail while they serve [s].

    An interruption is no wait: the server is held, though it is down.
    """
    s = Seen(trial.results, trial.question.place)
    held = (s.utilization + cores_down(trial)) * (trial.question.place.slots or 1)
    return s.response_mean - held / s.throughput


# Caches


def keys_counted(metric: Metric, question: Question) -> int:
    """Return how many keys a metric tells apart."""
    if metric.base == "hit_ratio_per_key":
        return int(question.traffic.keys.count)
    found = re.fullmatch(r"hit_ratio_key_(\d+)", metric.base)
    return int(found[1]) if found else 0


def hit_ratios(trial: Trial) -> list[float]:
    """Return the hit ratio of each key that was counted apart."""
    table = trial.results.keys_table().set_index("key")["hit_ratio"]
    return [float(table.get(key, math.nan)) for key in range(trial.question.keys)]


def _caches(trial: Trial, field: str, names: list[str] | None = None) -> float:
    """Return a count of the caches named, or of all."""
    results = trial.results
    rows = [i for i, name in enumerate(results.plan.cache_names) if names is None or name in names]
    return float(results.pooled("cache")[field][rows].sum())


def hit_ratio(trial: Trial) -> float:
    """Return the hit ratio of all caches together."""
    hits, misses = (_caches(trial, field) for field in ("hits", "misses"))
    return hits / (hits + misses)


def fetch_count(metric: Metric, question: Question) -> Read:
    """Read how often the last caches called what is behind them."""
    calls = question.topology.calls()
    last = [
        name for name in question.system.caches
        if not any(callee in question.system.caches for callee, _ in calls.get((name, "get"), ()))
    ]  # fmt: skip

    def read(trial: Trial) -> float:
        fields = trial.results.recordings[0].cache.dtype.names
        joined = _caches(trial, "coalesced", last) if "coalesced" in fields else 0.0
        return _caches(trial, "misses", last) - joined

    return read


def fetch_rate(metric: Metric, question: Question) -> Read:
    fetches = fetch_count(metric, question)
    return lambda trial: fetches(trial) / trial.results.measured_time


def coalesced(trial: Trial) -> float:
    hits, misses, joined = (_caches(trial, f) for f in ("hits", "misses", "coalesced"))
    return joined / (hits + misses)


# Request by request


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


def waits(trial: Trial) -> np.ndarray:
    """Return each request's wait: its latency less its service, which is a constant."""
    (station,) = (p for p in trial.question.topology.components.values() if hasattr(p, "endpoints"))
    (endpoint,) = station.endpoints.values()
    (step,) = endpoint.steps
    time = getattr(step, "time", None) or step.demand
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
