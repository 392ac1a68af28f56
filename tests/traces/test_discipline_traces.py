"""Who computes and who waits: disciplines, orders of the backlog, patience; all times by hand."""

from __future__ import annotations

import pytest
from traces.tracing import both_engines, ends, instances, near, outcomes, run

import scalesim as ss

ONE_CORE = dict(
    at=[0, 1, 2, 2.5, 9, 10], demand=[4, 2, 1, 0.5, 3, 1], priority=[1, 0, 1, 0, 1, 0], cores=1
)
TWO_CORES = dict(
    at=[0, 0.3, 0.7, 1.1, 3, 3.2, 4.9],
    demand=[2, 1.6, 3, 0.4, 1, 2.5, 0.8],
    priority=[1, 1, 0, 0, 1, 0, 1],
    cores=2,
)


def server(demands, priorities=None, **fields):
    """Return a service whose i-th request computes ``demands[i]``, and the endpoints' names."""
    urgency = priorities or [0] * len(demands)
    endpoints = {
        f"r{i}": ss.Endpoint([ss.compute(float(each))], priority=urgency[i])
        for i, each in enumerate(demands)
    }
    return ss.Service("server", endpoints=endpoints, **fields), tuple(endpoints)


@both_engines
@pytest.mark.parametrize(
    ("case", "discipline", "expected", "paused"),
    [
        (ONE_CORE, "fifo", [4, 6, 7, 7.5, 12, 13], 13.5),
        (ONE_CORE, "lcfs", [4, 7.5, 5.5, 4.5, 12, 13], 10.5),
        (ONE_CORE, "sjf", [4, 7.5, 5.5, 4.5, 12, 13], 10.5),
        (ONE_CORE, "priority", [4, 6, 7.5, 6.5, 12, 13], 13),
        (ONE_CORE, "ps", [7.5, 6.5, 5.5, 4.5, 13, 12], 13),
        (ONE_CORE, "lcfs_preemptive", [7.5, 4.5, 3.5, 3, 13, 11], 6.5),
        (ONE_CORE, "srpt", [7.5, 3, 4.5, 3.5, 13, 11], 6.5),
        (ONE_CORE, "priority_preemptive", [6.5, 3, 7.5, 3.5, 13, 11], 8.5),
        (TWO_CORES, "fifo", [2, 1.9, 4.9, 2.4, 4, 6.5, 5.7], 2.9),
        (TWO_CORES, "lcfs", [2, 1.9, 5, 2.3, 4, 6.5, 5.8], 3),
        (TWO_CORES, "sjf", [2, 1.9, 5, 2.3, 4, 6.5, 5.8], 3),
        (TWO_CORES, "priority", [2, 1.9, 4.9, 2.4, 4, 6.5, 5.7], 2.9),
        (TWO_CORES, "ps", [2.8, 2.7, 4.9, 1.9, 4.4, 6.1, 5.7], 4),
        (TWO_CORES, "lcfs_preemptive", [5.9, 2.3, 4.5, 1.5, 4, 5.7, 5.7], 5.1),
        (TWO_CORES, "srpt", [2.4, 1.9, 4.9, 1.5, 4, 6.5, 5.7], 2.4),
        (TWO_CORES, "priority_preemptive", [2.4, 4.1, 3.7, 1.5, 5.1, 5.7, 5.9], 3.9),
    ],
)
def test_disciplines(engine, case, discipline, expected, paused) -> None:
    part, names = server(
        case["demand"],
        case["priority"],
        workers=9,
        cores=case["cores"],
        cpu_discipline=discipline,
    )
    results = run(engine, part, at=case["at"], endpoint=names)
    assert ends(results) == near(expected)
    # Whatever the order, the work is the same; who does not compute waits.
    for field, value in (("busy", sum(case["demand"])), ("waited", paused), ("depth", paused)):
        assert instances(results, "server", "cpu", field) == near([value])
    for field in ("arrived", "granted", "served"):
        assert instances(results, "server", "cpu", field) == [len(expected)]


@both_engines
@pytest.mark.parametrize(
    ("discipline", "expected"),
    [
        # Equal in all: the first come first, and nobody is interrupted.
        ("fifo", [1, 2, 3]),
        ("sjf", [1, 2, 3]),
        ("priority", [1, 2, 3]),
        ("srpt", [1, 2, 3]),
        ("priority_preemptive", [1, 2, 3]),
        # The last come waits least, or interrupts at once.
        ("lcfs", [1, 3, 2]),
        ("lcfs_preemptive", [3, 2, 1]),
    ],
)
def test_ties_go_by_arrival(engine, discipline, expected) -> None:
    part, names = server([1, 1, 1], workers=9, cpu_discipline=discipline)
    assert ends(run(engine, part, at=[0, 0, 0], endpoint=names)) == near(expected)


