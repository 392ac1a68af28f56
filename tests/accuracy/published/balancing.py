"""Load balancing: power of d choices, weights, many balancers, sticky connections."""

from __future__ import annotations

import re

from accuracy.published.reading import in_flight, requests, station
from accuracy.published.registry import Figures, case

import scalesim as ss
from scalesim.policies.load_balancing import PowerOfTwo
from scalesim.traffic import Even


def supermarket(seed: int, targets: int, d: int, load: float, arrivals: int) -> ss.Results:
    """Return a run of single-slot targets of which each request takes the best of `d` drawn."""
    policy = PowerOfTwo(choices=d) if d > 1 else "random"
    farm = station("target", ss.Exponential(1.0), instances=targets, balancing=policy)
    duration = arrivals / (targets * load)
    return ss.simulate(
        ss.Topology(farm, entry="target"), ss.Traffic(targets * load),
        duration=duration, warmup=0.3 * duration, seed=seed,
    )  # fmt: skip


@case(
    "pod-n10-d2-rho070", "pod-n10-d2-rho090", "pod-n20-d2-rho095", "pod-n50-d3-rho090",
    "pod-n100-d3-rho090", "pod-n100-d4-rho095",
)  # fmt: skip
def power_of_d(seed: int, name: str) -> Figures:
    targets, d, percent = map(int, re.findall(r"\d+", name))
    results = supermarket(seed, targets, d, percent / 100, 600_000)
    each = in_flight(results, "target") / targets
    return {"in_flight_mean_per_target": each, "latency_mean_s": results.latency.mean}


@case("supermarket-limit-d2-90", trials=6)
def many_targets(seed: int) -> Figures:
    return {"latency_mean_s": supermarket(seed, 500, 2, 0.9, 300_000).latency.mean}


@case("supermarket-limit-d2-99", trials=5)
def many_targets_busy(seed: int) -> Figures:
    return {"latency_mean_s": supermarket(seed, 1000, 2, 0.99, 900_000).latency.mean}


@case("pod-ordering", trials=5)
def one_two_three(seed: int) -> Figures:
    # With one choice the targets are independent: few of them, for longer, come to the same.
    one = supermarket(seed, 20, 1, 0.95, 1_000_000).latency.mean
    two, three = (supermarket(seed, 500, d, 0.95, 250_000).latency.mean for d in (2, 3))
    return {"ratio_latency_d1_over_d2": one / two, "ratio_latency_d2_over_d3": two / three}


@case("nginx-swrr-5-1-1")
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


@case("q-apisix-16-workers")
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


@case("q-grpc-one-connection")
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
