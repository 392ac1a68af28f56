"""A guess spares questions and does not move the answer."""

from __future__ import annotations

import math

import pytest

import scalesim as ss
from scalesim.studies.bracketing import HIGHEST_RATE, RATIO, Monotone, aim, search
from scalesim.studies.breaking import likely_breaking_rate


def asked(
    limit: float, guess: float | None, wide: float = 1.1
) -> tuple[tuple[float | None, float | None], int]:
    """Return what a search finds, and how many questions it asked."""
    rates = []

    def ask(rate: float) -> bool:
        rates.append(rate)
        return rate > limit

    misses = Monotone(ask)
    if guess is not None:
        aim(misses, 100.0, 1.5, guess, wide)
    found = search(misses, 100.0, 1.5)
    assert len(set(rates)) == len(rates)
    return found, len(rates)


@pytest.mark.parametrize("limit", [3.0, 70.0, 99.0, 100.0, 340.0, 5000.0])
@pytest.mark.parametrize("error", [0.2, 0.7, 0.9, 1.0, 1.1, 3.0])
def test_the_answer_does_not_depend_on_the_guess(limit, error) -> None:
    plain, _ = asked(limit, None)
    guided, _ = asked(limit, limit * error)
    assert guided == plain
    low, high = plain
    assert low is not None and high is not None
    assert low <= limit < high <= low * RATIO


@pytest.mark.parametrize("limit", [3.0, 340.0, 5000.0])
def test_a_good_guess_spares_half_of_the_questions(limit) -> None:
    assert asked(limit, limit * 1.05)[1] <= asked(limit, None)[1] * 0.75
    assert asked(limit, limit)[1] == 2


@pytest.mark.parametrize("error", [0.98, 0.99, 1.01, 1.02])
def test_a_guess_that_was_simulated_spares_more(error) -> None:
    assert asked(340.0, 340.0 * error, 1.02)[1] <= 6
    assert asked(340.0, 340.0 * error, 1.02)[0] == asked(340.0, None)[0]


def test_there_may_be_no_limit() -> None:
    assert asked(math.inf, 1e3)[0][1] is None
    assert asked(0.0, 1e3)[0][0] is None
    assert search(lambda rate: True, 0.0, 1.5)[0] is None


def test_no_rate_is_asked_about_that_traffic_can_not_have() -> None:
    assert search(lambda rate: False, 1e8, 1.5) == (HIGHEST_RATE, None)


def test_the_guess_lies_below_the_capacity() -> None:
    server = ss.Service("server", endpoints={"get": [ss.compute(ss.Exponential(0.01))]})
    topology = ss.Topology(server, entry="server")
    assert likely_breaking_rate(topology, ss.Traffic(5.0), 5.0) == pytest.approx(90.0)
    memory = topology.vary({"server.memory": 1e9})
    assert math.isnan(likely_breaking_rate(memory, ss.Traffic(5.0), 5.0))
