"""How servers serve: slowed down by each other.

Formulas: Gunther, "Guerrilla capacity planning" (2007); the number in service is a birth-death
chain.
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
