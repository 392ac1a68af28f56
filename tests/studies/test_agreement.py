"""Simulation and theory held against each other, figure by figure."""

from __future__ import annotations

import dataclasses

import pytest

import scalesim as ss
from scalesim.results import Results
from scalesim.studies.agreement import check_by_theory

EXP, MS = ss.Exponential, 0.001


def web_and_database(policy: str):
    balancer = ss.LoadBalancer("lb", targets="web", policy=policy)
    steps = [ss.compute(EXP(4 * MS)), ss.call("db.read")]
    web = ss.Service("web", instances=3, workers=16, cores=2, endpoints={"get": steps})
    db = ss.Database("db", connections=8, cores=4, read=ss.LogNormal(10 * MS, cv=1.0))
    return ss.Topology(balancer, web, db, entry="lb")


def one(service, **fields):
    server = ss.Service("server", endpoints={"get": [ss.compute(service)]}, **fields)
    return ss.Topology(server, entry="server")


def fork():
    stations = [
        ss.Service(name, workers=2, cores=2, endpoints={"get": [ss.compute(EXP(time))]})
        for name, time in (("a", 0.02), ("b", 0.015), ("c", 0.018))
    ]
    branches = ss.parallel(*([ss.call(each.name)] for each in stations))
    gate = ss.Service("gate", workers=10**6, endpoints={"get": [branches]})
    return ss.Topology(gate, *stations, entry="gate")


@pytest.mark.parametrize(
    ("topology", "traffic", "rate"),
    [
        (one(EXP(10 * MS)), ss.Traffic(80.0), 80.0),
        (one(EXP(0.1), workers=4, cores=4, backlog=6), ss.Traffic(40.0), 40.0),
        (one(ss.LogNormal(10 * MS, cv=2.0), workers=8, cores=2), ss.Traffic(150.0), 150.0),
        (one(EXP(10 * MS)), ss.Traffic(80.0, arrivals="constant"), 80.0),
        (one(EXP(50 * MS)), ss.ClosedTraffic(20, think_time=EXP(1.0)), 17.0),
        (web_and_database("round_robin"), ss.Traffic(300.0), 300.0),
        (web_and_database("least_connections"), ss.Traffic(300.0), 300.0),
        (fork(), ss.Traffic(80.0), 80.0),
    ],
    ids=["mm1", "mmck", "shared", "constant", "closed", "round-robin", "least", "fork"],
)
def test_the_engines_agree(topology, traffic, rate) -> None:
    duration = 200_000 / rate
    results = ss.simulate(topology, traffic, duration=duration, warmup=duration / 10, trials=4)
    agreement = check_by_theory(results)
    assert not agreement.disagreements, agreement.summary()
    assert len(agreement.comparisons) >= 5
    assert "agree with theory" in agreement.summary()
    assert agreement.table()["agrees"].all()


def test_a_disagreement_names_both_figures() -> None:
    topology = one(EXP(10 * MS))
    results = ss.simulate(topology, ss.Traffic(80.0), duration=2000.0)
    other = dataclasses.replace(results.traffic, rate=40.0)  # type: ignore[type-var]
    results = Results(topology, other, results.recordings, results.engine)
    text = check_by_theory(results).summary()
    assert "disagree beyond their stated error" in text
    assert "throughput_rps: simulated 80" in text.replace("79.9", "80").replace("80.", "80 ")
    assert "analytic 40 (exact)" in text


def test_what_theory_refuses_is_not_compared() -> None:
    results = ss.simulate(one(EXP(10 * MS), memory=1e9), ss.Traffic(80.0), duration=10.0)
    assert "memory" in check_by_theory(results).refused
    unstable = ss.simulate(one(EXP(10 * MS)), ss.Traffic(120.0), duration=10.0)
    assert "grows without end" in check_by_theory(unstable).refused
