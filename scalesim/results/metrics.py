"""Metrics by name, each with an interval: ``latency_p99_s``, ``utilization_ratio@db.connections``.

A name is ``metric_unit``, then ``[endpoint]`` or ``[endpoint:outcome]`` if it is of some requests
only, then ``@component`` or ``@component.resource`` if it is of a component, where ``[0]`` is its
first instance. Every metric is a ratio of two sums over buckets of
time, or a quantile of a histogram kept for each of them; `scalesim.results.intervals` does the
rest.
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from scalesim.errors import InvalidInput, nearest
from scalesim.ops import COMPLETED, OUTCOMES
from scalesim.plan.tables import AMOUNT
from scalesim.recording import Recording
from scalesim.results.intervals import Estimate, quantile_interval, ratio_interval
from scalesim.results.measured import widths
from scalesim.results.saturation import beyond_chance, excess

if TYPE_CHECKING:
    from scalesim.results.results import Results

__all__ = ["course", "estimate", "interval_columns", "metric_names", "values_by_trial"]

_PARTS = re.compile(r"(?P<metric>[\w.]+?)(?:\[(?P<of>[^\]]+)\])?(?:@(?P<where>.+))?")
_QUANTILE = re.compile(r"(?P<what>\w+?)_p(?P<percent>\d{1,2}(?:[._]\d+)?)_s")
_SHOWN_QUANTILES = ("p50", "p90", "p99")

Series = Callable[[Recording], np.ndarray]
"""A figure of each bucket of time of one trial, warm-up included."""


class _Ratio(NamedTuple):
    """A metric that is one sum over another; `share`: of observations, some of which count."""

    top: Series
    bottom: Series
    share: bool = False


class _Quantile(NamedTuple):
    """A metric that is a quantile: rows of a histogram, and how many observations there were."""

    name: str
    rows: Sequence[int]
    observed: Series
    p: float


_Metric = _Ratio | _Quantile


def estimate(results: Results, name: str, confidence: float) -> Estimate:
    """Return the metric `name` over the measured window, all trials, with its interval."""
    if not 0 < confidence < 1:
        raise InvalidInput(f"confidence: got {confidence}, allowed is above 0 and below 1")
    windows = [results.buckets_of(each) for each in results.recordings]
    found = _over(results, name, windows, confidence)
    if results.unstable and _waits(results, name):
        if _grows(results, name):
            return dataclasses.replace(
                found, value=math.nan, low=math.nan, high=math.nan, method="unstable"
            )
        return dataclasses.replace(found, high=math.inf)
    return found


def course(results: Results, name: str, parts: int) -> np.ndarray:
    """Return the metric `name` in equal parts of the measured window, float array [parts]."""
    out = np.empty(parts)
    for i in range(parts):
        windows = []
        for each in results.recordings:
            whole = results.buckets_of(each)
            ends = [whole.start + (whole.stop - whole.start) * j // parts for j in (i, i + 1)]
            windows.append(slice(*ends))
        out[i] = _over(results, name, windows, 0.95).value
    return out


def _over(results: Results, name: str, windows: list[slice], confidence: float) -> Estimate:
    """Return the metric over some buckets of time of each trial."""
    metric = _find(results, name)
    lengths = [window.stop - window.start for window in windows]

    def measured(series: Series) -> np.ndarray:
        parts = zip(results.recordings, windows, strict=True)
        out: np.ndarray = np.concatenate([series(each)[window] for each, window in parts])
        return out

    stationary = results.traffic.stationary
    if isinstance(metric, _Ratio):
        top, bottom = measured(metric.top).astype(float), measured(metric.bottom).astype(float)
        return ratio_interval(
            name, top, bottom, lengths, stationary, confidence, share=metric.share
        )
    cells = [each.cells(metric.name, metric.rows) for each in results.recordings]
    first, histograms = _filled(cells, windows)
    zeros = np.maximum(measured(metric.observed) - histograms.sum(axis=1), 0)
    return quantile_interval(
        name, first, histograms, zeros, metric.p, lengths, stationary, confidence
    )


def _filled(cells: list[np.ndarray], windows: list[slice]) -> tuple[int, np.ndarray]:
    """Return the first filled place, and the histograms from there to the last filled one."""
    parts, offset = [], 0
    for each, window in zip(cells, windows, strict=True):
        own = each[(each["bucket"] >= window.start) & (each["bucket"] < window.stop)]
        parts.append((own["bucket"] + (offset - window.start), own["place"], own["count"]))
        offset += window.stop - window.start
    bucket, place, count = (np.concatenate(x) for x in zip(*parts, strict=True))
    first, last = (int(place.min()), int(place.max())) if len(place) else (0, 0)
    width = last - first + 1
    flat = np.bincount(bucket * width + place - first, weights=count, minlength=offset * width)
    return first, flat.reshape(offset, width).astype(np.int64)


def values_by_trial(results: Results, name: str) -> np.ndarray:
    """Return the metric `name` of each trial by itself, float array [trials]."""
    from scalesim.results.results import Results

    alone = (Results(results.topology, results.traffic, [x], "") for x in results.recordings)
    return np.asarray([estimate(each, name, 0.95).value for each in alone])


def _waits(results: Results, name: str) -> bool:
    """Return whether a metric grows with the line that may grow without end."""
    metric, _, where = name.partition("@")
    if not where:
        return metric.startswith("latency")
    if not metric.startswith(("wait_", "queue_depth", "in_flight", "response_time")):
        return False
    component, _, resource = results.unstable.partition(".")
    cause = results.stations_of(component, resource)
    rows = _station_rows(results, where)
    return bool(set(rows) & set(cause)) or bool((excess(results)[rows] > 0).any())


def _grows(results: Results, name: str) -> bool:
    """Return whether it has grown beyond what chance explains, so that it has no value."""
    _, _, where = name.partition("@")
    if where:
        return bool((excess(results)[_station_rows(results, where)] > 0).any())
    ended = np.asarray(results.flow["count"].sum())
    return bool(beyond_chance(np.asarray(results.arrived), ended) > 0)


def interval_columns(results: Results, column: str, name: str) -> dict[str, float]:
    """Return the ends of the interval of `name`, named after a table's `column`."""
    found = estimate(results, name, results.confidence)
    head, unit = column, ""
    if column.endswith(("_s", "_rps", "_ratio")):
        head, _, unit = column.rpartition("_")
        unit = f"_{unit}"
    return {f"{head}_low{unit}": found.low, f"{head}_high{unit}": found.high}


