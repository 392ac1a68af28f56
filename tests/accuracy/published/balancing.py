"""Load balancing: power of d choices, weights, many balancers, sticky connections."""

from __future__ import annotations

import numpy as np
from accuracy.published.reading import MANY, in_flight, requests, station
from accuracy.published.registry import Figures, model

import scalesim as ss
from scalesim.policies.load_balancing import PowerOfTwo
from scalesim.studies.compare import compare
from scalesim.traffic import Even


def farm(targets: int, d: int) -> ss.Topology:
    """Return single-slot targets of which each request takes the best of `d` drawn."""
    policy = PowerOfTwo(choices=d) if d > 1 else "random"
    service = station("target", ss.Exponential(1.0), instances=targets, balancing=policy)
    return ss.Topology(service, entry="target")


def supermarket(seed: int, targets: int, d: int, load: float, arrivals: int) -> ss.Results:
    duration = arrivals / (targets * load)
    return ss.simulate(farm(targets, d), ss.Traffic(targets * load),
                       duration=duration, warmup=0.3 * duration, seed=seed)  # fmt: skip


@model("pod-n10-d2-rho070", targets=10, d=2, load=0.7)
@model("pod-n10-d2-rho090", targets=10, d=2, load=0.9)
@model("pod-n20-d2-rho095", targets=20, d=2, load=0.95, long=True)
@model("pod-n50-d3-rho090", targets=50, d=3, load=0.9, long=True)
@model("pod-n100-d3-rho090", targets=100, d=3, load=0.9, long=True)
@model("pod-n100-d4-rho095", targets=100, d=4, load=0.95, long=True)
def power_of_d(seed: int, targets: int, d: int, load: float) -> Figures:
    results = supermarket(seed, targets, d, load, 600_000)
    each = in_flight(results, "target") / targets
    return {"in_flight_mean_per_target": each, "latency_mean_s": results.latency.mean}


@model("pod-n10-d2-rho090-dist", long=True)
def held_at_least(seed: int) -> Figures:
    # Probes look at a target drawn at random and leave at once: the share of them that is turned
    # away, because so many are there, is the share of the time.
    numbers = (2, 3, 4, 5)
    look = {f"look_{k}": ss.Endpoint([ss.sleep(0.0)], shed_above=k) for k in numbers}
    target = ss.Service("target", instances=10, endpoints={
        "get": [ss.sleep(ss.Exponential(1.0))], **look})  # fmt: skip
    probes = {
        name: [ss.call(f"any.{name}", timeout=1e-9, cancel=True)] for name in look
    }  # fmt: skip
    topology = ss.Topology(
        ss.Service("door", workers=MANY, endpoints={"get": [ss.call("better.get")], **probes}),
        ss.LoadBalancer("better", targets="target", policy=PowerOfTwo()),
        ss.LoadBalancer("any", targets="target", policy="random"),
        target, entry="door",
    )  # fmt: skip
    traffic = ss.Traffic(9.0 + 4 * 5.0, mix={"get": 9.0, **dict.fromkeys(probes, 5.0)})
    results = ss.simulate(topology, traffic, duration=10_000, seed=seed)
    figures = {}
    for k in numbers:
        counts = {o: results.latency_of(f"look_{k}", o).count for o in results.counts}
        figures[f"fraction_at_least_{k}"] = counts["rejected"] / sum(counts.values())
    return figures


@model("supermarket-limit-d2-90", long=True)
def many_targets(seed: int) -> Figures:
    return {"latency_mean_s": supermarket(seed, 500, 2, 0.9, 300_000).latency.mean}


@model("supermarket-limit-d2-99", long=True)
def many_targets_busy(seed: int) -> Figures:
    return {"latency_mean_s": supermarket(seed, 1000, 2, 0.99, 900_000).latency.mean}


@model("pod-ordering", long=True)
def one_two_three(seed: int) -> Figures:
    # With one choice the targets are independent: few of them, for longer, come to the same.
    one = supermarket(seed, 20, 1, 0.95, 1_000_000).latency.mean
    pair = compare(farm(500, 2), farm(500, 3), ss.Traffic(500 * 0.95), metrics=["latency_mean_s"],
                   duration=400, warmup=150, trials=2, seed=seed)  # fmt: skip
    two, three = pair["latency_mean_s"].a, pair["latency_mean_s"].b
    return {"ratio_latency_d1_over_d2": one / two, "ratio_latency_d2_over_d3": two / three}


