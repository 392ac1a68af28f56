"""Queues: messages that are delivered again, kept in order, or all in one partition."""

from __future__ import annotations

from accuracy.published.reading import row
from accuracy.published.registry import Figures, model

import scalesim as ss
from scalesim.components import Hedge, cached
from scalesim.distributions import Recorded
from scalesim.traffic import Even


@model("q-keda-one-hot-partition")
def hot_partition_of_a_log(seed: int) -> Figures:
    growth, idle = [], []
    for consumers in (1, 5, 10, 20):
        log = ss.MessageQueue("log", handler=[ss.sleep(0.02)], partitions=10, consumers=consumers)
        topology = ss.Topology(
            ss.Service("producer", endpoints={"send": [ss.publish("log")]}), log, entry="producer"
        )
        traffic = ss.Traffic(100.0, arrivals=Even(), keys=ss.UniformKeys(1))
        results = ss.simulate(topology, traffic, duration=200, seed=seed)
        found = row(results, "log", "consumers")
        growth.append((found["arrivals"] - found["served"]) / results.measured_time)
        idle.append(consumers - round(found["utilization_ratio"] * consumers))
    return {"lag_growth_per_s": growth, "idle_consumers": idle}


@model("q-celery-prefetch")
def prefetch(seed: int) -> Figures:
    # A task is offered to the first worker, then, if it has no room, to the second.
    offer = [
        cached("offered", miss=[ss.call("offered.set"), ss.call("first"), ss.call("done.set")]),
        cached("done", miss=[ss.call("second")]),
    ]
    run = [ss.sleep(Recorded((3600.0, 60.0)))]

    def start_of_second(prefetched: int) -> float:
        topology = ss.Topology(
            ss.Service("broker", workers=2, endpoints={"offer": offer}),
            ss.Cache("offered"), ss.Cache("done"),
            ss.Service("first", backlog=prefetched, endpoints={"run": run}),
            ss.Service("second", backlog=prefetched, endpoints={"run": run}),
            entry="broker",
        )  # fmt: skip
        traffic = ss.ReplayTraffic([0.0, 10.0], key=[1, 2],
                                   retry=ss.Retry(2, backoff=0.0, on="rejected"))  # fmt: skip
        results = ss.simulate(topology, traffic, duration=10_000, warmup=0, seed=seed,
                              record_requests=2)  # fmt: skip
        return float(results.attempts_table().ended_at_s[1]) - 60

    return {
        "start_of_second_s_with_prefetch_1": start_of_second(1),
        "start_of_second_s_without": start_of_second(0),
    }


# Visibility time-outs: a message that was not deleted in time is delivered again, which is what a
# hedged call does until the first answer.


def deliveries(
    seed: int, visibility: float, processing: float, consumers: int, until: float
) -> list[float]:
    """Return when a message was delivered [s], of consumers that are busy `until` the end."""
    again = Hedge(after=visibility, copies=10)
    topology = ss.Topology(
        ss.Service("queue", endpoints={"message": [ss.call("consumer", hedge=again)]}),
        ss.Service("consumer", instances=consumers, endpoints={"handle": [ss.sleep(processing)]}),
        entry="queue",
    )
    results = ss.simulate(topology, ss.ReplayTraffic([0.0]), duration=until, warmup=0, seed=seed)
    table = results.resources_table(instances=True, intervals=False)
    busy = table[(table.resource == "workers") & (table.component == "consumer")]
    return [until * (1 - used) for used in busy[busy.arrivals > 0].utilization_ratio]


def delivered(seed: int, visibility: float, processing: float, consumers: int) -> Figures:
    count = len(deliveries(seed, visibility, processing, consumers, until=10 * processing))
    at = deliveries(seed, visibility, processing, consumers, until=processing)
    return {"deliveries": count, "delivered_at_s": at}


@model("sqs-slow-consumer")
def slow_consumer(seed: int) -> Figures:
    return delivered(seed, visibility=30.0, processing=45.0, consumers=2)


@model("q-sqs-10min-2min")
def ten_minutes(seed: int) -> Figures:
    found = delivered(seed, visibility=120.0, processing=600.0, consumers=10)
    return {**found, "duplicates": found["deliveries"] - 1}


@model("q-sqs-visibility-0")
def nothing_hidden(seed: int) -> Figures:
    at_once, hidden = (deliveries(seed, each, 1.0, 10, until=1.0) for each in (0.0, 10.0))
    return {
        "may_be_delivered_concurrently": at_once.count(0.0) > 1,
        "with_timeout_10s_deliveries": len(hidden),
    }


@model("sqs-fifo-group-blocked")
def ordered_groups(seed: int) -> Figures:
    # A group's messages are in one partition, which has one consumer. All are there at 0 s, so
    # that a consumer is busy without a gap until its group is done.
    queue = ss.MessageQueue("queue", handler=[ss.sleep(1.0)], partitions=10, consumers=10)
    topology = ss.Topology(
        ss.Service("producer", workers=11, endpoints={"send": [ss.publish("queue")]}), queue,
        entry="producer",
    )  # fmt: skip
    traffic = ss.ReplayTraffic([0.0] * 11, key=[1] * 10 + [2])
    results = ss.simulate(topology, traffic, duration=20, warmup=0, seed=seed)
    table = results.resources_table(instances=True, intervals=False)
    consumers = table[(table.resource == "consumers") & (table.arrivals > 0)]
    second, first = sorted(20 * consumers.utilization_ratio)
    return {"makespan_g1_s": first, "makespan_g2_s": second}
