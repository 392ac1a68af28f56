"""Calls: retries that wait as told, failures by chance, requests that go from place to place."""

from __future__ import annotations

import pytest
from traces.test_step_traces import wide
from traces.tracing import both_engines, ends, instances, metric, near, outcomes, run

import scalesim as ss
from scalesim.components import Hedge, RateLimiter, Workflow, fail, scatter
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


# Waiting for some of the branches ----------------------------------------------------------------


@both_engines
@pytest.mark.parametrize(("wait_for", "end"), [(1, 1.0), (2, 3.0), (3, 7.0), (None, 7.0)])
def test_parallel_goes_on_when_enough_have_completed(engine, wait_for, end) -> None:
    branches = [ss.sleep(7.0)], [ss.sleep(1.0)], [ss.sleep(3.0)]
    front = wide("front", ss.parallel(*branches, wait_for=wait_for), ss.sleep(10.0))
    assert ends(run(engine, front, at=[0, 1])) == [end + 10, end + 11]


@both_engines
@pytest.mark.parametrize(
    ("wait_for", "expected"),
    [(1, (5.0, "completed")), (2, (2.0, "failed")), (3, (1.0, "failed")), (None, (5.0, "failed"))],
)
def test_parallel_fails_when_enough_cannot_complete_any_more(engine, wait_for, expected) -> None:
    branches = [ss.sleep(1.0), fail(1.0)], [ss.sleep(2.0), fail(1.0)], [ss.sleep(5.0)]
    front = wide("front", ss.parallel(*branches, wait_for=wait_for))
    assert outcomes(run(engine, front, at=[0])) == [expected]


@both_engines
@pytest.mark.parametrize(("cancel", "busy"), [(False, 9.0), (True, 4.0)])
def test_branches_left_over_go_on_unless_cancelled(engine, cancel, busy) -> None:
    branches = [ss.call("slow")], [ss.sleep(2.0)]
    step = ss.parallel(*branches, wait_for=1, cancel=cancel)
    # Two groups one after the other: what is left of the first does not count for the second.
    front = wide("front", step, step)
    slow = wide("slow", ss.compute(4.5))
    results = run(engine, front, slow, at=[0])
    assert ends(results) == [4.0]
    assert instances(results, "slow", "cpu", "busy") == [busy]
    assert instances(results, "slow", "workers", "served") == [0 if cancel else 2]


@both_engines
def test_scatter_reaches_every_instance(engine) -> None:
    front = wide("front", scatter("replica"))
    replica = ss.Service("replica", instances=3, endpoints={"read": [ss.sleep(2.0)]})
    results = run(engine, front, replica, at=[0, 1])
    assert ends(results) == [2.0, 4.0]
    assert instances(results, "replica", "workers", "busy") == [4.0] * 3


@both_engines
def test_scatter_goes_on_after_a_quorum(engine) -> None:
    # One replica is kept busy until 5 by a request of its own kind.
    front = wide("front", scatter("replica.read", wait_for=2))
    other = ss.Service(
        "replica",
        instances=3,
        endpoints={"read": [ss.sleep(1.0)], "long": [ss.sleep(5.0)]},
    )
    door = ss.Service(
        "door",
        workers=9,
        endpoints={"read": [ss.call("front")], "long": [ss.call("replica.long")]},
    )
    results = run(engine, door, front, other, at=[0, 1, 2], endpoint=("long", "read", "read"))
    assert ends(results) == [5.0, 2.0, 3.0]
    assert instances(results, "replica", "workers", "busy") == [7.0, 2.0, 2.0]


@both_engines
def test_scatter_over_shards_and_over_nodes_that_serve_reads(engine) -> None:
    front = wide("front", scatter("sharded.read"), scatter("sharded.write"), scatter("copies.read"))
    sharded = ss.Database("sharded", connections=1, cores=9, read=1.0, write=1.0, shards=3,
                          read_replicas=1, apply=0.5)  # fmt: skip
    copies = ss.Database("copies", connections=1, cores=9, read=1.0, read_replicas=2)
    results = run(engine, front, sharded, copies, at=[0], keys=ss.UniformKeys(9))
    assert ends(results) == [3.0]
    assert instances(results, "sharded", "connections", "granted") == [1, 1] * 3
    assert instances(results, "copies", "connections", "granted") == [0, 1, 1]


# Cancelled time-outs -----------------------------------------------------------------------------

SLOW = ss.Service("server", endpoints={"get": [ss.compute(3.0)]})


