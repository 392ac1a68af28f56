"""How servers serve: slowed down by each other, with cores of different speed.

Formulas: Gunther, "Guerrilla capacity planning" (2007), the number in service being a birth-death
chain; numbers of unequal cores: solved as Markov chains (Gumbel 1960, Singh 1970).
"""

from __future__ import annotations

import pytest
from theory.estimates import assert_covers, by_trial, simulate

import scalesim as ss

EXP = ss.Exponential


def usl_users(users: int, think: float, S: float, contention: float, coherency: float) -> float:
    """Return the throughput of `users` at a database without a limit [requests/s]."""

    def rate(n: int) -> float:
        return n / S / (1 + contention * (n - 1) + coherency * n * (n - 1))

    if not think:
        return rate(users)
    weight = [1.0]
    for n in range(1, users + 1):
        weight.append(weight[-1] * (users - n + 1) / think / rate(n))
    total = sum(weight)
    return sum(w / total * rate(n) for n, w in enumerate(weight) if n)


def test_usl_numbers_from_elsewhere() -> None:
    assert usl_users(24, 0.0, 0.02, 0.05, 0.001) == pytest.approx(444.115470022)
    assert usl_users(40, 0.5, 0.04, 0.02, 0.0005) == pytest.approx(73.6968952203)


@pytest.mark.parametrize(
    ("users", "think", "S", "contention", "coherency"),
    [(24, 0.0, 0.02, 0.05, 0.001), (40, 0.5, 0.04, 0.02, 0.0005)],
)
def test_universal_scalability_law(users, think, S, contention, coherency) -> None:
    store = ss.Database(
        "db", connections=99, cores=99, read=EXP(S), contention=contention, coherency=coherency
    )
    web = ss.Service("web", workers=99, endpoints={"get": [ss.call("db.read")]})
    X = usl_users(users, think, S, contention, coherency)
    traffic = ss.ClosedTraffic(users, think_time=EXP(think) if think else 0.0)
    results = simulate(ss.Topology(web, store, entry="web"), traffic, requests=3e5, rate=X)
    assert_covers(by_trial(results, lambda trial: trial.throughput), X, 0.015)
    W = users / X - think
    assert_covers(by_trial(results, lambda trial: trial.latency.mean), W, 0.015)


@pytest.mark.parametrize(
    ("choice", "W", "busy"),
    [
        ("fastest", 0.0461261261259, (0.743243243243, 0.77027027027)),
        ("random", 0.0474074074072, (0.722222222222, 0.833333333333)),
    ],
)
def test_unequal_cores(choice, W, busy) -> None:
    rate = 75.0
    server = ss.Service(
        "server",
        workers=10**6,
        cores=2,
        cpu_discipline="fifo",
        core_speeds=(1.0, 1 / 3),
        core_choice=choice,
        endpoints={"get": [ss.compute(EXP(1 / 75))]},
    )
    topology = ss.Topology(server, entry="server")
    results = simulate(topology, ss.Traffic(rate), requests=2e6, rate=rate)
    assert_covers(by_trial(results, lambda trial: trial.latency.mean), W, 0.03)
    for k, expected in enumerate(busy):
        shares = by_trial(results, lambda trial, k=k: trial.time_shares("server", f"core_{k}")[1])
        assert_covers(shares, expected, 0.01)
