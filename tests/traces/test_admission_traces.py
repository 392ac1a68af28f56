"""RateLimiter and load shedding: who is let through, who waits how long, who is turned away."""

from __future__ import annotations

import pytest
from traces.tracing import both_engines, ends, instances, near, outcomes, run

import scalesim as ss
from scalesim.components import RateLimiter


def behind(steps=()):
    """Return a service with room for everyone, whose requests take no time unless told so."""
    return ss.Service("web", workers=100, cores=100, endpoints={"get": list(steps) or [NOTHING]})


NOTHING = ss.sleep(0.0)


def through(results) -> list[bool]:
    return [outcome == "completed" for _, outcome in outcomes(results)]


@both_engines
def test_token_bucket(engine) -> None:
    """Bucket of 3, full at 0, 2 tokens a second; a request each 0.2 s; at 1.0 and 2.0 just one."""
    gate = RateLimiter("gate", target="web", rate=2.0, burst=3)
    results = run(engine, gate, behind(), at=[0.2 * i for i in range(16)])
    assert [i for i, passed in enumerate(through(results)) if passed] == [
        *range(4), 5, 8, 10, 13, 15,
    ]  # fmt: skip
    assert instances(results, "gate", "rate", "rejected") == [7]
    assert instances(results, "gate", "rate", "busy") == near([9 / 2.0])


@both_engines
def test_a_rejected_request_costs_no_token(engine) -> None:
    gate = RateLimiter("gate", rate=1.0)
    results = run(engine, gate, at=[0, 0.5, 0.9, 1.0, 1.5, 2.0])
    assert through(results) == [True, False, False, True, False, True]


@both_engines
def test_leaky_bucket_delays_in_order(engine) -> None:
    gate = RateLimiter("gate", target="web", rate=2.0, on_excess="delay")
    results = run(engine, gate, behind([ss.sleep(0.25)]), at=[0, 0, 0.1, 3])
    assert ends(results) == near([0.25, 0.75, 1.25, 3.25])
    assert instances(results, "gate", "rate", "waited") == near([0.5 + 0.9])
    assert instances(results, "gate", "rate", "depth") == near([0.5 + 0.9])
    assert instances(results, "gate", "rate", "deepest") == [2]


@both_engines
def test_delaying_token_bucket_with_a_queue_limit(engine) -> None:
    """Two pass at once, two wait for tokens at 1 and 2 s; at 1 s there is room for one more."""
    gate = RateLimiter("gate", rate=1.0, burst=2, on_excess="delay", queue_limit=2)
    results = run(engine, gate, at=[0, 0, 0, 0, 0, 1, 1])
    assert ends(results) == [0.0, 0.0, 1.0, 2.0, None, 3.0, None]


@both_engines
@pytest.mark.parametrize(
    ("algorithm", "passed"),
    [("fixed_window", [120, 120]), ("sliding_window", [120, 0]), ("token_bucket", [120, 3])],
)
def test_windows_around_a_boundary(engine, algorithm, passed) -> None:
    """120 requests in [59, 60) and in [60, 61) meet a limit of 120 a minute, 2 a second."""
    fields = {"burst": 120} if algorithm == "token_bucket" else {"window": 60.0}
    gate = RateLimiter("gate", rate=2.0, algorithm=algorithm, **fields)
    results = run(engine, gate, at=[59 + i / 120 for i in range(240)])
    said = through(results)
    assert [sum(said[:120]), sum(said[120:])] == passed


@both_engines
def test_windows_that_delay(engine) -> None:
    at = [0.5, 0.6, 0.7, 0.8, 0.9]
    fixed = RateLimiter("gate", rate=2.0, algorithm="fixed_window", window=1.0, on_excess="delay")
    assert ends(run(engine, fixed, at=at)) == near([0.5, 0.6, 1.0, 1.0, 2.0])
    sliding = RateLimiter(
        "gate", rate=2.0, algorithm="sliding_window", window=1.0, on_excess="delay"
    )
    assert ends(run(engine, sliding, at=at)) == near([0.5, 0.6, 1.5, 1.6, 2.5])


@both_engines
def test_a_limit_for_each_client(engine) -> None:
    gate = RateLimiter("gate", rate=1.0, per="client")
    results = run(engine, gate, at=[0, 0, 0.5, 1, 1], client=(0, 1, 0, 1, 0))
    assert through(results) == [True, True, False, True, True]


@both_engines
def test_a_service_asks_a_limiter(engine) -> None:
    """The call is refused, so the request is; the worker is free again at once."""
    web = ss.Service("web", endpoints={"get": [ss.call("gate"), ss.compute(0.1)]})
    results = run(engine, web, RateLimiter("gate", rate=1.0), at=[0, 0.5, 1.0])
    assert outcomes(results) == [
        (near(0.1), "completed"), (0.5, "rejected"), (near(1.1), "completed"),
    ]  # fmt: skip


@both_engines
def test_a_limiter_between_a_balancer_and_its_targets(engine) -> None:
    edge = ss.LoadBalancer("edge", targets=("gate", "web"))
    gate = RateLimiter("gate", target="web", rate=0.1)
    results = run(engine, edge, gate, behind(), at=[0, 1, 2, 3])
    assert through(results) == [True, True, False, True]


@both_engines
def test_low_priority_is_shed_first(engine) -> None:
    """Two workers and one place: the batch endpoint is refused with 2 there, the other with 3."""
    web = ss.Service(
        "web",
        workers=2,
        cores=2,
        backlog=1,
        endpoints={
            "get": [ss.compute(1.0)],
            "batch": ss.Endpoint([ss.compute(1.0)], shed_above=2),
        },
    )
    asked = ("batch", "get", "batch", "get", "get", "batch", "batch")
    at = [0, 0, 0.1, 0.2, 0.3, 1.1, 2.0]
    results = run(engine, web, at=at, endpoint=asked)
    # At 1.0 two leave and the third starts; at 1.1 there is one, at 2.0 there are two until
    # one leaves at that very moment.
    assert outcomes(results) == [
        (near(1.0), "completed"),
        (near(1.0), "completed"),
        (near(0.1), "rejected"),
        (near(2.0), "completed"),
        (near(0.3), "rejected"),
        (near(2.1), "completed"),
        (near(3.0), "completed"),
    ]
    assert instances(results, "web", "workers", "arrived") == [7]
    assert instances(results, "web", "workers", "rejected") == [2]


@both_engines
def test_shedding_gives_memory_back(engine) -> None:
    web = ss.Service(
        "web",
        memory=100.0,
        memory_per_request=10.0,
        endpoints={"get": ss.Endpoint([ss.compute(1.0)], shed_above=1)},
    )
    results = run(engine, web, at=[0] + [0.5] * 20 + [1.5])
    assert ends(results) == [1.0] + [None] * 20 + [2.5]
