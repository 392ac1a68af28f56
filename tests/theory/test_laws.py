"""Laws that hold for every run: Little's, the utilization law, more servers never hurt."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from theory.estimates import assert_covers, by_trial, of_station, one_server, simulate

import scalesim as ss

EXP = ss.Exponential


def shop(**database) -> ss.Topology:
    """Return a balancer, services that call a cache and a database, and a queue."""
    edge = ss.LoadBalancer("edge", targets="web", policy="least_connections")
    web = ss.Service(
        "web",
        instances=3,
        workers=8,
        cores=2,
        backlog=20,
        endpoints={
            "get": [ss.compute(EXP(0.004)), ss.call("cache.get")],
            "buy": [ss.compute(EXP(0.006)), ss.call("db.write"), ss.publish("mail")],
        },
    )
    cache = ss.Cache("cache", capacity=50, origin="db.read", delay=0.0005, concurrency=1)
    settings = {"connections": 4, "cores": 2, "read": EXP(0.006), "write": EXP(0.008)}
    mail = ss.MessageQueue("mail", handler=[ss.sleep(EXP(0.01))], consumers=2)
    return ss.Topology(
        edge, web, cache, ss.Database("db", **{**settings, **database}), mail, entry="edge"
    )


TRAFFIC = ss.Traffic(300.0, mix={"get": 0.8, "buy": 0.2}, keys=ss.Zipf(500, 0.9))
WAITED_FOR = [("web", "workers"), ("cache", "slots"), ("db", "connections"), ("mail", "consumers")]


@pytest.fixture(scope="module")
def results():
    return simulate(shop(disk_iops=400.0), TRAFFIC, requests=1e6, rate=300.0)


@pytest.mark.parametrize(("component", "resource"), [*WAITED_FOR, ("db", "disk")])
def test_littles_law_of_the_waiting_line(results, component, resource) -> None:
    # Mean waiting = rate of grants x mean wait, but for those in line at the window's edges.
    labels = results.plan.station_labels
    for s, label in enumerate(labels):
        if (label.component, label.resource) == (component, resource):
            station = results.station[s]
            edges = 2 * results.trials * (station["deepest"] + 1) * 0.1
            assert station["depth"] == pytest.approx(station["waited"], rel=1e-3, abs=edges)
            assert station["granted"] == pytest.approx(station["served"], abs=50 * results.trials)


def test_littles_law_of_the_whole_system() -> None:
    # Everyone in the system is in the one station, so L = lambda W with the clients' latency.
    results = simulate(one_server(EXP(0.01)), ss.Traffic(70.0), requests=1e6, rate=70.0)
    L = np.add(
        of_station(results, "server", "workers", "busy"),
        of_station(results, "server", "workers", "depth"),
    )
    W = by_trial(results, lambda trial: trial.latency.mean)
    X = by_trial(results, lambda trial: trial.throughput)
    assert np.multiply(X, W) == pytest.approx(L, rel=0.01)
    assert float(L.mean()) == pytest.approx(float(np.mean(np.multiply(X, W))), rel=1e-3)


def test_utilization_law(results) -> None:
    # Use = rate x demand / slots, per resource; demands are the model's, rates are measured.
    def rate(component: str, resource: str) -> float:
        rows = results.resources_table()
        here = rows[(rows["component"] == component) & (rows["resource"] == resource)]
        return float(here["arrivals"].iloc[0]) / results.measured_time

    disk = of_station(results, "db", "disk", "use")
    assert np.mean(disk) == pytest.approx(rate("db", "disk") / 400.0, rel=2e-3)
    slots = of_station(results, "cache", "slots", "use")
    assert np.mean(slots) == pytest.approx(rate("cache", "slots") * 0.0005, rel=2e-3)
    assert_covers(of_station(results, "mail", "consumers", "use"), 60.0 * 0.01 / 2, 0.02)
    demand = 0.8 * 0.004 + 0.2 * 0.006
    assert_covers(of_station(results, "web", "cpu", "use"), 300.0 * demand / 6, 0.02)


@pytest.mark.parametrize("resource", ["workers", "connections"])
def test_more_servers_never_wait_longer_under_the_same_luck(resource) -> None:
    # First come first served with every request's demand the same in all runs: with one server
    # more, every single request starts no later (Wolff, "An upper bound for multi-channel
    # queues", J. Appl. Prob. 14, 1977).
    def latencies(count: int) -> np.ndarray:
        if resource == "workers":
            topology = one_server(EXP(0.01), workers=count, cores=count)
            traffic = ss.Traffic(95.0)
        else:
            database = ss.Database("db", connections=count, cores=count, read=EXP(0.01))
            topology = ss.Topology(database, entry="db")
            traffic = ss.Traffic(95.0, mix={"read": 1.0, "write": 0.0})
        results = ss.simulate(topology, traffic, duration=200.0, warmup=0.0, record_requests=15_000)
        return results.attempts_table()["latency_s"].to_numpy()

    runs = [latencies(count) for count in (1, 2, 3, 5, 8)]
    for fewer, more in itertools.pairwise(runs):
        # Those still in flight at the end have no latency yet; more servers leave no more of them.
        assert not (np.isnan(more) & ~np.isnan(fewer)).any()
        both = ~np.isnan(fewer)
        assert (more[both] <= fewer[both] + 1e-9).all()
        assert more[both].mean() < fewer[both].mean()


def test_the_same_luck_for_two_models() -> None:
    # Changing the database leaves arrivals, endpoints and the web's own demands alone.
    def run(connections: int):
        return ss.simulate(
            shop(connections=connections), TRAFFIC, duration=30.0, record_requests=20_000
        ).attempts_table()

    one, other = run(4), run(9)
    assert one["arrived_at_s"].tolist() == other["arrived_at_s"].tolist()
    assert one["endpoint"].tolist() == other["endpoint"].tolist()
    assert one["ended_at_s"].tolist() != other["ended_at_s"].tolist()
