"""How servers serve: slowed down by each other, with cores of different speed, failing, cold.

Formulas: Gunther, "Guerrilla capacity planning" (2007), the number in service being a birth-death
chain; numbers of unequal and of failing cores: solved as Markov chains (Gumbel 1960, Singh 1970;
White & Christie 1958); failures only while serving: Avi-Itzhak & Naor (1963), completion times;
starts: Welch (1964), Takagi, "Queueing analysis" I (1991); infinite servers: Takacs (1962).
"""

from __future__ import annotations

import pytest
from scipy import stats
from theory.estimates import assert_covers, by_trial, of_station, simulate

import scalesim as ss
from scalesim.components import Failures

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


def failing(cores, failures):
    server = ss.Service(
        "server",
        workers=10**6,
        cores=cores,
        cpu_discipline="fifo",
        failures=failures,
        endpoints={"get": [ss.compute(EXP(0.01))]},
    )
    return ss.Topology(server, entry="server")


def down(results, k: int) -> list[float]:
    """Return the share of time with k units down, in each trial."""
    return by_trial(results, lambda trial: trial.time_shares("server", "down")[k])


@pytest.mark.parametrize(
    ("cores", "rate", "up", "repair", "W", "availability"),
    [
        (1, 50.0, 2.0, 0.1, 0.0321303258145, 1 / 1.05),
        (4, 250.0, 0.6, 0.06, 0.0232004726888, 0.883341955510),
    ],
)
def test_failing_cores_and_one_crew(cores, rate, up, repair, W, availability) -> None:
    failures = Failures(time_to_failure=EXP(up), repair_time=EXP(repair), crews=1)
    results = simulate(failing(cores, failures), ss.Traffic(rate), requests=4e6, rate=rate)
    assert_covers(by_trial(results, lambda trial: trial.latency.mean), W, 0.08)
    assert_covers(of_station(results, "server", "cpu", "use"), rate * 0.01 / cores, 0.01)
    mean_up = by_trial(
        results, lambda trial: trial.availability_table()["units_up_mean"].iloc[0] / cores
    )
    assert_covers(mean_up, availability, 0.01)


def test_failures_only_while_serving() -> None:
    rate, S, x, R = 60.0, 0.01, 1 / 2.0, 0.4
    failures = Failures(time_to_failure=EXP(1 / x), repair_time=R, when="busy")
    results = simulate(failing(1, failures), ss.Traffic(rate), requests=6e6, rate=rate)
    C = S * (1 + x * R)
    squared = 2 * S**2 * (1 + x * R) ** 2 + x * S * R**2
    W = C + rate * squared / 2 / (1 - rate * C)
    assert_covers(by_trial(results, lambda trial: trial.latency.mean), W, 0.06)
    assert_covers(down(results, 1), rate * S * x * R, 0.04)
    assert_covers(of_station(results, "server", "cpu", "use"), rate * S, 0.01)


def test_two_of_three_machines_and_one_crew() -> None:
    hour = 3600.0
    machines = Failures(
        time_to_failure=EXP(200 * hour), repair_time=EXP(10 * hour), crews=1, of="instance"
    )
    server = ss.Service(
        "server",
        instances=3,
        cpu_discipline="fifo",
        failures=machines,
        endpoints={"get": [ss.compute(1.0)]},
    )
    duration = 4e5 * hour
    results = ss.simulate(
        ss.Topology(server, entry="server"),
        ss.Traffic(1 / duration),
        duration=duration,
        trials=40,
    )

    def row(name):
        return by_trial(results, lambda trial: trial.availability_table()[name].iloc[1])

    assert_covers(row("availability_ratio"), 0.986489384516, 0.002)
    assert_covers(row("units_up_mean"), 2.84366287798, 0.005)
    assert_covers([1000 * each for each in row("outages_per_hour")], 1.28672528415, 0.08)
    assert_covers(row("outage_mean_s"), 10.5 * hour, 0.08)


def test_cold_start_of_one_server() -> None:
    rate, S, D = 5.0, 0.1, 0.5
    server = ss.Service("server", cold_start=EXP(D), endpoints={"get": [ss.compute(EXP(S))]})
    topology = ss.Topology(server, entry="server")
    results = simulate(topology, ss.Traffic(rate), requests=1e6, rate=rate)
    rho = rate * S
    wait = rho * S / (1 - rho) + (2 * D + rate * 2 * D**2) / (2 * (1 + rate * D))
    assert wait == pytest.approx(0.6)
    assert_covers(by_trial(results, lambda trial: trial.latency.mean), wait + S, 0.03)
    assert_covers(of_station(results, "server", "cpu", "use"), rho, 0.015)

    def cold(trial):
        table = trial.components_table().set_index("metric")["value"]
        return float(table["cold_start_ratio"])

    assert_covers(by_trial(results, cold), (1 - rho) / (1 + rate * D), 0.03)


def test_number_in_flight_at_a_server_without_limit() -> None:
    rate, S = 30.0, 0.4
    server = ss.Service(
        "server",
        workers=10**6,
        cores=10**5,
        record_in_flight=True,
        endpoints={"get": [ss.compute(EXP(S))]},
    )
    results = simulate(
        ss.Topology(server, entry="server"), ss.Traffic(rate), requests=1e6, rate=rate
    )
    (row,) = results.levels_table().itertuples(index=False)
    assert (row.p50, row.p99) == (12, 21)  # of the Poisson distribution
    for k in (5, 12, 20):
        share = by_trial(results, lambda trial, k=k: trial.time_shares("server", "in_flight")[k])
        assert_covers(share, stats.poisson.pmf(k, rate * S), 0.15)
