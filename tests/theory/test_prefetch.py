"""Prefetch: one message at a time is a common line; without a bound messages are dealt in turn.

Poisson messages and exponential times: M/M/c, and at each of c consumers Erlang-c/M/1, whose mean
response is 1 / (mu (1 - s)), s the root in (0, 1) of s = (r / (r + mu (1 - s)))^c.
"""

from __future__ import annotations

import pytest
from scipy.optimize import brentq
from theory.estimates import assert_covers, by_trial, simulate

import scalesim as ss

RATE, TIME, CONSUMERS = 1.6, 1.0, 2


def common_line() -> float:
    load = RATE * TIME / CONSUMERS
    return TIME / (1 - load**2)  # M/M/2


def dealt_in_turn() -> float:
    mu = 1 / TIME
    root = brentq(lambda s: (RATE / (RATE + mu * (1 - s))) ** CONSUMERS - s, 0.0, 1 - 1e-6)
    return 1 / (mu * (1 - root))


@pytest.mark.parametrize(("prefetch", "law"), [(1, common_line), (1_000_000, dealt_in_turn)])
def test_mean_time_of_a_message(prefetch, law) -> None:
    jobs = ss.MessageQueue(
        "jobs",
        handler=[ss.sleep(ss.Exponential(TIME))],
        consumers=CONSUMERS,
        prefetch=prefetch,
    )
    topology = ss.Topology(jobs, entry="jobs")
    results = simulate(topology, ss.Traffic(RATE), requests=2e6, rate=RATE)

    def mean(trial):
        table = trial.components_table().set_index("metric")["value"]
        return float(table["message_time_mean_s"])

    assert_covers(by_trial(results, mean), law(), 0.04)
