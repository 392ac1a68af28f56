"""The formulas against values that were found otherwise.

Numbers without a source in the test were solved as Markov chains or by numerical inversion, in
another program, and are given to as many digits as both agreed on.
"""

from __future__ import annotations

import doctest
import importlib
import math

import numpy as np
import pytest

from scalesim import distributions as laws
from scalesim.engines.analytic import balancing, caching, networks, occupancy, single_station, times
from scalesim.engines.analytic.fork_join import fork_join_response
from scalesim.engines.analytic.server_waits import one_server

S = 0.01
H2_SCV4 = laws.HyperExponential(
    probabilities=(0.887298334621, 0.112701665379), means=(0.00563508326896, 0.044364916731)
)


@pytest.mark.parametrize(
    "module",
    [
        "balancing",
        "beside",
        "caching",
        "fork_join",
        "impatience",
        "networks",
        "occupancy",
        "priorities",
        "single_station",
        "times",
    ],
)
def test_examples_in_the_docstrings(module) -> None:
    failed, _ = doctest.testmod(importlib.import_module(f"scalesim.engines.analytic.{module}"))
    assert failed == 0


@pytest.mark.parametrize(
    ("slots", "load", "blocked"), [(10, 8.0, 0.121661064253), (100, 110.0, 0.136114875)]
)
def test_erlang_b(slots, load, blocked) -> None:
    assert occupancy.erlang_b(slots, load) == pytest.approx(blocked, rel=1e-6)


def test_erlang_c_of_a_thousand_slots() -> None:
    assert occupancy.erlang_c(1000, 980.0) == pytest.approx(0.412200292365, rel=1e-9)


def test_erlang_a() -> None:
    left, chain = occupancy.erlang_a(10, 120.0, 0.1, 0.5)
    assert left == pytest.approx(chain.excess(10) / 0.5 / 120.0)
    assert float(chain.probability.sum()) == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("law", "rate", "p50", "p90", "p99"),
    [
        (laws.Constant(S), 80.0, 0.0127593987338, 0.0501151149845, 0.10355886792),
        (laws.LogNormal(S, cv=math.sqrt(2)), 70.0, 0.0121101061782, 0.0997691266479,
         0.265297423069),
        (laws.Erlang(S, phases=2), 80.0, 0.0181839073085, None, None),
    ],
    ids=["constant", "lognormal", "erlang"],
)  # fmt: skip
def test_quantiles_of_the_wait_in_mg1(law, rate, p50, p90, p99) -> None:
    service = times.drawn(law)
    mean = single_station.m_g_1_wait(rate, S, service.scv)
    wait = one_server(rate * S, service, mean)
    for p, expected in ((0.5, p50), (0.9, p90), (0.99, p99)):
        if expected is not None:
            assert wait.quantile(p) == pytest.approx(expected, rel=0.003)


def test_the_law_of_a_wait_has_its_mean() -> None:
    service = times.drawn(H2_SCV4)
    mean = single_station.m_g_1_wait(70.0, S, service.scv)
    assert mean == pytest.approx(0.0583333333333)
    wait = one_server(0.7, service, mean)
    grid, _ = wait.cumulated
    assert float(np.dot(wait.on(grid), np.arange(grid.points))) * grid.step == pytest.approx(
        mean, rel=1e-3
    )


def test_order_statistics() -> None:
    slowest = times.ranked([times.drawn(laws.Exponential(0.005))] * 100, 100)
    assert slowest.mean == pytest.approx(0.0259368875882, rel=1e-4)
    assert slowest.quantile(0.99) == pytest.approx(0.0460268483201, rel=1e-3)
    second = times.ranked([times.drawn(laws.Exponential(0.01))] * 3, 2)
    assert second.mean == pytest.approx(0.00833333333, rel=1e-4)
    assert second.quantile(0.9) == pytest.approx(0.0163066100926, rel=1e-3)


@pytest.mark.parametrize(
    "law",
    [
        laws.Uniform(0.0, 0.02),
        laws.LogNormal(S, cv=2.0),
        laws.Erlang(S, phases=3),
        H2_SCV4,
        laws.Pareto(scale=0.00714285714286, shape=3.5),
        laws.Weibull(S, shape=0.7),
        laws.Empirical((0.0, 0.005, 0.02)),
    ],
    ids=lambda law: law.type_name,
)
def test_laws_on_a_grid_have_the_moments_of_the_distribution(law) -> None:
    time = times.drawn(law)
    grid, below = time.cumulated
    masses, at = time.on(grid), np.arange(grid.points) * grid.step
    assert below[-1] == pytest.approx(1.0, abs=1e-4)
    assert float(np.dot(masses, at)) == pytest.approx(law.mean, rel=2e-3)


