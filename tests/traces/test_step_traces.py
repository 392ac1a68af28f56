"""Steps: parallel, publish, sleep, call with time-outs and retries, nested."""

from __future__ import annotations

import pytest
from traces.tracing import both_engines, ends, instances, metric, near, outcomes, run

import scalesim as ss


def wide(name: str, *steps, **fields):
    """Return a service whose workers and cores never run out."""
    return ss.Service(
        name, **{"workers": 100, "cores": 100, "endpoints": {"do": list(steps)}, **fields}
    )


ALWAYS_FAILS = ss.Service(
    "broken",
    workers=100,
    cores=100,
    memory=10.0,
    memory_per_request=20.0,
    endpoints={"do": [ss.sleep(1.0)]},
)
"""No request fits its memory: each fails at once."""


@both_engines
def test_parallel_waits_for_the_slowest(engine) -> None:
    front = wide(
        "front",
        ss.parallel([ss.sleep(1.0)], [ss.call("back")], [ss.sleep(0.5), ss.sleep(0.25)]),
        ss.sleep(10.0),
    )
    results = run(engine, front, wide("back", ss.sleep(3.0)), at=[0, 1])
    assert ends(results) == [13.0, 14.0]


@both_engines
@pytest.mark.parametrize("workers", [1, 2])
def test_parallel_branches_share_the_processor(engine, workers) -> None:
    # 1 s and 3 s on one core: both at half speed until 2, then the long one alone until 4.
    front = ss.Service(
        "front",
        workers=workers,
        endpoints={"do": [ss.parallel([ss.compute(1.0), ss.sleep(5.0)], [ss.compute(3.0)])]},
    )
    assert ends(run(engine, front, at=[0])) == near([7.0])


@both_engines
def test_nested_parallel(engine) -> None:
    inner = ss.parallel([ss.sleep(2.0)], [ss.sleep(4.0)])
    front = wide("front", ss.parallel([inner, ss.sleep(1.0)], [ss.sleep(3.0)]))
    assert ends(run(engine, front, at=[0, 0.5])) == [5.0, 5.5]


@both_engines
def test_parallel_fails_after_all_have_ended(engine) -> None:
    front = wide(
        "front", ss.parallel([ss.call("broken")], [ss.sleep(3.0)]), ss.sleep(100.0), memory=None
    )
    results = run(engine, front, ALWAYS_FAILS, at=[0, 1])
    assert outcomes(results) == [(3.0, "failed"), (4.0, "failed")]


@both_engines
def test_publish_does_not_wait_for_the_consumer(engine) -> None:
    front = wide("front", ss.publish("jobs"), ss.sleep(1.0))
    jobs = ss.MessageQueue("jobs", handler=[ss.sleep(50.0)])
    results = run(engine, front, jobs, at=[0, 0, 1], duration=500)
    assert ends(results) == [1.0, 1.0, 2.0]
    assert metric(results, "jobs", "published") == 3
    assert metric(results, "jobs", "message_time_max_s") == 149.0


@both_engines
def test_sleep_holds_the_worker_but_no_processor(engine) -> None:
    front = ss.Service("front", endpoints={"do": [ss.sleep(2.0)]})
    results = run(engine, front, at=[0, 0])
    assert ends(results) == [2.0, 4.0]
    assert instances(results, "front", "cpu", "busy") == [0.0]
    assert instances(results, "front", "workers", "busy") == [4.0]


@both_engines
def test_a_call_that_times_out_goes_on_using_the_callee(engine) -> None:
    front = wide("front", ss.call("back", timeout=4.5))
    back = ss.Service("back", endpoints={"do": [ss.compute(3.0)]})
    results = run(engine, front, back, at=[0, 1, 2])
    assert outcomes(results) == [(3.0, "completed"), (5.5, "timed_out"), (6.5, "timed_out")]
    assert instances(results, "back", "workers", "served") == [3]
    assert instances(results, "back", "cpu", "busy") == [9.0]
    assert instances(results, "front", "workers", "busy") == near([3 + 4.5 + 4.5])


@both_engines
def test_retries_multiply_over_the_layers(engine) -> None:
    again = ss.Retry(3, jitter="none")
    gateway = wide("gateway", ss.call("service", retry=again))
    service = wide("service", ss.call("store", retry=again))
    store = wide("store", ss.sleep(0.001), ss.call("broken", retry=again))
    results = run(engine, gateway, service, store, ALWAYS_FAILS, at=[0, 1])
    assert outcomes(results) == [(near(0.009), "failed"), (near(1.009), "failed")]
    assert instances(results, "broken", "memory", "rejected") == [54]
    assert instances(results, "store", "workers", "granted") == [18]
    assert instances(results, "service", "workers", "granted") == [6]
    assert metric(results, "gateway", "retry_amplification[do.0->service]") == 3.0


@both_engines
@pytest.mark.parametrize("steps", [[ss.sleep(1.0)], [ss.parallel([ss.sleep(1.0)])]])
def test_one_branch_is_like_none(engine, steps) -> None:
    assert ends(run(engine, wide("front", *steps), at=[0, 3])) == [1.0, 4.0]
