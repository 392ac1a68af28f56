"""Tables of results: pandas frames with units in the column names."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from scalesim.ops import COMPLETED, OUTCOMES
from scalesim.plan.tables import AMOUNT
from scalesim.results.latency import histogram_quantile
from scalesim.results.metrics import interval_columns

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
                rows.append(
                    {
                        "endpoint": endpoint,
                        "outcome": outcome,
                        "requests": latency.count,
                        "rate_rps": latency.count / results.measured_time
                        if results.measured_time
                        else math.nan,
                        "latency_mean_s": latency.mean,
                        **{f"latency_{q}_s": latency.quantile(p) for q, p in QUANTILES.items()},
                        "latency_max_s": latency.longest if latency.count else math.nan,
                    }
                    | (_intervals(results, columns, f"[{endpoint}:{outcome}]") if intervals else {})
                )
    return pd.DataFrame(rows)


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
        row = {
            "component": component,
            "resource": resource,
            **({"instance": instance} if instances else {"instances": len(members)}),
            "utilization_ratio": float(used.mean()),
            "utilization_busiest_ratio": float(used.max()),
            "queue_depth_mean": float(totals["depth"] / time) if time else math.nan,
            "queue_depth_max": int(results.station["deepest"][members].max()),
            "wait_mean_s": float(totals["waited"] / totals["granted"])
            if totals["granted"] and not amount
            else math.nan,
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
            of = f"[{instance}]" if instances else ""
            where = f"{of}@{component}.{resource}"
            row |= _intervals(results, {each: each for each in columns}, where)
        rows.append(row)
    return pd.DataFrame(rows)


def component_rows(results: Results) -> list[dict[str, Any]]:
    """Return what is measured per component beside its resources: (component, metric, value)."""
    plan, rows, time = results.plan, [], results.measured_time or math.nan

    def add(component: str, metric: str, value: float) -> None:
        rows.append({"component": component, "metric": metric, "value": value})

    for name, cache in results.caches.items():
        lookups = cache["hits"] + cache["misses"]
        add(name, "hit_ratio", cache["hits"] / lookups if lookups else math.nan)
        add(name, "lookups", lookups)
        add(name, "evictions", cache["evictions"])
        if getattr(results.topology[name], "coalesce", False):
            add(name, "coalesced", cache["coalesced"])
    tally = results.pooled("tally")
    for k, (name, metric) in enumerate(plan.tally_names):
        if metric.endswith(".backoff"):
            waited = float(tally["total"][k]) / time
            add(name, f"waiting_to_retry_mean[{metric.removesuffix('.backoff')}]", waited)
            continue
        histogram = results.histogram("tally", [k])
        count = int(tally["count"][k])
        add(name, f"{metric}_count", count)
        add(name, f"{metric}_mean_s", float(tally["total"][k] / count) if count else math.nan)
        add(name, f"{metric}_p50_s", histogram_quantile(histogram, 0.5))
        add(name, f"{metric}_p99_s", histogram_quantile(histogram, 0.99))
        add(name, f"{metric}_max_s", float(tally["longest"][k]) if count else math.nan)
    for row in (*_counted(results, time), *_batch_sizes(results), *_shard_skews(results)):
        add(*row)
    return rows


def _batch_sizes(results: Results) -> Iterator[tuple[str, str, float]]:
    """Yield for each queue that takes batches the mean size of those taken."""
    labels, counter = results.plan.station_labels, results.pooled("counter")
    for rule in results.plan.batch:
        queue = labels[rule["station"]]
        members = [s for s, x in enumerate(labels) if x[:2] == queue[:2]]
        taken, batches = results.station["granted"][members].sum(), counter[rule["counter"]]
        size = float(taken / batches) if batches else math.nan
        yield queue.component, "batch_size_mean", size


def _shard_skews(results: Results) -> Iterator[tuple[str, str, float]]:
    """Yield how much busier the busiest shard is, for each component that is sharded."""
    for name, part in results.topology.components.items():
        shards = getattr(part, "shards", 1)
        if shards > 1:
            yield name, "shard_skew", _shard_skew(results, name, shards)


def _counted(results: Results, time: float) -> Iterator[tuple[str, str, float]]:
    """Yield (component, metric, value) of everything counted, in `time` s."""
    counter = results.pooled("counter")
    values = {key: int(n) for key, n in zip(results.plan.counter_names, counter, strict=True)}
    for (name, metric), value in values.items():
        label, _, what = metric.rpartition(".")
        calls = values.get((name, f"{label}.calls")) or math.nan
        if what == "attempts":
            yield name, f"offered_rate_rps[{label}]", value / time
            yield name, f"retry_amplification[{label}]", value / calls
        elif what == "first_failed":
            yield name, f"first_attempt_failed_ratio[{label}]", value / calls
        elif what.startswith("breaker_"):
            yield name, f"{what}[{label}]", value
        elif what != "calls":
            yield name, metric, value
        if what == "stale_reads":
            yield name, "stale_read_ratio", value / (values[name, "reads"] or math.nan)
        if what == "cold_starts":
            granted = int(results.station["granted"][results.stations_of(name, "workers")].sum())
            yield name, "cold_start_ratio", value / (granted or math.nan)


def _shard_skew(results: Results, name: str, shards: int) -> float:
    """Return the busiest shard's query rate over the mean shard's."""
    labels = results.plan.station_labels
    members = [
        s for s, x in enumerate(labels) if x.component == name and x.resource == "connections"
    ]
    arrived = results.station["arrived"][members].reshape(shards, -1).sum(axis=1)
    return float(arrived.max() / arrived.mean()) if arrived.sum() else math.nan


def components(results: Results) -> pd.DataFrame:
    """Return the component metrics as a long table."""
    import pandas as pd

    return pd.DataFrame(component_rows(results), columns=["component", "metric", "value"])


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
