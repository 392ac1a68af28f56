"""Several stations: closed networks, nested holding, replication, caches, time-outs, sharding.

Closed networks: exact mean value analysis (Reiser & Lavenberg, JACM 27, 1980). Slots held while
waiting for a connection, and round robin: solved as Markov chains. Caches: King's formula for small
LRU caches, Che's approximation for large ones (Fricker, Robert & Roberts, ITC 24, 2012).
"""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import optimize
from theory.estimates import assert_covers, by_trial, of_station, one_server, simulate
from traces.tracing import metric

import scalesim as ss
from scalesim.distributions import HyperExponential
from scalesim.policies.sharding import ModuloSharding

EXP = ss.Exponential


def mean_latency(results, endpoint=None) -> list[float]:
    return by_trial(results, lambda trial: trial.latency_of(endpoint).mean)


def measured(results, component: str, name: str) -> list[float]:
    return by_trial(results, lambda trial: metric(trial, component, name))


def mva(users: int, think: float, stations: list[tuple[float, int]]) -> tuple[float, float]:
    """Return (throughput, response time) of a closed network of (demand, slots) stations."""
    queue = [[1.0] + [0.0] * users for _ in stations]  # P(j there | n - 1 users)
    X = R = 0.0
    for n in range(1, users + 1):
        times = [
            sum((j / min(j, c)) * p[j - 1] for j in range(1, n + 1)) * demand
            for (demand, c), p in zip(stations, queue, strict=True)
        ]
        R = sum(times)
        X = n / (think + R)
        for (demand, c), p in zip(stations, queue, strict=True):
            new = [0.0] + [X * demand / min(j, c) * p[j - 1] for j in range(1, n + 1)]
            new[0] = 1 - sum(new)
            p[: n + 1] = new
    return X, R


def test_mva_numbers_from_elsewhere() -> None:
    assert mva(20, 1.0, [(0.05, 1)])[1] == pytest.approx(0.188907909896, rel=1e-9)
    assert mva(10, 10.0, [(2.0, 2)])[0] == pytest.approx(0.759627846987, rel=1e-9)
    three = mva(50, 2.0, [(0.04, 4), (0.018, 1), (0.05, 2)])
    assert three == pytest.approx((23.3319101011, 0.14298785583), rel=1e-8)


@pytest.mark.parametrize(
    ("users", "think", "c", "service"),
    [
        (20, 1.0, 1, 0.05),
        (10, 10.0, 2, 2.0),
    ],
    ids=["20-users", "machine-repair"],
)
def test_closed_users_of_one_station(users, think, c, service) -> None:
    X, R = mva(users, think, [(service, c)])
    traffic = ss.ClosedTraffic(users, think_time=EXP(think))
    topology = one_server(EXP(service), workers=c, cores=c)
    results = simulate(topology, traffic, requests=1e6, rate=X)
    assert_covers(by_trial(results, lambda trial: trial.throughput), X, 0.01)
    assert_covers(mean_latency(results), R, 0.025)
    assert_covers(of_station(results, "server", "workers", "use"), X * service / c, 0.01)


def test_closed_users_of_a_shared_processor_with_variable_demands() -> None:
    # Insensitive: the mean value analysis needs the mean demand only.
    law = HyperExponential(
        probabilities=(0.908248290464, 0.0917517095361), means=(0.0110102051443, 0.108989794856)
    )
    X, R = mva(30, 0.5, [(0.02, 1)])
    topology = one_server(law, workers=30)
    results = simulate(topology, ss.ClosedTraffic(30, think_time=EXP(0.5)), requests=1.5e6, rate=X)
    assert_covers(by_trial(results, lambda trial: trial.throughput), X, 0.01)
    assert_covers(mean_latency(results), R, 0.04)


