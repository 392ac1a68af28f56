"""MessageQueue: time in queue, full queues that reject or hold back, lost messages."""

from __future__ import annotations

import pytest
from traces.tracing import both_engines, ends, instances, metric, near, outcomes, run

import scalesim as ss


@both_engines
def test_messages_wait_for_a_consumer(engine) -> None:
    jobs = ss.MessageQueue("jobs", handler=[ss.sleep(2.0)])
    results = run(engine, jobs, at=[0, 0.5, 1])
    assert ends(results) == [0.0, 0.5, 1.0]
    # Handled from 0 to 2, 2 to 4, 4 to 6.
    assert metric(results, "jobs", "message_time_mean_s") == near((2 + 3.5 + 5) / 3)
    assert metric(results, "jobs", "message_time_max_s") == 5.0
    assert metric(results, "jobs", "message_time_count") == 3
    assert instances(results, "jobs", "consumers", "waited") == [0 + 1.5 + 3]
    assert instances(results, "jobs", "consumers", "deepest") == [2]


@both_engines
def test_several_consumers(engine) -> None:
    jobs = ss.MessageQueue("jobs", consumers=2, handler=[ss.sleep(2.0)])
    results = run(engine, jobs, at=[0, 0.5, 1])
    assert metric(results, "jobs", "message_time_mean_s") == near((2 + 2 + 3) / 3)


@both_engines
def test_a_full_queue_rejects(engine) -> None:
    jobs = ss.MessageQueue("jobs", handler=[ss.sleep(2.0)], capacity=1)
    results = run(engine, jobs, at=[0, 0, 0, 2, 2, 3])
    # Handled at once; waits; refused; at 2 there is room again, once.
    said = [outcome for _, outcome in outcomes(results)]
    assert said == ["completed", "completed", "rejected", "completed", "rejected", "rejected"]
    assert metric(results, "jobs", "published") == 3


@both_engines
def test_a_full_queue_holds_the_publisher_back(engine) -> None:
    jobs = ss.MessageQueue("jobs", handler=[ss.sleep(2.0)], capacity=1, when_full="block")
    results = run(engine, jobs, at=[0, 0, 0, 0.5])
    assert ends(results) == [0.0, 0.0, 2.0, 4.0]
    assert metric(results, "jobs", "message_time_mean_s") == near((2 + 4 + 4 + 4) / 4)


@both_engines
def test_back_pressure_holds_the_publishers_worker(engine) -> None:
    web = ss.Service("web", workers=2, cores=2, endpoints={"get": [ss.publish("jobs")]})
    jobs = ss.MessageQueue("jobs", handler=[ss.sleep(2.0)], capacity=1, when_full="block")
    results = run(engine, web, jobs, at=[0, 0, 0, 0, 0])
    assert ends(results) == [0.0, 0.0, 2.0, 4.0, 6.0]
    assert instances(results, "web", "workers", "waited") == [2.0]


@both_engines
def test_a_message_whose_handler_fails_is_lost(engine) -> None:
    jobs = ss.MessageQueue("jobs", consumers=2, handler=[ss.sleep(0.5), ss.call("back")])
    back = ss.Service("back", backlog=0, endpoints={"do": [ss.compute(1.0)]})
    results = run(engine, jobs, back, at=[0, 0.25, 1])
    # Calls at 0.5, 0.75 (refused) and 1.5 (just after the departure).
    assert ends(results) == [0.0, 0.25, 1.0]
    assert metric(results, "jobs", "lost") == 1
    assert metric(results, "jobs", "published") == 3
    assert metric(results, "jobs", "message_time_count") == 2
    assert instances(results, "jobs", "consumers", "served") == [3]


@both_engines
def test_a_consumer_calls_a_database_and_publishes_on(engine) -> None:
    first = ss.MessageQueue("first", handler=[ss.call("db.write"), ss.publish("second")])
    second = ss.MessageQueue("second", handler=[ss.sleep(5.0)])
    database = ss.Database("db", connections=1, write=1.0)
    results = run(engine, first, second, database, at=[0, 0])
    assert metric(results, "first", "message_time_mean_s") == 1.5
    # In the second queue from 1 and 2, done at 6 and 11.
    assert metric(results, "second", "message_time_mean_s") == 7.0


@both_engines
def test_a_handler_may_work_in_parallel(engine) -> None:
    jobs = ss.MessageQueue("jobs", handler=[ss.parallel([ss.sleep(1.0)], [ss.sleep(3.0)])])
    results = run(engine, jobs, at=[0, 0])
    assert metric(results, "jobs", "message_time_mean_s") == near((3 + 6) / 2)


@both_engines
@pytest.mark.parametrize(
    ("prefetch", "times", "waited"),
    [
        # The first consumer is busy until 5, the second free at 1.25 and then whenever it is done.
        (None, [5, 1, 1.75, 2.5, 3.25], 0.0),
        (1, [5, 1, 1.75, 2.5, 3.25], 0.75 + 1.5 + 2.25),
        # The third message waits behind the first; the fifth is handed out at 1.25.
        (2, [5, 1, 5.5, 1.5, 2.25], 0.25),
        # The fifth waits behind the first and the third.
        (3, [5, 1, 5.5, 1.5, 6], 0.0),
    ],
)
def test_prefetch(engine, prefetch, times, waited) -> None:
    handler = [ss.sleep(ss.distributions.Recorded((5.0, 1.0, 1.0, 1.0, 1.0)))]
    jobs = ss.MessageQueue("jobs", handler=handler, consumers=2, prefetch=prefetch)
    results = run(engine, jobs, at=[0, 0.25, 0.5, 0.75, 1])
    assert metric(results, "jobs", "message_time_mean_s") == near(sum(times) / 5)
    assert metric(results, "jobs", "message_time_max_s") == near(max(times))
    if prefetch is not None:
        assert instances(results, "jobs", "unacknowledged", "waited") == near([waited])
        served = {1: [1, 4], 2: [2, 3], 3: [3, 2]}[prefetch]
        assert instances(results, "jobs", "consumers", "served") == served


@both_engines
def test_a_queue_is_full_of_what_is_not_handed_out(engine) -> None:
    jobs = ss.MessageQueue("jobs", handler=[ss.sleep(2.0)], prefetch=2, capacity=1)
    results = run(engine, jobs, at=[0, 0, 0, 0, 2, 2])
    # Two are handed out, one waits: the fourth is rejected; at 2 there is room for one of two.
    assert [outcome for _, outcome in outcomes(results)] == [
        *["completed"] * 3,
        "rejected",
        "completed",
        "rejected",
    ]
    assert metric(results, "jobs", "message_time_mean_s") == near((2 + 4 + 6 + 6) / 4)
