"""Closed networks: so many users, who think, ask and wait; and how to read a load test."""

from __future__ import annotations

import math

import numpy as np
from accuracy.published.reading import MANY, in_flight, requests, row, station
from accuracy.published.registry import Figures, model

import scalesim as ss
from scalesim.components import Failures, RateLimiter, Workflow
from scalesim.distributions import Erlang, HyperExponential
from scalesim.traffic import Even, UserGroups, Users


def one_queue(seed: int, users: int, think: float, workers: int, duration: float) -> ss.Results:
    topology = ss.Topology(station("queue", ss.Exponential(1.5), workers), entry="queue")
    traffic = ss.ClosedTraffic(users, think_time=ss.Exponential(think))
    return ss.simulate(topology, traffic, duration=duration, seed=seed)


@model("line-repairmen-10")
def thinking_again(seed: int) -> Figures:
    # Exponential pauses, each followed by another with probability 0.7, are one exponential pause.
    results = one_queue(seed, 10, 1 / 0.3, 1, 300_000)
    return {
        "throughput_rps": results.throughput,
        "response_time_mean_s": results.latency.mean,
        "in_flight_mean": in_flight(results, "queue"),
        "utilization": row(results, "queue")["utilization_ratio"],
    }


@model("line-closed-16-c2")
def two_servers(seed: int) -> Figures:
    results = one_queue(seed, 16, 1.0, 2, 150_000)
    return {
        "throughput_rps": results.throughput,
        "response_time_mean_s": results.latency.mean,
        "in_flight_mean": in_flight(results, "queue"),
    }


@model("line-bcmp-ps", long=True)
def insensitivity(seed: int) -> Figures:
    thinks = {
        "class1": Erlang(2 / 3, phases=2),
        "class2": HyperExponential(probabilities=(0.5, 0.5), means=(1 / 3, 1 / 10)),
    }
    figures = {}
    # Whoever is at the bottom of the stack may stay there for a thousand seconds.
    for discipline, duration in (("ps", 1e5), ("fifo", 1e5), ("lcfs_preemptive", 2e6)):
        endpoints = {name: [ss.compute(ss.Exponential(1.0))] for name in thinks}
        queue = ss.Service("queue", workers=4, cpu_discipline=discipline, endpoints=endpoints)
        groups = {
            name: Users(2, think_time=think, mix={each: float(each == name) for each in thinks})
            for name, think in thinks.items()
        }
        results = ss.simulate(ss.Topology(queue, entry="queue"), UserGroups(groups=groups),
                              duration=duration, seed=seed)  # fmt: skip
        for name in thinks:
            latency = results.latency_of(name)
            rate = latency.count / results.measured_time
            figures[f"{name}.throughput_rps[{discipline}]"] = rate
            figures[f"{name}.response_time_mean_s[{discipline}]"] = latency.mean
    return figures


def central_server(
    seed: int, users: int, think: float, visits: dict[str, tuple[float, float]], duration: float
) -> Figures:
    """Return the figures of users whose requests alternate between a processor and disks.

    `visits` has for each station its visits a request and its mean service time [s].
    """
    total = visits["cpu"][0]
    routes = {"cpu": {disk: n / total for disk, (n, _) in visits.items() if disk != "cpu"}}
    routes |= {disk: {"cpu": 1.0} for disk in routes["cpu"]}
    stations = [station(name, ss.Exponential(mean)) for name, (_, mean) in visits.items()]
    topology = ss.Topology(
        Workflow("request", start="cpu", routes=routes), *stations, entry="request"
    )
    traffic = ss.ClosedTraffic(users, think_time=ss.Exponential(think))
    results = ss.simulate(topology, traffic, duration=duration, seed=seed)
    return {
        "latency_mean_s": results.latency.mean,
        "throughput_rps": results.throughput,
        **{f"{name}.in_flight_mean": in_flight(results, name) for name in visits},
    }


@model("jain-timesharing-1", users=1)
@model("jain-timesharing-2", users=2)
@model("jain-timesharing-3", users=3)
@model("jain-timesharing-5", users=5)
def timesharing(seed: int, users: int) -> Figures:
    visits = {"cpu": (16, 0.125), "disk_a": (10, 0.3), "disk_b": (5, 0.2)}
    return central_server(seed, users, 4.0, visits, 100_000)


@model("lazowska-ch6-3users", long=True)
def two_disks(seed: int) -> Figures:
    visits = {"cpu": (121, 0.005), "disk1": (70, 0.030), "disk2": (50, 0.027)}
    return central_server(seed, 3, 15.0, visits, 150_000)


# Reading a load test ----------------------------------------------------------------------------