def test_closed_users_of_three_tiers() -> None:
    X, R = mva(50, 2.0, [(0.04, 4), (0.018, 1), (0.05, 2)])
    door = ss.Service(
        "door",
        workers=50,
        cores=50,
        endpoints={"get": [ss.call("web"), ss.call("app"), ss.call("db.read")]},
    )
    web = ss.Service("web", workers=4, cores=4, endpoints={"do": [ss.compute(EXP(0.04))]})
    app = ss.Service("app", workers=50, endpoints={"do": [ss.compute(EXP(0.018))]})
    database = ss.Database("db", connections=2, cores=2, read=EXP(0.05))
    topology = ss.Topology(door, web, app, database, entry="door")
    results = simulate(topology, ss.ClosedTraffic(50, think_time=EXP(2.0)), requests=1e6, rate=X)
    assert_covers(by_trial(results, lambda trial: trial.throughput), X, 0.01)
    assert_covers(mean_latency(results), R, 0.02)
    assert_covers(of_station(results, "db", "connections", "use"), 0.583297752528, 0.01)
    assert_covers(of_station(results, "web", "workers", "use"), 0.233319101011, 0.01)
    assert_covers(of_station(results, "app", "cpu", "use"), 0.41997438182, 0.01)


def nested(slots: int, connections: int, before: float, hold: float, after: float, **fields):
    """Return a service whose workers wait for a database's connections."""
    steps = [ss.compute(EXP(before)), ss.call("db.read")]
    steps += [ss.compute(EXP(after))] if after else []
    web = ss.Service(
        "web", **{"workers": slots, "cores": slots, "endpoints": {"get": steps}, **fields}
    )
    database = ss.Database("db", connections=connections, cores=connections, read=EXP(hold))
    return ss.Topology(web, database, entry="web")


@pytest.mark.parametrize(
    ("topology", "rate", "latency", "slot_wait", "connection_wait", "connection_use", "held"),
    [
        (
            nested(4, 2, 0.05, 0.04, 0.0),
            30.0,
            0.140268216711,
            0.0420176006242,
            0.00825061608681,
            0.6,
            0.736879620651,
        ),
        (
            nested(6, 2, 0.02, 0.025, 0.01, backlog=8),
            70.0,
            0.102802831289,
            0.029382473734,
            0.018420357555,
            0.839819247903,
            0.822131059502,
        ),
        (
            nested(5, 2, 0.01, 0.03, 0.006, backlog=10, cores=1),
            40.0,
            0.0945866183762,
            0.0179400938449,
            0.0110696130459,
            0.5986346105,
            0.611776831453,
        ),
    ],
    ids=["4-slots", "6-slots-backlog", "5-slots-shared-core"],
)
def test_slots_held_while_waiting_for_a_connection(
    topology, rate, latency, slot_wait, connection_wait, connection_use, held
) -> None:
    results = simulate(topology, ss.Traffic(rate), requests=1.2e6, rate=rate)
    assert_covers(mean_latency(results), latency, 0.025)
    assert_covers(of_station(results, "web", "workers", "wait"), slot_wait, 0.065)
    assert_covers(of_station(results, "db", "connections", "wait"), connection_wait, 0.03)
    assert_covers(of_station(results, "db", "connections", "use"), connection_use, 0.01)
    assert_covers(of_station(results, "web", "workers", "use"), held, 0.015)


def test_closed_users_and_slots_held_while_waiting() -> None:
    topology = nested(6, 3, 0.04, 0.08, 0.02)
    traffic = ss.ClosedTraffic(25, think_time=EXP(1.0))
    results = simulate(topology, traffic, requests=6e5, rate=21.6)
    assert_covers(mean_latency(results), 0.156137657597, 0.012)
    assert_covers(by_trial(results, lambda trial: trial.throughput), 21.6237226041, 0.01)
    assert_covers(of_station(results, "db", "connections", "wait"), 0.0106285743202, 0.04)
    assert_covers(of_station(results, "web", "workers", "use"), 0.542858417891, 0.012)


def test_replication_lag_of_an_idle_replica() -> None:
    database = ss.Database("db", connections=1, write=EXP(0.01), apply=EXP(0.008), read_replicas=1)
    traffic = ss.Traffic(60.0, mix={"read": 0.0, "write": 1.0})
    topology = ss.Topology(database, entry="db")
    results = simulate(topology, traffic, requests=1e6, rate=60.0)
    # Departures of the primary are Poisson (Burke), so the replica is an M/M/1 of its own.
    assert_covers(measured(results, "db", "replication_lag_mean_s"), 0.008 / (1 - 0.48), 0.02)
    p99 = np.mean(measured(results, "db", "replication_lag_p99_s"))
    assert p99 == pytest.approx(0.0708487720921, rel=0.02)
    assert_covers(mean_latency(results, "write"), 0.025, 0.025)