@both_engines
def test_a_client_that_cancels(engine) -> None:
    results = run(engine, SLOW, at=[0, 1, 2], timeout=4.5, cancel=True, retry=ss.Retry(2))
    # The second is withdrawn at 5.5 in service, the third then served and withdrawn at 6.5, where
    # the second's second attempt starts; the third's waits from 6.5 to 9.5 and is withdrawn at 11.
    assert outcomes(results) == [(3.0, "completed"), (9.5, "completed"), (11.0, "timed_out")]
    assert metric(results, "client", "retry_amplification[get]") == near(5 / 3)
    assert instances(results, "server", "cpu", "busy") == [11.0]
    assert instances(results, "server", "cpu", "served") == [2]
    assert instances(results, "server", "workers", "served") == [2]


@both_engines
def test_a_withdrawn_attempt_leaves_the_line(engine) -> None:
    patient = ss.call("server", timeout=9.0, cancel=True)
    hasty = ss.call("server", timeout=1.0, cancel=True)
    front = ss.Service("front", workers=9, endpoints={"slow": [patient], "quick": [hasty]})
    names = ("slow", "quick", "slow", "quick", "slow")
    results = run(engine, front, SLOW, at=[0, 1, 1.5, 2.5, 2.75], endpoint=names)
    # One leaves the line from its front, one from its middle.
    assert [end for end, _ in outcomes(results)] == [3.0, 2.0, 6.0, 3.5, 9.0]
    assert instances(results, "server", "workers", "abandoned") == [2]
    assert instances(results, "server", "workers", "granted") == [3]
    assert instances(results, "server", "cpu", "busy") == [9.0]
    assert instances(results, "server", "workers", "depth") == near([1 + 1.5 + 1 + 3.25])


@both_engines
def test_withdrawing_frees_everything_that_is_held_below(engine) -> None:
    front = wide("front", ss.call("middle", timeout=2.0, cancel=True), ss.sleep(1.0))
    middle = ss.Service(
        "middle",
        instances=2,
        memory=100.0,
        memory_per_request=40.0,
        balancing="least_connections",
        endpoints={"do": [ss.parallel([ss.call("db.read", timeout=50.0)], [ss.sleep(30.0)])]},
    )
    db = ss.Database("db", connections=1, cores=1, read=10.0)
    results = run(engine, front, middle, db, at=[0, 0, 5, 5, 10])
    assert [end for end, _ in outcomes(results)] == [2.0, 2.0, 7.0, 7.0, 12.0]
    assert instances(results, "middle", "workers", "busy") == [6.0, 4.0]
    assert instances(results, "middle", "memory", "busy") == [240.0, 160.0]
    assert instances(results, "db", "connections", "busy") == [6.0]
    assert instances(results, "db", "connections", "granted") == [5]


@both_engines
def test_withdrawing_from_a_shared_processor(engine) -> None:
    front = wide("front", ss.call("back.long", timeout=2.0, cancel=True))
    back = ss.Service(
        "back",
        workers=9,
        endpoints={"long": [ss.compute(9.0)], "short": [ss.compute(2.0)]},
    )
    door = ss.Service(
        "door", workers=9, endpoints={"a": [ss.call("front")], "b": [ss.call("back.short")]}
    )
    results = run(engine, door, front, back, at=[0, 0, 1], endpoint=("a", "b", "b"))
    # One second of halves, one of thirds: 0.5 + 1/3 done of the second and 1/3 of the third. Then
    # halves: the second's other 7/6 take until 2 + 7/3; the third has 0.5 left.
    assert outcomes(results) == [
        (2.0, "timed_out"),
        (near(2 + 7 / 3), "completed"),
        (near(2 + 7 / 3 + 0.5), "completed"),
    ]
    assert instances(results, "back", "cpu", "abandoned") == [1]


@both_engines
@pytest.mark.parametrize("cancel", [False, True])
def test_messages_that_were_published_stay(engine, cancel) -> None:
    front = wide("front", ss.call("middle", timeout=2.0, cancel=cancel))
    middle = wide("middle", ss.publish("jobs"), ss.sleep(10.0))
    jobs = ss.MessageQueue("jobs", handler=[ss.sleep(5.0)])
    results = run(engine, front, middle, jobs, at=[0])
    assert instances(results, "jobs", "consumers", "busy") == [5.0]


@both_engines
def test_a_withdrawn_publisher_leaves_the_queue_that_is_full(engine) -> None:
    front = wide("front", ss.call("middle", timeout=2.0, cancel=True))
    middle = wide("middle", ss.publish("jobs"))
    jobs = ss.MessageQueue("jobs", handler=[ss.sleep(10.0)], capacity=1, when_full="block")
    results = run(engine, front, middle, jobs, at=[0, 0, 0, 9])
    # One is handled, one waits, the third is withdrawn, the fourth gets the room at 10.
    assert outcomes(results) == [(0, "completed"), (0, "completed"), (2, "timed_out"),
                                 (10, "completed")]  # fmt: skip
    assert metric(results, "jobs", "published") == 3


