"""Fan-out, quorums, retries, rate limits, connection pools and partitions."""

from __future__ import annotations

from accuracy.published.reading import MANY, requests, row, station
from accuracy.published.registry import Figures, case

import scalesim as ss
from scalesim.components import RateLimiter, fail
from scalesim.distributions import Mixture
from scalesim.traffic import Even


def slow_ratio(seed: int, leaves: int, slow: float, count: int) -> float:
    """Return the share of requests that wait for a slow leaf."""
    leaf = Mixture(probabilities=(1 - slow, slow), parts=(0.01, 1.0))
    topology = ss.Topology(
        ss.Service(
            "root", workers=MANY, endpoints={"get": [ss.parallel(*[[ss.sleep(leaf)]] * leaves)]}
        ),
        entry="root",
    )
    results = ss.simulate(topology, ss.Traffic(10.0), duration=count / 10, seed=seed)
    return 1 - results.goodput(0.5) / results.throughput


@case("tail-at-scale-fanout")
def tail_at_scale(seed: int) -> Figures:
    return {
        "slow_request_ratio": slow_ratio(seed, 100, 0.01, 8000),
        "slow_ratio_for_200": slow_ratio(seed, 200, 0.01, 4000),
        "slow_ratio_for_2000_leaves_1_in_10000": slow_ratio(seed, 2000, 0.0001, 1500),
    }


@case("tail-fanout-50")
def fan_out(seed: int) -> Figures:
    return {"slow_request_ratio": slow_ratio(seed, 50, 0.01, 10_000)}


@case("quorum-yammer-p999-n1to3", trials=8)
def quorum(seed: int) -> Figures:
    way = Mixture(
        probabilities=(0.982, 0.018),
        parts=(ss.Pareto(ss.ms(1.5), shape=3.8), ss.Exponential(ss.ms(1 / 0.0217))),
    )
    figures = {}
    for sent in (1, 2, 3):
        for awaited in range(1, sent + 1):
            there_and_back = [ss.sleep(way), ss.sleep(way)]
            steps = [ss.parallel(*[there_and_back] * sent, wait_for=awaited)]
            read = ss.Service("read", workers=MANY, endpoints={"get": steps})
            results = ss.simulate(ss.Topology(read, entry="read"), ss.Traffic(1000.0),
                                  duration=150, warmup=1, seed=seed)  # fmt: skip
            p999 = results.latency.quantile(0.999) / ss.ms(1)
            figures[f"latency_p999_ms_sent{sent}_awaited{awaited}"] = p999
    return figures


@case("sre-retry-layers")
def layers(seed: int) -> Figures:
    again = ss.Retry(4, backoff=0.0)
    topology = ss.Topology(
        ss.Service("front", endpoints={"get": [ss.call("back.get", retry=again)]}),
        ss.Service("back", endpoints={"get": [ss.call("store.get", retry=again)]}),
        ss.Service("store", endpoints={"get": [fail(1.0)]}),
        entry="front",
    )
    results = ss.simulate(topology, ss.ReplayTraffic([0.0], retry=again),
                          duration=1, warmup=0, seed=seed)  # fmt: skip
    return {"attempts_at_bottom_per_request": row(results, "store")["arrivals"]}


@case("q-istio-timeout-swallows-retries")
def timeout_of_all_attempts(seed: int) -> Figures:
    def outcome(each_try: float | None) -> tuple[float, float]:
        retried = ss.call("web.serve", timeout=each_try, retry=ss.Retry(4, backoff=0.0))
        topology = ss.Topology(
            ss.Service("sidecar", endpoints={"get": [retried]}),
            station("web", 7.0, workers=10),
            entry="sidecar",
        )
        results = ss.simulate(topology, ss.ReplayTraffic([0.0], timeout=2.0), duration=20,
                              warmup=0, seed=seed, record_requests=1)  # fmt: skip
        return float(requests(results)[0]), row(results, "web")["arrivals"]

    latency, attempts = outcome(None)
    latency_with, attempts_with = outcome(0.5)
    return {
        "latency_s": latency,
        "attempts": attempts,
        "latency_s_with_per_try_0.5s": latency_with,
        "attempts_with_per_try_0.5s": attempts_with,
    }


# Limits -----------------------------------------------------------------------------------------


def accepted(seed: int, at: list[float], **limit: object) -> int:
    limiter = RateLimiter("limit", target="server", rate=2.0, **limit)
    topology = ss.Topology(limiter, station("server", 0.0, MANY), entry="limit")
    results = ss.simulate(topology, ss.ReplayTraffic(at), duration=120, warmup=0, seed=seed)
    return results.counts["completed"]


