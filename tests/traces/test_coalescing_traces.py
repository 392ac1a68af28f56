"""Coalesced misses whose callers leave: who fetches, and who waits for the fetch."""

from __future__ import annotations

import pytest
from traces.tracing import both_engines, ends, instances, metric, outcomes, run

import scalesim as ss
from scalesim.components import Hedge


def fetched(*first, **endpoints):
    """Return a service that calls a coalescing cache, whose origin takes 5 s."""
    steps = {"get": list(first)} if first else endpoints
    return (
        ss.Service("front", workers=99, endpoints=steps),
        ss.Cache("cache", capacity=9, origin="back", coalesce=True),
        ss.Service("back", workers=99, endpoints={"load": [ss.sleep(5.0)]}),
    )


ONE_KEY = {"keys": ss.UniformKeys(1)}


@both_engines
@pytest.mark.parametrize("cancel", [False, True])
def test_a_fetch_that_is_abandoned_goes_on_unless_it_is_withdrawn(engine, cancel) -> None:
    parts = fetched(
        quick=[ss.call("cache.get", timeout=2.0, cancel=cancel)], slow=[ss.call("cache.get")]
    )
    names = ("quick", "slow", "slow")
    results = run(engine, *parts, at=[0, 1, 6], endpoint=names, **ONE_KEY)
    followed = (2.0, "timed_out") if cancel else (5.0, "completed")
    last = 11.0 if cancel else 6.0  # a fetch of its own, or a hit
    assert outcomes(results) == [(2.0, "timed_out"), followed, (last, "completed")]
    assert metric(results, "cache", "coalesced") == 1
    assert instances(results, "back", "workers", "served") == [1]


@both_engines
def test_a_client_that_cancels_the_fetch_and_tries_again(engine) -> None:
    parts, rest = fetched(ss.call("cache.get")), {"timeout": 3.0, "cancel": True}
    results = run(engine, *parts, at=[0, 1], retry=ss.Retry(2, backoff=0.0), **rest, **ONE_KEY)
    # The second waits for the first, whose withdrawal at 3 fails it, too: of the retries at 3 the
    # first again fetches and is given up at 6, with it the second.
    assert outcomes(results) == [(6.0, "timed_out")] * 2
    assert metric(results, "cache", "coalesced") == 2
    assert instances(results, "back", "workers", "served") == [0]


@both_engines
def test_a_copy_of_a_call_waits_for_the_fetch_of_the_first(engine) -> None:
    parts = fetched(ss.call("cache.get", hedge=Hedge(1.0, cancel=True)))
    results = run(engine, *parts, at=[0, 6], **ONE_KEY)
    assert ends(results) == [5.0, 6.0]
    assert metric(results, "cache", "coalesced") == 1


@both_engines
def test_withdrawn_at_the_moment_that_the_fetch_ends(engine) -> None:
    """Who leads at the near cache waits for a fetch at the far one, and is withdrawn as it ends."""
    race = ss.parallel(
        [ss.call("pool.hold")], [ss.sleep(1.0), ss.call("near.get")], wait_for=1, cancel=True
    )
    steps = {"race": [race], "far": [ss.call("far.get")], "near": [ss.call("near.get")]}
    front = ss.Service("front", workers=99, endpoints=steps)
    near = ss.Cache("near", capacity=9, origin="far.get", coalesce=True)
    far = ss.Cache("far", capacity=9, origin="pool.touch", coalesce=True)
    pool = ss.Service("pool", endpoints={"hold": [ss.sleep(2.0)], "touch": [ss.sleep(0.0)]})
    names = ("race", "far", "near")
    results = run(engine, front, near, far, pool, at=[0, 0.5, 1.5], endpoint=names, **ONE_KEY)
    # At 2 the holder frees the worker for the fetch of "far", which ends, before the race is over.
    assert outcomes(results) == [(2.0, "completed"), (2.0, "completed"), (2.0, "timed_out")]
    assert metric(results, "far", "coalesced") == 1
    assert metric(results, "near", "coalesced") == 1
