"""Retries, copies, replies that are waited for, cancelled time-outs, networks of Jackson's.

Retrial queues: M/M/1 in closed form, M/M/2 and M/M/3 as Markov chains (Falin & Templeton, "Retrial
queues", 1997). Networks: Jackson, Operations Research 5 (1957); closed ones by mean value analysis.
"""

from __future__ import annotations

import pytest
from theory.estimates import assert_covers, by_trial, of_station, simulate
from theory.test_networks import mean_latency, measured, mva

import scalesim as ss
from scalesim.components import Hedge, Workflow, fail, scatter

EXP = ss.Exponential


def station(name: str, mean: float, servers: int = 10**5, *more, **fields):
    """Return a service of `servers` slots that each serve with exponential times."""
    steps = [ss.compute(EXP(mean)), *more]
    return ss.Service(name, workers=servers, cores=servers, endpoints={"get": steps}, **fields)


@pytest.mark.parametrize(
    ("rate", "servers", "delay", "give_up", "waiting", "first", "offered", "lost", "latency"),
    [
        (60.0, 1, 0.05, 0.0, 5.4, 0.6, 168.0, 0.0, 0.1),
        (240.0, 3, 0.03, 0.0, 11.8067300341, 0.56814122561, 633.557667804, 0.0, 0.0591947084755),
        (260.0, 2, 0.02, 0.3, 4.69651496899, 0.657278796765, 494.825748449, 0.387075409532, None),
    ],
    ids=["1-server", "3-servers", "2-servers-giving-up"],
)
def test_retrial_queue(
    rate, servers, delay, give_up, waiting, first, offered, lost, latency
) -> None:
    retry = ss.Retry(backoff=EXP(delay), on="rejected", give_up=give_up)
    topology = ss.Topology(station("server", 0.01, servers, backlog=0), entry="server")
    results = simulate(topology, ss.Traffic(rate, retry=retry), requests=1.5e6, rate=rate)
    assert_covers(measured(results, "client", "waiting_to_retry_mean[get]"), waiting, 0.05)
    assert_covers(measured(results, "client", "first_attempt_failed_ratio[get]"), first, 0.02)
    assert_covers(measured(results, "client", "offered_rate_rps[get]"), offered, 0.05)
    assert_covers(measured(results, "client", "retry_amplification[get]"), offered / rate, 0.05)
    if lost:
        assert_covers(by_trial(results, lambda trial: trial.error_ratio), lost, 0.02)
    else:
        assert_covers(mean_latency(results), latency, 0.05)


def test_attempts_that_fail_by_chance() -> None:
    topology = ss.Topology(station("server", 0.02, 10**5, fail(0.2)), entry="server")
    retry = ss.Retry(3, backoff=(0.05, 0.1), on="failed")
    results = simulate(topology, ss.Traffic(40.0, retry=retry), requests=1e6, rate=40.0)
    assert_covers(by_trial(results, lambda trial: trial.error_ratio), 0.008, 0.08)
    assert_covers(measured(results, "client", "retry_amplification[get]"), 1.24, 0.005)
    assert_covers(mean_latency(results), 0.0374193548387, 0.01)
    failed = by_trial(results, lambda trial: trial.latency_of(None, "failed").mean)
    assert_covers(failed, 0.21, 0.02)
    assert_covers(of_station(results, "server", "workers", "busy"), 0.992, 0.01)


def test_feedback_to_the_same_station() -> None:
    flow = Workflow("flow", start="server", routes={"server": {"server": 0.4}})
    topology = ss.Topology(flow, station("server", 0.015, 1), entry="flow")
    results = simulate(topology, ss.Traffic(30.0), requests=1.5e6, rate=30.0)
    assert_covers(mean_latency(results), 0.1, 0.05)
    assert_covers(of_station(results, "server", "workers", "use"), 0.75, 0.01)
    assert_covers(of_station(results, "server", "workers", "wait"), 0.045, 0.07)


def test_open_network_of_three_stations() -> None:
    routes = {"web": {"db": 0.6, "mail": 0.3}, "db": {"web": 0.5, "mail": 0.2}}
    flow = Workflow("flow", start="web", routes=routes)
    stations = [station("web", 0.018, 4), station("db", 0.012, 2), station("mail", 0.008, 1)]
    topology = ss.Topology(flow, *stations, entry="flow")
    results = simulate(topology, ss.Traffic(100.0), requests=1.5e6, rate=100.0)
    assert_covers(mean_latency(results), 0.0551281546104, 0.01)
    for name, use, wait in (
        ("web", 0.642857142857, 0.0223390465693 - 0.018),
        ("db", 0.514285714286, 0.0163152053274 - 0.012),
        ("mail", 0.48, 0.0153846153846 - 0.008),
    ):
        assert_covers(of_station(results, name, "workers", "use"), use, 0.01)
        assert_covers(of_station(results, name, "workers", "wait"), wait, 0.06)