# Finding a metric -----------------------------------------------------------------------------


def _find(results: Results, name: str) -> _Metric:
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


def _of_client(results: Results, what: str, of: str | None, p: float) -> _Metric | None:
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
        return _Quantile("latency", cells, ended(asked), p) if what == "latency" else None
    ratios = {
        "latency_mean_s": _Ratio(ended(asked, "latency"), ended(asked)),
        "throughput_rps": _Ratio(ended(asked), widths),
        "arrival_rate_rps": _Ratio(lambda each: each.arrived[:, rows].sum(axis=1), widths),
        "error_ratio": _Ratio(ended(slice(1, None)), ended(everyone), share=True),
        **{
            f"{outcome}_ratio": _Ratio(ended(number), ended(everyone), share=True)
            for number, outcome in enumerate(OUTCOMES)
            if number != COMPLETED
        },
    }
    return ratios.get(what)


def _of_rows(results: Results, what: str, of: str | None, where: str, p: float) -> _Metric | None:
    """Return a metric of a cache, a tally or a counter."""
    plan = results.plan
    caches = [c for c, name in enumerate(plan.cache_names) if name == where]
    if caches and math.isnan(p):

        def cache(*fields: str) -> Series:
            return lambda each: sum(each.cache[field][:, caches].sum(axis=1) for field in fields)

        ratios = {
            "hit_ratio": _Ratio(cache("hits"), cache("hits", "misses"), share=True),
            "lookup_rate_rps": _Ratio(cache("hits", "misses"), widths),
            "miss_rate_rps": _Ratio(cache("misses"), widths),
            "eviction_rate_rps": _Ratio(cache("evictions"), widths),
        }
        if what in ratios:
            return ratios[what]
    for k, (component, label) in enumerate(plan.tally_names):
        if component == where and what == label and not math.isnan(p):
            return _Quantile("tally", [k], lambda each, k=k: each.tally["count"][:, k], p)  # type: ignore[misc]
        if component == where and what == f"{label}_mean_s":
            return _Ratio(
                lambda each, k=k: each.tally["total"][:, k],  # type: ignore[misc]
                lambda each, k=k: each.tally["count"][:, k],  # type: ignore[misc]
            )
    return _of_counters(results, what, of, where)