def test_replication_lag_grows_with_the_reads_on_the_replica() -> None:
    # Without reads the replica is an M/M/1; the reads then take a share of its processor.
    def lag(reads: float) -> float:
        database = ss.Database(
            "db",
            connections=100,
            cores=1,
            write=EXP(0.004),
            apply=EXP(0.004),
            read=EXP(0.004),
            read_replicas=1,
        )
        traffic = ss.Traffic(50.0 + reads, mix={"read": reads, "write": 50.0})
        topology = ss.Topology(database, entry="db")
        results = simulate(topology, traffic, requests=2e5, rate=50.0 + reads)
        return float(np.mean(measured(results, "db", "replication_lag_mean_s")))

    quiet, some, many = lag(0.0), lag(50.0), lag(120.0)
    assert quiet == pytest.approx(0.004 / (1 - 0.2), rel=0.02)
    assert quiet < some < many


@pytest.mark.parametrize(
    ("eviction", "ratio"),
    [("lru", 0.506126676687), ("fifo", 0.484203495292), ("random", 0.484203495292)],
)
def test_hit_ratio_of_a_small_cache(eviction, ratio) -> None:
    cache = ss.Cache("cache", capacity=3, eviction=eviction)
    traffic = ss.Traffic(100.0, keys=ss.Zipf(8, 0.9), mix={"get": 1.0, "set": 0.0, "delete": 0.0})
    results = simulate(ss.Topology(cache, entry="cache"), traffic, requests=5e5, rate=100.0)
    assert_covers(measured(results, "cache", "hit_ratio"), ratio, 0.012)


def che(keys: int, exponent: float, capacity: int, fifo: bool) -> float:
    """Return the hit ratio of a large cache in Che's limit."""
    p = np.arange(1, keys + 1) ** -exponent
    p /= p.sum()

    def inside(T: float) -> np.ndarray:
        return p * T / (1 + p * T) if fifo else -np.expm1(-p * T)

    T = optimize.brentq(lambda T: inside(T).sum() - capacity, 1.0, 1e9)
    return float((p * inside(T)).sum())


@pytest.mark.parametrize(
    ("eviction", "keys", "exponent", "capacity"),
    [("lru", 10_000, 0.8, 1000), ("lru", 10_000, 1.0, 1000), ("fifo", 10_000, 0.9, 500),
     ("random", 10_000, 1.1, 1000)],
)  # fmt: skip
def test_hit_ratio_of_a_large_cache(eviction, keys, exponent, capacity) -> None:
    cache = ss.Cache("cache", capacity=capacity, eviction=eviction)
    traffic = ss.Traffic(
        1000.0, keys=ss.Zipf(keys, exponent), mix={"get": 1.0, "set": 0.0, "delete": 0.0}
    )
    topology = ss.Topology(cache, entry="cache")
    results = simulate(topology, traffic, requests=2e6, rate=1000.0)
    expected = che(keys, exponent, capacity, eviction != "lru")
    assert float(np.mean(measured(results, "cache", "hit_ratio"))) == pytest.approx(
        expected, rel=0.01
    )  # the approximation's own error is below 0.5 % here


def test_che_numbers_from_elsewhere() -> None:
    assert che(100_000, 0.8, 1000, False) == pytest.approx(0.20433376347, rel=1e-6)
    assert che(100_000, 0.9, 5000, True) == pytest.approx(0.474543027486, rel=1e-6)


def test_hit_ratio_with_a_time_to_live() -> None:
    # One key, Poisson at rate r, fetched at once: the misses are a renewal process of period
    # ttl + 1 / r, so the hit ratio is r ttl / (1 + r ttl).
    cache = ss.Cache("cache", capacity=1, ttl=1.5)
    traffic = ss.Traffic(2.0, keys=ss.UniformKeys(1), mix={"get": 1.0, "set": 0.0, "delete": 0.0})
    results = simulate(ss.Topology(cache, entry="cache"), traffic, requests=2e5, rate=2.0)
    assert_covers(measured(results, "cache", "hit_ratio"), 0.75, 0.01)


