"""Readings: figures of one trial that are more than one count divided by another."""

from __future__ import annotations

import math
import re

import numpy as np
from accuracy.experiment import Trial
from accuracy.measure import Metric, Read, databases
from accuracy.question import Question
from accuracy.seen import Seen
from accuracy.words import Unsupported, only

__all__ = [
    "applies",
    "at_least",
    "attempts_mean",
    "availability",
    "by_key",
    "client_figure",
    "coalesced",
    "cores_down",
    "end_to_end_mean",
    "fetch_count",
    "fetch_rate",
    "hit_ratio",
    "in_system",
    "keys_counted",
    "lag_histogram",
    "lag_mean",
    "latency_of_misses",
    "messages_rate",
    "outage_rate",
    "partitions",
    "per_request",
    "stale_read_ratio",
    "up_mean",
    "up_shares",
    "wait_before_service",
    "wait_of_class",
]


def in_system(trial: Trial) -> float:
    """Mean number in the system, by Little's law over all that ended."""
    return float(trial.results.flow["latency"].sum()) / trial.results.measured_time


def at_least(metric: Metric, question: Question) -> Read:
    """Read the share of instances, over time, with at least 1, 2, ... in flight."""
    (name,) = question.place.components

    def read(trial: Trial) -> list[float]:
        shares = trial.results.time_shares(name, "in_flight")
        if metric.figures >= len(shares) - 1:
            raise Unsupported(f"metric {metric.name} with k of {len(shares) - 1} and more")
        return [float(shares[k:].sum()) for k in range(1, metric.figures + 1)]

    return read


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
    found = client[client["metric"].str.startswith(f"{name}[")]["value"]
    return float(only(found, f"{name} of a client's retries"))


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
    places = trial.question.places
    queues = places["apply"].components if "apply" in places else ()
    return [
        i for i, (part, name) in enumerate(trial.results.plan.tally_names)
        if name == "replication_lag" or (part in queues and name == "message_time")
    ]  # fmt: skip


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


def stale_read_ratio(metric: Metric, question: Question) -> Read:
    (database,) = databases(question) or [None]
    if database is None:
        raise Unsupported(f"metric {metric.name} where reads take time: when they look")
    if not database.count_stale_reads:
        raise Unsupported(f"metric {metric.name} without keys")
    place = question.places[database.name]
    return lambda trial: Seen(trial.results, place).counter(metric.base)


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
    needed = only(trial.question.system.needed.values(), "outages of a group of machines")
    table = trial.results.availability_table()
    (rate,) = table[table["needed"] == needed]["outages_per_hour"]
    return float(rate) / 3600


def up_mean(trial: Trial) -> float:
    """Return the mean number up, of machines or of a station's cores."""
    groups = trial.question.system.needed or trial.question.place.components
    name = only(groups, "how many are up of a group of machines")
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
    found = re.fullmatch(r"(?:hit|stale_read)_ratio_key_(\d+)", metric.base)
    return int(found[1]) if found else 0


def by_key(trial: Trial, ratio: str) -> list[float]:
    """Return a ratio of each key that was counted apart."""
    table = trial.results.keys_table().set_index("key")[ratio].dropna()
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
