"""Every policy and every distribution, on a table of topologies: both engines say the same."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest
from conformance.engines import assert_engines_agree

from scalesim import distributions as dist
from scalesim.components import (
    Cache,
    CircuitBreaker,
    Database,
    Failures,
    Hedge,
    LoadBalancer,
    MessageQueue,
    Retry,
    Service,
    call,
    compute,
    fail,
    parallel,
    publish,
    sleep,
)
from scalesim.policies.eviction import EVICTION, Clock, Lfu, SampledLru
from scalesim.policies.load_balancing import BALANCING, ConsistentHash, PowerOfTwo
from scalesim.policies.sharding import SHARDING
from scalesim.topology import Topology
from scalesim.traffic import (
    Batches,
    Bursts,
    ClosedTraffic,
    RateProfile,
    Renewal,
    ReplayTraffic,
    Traffic,
    UniformKeys,
    UserGroups,
    Users,
    Zipf,
)

EXP = dist.Exponential
KEYS, CLIENTS = Zipf(60, 0.9), Zipf(20, 0.5)


class Case(NamedTuple):
    """A model and how long to run it [s]."""

    topology: Topology
    traffic: Any
    duration: float


def web(*steps: Any, **fields: Any) -> Service:
    """Return a service called web with the one endpoint get."""
    return Service("web", endpoints={"get": list(steps)}, **fields)


def open_traffic(rate: float, **fields: Any) -> Traffic:
    """Return Poisson traffic about popular keys from a few clients."""
    return Traffic(rate, **{"keys": KEYS, "clients": CLIENTS, **fields})


# Balancing -----------------------------------------------------------------------------------


def balancer_over_instances(policy: Any) -> Topology:
    pool = web(compute(EXP(0.01)), instances=5, workers=2, cores=2, backlog=3)
    return Topology(LoadBalancer("edge", targets="web", policy=policy), pool, entry="edge")


def balancer_over_balancers(policy: Any) -> Topology:
    parts = [
        LoadBalancer("edge", targets=("left", "right"), policy=policy, delay=EXP(0.001)),
        LoadBalancer("left", targets=("a", "b"), policy=policy),
        LoadBalancer("right", targets="c", policy=policy),
        *(
            Service(name, instances=n, workers=2, endpoints={"get": [compute(EXP(0.01))]})
            for name, n in (("a", 2), ("b", 1), ("c", 3))
        ),
    ]
    return Topology(*parts, entry="edge")


def weighted_targets(policy: Any) -> Topology:
    edge = LoadBalancer(
        "edge", targets=("a", "b"), policy=policy, weights={"a": (3.0, 1.0), "b": (0.5,)}
    )
    services = [
        Service(name, instances=2, workers=3, endpoints={"get": [compute(EXP(0.01))]})
        for name in ("a", "b")
    ]
    return Topology(edge, *services, entry="edge")


def direct_callers(policy: Any) -> Topology:
    auth = Service(
        "auth",
        instances=3,
        workers=2,
        balancing=policy,
        endpoints={"check": [compute(EXP(0.008))], "issue": [compute(0.002)]},
    )
    steps = [call("auth.check", timeout=0.05, retry=Retry(2)), call("auth.issue")]
    return Topology(web(*steps, workers=8, cores=8), auth, entry="web")


def replicated_shards(policy: Any) -> Topology:
    store = Database(
        "db",
        connections=2,
        read=EXP(0.01),
        write=EXP(0.005),
        shards=2,
        read_replicas=2,
        reads_from="all",
        balancing=policy,
    )
    return Topology(web(call("db.read"), call("db.write"), workers=20), store, entry="web")


def deterministic(policy: Any) -> Topology:
    """Equal constant times everywhere: most events happen at the same moment as others."""
    pool = web(compute(0.01), instances=3, workers=1, backlog=2)
    return Topology(LoadBalancer("edge", targets="web", policy=policy), pool, entry="edge")


BALANCED = {
    balancer_over_instances: open_traffic(800.0),
    balancer_over_balancers: open_traffic(500.0),
    weighted_targets: open_traffic(200.0, timeout=0.1),
    direct_callers: open_traffic(200.0, timeout=0.2, retry=Retry(3, backoff=0.01)),
    replicated_shards: open_traffic(150.0),
    deterministic: Traffic(500.0, arrivals="constant", clients=UniformKeys(50)),
}


@pytest.mark.parametrize("build", BALANCED, ids=lambda build: build.__name__)
@pytest.mark.parametrize("policy", [*BALANCING.members.values()], ids=lambda p: p.type_name)
def test_balancing_policy(policy, build):
    run = assert_engines_agree(build(policy()), BALANCED[build], duration=2.0)
    assert run.routed.sum() > 200
    assert run.arrived.sum() > 200


@pytest.mark.parametrize(
    "policy",
    [
        PowerOfTwo(choices=3),
        PowerOfTwo(choices=64),
        PowerOfTwo(distinct=True),
        PowerOfTwo(choices=4, distinct=True),
        PowerOfTwo(choices=64, distinct=True),
        ConsistentHash(by="key", virtual_nodes=1),
        ConsistentHash(virtual_nodes=40),
    ],
    ids=repr,
)
def test_balancing_policy_with_options(policy):
    for build in (balancer_over_instances, weighted_targets):
        assert_engines_agree(build(policy), BALANCED[build], duration=1.0)


# Caches and shards ---------------------------------------------------------------------------


@pytest.mark.parametrize("concurrency", [None, 1])
@pytest.mark.parametrize("ttl", [float("inf"), 0.05, 1.0])
@pytest.mark.parametrize("capacity", [1, 2, 17, 10_000])
@pytest.mark.parametrize("policy", [*EVICTION.members.values()], ids=lambda p: p.type_name)
def test_eviction_policy(policy, capacity, ttl, concurrency):
    cache = Cache(
        "cache",
        capacity=capacity,
        eviction=policy(),
        ttl=ttl,
        origin="db.read",
        delay=EXP(0.0005),
        concurrency=concurrency,
    )
    store = Database("db", connections=4, read=EXP(0.004), write=0.002)
    service = Service(
        "web",
        workers=16,
        endpoints={
            "get": [call("cache.get")],
            "put": [call("db.write"), call("cache.set")],
            "forget": [call("cache.delete")],
        },
    )
    traffic = open_traffic(300.0, mix={"get": 8, "put": 1, "forget": 2})
    run = assert_engines_agree(Topology(service, cache, store, entry="web"), traffic, duration=1.5)
    assert run.cache["hits"].sum() > 0
    assert run.cache["misses"].sum() > 0
    assert (run.cache["evictions"].sum() > 0) == (capacity < 60) or ttl == 0.05


@pytest.mark.parametrize("capacity", [1, 3, 17])
@pytest.mark.parametrize(
    "policy", [Clock(reference_bit=1), Lfu(keep_counts=True), SampledLru(samples=2)], ids=repr
)
def test_eviction_policy_with_options(policy, capacity):
    cache = Cache("cache", capacity=capacity, eviction=policy, origin="back.load")
    back = Service("back", workers=20, endpoints={"load": [sleep(EXP(0.003))]})
    front = Service(
        "web",
        workers=20,
        endpoints={"get": [call("cache.get")], "forget": [call("cache.delete")]},
    )
    traffic = open_traffic(500.0, mix={"get": 9, "forget": 1})
    assert_engines_agree(Topology(front, cache, back, entry="web"), traffic, duration=3.0)


@pytest.mark.parametrize("limit", [{"ttl": 0.05}, {"time_to_idle": 0.05}, {"start": "warm"}])
@pytest.mark.parametrize("capacity", [3, None])
@pytest.mark.parametrize("coalesce", [True, False])
@pytest.mark.parametrize("placement", ["shared", "in_process"])
def test_cache_options(placement, coalesce, capacity, limit):
    """Some fetches fail, some callers give up."""
    cache = Cache(
        "cache",
        capacity=capacity,
        coalesce=coalesce,
        placement=placement,
        origin="back.load",
        delay=EXP(0.0005),
        concurrency=2,
        **limit,
    )
    back = Service("back", workers=2, backlog=1, endpoints={"load": [sleep(EXP(0.01))]})
    steps = [call("cache.get", timeout=0.02), parallel([call("cache.get")], [sleep(0.001)])]
    edge = LoadBalancer("edge", targets="web", policy="random")
    topology = Topology(edge, web(*steps, workers=9, instances=3), cache, back, entry="edge")
    assert_engines_agree(topology, open_traffic(400.0), duration=2.0)


@pytest.mark.parametrize("cancel", [True, False])
@pytest.mark.parametrize("placement", ["shared", "in_process"])
def test_coalescing_with_callers_that_leave(placement, cancel):
    """At time-outs, in lost races and as copies; of those who fetch and those who wait."""
    near, far = (
        Cache(name, capacity=3, coalesce=True, ttl=0.02, origin=origin, placement=placement)
        for name, origin in (("near", "far.get"), ("far", "back.load"))
    )
    back = Service("back", workers=3, backlog=2, endpoints={"load": [sleep(EXP(0.01))]})
    steps = [
        call("near.get", timeout=0.01, cancel=cancel, retry=Retry(2, backoff=0.0)),
        call("near.get", hedge=Hedge(0.002, cancel=cancel)),
        parallel([call("near.get")], [sleep(0.003)], wait_for=1, cancel=cancel),
    ]
    edge = LoadBalancer("edge", targets="web", policy="random")
    topology = Topology(edge, web(*steps, workers=9, instances=2), near, far, back, entry="edge")
    traffic = open_traffic(400.0, timeout=0.03, cancel=cancel)
    run = assert_engines_agree(topology, traffic, duration=2.0)
    assert run.cache["coalesced"].sum() > 50


@pytest.mark.parametrize("cancel", [True, False])
@pytest.mark.parametrize(
    "breaker",
    [
        CircuitBreaker(window=10, minimum_calls=5, open_time=0.02, trial_calls=3),
        CircuitBreaker(failure_ratio=0.2, window=7, open_time=0.1, trial_calls=1),
        CircuitBreaker(consecutive_failures=2, open_time=0.02, trial_calls=2),
    ],
    ids=repr,
)
def test_circuit_breaker(breaker, cancel):
    """With time-outs, retries, copies and lost races; callee's failures of every kind."""
    back = Service(
        "back", instances=2, workers=2, backlog=1, endpoints={"load": [sleep(EXP(0.01)), fail(0.1)]}
    )
    steps = [
        call("back", breaker=breaker),
        call("back", timeout=0.01, cancel=cancel, retry=Retry(3, backoff=0.002), breaker=breaker),
        parallel(
            [call("back", hedge=Hedge(0.005, cancel=cancel), breaker=breaker)],
            [sleep(0.02)],
            wait_for=1,
            cancel=cancel,
        ),
    ]
    front = web(*steps, workers=9, instances=3)
    traffic = open_traffic(200.0, timeout=0.05, cancel=cancel)
    edge = LoadBalancer("edge", targets="web")
    run = assert_engines_agree(Topology(edge, front, back, entry="edge"), traffic, duration=3.0)
    count = dict(zip(run.plan.counter_names, run.counter.sum(axis=0), strict=True))
    assert count["web", "get.0->back.breaker_opened"] > 5
    assert count["web", "get.0->back.breaker_rejected"] > 5
    assert (run.level_time.sum(axis=0).reshape(-1, 3).sum(axis=0) > 0).all()


