"""The table of metrics: what a metric's name means.

The first row whose pattern matches the base of the name, and that applies, says how the metric is
read. A name that no row reads makes the case unsupported by that name.
"""

from __future__ import annotations

import math
import re

import numpy as np
from accuracy.histories import (
    all_at_station,
    at,
    counts,
    empty_again,
    ended_at,
    finished_at,
    first_without_wait,
    harmonic,
    hits,
    level_quantile,
    outcomes,
    short_circuited,
    slots_of,
    spike_end,
    targets,
    variance,
    waits,
    whole_run,
)
from accuracy.instants import (
    attempts,
    batch_sizes,
    batches_at,
    failed_at,
    granted_at,
    sent_at,
)
from accuracy.judge import Largest, Quantile
from accuracy.measure import (
    HISTOGRAM,
    Measure,
    Metric,
    Q,
    Row,
    about_all,
    at_a_station,
    each_instance,
    end_to_end,
    labelled,
    named,
    of_applies,
    of_class,
    of_class_at_station,
    of_client,
    of_machines,
    of_messages,
    of_messages_in_order,
    of_misses,
    of_outcome,
    one_station,
    random_service,
    seen,
    share,
    shared_cores,
    unsaid,
    whole,
    with_breaker,
    with_failures,
    with_replicas,
    with_setup,
)
from accuracy.question import Question
from accuracy.readings import (
    applies,
    at_least,
    attempts_mean,
    availability,
    by_key,
    client_figure,
    coalesced,
    cores_down,
    end_to_end_mean,
    fetch_count,
    fetch_rate,
    hit_ratio,
    in_system,
    keys_counted,
    lag_histogram,
    lag_mean,
    latency_of_misses,
    messages_rate,
    outage_rate,
    partitions,
    per_request,
    stale_read_ratio,
    up_mean,
    wait_before_service,
    wait_of_class,
)
from accuracy.seen import Seen
from accuracy.words import Unsupported, Words, understanding

__all__ = ["APART", "LEVELS", "measure_of"]

APART = frozenset({"attempts"})
"""Metrics that tell the requests of a trace apart, by the class."""

LEVELS = frozenset({"fraction_of_instances_with_at_least_k"})
"""Metrics of the shares of time with each number in flight."""


@understanding()
def measure_of(metric: Metric, question: Question) -> Measure:
    """Return how to read a metric of a question."""
    Words.latest = f"metric {metric.name}"
    for row in TABLE:
        found = re.fullmatch(row.pattern, metric.base)
        if found and row.applies(metric, question):
            read = row.make(metric, question, *found.groups())
            keys = keys_counted(metric, question)
            return Measure(read, metric, row.resolution, row.records, keys)
    raise Unsupported(f"metric {metric.name}")


