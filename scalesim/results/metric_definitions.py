"""Which metrics there are, by name: ``latency_p99_s``, ``utilization_ratio@db.connections``.

A name is ``metric_unit``, then ``[endpoint]`` or ``[endpoint:outcome]`` if it is of some requests
only, then ``@component`` or ``@component.resource`` if it is of a component, where ``[0]`` is its
first instance. Every metric is a ratio of two sums over buckets of time, or a quantile of a
histogram kept for each of them.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from scalesim.errors import InvalidInput, nearest
from scalesim.ops import COMPLETED, OUTCOMES
from scalesim.plan.tables import AMOUNT
from scalesim.recording import Recording
from scalesim.results.measured import widths

if TYPE_CHECKING:
    from scalesim.results.results import Results

__all__ = [
    "PARTS_OF_CALLS",
    "Quantile",
    "Ratio",
    "Series",
    "components_counted",
    "find",
    "metric_names",
    "ratios_of",
    "station_rows",
]

_PARTS = re.compile(r"(?P<metric>[\w.]+?)(?:\[(?P<of>[^\]]+)\])?(?:@(?P<where>.+))?")
_QUANTILE = re.compile(r"(?P<what>\w+?)_p(?P<percent>\d{1,2}(?:[._]\d+)?)_s")
PARTS_OF_CALLS = (".attempts", ".calls", ".first_failed")
"""Counts that are shown as ratios only."""
_SHOWN_QUANTILES = ("p50", "p90", "p99")

Series = Callable[[Recording], np.ndarray]
"""A figure of each bucket of time of one trial, warm-up included."""


class Ratio(NamedTuple):
    """A metric that is one sum over another; `share`: of observations, some of which count."""

    top: Series
    bottom: Series
    share: bool = False


class Quantile(NamedTuple):
    """A metric that is a quantile: rows of a histogram, and how many observations there were."""

    name: str
    rows: Sequence[int]
    observed: Series
    p: float


Metric = Ratio | Quantile


def find(results: Results, name: str) -> Metric:
    """Return what the metric `name` is made of, or raise InvalidInput with the nearest name."""
    parts = _PARTS.fullmatch(name) if isinstance(name, str) else None
    if parts is None:
        raise InvalidInput(f"metric: got {name!r}, allowed is a name such as latency_mean_s")
    metric, of, where = parts["metric"], parts["of"], parts["where"]
    found = None
    quantile = _QUANTILE.fullmatch(metric)
    p = _probability(quantile["percent"]) if quantile else math.nan
    what = quantile["what"] if quantile else metric
    if where is None:
        found = _of_client(results, what, of, p)
    else:
        found = _of_rows(results, what, of, where, p) or _of_station(results, what, of, where, p)
    if found is None:
        known = list(metric_names(results))
        raise InvalidInput(
            f'there is no metric "{name}". {nearest(name, known)}Known: {", ".join(known)}; other '
            "quantiles as p95, p99_9"
        )
    return found


def _probability(percent: str) -> float:
    whole = percent.replace("_", ".")
    return float(whole) / 100


def _of_client(results: Results, what: str, of: str | None, p: float) -> Metric | None:
    shape = results.flow.shape
    endpoint, _, outcome = (of or "").partition(":")
    rows = np.arange(shape[0]) if not endpoint else [results.endpoint_index(endpoint)]
    asked = results.outcome_index(outcome or OUTCOMES[COMPLETED])

    def ended(outcomes: slice | int, field: str = "count") -> Series:
        def series(each: Recording) -> np.ndarray:
            own = each.flow[field][:, rows][:, :, outcomes]
            out: np.ndarray = own.reshape(len(own), -1).sum(axis=1)
            return out

        return series

    everyone = slice(None)
    if not math.isnan(p):
        cells = [int(row) * shape[1] + asked for row in rows]
        return Quantile("latency", cells, ended(asked), p) if what == "latency" else None
    ratios = {
        "latency_mean_s": Ratio(ended(asked, "latency"), ended(asked)),
        "throughput_rps": Ratio(ended(asked), widths),
        "arrival_rate_rps": Ratio(lambda each: each.arrived[:, rows].sum(axis=1), widths),
        "error_ratio": Ratio(ended(slice(1, None)), ended(everyone), share=True),
        **{
            f"{outcome}_ratio": Ratio(ended(number), ended(everyone), share=True)
            for number, outcome in enumerate(OUTCOMES)
            if number != COMPLETED
        },
    }
    return ratios.get(what)


def _of_rows(results: Results, what: str, of: str | None, where: str, p: float) -> Metric | None:
    """Return a metric of a cache, a tally or a counter."""
    plan = results.plan
    caches = [c for c, name in enumerate(plan.cache_names) if name == where]
    if caches and math.isnan(p):

        def cache(*fields: str) -> Series:
            return lambda each: sum(each.cache[field][:, caches].sum(axis=1) for field in fields)

        ratios = {
            "hit_ratio": Ratio(cache("hits"), cache("hits", "misses"), share=True),
            "lookup_rate_rps": Ratio(cache("hits", "misses"), widths),
            "miss_rate_rps": Ratio(cache("misses"), widths),
            "eviction_rate_rps": Ratio(cache("evictions"), widths),
        }
        if what in ratios:
            return ratios[what]
    for k, (component, label) in enumerate(plan.tally_names):
        if component == where and what == label and not math.isnan(p):
            return Quantile("tally", [k], lambda each, k=k: each.tally["count"][:, k], p)  # type: ignore[misc]
        if component == where and what == f"{label}_mean_s":
            return Ratio(
                lambda each, k=k: each.tally["total"][:, k],  # type: ignore[misc]
                lambda each, k=k: each.tally["count"][:, k],  # type: ignore[misc]
            )
    of_counts = ratios_of(results, where) | _rates_of(results, where)
    return of_counts.get(what if of is None else f"{what}[{of}]")


def components_counted(results: Results) -> list[str]:
    """Return the components, and clients, with `ratios_of` them."""
    plan, parts = results.plan, results.topology.components
    counted = (name for name, _ in (*plan.counter_names, *plan.tally_names))
    return list(dict.fromkeys((*counted, *parts)))


def ratios_of(results: Results, where: str) -> dict[str, Ratio]:
    """Return what is made of the counts of the component `where`, by its name there."""
    counters = _labels(results.plan.counter_names, where)

    def counted(label: str) -> Series:
        k = counters[label]
        return lambda each: each.counter[:, k]

    ratios = {}
    for label in counters:
        call, _, what = label.rpartition(".")
        if what == "attempts":
            tried = counted(label)
            ratios[f"offered_rate_rps[{call}]"] = Ratio(tried, widths)
            ratios[f"retry_amplification[{call}]"] = Ratio(tried, counted(f"{call}.calls"))
        elif what == "first_failed":
            calls = counted(f"{call}.calls")
            failed = Ratio(counted(label), calls, share=True)
            ratios[f"first_attempt_failed_ratio[{call}]"] = failed
        elif what == "stale_reads":
            ratios["stale_read_ratio"] = Ratio(counted(label), counted("reads"), share=True)
        elif what == "cold_starts":
            granted = _stations("granted", rows=results.stations_of(where, "workers"))
            ratios["cold_start_ratio"] = Ratio(counted(label), granted, share=True)
        elif what == "batches":
            taken = _stations("granted", rows=results.stations_of(where, "consumers"))
            ratios["batch_size_mean"] = Ratio(taken, counted(label))
    for label, k in _labels(results.plan.tally_names, where).items():
        call, _, what = label.rpartition(".")
        if what == "backoff":
            waited = Ratio(lambda each, k=k: each.tally["total"][:, k], widths)  # type: ignore[misc]
            ratios[f"waiting_to_retry_mean[{call}]"] = waited
    shards = getattr(results.topology.components.get(where), "shards", 1)
    if shards > 1:
        ratios["shard_skew"] = _shard_skew(results, where, shards)
    return ratios


def _labels(names: Sequence[tuple[str, str]], where: str) -> dict[str, int]:
    """Return the places in `names` of what is of the component `where`, by label."""
    return {label: k for k, (component, label) in enumerate(names) if component == where}


def _shard_skew(results: Results, where: str, shards: int) -> Ratio:
    """Return the rate of queries of the busiest shard over the mean shard's."""
    rows = np.reshape(results.stations_of(where, "connections"), (shards, -1))
    busiest = rows[results.station["arrived"][rows].sum(axis=1).argmax()].tolist()
    every = _stations("arrived", rows=rows.ravel().tolist())
    return Ratio(_stations("arrived", rows=busiest), lambda each: every(each) / shards)