# Copies ------------------------------------------------------------------------------------------


@both_engines
@pytest.mark.parametrize(("cancel", "busy"), [(False, [9.0, 3.0]), (True, [5.0, 3.0])])
def test_a_copy_is_sent_when_the_answer_takes_long(engine, cancel, busy) -> None:
    hedge = Hedge(2.0, cancel=cancel)
    front = wide("front", ss.call("edge", hedge=hedge))
    edge = ss.LoadBalancer("edge", targets=("slow", "fast"))
    slow, fast = wide("slow", ss.compute(9.0)), wide("fast", ss.compute(3.0))
    results = run(engine, front, edge, slow, fast, at=[0])
    assert ends(results) == [5.0]
    assert [*instances(results, "slow", "cpu", "busy"), *instances(results, "fast", "cpu", "busy")
            ] == busy  # fmt: skip
    assert metric(results, "front", "retry_amplification[do.0->edge]") == 2.0


@both_engines
def test_no_copy_is_sent_when_the_answer_comes_in_time(engine) -> None:
    front = wide("front", ss.call("back", hedge=Hedge(2.0, copies=3)))
    # At the very moment the answer comes first.
    assert ends(run(engine, front, wide("back", ss.sleep(2.0)), at=[0])) == [2.0]
    results = run(engine, front, wide("back", ss.sleep(5.0)), at=[0])
    assert ends(results) == [5.0]
    assert metric(results, "front", "retry_amplification[do.0->back]") == 3.0


@both_engines
def test_a_hedged_call_fails_when_all_that_was_sent_has_failed(engine) -> None:
    front = wide("front", ss.call("back", hedge=Hedge(2.0, copies=3)))
    results = run(engine, front, wide("back", ss.sleep(3.0), fail(1.0)), at=[0])
    # Sent at 0 and 2 and 4, failed at 3, 5 and 7 with one more sent at 6.
    assert outcomes(results) == [(9.0, "failed")]
    results = run(engine, front, wide("back", ss.sleep(1.0), fail(1.0)), at=[0])
    assert outcomes(results) == [(1.0, "failed")]


@both_engines
def test_copies_to_distinct_instances(engine) -> None:
    hedge = Hedge(0.0, copies=2, cancel=True, distinct=True)
    front = wide("front", ss.call("web", hedge=hedge))
    web = ss.Service("web", instances=5, endpoints={"get": [ss.compute(1.0)]})
    results = run(engine, front, web, at=[10.0 * i for i in range(400)], duration=5000)
    assert ends(results) == near([10.0 * i + 1.0 for i in range(400)])
    granted = instances(results, "web", "workers", "granted")
    assert sum(granted) == 1200
    assert min(granted) > 200
    assert max(instances(results, "web", "workers", "deepest")) == 0


@both_engines
def test_a_hedged_call_with_a_timeout_that_cancels_and_retries(engine) -> None:
    step = ss.call(
        "web",
        timeout=3.0,
        cancel=True,
        retry=ss.Retry(2, backoff=1.0, jitter="none"),
        hedge=Hedge(1.0, copies=1),
    )
    web = ss.Service("web", workers=2, cores=2, endpoints={"get": [ss.compute(50.0)]})
    results = run(engine, wide("front", step), web, at=[0])
    assert outcomes(results) == [(7.0, "timed_out")]
    assert instances(results, "web", "cpu", "busy") == [3 + 2 + 3 + 2]
    assert metric(results, "front", "retry_amplification[do.0->web]") == 4.0


@both_engines
def test_withdrawing_from_cores_of_different_speed(engine) -> None:
    front = wide("front", ss.call("back.long", timeout=2.0, cancel=True))
    back = ss.Service(
        "back",
        workers=9,
        cores=2,
        cpu_discipline="fifo",
        core_speeds=(2.0, 1.0),
        endpoints={"long": [ss.compute(9.0)], "short": [ss.compute(4.0)]},
    )
    door = ss.Service(
        "door", workers=9, endpoints={"a": [ss.call("front")], "b": [ss.call("back.short")]}
    )
    names = ("a", "b", "a", "b")
    results = run(engine, door, front, back, at=[0, 0, 1, 1.5], endpoint=names)
    # The first is withdrawn from the fast core at 2, which takes the third for its last second,
    # then at 3 the last. The second has the slow core until 4.
    assert outcomes(results) == [
        (2.0, "timed_out"),
        (4.0, "completed"),
        (3.0, "timed_out"),
        (5.0, "completed"),
    ]
    assert instances(results, "back", "cpu", "busy") == [3 + 4 + 2]
    assert instances(results, "back", "cpu", "abandoned") == [2]


