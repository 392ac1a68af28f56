"""One station: M/M/1, M/M/c, M/M/c/K, M/D/c, Erlang B, M/G/1 FIFO and PS, limited PS.

Formulas: Kleinrock, "Queueing systems" I (1975), chapters 3 and 5; Harchol-Balter, "Performance
modeling and design of computer systems" (2013), chapters 13 to 15, 23 and 30. Numbers of limited
processor sharing: solved as Markov chains.
"""

from __future__ import annotations

import math

import pytest
from theory.estimates import assert_covers, by_trial, of_station, one_server, simulate

import scalesim as ss
from scalesim.distributions import HyperExponential

S = 0.01
"""Mean service time [s]."""

H2_SCV4 = HyperExponential(
    probabilities=(0.887298334621, 0.112701665379), means=(0.00563508326896, 0.044364916731)
)
H2_SCV6 = HyperExponential(
    probabilities=(0.922577127364, 0.0774228726357), means=(0.0054196010845, 0.0645803989155)
)


def mean_latency(results) -> list[float]:
    return by_trial(results, lambda trial: trial.latency.mean)


def quantiles(results, p: float) -> list[float]:
    return by_trial(results, lambda trial: trial.latency.quantile(p))


def erlang_b(c: int, a: float) -> float:
    """Return the probability that all `c` slots are taken, nobody waits, offered `a` erlang."""
    blocked = 1.0
    for k in range(1, c + 1):
        blocked = a * blocked / (k + a * blocked)
    return blocked


def erlang_c(c: int, a: float) -> float:
    """Return the probability of having to wait for one of `c` slots, offered `a` erlang."""
    blocked = erlang_b(c, a)
    return blocked / (1 - a / c * (1 - blocked))


def mmck(c: int, K: int, a: float) -> tuple[float, float, float]:
    """Return (P(full), mean waiting, mean busy slots) of M/M/c/K."""
    weight = [1.0]
    for n in range(1, K + 1):
        weight.append(weight[-1] * a / min(n, c))
    p = [each / sum(weight) for each in weight]
    waiting = sum(max(n - c, 0) * each for n, each in enumerate(p))
    return p[K], waiting, sum(min(n, c) * each for n, each in enumerate(p))


@pytest.mark.parametrize(("rate", "requests"), [(50.0, 1e6), (80.0, 3.5e6)])
def test_mm1(rate, requests) -> None:
    results = simulate(
        one_server(ss.Exponential(S)), ss.Traffic(rate), requests=requests, rate=rate
    )
    rho = rate * S
    W = S / (1 - rho)
    assert_covers(mean_latency(results), W, 0.035)
    assert_covers(of_station(results, "server", "workers", "wait"), rho * W, 0.045)
    assert_covers(of_station(results, "server", "workers", "depth"), rate * rho * W, 0.045)
    assert_covers(of_station(results, "server", "workers", "use"), rho, 0.01)
    for p in (0.5, 0.9, 0.99):  # the histogram's 0.8 % leaves room in the interval's width only
        exact = -W * math.log(1 - p)
        assert sum(quantiles(results, p)) / results.trials == pytest.approx(exact, rel=0.02)


@pytest.mark.parametrize(
    ("c", "rho", "requests", "within"),
    [(2, 0.8, 3e6, 0.055), (8, 0.85, 3e6, 0.09)],
)
def test_mmc(c, rho, requests, within) -> None:
    rate = rho * c / S
    results = simulate(
        one_server(ss.Exponential(S), workers=c, cores=c),
        ss.Traffic(rate),
        requests=requests,
        rate=rate,
    )
    W_q = erlang_c(c, rho * c) * S / (c * (1 - rho))
    assert_covers(of_station(results, "server", "workers", "wait"), W_q, within)
    assert_covers(mean_latency(results), W_q + S, 0.035)
    assert_covers(of_station(results, "server", "workers", "use"), rho, 0.01)


@pytest.mark.parametrize(("c", "K", "rate"), [(1, 10, 90.0), (1, 5, 150.0), (4, 10, 400.0)])
def test_mmck(c, K, rate) -> None:
    topology = one_server(ss.Exponential(S), workers=c, cores=c, backlog=K - c)
    results = simulate(topology, ss.Traffic(rate), requests=1.5e6, rate=rate)
    full, waiting, busy = mmck(c, K, rate * S)
    assert_covers(of_station(results, "server", "workers", "rejected"), full, 0.055)
    assert_covers(by_trial(results, lambda trial: trial.error_ratio), full, 0.055)
    assert_covers(of_station(results, "server", "workers", "depth"), waiting, 0.02)
    assert_covers(of_station(results, "server", "workers", "busy"), busy, 0.01)
    assert_covers(mean_latency(results), (waiting + busy) / rate / (1 - full), 0.02)


def test_mmck_numbers_from_elsewhere() -> None:
    assert mmck(1, 10, 0.9)[0] == pytest.approx(0.0508137313274, rel=1e-10)
    assert mmck(4, 10, 4.0)[0] == pytest.approx(0.108474576271, rel=1e-10)
    assert erlang_b(10, 8) == pytest.approx(0.121661064253, rel=1e-10)
    assert erlang_c(8, 7.2) == pytest.approx(0.701532990146, rel=1e-10)


