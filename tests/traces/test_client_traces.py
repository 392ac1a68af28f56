"""Clients: time-outs, retries with back-off, and what the server does meanwhile."""

from __future__ import annotations

import pytest
from traces.tracing import both_engines, instances, metric, near, outcomes, run

import scalesim as ss

SLOW = ss.Service("server", endpoints={"get": [ss.compute(3.0)]})


@both_engines
def test_the_abandoned_attempt_keeps_the_server_busy(engine) -> None:
    results = run(engine, SLOW, at=[0, 1, 2], timeout=4.5, retry=ss.Retry(2, jitter="none"))
    assert outcomes(results) == [(3.0, "completed"), (10.0, "timed_out"), (11.0, "timed_out")]
    assert instances(results, "server", "workers", "served") == [5]
    assert instances(results, "server", "cpu", "busy") == [15.0]
    assert metric(results, "client", "retry_amplification[get]") == near(5 / 3)


@both_engines
def test_a_timeout_without_retries(engine) -> None:
    results = run(engine, SLOW, at=[0, 1, 8], timeout=4.5)
    assert outcomes(results) == [(3.0, "completed"), (5.5, "timed_out"), (11.0, "completed")]


def failing(after: float) -> tuple[ss.Service, ss.Service]:
    """Return a server that fails every request after so long, and what it needs for it."""
    server = ss.Service(
        "server", workers=99, endpoints={"get": [ss.sleep(after), ss.call("broken")]}
    )
    broken = ss.Service(
        "broken", memory=1.0, memory_per_request=2.0, endpoints={"do": [ss.sleep(1.0)]}
    )
    return server, broken


@both_engines
def test_backoff_doubles_up_to_its_cap(engine) -> None:
    retry = ss.Retry(6, backoff=0.1, factor=2.0, cap=1.0, jitter="none")
    results = run(engine, *failing(0.05), at=[0.0], retry=retry)
    # Sent at 0, 0.15, 0.4, 0.85, 1.7, 2.75.
    assert outcomes(results) == [(near(2.8), "failed")]
    assert instances(results, "server", "workers", "granted") == [6]


@both_engines
@pytest.mark.parametrize(("jitter", "least"), [("full", 0.0), ("equal", 0.5)])
def test_jitter_shortens_the_backoff_within_its_bounds(engine, jitter, least) -> None:
    retry = ss.Retry(3, backoff=1.0, factor=3.0, jitter=jitter)
    at = [float(100 * i) for i in range(200)]
    results = run(engine, *failing(0.0), at=at, duration=30_000, retry=retry)
    waits = [end - start for (end, _), start in zip(outcomes(results), at, strict=True)]
    assert all(least * 4 <= wait < 4 for wait in waits)
    assert min(waits) < least * 4 + (1 - least) * 1.0
    assert max(waits) > 4 - (1 - least) * 1.0
    assert len(set(waits)) == len(waits)


@both_engines
def test_a_retry_after_a_rejection_may_succeed(engine) -> None:
    server = ss.Service("server", backlog=0, endpoints={"get": [ss.compute(1.0)]})
    retry = ss.Retry(4, backoff=0.25, factor=1.0, jitter="none")
    results = run(engine, server, at=[0, 0.5], retry=retry)
    # Refused at 0.5 and 0.75; at 1.0 the departure comes before the retry's timer.
    assert outcomes(results) == [(1.0, "completed"), (2.0, "completed")]
    assert instances(results, "server", "workers", "rejected") == [2]


@both_engines
def test_the_status_is_that_of_the_last_attempt(engine) -> None:
    server = ss.Service("server", backlog=0, endpoints={"get": [ss.compute(5.0)]})
    results = run(engine, server, at=[0, 0.5], timeout=2.0, retry=ss.Retry(2, jitter="none"))
    # The first times out at 2 and its second attempt meets its own abandoned one.
    assert outcomes(results) == [(2.0, "rejected"), (0.5, "rejected")]


@both_engines
def test_each_attempt_has_its_own_timeout(engine) -> None:
    server = ss.Service("server", workers=99, cores=99, endpoints={"get": [ss.compute(5.0)]})
    retry = ss.Retry(3, backoff=1.0, factor=2.0, jitter="none")
    results = run(engine, server, at=[0], timeout=2.0, retry=retry)
    assert outcomes(results) == [(2 + 1 + 2 + 2 + 2.0, "timed_out")]
    assert instances(results, "server", "cpu", "busy") == [15.0]
