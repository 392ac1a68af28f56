"""Servers that fail and one crew that repairs them, as a quasi-birth-death process.

The number in flight goes up and down by one, at rates that depend on how many servers are up; so
its law is matrix-geometric (Neuts, "Matrix-geometric solutions in stochastic models", 1981). With
four servers it decays by 0.05 % a step only: a chain that is cut off at a few thousand is far off.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest


def mean_in_flight(
    rate: float, speed: float, failing: float, repairing: float, servers: int
) -> float:
    """Return the mean number in flight; rates a second, one repair at a time."""
    states = servers + 1
    chain = np.diag(np.full(servers, repairing), 1)  # from k up to k + 1 up
    chain += np.diag(failing * np.arange(1, states), -1)
    up = rate * np.eye(states)

    def down(n: int) -> np.ndarray:
        return np.diag(np.minimum(np.arange(states), n) * speed)

    def stay(n: int) -> np.ndarray:
        return chain - np.diag(chain.sum(axis=1)) - up - down(n)

    ratio, inverse = np.zeros((states, states)), np.linalg.inv(-stay(servers))
    while True:
        better = (up + ratio @ ratio @ down(servers)) @ inverse
        if np.abs(better - ratio).max() < 1e-15:
            break
        ratio = better
    size = states * states  # levels 0 .. servers; beyond, each is the one before times `ratio`
    balance = np.zeros((size, size))
    at = [slice(n * states, (n + 1) * states) for n in range(states)]
    for n in range(states):
        balance[at[n], at[n]] = stay(n) + (ratio @ down(servers) if n == servers else 0)
        if n < servers:
            balance[at[n], at[n + 1]], balance[at[n + 1], at[n]] = up, down(n + 1)
    total = np.linalg.inv(np.eye(states) - ratio)
    equations = balance.T.copy()
    equations[-1] = np.concatenate([np.ones(size - states), total @ np.ones(states)])
    share = np.linalg.solve(equations, np.eye(size)[-1])
    last = share[at[servers]]
    below = sum(n * share[at[n]].sum() for n in range(servers))
    return float(below + (servers * last @ total + last @ ratio @ total @ total).sum())


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        # White & Christie, "Queuing with preemptive priorities or with breakdown" (1958).
        ((50.0, 100.0, 1 / 20, 1.0, 1), 6.11779448645),
        # What tests/theory/test_serving.py holds simulations against.
        ((250.0, 100.0, 1 / 0.6, 1 / 0.06, 4), 250.0 * 0.0232004726888),
    ],
)
def test_it_agrees_with_known_values(given: tuple[float, ...], expected: float) -> None:
    assert mean_in_flight(*given) == pytest.approx(expected, rel=1e-9)


def test_the_accuracy_case_of_four_servers_and_one_crew() -> None:
    expected = mean_in_flight(250.0, 100.0, 1 / 60, 1 / 6, 4)
    file = Path(__file__).parents[1] / "accuracy" / "cases" / "theory.json"
    cases = {each["id"]: each for each in json.loads(file.read_text(encoding="utf-8"))}
    case = cases["breakdown-mm4-one-crew"]["expected"]
    assert case["in_flight_mean"]["value"] == pytest.approx(expected, rel=1e-9)
    assert case["response_time_mean_s"]["value"] == pytest.approx(expected / 250.0, rel=1e-9)