@pytest.mark.parametrize("demand", [0.0, EXP(0.01)])
@pytest.mark.parametrize("start", [0.01, EXP(0.02)])
def test_cold_starts_with_callers_that_leave(start, demand):
    """At time-outs, in lost races and as copies, before, during and after a start."""
    back = Service(
        "back",
        instances=2,
        workers=2,
        backlog=1,
        cold_start=start,
        record_in_flight=True,
        network_in=1e6,
        network_out=1e6,
        endpoints={"load": [compute(demand)]},
    )
    steps = [
        call("back", timeout=0.015, cancel=True, retry=Retry(2, backoff=0.0)),
        call("back", hedge=Hedge(0.002, cancel=True)),
        parallel([call("back")], [sleep(0.003)], wait_for=1, cancel=True),
    ]
    traffic = open_traffic(
        100.0, timeout=0.05, cancel=True, request_bytes=EXP(500.0), response_bytes=EXP(500.0)
    )
    topology = Topology(web(*steps, workers=9), back, entry="web")
    run = assert_engines_agree(topology, traffic, duration=3.0)
    count = dict(zip(run.plan.counter_names, run.counter.sum(axis=0), strict=True))
    assert count["back", "cold_starts"] > 20
    labels = [each.resource for each in run.plan.station_labels]
    left = sum(run.station["abandoned"][:, s].sum() for s, x in enumerate(labels) if x == "start")
    assert left > 20


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("delay", [0.0, EXP(0.02)])
@pytest.mark.parametrize("reads_from", ["replicas", "all", "primary"])
def test_stale_reads(reads_from, delay, workers):
    store = Database(
        "db",
        connections=3,
        read=EXP(0.004),
        write=EXP(0.004),
        shards=2,
        sharding="range",
        read_replicas=2,
        reads_from=reads_from,
        balancing="random",
        apply_delay=delay,
        apply_workers=workers,
        count_stale_reads=True,
    )
    steps = {"get": [call("db.read")], "put": [call("db.write", timeout=0.01)]}
    front = Service("web", workers=64, endpoints=steps)
    traffic = open_traffic(300.0, mix={"get": 0.7, "put": 0.3})
    run = assert_engines_agree(Topology(front, store, entry="web"), traffic, duration=2.0)
    count = dict(zip(run.plan.counter_names, run.counter.sum(axis=0), strict=True))
    reads, stale = count["db", "reads"], count["db", "stale_reads"]
    assert reads > 100
    assert (stale > 0) == (reads_from != "primary")


