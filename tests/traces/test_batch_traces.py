"""MessageQueue: batches, lingering, polling, partitions; and time since the request arrived."""

from __future__ import annotations

import math

from traces.tracing import both_engines, ends, instances, metric, near, outcomes, run

import scalesim as ss


def total(results, name: str = "message_time", queue: str = "jobs") -> float:
    """Return the summed times of all messages [s]."""
    return metric(results, queue, f"{name}_mean_s") * metric(results, queue, f"{name}_count")


@both_engines
def test_a_batch_takes_what_waits_up_to_its_most(engine) -> None:
    """Taken: 1 at 0, 3 of 4 at 2, the last at 4."""
    jobs = ss.MessageQueue("jobs", handler=[ss.sleep(2.0)], batch=(1, 3))
    results = run(engine, jobs, at=[0, 0.5, 0.6, 0.7, 0.8])
    assert total(results) == near(2 + 3.5 + 3.4 + 3.3 + 5.2)
    assert metric(results, "jobs", "batches") == 3
    assert metric(results, "jobs", "batch_size_mean") == near(5 / 3)
    assert instances(results, "jobs", "consumers", "waited") == near([1.5 + 1.4 + 1.3 + 3.2])
    assert instances(results, "jobs", "consumers", "busy") == near([6.0])
    assert instances(results, "jobs", "consumers", "served") == [5]
    assert instances(results, "jobs", "consumers", "deepest") == [4]


@both_engines
def test_a_batch_waits_for_its_least(engine) -> None:
    """Taken: 2 at 1, 2 at 3 when the consumer is free again; one is never taken."""
    jobs = ss.MessageQueue("jobs", handler=[ss.sleep(2.0)], batch=(2, 2))
    results = run(engine, jobs, at=[0, 1, 1.5, 2, 2.5])
    assert total(results) == near(3 + 2 + 3.5 + 3)
    assert metric(results, "jobs", "batches") == 2
    assert metric(results, "jobs", "published") == 5


@both_engines
def test_two_consumers_take_batches(engine) -> None:
    jobs = ss.MessageQueue("jobs", consumers=2, handler=[ss.sleep(2.0)], batch=(2, None))
    results = run(engine, jobs, at=[0, 0, 0.5, 0.5, 1, 1, 1])
    # 0 to 2, 0.5 to 2.5, then all three of 1 from 2 to 4.
    assert total(results) == near(2 * 2 + 2 * 2 + 3 * 3)
    assert metric(results, "jobs", "batches") == 3


@both_engines
def test_a_batch_that_lingers(engine) -> None:
    """Sent at 0.5 (three), 2.6 (two), 7.0 (two) and 11.0 (one)."""
    jobs = ss.MessageQueue("jobs", consumers=9, handler=[ss.sleep(0.0)], batch=(3, 3), linger=2.0)
    at = [0, 0.3, 0.5, 0.6, 1.9, 5, 5.1, 9]
    results = run(engine, jobs, at=at)
    sent = [0.5] * 3 + [2.6] * 2 + [7.0] * 2 + [11.0]
    assert total(results) == near(sum(sent) - sum(at))
    assert metric(results, "jobs", "message_time_max_s") == 2.0
    assert metric(results, "jobs", "batches") == 4


@both_engines
def test_lingering_while_the_consumer_works(engine) -> None:
    """At 3 the first has waited 2.5: it and all that came since are taken, though too few."""
    jobs = ss.MessageQueue("jobs", handler=[ss.sleep(3.0)], batch=(3, None), linger=1.0)
    results = run(engine, jobs, at=[0, 0, 0, 0.5, 2.9, 5])
    # 0 to 3; 0.5 and 2.9 from 3 to 6; 5 lingers until 6, when its second is over, to 9.
    assert total(results) == near(3 * 3 + 5.5 + 3.1 + 4)
    assert metric(results, "jobs", "batches") == 3


