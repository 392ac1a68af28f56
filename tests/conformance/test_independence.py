"""What a result may not depend on: threads, slices, room for strands, what is recorded, neighbours.

And what two models compared under one seed share: the luck of everything they have in common.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
from conformance.engines import run_compiled, run_spec

from scalesim import run as runs
from scalesim.components import (
    Cache,
    Database,
    LoadBalancer,
    MessageQueue,
    Retry,
    Service,
    call,
    compute,
    parallel,
    publish,
)
from scalesim.distributions import Exponential
from scalesim.engines.compiled import CompiledEngine, engine, state
from scalesim.engines.reference import ReferenceEngine
from scalesim.plan import build_plan
from scalesim.topology import Topology
from scalesim.traffic import ClosedTraffic, Traffic, Zipf

MAKERS = [CompiledEngine, ReferenceEngine]


def shop() -> Topology:
    """Something of everything, near its limits."""
    return Topology(
        LoadBalancer("edge", targets="web", policy="power_of_two"),
        Service(
            "web",
            instances=2,
            workers=8,
            backlog=20,
            endpoints={
                "get": [
                    compute(Exponential(0.004)),
                    parallel([call("cache.get", timeout=0.05, retry=Retry(3))], [publish("mail")]),
                ]
            },
        ),
        Cache("cache", capacity=20, ttl=0.5, origin="db.read"),
        Database("db", connections=4, read=Exponential(0.006), write=0.002, read_replicas=1),
        MessageQueue("mail", handler=[call("db.write")], consumers=2),
        entry="edge",
    )


TRAFFIC = Traffic(300.0, keys=Zipf(100, 0.9), timeout=0.3, retry=Retry(2, backoff=0.01))


def differences(one, other):
    return list(one.differences(other))


# The compiled engine's own business --------------------------------------------------------------


def test_same_spec_same_bits():
    spec = run_spec(4.0)
    assert (
        differences(run_compiled(shop(), TRAFFIC, spec), run_compiled(shop(), TRAFFIC, spec)) == []
    )


@pytest.mark.parametrize("events", [1, 2, 7, 1000])
def test_slice_size(monkeypatch, events):
    spec = run_spec(2.0)
    whole = run_compiled(shop(), TRAFFIC, spec)
    monkeypatch.setattr(engine, "SLICE_EVENTS", events)
    assert differences(whole, run_compiled(shop(), TRAFFIC, spec)) == []


@pytest.mark.parametrize(
    "traffic",
    [TRAFFIC, ClosedTraffic(40, think_time=0.01, keys=TRAFFIC.keys)],
    ids=["open", "closed"],
)
@pytest.mark.parametrize("strands", [1, 3])
def test_growth_of_the_strand_table(monkeypatch, strands, traffic):
    """Overload starting from room for one strand: the tables double many times."""
    spec = run_spec(2.0)
    crowd = replace(traffic, timeout=None, retry=None)
    model = Topology(
        Service("web", workers=500, endpoints={"get": [call("back", timeout=0.5)]}),
        Service("back", workers=4, cores=2, endpoints={"do": [compute(Exponential(0.02))]}),
        entry="web",
    )
    roomy = run_compiled(model, crowd, spec)
    grow, grown = state.grown, []

    def small(old, wanted=0):
        users = 40 if isinstance(traffic, ClosedTraffic) else 0
        grown.append(wanted)
        return grow(old, strands + users if wanted else 0)

    monkeypatch.setattr(state, "grown", small)
    monkeypatch.setattr(engine, "grown", small)
    tight = run_compiled(model, crowd, spec)
    assert len(grown) >= 2
    assert differences(roomy, tight) == []


@pytest.mark.parametrize("limit", [0, 1, 50])
def test_recording_requests_changes_nothing_else(limit):
    full = run_compiled(shop(), TRAFFIC, run_spec(2.0))
    other = run_compiled(shop(), TRAFFIC, run_spec(2.0, request_limit=limit))
    assert [name for name in differences(full, other) if not name.startswith("requests")] == []
    if limit:
        assert np.array_equal(full.requests[:limit], other.requests, equal_nan=True)
    else:
        assert other.requests is None


def test_buckets_split_without_changing_totals():
    fine = run_compiled(shop(), TRAFFIC, run_spec(2.0, 64, warmup_buckets=8))
    coarse = run_compiled(shop(), TRAFFIC, run_spec(2.0, 8, warmup_buckets=1))
    assert np.array_equal(fine.requests, coarse.requests, equal_nan=True)
    for name in ("arrived", "counter", "routed"):
        merged = getattr(fine, name).reshape(8, 8, -1).sum(axis=1)
        assert np.array_equal(merged, getattr(coarse, name))
    rows = range(fine.flow[0].size)
    assert np.array_equal(fine.histogram("latency", rows), coarse.histogram("latency", rows))


# Trials ------------------------------------------------------------------------------------------


def recordings(monkeypatch, threads, trials, name="compiled"):
    """Return the recordings of trials run in a pool of `threads`."""

    def pool(_):
        return ThreadPoolExecutor(threads)

    monkeypatch.setattr(runs, "ThreadPoolExecutor", pool)
    plan = build_plan(shop(), TRAFFIC)
    boundaries = np.linspace(0, 1.0, 9)[1:]
    specs = [runs.RunSpec(runs.trial_seed(1, trial), boundaries, 2, 500) for trial in trials]
    made = {"compiled": CompiledEngine, "reference": ReferenceEngine}[name]()
    return runs._run_all(made, plan, specs, False)


def test_threads_and_order_of_trials(monkeypatch):
    one = recordings(monkeypatch, 1, range(6))
    four = recordings(monkeypatch, 4, range(6))
    back = recordings(monkeypatch, 3, reversed(range(6)))
    for a, b, c in zip(one, four, reversed(back), strict=True):
        assert differences(a, b) == differences(a, c) == []
    assert differences(one[0], one[1])  # and trials are not the same luck


# Stopping early ----------------------------------------------------------------------------------


@pytest.mark.parametrize("stop_at", [0.0, 0.3, 0.75, 1.2])
@pytest.mark.parametrize("slice_events", [13, 100_000])
def test_partial_run_of_compiled_engine(monkeypatch, stop_at, slice_events):
    monkeypatch.setattr(engine, "SLICE_EVENTS", slice_events)
    check_partial(CompiledEngine(), stop_at, rate=300.0)


def test_partial_run_of_reference_engine():
    check_partial(ReferenceEngine(), 0.3, rate=3000.0)


def check_partial(maker, stop_at, rate):
    """A run stopped by its progress says so, conserves requests, and never counts time backward."""
    plan = build_plan(shop(), replace(TRAFFIC, rate=rate))
    spec = run_spec(4.0)
    run = maker.run(plan, spec, lambda now: now >= stop_at)
    whole = maker.run(plan, spec)
    assert run.partial
    assert not whole.partial
    assert stop_at <= run.ended_at < spec.duration
    run.check()
    for name in ("busy", "depth", "waited"):
        assert (run.station[name] >= 0.0).all()
    # What did happen is what happens in the whole run.
    full = spec.boundaries <= run.ended_at
    assert run.arrived[full].tolist() == whole.arrived[full].tolist()
    assert run.station[full].tobytes() == whole.station[full].tobytes()
    ended = run.requests[:, 1] <= run.ended_at
    assert np.array_equal(run.requests[ended], whole.requests[ended])


def test_finished_run_is_not_partial_even_if_told_to_stop_at_its_end():
    plan, spec = build_plan(shop(), TRAFFIC), run_spec(0.5, 1)
    run = CompiledEngine().run(plan, spec, lambda _: True)
    assert run.ended_at <= spec.duration
    run.check()


# Common random numbers ---------------------------------------------------------------------------


def services(*between):
    """A service that calls another, which has room for all, with components between them."""
    to = between[0].name if between else "back"
    target = f"{to}.get" if between else "back.get"
    back = Service(
        "back", workers=10**5, cores=10**5, endpoints={"get": [compute(Exponential(0.01))]}
    )
    front = Service("web", workers=10**6, endpoints={"get": [call(target)]})
    return Topology(front, *between, back, entry="web")


def latencies(topology, **fields):
    run = run_compiled(
        topology, replace(TRAFFIC, timeout=None, retry=None, **fields), run_spec(4.0)
    )
    times = run.requests
    return times[:, 0], times[:, 1] - times[:, 0]


@pytest.mark.parametrize("policy", ["round_robin", "random", "least_connections", "power_of_two"])
def test_balancer_between_leaves_service_times_alone(policy):
    at, bare = latencies(services())
    again, balanced = latencies(services(LoadBalancer("lb", targets="back", policy=policy)))
    assert (at == again).all()
    assert np.array_equal(bare, balanced, equal_nan=True)


def test_two_balancers_between_leave_service_times_alone():
    outer = LoadBalancer("outer", targets="inner", policy="random")
    inner = LoadBalancer("inner", targets="back", policy="random")
    at, bare = latencies(services())
    again, balanced = latencies(services(outer, inner))
    assert (at == again).all()
    assert np.array_equal(bare, balanced, equal_nan=True)


def test_cache_between_leaves_service_times_of_misses_alone():
    at, bare = latencies(services())
    for cache in (
        Cache("cache", hit_ratio=0.5, origin="back.get"),
        Cache("cache", capacity=30, origin="back.get"),
    ):
        again, cached = latencies(services(cache))
        assert (at == again).all()
        missed = cached > 0
        assert 0 < missed.sum() < len(cached)
        assert (bare[missed] == cached[missed]).all()
        assert (cached[~missed & ~np.isnan(cached)] == 0.0).all()


def with_connections(connections):
    return Topology(
        Service("web", workers=50, endpoints={"get": [compute(0.001), call("db.read")]}),
        Database("db", connections=connections, cores=10**5, read=Exponential(0.01)),
        entry="web",
    )


def test_number_of_connections_leaves_arrivals_alone():
    base, times = latencies(with_connections(1))
    for connections in (2, 8, 1000):
        at, wider = latencies(with_connections(connections))
        assert (at == base).all()
        both = ~np.isnan(times) & ~np.isnan(wider)
        assert (wider[both] <= times[both] + 1e-9).all()  # more connections never hurt anyone


def test_faster_traffic_is_the_same_traffic_sooner():
    slow, _ = latencies(with_connections(1000), rate=256.0)
    fast, _ = latencies(with_connections(1000), rate=512.0)
    assert np.allclose(slow[:500], 2.0 * fast[:500], rtol=1e-12)
