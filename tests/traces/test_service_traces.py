"""Service: workers, backlog, processors, memory, network; every finish time worked out by hand."""

from __future__ import annotations

import pytest
from traces.tracing import both_engines, ends, instances, near, one_by_one, outcomes, run

import scalesim as ss

ONE_SLOT = dict(at=[0, 1, 2, 2.5, 9, 10], services=[4, 2, 1, 0.5, 3, 1])
TWO_SLOTS = dict(at=[0, 0.3, 0.7, 1.1, 3, 3.2, 4.9], services=[2, 1.6, 3, 0.4, 1, 2.5, 0.8])


@both_engines
@pytest.mark.parametrize(
    ("case", "fields", "expected"),
    [
        (ONE_SLOT, {"workers": 1}, [4, 6, 7, 7.5, 12, 13]),
        (ONE_SLOT, {"workers": 9, "cpu_discipline": "fifo"}, [4, 6, 7, 7.5, 12, 13]),
        (ONE_SLOT, {"workers": 9}, [7.5, 6.5, 5.5, 4.5, 13, 12]),
        (ONE_SLOT, {"workers": 9, "cores": 9}, [4, 3, 3, 3, 12, 11]),
        (TWO_SLOTS, {"workers": 2, "cores": 2}, [2, 1.9, 4.9, 2.4, 4, 6.5, 5.7]),
        (
            TWO_SLOTS,
            {"workers": 9, "cores": 2, "cpu_discipline": "fifo"},
            [2, 1.9, 4.9, 2.4, 4, 6.5, 5.7],
        ),
        (TWO_SLOTS, {"workers": 9, "cores": 2}, [2.8, 2.7, 4.9, 1.9, 4.4, 6.1, 5.7]),
    ],
    ids=["fifo", "fifo-cpu", "ps", "no-contention", "fifo-2", "fifo-cpu-2", "ps-2"],
)
def test_disciplines(engine, case, fields, expected) -> None:
    server, names = one_by_one(case["services"], **fields)
    results = run(engine, server, at=case["at"], endpoint=names)
    assert ends(results) == near(expected)
    assert sum(instances(results, "server", "cpu", "busy")) == near(sum(case["services"]))


@both_engines
def test_workers_limit_how_many_share_the_processor(engine) -> None:
    # Two of three share the core until 2; the third then has it alone with nobody else.
    server = ss.Service("server", workers=2, endpoints={"get": [ss.compute(1.0)]})
    results = run(engine, server, at=[0, 0, 0])
    assert ends(results) == near([2, 2, 3])
    assert instances(results, "server", "workers", "waited") == near([2.0])
    assert instances(results, "server", "cpu", "waited") == near([2.0])


@both_engines
def test_backlog_full_is_rejected_at_once(engine) -> None:
    server = ss.Service("server", backlog=2, endpoints={"get": [ss.compute(2.0)]})
    results = run(engine, server, at=[0, 0.5, 1.2, 1.4, 2.5, 3.1, 3.2, 6.3])
    assert outcomes(results) == [
        (2.0, "completed"),
        (4.0, "completed"),
        (6.0, "completed"),
        (1.4, "rejected"),
        (8.0, "completed"),
        (3.1, "rejected"),
        (3.2, "rejected"),
        (10.0, "completed"),
    ]
    assert instances(results, "server", "workers", "rejected") == [3]
    assert instances(results, "server", "workers", "deepest") == [2]


@both_engines
def test_backlog_zero_is_a_loss_system(engine) -> None:
    server = ss.Service("server", workers=2, backlog=0, cores=2, endpoints={"get": [ss.sleep(1)]})
    results = run(engine, server, at=[0, 0.25, 0.5, 1.0, 1.125])
    assert ends(results) == [1.0, 1.25, None, 2.0, None]


@both_engines
def test_wait_depth_and_busy_of_a_queue(engine) -> None:
    server, names = one_by_one(ONE_SLOT["services"])
    results = run(engine, server, at=ONE_SLOT["at"], endpoint=names, duration=20)
    # Waits 0, 3, 4, 4.5, 0, 2; the queue's area is their sum; the slot is busy 11.5 s.
    assert instances(results, "server", "workers", "waited") == near([13.5])
    assert instances(results, "server", "workers", "depth") == near([13.5])
    assert instances(results, "server", "workers", "busy") == near([11.5])
    assert instances(results, "server", "workers", "granted") == [6]
    assert results.wait_quantile("server", "workers", 0.3) == 0.0
    assert results.wait_quantile("server", "workers", 0.99) == pytest.approx(4.5, rel=0.01)


@both_engines
def test_memory_that_does_not_fit_fails_at_once(engine) -> None:
    # 100 bytes, 40 in use when idle, 20 for each request in flight, waiting ones included.
    server = ss.Service(
        "server",
        memory=100.0,
        memory_base=40.0,
        memory_per_request=20.0,
        endpoints={"get": [ss.compute(1.0)]},
    )
    results = run(engine, server, at=[0, 0.1, 0.2, 0.3, 1.05], duration=10)
    assert outcomes(results) == [
        (1.0, "completed"),
        (2.0, "completed"),
        (3.0, "completed"),
        (0.3, "failed"),
        (4.0, "completed"),
    ]
    # Base for 10 s; requests' 20 bytes for 1 + 1.9 + 2.8 + 2.95 s.
    assert instances(results, "server", "memory", "busy") == near([400 + 20 * 8.65])
    assert instances(results, "server", "memory", "rejected") == [1]