@pytest.mark.parametrize("shard_key", ["key", "client"])
@pytest.mark.parametrize("reads_from", ["replicas", "primary", "all"])
@pytest.mark.parametrize("policy", [*SHARDING.members.values()], ids=lambda p: p.type_name)
def test_sharding_policy(policy, reads_from, shard_key):
    store = Database(
        "db",
        connections=2,
        queue_limit=5,
        read=EXP(0.008),
        write=EXP(0.004),
        disk_iops=500.0,
        write_ios=2.0,
        shards=5,
        shard_key=shard_key,
        sharding=policy(),
        read_replicas=1,
        reads_from=reads_from,
        apply=0.003,
    )
    cache = Cache("cache", capacity=10, origin="db.read")
    service = Service(
        "web",
        workers=64,
        endpoints={"get": [call("cache.get")], "put": [call("db.write")]},
    )
    traffic = open_traffic(400.0, mix={"get": 0.7, "put": 0.3})
    run = assert_engines_agree(Topology(service, cache, store, entry="web"), traffic, duration=1.5)
    assert run.station["arrived"].sum() > 0


# Distributions -------------------------------------------------------------------------------

DISTRIBUTIONS = (
    dist.Constant(0.01),
    dist.Constant(0.0),
    dist.Exponential(0.01),
    dist.Uniform(0.0, 0.02),
    dist.LogNormal(0.01, cv=0.3),
    dist.LogNormal(0.01, cv=20.0),
    dist.Erlang(0.01, phases=1),
    dist.Erlang(0.01, phases=7),
    dist.HyperExponential(probabilities=(0.9, 0.1, 0.0), means=(0.005, 0.055, 1.0)),
    dist.Pareto(0.004, shape=1.2),
    dist.Pareto(0.005, shape=3.5),
    dist.Weibull(0.01, shape=0.4),
    dist.Weibull(0.01, shape=3.0),
    dist.Empirical((0.001, 0.002, 0.002, 0.05)),
    dist.Recorded((0.001, 0.0, 0.02)),
    dist.Shifted(0.004, dist.Exponential(0.006)),
    dist.Mixture(probabilities=(0.99, 0.01), parts=(dist.Uniform(0, 0.01), 0.2)),
)