@model("nginx-swrr-5-1-1")
def smooth_weighted_round_robin(seed: int) -> Figures:
    # Targets that take 1, 2 and 3 s: the latency of a request tells which one it went to.
    targets = [station(name, second) for name, second in (("a", 1.0), ("b", 2.0), ("c", 3.0))]
    balancer = ss.LoadBalancer(
        "lb", targets=("a", "b", "c"), weights={"a": 5.0, "b": 1.0, "c": 1.0}
    )
    traffic = ss.ReplayTraffic([10.0 * i for i in range(14)])
    results = ss.simulate(ss.Topology(balancer, *targets, entry="lb"), traffic,
                          duration=200, warmup=0, seed=seed, record_requests=14)  # fmt: skip
    return {"sequence": " ".join(" abc"[round(each)] for each in requests(results))}


def arrivals_by_instance(results: ss.Results, component: str) -> list[int]:
    table = results.resources_table(instances=True, intervals=False)
    found = table[(table.component == component) & (table.resource == "workers")]
    return [int(n) for n in found.sort_values("instance").arrivals]


@model("q-apisix-16-workers")
def sixteen_balancers(seed: int) -> Figures:
    figures = {}
    for each in (1, 5, 10):
        names = tuple(f"lb_{i}" for i in range(16))
        topology = ss.Topology(
            ss.LoadBalancer("front", targets=names),
            *(ss.LoadBalancer(name, targets="target") for name in names),
            station("target", 0.001, instances=10),
            entry="front",
        )
        traffic = ss.ReplayTraffic([0.1 * i for i in range(16 * each)])
        results = ss.simulate(topology, traffic, duration=20, warmup=0, seed=seed)
        figures[f"counts_{each}"] = arrivals_by_instance(results, "target")
    return figures


@model("q-grpc-one-connection")
def one_connection(seed: int) -> Figures:
    # A connection is a client whose requests all go to one replica.
    def shares(replicas: int, policy: str) -> list[float]:
        farm = station("replica", 0.001, workers=10, instances=replicas, balancing=policy)
        traffic = ss.Traffic(100.0, arrivals=Even(), clients=ss.UniformKeys(1))
        results = ss.simulate(ss.Topology(farm, entry="replica"), traffic,
                              duration=100, warmup=0, seed=seed)  # fmt: skip
        counts = arrivals_by_instance(results, "replica")
        return [n / sum(counts) for n in sorted(counts, reverse=True)]

    return {
        "share_by_replica": shares(2, "ip_hash"),
        "share_after_scale_out": shares(4, "ip_hash"),
        "share_if_per_request": shares(4, "round_robin"),
    }


@model("q-sticky-scale-out")
def sticky_sessions(seed: int) -> Figures:
    # A session is a request that lasts. Those of before the scale-out know the old replicas only.
    minute = ss.minutes(1)
    length = ss.Exponential(100 * minute)
    topology = ss.Topology(
        ss.Service("door", workers=MANY, endpoints={
            "before": [ss.call("two")], "after": [ss.call("four")]}),
        ss.LoadBalancer("two", targets="old"),
        ss.LoadBalancer("four", targets=("old", "new")),
        station("old", length, MANY, instances=2),
        station("new", length, MANY, instances=2),
        entry="door",
    )  # fmt: skip
    later = np.cumsum(np.random.default_rng(seed).exponential(minute / 10, 4000))
    sessions = ss.ReplayTraffic([0.0] * 1000 + later.tolist(),
                                endpoint=["before"] * 1000 + ["after"] * 4000)  # fmt: skip

    def share(start: float, end: float) -> float:
        results = ss.simulate(topology, sessions, duration=end, warmup=start, seed=seed)
        old, new = (in_flight(results, name) for name in ("old", "new"))
        return new / (old + new)

    without = ss.simulate(topology, ss.Traffic(10.0, mix={"before": 0.0, "after": 1.0}),
                          duration=minute, seed=seed)  # fmt: skip
    counts = {name: sum(arrivals_by_instance(without, name)) for name in ("old", "new")}
    return {
        "share_of_new_replicas_at_once": share(0.0, 0.001),
        "share_of_new_replicas_after_100_min": share(99 * minute, 101 * minute),
        "share_of_new_replicas_after_300_min": share(299 * minute, 301 * minute),
        "share_without_stickiness_at_once": counts["new"] / sum(counts.values()),
    }
