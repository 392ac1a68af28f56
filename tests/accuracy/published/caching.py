"""Caches: hit ratios by eviction policy, and stampedes."""

from __future__ import annotations

from accuracy.published.reading import requests, row, station
from accuracy.published.registry import Figures, model

import scalesim as ss
from scalesim.policies.eviction import SampledLru
from scalesim.traffic import Measured

READS = {"get": 1.0, "set": 0.0, "delete": 0.0}


def hit_ratio(
    seed: int, keys: object, capacity: int, eviction: object, count: int, skipped: int = 0
) -> float:
    """Return the hit ratio of requests number `skipped` to `count` at a cache that starts empty."""
    topology = ss.Topology(ss.Cache("cache", capacity=capacity, eviction=eviction), entry="cache")
    traffic = ss.Traffic(1.0, mix=READS, keys=keys)
    results = ss.simulate(topology, traffic, duration=count, warmup=skipped, seed=seed)
    return ratio(results)


def ratio(results: ss.Results) -> float:
    found = results.caches["cache"]
    return found["hits"] / (found["hits"] + found["misses"])


def cachekit(seed: int, keys: object, *policies: str) -> Figures:
    return {f"hit_ratio_{name}": hit_ratio(seed, keys, 4096, name, 200_000) for name in policies}


@model("cachekit-zipf-lru-fifo-clock")
def zipf(seed: int) -> Figures:
    return cachekit(seed, ss.Zipf(16384, 1.0), "lru", "fifo", "clock")


@model("cachekit-uniform")
def uniform(seed: int) -> Figures:
    return cachekit(seed, ss.UniformKeys(16384), "lru", "fifo", "lfu")


@model("cachekit-hotset")
def hot_set(seed: int) -> Figures:
    keys = Measured((0.9 / 1638,) * 1638, tail_keys=16384 - 1638, tail_count=0.1)
    return cachekit(seed, keys, "lru", "fifo", "clock", "random", "lfu")


@model("cachekit-scan")
def scan(seed: int) -> Figures:
    count = 50_000
    traffic = ss.ReplayTraffic(
        [float(i) for i in range(count)], mix=READS, key=[i % 16384 for i in range(count)]
    )
    figures = {}
    for eviction in ("lru", "fifo"):
        cache = ss.Cache("cache", capacity=4096, eviction=eviction)
        results = ss.simulate(ss.Topology(cache, entry="cache"), traffic,
                              duration=count, warmup=0, seed=seed)  # fmt: skip
        figures[f"hit_ratio_{eviction}"] = ratio(results)
    return figures


@model("line-cache-uniform")
def two_of_five(seed: int) -> Figures:
    keys = ss.UniformKeys(5)
    return {
        f"hit_ratio[{each}]": hit_ratio(seed, keys, 2, each, 200_000, 1000)
        for each in ("lru", "fifo", "random")
    }


@model("tinyufo-lru-0p01", capacity=100)
@model("tinyufo-lru-0p05", capacity=500)
@model("tinyufo-lru-0p1", capacity=1000)
def lru(seed: int, capacity: int) -> Figures:
    return {"hit_ratio": hit_ratio(seed, ss.Zipf(10_000, 1.0), capacity, "lru", 200_000, 20_000)}


def by_samples(seed: int, capacity: int, *policies: object) -> list[float]:
    keys = ss.Zipf(100_000, 0.99)
    return [hit_ratio(seed, keys, capacity, each, 600_000, 150_000) for each in policies]


SAMPLED = (SampledLru(samples=2), SampledLru(samples=5), SampledLru(samples=10), "lru")


@model("q-redis-samples", long=True)
def sampled_lru(seed: int) -> Figures:
    ratios = by_samples(seed, 10_000, *SAMPLED)
    return {"hit_ratio": ratios, "difference_10_minus_2": ratios[2] - ratios[0]}


@model("q-redis-samples-small", long=True)
def sampled_lru_small(seed: int) -> Figures:
    return {"hit_ratio": by_samples(seed, 1000, "random", *SAMPLED)}


# Stampedes --------------------------------------------------------------------------------------


def cold_cache(
    seed: int, origin: ss.Service, at: list[float], keys: list[int], coalesce: bool
) -> ss.Results:
    cache = ss.Cache("cache", ttl=60.0, origin="origin.serve", coalesce=coalesce)
    traffic = ss.ReplayTraffic(at, mix=READS, key=keys)
    return ss.simulate(ss.Topology(cache, origin, entry="cache"), traffic, duration=60,
                       warmup=0, seed=seed, record_requests=len(at))  # fmt: skip


@model("q-stampede-1000")
def stampede(seed: int) -> Figures:
    origin = station("origin", 10.0, workers=1000)
    without, coalesced = (
        cold_cache(seed, origin, [i / 100 for i in range(1000)], [0] * 1000, coalesce)
        for coalesce in (False, True)
    )
    return {
        "computations_without": row(without, "origin")["arrivals"],
        "computations_with": row(coalesced, "origin")["arrivals"],
        "latency_of_last_without_s": float(requests(without)[-1]),
        "latency_of_last_with_s": float(requests(coalesced)[-1]),
    }


@model("q-singleflight-pool")
def stampede_on_a_pool(seed: int) -> Figures:
    pool = station("origin", 0.5, workers=80)
    keys = [i % 4 for i in range(200)]
    without, coalesced = (cold_cache(seed, pool, [0.0] * 200, keys, each) for each in (False, True))
    found = row(without, "origin")
    return {
        "connections_used_without": found["arrivals"] - found["queue_depth_max"],
        "queries_without": found["arrivals"],
        "queries_with": row(coalesced, "origin")["arrivals"],
        "makespan_s_without": float(requests(without).max()),
    }
