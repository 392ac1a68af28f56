"""Intervals, warm-up detection, precision and paired comparison."""

from __future__ import annotations

import numpy as np
import pytest
from intervals.repeated_runs import single

import scalesim as ss
from scalesim.components import fail
from scalesim.errors import InvalidInput
from scalesim.policies.sharding import ModuloSharding
from scalesim.results.warmup import mser
from scalesim.studies.compare import compare

TOPOLOGY, RATE, TRUTH = single(1, 0.5)


def test_mser_cuts_a_transient_and_leaves_a_stationary_series() -> None:
    steady = np.tile([1.0, 2.0], 40)
    assert mser(steady) == 0
    assert mser(np.concatenate([[90.0, 70.0, 50.0], steady])) == 3


@pytest.mark.parametrize(("most", "reached"), [(200, True), (5, False)])
def test_precision_runs_trials_until_reached_or_says_it_is_not(most: int, reached: bool) -> None:
    results = ss.simulate(
        TOPOLOGY, ss.Traffic(RATE), duration=1_000.0, precision=0.03, max_trials=most
    )
    assert (results.estimate("latency_mean_s").relative <= 0.03) is reached
    assert any(each.what == "precision" for each in results.warnings) is not reached


def test_the_same_luck_narrows_the_difference_and_its_interval_holds_the_truth() -> None:
    faster, _, _ = single(2, 0.25)
    found = compare(
        TOPOLOGY, faster, ss.Traffic(RATE), duration=5_000.0, metrics=["latency_mean_s"]
    )["latency_mean_s"]
    # M/M/1 at 0.5: 2 s; M/M/2 at 0.25: 1 / (1 - 0.25^2) s.
    assert found.low <= 1 / (1 - 0.25**2) - 2.0 <= found.high
    assert found.significant
    assert found.variance_reduction > 1


def replicated(switch: bool = True) -> ss.Topology:
    """Return a database of one key whose replica, the one that is read, gets writes 0.1 s late."""
    delay = ss.Exponential(0.1)
    database = ss.Database(
        "db", connections=10_000, read_replicas=1, apply_delay=delay, count_stale_reads=switch
    )
    return ss.Topology(database, entry="db")


def starting() -> ss.Topology:
    """Return a server that computes 0.1 s, starts in 0.5 s and is off when idle."""
    own = {
        "cold_start": ss.Exponential(0.5),
        "endpoints": {"get": [ss.compute(ss.Exponential(0.1))]},
    }
    return ss.Topology(ss.Service("server", **own), entry="server")


def failing() -> ss.Topology:
    """Return a server of which each fifth answer is a failure."""
    steps = [ss.compute(ss.Exponential(0.02)), fail(0.2)]
    server = ss.Service("server", workers=10**5, cores=10**5, endpoints={"get": steps})
    return ss.Topology(server, entry="server")


def sharded() -> ss.Topology:
    """Return a database of two shards, keys in turn to one and the other."""
    own = {"connections": 1, "read": ss.Exponential(0.01)}
    database = ss.Database("db", shards=2, sharding=ModuloSharding(), **own)
    return ss.Topology(database, entry="db")


def batched() -> ss.Topology:
    """Return a queue whose consumer takes up to 4 messages at once."""
    handler = [ss.sleep(ss.Exponential(0.02))]
    return ss.Topology(ss.MessageQueue("jobs", handler=handler, batch=(1, 4)), entry="jobs")


RETRIED = ss.Traffic(40.0, retry=ss.Retry(3, backoff=(0.05, 0.1), on="failed"))
COUNTED = {
    # Three attempts, of which each fails by chance: 1 + 0.2 + 0.04 of them for each request.
    "first_attempt_failed_ratio[get]@client": (failing(), RETRIED, 0.2),
    "retry_amplification[get]@client": (failing(), RETRIED, 1.24),
    "offered_rate_rps[get]@client": (failing(), RETRIED, 40.0 * 1.24),
    "waiting_to_retry_mean[get]@client": (failing(), RETRIED, 40.0 * (0.2 * 0.05 + 0.04 * 0.1)),
    # Keys 0 and 2 of three, with weights 1 and 1/3 beside 1/2, are in one of the two shards.
    "shard_skew@db": (
        sharded(),
        ss.Traffic(9.0, mix={"read": 1.0, "write": 0.0}, keys=ss.Zipf(3, 1.0)),
        2 * (4 / 3) / (11 / 6),
    ),
    # As in tests/theory/test_admission.py.
    "batch_size_mean@jobs": (batched(), ss.Traffic(120.0), 2.59419079654),
    # A read finds the last write x s old, x exponential with rate 2/s: stale if it is still on its
    # way. M/M/1 with setups: an idle server is met by the share of requests that the cycle says.
    "stale_read_ratio@db": (
        replicated(),
        ss.Traffic(52.0, mix={"read": 50.0, "write": 2.0}, keys=ss.Zipf(1, 1.0)),
        2.0 / (2.0 + 10.0),
    ),
    "cold_start_ratio@server": (starting(), ss.Traffic(5.0), (1 - 0.5) / (1 + 5.0 * 0.5)),
}


@pytest.mark.parametrize("name", COUNTED)
@pytest.mark.parametrize(("trials", "method"), [(1, "batches"), (10, "trials")])
def test_ratios_of_what_is_counted_have_intervals(name: str, trials: int, method: str) -> None:
    topology, traffic, truth = COUNTED[name]
    results = ss.simulate(topology, traffic, duration=10_000 / trials, trials=trials)
    assert name in results.metric_names()
    found = results.estimate(name)
    assert found.method == method
    assert found.covers(truth)
    assert 0 < found.relative < 0.15
    metric, _, component = name.partition("@")
    table = results.components_table().set_index(["component", "metric"])
    shown = table.loc[(component, metric)]
    assert shown[["value", "low", "high"]].tolist() == [found.value, found.low, found.high]


def test_precision_and_comparison_take_ratios_of_what_is_counted() -> None:
    name = "cold_start_ratio@server"
    topology, traffic, truth = COUNTED[name]
    results = ss.simulate(topology, traffic, duration=500.0, precision=0.1, precision_of=name)
    assert results.estimate(name).relative <= 0.1
    slower = topology.vary({"server.cold_start": ss.Exponential(1.0)})
    (found,) = compare(topology, slower, traffic, duration=2_000.0, metrics=[name]).differences
    assert found.low <= 0.5 / (1 + 5.0) - truth <= found.high
    assert found.significant


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("stale_read_rate@db", "stale_read_ratio@db"),
        ("stale_reads_ratio@db", "stale_read_ratio@db"),
    ],
)
def test_a_name_that_is_of_no_resource_is_not_asked_which_resource(name: str, nearest: str) -> None:
    topology, traffic, _ = COUNTED["stale_read_ratio@db"]
    results = ss.simulate(topology, traffic, duration=10.0)
    with pytest.raises(InvalidInput, match=f'no metric "{name}". Did you mean "{nearest}"'):
        results.estimate(name)
    with pytest.raises(InvalidInput, match="could be one of @db.connections, "):
        results.estimate("wait_p99_s@db")
    results = ss.simulate(replicated(switch=False), traffic, duration=10.0)
    with pytest.raises(InvalidInput, match='no metric "stale_read_ratio@db"'):
        results.estimate("stale_read_ratio@db")
