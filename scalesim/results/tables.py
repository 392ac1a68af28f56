"""Tables of results: pandas frames with units in the column names."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from scalesim.ops import COMPLETED, OUTCOMES
from scalesim.plan.tables import AMOUNT
from scalesim.results.latency import histogram_quantile
from scalesim.results.metric_definitions import (
    PARTS_OF_CALLS,
    components_counted,
    metric_names,
    ratios_of,
)
from scalesim.results.metrics import estimate, has_no_value, interval_columns

if TYPE_CHECKING:
    import pandas as pd

    from scalesim.results.results import Results

__all__ = [
    "QUANTILES",
    "attempts",
    "component_rows",
    "components",
    "keys",
    "requests",
    "resources",
    "series",
]

QUANTILES = {"p50": 0.5, "p90": 0.9, "p99": 0.99}


def requests(results: Results, intervals: bool) -> pd.DataFrame:
    """Return one row for each endpoint and outcome that occurred."""
    import pandas as pd

    rows = []
    columns = {"rate_rps": "throughput_rps", "latency_mean_s": "latency_mean_s"}
    columns |= {f"latency_{q}_s": f"latency_{q}_s" for q in QUANTILES}
    for endpoint in results.plan.endpoint_names:
        for outcome in OUTCOMES:
            latency = results.latency_of(endpoint, outcome)
            if latency.count or outcome == "completed":
                of = f"[{endpoint}:{outcome}]"
                times = {
                    "latency_mean_s": latency.mean,
                    **{f"latency_{q}_s": latency.quantile(p) for q, p in QUANTILES.items()},
                }
                row = {
                    "endpoint": endpoint,
                    "outcome": outcome,
                    "requests": latency.count,
                    "rate_rps": latency.count / results.measured_time
                    if results.measured_time
                    else math.nan,
                    **{
                        name: _value(results, f"{name}{of}", value) for name, value in times.items()
                    },
                    "latency_max_s": latency.longest if latency.count else math.nan,
                }
                rows.append(row | (_intervals(results, columns, of) if intervals else {}))
    return pd.DataFrame(rows)


def _value(results: Results, name: str, value: float) -> float:
    """Return `value`, or nan if it is of a wait that grows without end."""
    return math.nan if has_no_value(results, name) else value


def _intervals(results: Results, columns: Mapping[str, str], of: str) -> dict[str, float]:
    """Return the ends of the intervals of some columns, by the metrics they are."""
    ends: dict[str, float] = {}
    for column, metric in columns.items():
        ends |= interval_columns(results, column, f"{metric}{of}")
    return ends


def resources(results: Results, instances: bool, intervals: bool) -> pd.DataFrame:
    """Return one row for each resource, averaged over its instances, or for each instance."""
    import pandas as pd

    time, groups = results.measured_time, {}  # type: ignore[var-annotated]
    for s, label in enumerate(results.plan.station_labels):
        if results.plan.station["slots"][s] == 0:
            continue  # this instance has none
        key = (label.component, label.resource, label.instance if instances else -1)
        groups.setdefault(key, []).append(s)
    rows = []
    for (component, resource, instance), members in groups.items():
        used = results.utilization[members]
        totals = {
            name: results.station[name][members].sum()
            for name in (
                "arrived",
                "granted",
                "rejected",
                "abandoned",
                "served",
                "waited",
                "depth",
            )
        }
        amount = results.plan.station["kind"][members[0]] == AMOUNT
        where = f"{f'[{instance}]' if instances else ''}@{component}.{resource}"
        depth = float(totals["depth"] / time) if time else math.nan
        wait = float(totals["waited"] / totals["granted"]) if totals["granted"] else math.nan
        row = {
            "component": component,
            "resource": resource,
            **({"instance": instance} if instances else {"instances": len(members)}),
            "utilization_ratio": float(used.mean()),
            "utilization_busiest_ratio": float(used.max()),
            "queue_depth_mean": _value(results, f"queue_depth_mean{where}", depth),
            "queue_depth_max": int(results.station["deepest"][members].max()),
            "wait_mean_s": math.nan if amount else _value(results, f"wait_mean_s{where}", wait),
            "arrivals": int(totals["arrived"]),
            "rejected": int(totals["rejected"]),
            "abandoned": int(totals["abandoned"]),
            "served": int(totals["served"]),
        }
        if intervals:
            columns = [
                "utilization_ratio",
                "queue_depth_mean",
                *([] if amount else ["wait_mean_s"]),
            ]
            row |= _intervals(results, {each: each for each in columns}, where)
        rows.append(row)
    return pd.DataFrame(rows)


def component_rows(results: Results, intervals: bool) -> list[dict[str, Any]]:
    """Return what is measured per component beside its resources; counts have no interval."""
    known = set(metric_names(results)) if intervals else set()
    rows = []
    for component, metric, value in _of_components(results):
        row = {"component": component, "metric": metric, "value": value}
        if intervals:
            name, low, high = f"{metric}@{component}", math.nan, math.nan
            if name in known:
                found = estimate(results, name, results.confidence)
                low, high = found.low, found.high
            row |= {"low": low, "high": high}
        rows.append(row)
    return rows


def _of_components(results: Results) -> Iterator[tuple[str, str, float]]:
    """Yield (component, metric, value)."""
    plan = results.plan
    for name, cache in results.caches.items():
        lookups = cache["hits"] + cache["misses"]
        yield name, "hit_ratio", cache["hits"] / lookups if lookups else math.nan
        yield name, "lookups", lookups
        yield name, "evictions", cache["evictions"]
        if getattr(results.topology[name], "coalesce", False):
            yield name, "coalesced", cache["coalesced"]
    tally = results.pooled("tally")
    for k, (name, metric) in enumerate(plan.tally_names):
        if metric.endswith(".backoff"):
            continue  # shown as the mean number that wait
        histogram = results.histogram("tally", [k])
        count = int(tally["count"][k])
        yield name, f"{metric}_count", count
        times = {
            f"{metric}_mean_s": float(tally["total"][k] / count) if count else math.nan,
            f"{metric}_p50_s": histogram_quantile(histogram, 0.5),
            f"{metric}_p99_s": histogram_quantile(histogram, 0.99),
        }
        for each, value in times.items():
            yield name, each, _value(results, f"{each}@{name}", value)
        yield name, f"{metric}_max_s", float(tally["longest"][k]) if count else math.nan
    counter = results.pooled("counter")
    for (name, metric), count in zip(plan.counter_names, counter.tolist(), strict=True):
        label, _, what = metric.rpartition(".")
        if what.startswith("breaker_"):
            yield name, f"{what}[{label}]", count
        elif not metric.endswith(PARTS_OF_CALLS):
            yield name, metric, count
    for name in components_counted(results):
        for metric in ratios_of(results, name):
            yield name, metric, estimate(results, f"{metric}@{name}", results.confidence).value


def components(results: Results, intervals: bool) -> pd.DataFrame:
    """Return the component metrics as a long table."""
    import pandas as pd

    columns = ["component", "metric", "value", *(["low", "high"] if intervals else [])]
    return pd.DataFrame(component_rows(results, intervals), columns=columns)


def keys(results: Results) -> pd.DataFrame:
    """Return one row for each cache or database and recorded key that was looked up."""
    import pandas as pd

    plan = results.plan
    names = np.asarray(plan.cache_names + plan.versions_names)
    counted = results.pooled("by_key")
    rows = []
    for name in dict.fromkeys(names.tolist()):
        ratio = "hit_ratio" if name in plan.cache_names else "stale_read_ratio"
        for key, (lookups, found) in enumerate(counted[names == name].sum(axis=0).tolist()):
            if lookups:
                row = {"component": name, "key": key, "lookups": lookups}
                rows.append({**row, ratio: found / lookups})
    columns = ["component", "key", "lookups", "hit_ratio", "stale_read_ratio"]
    return pd.DataFrame(rows, columns=columns)


def series(results: Results) -> pd.DataFrame:
    """Return the first trial bucket by bucket, warm-up included and marked."""
    import pandas as pd

    recording = results.recordings[0]
    ends = np.minimum(recording.spec.boundaries, recording.ended_at)
    starts = np.concatenate([[0.0], recording.spec.boundaries[:-1]])
    width = ends - starts
    keep = width > 0
    rows = range(COMPLETED, results.flow.size, len(OUTCOMES))
    histograms = recording.histogram_series("latency", rows)
    with np.errstate(invalid="ignore", divide="ignore"):
        flow, completed = recording.flow, recording.flow[:, :, 0]
        ended = flow["count"].sum(axis=(1, 2))
        frame = {
            "start_s": starts,
            "end_s": ends,
            "warmup": np.arange(len(ends)) < recording.spec.warmup_buckets,
            "arrival_rate_rps": recording.arrived.sum(axis=1) / width,
            "throughput_rps": completed["count"].sum(axis=1) / width,
            "error_ratio": 1 - completed["count"].sum(axis=1) / ended,
            "latency_mean_s": completed["latency"].sum(axis=1) / completed["count"].sum(axis=1),
            "latency_p50_s": [histogram_quantile(h, 0.5) for h in histograms],
            "latency_p99_s": [histogram_quantile(h, 0.99) for h in histograms],
        }
        slots = results.plan.station["slots"]
        groups: dict[str, list[int]] = {}
        for s, label in enumerate(results.plan.station_labels):
            groups.setdefault(f"{label.component}.{label.resource}", []).append(s)
        for name, members in groups.items():
            busy = recording.station["busy"][:, members].sum(axis=1)
            depth = recording.station["depth"][:, members].sum(axis=1)
            frame[f"{name}.utilization_ratio"] = busy / (slots[members].sum() * width)
            frame[f"{name}.queue_depth"] = depth / width
    table: pd.DataFrame = pd.DataFrame(frame)[keep].reset_index(drop=True)
    return table


def attempts(results: Results) -> pd.DataFrame:
    """Return recorded requests one by one."""
    import pandas as pd

    frames = []
    for trial, recording in enumerate(results.recordings):
        if recording.requests is None:
            continue
        rows = recording.requests[~np.isnan(recording.requests[:, 0])]
        frames.append(
            pd.DataFrame(
                {
                    "trial": trial,
                    "arrived_at_s": rows[:, 0],
                    "ended_at_s": rows[:, 1],
                    "latency_s": rows[:, 1] - rows[:, 0],
                    "endpoint": [results.plan.endpoint_names[int(e)] for e in rows[:, 2]],
                    "outcome": [
                        "in_flight" if math.isnan(o) else OUTCOMES[int(o)] for o in rows[:, 3]
                    ],
                }
            )
        )
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()