@both_engines
def test_one_consumer_handles_its_batch_one_by_one(engine) -> None:
    """Two are taken at 1 and end at 2 and 3; meanwhile two wait, and end at 4 and 5."""
    jobs = ss.MessageQueue(
        "jobs", handler=[ss.sleep(1.0)], batch=(2, None), batch_handling="one_by_one"
    )
    results = run(engine, jobs, at=[0, 1, 1.5, 2.5])
    assert total(results) == near(2 + 2 + 2.5 + 2.5)
    assert instances(results, "jobs", "consumers", "waited") == near([1 + 1.5 + 0.5])
    assert instances(results, "jobs", "consumers", "busy") == near([4.0])
    assert metric(results, "jobs", "batch_size_mean") == 2.0


@both_engines
def test_a_batch_whose_handler_fails_is_lost_as_a_whole(engine) -> None:
    jobs = ss.MessageQueue("jobs", handler=[ss.call("back", timeout=1.0)], batch=(2, 2))
    back = ss.Service("back", endpoints={"do": [ss.sleep(3.0)]})
    results = run(engine, jobs, back, at=[0, 0, 0.5, 0.6])
    assert metric(results, "jobs", "lost") == 4
    assert instances(results, "jobs", "consumers", "busy") == near([2.0])


@both_engines
def test_a_batch_makes_room_for_as_many(engine) -> None:
    """Room for two; three more publishers wait until a batch of two is taken at 2."""
    jobs = ss.MessageQueue(
        "jobs", handler=[ss.sleep(2.0)], batch=(1, None), capacity=2, when_full="block"
    )
    results = run(engine, jobs, at=[0, 0.1, 0.2, 0.3, 0.4, 0.5])
    assert ends(results) == near([0, 0.1, 0.2, 2, 2, 4])


@both_engines
def test_a_consumer_that_finds_nothing_sleeps(engine) -> None:
    """It looks at 0 and each 0.5 s; after a message at once."""
    jobs = ss.MessageQueue("jobs", handler=[ss.sleep(0.3)], poll_interval=0.5)
    results = run(engine, jobs, at=[0.1, 0.6, 2.0], duration=10.0)
    # 0.5 to 0.8; 0.8 to 1.1; then it looks at 1.1, 1.6, 2.1.
    assert total(results) == near(0.7 + 0.5 + 0.4)
    assert instances(results, "jobs", "consumers", "waited") == near([0.4 + 0.2 + 0.1])
    assert instances(results, "jobs", "consumers", "busy") == near([0.9])


@both_engines
def test_a_message_that_comes_as_the_consumer_looks_is_seen(engine) -> None:
    jobs = ss.MessageQueue("jobs", handler=[ss.sleep(0.0)], poll_interval=0.5)
    assert total(run(engine, jobs, at=[0.5, 1.5], duration=5.0)) == 0.0


@both_engines
def test_a_consumer_that_looks_at_fixed_times(engine) -> None:
    """At 2 it takes two, done at 2.75 and 3.5; that of 2.5 it takes at 4, that of 7 at 8."""
    jobs = ss.MessageQueue(
        "jobs",
        handler=[ss.sleep(0.75)],
        batch=(1, None),
        batch_handling="one_by_one",
        poll_interval=2.0,
        poll="fixed",
    )
    results = run(engine, jobs, at=[0.5, 1, 2.5, 7])
    assert instances(results, "jobs", "consumers", "waited") == near([1.5 + 1 + 1.5 + 1])
    assert total(results) == near(2.25 + 2.5 + 2.25 + 1.75)
    assert metric(results, "jobs", "batches") == 3


@both_engines
def test_fixed_times_without_rounding(engine) -> None:
    """0.1 has no exact binary fraction: each multiple is met once, none twice or never."""
    jobs = ss.MessageQueue("jobs", handler=[ss.sleep(0.0)], poll_interval=0.1, poll="fixed")
    results = run(engine, jobs, at=[0.05 + 0.1 * i for i in range(500)], duration=60.0)
    assert metric(results, "jobs", "message_time_mean_s") == near(0.05)
    assert metric(results, "jobs", "message_time_max_s") == near(0.05)