def test_every_distribution_is_in_the_table():
    assert {type(each) for each in DISTRIBUTIONS} == set(dist.Distribution.family.members.values())


@pytest.mark.parametrize("discipline", ["ps", "fifo"])
@pytest.mark.parametrize("law", DISTRIBUTIONS, ids=repr)
def test_distribution(law, discipline):
    """As processor demand, pause, size and delay; shared and first come first served."""
    service = web(
        compute(law),
        sleep(law),
        workers=4,
        cores=2,
        cpu_discipline=discipline,
        network_in=1e6,
        network_out=1e6,
    )
    edge = LoadBalancer("edge", targets="web", delay=law)
    sizes = {"request_bytes": law, "response_bytes": dist.Exponential(1000.0)}
    traffic = Traffic(150.0, **sizes)
    assert_engines_agree(Topology(edge, service, entry="edge"), traffic, duration=2.0)


# Without a pause and with a full backlog simulated time would stand still, which is an error.
@pytest.mark.parametrize("law", [law for law in DISTRIBUTIONS if law.mean > 0], ids=repr)
def test_distribution_as_think_time(law):
    service = web(compute(EXP(0.002)), workers=3, cores=2, backlog=2)
    traffic = ClosedTraffic(8, think_time=law)
    assert_engines_agree(Topology(service, entry="web"), traffic, duration=1.0)