def _rates_of(results: Results, where: str) -> dict[str, Ratio]:
    """Return how often what the component `where` counts happens."""
    counters = _labels(results.plan.counter_names, where)
    return {
        f"{label}_rate_rps": Ratio(lambda each, k=k: each.counter[:, k], widths)  # type: ignore[misc]
        for label, k in counters.items()
        if not label.endswith(PARTS_OF_CALLS)
    }


def _of_station(
    results: Results, what: str, instance: str | None, where: str, p: float
) -> Metric | None:
    known = ("wait",) if not math.isnan(p) else _station_ratios(results, [])
    if what not in known:
        return None  # before asking which resource is meant
    rows = station_rows(results, where)
    if instance is not None:
        labels = results.plan.station_labels
        rows = [s for s in rows if str(labels[s].instance) == instance]
        if not rows:
            return None
    if not math.isnan(p):
        return Quantile("wait", rows, _stations("granted", rows=rows), p)
    return _station_ratios(results, rows)[what]


def _stations(*fields: str, rows: Sequence[int]) -> Series:
    """Return what the stations `rows` have in `fields`, together."""
    return lambda each: sum(each.station[field][:, rows].sum(axis=1) for field in fields)


def _station_ratios(results: Results, rows: Sequence[int]) -> dict[str, Ratio]:
    """Return the metrics, other than quantiles, of the stations `rows` together."""

    def of(*fields: str) -> Series:
        return _stations(*fields, rows=rows)

    slots = float(results.plan.station["slots"][rows].sum())
    counts = [
        name
        for name in results.station.dtype.names or ()
        if results.station.dtype[name].kind == "i" and name not in ("arrived", "deepest")
    ]

    def waiting(each: Recording) -> np.ndarray:
        out: np.ndarray = each.histogram_series("wait", rows).sum(axis=1)
        return out

    return {
        "utilization_ratio": Ratio(of("busy"), lambda each: widths(each) * slots),
        "queue_depth_mean": Ratio(of("depth"), widths),
        "in_flight_mean": Ratio(of("busy", "depth"), widths),
        "wait_mean_s": Ratio(of("waited"), of("granted")),
        "wait_ratio": Ratio(waiting, of("granted"), share=True),
        "response_time_mean_s": Ratio(of("busy", "depth"), of("served")),
        "arrival_rate_rps": Ratio(of("arrived"), widths),
        "throughput_rps": Ratio(of("served"), widths),
        **{f"{name}_ratio": Ratio(of(name), of("arrived"), share=True) for name in counts},
    }


