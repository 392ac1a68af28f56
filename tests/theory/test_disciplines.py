"""Who goes first, and who gives up: LCFS, SJF, SRPT, priorities, abandonment.

Formulas: Conway, Maxwell & Miller, "Theory of scheduling" (1967); Cobham, "Priority assignment in
waiting line problems" (1954); Jaiswal, "Priority queues" (1968); Schrage & Miller, "The queue M/G/1
with the shortest remaining processing time discipline" (1966); Garnett, Mandelbaum & Reiman,
"Designing a call center with impatient customers" (2002); Baccelli & Hebuterne, "On queues with
impatient customers" (1981). Integrals over sizes are done by quadrature.
"""

from __future__ import annotations

import math

import pytest
from scipy.integrate import quad
from theory.estimates import assert_covers, by_trial, of_station, one_server, simulate

import scalesim as ss
from scalesim.distributions import HyperExponential

EXP = ss.Exponential
S = 0.01
"""Mean service time [s]."""


def mean_latency(results, endpoint=None) -> list[float]:
    return by_trial(results, lambda trial: trial.latency_of(endpoint).mean)


def quantile(results, p: float) -> float:
    return sum(by_trial(results, lambda trial: trial.latency.quantile(p))) / results.trials


def computing(service, discipline, **fields):
    return one_server(service, workers=1_000_000, cpu_discipline=discipline, **fields)


# Last come first served --------------------------------------------------------------------------


def test_lcfs_waits_as_long_as_fifo_but_less_evenly() -> None:
    rate, rho = 80.0, 0.8
    results = simulate(computing(EXP(S), "lcfs"), ss.Traffic(rate), requests=3.5e6, rate=rate)
    W_q = rho * S / (1 - rho)
    assert_covers(of_station(results, "server", "cpu", "wait"), W_q, 0.045)
    assert_covers(of_station(results, "server", "cpu", "use"), rho, 0.01)
    # E[W²] of first come first served, 2 rho S² / (1 - rho)², over 1 - rho.
    std_wait = math.sqrt(2 * rho * S**2 / (1 - rho) ** 3 - W_q**2)
    assert std_wait == pytest.approx(0.135646599663)
    variance = by_trial(results, lambda trial: trial.latency.std**2)
    assert_covers(variance, std_wait**2 + S**2, 0.35)


@pytest.mark.parametrize(
    ("service", "rho"),
    [
        (EXP(S), 0.8),
        (
            HyperExponential(
                probabilities=(0.908248290464, 0.0917517095361),
                means=(0.00550510257217, 0.0544948974278),
            ),
            0.7,
        ),
    ],
    ids=["exponential", "hyperexponential"],
)
def test_preemptive_lcfs_depends_on_the_mean_demand_only(service, rho) -> None:
    rate = rho / S
    topology = computing(service, "lcfs_preemptive")
    results = simulate(topology, ss.Traffic(rate), requests=3.5e6, rate=rate)
    assert_covers(mean_latency(results), S / (1 - rho), 0.05)
    assert_covers(of_station(results, "server", "workers", "busy"), rho / (1 - rho), 0.05)
    assert_covers(of_station(results, "server", "cpu", "use"), rho, 0.015)
    if isinstance(service, ss.Exponential):  # a response is a busy period
        for p, exact in ((0.5, 0.00986597941736), (0.9, 0.109339063053), (0.99, 0.704086296676)):
            assert quantile(results, p) == pytest.approx(exact, rel=0.03)


# Known sizes -------------------------------------------------------------------------------------


def smaller_work(x: float, rate: float) -> float:
    """Return the utilization by exponential jobs smaller than x [s]."""
    return rate * S * (1 - math.exp(-x / S) * (1 + x / S))


def sjf_wait(rate: float) -> float:
    """Return the mean wait under shortest job first, exponential sizes [s]."""
    left = rate * S**2  # mean of the remaining work of who is served: rate E[S²] / 2
    return quad(
        lambda x: math.exp(-x / S) / S * left / (1 - smaller_work(x, rate)) ** 2, 0, math.inf
    )[0]


def srpt_response(rate: float) -> float:
    """Return the mean response under shortest remaining processing time, exponential sizes [s]."""

    def second(x: float) -> float:  # E[min(size, x)²]
        return 2 * S**2 - 2 * S * (x + S) * math.exp(-x / S)

    def response(x: float) -> float:
        wait = rate * second(x) / 2 / (1 - smaller_work(x, rate)) ** 2
        served = quad(lambda t: 1 / (1 - smaller_work(t, rate)), 0, x)[0]
        return math.exp(-x / S) / S * (wait + served)

    return quad(response, 0, 60 * S)[0]