def test_round_robin_to_ten() -> None:
    wait = single_station.gi_m_c(single_station.erlang_arrivals(90.0, 10), S, 1)
    assert wait.mean == pytest.approx(0.0466027639011, rel=1e-9)
    assert wait.probability == pytest.approx(0.82333, rel=1e-5)


def test_constant_arrivals() -> None:
    wait = single_station.gi_m_c(single_station.erlang_arrivals(90.0, math.inf), S, 1)
    assert wait.mean == pytest.approx(0.0417865942215, rel=1e-9)


def test_preemptive_priorities_of_constant_and_variable_services() -> None:
    # The urgent class does not notice the other.
    urgent, other = single_station.preemptive_response([200.0, 10.0], [0.001, 0.05], [0.0, 1.0])
    assert urgent == pytest.approx(0.001 + single_station.m_g_1_wait(200.0, 0.001, 0.0))
    assert other > 0.05 / 0.8


def test_priorities_conserve_work() -> None:
    waits = single_station.priority_wait([30.0, 50.0], [S, S], [1.0, 1.0])
    fifo = single_station.m_g_1_wait(80.0, S, 1.0)
    assert (30 * waits[0] + 50 * waits[1]) / 80 == pytest.approx(fifo)


@pytest.mark.parametrize(
    ("targets", "choices", "rate", "slots", "response"),
    [
        (2, None, 160.0, 1, 0.0295573661764),
        (3, None, 210.0, 1, None),
    ],
)
def test_least_connections(targets, choices, rate, slots, response) -> None:
    chain = balancing.shortest_of(targets, choices, rate, lambda n: min(n, slots) / S)
    assert chain is not None
    found = targets * chain.mean / rate
    shared = occupancy.birth_death(rate, occupancy.speeds(targets * slots, targets, S), None)
    split = S / (1 - rate * S / targets)
    assert shared.mean / rate < found < split
    if response is not None:
        assert found == pytest.approx(response, rel=1e-5)


def test_mean_field_of_all_targets_is_the_closed_form() -> None:
    two = balancing.mean_field(2, 80.0, lambda n: 100.0)
    assert two.mean == pytest.approx(sum(0.8 ** (2**k - 1) for k in range(1, 12)), rel=1e-6)


def test_hit_ratios_of_lru_and_fifo_by_che() -> None:
    # Fricker, Robert & Roberts: within a percent of the exact values for eight keys already.
    weights = np.arange(1, 9) ** -0.9
    shares = weights / weights.sum()
    assert float(np.dot(shares, caching.lru_hits(shares, 3))) == pytest.approx(0.506127, rel=0.03)
    assert float(np.dot(shares, caching.fifo_hits(shares, 3))) == pytest.approx(0.484203, rel=0.03)


@pytest.mark.parametrize("users", [[10, 3], [1, 1], [40, 20]])
@pytest.mark.parametrize("demands", [[[0.02, 0.03], [0.2, 0.1]], [[0.05, 0.001], [0.01, 0.06]]])
def test_multiclass_exact_and_approximate_agree(users, demands) -> None:
    exact, slow = networks.exact_multiclass(users, [1.0, 3.0], demands)
    near, response = networks.linearizer(users, [1.0, 3.0], demands)
    assert near == pytest.approx(exact, rel=0.01)
    assert response.sum(axis=1) == pytest.approx(slow.sum(axis=1), rel=0.04)


def test_closed_network_of_three() -> None:
    speeds = [occupancy.speeds(c, 50, d) for c, d in ((4, 0.04), (1, 0.018), (2, 0.05))]
    network = networks.ClosedNetwork(50, 2.0, [(1.0, speed) for speed in speeds])
    assert float(network.throughput[50]) == pytest.approx(23.3319101011, rel=1e-9)
    assert network.marginal(0, 50).sum() == pytest.approx(1.0)


def test_closed_network_keeps_its_precision_when_saturated() -> None:
    network = networks.ClosedNetwork(1000, 0.1, [(1.0, occupancy.speeds(2, 1000, 0.05))])
    assert float(network.throughput[1000]) == pytest.approx(40.0, rel=1e-9)


@pytest.mark.parametrize(("load", "response"), [(0.5, 0.02875), (0.8, 0.07)])
def test_fork_join_of_two(load, response) -> None:
    assert fork_join_response(2, load, S) == pytest.approx(response)


def test_fork_join_of_four_lies_within_the_bounds() -> None:
    assert fork_join_response(4, 0.7, S) == pytest.approx(0.060733, rel=0.01)