@both_engines
@pytest.mark.parametrize("discipline", ["lcfs_preemptive", "srpt", "priority_preemptive"])
def test_a_departure_comes_before_an_arrival_of_the_same_moment(engine, discipline) -> None:
    part, names = server([1, 1], [1, 0], workers=9, cpu_discipline=discipline)
    results = run(engine, part, at=[0, 1], endpoint=names)
    assert ends(results) == [1.0, 2.0]
    assert instances(results, "server", "cpu", "waited") == [0.0]


@both_engines
def test_interrupted_twice_and_resumed(engine) -> None:
    # 0 runs in [0, 1], [3, 4] and [6, 8]; it has computed its 4 s in three pieces.
    part, names = server([4, 2, 2], workers=9, cpu_discipline="lcfs_preemptive")
    results = run(engine, part, at=[0, 1, 4], endpoint=names)
    assert ends(results) == near([8, 3, 6])
    assert instances(results, "server", "cpu", "waited") == near([4.0])
    assert results.wait_quantile("server", "cpu", 0.99) == pytest.approx(4.0, rel=0.01)


@both_engines
def test_what_remains_counts_not_the_whole_demand(engine) -> None:
    # At 3 the first has 1 s left, less than the 2 s of the second.
    part, names = server([4, 2], workers=9, cpu_discipline="srpt")
    assert ends(run(engine, part, at=[0, 3], endpoint=names)) == near([4, 6])


@both_engines
def test_priority_is_of_the_endpoint_and_is_not_handed_on(engine) -> None:
    # Both calls are equal to the back, which serves them as they come.
    front = ss.Service(
        "front",
        workers=9,
        endpoints={
            "usual": ss.Endpoint([ss.call("back")], priority=5),
            "urgent": ss.Endpoint([ss.call("back")]),
        },
    )
    back = ss.Service(
        "back", workers=9, cpu_discipline="priority", endpoints={"do": [ss.compute(1.0)]}
    )
    results = run(engine, front, back, at=[0, 0, 0], endpoint=("usual", "usual", "urgent"))
    assert ends(results) == near([1, 2, 3])


@both_engines
def test_branches_have_the_urgency_of_their_endpoint(engine) -> None:
    both = [ss.parallel([ss.compute(1.0)], [ss.compute(1.0)])]
    server = ss.Service(
        "server",
        workers=9,
        cpu_discipline="priority_preemptive",
        endpoints={"usual": ss.Endpoint(both, priority=1), "urgent": ss.Endpoint(both)},
    )
    results = run(engine, server, at=[0, 0.5], endpoint=("usual", "urgent"))
    assert ends(results) == near([4.0, 2.5])


@both_engines
@pytest.mark.parametrize(
    ("order", "expected"),
    [("fifo", [2, 4, 6, 8]), ("lcfs", [2, 8, 6, 4]), ("priority", [2, 6, 4, 8])],
)
def test_who_gets_the_next_worker(engine, order, expected) -> None:
    part, names = server([2, 2, 2, 2], [0, 1, 0, 1], backlog_order=order)
    results = run(engine, part, at=[0, 0.5, 1, 1.5], endpoint=names)
    assert ends(results) == near(expected)
    assert instances(results, "server", "workers", "waited") == near([1.5 + 3 + 4.5])


@both_engines
def test_who_waits_too_long_for_a_worker_leaves(engine) -> None:
    # The second gives up at 2.5, the third at 3.5; the fourth is served from 4 to 8.
    part, names = server([4, 4, 4, 4], queue_timeout=1.5)
    results = run(engine, part, at=[0, 1, 2, 3], endpoint=names, duration=20)
    assert outcomes(results) == [
        (4.0, "completed"),
        (2.5, "timed_out"),
        (3.5, "timed_out"),
        (8.0, "completed"),
    ]
    for field, value in (
        ("arrived", 4),
        ("granted", 2),
        ("abandoned", 2),
        ("rejected", 0),
        ("served", 2),
        ("waited", 1.0),  # of those served
        ("depth", 1.5 + 1.5 + 1.0),  # of all who waited
        ("busy", 8.0),
        ("deepest", 2),
    ):
        assert instances(results, "server", "workers", field) == near([value])
    workers = results.resources_table().set_index("resource").loc["workers"]
    assert (workers["abandoned"], workers["wait_mean_s"]) == (2, 0.5)


