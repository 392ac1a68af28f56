"""Which lines grow without end, for whom, and what then has a value; rare losses; drain times."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import scalesim as ss
from scalesim.results import Results
from scalesim.results.warmup import mser
from scalesim.studies.compare import compare

EXP, MANY = ss.Exponential, 100_000


def service(name: str, *steps: Any, **fields: Any) -> ss.Service:
    return ss.Service(name, **{"workers": 1, **fields}, endpoints={"get": list(steps)})


def queue(time: float, **fields: Any) -> ss.MessageQueue:
    return ss.MessageQueue("q", handler=[ss.sleep(EXP(time))], **fields)


def run(
    *parts: Any, traffic: Any, duration: float = 200.0, seed: int = 1, **options: Any
) -> Results:
    topology = ss.Topology(*parts, entry=parts[0].name)
    return ss.simulate(topology, traffic, duration=duration, seed=seed, **options)


def told(results: Results) -> dict[str, str]:
    """Return which component each kind of warning names."""
    results.summary(), results.to_dict()
    return {each.what: each.component for each in results.warnings}


ONE = service("server", ss.sleep(EXP(0.01)))
USERS = ss.ClosedTraffic(100, think_time=EXP(0.1))


@pytest.mark.parametrize("seed", range(1, 6))
def test_users_who_saturate_a_server_make_no_line_without_end(seed: int) -> None:
    results = run(ONE, traffic=USERS, duration=100.0, seed=seed)
    assert results.utilization.max() > 0.99
    assert not {"unstable", "short", "overloaded"} & set(told(results))
    # Law of the saturated closed system: N / X - Z.
    assert results.estimate("latency_mean_s").covers(100 / 100.0 - 0.1)


def test_messages_of_users_may_make_one() -> None:
    results = run(service("server", ss.publish("q"), ss.sleep(0.01)), queue(0.02), traffic=USERS)
    assert told(results)["unstable"] == "q.consumers"
    assert math.isfinite(results.estimate("latency_mean_s").high)


@pytest.mark.parametrize(
    ("rates", "bucket", "overloaded"),
    [((150.0, 80.0), 10.0, True), ((50.0, 150.0, 50.0, 50.0), 50.0, False)],
)
def test_changing_traffic_is_overloaded_if_the_line_is_longer_in_the_end(
    rates: tuple[float, ...], bucket: float, overloaded: bool
) -> None:
    traffic = ss.Traffic(ss.RateProfile(rates, bucket=bucket))
    for seed in range(1, 4):
        found = told(run(ONE, traffic=traffic, seed=seed))
        assert found.get("overloaded", "") == ("server.workers" if overloaded else "")
        assert "unstable" not in found


def test_recorded_arrivals_may_overload_a_server() -> None:
    at = np.arange(0.0, 100.0, 0.009)
    assert told(run(ONE, traffic=ss.ReplayTraffic(at), duration=100.0))["overloaded"]


@pytest.mark.parametrize("rate", [60.0, 200.0])
@pytest.mark.parametrize(
    "parts",
    [
        (service("server", ss.publish("q"), workers=50), queue(0.1, consumers=5, capacity=20)),
        (
            service("server", ss.call("db.read"), workers=MANY),
            ss.Database("db", connections=5, queue_limit=30, read=EXP(0.01)),
        ),
        (
            service("server", ss.call("behind.get"), workers=10, backlog=20),
            service("behind", ss.sleep(EXP(0.02))),
        ),
        (
            service("server", ss.call("behind.get"), workers=10, backlog=20),
            service("behind", ss.call("last.get"), workers=20),
            service("last", ss.compute(EXP(0.02)), workers=30),
        ),
    ],
    ids=["room", "connections", "caller", "caller of caller"],
)
def test_a_line_that_only_so_many_can_be_in_does_not_grow_without_end(
    parts: tuple[Any, ...], rate: float
) -> None:
    results = run(*parts, traffic=ss.Traffic(rate))
    assert "unstable" not in told(results)
    assert math.isfinite(results.estimate("latency_mean_s").high)


def test_clients_do_not_wait_for_messages_and_messages_have_no_mean_time() -> None:
    parts = service("server", ss.publish("q"), ss.sleep(0.001), workers=MANY), queue(0.02)
    results = run(*parts, traffic=ss.Traffic(100.0))
    assert results.unstable == "q.consumers"
    found = results.estimate("latency_mean_s")
    assert found.low <= 0.001 <= found.high < 0.0011
    assert results.estimate("message_time_mean_s@q").method == "unstable"
    assert "UNSTABLE" in results.summary()
    table = results.components_table().set_index("metric")
    assert np.isnan(table.loc["message_time_mean_s", "value"])


@pytest.mark.parametrize(("backlog", "limit"), [(None, None), (10, None), (None, 10)])
def test_nor_do_they_for_replicas_that_fall_behind(backlog: int | None, limit: int | None) -> None:
    times = {"write": EXP(0.001), "apply": EXP(0.02)}
    database = ss.Database(
        "db", connections=MANY, queue_limit=limit, cores=4, read_replicas=1, **times
    )
    parts = service("server", ss.call("db.write"), workers=MANY, backlog=backlog), database
    results = run(*parts, traffic=ss.Traffic(100.0))
    assert results.unstable == "db.apply"
    assert math.isfinite(results.estimate("latency_mean_s").high)
    assert results.estimate("replication_lag_mean_s@db").method == "unstable"


def test_tables_give_no_number_for_what_has_none() -> None:
    results = run(ONE, traffic=ss.Traffic(150.0))
    requests, resources = results.requests_table(), results.resources_table()
    assert requests[["latency_mean_s", "latency_p99_s"]].isna().all(axis=None)
    workers = resources.set_index("resource").loc["workers"]
    assert workers[["wait_mean_s", "queue_depth_mean"]].isna().all()
    assert not resources["utilization_ratio"].isna().any()


def test_a_design_without_a_value_is_said_to_have_none() -> None:
    a, b = (ss.Topology(service("s", ss.sleep(EXP(x))), entry="s") for x in (0.005, 0.02))
    found = compare(a, b, ss.Traffic(100.0), duration=100.0, trials=3)
    assert "of b it has no value" in str(found["latency_mean_s"])
    assert "chance" not in str(found["latency_mean_s"])


def test_rounding_is_no_transient() -> None:
    noise = 0.01 + 1e-17 * np.random.default_rng(1).standard_normal(72).cumsum()
    assert mser(noise) == 0
    results = run(service("s", ss.sleep(0.01), workers=1000), traffic=ss.Traffic(70.0), trials=2)
    assert not told(results)


def loss(rho: float, places: int) -> float:
    """Return the probability of loss in M/M/1/K."""
    return (1 - rho) * rho**places / (1 - rho ** (places + 1))


@pytest.mark.parametrize(
    ("fields", "traffic", "duration", "metric", "truth"),
    [
        ({"backlog": 19}, ss.Traffic(70.0), 285.0, "rejected_ratio", loss(0.7, 20)),
        # P(response > t) in M/M/1: exp(-(mu - lambda) t); the time-out does not take work away.
        ({}, ss.Traffic(80.0, timeout=0.3), 250.0, "timed_out_ratio", math.exp(-20 * 0.3)),
    ],
    ids=["losses", "time-outs"],
)
def test_intervals_of_rare_events_that_come_together(
    fields: dict[str, Any], traffic: ss.Traffic, duration: float, metric: str, truth: float
) -> None:
    """They hold the truth in 90 % of runs or more, nominal 95 %: none, or hardly any, is seen."""
    server = service("s", ss.sleep(EXP(0.01)), **fields)
    covered = sum(
        run(server, traffic=traffic, duration=duration, seed=seed).estimate(metric).covers(truth)
        for seed in range(1, 201)
    )
    assert covered >= 180


@pytest.mark.parametrize("component", [None, "server"])
@pytest.mark.parametrize("duration", [400.0, 15.0 + 101.0])
def test_drain_time_allows_for_the_bucket_it_happened_in(
    component: str | None, duration: float
) -> None:
    """About 180 too many after the spike, drained at 50 a second."""
    rates = np.full(int(duration), 50.0)
    rates[101:103] = 190.0
    traffic = ss.Traffic(ss.RateProfile(rates, bucket=1.0, repeat=False))
    results = run(ONE, traffic=traffic, duration=duration, trials=40)
    found = results.drain_time(103.0, level=5, component=component)
    assert found.low < (2 * 90 - 5) / 50 < found.high
    assert found.high - found.low < 3 * duration / 80 + 2