def test_closed_network_with_feedback() -> None:
    routes = {"cpu": {"cpu": 0.4, "disk": 0.4}, "disk": {"cpu": 1.0}}
    flow = Workflow("flow", start="cpu", routes=routes)
    # A visit ratio of 5 to the shared processor and of 2 to the disk.
    cpu = ss.Service("cpu", workers=100, endpoints={"get": [ss.compute(EXP(0.01))]})
    topology = ss.Topology(flow, cpu, station("disk", 0.03, 1), entry="flow")
    X, R = mva(8, 0.0, [(0.05, 1), (0.06, 1)])
    assert pytest.approx((15.8653423055, 0.504243768963), rel=1e-9) == (X, R)
    results = simulate(topology, ss.ClosedTraffic(8, think_time=0.0), requests=4e5, rate=X)
    assert_covers(by_trial(results, lambda trial: trial.throughput), X, 0.02)
    assert_covers(mean_latency(results), R, 0.02)
    assert_covers(of_station(results, "cpu", "cpu", "use"), 0.793267115273, 0.02)
    assert_covers(of_station(results, "disk", "workers", "use"), 0.951920538328, 0.01)


def wide(name: str, law, **fields):
    """Return a service with room for all."""
    return ss.Service(
        name, workers=10**5, cores=10**5, endpoints={"get": [ss.compute(law)]}, **fields
    )


def front(step, *callees):
    """Return a topology whose entry does one step."""
    entry = ss.Service("front", workers=10**6, endpoints={"do": [step]})
    return ss.Topology(entry, *callees, entry="front")


@pytest.mark.parametrize(
    ("instances", "wait_for", "mean", "expected"),
    [(3, 1, 0.03, 0.01), (3, 2, 0.01, 0.00833333333333), (100, None, 0.005, 0.0259368875882)],
    ids=["1-of-3", "2-of-3", "100-of-100"],
)
def test_order_statistics_of_replies(instances, wait_for, mean, expected) -> None:
    topology = front(
        scatter("replica", wait_for=wait_for), wide("replica", EXP(mean), instances=instances)
    )
    requests = 4e5 if instances < 10 else 4e4
    results = simulate(topology, ss.Traffic(20.0), requests=requests, rate=20.0)
    assert_covers(mean_latency(results), expected, 0.02)
    busy = of_station(results, "replica", "workers", "busy")
    assert_covers(busy, 20.0 * instances * mean, 0.05)


def test_hedged_call_that_cancels() -> None:
    topology = front(ss.call("back", hedge=Hedge(0.05, cancel=True)), wide("back", EXP(0.05)))
    results = simulate(topology, ss.Traffic(50.0), requests=4e5, rate=50.0)
    assert_covers(mean_latency(results), 0.0408030139707, 0.02)
    sent = measured(results, "front", "retry_amplification[do.0->back]")
    assert_covers(sent, 1.36787944117, 0.01)
    assert_covers(of_station(results, "back", "workers", "busy"), 2.5, 0.02)


def test_copies_in_two_queues_are_one_fast_server() -> None:
    # Of two exponential copies that cancel each other the first is twice as fast: M/M/1.
    hedge = Hedge(0.0, cancel=True, distinct=True)
    topology = front(ss.call("web", hedge=hedge), station("web", 0.01, 1, instances=2))
    results = simulate(topology, ss.Traffic(140.0), requests=6e5, rate=140.0)
    assert_covers(mean_latency(results), 1 / 60, 0.04)


def test_client_that_cancels_in_front_of_mm1() -> None:
    # Gavish & Schweitzer, "The Markovian queue with bounded waiting time", 1977.
    topology = ss.Topology(station("server", 0.01, 1), entry="server")
    traffic = ss.Traffic(90.0, timeout=0.06, cancel=True)
    results = simulate(topology, traffic, requests=1e6, rate=90.0)
    assert_covers(by_trial(results, lambda trial: trial.error_ratio), 0.108445896513, 0.05)
    assert_covers(mean_latency(results), 0.0270178470903, 0.02)
    assert_covers(of_station(results, "server", "workers", "use"), 0.802398693138, 0.01)