@pytest.mark.parametrize(
    ("c", "a", "service", "within"),
    [
        (10, 8.0, ss.LogNormal(S, cv=2.0), 0.045),
        (5, 4.0, ss.Constant(S), 0.02),
        (100, 110.0, H2_SCV4, 0.07),
    ],
    ids=["lognormal", "constant", "hyperexponential"],
)
def test_erlang_b_does_not_depend_on_the_service_law(c, a, service, within) -> None:
    topology = one_server(service, workers=c, cores=c, backlog=0)
    results = simulate(topology, ss.Traffic(a / S), requests=1e6, rate=a / S)
    blocked = erlang_b(c, a)
    assert_covers(of_station(results, "server", "workers", "rejected"), blocked, within)
    assert_covers(of_station(results, "server", "workers", "busy"), a * (1 - blocked), 0.01)
    assert_covers(mean_latency(results), S, 0.015)


@pytest.mark.parametrize(
    ("service", "rho"),
    [
        (ss.Constant(S), 0.8),
        (ss.LogNormal(S, cv=math.sqrt(2)), 0.7),
        (H2_SCV4, 0.7),
    ],
    ids=["constant", "lognormal", "hyperexponential"],
)
def test_pollaczek_khinchine(service, rho) -> None:
    results = simulate(one_server(service), ss.Traffic(rho / S), requests=2.5e6, rate=rho / S)
    W_q = rho / (1 - rho) * S * (1 + service.scv) / 2
    assert_covers(of_station(results, "server", "workers", "wait"), W_q, 0.055)
    assert_covers(of_station(results, "server", "workers", "use"), rho, 0.01)


@pytest.mark.parametrize(
    ("c", "rate", "service", "wait"),
    [(2, 160.0, 0.01, 0.00903283879416)],
)
def test_mdc(c, rate, service, wait) -> None:
    topology = one_server(service, workers=c, cores=c)
    results = simulate(topology, ss.Traffic(rate), requests=2.5e6, rate=rate)
    assert_covers(of_station(results, "server", "workers", "wait"), wait, 0.055)


@pytest.mark.parametrize(
    ("service", "rho"),
    [
        (ss.Constant(S), 0.8),
        (H2_SCV4, 0.7),
        (ss.Pareto(0.00545454545455, shape=2.2), 0.6),
    ],
    ids=["constant", "hyperexponential", "pareto"],
)
def test_processor_sharing_depends_on_the_mean_demand_only(service, rho) -> None:
    topology = one_server(service, workers=1_000_000)
    results = simulate(topology, ss.Traffic(rho / S), requests=2.5e6, rate=rho / S)
    assert_covers(mean_latency(results), S / (1 - rho), 0.035)
    assert_covers(of_station(results, "server", "workers", "busy"), rho / (1 - rho), 0.04)
    assert_covers(of_station(results, "server", "cpu", "use"), rho, 0.02)


def test_processor_sharing_on_four_cores() -> None:
    topology = one_server(ss.Exponential(S), workers=1_000_000, cores=4)
    results = simulate(topology, ss.Traffic(340.0), requests=2.5e6, rate=340.0)
    assert_covers(mean_latency(results), 0.0214886036947, 0.04)  # M/M/4's mean
    assert_covers(of_station(results, "server", "cpu", "use"), 0.85, 0.01)
    for p, exact in ((0.5, 0.0120362599938), (0.9, 0.0511985724152), (0.99, 0.139874985902)):
        assert sum(quantiles(results, p)) / results.trials == pytest.approx(exact, rel=0.02)


@pytest.mark.parametrize(
    ("fields", "rate", "service", "wait", "busy", "use", "latency", "within"),
    [
        ({"workers": 4}, 80.0, ss.Exponential(S), 0.02048, 2.3616, 0.8, 0.05, 0.04),
        (
            {"workers": 4},
            75.0,
            H2_SCV6,
            0.0410496611497,
            2.09076869855,
            0.75,
            0.0689265771304,
            0.09,
        ),
        (
            {"workers": 8, "cores": 2, "backlog": 10},
            220.0,
            H2_SCV4,
            0.0213001009562,
            6.70653648829,
            0.965067915012,
            0.0560465492837,
            0.03,
        ),
    ],
    ids=["exponential", "hyperexponential", "backlog"],
)
def test_workers_that_share_cores(fields, rate, service, wait, busy, use, latency, within) -> None:
    results = simulate(one_server(service, **fields), ss.Traffic(rate), requests=2.5e6, rate=rate)
    assert_covers(of_station(results, "server", "workers", "wait"), wait, 2 * within)
    assert_covers(of_station(results, "server", "workers", "busy"), busy, 0.02)
    assert_covers(of_station(results, "server", "cpu", "use"), use, 0.01)
    assert_covers(mean_latency(results), latency, within)