def test_fixed_hit_ratio_in_front_of_a_queue() -> None:
    web = ss.Service("web", workers=5000, cores=5000, endpoints={"get": [ss.call("cache.get")]})
    cache = ss.Cache("cache", hit_ratio=0.8, delay=0.001, origin="origin")
    origin = ss.Service("origin", endpoints={"load": [ss.compute(EXP(0.01))]})
    topology = ss.Topology(web, cache, origin, entry="web")
    results = simulate(topology, ss.Traffic(400.0), requests=5e6, rate=400.0)
    assert_covers(mean_latency(results), 0.001 + 0.2 * 0.05, 0.055)
    assert_covers(of_station(results, "origin", "workers", "use"), 0.8, 0.01)
    assert_covers(measured(results, "cache", "hit_ratio"), 0.8, 0.005)


def test_client_timeout_in_front_of_mm1() -> None:
    topology = one_server(EXP(0.01))
    results = simulate(topology, ss.Traffic(80.0, timeout=0.1), requests=2e6, rate=80.0)
    late = math.exp(-0.1 / 0.05)  # the server does the abandoned work, so it is an M/M/1 still
    assert_covers(by_trial(results, lambda trial: trial.error_ratio), late, 0.08)
    assert_covers(mean_latency(results), 0.034348235725, 0.02)
    assert_covers(of_station(results, "server", "workers", "use"), 0.8, 0.01)


def test_timeouts_and_retries_without_queueing() -> None:
    law = ss.LogNormal(0.03, cv=math.sqrt(3.0))
    topology = one_server(law, workers=100_000, cores=100_000)
    traffic = ss.Traffic(25.0, timeout=0.1, retry=ss.Retry(3))
    results = simulate(topology, traffic, requests=1e6, rate=25.0)
    amplification = measured(results, "client", "retry_amplification[get]")
    assert_covers(amplification, 1.05642972382, 0.005)
    assert_covers(mean_latency(results), 0.0267809727221, 0.01)
    assert_covers(of_station(results, "server", "workers", "busy"), 0.792322292865, 0.02)


def test_modulo_shards_of_popular_keys() -> None:
    keys = ss.Zipf(10_000, 0.8)
    database = ss.Database(
        "db", connections=1, read=EXP(0.008), shards=8, sharding=ModuloSharding()
    )
    traffic = ss.Traffic(400.0, keys=keys, mix={"read": 1.0, "write": 0.0})
    topology = ss.Topology(database, entry="db")
    results = simulate(topology, traffic, requests=1e6, rate=400.0)
    share = [0.150097560146, 0.133321934948, 0.126493067971, 0.122475804545, 0.11969285769,
             0.117579960458, 0.115880356368, 0.114458457875]  # fmt: skip
    table = results.resources_table(instances=True)
    used = table[table["resource"] == "connections"]["utilization_ratio"].to_numpy()
    assert used == pytest.approx(400 * 0.008 * np.array(share), rel=0.02)
    assert_covers(measured(results, "db", "shard_skew"), 1.20078048117, 0.02)
    assert_covers(mean_latency(results), 0.0134605162907, 0.02)


@pytest.mark.parametrize(
    ("policy", "instances", "rate", "latency"),
    [
        ("round_robin", 2, 160.0, 0.0384397976699),
        ("round_robin", 10, 900.0, 0.0566027639011),
    ],
)
def test_splitting_over_instances(policy, instances, rate, latency) -> None:
    server = ss.Service("server", instances=instances, endpoints={"get": [ss.compute(EXP(0.01))]})
    edge = ss.LoadBalancer("edge", targets="server", policy=policy)
    topology = ss.Topology(edge, server, entry="edge")
    results = simulate(topology, ss.Traffic(rate), requests=3e6, rate=rate)
    assert_covers(mean_latency(results), latency, 0.055)


def test_weighted_round_robin_over_unequal_servers() -> None:
    fast = ss.Service("fast", endpoints={"get": [ss.compute(EXP(0.01))]})
    slow = ss.Service("slow", endpoints={"get": [ss.compute(EXP(0.018))]})
    edge = ss.LoadBalancer("edge", targets=("fast", "slow"), weights={"fast": 2.0, "slow": 1.0})
    topology = ss.Topology(edge, fast, slow, entry="edge")
    results = simulate(topology, ss.Traffic(120.0), requests=2.5e6, rate=120.0)
    assert_covers(mean_latency(results), 0.0434733195115, 0.035)
    assert_covers(of_station(results, "fast", "workers", "use"), 0.8, 0.01)
    assert_covers(of_station(results, "slow", "workers", "use"), 0.72, 0.01)