def test_size_formulas_against_numbers_from_elsewhere() -> None:
    assert sjf_wait(80.0) == pytest.approx(0.018822185737, rel=1e-7)
    assert srpt_response(80.0) == pytest.approx(0.0235277321896, rel=1e-7)


def test_shortest_job_first() -> None:
    rate = 80.0
    results = simulate(computing(EXP(S), "sjf"), ss.Traffic(rate), requests=2.5e6, rate=rate)
    assert_covers(of_station(results, "server", "cpu", "wait"), sjf_wait(rate), 0.05)
    assert_covers(mean_latency(results), sjf_wait(rate) + S, 0.035)
    in_flight = of_station(results, "server", "workers", "busy")
    assert_covers(in_flight, rate * (sjf_wait(rate) + S), 0.04)


def test_shortest_remaining_processing_time() -> None:
    rate = 80.0
    results = simulate(computing(EXP(S), "srpt"), ss.Traffic(rate), requests=2.5e6, rate=rate)
    response = srpt_response(rate)
    assert_covers(mean_latency(results), response, 0.035)
    assert_covers(of_station(results, "server", "cpu", "wait"), response - S, 0.06)
    assert_covers(of_station(results, "server", "workers", "busy"), rate * response, 0.04)
    assert_covers(of_station(results, "server", "cpu", "use"), rate * S, 0.01)


# Priorities --------------------------------------------------------------------------------------


def two_classes(gold, bronze, **fields):
    """Return a server with an urgent and a less urgent endpoint."""
    endpoints = {
        "gold": ss.Endpoint([ss.compute(gold)]),
        "bronze": ss.Endpoint([ss.compute(bronze)], priority=1),
    }
    return ss.Topology(ss.Service("server", endpoints=endpoints, **fields), entry="server")


def classes(topology, gold: float, bronze: float, requests: float):
    rate = gold + bronze
    traffic = ss.Traffic(rate, mix={"gold": gold, "bronze": bronze})
    return simulate(topology, traffic, requests=requests, rate=rate)


def erlang_c(c: int, a: float) -> float:
    """Return the probability of having to wait for one of `c` slots, offered `a` erlang."""
    blocked = 1.0
    for k in range(1, c + 1):
        blocked = a * blocked / (k + a * blocked)
    return blocked / (1 - a / c * (1 - blocked))


def cobham(gold: float, bronze: float, c: int = 1) -> tuple[float, float]:
    """Return the mean waits of two classes with one exponential service law on `c` slots [s]."""
    a = (gold + bronze) * S
    start = erlang_c(c, a) * S / c
    gold_use, use = gold * S / c, a / c
    return start / (1 - gold_use), start / (1 - gold_use) / (1 - use)


def preemptive(gold: float, bronze: float, c: int = 1) -> tuple[float, float]:
    """Return the mean responses likewise, with interruptions: either class sees an M/M/c."""

    def response(rate: float) -> float:
        return erlang_c(c, rate * S) * S / (c - rate * S) + S

    first, both = response(gold), response(gold + bronze)
    return first, (both * (gold + bronze) - first * gold) / bronze


def test_priority_formulas_against_numbers_from_elsewhere() -> None:
    assert cobham(30, 50) == pytest.approx((0.0114285714286, 0.0571428571429))
    assert cobham(150, 170, 4) == pytest.approx((0.00238572988715, 0.0119286494357))
    assert preemptive(30, 50) == pytest.approx((0.0142857142857, 0.0714285714286))
    assert preemptive(150, 170, 4) == pytest.approx((0.0102983425414, 0.0237704617996))


@pytest.mark.parametrize(("gold", "bronze", "c"), [(30.0, 50.0, 1), (150.0, 170.0, 4)])
@pytest.mark.parametrize(
    "fields",
    [{"cpu_discipline": "priority"}, {"backlog_order": "priority"}],
    ids=["processors", "workers"],
)
def test_priority(gold, bronze, c, fields) -> None:
    many = 1_000_000 if "cpu_discipline" in fields else c
    topology = two_classes(EXP(S), EXP(S), workers=many, cores=c, **fields)
    results = classes(topology, gold, bronze, 3e6)
    resource = "cpu" if "cpu_discipline" in fields else "workers"
    waits = cobham(gold, bronze, c)
    assert_covers(mean_latency(results, "gold"), waits[0] + S, 0.02)
    assert_covers(mean_latency(results, "bronze"), waits[1] + S, 0.06)
    mean = (gold * waits[0] + bronze * waits[1]) / (gold + bronze)
    assert_covers(of_station(results, "server", resource, "wait"), mean, 0.08)
    assert_covers(of_station(results, "server", resource, "use"), (gold + bronze) * S / c, 0.01)