AROUND_A_MINUTE = [59 + i / 120 for i in range(240)]


@case("q-fixed-window-double")
def twice_the_limit(seed: int) -> Figures:
    fixed, sliding = (
        accepted(seed, AROUND_A_MINUTE, algorithm=each, window=60.0)
        for each in ("fixed_window", "sliding_window")
    )
    return {"accepted": fixed, "accepted_sliding_window_log": sliding}


@case("q-token-bucket-bound")
def token_bucket(seed: int) -> Figures:
    return {"accepted": accepted(seed, AROUND_A_MINUTE, burst=120)}


def hot_partition(seed: int, offered: float, limit: float, keys: int) -> ss.Results:
    """Return a run of a store that limits each partition key; the key is that of the client."""
    limiter = RateLimiter("store", target="disk", rate=limit, burst=10, per="client")
    topology = ss.Topology(limiter, station("disk", 0.0, MANY), entry="store")
    traffic = ss.Traffic(offered, arrivals=Even(), clients=ss.UniformKeys(keys))
    return ss.simulate(topology, traffic, duration=100, seed=seed)


@case("q-dynamo-hot-key")
def hot_key(seed: int) -> Figures:
    one, sixteen = (hot_partition(seed, 1500.0, 1000.0, keys) for keys in (1, 16))
    return {
        "throttled_per_s": one.counts["rejected"] / one.measured_time,
        "throttled_with_16_subkeys_per_s": sixteen.counts["rejected"] / sixteen.measured_time,
    }


@case("q-dynamo-quarter-of-capacity")
def share_of_a_partition(seed: int) -> Figures:
    rates = [hot_partition(seed, 1000.0, 400 / n, 1).throughput for n in (1, 4, 16)]
    return {"throughput_units": rates}


@case("q-keda-one-hot-partition")
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


# Connection pools -------------------------------------------------------------------------------


def completes(seed: int, threads: int, connections: int, pool: int) -> bool:
    """Return whether threads that take connections one by one, in step, all get theirs."""
    last = connections - 1
    endpoints = {
        f"take_{i}": [ss.sleep(1.0), *([ss.call(f"pool.take_{i + 1}")] if i < last else [])]
        for i in range(connections)
    }
    topology = ss.Topology(
        ss.Service("thread", workers=threads, endpoints={"run": [ss.call("pool.take_0")]}),
        ss.Service("pool", workers=pool, endpoints=endpoints),
        entry="thread",
    )
    results = ss.simulate(topology, ss.ReplayTraffic([0.0] * threads), duration=1000, warmup=0,
                          seed=seed)  # fmt: skip
    return results.counts["completed"] == threads


def smallest_safe_pool(seed: int, threads: int, connections: int) -> int:
    sizes = range(1, threads * connections + 1)
    return next(size for size in sizes if completes(seed, threads, connections, size))


@case("hikari-deadlock-free")
def deadlock(seed: int) -> Figures:
    return {
        "smallest_safe_pool": smallest_safe_pool(seed, 3, 4),
        "deadlock_possible_with_9": not completes(seed, 3, 4, 9),
        "deadlock_possible_with_10": not completes(seed, 3, 4, 10),
    }


@case("hikari-deadlock-8x3")
def deadlock_of_eight(seed: int) -> Figures:
    return {"smallest_safe_pool": smallest_safe_pool(seed, 8, 3)}


@case("hikari-spike-50")
def spike(seed: int) -> Figures:
    def run(pool: ss.Service) -> ss.Results:
        return ss.simulate(ss.Topology(pool, entry="pool"), ss.ReplayTraffic([0.0] * 50),
                           duration=1, warmup=0, seed=seed, record_requests=50)  # fmt: skip

    pooled = run(station("pool", 0.002, workers=5))
    opening = [ss.sleep(0.150), ss.sleep(0.002)]
    own = run(ss.Service("pool", workers=50, endpoints={"query": opening}))
    found = row(pooled, "pool")
    return {
        "makespan_s_waiting_on_pool": float(requests(pooled).max()),
        "makespan_s_waiting_on_own_connection": float(requests(own).max()),
        "connections_after_pool": found["arrivals"] - found["queue_depth_max"],
        "latency_mean_s_waiting_on_pool": float(requests(pooled).mean()),
    }
