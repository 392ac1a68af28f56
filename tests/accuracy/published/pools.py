"""Pools of connections: how large, how many, and threads that wait for each other's."""

from __future__ import annotations

from accuracy.published.reading import MANY, largest, requests, row, station
from accuracy.published.registry import Figures, model

import scalesim as ss


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


@model("hikari-deadlock-free")
def deadlock(seed: int) -> Figures:
    return {
        "smallest_safe_pool": smallest_safe_pool(seed, 3, 4),
        "deadlock_possible_with_9": not completes(seed, 3, 4, 9),
        "deadlock_possible_with_10": not completes(seed, 3, 4, 10),
    }


@model("hikari-deadlock-8x3")
def deadlock_of_eight(seed: int) -> Figures:
    return {"smallest_safe_pool": smallest_safe_pool(seed, 8, 3)}


@model("hikari-spike-50")
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


# Limits on connections over several pools -------------------------------------------------------


def asked_and_refused(
    seed: int, pool: ss.Service, server: ss.Service, requests_at_once: int
) -> tuple[int, int]:
    """Return how many connections full pools ask a server for, and how many it refuses."""
    topology = ss.Topology(pool, server, entry=pool.name)
    results = ss.simulate(topology, ss.ReplayTraffic([0.0] * requests_at_once), duration=0.5,
                          warmup=0, seed=seed)  # fmt: skip
    found = row(results, server.name)
    return found["arrivals"], found["rejected"]


@model("q-pgbouncer-pool-per-user-db")
def pool_for_each_user(seed: int) -> Figures:
    def run(size: int, limit: int) -> tuple[int, int]:
        # A pool of each pair of database and user.
        pools = ss.Service("pool", instances=3, workers=size,
                           endpoints={"query": [ss.call("postgres")]})  # fmt: skip
        server = station("postgres", 1.0, workers=limit, backlog=0)
        return asked_and_refused(seed, pools, server, 3 * size)

    return {
        "possible_connections": run(295 + 5, MANY)[0],
        "largest_safe_pool_size_with_reserve": largest(lambda size: not run(size, 400)[1], 300),
    }


@model("q-460-pods-20-connections", long=True)
def pool_in_each_pod(seed: int) -> Figures:
    def run(pods: int, size: int, clients: int) -> tuple[int, int]:
        pool = ss.Service("pods", instances=pods, workers=size,
                          endpoints={"query": [ss.call("pooler")]})  # fmt: skip
        pooler = station("pooler", 1.0, workers=clients, backlog=0, instances=2)
        return asked_and_refused(seed, pool, pooler, pods * size)

    asked, refused = run(460, 20, 3000)
    return {
        "client_connections": asked,
        "limit": asked - refused,
        "largest_pool_that_fits": largest(lambda size: not run(460, size, 3000)[1], 20),
        "largest_pods_with_20": largest(lambda pods: not run(pods, 20, 3000)[1], 460),
    }
