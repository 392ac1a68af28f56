"""Single stations: M/M/c, sharing, priorities, limits, blocking, and what utilization means."""

from __future__ import annotations

import numpy as np
from accuracy.published.closed import verdict
from accuracy.published.reading import in_flight, requests, row, station
from accuracy.published.registry import Figures, model

import scalesim as ss
from scalesim.traffic import Even


@model("ciw-bank-3", counters=3)
@model("ciw-bank-4", counters=4)
def bank(seed: int, counters: int) -> Figures:
    counter = station("bank", ss.Exponential(ss.minutes(10)), workers=counters)
    results = ss.simulate(ss.Topology(counter, entry="bank"), ss.Traffic(0.2 / ss.minutes(1)),
                          duration=ss.minutes(1_500_000), seed=seed)  # fmt: skip
    return {"wait_time_mean_min": row(results, "bank")["wait_mean_s"] / ss.minutes(1)}


@model("ciw-ps")
def processor_sharing(seed: int) -> Figures:
    shared = ss.Service("s", workers=10_000, endpoints={"get": [ss.compute(ss.Exponential(1 / 9))]})
    results = ss.simulate(ss.Topology(shared, entry="s"), ss.Traffic(4.0),
                          duration=50_000, seed=seed)  # fmt: skip
    return {"latency_mean_s": results.latency.mean}


@model("line-mm1k-drop")
def room_for_two(seed: int) -> Figures:
    topology = ss.Topology(station("queue", ss.Exponential(1.0), backlog=2), entry="queue")
    results = ss.simulate(topology, ss.Traffic(0.8), duration=250_000, seed=seed)
    return {
        "rejected_ratio": results.error_ratio,
        "throughput_rps": results.throughput,
        "in_flight_mean": in_flight(results, "queue"),
        "latency_mean_s": results.latency.mean,
    }


@model("ciw-priority-unstable")
def priority_at_full_load(seed: int) -> Figures:
    """Whether most of five runs say so.

    One run in a hundred or so measures, by chance, an offered utilization that is more than 2.5
    standard errors below the 1 that it is, and says nothing. Three of five never do.
    """
    endpoints = {
        name: ss.Endpoint([ss.sleep(ss.Exponential(0.1))], priority=priority)
        for priority, name in enumerate(("high", "low"))
    }
    server = ss.Service("s", backlog_order="priority", endpoints=endpoints)
    traffic = ss.Traffic(10.0, mix={"high": 0.5, "low": 0.5})
    runs = [
        ss.simulate(ss.Topology(server, entry="s"), traffic, duration=4_000, seed=5 * seed + i)
        for i in range(5)
    ]
    return {
        "high.wait_time_mean_s": float(np.mean([r.latency_of("high").mean for r in runs])) - 0.1,
        "system_is_unstable": sum(bool(r.unstable) for r in runs) >= 3,
    }


@model("ciw-stools", long=True)
def stools(seed: int) -> Figures:
    def rejected_per_hour(low: float, high: float) -> float:
        # A queue that is full makes the one before it wait, with its own consumer.
        def worker(name: str, *after: ss.Step, full: str = "block") -> ss.MessageQueue:
            handler = [ss.sleep(ss.Uniform(low, high)), *after]
            return ss.MessageQueue(name, handler=handler, capacity=3, when_full=full)

        topology = ss.Topology(
            ss.Service("door", endpoints={"enter": [ss.publish("w1")]}),
            worker("w1", ss.publish("w2"), full="reject"),
            worker("w2", ss.publish("w3")),
            worker("w3"),
            entry="door",
        )
        results = ss.simulate(topology, ss.Traffic(0.25, arrivals=Even()),
                              duration=4200, warmup=600, trials=50, seed=seed)  # fmt: skip
        return results.counts["rejected"] / results.trials

    return {
        "rejected_per_hour_3_5": rejected_per_hour(3, 5),
        "rejected_per_hour_3p5_4p5": rejected_per_hour(3.5, 4.5),
    }


@model("menasce-one-minute")
def one_minute(seed: int) -> Figures:
    topology = ss.Topology(station("disk", 0.02), entry="disk")
    results = ss.simulate(topology, ss.Traffic(30.0, arrivals=Even()),
                          duration=61, warmup=1, seed=seed)  # fmt: skip
    utilization = row(results, "disk")["utilization_ratio"]
    return {
        "throughput_rps": results.throughput,
        "utilization": utilization,
        "service_time_s": utilization / results.throughput,
    }


@model("q-yafs-overload")
def overload(seed: int) -> Figures:
    topology = ss.Topology(station("s", 1.5), entry="s")
    results = ss.simulate(topology, ss.Traffic(1.0, arrivals=Even()), duration=2000, warmup=0,
                          seed=seed, record_requests=100)  # fmt: skip
    latencies = requests(results)
    longer = np.diff(latencies)
    law = f"{latencies[0]:g} + {longer.mean():g}*(n-1)" if np.ptp(longer) < 1e-9 else "no line"
    return {
        "response_time_s_of_nth": law,
        "response_time_s_of_8th": float(latencies[7]),
        "verdict": verdict(results),
    }


@model("q-simpy-utilization")
def two_slots(seed: int) -> Figures:
    topology = ss.Topology(station("r", ss.Exponential(0.1), 2), entry="r")
    results = ss.simulate(topology, ss.Traffic(12.0), duration=15_000, seed=seed)
    used = row(results, "r")["utilization_ratio"]
    return {"utilization": used, "busy_mean": 2 * used}


@model("q-ciw-utilization-over-1")
def work_in_progress_at_the_end(seed: int) -> Figures:
    topology = ss.Topology(station("s", 1000.0), entry="s")
    traffic = ss.ReplayTraffic([10.0 * i for i in range(10)])
    results = ss.simulate(topology, traffic, duration=100, warmup=0, seed=seed)
    return {
        "utilization": row(results, "s")["utilization_ratio"],
        "never_above": float(results.utilization.max()),
    }