TABLE = [
    # What a name leaves open
    Row("(?:rejected|failed|error)_ratio", with_breaker, unsaid("the short-circuited or not")),
    # End to end
    Row("response_time_mean_s|latency_mean_s", end_to_end, whole(lambda t: t.results.latency.mean)),
    Row(
        "(?:response_time|latency)" + Q,
        end_to_end,
        lambda m, q, p: lambda t: Quantile(share(p), t.results.latency.histogram),
        HISTOGRAM,
    ),
    Row("response_time_max_s", end_to_end, whole(lambda t: t.results.latency.longest)),
    Row(
        "latency_s",
        end_to_end,
        whole(lambda t: t.results.flow["latency"].sum() / t.results.flow["count"].sum()),
    ),
    Row(
        "response_time_mean_s|latency_mean_s",
        of_class,
        labelled(lambda t, c: t.results.latency_of(c).mean),
    ),
    Row("latency_mean_s", of_outcome, labelled(lambda t, o: t.results.latency_of(None, o).mean)),
    Row("latency_mean_s", of_misses, latency_of_misses),
    Row("throughput_rps|goodput_rps", end_to_end, whole(lambda t: t.results.throughput)),
    Row("(throughput_rps)", of_class, named),
    Row("(rejected_ratio|timed_out_ratio|error_ratio)", of_client, named),
    Row("failed_ratio", end_to_end, lambda m, q: named(m, q, "error_ratio")),
    Row("((?:rejected|timed_out|failed)_ratio)", of_class, named),
    Row("in_flight_mean", one_station, seen(lambda s: s.in_flight)),
    Row("in_flight_mean|in_flight_requests_mean", end_to_end, whole(in_system)),
    # What a client's retries and copies amount to
    Row(
        "offered_rate_rps|retry_amplification",
        end_to_end,
        lambda m, q: lambda t: client_figure(t, m.base),
    ),
    Row(
        "waiting_to_retry_mean",
        end_to_end,
        whole(lambda t: client_figure(t, "waiting_to_retry_mean")),
    ),
    Row(
        "first_attempt_(?:rejected|failed)_ratio",
        end_to_end,
        lambda m, q: lambda t: client_figure(t, "first_attempt_failed_ratio"),
    ),
    Row("attempts_mean", end_to_end, whole(attempts_mean)),
    # Messages: nobody waits for the answer
    Row("(?:response_time|latency)_mean_s", of_messages, whole(end_to_end_mean)),
    Row("throughput_rps", of_messages, whole(messages_rate)),
    Row("time_in_queue_mean_s", of_messages, seen(lambda s: s.wait_mean)),
    Row(
        "response_time_mean_s_worst_consumer",
        of_messages,
        seen(lambda s: Largest(tuple(e.response_mean for e in s.instances() if e.throughput))),
    ),
    Row("utilization_per_consumer", of_messages, each_instance(lambda s: s.utilization)),
    Row(
        "idle_consumers",
        of_messages,
        seen(lambda s: sum(not each.arrived for each in s.instances())),
    ),
    Row("batch_size_mean", of_messages, seen(lambda s: s.served / s.counter("batches"))),
    # Failures
    Row("availability", of_machines, availability),
    Row(
        "unavailability",
        of_machines,
        lambda m, q: (lambda up: lambda t: 1 - up(t))(availability(m, q)),
    ),
    Row("machines_up_mean", of_machines, whole(up_mean)),
    Row("outages_per_1000_h", of_machines, whole(lambda t: 1000 * outage_rate(t))),
    Row(
        "outage_duration_mean_h",
        of_machines,
        lambda m, q: (lambda up: lambda t: (1 - up(t)) / outage_rate(t))(availability(m, q)),
    ),
    Row("availability", with_failures, whole(lambda t: 1 - cores_down(t))),
    Row(
        "slot_held_ratio",
        with_failures,
        lambda m, q: lambda t: Seen(t.results, q.place).utilization + cores_down(t),
    ),
    Row("wait_time_mean_s", with_failures, whole(wait_before_service)),
    Row("utilization|cpu_utilization", with_setup, unsaid("whether starting is work")),
    Row("cold_start_ratio", with_setup, seen(lambda s: s.counter("cold_start_ratio"))),
    # Circuit breakers
    Row("short_circuited(?:_count)?", with_breaker, whole(short_circuited)),
    Row(
        "short_circuited_ratio",
        with_breaker,
        whole(lambda t: short_circuited(t) / t.results.arrived),
    ),
    # Replication
    Row("replication_lag_mean_s", with_replicas, whole(lag_mean)),
    Row(
        "replication_lag" + Q,
        with_replicas,
        lambda m, q, p: lambda t: Quantile(share(p), lag_histogram(t)),
        HISTOGRAM,
    ),
    Row("throughput_rps", of_applies, whole(applies)),
    Row("stale_read_ratio", with_replicas, stale_read_ratio),
    Row(
        r"stale_read_ratio_key_(\d+)",
        with_replicas,
        lambda m, q, key: lambda t: by_key(t, "stale_read_ratio")[int(key) - 1],
    ),
    # Chains
    Row(r"attempts_at_(bottom|middle)_per_request", about_all, per_request),
    # Caches
    Row("(hit_ratio)", at_a_station, named),
    Row("hit_ratio|hit_ratio_immediate", about_all, whole(hit_ratio)),
    Row("hit_ratio_per_key", about_all, whole(lambda t: by_key(t, "hit_ratio"))),
    Row(
        r"hit_ratio_key_(\d+)",
        about_all,
        lambda m, q, key: lambda t: by_key(t, "hit_ratio")[int(key) - 1],
    ),
    Row("hit", about_all, whole(hits), records=True),
    # Fetches may come like clockwork: trials then count equally many, each a part of one too few.
    Row("origin_rate_rps", about_all, fetch_rate, 0.005),
    Row("origin_fetches_mean", about_all, fetch_count),
    Row("coalesced_ratio", about_all, whole(coalesced)),
    # At a station
    Row("wait_time_mean_s", of_class, wait_of_class),
    Row("wait_time_mean_s|delay_mean_s", about_all, seen(lambda s: s.wait_mean)),
    Row("wait_time_mean_s_of_served", about_all, seen(lambda s: s.wait_mean)),
    Row(
        "wait_time_mean_s_all_requests",
        about_all,
        seen(lambda s: s.queue_depth * s.time / s.arrived),
    ),
    Row("wait_time_std_s", about_all, seen(lambda s: s.wait_std), 1e-4),
    Row("wait_probability|delayed_ratio", about_all, seen(lambda s: s.wait_probability)),
    Row("no_wait_probability", about_all, seen(lambda s: 1 - s.wait_probability)),
    Row("abandoned_ratio", about_all, seen(lambda s: s.total("workers", "abandoned") / s.arrived)),
    Row("wait_time" + Q, about_all, seen(lambda s, p: Quantile(share(p), *s.waits())), HISTOGRAM),
    # Under processor sharing the mean of the ratio is the ratio of the means, whatever the service.
    Row(
        "slowdown_mean",
        shared_cores,
        lambda m, q: lambda t: t.results.latency.mean / q.place.service_mean["serve"],
    ),
    Row("arrival_rate", about_all, seen(lambda s: s.arrived / s.time)),
    Row(
        "target_skew|shard_skew",
        about_all,
        seen(lambda s: Largest(tuple(e.arrived * s.count / s.arrived for e in s.instances()))),
    ),
    Row("shard_share", about_all, seen(lambda s: [e.arrived / s.arrived for e in s.instances()])),
    Row("utilization_per_shard", about_all, each_instance(lambda s: s.utilization)),
    Row("response_time_mean_s_per_shard", about_all, each_instance(lambda s: s.response_mean)),
    Row("targets_used", about_all, seen(lambda s: sum(e.arrived > 0 for e in s.instances()))),
    Row(
        "utilization_busiest",
        about_all,
        seen(lambda s: Largest(tuple(e.utilization for e in s.instances()))),
    ),
    Row("partitions_per_consumer", of_messages, partitions),
    Row("queue_depth_mean", about_all, seen(lambda s: s.queue_depth)),
    Row("queue_depth_max", about_all, seen(lambda s: s.deepest)),
    Row(
        "utilization|cpu_utilization|utilization_serving", about_all, seen(lambda s: s.utilization)
    ),
    Row("slots_busy_mean|busy_mean", about_all, seen(lambda s: s.held)),
    Row("slot_held_ratio", about_all, seen(lambda s: s.held_ratio)),
    Row("blocked_ratio", at_a_station, seen(lambda s: s.blocked_ratio)),
    Row(
        "in_flight_mean|in_flight_branches_mean|in_flight_attempts_mean",
        about_all,
        seen(lambda s: s.in_flight),
    ),
    Row("fraction_of_instances_with_at_least_k", about_all, at_least),
    Row("in_flight_mean_per_instance", about_all, seen(lambda s: s.in_flight / s.count)),
    Row(
        "response_time_mean_s|branch_response_time_mean_s",
        about_all,
        seen(lambda s: s.response_mean),
    ),
    Row("response_time_mean_s", of_class_at_station, seen(lambda s: s.response_mean)),
    Row("throughput_rps|server_throughput_rps", about_all, seen(lambda s: s.throughput)),
    Row("server_busy_s", about_all, seen(lambda s: s.busy * s.time)),
    Row("attempts_served", about_all, seen(lambda s: int(s.served))),
    # Request by request
    Row("target|first_targets", about_all, whole(targets)),
    Row("attempts", end_to_end, whole(attempts)),
    Row("sent_at_s", about_all, whole(sent_at)),
    Row("failed_at_s", end_to_end, whole(failed_at), records=True),
    Row(r"(\w+)_granted_at_s", about_all, lambda m, q, name: lambda t: granted_at(t, name)),
    Row("finish_at_s", of_messages_in_order, whole(finished_at)),
    Row("last_finish_at_s", of_messages_in_order, whole(lambda t: max(finished_at(t)))),
    Row("batch_sent_at_s", of_messages, whole(batches_at)),
    Row("batch_size", of_messages, whole(batch_sizes)),
    Row("slot_held_total_s", about_all, seen(lambda s: s.held * s.time)),
    Row("finish_at_s", end_to_end, whole(ended_at), records=True),
    Row(
        "last_finish_at_s",
        end_to_end,
        whole(lambda t: max(filter(None, ended_at(t)))),
        records=True,
    ),
    Row(
        "outcome",
        end_to_end,
        whole(outcomes),
        records=True,
    ),
    Row(
        "outcome_at_s",
        end_to_end,
        whole(lambda t: list(t.results.attempts_table()["ended_at_s"])),
        records=True,
    ),
    Row(
        "admitted",
        end_to_end,
        whole(lambda t: [o == "completed" for o in t.results.attempts_table()["outcome"]]),
        records=True,
    ),
    Row(
        "(completed|rejected|failed|timed_out)(?:_count)?",
        about_all,
        lambda m, q, o: lambda t: t.results.counts[o],
    ),
    Row("admitted_count", about_all, counts("completed")),
    Row("requests", about_all, whole(lambda t: t.results.arrived)),
    Row("wait_time_max_s", random_service, seen(lambda s: s.wait_longest), HISTOGRAM),
    Row("wait_time_max_s", end_to_end, whole(lambda t: float(waits(t).max())), records=True),
    Row(
        "requests_that_waited",
        end_to_end,
        whole(lambda t: int((waits(t) > 1e-9).sum())),
        records=True,
    ),
    Row(
        "response_time_p99_s_nearest_rank",
        end_to_end,
        whole(
            lambda t: float(
                np.sort(t.times[:, 1] - t.times[:, 0])[math.ceil(0.99 * len(t.times)) - 1]
            )
        ),
        records=True,
    ),
    Row(
        "first_arrival_without_wait_after_backlog_at_s",
        end_to_end,
        whole(first_without_wait),
        records=True,
    ),
    # Of the whole run and of its window
    Row("arrived", about_all, whole(lambda t: int(t.results.recordings[0].arrived.sum()))),
    Row("completed_by_end", about_all, whole_run("completed")),
    Row("in_flight_at_end", about_all, whole(lambda t: t.results.recordings[0].in_flight)),
    Row("completed_in_window", about_all, counts("completed")),
    Row("utilization_in_window", about_all, seen(lambda s: s.utilization)),
    Row("throughput_rps_in_window", about_all, whole(lambda t: t.results.throughput)),
    # Servers that differ
    Row("utilization_per_server", about_all, seen(lambda s: s.each_core())),
    # At given times, and distributions over time
    Row("in_flight_mean_at(?:_phase)?", end_to_end, at(lambda n, q: float(n.mean())), records=True),
    Row(
        "in_flight_variance_at_phase",
        end_to_end,
        at(lambda n, q: float(n.var(ddof=1))),
        records=True,
    ),
    Row("empty_probability_at", end_to_end, at(lambda n, q: float((n == 0).mean())), records=True),
    Row(
        "idle_slot_probability_at",
        end_to_end,
        at(lambda n, q: float((n < slots_of(q)).mean())),
        records=True,
    ),
    Row("in_flight_mean_max", end_to_end, whole(lambda t: harmonic(t)[0]), records=True),
    Row("in_flight_mean_max_at_phase_s", end_to_end, whole(lambda t: harmonic(t)[1]), records=True),
    Row("backlog_empty_at_s", end_to_end, whole(empty_again), records=True),
    Row(
        "drain_time_after_spike_s",
        end_to_end,
        whole(lambda t: empty_again(t) - spike_end(t)),
        records=True,
    ),
    Row("all_down_probability", end_to_end, whole(all_at_station), records=True),
    Row("in_flight_variance", end_to_end, whole(variance), records=True),
    Row(r"in_flight_time_weighted_p(\d+)", end_to_end, level_quantile, records=True),
]