# Everything else -----------------------------------------------------------------------------


def queue_case(rate: float, **fields: Any) -> Case:
    """A queue whose consumer calls a database, behind a service that publishes."""
    queue = MessageQueue(
        "mail", handler=[sleep(EXP(0.002)), call("db.write", timeout=0.03)], **fields
    )
    store = Database("db", connections=2, read=EXP(0.01), write=EXP(0.01), queue_limit=4)
    service = web(compute(0.001), publish("mail"), call("db.read"), workers=10, cores=2)
    return Case(Topology(service, queue, store, entry="web"), open_traffic(rate), 2.0)


def one_service(traffic: Any, duration: float, *steps: Any, **fields: Any) -> Case:
    """The smallest model."""
    steps = steps or (compute(EXP(0.01)),)
    return Case(Topology(web(*steps, **fields), entry="web"), traffic, duration)


def ties(arrivals: float, demand: float, **fields: Any) -> Case:
    """Constant arrivals and constant demands in step."""
    return one_service(Traffic(arrivals, arrivals="constant"), 3.0, compute(demand), **fields)


def two_tiers(traffic: Any, step: Any, **fields: Any) -> Case:
    """A service that calls another in the way of `step`."""
    back = Service("back", endpoints={"do": [compute(EXP(0.01))]}, **fields)
    return Case(Topology(web(step, workers=16, cores=4), back, entry="web"), traffic, 2.0)


def failing_branches() -> Case:
    """Parallel branches, nested ones too, some of which fail in different ways."""
    step = parallel(
        [call("tiny.do")],
        [sleep(EXP(0.005)), compute(0.001)],
        [parallel([call("tiny.do", timeout=0.004)], [publish("full")], [sleep(0.0)])],
    )
    tiny = Service("tiny", backlog=1, endpoints={"do": [compute(EXP(0.006))]})
    full = MessageQueue("full", handler=[sleep(0.05)], capacity=1)
    front = web(step, call("tiny.do", retry=Retry(2)), workers=30, cores=2, backlog=0)
    return Case(Topology(front, tiny, full, entry="web"), open_traffic(100.0), 2.0)


def memory_and_network() -> Case:
    service = web(
        compute(EXP(0.004)),
        workers=6,
        cores=2,
        backlog=0,
        memory=1000.0,
        memory_base=100.0,
        memory_per_request=90.0,
        network_in=2e5,
        network_out=1e6,
    )
    sizes = {"request_bytes": EXP(500.0), "response_bytes": dist.Uniform(0.0, 4000.0)}
    return Case(Topology(service, entry="web"), Traffic(500.0, **sizes), 2.0)


def disk_bound() -> Case:
    store = Database(
        "db", connections=4, queue_limit=2, disk_iops=100.0, read_ios=0.0, write_ios=3.0, read=0.002
    )
    front = Service(
        "web", workers=50, endpoints={"get": [call("db.read")], "put": [call("db.write")]}
    )
    return Case(
        Topology(front, store, entry="web"), open_traffic(80.0, mix={"get": 1, "put": 1}), 3.0
    )


def the_lot() -> Case:
    parts = [
        LoadBalancer("edge", targets="web", policy="least_connections"),
        web(
            compute(dist.LogNormal(0.004, cv=2.0)),
            parallel(
                [call("cache.get", timeout=0.02, retry=Retry(3, backoff=0.01))], [sleep(0.01)]
            ),
            publish("mail"),
            instances=2,
            workers=6,
            cores=2,
            backlog=5,
            memory=1e9,
            memory_per_request=1e8,
            network_in=1e6,
            network_out=1e7,
        ),
        Cache("cache", capacity=10, ttl=0.5, origin="db.read"),
        Database(
            "db",
            connections=8,
            read=0.01,
            write=0.01,
            shards=2,
            read_replicas=2,
            disk_iops=1000.0,
        ),
        MessageQueue("mail", handler=[call("db.write")], capacity=4),
    ]
    traffic = open_traffic(
        200.0, request_bytes=EXP(1000.0), response_bytes=1000.0, timeout=0.2, retry=Retry(2)
    )
    return Case(Topology(*parts, entry="edge"), traffic, 4.0)