@both_engines
def test_withdrawing_from_processors_that_interrupt(engine) -> None:
    steps = {"slow": [ss.call("server", timeout=9.0, cancel=True)],
             "quick": [ss.call("server", timeout=2.0, cancel=True)]}  # fmt: skip
    front = ss.Service("front", workers=9, endpoints=steps)
    server = ss.Service(
        "server",
        workers=9,
        cpu_discipline="lcfs_preemptive",
        endpoints={"get": [ss.compute(3.0)]},
    )
    names = ("slow", "quick", "quick", "slow")
    results = run(engine, front, server, at=[0, 1, 2.5, 4], endpoint=names)
    # The second runs from 1 to 2.5, pauses and is withdrawn at 3; the third runs from 2.5 to 4,
    # pauses and is withdrawn at 4.5; the last runs from 4 to 7, the first to 1 and on from 7.
    assert outcomes(results) == [
        (9.0, "completed"),
        (3.0, "timed_out"),
        (4.5, "timed_out"),
        (7.0, "completed"),
    ]
    assert instances(results, "server", "cpu", "busy") == [9.0]
    assert instances(results, "server", "cpu", "abandoned") == [2]
    # Withdrawn while running: the first goes on at 3.
    results = run(engine, front, server, at=[0, 1], endpoint=names[:2])
    assert outcomes(results) == [(5.0, "completed"), (3.0, "timed_out")]


@both_engines
@pytest.mark.parametrize(("patience", "gone"), [(None, 2.5), (9.0, 2.5), (1.0, 1.5)])
def test_withdrawing_from_a_line_with_an_order_of_its_own(engine, patience, gone) -> None:
    steps = {"slow": [ss.call("server", timeout=20.0, cancel=True)],
             "quick": [ss.call("server", timeout=2.0, cancel=True)]}  # fmt: skip
    front = ss.Service("front", workers=9, endpoints=steps)
    server = ss.Service(
        "server",
        backlog_order="lcfs",
        queue_timeout=patience,
        endpoints={"get": [ss.compute(3.0)]},
    )
    names = ("slow", "quick", "slow")
    results = run(engine, front, server, at=[0, 0.5, 2.25], endpoint=names)
    assert outcomes(results) == [(3.0, "completed"), (gone, "timed_out"), (6.0, "completed")]
    assert instances(results, "server", "workers", "abandoned") == [1]
    assert instances(results, "server", "workers", "depth") == near([gone - 0.5 + 0.75])


@both_engines
def test_withdrawing_from_a_fetch_that_others_wait_for(engine) -> None:
    steps = {"slow": [ss.call("cache.get", timeout=20.0, cancel=True)],
             "quick": [ss.call("cache.get", timeout=2.0, cancel=True)]}  # fmt: skip
    front = ss.Service("front", workers=9, endpoints=steps)
    cache = ss.Cache("cache", capacity=9, origin="back", coalesce=True)
    back = wide("back", ss.sleep(5.0))
    parts, rest = (front, cache, back), {"keys": ss.UniformKeys(1)}
    # One who waits for the fetch leaves, the others go on.
    names = ("slow", "slow", "quick", "slow")
    results = run(engine, *parts, at=[0, 1, 1, 2], endpoint=names, **rest)
    assert outcomes(results) == [
        (5.0, "completed"),
        (5.0, "completed"),
        (3.0, "timed_out"),
        (5.0, "completed"),
    ]
    # The one who fetches leaves: all who wait for the fetch fail with it, the next fetches anew.
    names = ("quick", "slow", "slow", "slow")
    results = run(engine, *parts, at=[0, 1, 1, 3], endpoint=names, **rest)
    assert outcomes(results) == [*[(2.0, "timed_out")] * 3, (8.0, "completed")]


@both_engines
def test_withdrawing_from_a_rate_limiter_that_delays(engine) -> None:
    front = wide("front", ss.call("limit.do", timeout=1.5, cancel=True))
    limit = RateLimiter("limit", target="back", rate=1.0, on_excess="delay")
    results = run(engine, front, limit, wide("back", ss.sleep(0.25)), at=[0, 0, 0, 2.5])
    # Due at 0, 1, 2 and 3: the third leaves at 1.5, and its place stays empty.
    assert outcomes(results) == [
        (0.25, "completed"),
        (1.25, "completed"),
        (1.5, "timed_out"),
        (3.25, "completed"),
    ]
    assert instances(results, "limit", "rate", "abandoned") == [1]
