"""Replication: lag and stale reads of a replica, where they have formulas."""

from __future__ import annotations

import math

import numpy as np
import pytest
from theory.estimates import assert_covers, by_trial, simulate

import scalesim as ss

EXP = ss.Exponential


def component(results: ss.Results, metric: str) -> float:
    table = results.components_table()
    return float(table["value"][table["metric"] == metric].iloc[0])


def replicated(rates: dict[str, float], requests: float, keys: ss.Zipf, **fields):
    """Return the results of a database entered directly, with `rates` of read and write [1/s]."""
    database = ss.Database("db", connections=10_000, cpu_discipline="fifo", **fields)
    rate = sum(rates.values())
    traffic = ss.Traffic(rate, mix=rates, keys=keys)
    topology = ss.Topology(database, entry="db")
    return simulate(topology, traffic, requests=requests, rate=rate, record_keys=1)


@pytest.mark.parametrize("law", ["exponential", "constant"])
def test_stale_reads_after_independent_delays(law) -> None:
    # A read finds the last write x s old, x exponential with rate 2/s: it is stale if the write's
    # delay (mean 0.1 s) is longer.
    delay, expected = {
        "exponential": (EXP(0.1), 2.0 / (2.0 + 10.0)),
        "constant": (ss.Constant(0.1), 1 - math.exp(-0.2)),
    }[law]
    rates = {"read": 50.0, "write": 2.0}
    settings = {"read_replicas": 1, "apply_delay": delay, "count_stale_reads": True}
    results = replicated(rates, 4e5, ss.Zipf(1, 1.0), **settings)
    ratios = by_trial(results, lambda each: component(each, "stale_read_ratio"))
    assert_covers(ratios, expected, 0.1)


def test_stale_reads_while_writes_wait_to_be_applied() -> None:
    # The line of writes is M/M/1 with load 0.8; of a geometric number of writes none is of key k
    # with probability (1 - load) / (1 - load (1 - share of k)).
    share = np.arange(1, 21) ** -0.9 / np.sum(np.arange(1, 21) ** -0.9)
    stale = 1 - 0.2 / (1 - 0.8 * (1 - share))
    results = replicated(
        {"read": 200.0, "write": 80.0}, 2e6, ss.Zipf(20, 0.9),
        read_replicas=1, apply=EXP(0.01), count_stale_reads=True,
    )  # fmt: skip
    ratios = by_trial(results, lambda each: component(each, "stale_read_ratio"))
    assert_covers(ratios, float(share @ stale), 0.1)
    first = by_trial(results, lambda each: float(each.keys_table()["stale_read_ratio"][0]))
    assert_covers(first, float(stale[0]), 0.1)
    lag = by_trial(results, lambda each: component(each, "replication_lag_mean_s"))
    assert_covers(lag, 0.05, 0.1)


def test_lag_of_a_replica_that_serves_reads() -> None:
    # Burke: commits leave the primary as a Poisson stream, so that a replica whose core takes
    # reads and applies in order of arrival is M/G/1 (Pollaczek & Khinchine).
    results = replicated(
        {"read": 120.0, "write": 40.0}, 2e6, ss.Zipf(1, 1.0), write=EXP(0.012), apply=EXP(0.006),
        read=EXP(0.008), read_replicas=2, balancing="random", apply_workers=10_000,
    )  # fmt: skip
    load = 40 * 0.006 + 60 * 0.008
    wait = (40 * 0.006**2 + 60 * 0.008**2) / (1 - load)
    lag = by_trial(results, lambda each: component(each, "replication_lag_mean_s"))
    assert_covers(lag, wait + 0.006, 0.05)