@both_engines
def test_a_poll_waits_for_the_least_or_the_linger(engine) -> None:
    """One waits at the looks of 1 and 2; its linger ends at 2.5, so it is taken at 3."""
    jobs = ss.MessageQueue(
        "jobs", handler=[ss.sleep(0.0)], batch=(2, None), linger=2.0, poll_interval=1.0
    )
    assert total(run(engine, jobs, at=[0.5], duration=10.0)) == near(2.5)


@both_engines
def test_each_partition_has_one_consumer(engine) -> None:
    """Keys of one partition queue behind each other, though other consumers are idle."""
    jobs = ss.MessageQueue("jobs", handler=[ss.sleep(1.0)], partitions=3, consumers=5)
    results = run(engine, jobs, at=[0, 0, 0, 0], key=(7, 7, 7, 7))
    assert total(results) == near(1 + 2 + 3 + 4)
    assert sorted(instances(results, "jobs", "consumers", "busy")) == near([0, 0, 0, 0, 4.0])


@both_engines
def test_partitions_are_dealt_out_evenly(engine) -> None:
    """600 keys fall into 6 partitions; the first two of four consumers have two each."""
    jobs = ss.MessageQueue("jobs", handler=[ss.sleep(0.0)], partitions=6, consumers=4)
    results = run(engine, jobs, at=range(600), key=tuple(range(600)))
    counts = instances(results, "jobs", "consumers", "served")
    assert sum(counts) == 600
    expected = [200, 200, 100, 100]
    assert all(abs(n - m) < 4 * math.sqrt(m) for n, m in zip(counts, expected, strict=True))


@both_engines
def test_without_capacity_a_message_goes_to_a_free_consumer(engine) -> None:
    """The publisher is held until the consumer has ended the one before."""
    jobs = ss.MessageQueue("jobs", handler=[ss.sleep(2.0)], capacity=0, when_full="block")
    results = run(engine, jobs, at=[0, 0, 0.5])
    assert ends(results) == [0.0, 2.0, 4.0]
    assert total(results) == near(2 + 2 + 2)
    assert total(results, "end_to_end_time") == near(2 + 4 + 5.5)
    strict = ss.MessageQueue("jobs", handler=[ss.sleep(2.0)], capacity=0)
    results = run(engine, strict, at=[0, 0.5, 2])
    assert [outcome for _, outcome in outcomes(results)] == ["completed", "rejected", "completed"]


@both_engines
def test_end_to_end_time_counts_from_the_arrival_of_the_request(engine) -> None:
    """Through a service, an attempt and two queues: the message knows when its request came."""
    web = ss.Service("web", endpoints={"get": [ss.compute(1.0), ss.publish("first")]})
    first = ss.MessageQueue("first", handler=[ss.call("relay", timeout=9.0)])
    relay = ss.Service("relay", endpoints={"do": [ss.compute(1.0), ss.publish("second")]})
    second = ss.MessageQueue("second", handler=[ss.sleep(1.0)])
    results = run(engine, web, first, relay, second, at=[0, 0])
    # Published at 1 and 2, relayed at 2 and 3, done at 3 and 4.
    assert total(results, "end_to_end_time", "second") == near(3 + 4)
    assert total(results, "message_time", "second") == near(1 + 1)


@both_engines
def test_partitions_share_one_room(engine) -> None:
    """One consumer has all; one message waits, and when it is taken at 2 there is room again."""
    jobs = ss.MessageQueue("jobs", handler=[ss.sleep(2.0)], partitions=1, consumers=2, capacity=1)
    results = run(engine, jobs, at=[0, 0.5, 1, 2, 3], key=(0,) * 5)
    said = [outcome for _, outcome in outcomes(results)]
    assert said == ["completed", "completed", "rejected", "completed", "rejected"]
    other = ss.MessageQueue(
        "jobs", handler=[ss.sleep(2.0)], partitions=9, consumers=9, capacity=1, when_full="block"
    )
    results = run(engine, other, at=range(90), key=tuple(range(90)))
    assert metric(results, "jobs", "message_time_count") == 90