RETRY_STORM = Retry(10, backoff=0.0, jitter="none")
STEADY = Retry(4, backoff=0.01, factor=1.5, cap=0.02, jitter="equal")
DAY = RateProfile((100.0, 0.0, 400.0, 0.0), bucket=0.5)
MORNING = RateProfile((0.0, 200.0, 0.0, 100.0), bucket=0.25, repeat=False)
TIMES = (0.0, 0.0, 0.01, 0.01, 0.01, 0.5, 0.5, 1.0, 1.25, 1.25, 1.999)

CASES = {
    "queue rejects": queue_case(100.0, capacity=3, consumers=2),
    "prefetch": queue_case(100.0, consumers=3, prefetch=2),
    "prefetch from a bounded queue": queue_case(
        100.0, capacity=3, consumers=2, prefetch=4, when_full="block"
    ),
    "queue blocks": queue_case(100.0, capacity=3, consumers=2, when_full="block"),
    "queue without a bound": queue_case(200.0, consumers=1),
    "failing branches": failing_branches(),
    "memory and network": memory_and_network(),
    "disk": disk_bound(),
    "everything": the_lot(),
    "client time-out": one_service(open_traffic(150.0, timeout=0.03), 2.0, workers=2),
    "client time-out and retries": one_service(
        open_traffic(80.0, timeout=0.03, retry=STEADY), 2.0, workers=2
    ),
    "retry storm": one_service(
        open_traffic(300.0, timeout=0.02, retry=RETRY_STORM), 1.0, workers=4, backlog=2
    ),
    "retry without time-out": one_service(
        open_traffic(150.0, retry=STEADY), 2.0, workers=1, backlog=0
    ),
    "call with time-out": two_tiers(open_traffic(120.0), call("back.do", timeout=0.02)),
    "call with retries": two_tiers(
        open_traffic(120.0), call("back", timeout=0.02, retry=STEADY), instances=2
    ),
    "retries on retries": two_tiers(
        open_traffic(60.0, timeout=0.05, retry=RETRY_STORM),
        call("back.do", timeout=0.01, retry=Retry(3)),
        backlog=1,
    ),
    "closed": one_service(ClosedTraffic(12, think_time=EXP(0.05)), 2.0, workers=3, cores=2),
    "closed, constant": one_service(
        ClosedTraffic(9, think_time=0.02), 1.0, compute(0.01), workers=4, cores=2
    ),
    "closed, no thinking": one_service(
        ClosedTraffic(5, think_time=0.0), 0.5, compute(0.01), workers=2
    ),
    "closed, impatient": one_service(
        ClosedTraffic(20, think_time=EXP(0.01), timeout=0.02, retry=Retry(2)), 1.0, backlog=3
    ),
    "user groups": Case(
        Topology(
            Service(
                "web", workers=3, endpoints={"get": [compute(EXP(0.01))], "put": [sleep(0.02)]}
            ),
            entry="web",
        ),
        UserGroups(
            groups={
                "readers": Users(6, think_time=EXP(0.05), mix={"get": 1, "put": 0}),
                "writers": Users(3, think_time=dist.Recorded((0.01, 0.0, 0.03))),
            },
            mix={"get": 1, "put": 2},
        ),
        2.0,
    ),
    "renewal arrivals": one_service(Traffic(90.0, arrivals=Renewal(dist.Uniform(0, 1))), 3.0),
    "renewal arrivals over a day": one_service(
        Traffic(DAY, arrivals=Renewal(dist.Erlang(1.0, phases=3))), 4.0, workers=4, cores=2
    ),
    "batches": one_service(Traffic(80.0, arrivals=Batches(4)), 3.0, workers=2, cores=2),
    "batches over a day": one_service(
        Traffic(DAY, arrivals=Batches(3.5, law="geometric")), 4.0, workers=4, cores=2
    ),
    "bursts": one_service(
        Traffic(60.0, arrivals=Bursts(rates=(0, 3), switch_rates=((0, 4), (9, 0)))), 4.0
    ),
    "recorded demands": one_service(
        Traffic(80.0, timeout=0.05, retry=Retry(2)), 2.0, compute(dist.Recorded((0.03, 0.002)))
    ),
    "replay": one_service(ReplayTraffic(TIMES), 2.0, compute(0.25), workers=2),
    "profile": one_service(Traffic(DAY), 4.0, workers=4, cores=2),
    "profile, constant": one_service(Traffic(DAY, arrivals="constant"), 4.0, workers=4, cores=2),
    "profile, ends": one_service(Traffic(MORNING), 4.0),
    "profile, ends, constant": one_service(
        Traffic(MORNING, arrivals="constant"), 4.0, compute(0.02)
    ),
    "ties, one worker": ties(100.0, 0.01),
    "ties, half load": ties(128.0, 0.00390625),
    "ties, shared": ties(128.0, 0.0078125, workers=8, cores=3),
    "ties, overload": ties(256.0, 0.0078125, workers=4, cores=1, backlog=2),
    "ties, fifo": ties(256.0, 0.0078125, workers=8, cores=2, cpu_discipline="fifo"),
    "slowdown": one_service(
        Traffic(200.0), 2.0, workers=20, cores=3, contention=0.1, coherency=0.01
    ),
    "slowdown, ties": ties(128.0, 0.0078125, workers=8, cores=9, contention=0.5),
    "unequal cores": one_service(
        Traffic(300.0),
        2.0,
        workers=20,
        cores=3,
        cpu_discipline="fifo",
        core_speeds=(1.0, 0.3, 2.0),
        core_choice="random",
        instances=2,
    ),
    "cold starts": one_service(
        Traffic(60.0),
        3.0,
        workers=3,
        cores=2,
        backlog=4,
        instances=2,
        cold_start=EXP(0.02),
        record_in_flight=True,
    ),
    "failing cores": one_service(
        Traffic(300.0),
        2.0,
        workers=20,
        cores=3,
        cpu_discipline="fifo",
        failures=Failures(time_to_failure=EXP(0.1), repair_time=EXP(0.05), crews=1),
        instances=2,
    ),
    "worn cores": one_service(
        Traffic(300.0),
        2.0,
        workers=20,
        cores=3,
        cpu_discipline="fifo",
        core_speeds=(1.0, 1.0, 2.0),
        failures=Failures(time_to_failure=0.05, repair_time=EXP(0.05), when="busy"),
    ),
    "failing instances": one_service(
        Traffic(300.0),
        2.0,
        workers=20,
        cores=3,
        cpu_discipline="fifo",
        failures=Failures(time_to_failure=EXP(0.1), repair_time=0.05, of="instance", crews=2),
        instances=4,
    ),
    "overload": one_service(Traffic(500.0), 2.0, workers=50, cores=2),
    "tiny limits": one_service(Traffic(500.0), 1.0, workers=1, backlog=0),
    "nothing to do": one_service(Traffic(100.0), 1.0, sleep(0.0)),
    "rate too low": one_service(Traffic(0.001), 1.0),
}


