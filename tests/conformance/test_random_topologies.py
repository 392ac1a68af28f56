"""Topologies nobody thought of: Hypothesis makes them, both engines must agree on them.

A topology grows from the back to the front: every new part may only refer to parts made before it,
so there are no cycles. Half of all times are constants from a short list, which makes many events
fall on the same moment.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from conformance.engines import assert_engines_agree
from hypothesis import given, settings, strategies as st

from scalesim import distributions as dist
from scalesim.components import (
    Cache,
    CircuitBreaker,
    Component,
    Database,
    Endpoint,
    Failures,
    Hedge,
    LoadBalancer,
    MessageQueue,
    RateLimiter,
    Retry,
    Service,
    Workflow,
    cached,
    call,
    compute,
    fail,
    parallel,
    publish,
    scatter,
    sleep,
)
from scalesim.fields import params
from scalesim.policies.eviction import EVICTION, Clock, Lfu, SampledLru
from scalesim.policies.load_balancing import BALANCING
from scalesim.policies.sharding import SHARDING
from scalesim.topology import Topology
from scalesim.traffic import (
    Batches,
    Bursts,
    ClosedTraffic,
    Measured,
    RateProfile,
    Renewal,
    ReplayTraffic,
    Traffic,
    UniformKeys,
    UserGroups,
    Users,
    Zipf,
)

DURATION = 0.2  # s
MOMENTS = (0.0, 0.001, 0.002, 0.004, 0.01, 0.02)  # s; sums of them coincide


def names_of(family: Any) -> st.SearchStrategy[str]:
    """Return the names of all members of a family of policies."""
    return st.sampled_from(list(family.members))


moments = st.sampled_from(MOMENTS)
positive = st.sampled_from(MOMENTS[1:])
small = st.integers(1, 3)
bound = st.none() | st.integers(0, 3)
jitters = st.sampled_from(("full", "equal", "none"))
outcomes = st.sampled_from((("rejected", "timed_out", "failed"), "rejected", "failed"))
retries = st.one_of(
    st.none(),
    st.builds(
        Retry,
        st.integers(2, 4),
        backoff=moments,
        factor=st.sampled_from((1.0, 2.0)),
        cap=positive,
        jitter=jitters,
    ),
    st.builds(
        Retry,
        st.none() | st.integers(3, 4),
        backoff=st.builds(dist.Exponential, positive) | st.tuples(moments, positive),
        jitter=jitters,
        on=outcomes,
        give_up=st.sampled_from((0.0, 0.3)),
    ),
)
hedges = st.none() | st.builds(
    Hedge,
    moments | st.builds(dist.Exponential, positive),
    copies=st.integers(1, 2),
    cancel=st.booleans(),
)
breakers = st.none() | st.one_of(
    st.builds(
        CircuitBreaker,
        failure_ratio=st.sampled_from((0.3, 0.5, 1.0)),
        window=st.integers(2, 4),
        minimum_calls=st.none() | st.integers(1, 2),
        open_time=positive,
        trial_calls=small,
    ),
    st.builds(CircuitBreaker, consecutive_failures=small, open_time=positive, trial_calls=small),
)
chances = st.sampled_from((0.0, 0.1, 0.5, 1.0))
timeouts = st.none() | positive
times = st.one_of(
    moments,
    moments,
    st.builds(dist.Exponential, positive),
    st.builds(dist.Exponential, positive),
    st.builds(dist.Uniform, moments, st.just(0.03)),
    st.builds(dist.LogNormal, positive, cv=st.sampled_from((0.5, 3.0))),
    st.builds(dist.Erlang, positive, phases=small),
    st.builds(dist.Pareto, positive, shape=st.sampled_from((1.5, 3.0))),
    st.builds(dist.Weibull, positive, shape=st.sampled_from((0.5, 2.0))),
    st.just(dist.HyperExponential(probabilities=(0.8, 0.2), means=(0.002, 0.03))),
    st.just(dist.Empirical((0.0, 0.001, 0.001, 0.02))),
    st.just(dist.Recorded((0.001, 0.01, 0.0))),
    st.just(dist.Shifted(0.001, dist.Exponential(0.004))),
    st.just(dist.Mixture(probabilities=(0.7, 0.3), parts=(0.001, dist.Exponential(0.01)))),
)


def processors(kind: type[Component]) -> st.SearchStrategy[dict[str, Any]]:
    """Return who computes at a component of this kind."""
    known: Any = params(kind)["cpu_discipline"].kind
    return st.one_of(
        st.fixed_dictionaries({"cpu_discipline": st.sampled_from(known.choices)}),
        st.fixed_dictionaries(
            {"contention": st.sampled_from((0.0, 0.5)), "coherency": st.sampled_from((0.0, 0.1))}
        ),
    )


demands = st.one_of(positive, st.builds(dist.Exponential, positive))
limits = st.one_of(
    st.fixed_dictionaries({"rate": st.sampled_from((30.0, 100.0, 500.0)), "burst": small}),
    st.fixed_dictionaries(
        {
            "rate": st.sampled_from((50.0, 100.0, 500.0)),
            "algorithm": st.sampled_from(("fixed_window", "sliding_window")),
            "window": st.sampled_from((0.02, 0.04)),
        }
    ),
)
partitions = {
    "partitions": st.integers(1, 5),
    "partition_by": st.sampled_from(("key", "client", "random")),
}
handling = {
    "batch": st.sampled_from(((2, 2), (2, 3), (3, None))),
    "batch_handling": st.sampled_from(("together", "one_by_one")),
    "linger": st.none() | positive,
}
looking = {"poll_interval": st.one_of(positive, st.builds(dist.Exponential, positive))}
consuming = st.one_of(
    st.just({}),
    st.fixed_dictionaries(handling, optional={**looking, **partitions}),
    st.fixed_dictionaries(looking, optional=partitions),
    st.fixed_dictionaries(
        {"poll_interval": positive, "poll": st.just("fixed"), "batch": st.just((1, None))},
        optional=partitions,
    ),
    st.fixed_dictionaries(partitions),
    st.fixed_dictionaries({"prefetch": small}),
)
sizes = st.sampled_from((0.0, 1000.0)) | st.builds(dist.Exponential, st.just(1000.0))
popularity = st.one_of(
    st.builds(UniformKeys, st.integers(1, 20)),
    st.builds(Zipf, st.integers(1, 20), st.sampled_from((0.0, 1.0, 3.0))),
    st.just(Measured((5.0, 0.0, 2.0), tail_keys=4, tail_count=3.0)),
)
policies_with_options = st.sampled_from(
    (Clock(reference_bit=1), Lfu(keep_counts=True), SampledLru(samples=2))
)

ARRIVALS = (
    "poisson",
    "constant",
    Renewal(dist.Erlang(1.0, phases=2)),
    Renewal(dist.Uniform(0.0, 1.0)),
    Batches(3),
    Batches(2.5, law="geometric"),
    Bursts(rates=(1.0, 0.0, 4.0), switch_rates=((0, 40, 0), (10, 0, 20), (30, 0, 0))),
)


@st.composite
def odd_cores(draw: Any) -> dict[str, Any]:
    """Cores of different speed, or that fail, or both."""
    cores = draw(small)
    speeds = st.tuples(*[st.sampled_from((0.5, 1.0, 3.0))] * cores)
    fields = {"cores": cores, "cpu_discipline": "fifo", "core_speeds": draw(st.none() | speeds)}
    if fields["core_speeds"]:
        fields["core_choice"] = draw(st.sampled_from(("fastest", "random")))
    of = draw(st.sampled_from(("core", "instance")))
    whens = ("always", "busy") if of == "core" or cores == 1 else ("always",)
    fields["failures"] = draw(
        st.none()
        | st.builds(
            Failures,
            time_to_failure=demands,
            repair_time=times,
            of=st.just(of),
            crews=st.none() | small,
            when=st.sampled_from(whens),
        )
    )
    return fields


class Parts:
    """What has been made so far, from the back of the topology to its front."""

    def __init__(self, draw: Any) -> None:
        self.draw = draw
        self.all: list[Component] = []
        self.callable: list[str] = []  # component.endpoint
        self.queues: list[str] = []
        self.scattered: list[tuple[str, int]] = []  # component.endpoint and how many there are
        self.caches: list[str] = []  # that all share
        self.sends: list[tuple[str, int]] = []  # what a balancer may send to, with its instances

    def add(self, part: Component, *endpoints: str) -> None:
        self.all.append(part)
        self.callable += [f"{part.name}.{each}" for each in endpoints]
        if isinstance(part, (Service, Database)):
            counts = [(f"{part.name}.{each}", len(part.scattered(each)[1])) for each in endpoints]
            self.scattered += counts

    def database(self, name: str) -> None:
        draw = self.draw
        replicas = draw(st.integers(0, 2))
        self.add(
            Database(
                name,
                connections=draw(small),
                read=draw(demands),
                write=draw(demands),
                queue_limit=draw(bound),
                cores=draw(small),
                **draw(processors(Database)),
                disk_iops=draw(st.sampled_from((None, 250.0, 1000.0))),
                write_ios=draw(st.sampled_from((0.0, 1.0, 2.0))),
                read_replicas=replicas,
                reads_from=draw(st.sampled_from(("replicas", "primary", "all"))),
                balancing=draw(names_of(BALANCING)),
                apply=draw(st.none() | demands) if replicas else None,
                apply_delay=draw(times) if replicas else 0.0,
                apply_workers=draw(small) if replicas else 1,
                count_stale_reads=draw(st.booleans()) if replicas else False,
                shards=draw(small),
                shard_key=draw(st.sampled_from(("key", "client"))),
                sharding=draw(names_of(SHARDING)),
            ),
            "read",
            "write",
        )

    def cache(self, name: str) -> None:
        draw = self.draw
        origin = draw(st.none() | st.sampled_from(self.callable)) if self.callable else None
        keys: dict[str, Any] = {"hit_ratio": draw(st.sampled_from((0.0, 0.5, 1.0)))}
        if draw(st.sampled_from((True, True, False))):
            age = draw(st.sampled_from(("ttl", "time_to_idle")))
            keys = {
                "capacity": draw(st.sampled_from((None, 1, 2, 5, 100))),
                "eviction": draw(names_of(EVICTION) | policies_with_options),
                age: draw(st.sampled_from((0.005, 0.05, float("inf")))),
                "start": draw(st.sampled_from(("cold", "cold", "warm"))),
                "coalesce": draw(st.booleans()) and origin is not None,
            }
        placement = draw(st.sampled_from(("shared", "in_process")))
        self.caches += [name] if placement == "shared" else []
        self.add(
            Cache(
                name,
                **keys,
                origin=origin,
                placement=placement,
                delay=draw(times),
                concurrency=draw(st.none() | small),
            ),
            "get",
            "set",
            "delete",
        )

    def queue(self, name: str) -> None:
        draw = self.draw
        part = MessageQueue(
            name,
            handler=self.steps(computes=False),
            consumers=draw(small),
            capacity=draw(st.none() | st.integers(0, 3)),
            when_full=draw(st.sampled_from(("reject", "block"))),
        )
        if part.capacity != 0:
            part = replace(part, **draw(consuming))
        self.all.append(part)
        self.queues.append(name)

    def service(self, name: str) -> None:
        draw = self.draw
        memory = draw(st.booleans())
        part = Service(
            name,
            endpoints={
                each: Endpoint(
                    self.steps(),
                    priority=draw(st.integers(0, 2)),
                    shed_above=draw(st.none() | st.integers(1, 6)),
                )
                for each in ("get", "put")
            },
            instances=draw(small),
            workers=draw(st.integers(1, 5)),
            backlog=draw(bound),
            cold_start=draw(st.none() | st.none() | times),
            record_in_flight=draw(st.booleans()),
            backlog_order=draw(st.sampled_from(("fifo", "lcfs", "priority"))),
            queue_timeout=draw(st.none() | times),
            **draw(st.builds(dict, processors(Service), cores=small) | odd_cores()),
            memory=500.0 if memory else None,
            memory_base=draw(st.sampled_from((0.0, 100.0))) if memory else 0.0,
            memory_per_request=draw(st.sampled_from((0.0, 100.0, 300.0))) if memory else 0.0,
            network_in=draw(st.sampled_from((None, 1e5, 1e6))),
            network_out=draw(st.sampled_from((None, 1e5, 1e6))),
            balancing=draw(names_of(BALANCING)),
        )
        self.add(part, "get", "put")
        self.sends.append((name, part.instances))

    def workflow(self, name: str) -> None:
        draw = self.draw
        places = draw(st.lists(st.sampled_from(self.callable), min_size=1, max_size=4, unique=True))
        routes = {
            place: dict.fromkeys(
                draw(st.lists(st.sampled_from(places), min_size=1, unique=True)), 0.2
            )
            for place in places
        }
        routes |= {places[0]: dict.fromkeys(places, 0.2)}
        self.add(Workflow(name, start=places[0], routes=routes), "run")

    def limiter(self, name: str) -> None:
        draw = self.draw
        target = draw(st.sampled_from(self.sends))[0]
        delays = draw(st.booleans())
        part = RateLimiter(
            name,
            target=target,
            **draw(limits),
            on_excess="delay" if delays else "reject",
            queue_limit=draw(bound) if delays else None,
            per=draw(st.sampled_from(("all", "client"))),
        )
        self.add(part, "get", "put")
        self.sends.append((name, 1))

    def balancer(self, name: str) -> None:
        draw = self.draw
        chosen = draw(st.lists(st.sampled_from(self.sends), min_size=1, max_size=2, unique=True))
        weights = {
            target: tuple(draw(st.sampled_from((0.5, 1.0, 3.0))) for _ in range(instances))
            for target, instances in chosen
            if draw(st.booleans())
        }
        part = LoadBalancer(
            name,
            targets=tuple(target for target, _ in chosen),
            policy=draw(names_of(BALANCING)),
            weights=weights or None,
            delay=draw(times),
        )
        self.add(part, "get", "put")
        self.sends.append((name, 1))

    def steps(self, depth: int = 0, computes: bool = True) -> list[Any]:
        """Return one to three steps; parallel ones nest once."""
        draw = self.draw
        kinds = ["sleep", "fail"]
        kinds += ["compute"] * 2 if computes else []
        kinds += ["call"] * 4 if self.callable else []
        kinds += ["scatter"] if self.scattered else []
        kinds += ["publish"] * 2 if self.queues else []
        kinds += ["parallel"] if depth < 2 else []
        kinds += ["cached"] if depth < 2 and self.caches else []
        found: list[Any] = []
        for kind in draw(st.lists(st.sampled_from(kinds), min_size=1, max_size=3)):
            if kind == "sleep":
                found.append(sleep(draw(times)))
            elif kind == "fail":
                found.append(fail(draw(chances)))
            elif kind == "compute":
                found.append(compute(draw(times)))
            elif kind == "publish":
                found.append(publish(draw(st.sampled_from(self.queues))))
            elif kind == "cached":
                cache = draw(st.sampled_from(self.caches))
                found.append(cached(cache, self.steps(depth + 1, computes)))
            elif kind == "parallel":
                count = draw(st.integers(1, 3))
                branches = [self.steps(depth + 1, computes) for _ in range(count)]
                wait_for = draw(st.none() | st.integers(1, count))
                found.append(parallel(*branches, wait_for=wait_for, cancel=draw(st.booleans())))
            elif kind == "scatter":
                to, count = draw(st.sampled_from(self.scattered))
                wait_for = draw(st.none() | st.integers(1, count))
                found.append(scatter(to, wait_for=wait_for, cancel=draw(st.booleans())))
            else:
                to = draw(st.sampled_from(self.callable))
                timeout, hedge = draw(timeouts), draw(hedges)
                sharded = to.startswith("database")
                if hedge and not sharded and dict(self.scattered).get(to, 0) > hedge.copies:
                    hedge = replace(hedge, distinct=draw(st.booleans()))
                cancel = timeout is not None and draw(st.booleans())
                again, breaker = draw(retries), draw(breakers)
                rest = {"retry": again, "hedge": hedge, "breaker": breaker}
                found.append(call(to, timeout=timeout, cancel=cancel, **rest))
        return found


@st.composite
def topologies(draw: Any) -> Topology:
    """A random topology of two to six parts behind an entry."""
    parts = Parts(draw)
    kinds = st.sampled_from(
        (
            *("database", "cache", "queue", "queue", "service", "service"),
            *("balancer", "limiter", "workflow"),
        )
    )
    for number, kind in enumerate(draw(st.lists(kinds, min_size=1, max_size=5))):
        if kind in ("balancer", "limiter") and not parts.sends:
            kind = "service"
        if kind == "workflow" and not parts.callable:
            kind = "database"
        getattr(parts, kind)(f"{kind}{number}")
    if draw(st.booleans()) and parts.sends:
        parts.balancer("entry")
    else:
        parts.service("entry")
    return Topology(*pruned(parts.all, "entry"), entry="entry")


def pruned(parts: list[Component], entry: str) -> list[Component]:
    """Return the parts and their endpoints that the entry reaches; a topology refuses others."""
    by_name = {part.name: part for part in parts}
    found: set[tuple[str, str]] = set()
    todo = [(entry, "get"), (entry, "put")]
    while todo:
        name, endpoint = place = todo.pop()
        if place in found:
            continue
        found.add(place)
        for each in by_name[name].references():
            target, _, called = each.target.partition(".")
            called = {"message_queue": "publish", "cache": "get"}.get(each.must_be, called)
            if each.endpoint in ("", endpoint):
                todo.append((target, called or endpoint))
    kept = []
    for part in parts:
        used = [endpoint for name, endpoint in found if name == part.name]
        if isinstance(part, Service):
            script = {name: steps for name, steps in part.endpoints.items() if name in used}
            part = replace(part, endpoints=script) if used else part
        elif isinstance(part, Cache) and "get" not in used:
            part = replace(part, origin=None, coalesce=False)
        if used:
            kept.append(part)
    return housed(kept)


def housed(parts: list[Component]) -> list[Component]:
    """Return the parts, those in-process caches shared that do not live in one service."""
    for part in parts:
        if isinstance(part, Cache) and part.placement == "in_process":
            callers = [
                each
                for each in parts
                if any(to.target.partition(".")[0] == part.name for to in each.references())
            ]
            if len(callers) != 1 or not isinstance(callers[0], Service):
                part = replace(part, placement="shared")
                return housed([part if each.name == part.name else each for each in parts])
    return parts


@st.composite
def traffics(draw: Any) -> Any:
    """Random traffic of any kind, for the endpoints get and put."""
    common = {
        "mix": {"get": draw(st.sampled_from((1.0, 2.0))), "put": draw(st.sampled_from((0.0, 1.0)))},
        "keys": draw(popularity),
        "clients": draw(popularity),
        "request_bytes": draw(sizes),
        "response_bytes": draw(sizes),
        "timeout": draw(timeouts),
        "retry": draw(retries),
    }
    kind = draw(st.sampled_from(("open", "open", "profile", "closed", "groups", "replay")))
    arrivals = draw(st.sampled_from(ARRIVALS))
    common["cancel"] = common["timeout"] is not None and draw(st.booleans())
    if kind == "open":
        return Traffic(draw(st.sampled_from((50.0, 125.0, 500.0))), arrivals=arrivals, **common)
    if kind == "profile":
        rates = draw(st.lists(st.sampled_from((0.0, 50.0, 500.0)), min_size=1, max_size=4))
        profile = RateProfile((*rates, 125.0), bucket=0.05, repeat=draw(st.booleans()))
        arrivals = "poisson" if isinstance(arrivals, Bursts) else arrivals
        return Traffic(profile, arrivals=arrivals, **common)
    if kind == "groups":
        some = Users(draw(small), think_time=draw(demands), mix={"get": 1, "put": 3})
        others = Users(draw(small), think_time=draw(demands))
        return UserGroups(groups={"some": some, "others": others}, **common)
    if kind == "closed":
        return ClosedTraffic(draw(st.integers(1, 6)), think_time=draw(demands), **common)
    steps = draw(st.lists(moments, min_size=1, max_size=40))
    at = tuple(sum(steps[: i + 1]) for i in range(len(steps)))
    key = draw(st.none() | st.just(tuple(i * i % 7 for i in range(len(at)))))
    return ReplayTraffic(at, key=key, **common)


def agree(topology: Topology, traffic: Any, seed: int) -> None:
    assert_engines_agree(topology, traffic, duration=DURATION, buckets=4, seed=seed)


@settings(max_examples=320)
@given(topologies(), traffics(), st.integers(0, 3))
def test_engines_agree_on_random_topologies(topology, traffic, seed):
    agree(topology, traffic, seed)


@pytest.mark.long
@settings(max_examples=5000, derandomize=False)
@given(topologies(), traffics(), st.integers(0, 2**62))
def test_engines_agree_on_thousands_of_random_topologies(topology, traffic, seed):
    agree(topology, traffic, seed)