@pytest.mark.parametrize(("gold", "bronze", "c"), [(30.0, 50.0, 1), (150.0, 170.0, 4)])
def test_preemptive_priority(gold, bronze, c) -> None:
    topology = two_classes(
        EXP(S), EXP(S), workers=1_000_000, cores=c, cpu_discipline="priority_preemptive"
    )
    results = classes(topology, gold, bronze, 3e6)
    responses = preemptive(gold, bronze, c)
    assert_covers(mean_latency(results, "gold"), responses[0], 0.02)
    assert_covers(mean_latency(results, "bronze"), responses[1], 0.06)
    mean = (gold * responses[0] + bronze * responses[1]) / (gold + bronze) - S
    assert_covers(of_station(results, "server", "cpu", "wait"), mean, 0.08)


def test_preemptive_priority_of_short_over_long() -> None:
    topology = two_classes(
        0.001,
        ss.LogNormal(0.05, cv=math.sqrt(2)),
        workers=1_000_000,
        cpu_discipline="priority_preemptive",
    )
    results = classes(topology, 200.0, 10.0, 6e6)
    assert_covers(mean_latency(results, "gold"), 0.001125, 0.01)
    assert_covers(mean_latency(results, "bronze"), 0.219166666667, 0.09)
    assert_covers(of_station(results, "server", "cpu", "use"), 0.7, 0.02)


# Patience ----------------------------------------------------------------------------------------


def erlang_a(c: int, rate: float, patience: float, service: float) -> dict[str, float]:
    """Return figures of M/M/c+M; `patience` is the mean [s]."""
    weight = [1.0]
    while len(weight) <= c or weight[-1] > 1e-15 * max(weight):
        n = len(weight)
        weight.append(weight[-1] * rate / (min(n, c) / service + max(n - c, 0) / patience))
    total = sum(weight)
    depth = sum(max(n - c, 0) * w for n, w in enumerate(weight)) / total
    busy = sum(min(n, c) * w for n, w in enumerate(weight)) / total
    return {"depth": depth, "busy": busy, "abandoned": depth / patience / rate}


def test_erlang_a_numbers_from_elsewhere() -> None:
    assert erlang_a(10, 120.0, 0.5, 0.1)["abandoned"] == pytest.approx(0.17742095194)
    assert erlang_a(4, 36.0, 2.0, 0.1)["depth"] == pytest.approx(3.10718413072)


@pytest.mark.parametrize(("c", "rate", "patience"), [(10, 120.0, 0.5), (4, 36.0, 2.0)])
def test_exponential_patience(c, rate, patience) -> None:
    topology = one_server(EXP(0.1), workers=c, cores=c, queue_timeout=EXP(patience))
    results = simulate(topology, ss.Traffic(rate), requests=2e6, rate=rate)
    expected = erlang_a(c, rate, patience, 0.1)
    for figure, within in (("abandoned", 0.09), ("depth", 0.09), ("busy", 0.01)):
        assert_covers(of_station(results, "server", "workers", figure), expected[figure], within)
    gone = by_trial(results, lambda trial: trial.error_ratio)
    assert_covers(gone, expected["abandoned"], 0.09)
    throughput = by_trial(results, lambda trial: trial.throughput)
    assert_covers(throughput, rate * (1 - expected["abandoned"]), 0.01)


@pytest.mark.parametrize(
    ("c", "rate", "patience", "abandoned", "wait", "use"),
    [
        (1, 90.0, 0.05, 0.10730620904, 0.0178770323307, 0.803424411864),
        (4, 500.0, 0.02, 0.214451027896, 0.0123976392125, 0.98193621513),
    ],
)
def test_constant_patience(c, rate, patience, abandoned, wait, use) -> None:
    topology = one_server(EXP(S), workers=c, cores=c, queue_timeout=patience)
    results = simulate(topology, ss.Traffic(rate), requests=2e6, rate=rate)
    assert_covers(of_station(results, "server", "workers", "abandoned"), abandoned, 0.04)
    assert_covers(of_station(results, "server", "workers", "wait"), wait, 0.02)
    assert_covers(of_station(results, "server", "workers", "use"), use, 0.01)
    # All who wait stand in the line, those who leave for exactly their patience.
    depth = rate * ((1 - abandoned) * wait + abandoned * patience)
    assert_covers(of_station(results, "server", "workers", "depth"), depth, 0.03)