@model("q-locust-200users-1s")
def pacing(seed: int) -> Figures:
    # A user who starts every second, or at once if the answer took longer, waits for both.
    rates = []
    for response in (0.5, 1.0, 2.0):
        steps = [ss.parallel([ss.sleep(response)], [ss.sleep(1.0)])]
        topology = ss.Topology(
            ss.Service("user", workers=200, endpoints={"iterate": steps}), entry="user"
        )
        traffic = ss.ClosedTraffic(200, think_time=0.0)
        results = ss.simulate(topology, traffic, duration=400.5, warmup=0.5, seed=seed)
        rates.append(results.throughput)
    return {"throughput_rps": rates}


@model("q-locust-619s")
def littles_law(seed: int) -> Figures:
    topology = ss.Topology(station("server", 0.122, MANY), entry="server")
    traffic = ss.Traffic(10_000 / 619, arrivals=Even())
    results = ss.simulate(topology, traffic, duration=700, warmup=81, seed=seed)
    users = in_flight(results, "server")
    return {
        "throughput_rps": results.throughput,
        "in_flight_mean": users,
        "users_at_least": math.ceil(users),
    }


@model("q-k6-open-closed")
def overload_hidden_by_closed_users(seed: int) -> Figures:
    topology = ss.Topology(station("server", ss.Exponential(0.1), 10), entry="server")
    closed = ss.simulate(topology, ss.ClosedTraffic(20, think_time=0.0), duration=2000, seed=seed)
    opened = ss.simulate(topology, ss.Traffic(120.0), duration=300, seed=seed)
    return {
        "closed.throughput_rps": closed.throughput,
        "closed.latency_mean_s": closed.latency.mean,
        "open.verdict": verdict(opened),
    }


def verdict(results: ss.Results) -> str:
    """Return what the results say of stability, with the offered utilization."""
    for caution in results.warnings:
        if caution.what == "unstable":
            return (
                f"unstable: offered utilization {caution.numbers['offered_utilization_ratio']:.1f}"
            )
    return "stable"


def behind_a_limit(seed: int, users: int, think: object, rate: float) -> ss.Results:
    """Return a run against a server that answers at most at `rate`: the one that was measured."""
    topology = ss.Topology(
        RateLimiter("limit", target="server", rate=rate, on_excess="delay"),
        station("server", 0.0, MANY), entry="limit",
    )  # fmt: skip
    traffic = ss.ClosedTraffic(users, think_time=think)
    return ss.simulate(topology, traffic, duration=4000, warmup=1000, seed=seed)


@model("q-locust-expect-10-get-3p5")
def one_user(seed: int) -> Figures:
    return {"response_time_s": behind_a_limit(seed, 1, 0.1, 3.5).latency.mean}


@model("q-locust-200-users-8rps")
def saturated(seed: int) -> Figures:
    runs = [behind_a_limit(seed, 200, ss.Uniform(1, 3), rate) for rate in (7.0, 10.0)]
    full = all(row(each, "limit", "rate")["utilization_ratio"] > 0.99 for each in runs)
    return {
        "response_time_s": [each.latency.mean for each in runs],
        "verdict": "server saturated" if full else "server not saturated",
    }


@model("q-locust-10rps")
def ten_users(seed: int) -> Figures:
    topology = ss.Topology(station("server", 0.005, 10), entry="server")
    with_pause, without = (
        ss.simulate(topology, ss.ClosedTraffic(10, think_time=think), duration=500, seed=seed)
        for think in (1.0, 0.0)
    )
    return {
        "throughput_rps": with_pause.throughput,
        "throughput_rps_without_think_time": without.throughput,
    }


@model("coordinated-omission-tene")
def coordinated_omission(seed: int) -> Figures:
    # The server stands still from 100 s to 200 s, and serves any number at once otherwise.
    pause = Failures(time_to_failure=100.0, repair_time=100.0, of="instance")
    server = ss.Service("server", workers=12_000, cores=12_000, cpu_discipline="fifo",
                        failures=pause,
                        endpoints={"get": [ss.compute(0.001)]})  # fmt: skip
    topology = ss.Topology(server, entry="server")
    asked = ss.Traffic(ss.RateProfile([100.0, 0.0], bucket=200, repeat=False), arrivals=Even())
    opened, closed = (
        ss.simulate(topology, traffic, duration=duration, warmup=0, seed=seed,
                    record_requests=30_000)
        for traffic, duration in ((asked, 250), (ss.ClosedTraffic(1, think_time=0.009), 200.005))
    )  # fmt: skip
    slow, hidden = requests(opened), requests(closed)

    def quantile(latencies: np.ndarray, p: float) -> float:
        return float(np.quantile(latencies, p, method="inverted_cdf"))

    return {
        "open.latency_mean_s": float(slow.mean()),
        "open.latency_p50_s": quantile(slow, 0.5),
        "open.latency_p75_s": quantile(slow, 0.75),
        "open.latency_p9999_s": quantile(slow, 0.9999),
        "closed.samples": len(hidden),
        "closed.latency_mean_s": float(hidden.mean()),
        "closed.latency_p9999_s": quantile(hidden, 0.9999),
    }