@both_engines
def test_memory_is_given_back_by_a_rejected_request(engine) -> None:
    server = ss.Service(
        "server",
        backlog=0,
        memory=40.0,
        memory_per_request=20.0,
        endpoints={"get": [ss.compute(1.0)]},
    )
    results = run(engine, server, at=[0, 0.1, 0.2, 0.3])
    assert [outcome for _, outcome in outcomes(results)] == ["completed"] + 3 * ["rejected"]


@both_engines
@pytest.mark.parametrize("way", ["in", "out"])
def test_network_transfers_one_after_another(engine, way) -> None:
    sizes = [1_000_000, 500_000, 2_000_000, 250_000]
    size = "request_bytes" if way == "in" else "response_bytes"
    endpoints = {
        f"r{i}": ss.Endpoint([ss.sleep(0.0)], **{size: float(each)}) for i, each in enumerate(sizes)
    }
    bandwidth = {f"network_{way}": 10e6}
    server = ss.Service("server", workers=10, endpoints=endpoints, **bandwidth)
    results = run(engine, server, at=[0, 0, 0, 0], endpoint=tuple(endpoints))
    assert ends(results) == near([0.1, 0.15, 0.35, 0.375])
    assert instances(results, "server", f"network_{way}", "busy") == near([0.375])


@both_engines
def test_sizes_come_from_the_traffic_unless_the_endpoint_has_its_own(engine) -> None:
    server = ss.Service(
        "server",
        workers=10,
        network_in=100.0,
        network_out=50.0,
        endpoints={
            "own": ss.Endpoint([ss.sleep(0.0)], request_bytes=200.0, response_bytes=25.0),
            "general": [ss.sleep(0.0)],
        },
    )
    results = run(
        engine,
        server,
        at=[0, 10],
        endpoint=("own", "general"),
        request_bytes=100.0,
        response_bytes=200.0,
    )
    assert ends(results) == near([2 + 0.5, 10 + 1 + 4])


@both_engines
def test_the_response_leaves_after_the_worker_is_free(engine) -> None:
    # One worker, 1 s of work, then 2 s on the wire: the worker takes the next request meanwhile.
    server = ss.Service(
        "server", network_out=1.0, endpoints={"get": ss.Endpoint([ss.sleep(1.0)], response_bytes=2)}
    )
    results = run(engine, server, at=[0, 0])
    assert ends(results) == near([3, 5])
    assert instances(results, "server", "workers", "busy") == near([2.0])


@both_engines
def test_a_caller_holds_its_worker(engine) -> None:
    web = ss.Service(
        "web",
        workers=2,
        cores=2,
        endpoints={"get": [ss.compute(1.0), ss.call("db.read"), ss.compute(0.5)]},
    )
    database = ss.Database("db", connections=1, read=2.0)
    results = run(engine, web, database, at=[0, 0.1, 0.2, 0.3, 4])
    assert ends(results) == near([3.5, 5.5, 7.5, 9.5, 11.5])
    assert instances(results, "web", "workers", "busy") == near([20.9])
    # Connections asked for at 1, 1.1, 4.5, 6.5, 8.5 and granted at 1, 3, 5, 7, 9.
    assert instances(results, "db", "connections", "waited") == near([0 + 1.9 + 0.5 + 0.5 + 0.5])


@both_engines
def test_direct_calls_spread_over_the_instances(engine) -> None:
    front = ss.Service("front", workers=9, endpoints={"get": [ss.call("back")]})
    back = ss.Service("back", instances=2, endpoints={"do": [ss.compute(1.0)]})
    results = run(engine, front, back, at=[0, 0, 0, 0])
    assert ends(results) == near([1, 1, 2, 2])
    assert instances(results, "back", "workers", "served") == [2, 2]


@both_engines
def test_a_failing_callee_fails_the_caller_with_its_status(engine) -> None:
    front = ss.Service(
        "front", workers=9, cores=9, endpoints={"get": [ss.call("back"), ss.compute(5.0)]}
    )
    back = ss.Service("back", backlog=0, endpoints={"do": [ss.compute(1.0)]})
    results = run(engine, front, back, at=[0, 0.5, 2])
    assert outcomes(results) == [(6.0, "completed"), (0.5, "rejected"), (8.0, "completed")]
    # The rejected one gave its worker back: 6 + 0 + 6 s held.
    assert instances(results, "front", "workers", "busy") == near([12.0])


@both_engines
def test_zero_service_times_take_no_time(engine) -> None:
    server = ss.Service("server", endpoints={"get": [ss.compute(0.0), ss.sleep(0.0)]})
    assert ends(run(engine, server, at=[0, 1, 1, 2])) == [0.0, 1.0, 1.0, 2.0]
