"""Calls: retries that wait as told, failures by chance, requests that go from place to place."""

from __future__ import annotations

import pytest
from traces.test_step_traces import wide
from traces.tracing import both_engines, ends, instances, metric, near, outcomes, run

import scalesim as ss
from scalesim.components import Workflow, fail
from scalesim.distributions import Constant

ONE_AT_A_TIME = ss.Service("server", backlog=0, endpoints={"get": [ss.sleep(10.0)]})
"""Rejects whoever comes while it serves."""


# Retries -----------------------------------------------------------------------------------------


@both_engines
def test_waits_given_one_by_one_are_kept_and_the_last_is_repeated(engine) -> None:
    retry = ss.Retry(5, backoff=(1.0, 3.0))
    # Sent at 1, 2, 5, 8, 11: at 10 the server is free again.
    results = run(engine, ONE_AT_A_TIME, at=[0, 1], retry=retry)
    assert outcomes(results) == [(10.0, "completed"), (21.0, "completed")]
    assert metric(results, "client", "retry_amplification[get]") == 3.0
    assert metric(results, "client", "first_attempt_failed_ratio[get]") == 0.5
    assert metric(results, "client", "offered_rate_rps[get]") == near(6 / 1000)
    assert metric(results, "client", "waiting_to_retry_mean[get]") == near((1 + 3 + 3 + 3) / 1000)


@both_engines
def test_attempts_without_a_bound(engine) -> None:
    retry = ss.Retry(backoff=Constant(0.004))
    results = run(engine, ONE_AT_A_TIME, at=[0, 0.001], retry=retry)
    # 0.001 + 2500 * 0.004 = 10.001
    assert ends(results) == near([10.0, 20.001])
    assert metric(results, "client", "retry_amplification[get]") == (1 + 2501) / 2


@both_engines
@pytest.mark.parametrize(
    ("on", "second"),
    [("rejected", (18.0, "timed_out")), (("timed_out", "failed"), (1.0, "rejected"))],
)
def test_only_the_outcomes_named_are_retried(engine, on, second) -> None:
    # The second call is rejected at 1, 4 and 7, at 10 it is served, too late at 18.
    front = wide("front", ss.call("server", timeout=8.0, retry=ss.Retry(9, backoff=(3.0,), on=on)))
    results = run(engine, front, ONE_AT_A_TIME, at=[0, 1])
    assert outcomes(results)[1] == second


@both_engines
def test_a_caller_that_always_gives_up_makes_one_attempt(engine) -> None:
    retry = ss.Retry(5, backoff=1.0, give_up=1.0)
    results = run(engine, ONE_AT_A_TIME, at=[0, 1], retry=retry)
    assert outcomes(results) == [(10.0, "completed"), (1.0, "rejected")]


@both_engines
def test_giving_up_is_drawn_anew_before_each_attempt(engine) -> None:
    broken = wide("broken", ss.sleep(1.0), fail(1.0))
    retry = ss.Retry(backoff=Constant(1.0), give_up=0.25)
    at = [100.0 * i for i in range(400)]
    results = run(engine, broken, at=at, duration=50_000, retry=retry)
    # The number of attempts is geometric with mean 4 and standard deviation 3.5.
    assert metric(results, "client", "retry_amplification[do]") == pytest.approx(4.0, abs=0.7)
    assert {outcome for _, outcome in outcomes(results)} == {"failed"}


# Failures by chance ------------------------------------------------------------------------------


@both_engines
def test_a_step_that_fails_does_so_after_the_steps_before_it(engine) -> None:
    front = wide("front", ss.sleep(2.0), fail(1.0), ss.sleep(50.0))
    results = run(engine, front, at=[0, 1])
    assert outcomes(results) == [(2.0, "failed"), (3.0, "failed")]
    assert instances(results, "front", "workers", "busy") == [4.0]


@both_engines
def test_a_failure_of_probability_zero_never_happens(engine) -> None:
    assert ends(run(engine, wide("front", fail(0.0), ss.sleep(2.0)), at=[0])) == [2.0]


@both_engines
def test_failures_are_drawn_anew_for_each_attempt(engine) -> None:
    front = wide("front", ss.sleep(1.0), fail(0.5))
    at = [100.0 * i for i in range(400)]
    results = run(engine, front, at=at, duration=50_000, retry=ss.Retry(50, jitter="none"))
    assert metric(results, "client", "retry_amplification[do]") == pytest.approx(2.0, abs=0.3)
    assert {outcome for _, outcome in outcomes(results)} == {"completed"}


# Workflows ---------------------------------------------------------------------------------------


@both_engines
def test_a_workflow_goes_from_place_to_place_and_holds_nothing_between(engine) -> None:
    flow = Workflow("flow", start="a", routes={"a": {"b.do": 1.0}, "b.do": {"c": 1.0}})
    one = {"workers": 1}
    results = run(
        engine,
        flow,
        wide("a", ss.sleep(1.0), **one),
        wide("b", ss.sleep(3.0), **one),
        wide("c", ss.sleep(2.0), **one),
        at=[0, 0, 0],
    )
    # a ends at 1, 2, 3; b at 4, 7, 10; c at 6, 9, 12.
    assert ends(results) == [6.0, 9.0, 12.0]
    assert instances(results, "a", "workers", "busy") == [3.0]


@both_engines
def test_a_failed_visit_ends_the_request(engine) -> None:
    flow = Workflow("flow", start="a", routes={"a": {"b": 1.0}})
    results = run(
        engine, flow, wide("a", ss.sleep(1.0), fail(1.0)), wide("b", ss.sleep(3.0)), at=[0]
    )
    assert outcomes(results) == [(1.0, "failed")]
    assert instances(results, "b", "workers", "granted") == [0]


@both_engines
def test_each_visit_draws_anew(engine) -> None:
    flow = Workflow("flow", start="a", routes={"a": {"a": 0.75}})
    at = [1000.0 * i for i in range(400)]
    back = wide("a", ss.sleep(ss.Uniform(1.0, 2.0)))
    results = run(engine, flow, back, at=at, duration=500_000)
    times = [end - start for end, start in zip(ends(results), at, strict=True)]
    # The number of visits is geometric with mean 4 and standard deviation 3.5.
    assert instances(results, "a", "workers", "granted")[0] / 400 == pytest.approx(4.0, abs=0.7)
    assert sum(times) == pytest.approx(instances(results, "a", "workers", "busy")[0])
    whole = [time / 1.5 for time in times]
    assert any(abs(each - round(each)) > 0.2 for each in whole)  # not the first draw over again


@both_engines
def test_a_workflow_over_instances_and_a_database(engine) -> None:
    flow = Workflow("flow", start="web", routes={"web": {"db.read": 0.5, "db.write": 0.5}})
    web = ss.Service("web", instances=2, endpoints={"get": [ss.sleep(1.0)]})
    db = ss.Database("db", connections=1, cores=1, read=2.0, write=2.0)
    results = run(engine, flow, web, db, at=[0, 0, 0])
    # web[0] at 1 and 2, web[1] at 1; the database at 3, 5, 7, reads and writes alike.
    assert sorted(ends(results)) == [3.0, 5.0, 7.0]
