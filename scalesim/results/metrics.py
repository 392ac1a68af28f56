"""Metrics with their intervals, over the measured window or parts of it."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING

import numpy as np

from scalesim.errors import InvalidInput
from scalesim.results.intervals import Estimate, quantile_interval, ratio_interval
from scalesim.results.metric_definitions import Ratio, Series, find, metric_names, station_rows
from scalesim.results.paths import clients_wait_for
from scalesim.results.saturation import beyond_chance, bunching, excess

if TYPE_CHECKING:
    from scalesim.results.results import Results

__all__ = [
    "course",
    "estimate",
    "has_no_value",
    "interval_columns",
    "metric_names",
    "values_by_trial",
]


def estimate(results: Results, name: str, confidence: float) -> Estimate:
    """Return the metric `name` over the measured window, all trials, with its interval."""
    if not 0 < confidence < 1:
        raise InvalidInput(f"confidence: got {confidence}, allowed is above 0 and below 1")
    windows = [results.buckets_of(each) for each in results.recordings]
    found = _over(results, name, windows, confidence)
    if has_no_value(results, name):
        none = math.nan
        return dataclasses.replace(found, value=none, low=none, high=none, method="unstable")
    if results.unstable and _waits(results, name):
        return dataclasses.replace(found, high=math.inf)
    return found


def has_no_value(results: Results, name: str) -> bool:
    """Return whether `name` is of a wait in a line that surely grows without end."""
    return bool(results.unstable) and _waits(results, name) and _grows(results, name)


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
    metric = find(results, name)
    lengths = [window.stop - window.start for window in windows]

    def measured(series: Series) -> np.ndarray:
        parts = zip(results.recordings, windows, strict=True)
        out: np.ndarray = np.concatenate([series(each)[window] for each, window in parts])
        return out

    stationary = results.traffic.stationary
    if isinstance(metric, Ratio):
        top, bottom = measured(metric.top).astype(float), measured(metric.bottom).astype(float)
        alike = bunching(results) if metric.share else 0.0
        return ratio_interval(name, top, bottom, lengths, stationary, confidence, alike=alike)
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
    component, _, resource = results.unstable.partition(".")
    if not where:
        return metric.startswith("latency") and clients_wait_for(results, component, resource)
    rows = _lines(results, metric, where)
    cause = results.stations_of(component, resource)
    return bool(set(rows) & set(cause)) or bool((excess(results)[rows] > 0).any())


def _grows(results: Results, name: str) -> bool:
    """Return whether it has grown beyond what chance explains, so that it has no value."""
    metric, _, where = name.partition("@")
    if where:
        return bool((excess(results)[_lines(results, metric, where)] > 0).any())
    ended = np.asarray(results.flow["count"].sum())
    return bool(beyond_chance(np.asarray(results.arrived), ended) > 0)


def _lines(results: Results, metric: str, where: str) -> list[int]:
    """Return the stations in whose lines the time that a metric tells may be spent."""
    if metric.startswith(("message_time", "end_to_end_time", "replication_lag")):
        return results.stations_of(where)
    if metric.startswith(("wait_", "queue_depth", "in_flight", "response_time")):
        return station_rows(results, where)
    return []


def interval_columns(results: Results, column: str, name: str) -> dict[str, float]:
    """Return the ends of the interval of `name`, named after a table's `column`."""
    found = estimate(results, name, results.confidence)
    head, unit = column, ""
    if column.endswith(("_s", "_rps", "_ratio")):
        head, _, unit = column.rpartition("_")
        unit = f"_{unit}"
    return {f"{head}_low{unit}": found.low, f"{head}_high{unit}": found.high}