def station_rows(results: Results, where: str) -> list[int]:
    """Return the stations that `where` names: ``component``, if it has one, or with a resource."""
    component, _, resource = where.partition(".")
    plan = results.plan
    own = [x.resource for x in plan.station_labels if x.component == component]
    resources = list(dict.fromkeys(own))
    if not resource and len(resources) > 1:
        options = ", ".join(f"@{component}.{each}" for each in resources)
        raise InvalidInput(f'"@{where}" could be one of {options}; say which')
    rows = results.stations_of(component, resource or (resources[0] if resources else ""))
    return [s for s in rows if plan.station["slots"][s] > 0] or rows


def metric_names(results: Results) -> Iterator[str]:
    """Yield the names of all metrics of a model, quantiles p50, p90 and p99 only."""
    plan = results.plan
    several = len(plan.endpoint_names) > 1
    for end in ("", *(f"[{name}]" for name in plan.endpoint_names if several)):
        yield f"latency_mean_s{end}"
        yield from (f"latency_{q}_s{end}" for q in _SHOWN_QUANTILES)
        yield from (f"{name}{end}" for name in ("throughput_rps", "arrival_rate_rps"))
        yield from (f"{name}_ratio{end}" for name in ("error", *OUTCOMES[1:]))
    for name in dict.fromkeys(plan.cache_names):
        rates = ("lookup", "miss", "eviction")
        yield from (f"hit_ratio@{name}", *(f"{each}_rate_rps@{name}" for each in rates))
    for name, label in plan.tally_names:
        yield f"{label}_mean_s@{name}"
        yield from (f"{label}_{q}_s@{name}" for q in _SHOWN_QUANTILES)
    for name in components_counted(results):
        of_counts = (*ratios_of(results, name), *_rates_of(results, name))
        yield from (f"{each}@{name}" for each in of_counts)
    shown = set()
    for s, each in enumerate(plan.station_labels):
        if plan.station["slots"][s] == 0 or each[:2] in shown:
            continue
        shown.add(each[:2])
        where = f"@{each.component}.{each.resource}"
        for name in ("utilization_ratio", "queue_depth_mean", "in_flight_mean"):
            yield f"{name}{where}"
        if plan.station["kind"][s] != AMOUNT:
            yield from (f"wait_mean_s{where}", f"wait_ratio{where}", f"response_time_mean_s{where}")
            yield from (f"wait_{q}_s{where}" for q in _SHOWN_QUANTILES)
        yield from (f"{name}{where}" for name in ("arrival_rate_rps", "throughput_rps"))
        yield f"rejected_ratio{where}"