@both_engines
def test_a_worker_free_at_the_very_moment_is_taken(engine) -> None:
    part, names = server([2, 1, 1], queue_timeout=1.0)
    results = run(engine, part, at=[0, 1, 1], endpoint=names)
    assert outcomes(results) == [(2.0, "completed"), (3.0, "completed"), (2.0, "timed_out")]


@both_engines
def test_without_patience_only_a_free_worker_serves(engine) -> None:
    # The last comes when the worker becomes free: departures come before arrivals.
    part, names = server([2, 1, 1], queue_timeout=0.0)
    results = run(engine, part, at=[0, 1, 2], endpoint=names)
    assert outcomes(results) == [(2.0, "completed"), (1.0, "timed_out"), (3.0, "completed")]


@both_engines
def test_who_leaves_makes_room_in_the_backlog_and_memory(engine) -> None:
    part, names = server([9] * 4, backlog=1, queue_timeout=2.0, memory=30.0, memory_per_request=10)
    results = run(engine, part, at=[0, 1, 2, 3.5], endpoint=names, duration=20)
    assert outcomes(results) == [
        (9.0, "completed"),
        (3.0, "timed_out"),
        (2.0, "rejected"),
        (5.5, "timed_out"),
    ]
    # 10 bytes for 9 + 2 + 0 + 2 s.
    assert instances(results, "server", "memory", "busy") == near([130.0])


@both_engines
def test_leaving_from_the_middle_of_the_line(engine) -> None:
    # The last come is served first, so those who leave stand behind others.
    part, names = server([2.5, 1, 1, 1, 1], backlog_order="lcfs", queue_timeout=2.0)
    results = run(engine, part, at=[0, 1, 1.2, 2, 2.1], endpoint=names)
    # At 2.5 comes 4 (until 3.5); 1 leaves at 3, 2 at 3.2; at 3.5 comes 3.
    assert outcomes(results) == [
        (2.5, "completed"),
        (3.0, "timed_out"),
        (3.2, "timed_out"),
        (4.5, "completed"),
        (3.5, "completed"),
    ]


@both_engines
def test_a_queue_timeout_fails_the_call_and_can_be_retried(engine) -> None:
    front = ss.Service(
        "front",
        workers=9,
        cores=9,
        endpoints={"get": [ss.call("back", retry=ss.Retry(2, backoff=1.0, jitter="none"))]},
    )
    back = ss.Service("back", queue_timeout=1.0, endpoints={"do": [ss.compute(3.0)]})
    results = run(engine, front, back, at=[0, 0.5])
    # The second leaves at 1.5, asks again at 2.5, and is served from 3 to 6.
    assert outcomes(results) == [(3.0, "completed"), (6.0, "completed")]
    assert instances(results, "back", "workers", "abandoned") == [1]


@both_engines
def test_a_caller_that_walks_away_leaves_its_attempt_in_line(engine) -> None:
    # The caller gives up at 1.5; its attempt stays until its own patience is over, at 3.
    work = {"do": [ss.compute(0.9)], "x": [ss.compute(9.0)]}
    back = ss.Service("back", queue_timeout=2.5, endpoints=work)
    front = ss.Service(
        "front",
        workers=9,
        cores=9,
        endpoints={"slow": [ss.call("back.x")], "get": [ss.call("back.do", timeout=1.0)]},
    )
    results = run(engine, front, back, at=[0, 0.5], endpoint=("slow", "get"), duration=20)
    assert outcomes(results) == [(9.0, "completed"), (1.5, "timed_out")]
    assert instances(results, "back", "workers", "depth") == near([2.5])
    assert instances(results, "back", "workers", "abandoned") == [1]


@both_engines
@pytest.mark.parametrize(
    ("discipline", "expected"),
    [
        ("fifo", [2, 3, 5]),
        ("lcfs", [2, 5, 4]),
        ("sjf", [2, 3, 5]),
        ("srpt", [3, 1.25, 5]),
        ("lcfs_preemptive", [5, 3.25, 2.5]),
    ],
)
def test_queries_of_a_database(engine, discipline, expected) -> None:
    # Reads take 2, writes 1 s of the one core.
    store = ss.Database("db", connections=9, read=2.0, write=1.0, cpu_discipline=discipline)
    results = run(engine, store, at=[0, 0.25, 0.5], endpoint=("read", "write", "read"))
    assert ends(results) == near(expected)