def _of_counters(results: Results, what: str, of: str | None, where: str) -> _Ratio | None:
    """Return a metric made of what the component `where` counts."""
    counters = {key: k for k, key in enumerate(results.plan.counter_names)}

    def counted(label: str) -> Series:
        k = counters[where, label]
        return lambda each: each.counter[:, k]

    if what == "retry_amplification" and (where, f"{of}.attempts") in counters:
        return _Ratio(counted(f"{of}.attempts"), counted(f"{of}.calls"))
    if what == "stale_read_ratio" and (where, "stale_reads") in counters:
        return _Ratio(counted("stale_reads"), counted("reads"), share=True)
    if what == "cold_start_ratio" and (where, "cold_starts") in counters:
        granted = _stations("granted", rows=results.stations_of(where, "workers"))
        return _Ratio(counted("cold_starts"), granted, share=True)
    label = what.removesuffix("_rate_rps")
    if label != what and (where, label) in counters:
        return _Ratio(counted(label), widths)
    return None


def _of_station(
    results: Results, what: str, instance: str | None, where: str, p: float
) -> _Metric | None:
    known = ("wait",) if not math.isnan(p) else _station_ratios(results, [])
    if what not in known:
        return None  # before asking which resource is meant
    rows = _station_rows(results, where)
    if instance is not None:
        labels = results.plan.station_labels
        rows = [s for s in rows if str(labels[s].instance) == instance]
        if not rows:
            return None
    if not math.isnan(p):
        return _Quantile("wait", rows, _stations("granted", rows=rows), p)
    return _station_ratios(results, rows)[what]


def _stations(*fields: str, rows: Sequence[int]) -> Series:
    """Return what the stations `rows` have in `fields`, together."""
    return lambda each: sum(each.station[field][:, rows].sum(axis=1) for field in fields)


def _station_ratios(results: Results, rows: Sequence[int]) -> dict[str, _Ratio]:
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
        "utilization_ratio": _Ratio(of("busy"), lambda each: widths(each) * slots),
        "queue_depth_mean": _Ratio(of("depth"), widths),
        "in_flight_mean": _Ratio(of("busy", "depth"), widths),
        "wait_mean_s": _Ratio(of("waited"), of("granted")),
        "wait_ratio": _Ratio(waiting, of("granted"), share=True),
        "response_time_mean_s": _Ratio(of("busy", "depth"), of("served")),
        "arrival_rate_rps": _Ratio(of("arrived"), widths),
        "throughput_rps": _Ratio(of("served"), widths),
        **{f"{name}_ratio": _Ratio(of(name), of("arrived"), share=True) for name in counts},
    }


def _station_rows(results: Results, where: str) -> list[int]:
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
    for name, label in plan.counter_names:
        if label.endswith(".attempts"):
            yield f"retry_amplification[{label.removesuffix('.attempts')}]@{name}"
        elif label in ("stale_reads", "cold_starts"):
            yield from (f"{label[:-1]}_ratio@{name}", f"{label}_rate_rps@{name}")
        elif not label.endswith(".calls"):
            yield f"{label}_rate_rps@{name}"
    for s, each in enumerate(plan.station_labels):
        if plan.station["slots"][s] == 0 or each.instance > 0:
            continue
        where = f"@{each.component}.{each.resource}"
        for name in ("utilization_ratio", "queue_depth_mean", "in_flight_mean"):
            yield f"{name}{where}"
        if plan.station["kind"][s] != AMOUNT:
            yield from (f"wait_mean_s{where}", f"wait_ratio{where}", f"response_time_mean_s{where}")
            yield from (f"wait_{q}_s{where}" for q in _SHOWN_QUANTILES)
        yield from (f"{name}{where}" for name in ("arrival_rate_rps", "throughput_rps"))
        yield f"rejected_ratio{where}"