@pytest.mark.parametrize("name", CASES)
def test_model(name):
    case = CASES[name]
    assert_engines_agree(case.topology, case.traffic, duration=case.duration)


def test_replay_with_everything_recorded():
    store = Database("db", connections=1, read=0.01, write=0.02, shards=3)
    cache = Cache("cache", capacity=2, origin="db.read")
    front = Service(
        "web", workers=3, endpoints={"get": [call("cache.get")], "put": [call("db.write")]}
    )
    count = len(TIMES)
    traffic = ReplayTraffic(
        TIMES,
        endpoint=tuple("put" if i % 3 == 0 else "get" for i in range(count)),
        key=tuple(i % 4 for i in range(count)),
        client=tuple(range(count)),
    )
    run = assert_engines_agree(Topology(front, cache, store, entry="web"), traffic, duration=3.0)
    assert run.arrived.sum() == count
    assert run.in_flight == 0


@pytest.mark.parametrize("buckets", [1, 2, 61])
def test_any_number_of_buckets(buckets):
    case = CASES["everything"]
    assert_engines_agree(case.topology, case.traffic, duration=1.0, buckets=buckets)


@pytest.mark.parametrize("seed", range(2, 8))
def test_other_seeds(seed):
    case = CASES["everything"]
    assert_engines_agree(case.topology, case.traffic, duration=1.0, seed=seed)
