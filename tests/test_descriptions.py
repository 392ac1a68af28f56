"""Descriptions: units, shorthand, freezing, `vary`, and every problem with its message."""

from __future__ import annotations

import copy
import dataclasses
import math
import pickle

import pytest
from hypothesis import given, strategies as st

import scalesim as ss
from scalesim import units, words
from scalesim.components import (
    COMPONENTS,
    CircuitBreaker,
    Failures,
    Hedge,
    RateLimiter,
    Workflow,
    fail,
    scatter,
)
from scalesim.components.calls import Call
from scalesim.components.steps import STEPS, Compute
from scalesim.distributions import Constant, Erlang, HyperExponential, Weibull
from scalesim.errors import InvalidModel
from scalesim.fields import Description
from scalesim.plan import build_plan
from scalesim.policies.eviction import EVICTION, Clock, Fifo, Lru, SampledLru
from scalesim.policies.load_balancing import BALANCING, LeastConnections, PowerOfTwo, RoundRobin
from scalesim.policies.sharding import SHARDING, ModuloSharding
from scalesim.traffic import TRAFFIC, Measured

# Units ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "unit", "value"),
    [
        ("500 ms", "s", 0.5),
        ("500ms", "s", 0.5),
        ("0.1 s", "s", 0.1),
        ("3 us", "s", 3e-6),
        ("3 µs", "s", 3e-6),
        ("7 ns", "s", 7e-9),
        ("10 min", "s", 600.0),
        ("2 h", "s", 7200.0),
        ("1.5 d", "s", 129_600.0),
        (" 1e-3 s ", "s", 1e-3),
        ("inf s", "s", math.inf),
        ("2 GiB", "B", 2.0 * 2**30),
        ("300 kB", "B", 300_000.0),
        ("1_000 B", "B", 1000.0),
        ("800/s", "1/s", 800.0),
        ("90 /min", "1/s", 1.5),
        ("1 Gbit/s", "B/s", 125e6),
        ("10 MB/s", "B/s", 1e7),
        ("15%/month", "1/month", 0.15),
        ("0.15 /month", "1/month", 0.15),
        ("0.096 USD/h", "USD/h", 0.096),
        ("73 USD/month", "USD/h", 0.1),
    ],
)
def test_quantities_are_read(text, unit, value) -> None:
    assert units.parse_quantity(text, unit) == value


@pytest.mark.parametrize(
    ("text", "unit", "message"),
    [
        ("500 MB", "s", '"500 MB" is not a time, MB measures a size in bytes; use one of ns, us'),
        ("500", "s", '"500" has no unit; write 500 s'),
        ("800", "1/s", '"800" has no unit; write 800/s'),
        ("5 parsecs", "s", '"5 parsecs" is not a time; use one of'),
        ("fast", "s", '"fast" is not a time; write a number and one of'),
        ("", "s", "is not a time"),
        ("1.2.3 s", "s", "is not a time"),
        ("1" * 5000, "s", "is not a time"),
        ("5 ms", "B", '"5 ms" is not a size in bytes, ms measures a time'),
        ("5 GB", "B/s", '"5 GB" is not a bandwidth, GB measures a size in bytes'),
        ("15%", "1/month", '"15%" is not a growth'),
    ],
)
def test_what_is_not_a_quantity_says_why(text, unit, message) -> None:
    with pytest.raises(ValueError, match="is not a|has no unit") as error:
        units.parse_quantity(text, unit)
    assert message in str(error.value)
    assert len(str(error.value)) < 300


@given(
    st.floats(min_value=0, allow_nan=False, allow_infinity=False),
    st.sampled_from(sorted(units.DIMENSIONS)),
)
def test_quantities_survive_being_written(value, unit) -> None:
    assert units.parse_quantity(units.format_quantity(value, unit), unit) == value


def test_quantities_are_written_shortly() -> None:
    written = [
        units.format_quantity(value, unit)
        for value, unit in [
            (0.005, "s"), (600.0, "s"), (2.0 * 2**30, "B"), (125e6, "B/s"), (-0.004, "s"),
            (16 / 60, "1/s"), (1 / 7200, "1/s"), (2.5, "1/s"), (800.0, "1/s"),
        ]
    ]  # fmt: skip
    assert written == [
        "5 ms", "10 min", "2 GiB", "1 Gbit/s", "-4 ms", "16/min", "0.5/h", "2.5/s", "800/s",
    ]  # fmt: skip


def test_figures_in_text_have_no_exponents() -> None:
    given = [(55278.4, 4), (112.3, 2), (0.0123456, 4), (0.0, 4), (999.96, 4), (-1234.5, 3)]
    found = [words.significant(value, digits) for value, digits in given]
    assert found == ["55,280", "110", "0.01235", "0", "1,000", "-1,230"]
    assert words.significant(math.inf) == "inf"
    assert words.counted(1, "line is", "lines are") == "1 line is"
    assert words.counted(1200, "line is", "lines are") == "1,200 lines are"


def test_constructors_of_units() -> None:
    assert [ss.ms(5), ss.minutes(2), ss.gib(1)] == [0.005, 120.0, 2.0**30]
    assert [units.us(5), units.seconds(5), units.hours(1), units.days(1)] == [5e-6, 5, 3600, 86400]
    assert [units.kib(1), units.mib(1), units.mbit(8)] == [1024, 2**20, 1e6]


# Shorthand, freezing --------------------------------------------------------------------------


def test_shorthand_is_expanded() -> None:
    service = ss.Service("s", endpoints={"get": [ss.compute(0.5)]}, balancing="least_connections")
    assert service.endpoints["get"] == ss.Endpoint((Compute(Constant(0.5)),))
    assert service.balancing == LeastConnections()
    assert ss.LoadBalancer("b", targets="s") == ss.LoadBalancer("b", targets=("s",))
    assert ss.LoadBalancer("b", targets=["s"]).policy == RoundRobin()
    weighted = ss.LoadBalancer("b", targets="s", weights={"s": 2.0})
    assert weighted.weights == {"s": (2.0,)}
    assert ss.Cache("c", capacity=1).eviction == Lru()
    assert ss.Cache("c", capacity=1, eviction="fifo").eviction == Fifo()
    assert ss.Database("d", connections=1, read=0.1).read == Constant(0.1)
    assert ss.Database("d", connections=1, read=0.1, sharding="modulo").sharding == ModuloSharding()
    assert ss.call("db.read", timeout=1.0) == Call("db.read", timeout=1.0)
    assert ss.ClosedTraffic(5, think_time=1).think_time == Constant(1.0)
    assert ss.Retry(3) == ss.Retry(attempts=3)


DESCRIPTIONS = [
    ss.Service("s", endpoints={"get": [ss.compute(0.5)]}),
    ss.Cache("c", capacity=1),
    ss.Traffic(5.0, mix={"get": 1.0}),
    ss.Exponential(0.1),
    PowerOfTwo(),
    ss.Zipf(10, 1.0),
]


@pytest.mark.parametrize("each", DESCRIPTIONS, ids=lambda each: type(each).__name__)
def test_descriptions_are_frozen_hashable_and_copied(each) -> None:
    name = dataclasses.fields(each)[0].name
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(each, name, 1)
    assert hash(each) == hash(copy.deepcopy(each))
    assert copy.deepcopy(each) == each
    assert pickle.loads(pickle.dumps(each)) == each
    assert repr(each).startswith(type(each).__name__)


@pytest.mark.parametrize(
    "change",
    [
        lambda m: m.__setitem__("x", 1),
        lambda m: m.update(x=1),
        lambda m: m.pop("get"),
        lambda m: m.clear(),
        lambda m: m.setdefault("x", 1),
        lambda m: m.popitem(),
        lambda m: m.__delitem__("get"),
        lambda m: m.__ior__({"x": 1}),
    ],
)
def test_mappings_in_descriptions_are_frozen(change) -> None:
    traffic = ss.Traffic(5.0, mix={"get": 1.0})
    with pytest.raises(TypeError, match="frozen"):
        change(traffic.mix)
    assert traffic.mix == {"get": 1.0}


def test_a_description_does_not_follow_the_callers_objects() -> None:
    steps, endpoints = [ss.compute(0.1)], {}
    endpoints["get"] = steps
    service = ss.Service("s", endpoints=endpoints)
    steps.append(ss.sleep(1.0))
    endpoints["more"] = steps
    assert list(service.endpoints) == ["get"]
    assert len(service.endpoints["get"].steps) == 1


def test_fields_after_the_name_are_keywords() -> None:
    with pytest.raises(TypeError):
        ss.Service("s", {"get": [ss.compute(1.0)]})
    with pytest.raises(TypeError, match="instancez"):
        ss.Service("s", endpoints={"get": [ss.compute(1.0)]}, instancez=3)


@pytest.mark.parametrize("family", [COMPONENTS, STEPS, BALANCING, EVICTION, SHARDING, TRAFFIC])
def test_every_member_of_a_family_is_a_frozen_documented_description(family) -> None:
    for name, member in family.members.items():
        assert issubclass(member, Description)
        assert member.type_name == name
        assert dataclasses.is_dataclass(member)
        assert member.__dataclass_params__.frozen
        assert member.__doc__


# Topology -------------------------------------------------------------------------------------


def guarded(**fields) -> ss.Service:
    """Return a service whose call has a circuit breaker."""
    return web(ss.call("db.read", breaker=CircuitBreaker(**fields)))


def web(*steps, name: str = "web", **fields):
    """Return a service with the one endpoint get."""
    return ss.Service(name, endpoints={"get": list(steps) or [ss.compute(0.01)]}, **fields)


DB = ss.Database("db", connections=5, read=0.01, write=0.02)


def shop() -> ss.Topology:
    edge = ss.LoadBalancer("edge", targets="web", weights={"web": (1.0, 2.0)})
    return ss.Topology(edge, web(ss.call("db.read"), instances=2), DB, entry="edge")


def test_a_topology_is_frozen_compared_and_pickled() -> None:
    topology = shop()
    with pytest.raises(dataclasses.FrozenInstanceError, match="use vary"):
        topology.entry = "web"
    assert topology == shop()
    assert hash(topology) == hash(shop())
    assert topology != topology.vary({"db.connections": 6})
    for copied in (pickle.loads(pickle.dumps(topology)), copy.deepcopy(topology)):
        assert copied == topology
        assert repr(copied) == repr(topology)
    assert repr(topology) == "<Topology load_balancer edge, service web, database db; entry edge>"
    assert topology["db"] is topology.components["db"]
    with pytest.raises(InvalidModel, match='no component "dbb". Did you mean "db"'):
        topology["dbb"]


def test_endpoints_and_calls() -> None:
    topology = shop()
    assert topology.entry_endpoints == ("get",)
    assert topology.endpoints("db") == ("read", "write")
    assert topology.calls() == {
        ("edge", "get"): [("web", "get")],
        ("web", "get"): [("db", "read")],
        ("db", "read"): [],
        ("db", "write"): [],
    }


def test_vary_changes_fields_and_leaves_the_original() -> None:
    topology = shop()
    changed = topology.vary({"web.workers": 7, "db.connections": 9, "db.read": 0.5})
    assert (changed["web"].workers, changed["db"].connections) == (7, 9)
    assert changed["db"].read == Constant(0.5)
    assert topology["web"].workers == 1
    assert topology.vary({}) == topology


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"wep.workers": 1}, "vary 'wep.workers': there is no component \"wep\". Did you mean"),
        ({"web.workerz": 1}, 'service "web" has no field "workerz". Did you mean "workers"'),
        ({"web": 1}, 'service "web" has no field ""'),
        ({"web.name": "x"}, 'service "web" has no field "name"'),
        ({"web.workers": 0}, 'service "web": workers: got 0, allowed is a whole number from 1'),
        ({"web.instances": 3}, 'got 2 weights, "web" has 3 instances'),
    ],
)
def test_vary_reports_what_it_cannot_change(changes, message) -> None:
    with pytest.raises(InvalidModel) as error:
        shop().vary(changes)
    assert message in str(error.value)


def test_vary_reports_all_problems() -> None:
    with pytest.raises(InvalidModel) as error:
        shop().vary({"x.y": 1, "web.z": 2, "db.connections": 3})
    assert len(error.value.problems) == 2


# Problems of components -----------------------------------------------------------------------


def problems(*components, **entry) -> list[str]:
    """Return the problems of a topology as text; it is entered by the first component."""
    entry = entry or {"entry": components[0].name}
    with pytest.raises(InvalidModel) as error:
        ss.Topology(*components, **entry)
    return [str(problem) for problem in error.value.problems]


def queue(**fields):
    return ss.MessageQueue("q", **{"handler": [ss.sleep(0.1)], **fields})


def flow(routes, start="web"):
    return Workflow("flow", start=start, routes=routes)


def limiter(**fields):
    return RateLimiter("gate", **{"rate": 10.0, **fields})


INTEGER = "allowed is a whole number from"


@pytest.mark.parametrize(
    ("component", "message"),
    [
        (web(instances=0), f'service "web": instances: got 0, {INTEGER} 1 to 100000'),
        (web(instances=2.0), f'service "web": instances: got 2.0, {INTEGER} 1 to 100000'),
        (web(instances=True), 'service "web": instances: got True'),
        (web(workers=-3), 'service "web": workers: got -3'),
        (web(backlog=-1), 'service "web": backlog: got -1'),
        (web(cores=0), 'service "web": cores: got 0'),
        (web(cpu_discipline="lifo"), 'cpu_discipline: got "lifo". '),
        (
            web(cpu_discipline="spt"),
            "Known: ps, fifo, lcfs, sjf, priority, lcfs_preemptive, srpt, priority_preemptive",
        ),
        (web(backlog_order="lifo"), 'backlog_order: got "lifo". '),
        (web(queue_timeout=-1.0), 'service "web": queue_timeout.value: got -1'),
        (
            ss.Service("web", endpoints={"get": ss.Endpoint([ss.compute(0.1)], priority=-1)}),
            f"endpoints.get.priority: got -1, {INTEGER} 0 to 1000000",
        ),
        (
            ss.Database("db", connections=1, read=0.1, cpu_discipline="priority"),
            "Known: ps, fifo, lcfs, sjf, lcfs_preemptive, srpt",
        ),
        (web(contention=-0.1), "contention: got -0.1"),
        (
            web(core_speeds=(1.0, 2.0), cpu_discipline="fifo"),
            "core_speeds: got 2 speeds, cores is 1; give one for each core",
        ),
        (web(core_speeds=(1.0,)), 'core_speeds: cpu_discipline is "ps"; it needs "fifo"'),
        (web(core_speeds=(0.0,), cpu_discipline="fifo"), "core_speeds.0: got 0"),
        (web(core_choice="random"), "core_choice needs core_speeds"),
        (
            web(failures=Failures(time_to_failure=1.0, repair_time=1.0)),
            'failures: cpu_discipline is "ps"; it needs "fifo"',
        ),
        (
            web(
                failures=Failures(time_to_failure=0.0, repair_time=-1.0, crews=0, of="rack"),
                cpu_discipline="fifo",
            ),
            "failures.time_to_failure: got 0 s: nothing would ever work",
        ),
        (
            web(
                failures=Failures(time_to_failure=1.0, repair_time=1.0, crews=0),
                cpu_discipline="fifo",
            ),
            "failures.crews: got 0",
        ),
        (
            web(
                failures=Failures(time_to_failure=1.0, repair_time=1.0, of="instance", when="busy"),
                cpu_discipline="fifo",
                cores=2,
            ),
            "failures.when: instances that fail only while busy need one core each, not 2",
        ),
        (
            web(coherency=0.1, cpu_discipline="fifo"),
            'coherency: got 0.1, but cpu_discipline is "fifo"; it needs "ps"',
        ),
        (web(memory=0.0), 'service "web": memory: got 0'),
        (web(memory=math.nan), 'service "web": memory: got nan'),
        (web(memory=1e9, memory_base=2e9), "nothing is left for requests"),
        (web(memory_per_request=1e6), "memory_base and memory_per_request need memory"),
        (web(network_in=math.inf), 'service "web": network_in: got inf'),
        (web(network_out=-1.0), 'service "web": network_out: got -1'),
        (web(balancing="round_robbin"), 'Did you mean "round_robin"?'),
        (web(balancing=3), 'service "web": balancing: 3 is not a load-balancing policy'),
        (web(machine="m7g.large", cost_per_hour=1.0), "machine and cost_per_hour are both given"),
        (web(cost_per_hour=-1.0), 'service "web": cost_per_hour: got -1'),
        (web(name="a b"), 'name: got "a b", allowed is a name'),
        (web(name=""), 'name: got ""'),
        (web(name="a.b"), 'name: got "a.b"'),
        (web(name=5), "name: got 5"),
        (ss.Service("web", endpoints={}), "endpoints: got an empty mapping"),
        (ss.Service("web", endpoints=[]), "endpoints: got [], allowed is a mapping"),
        (ss.Service("web", endpoints={"get": []}), "endpoints.get.steps: got an empty list"),
        (ss.Service("web", endpoints={"get": [5]}), "endpoints.get.steps.0: 5 is not a step"),
        (ss.Service("web", endpoints={"g t": [ss.compute(1)]}), 'got "g t"'),
        (web(ss.compute(-1.0)), "endpoints.get.steps.0.demand.value: got -1"),
        (web(ss.compute(math.nan)), "demand.value: got nan"),
        (web(ss.compute(math.inf)), "demand.value: got inf"),
        (web(ss.compute("5 ms")), "in Python write a number of s: 0.005, as ss.ms(5)"),
        (web(ss.compute("5 MB")), 'steps.0.demand: "5 MB" is not a distribution'),
        (web(ss.compute(ss.Exponential(-0.004))), "demand.mean: got -4 ms, allowed is a number of"),
        (web(name="12"), "letters, digits, _ and -, beginning with a letter or _"),
        (web(ss.compute(None)), "steps.0.demand"),
        (web(ss.sleep(-2.0)), "steps.0.time.value: got -2"),
        (web(ss.compute(ss.Exponential(0.0))), "demand.mean: got 0"),
        (web(ss.compute(ss.Exponential(10**400))), "which is too large"),
        (web(ss.compute(ss.Uniform(2.0, 1.0))), "low is 2 and high is 1; low must be below high"),
        (web(ss.compute(ss.LogNormal(0.1, cv=0.0))), "demand.cv: got 0"),
        (web(ss.compute(ss.Pareto(1.0, shape=1.0))), "demand.shape: got 1"),
        (web(ss.compute(ss.Empirical([0.1]))), "got 1 quantiles, at least 2 are needed"),
        (web(ss.compute(ss.Empirical([0.2, 0.1]))), "the quantiles must not decrease"),
        (web(ss.compute(Erlang(0.1, phases=0))), "demand.phases: got 0"),
        (web(ss.compute(Weibull(0.1, shape=0.01))), "demand.shape: got 0.01"),
        (
            web(ss.compute(HyperExponential(probabilities=[0.5, 0.4], means=[1.0, 2.0]))),
            "the probabilities sum to 0.9; they must sum to 1",
        ),
        (
            web(ss.compute(HyperExponential(probabilities=[1.0], means=[1.0, 2.0]))),
            "1 probabilities for 2 means; there must be one for each",
        ),
        (web(ss.parallel()), "steps.0.branches: got an empty list"),
        (web(ss.parallel([ss.sleep(1.0)], [])), "steps.0.branches.1: got an empty list"),
        (web(ss.parallel([ss.sleep(-1.0)])), "branches.0.0.time.value: got -1"),
        (DB.__class__("db", connections=0, read=1.0), 'database "db": connections: got 0'),
        (ss.Database("db", connections=1), "queries would cost nothing"),
        (ss.Database("db", connections=1, read=1.0, shards=0), "shards: got 0"),
        (ss.Database("db", connections=1, read=1.0, apply=1.0), "apply needs read_replicas"),
        (ss.Database("db", connections=1, read=1.0, apply_delay=1.0), "apply_delay needs read_re"),
        (ss.Database("db", connections=1, read=1.0, apply_workers=2), "apply_workers needs read"),
        (
            ss.Database("db", connections=1, read=1.0, count_stale_reads=True),
            "count_stale_reads needs read_replicas",
        ),
        (ss.Database("db", connections=1, read=1.0, disk_iops=0.0), "disk_iops: got 0"),
        (ss.Database("db", connections=1, read=1.0, read_ios=-1.0), "read_ios: got -1"),
        (ss.Database("db", connections=1, read=1.0, shard_key="user"), "Known: key, client"),
        (
            ss.Database("db", connections=1, read=1.0, sharding="modula"),
            'sharding: "modula" is not a sharding policy. Did you mean "modulo"?',
        ),
        (ss.Cache("c", capacity=5, hit_ratio=0.5), "both of capacity and hit_ratio given"),
        (ss.Cache("c", hit_ratio=0.5, ttl=5.0), "ttl has no effect with a fixed hit_ratio"),
        (ss.Cache("c", hit_ratio=0.5, time_to_idle=5.0), "time_to_idle has no effect with a fixed"),
        (ss.Cache("c", hit_ratio=0.5, start="warm"), "start has no effect with a fixed hit_ratio"),
        (
            ss.Cache("c", hit_ratio=0.5, coalesce=True, origin="web"),
            "coalesce has no effect with a fixed hit_ratio",
        ),
        (ss.Cache("c", coalesce=True), "coalesce needs an origin"),
        (ss.Cache("c", ttl=5.0, time_to_idle=5.0), "ttl and time_to_idle are both given"),
        (ss.Cache("c", time_to_idle=0.0), "time_to_idle: got 0"),
        (ss.Cache("c", start="hot"), 'start: got "hot". Known: cold, warm'),
        (ss.Cache("c", placement="local"), "Known: shared, in_process"),
        (
            ss.Cache("c", placement="in_process", machine="m7g.large"),
            "an in_process cache runs on its service's machines",
        ),
        (ss.Cache("c", eviction=Clock(reference_bit=2)), "reference_bit: got 2"),
        (ss.Cache("c", eviction=SampledLru(samples=0)), "samples: got 0"),
        (ss.Cache("c", hit_ratio=1.5), "hit_ratio: got 1.5"),
        (ss.Cache("c", hit_ratio=math.nan), "hit_ratio: got nan"),
        (ss.Cache("c", capacity=0), "capacity: got 0"),
        (ss.Cache("c", capacity=1, ttl=0.0), "ttl: got 0"),
        (ss.Cache("c", capacity=1, eviction="mru"), '"mru" is not an eviction policy'),
        (queue(consumers=0), 'message_queue "q": consumers: got 0'),
        (queue(capacity=-1), 'message_queue "q": capacity: got -1'),
        (queue(capacity=0, partitions=2), "capacity 0 leaves no messages"),
        (queue(capacity=0, prefetch=2), "capacity 0 leaves no messages"),
        (queue(prefetch=2, partitions=2), "prefetch and partitions are both given"),
        (queue(prefetch=2, batch=(2, 4)), "prefetch and batch are both given"),
        (queue(capacity=0, batch=(2, 4)), "capacity 0 leaves no messages"),
        (queue(batch=4), "batch: got 4, allowed is (least, most), each a whole number from 1"),
        (queue(batch=(1, 2, 3)), "batch: got (1, 2, 3), allowed is (least, most)"),
        (queue(batch=(0, 4)), 'message_queue "q": batch.0: got 0, allowed is a whole number'),
        (queue(batch=(2, "4")), 'batch.1: got "4", allowed is a whole number'),
        (queue(batch=(4, 2)), "batch: got least 4, most 2; most is at least least"),
        (queue(batch=(1, 4), linger=1.0), "linger needs a batch of at least 2"),
        (queue(linger=1.0), "linger needs a batch of at least 2"),
        (queue(batch=(2, 4), linger=0.0), "linger: got 0 s, allowed is a number of s above 0"),
        (queue(batch_handling="one_by_one"), "batch_handling needs batch"),
        (queue(poll="fixed"), "poll fixed needs a constant poll_interval"),
        (queue(poll="fixed", poll_interval=ss.Exponential(1.0)), "needs a constant poll_interval"),
        (queue(poll_interval=0.0), "poll_interval: the mean is 0; a sleep takes time"),
        (queue(partitions=0), "partitions: got 0"),
        (queue(partitions=2, partition_by="user"), 'partition_by: got "user". '),
        (limiter(rate=0.0), 'rate_limiter "gate": rate: got 0'),
        (limiter(burst=0), "burst: got 0"),
        (limiter(algorithm="tokenbucket"), 'Did you mean "token_bucket"?'),
        (limiter(algorithm="fixed_window"), "window: fixed_window needs window"),
        (limiter(window=1.0), "window needs algorithm fixed_window or sliding_window"),
        (
            limiter(algorithm="sliding_window", window=0.25),
            "rate * window is 2.5 requests; it must be a whole number",
        ),
        (limiter(algorithm="fixed_window", window=1.0, burst=3), "burst is of token_bucket"),
        (limiter(on_excess="drop"), 'on_excess: got "drop". '),
        (limiter(queue_limit=3), "queue_limit needs on_excess delay"),
        (limiter(per="user"), 'per: got "user". '),
        (limiter(target="nobody"), 'target: there is no component "nobody"'),
        (queue(when_full="wait"), 'when_full: got "wait". '),
        (queue(handler=[]), "handler: got an empty list"),
        (queue(handler=[ss.compute(1.0)]), "consumers have no processors of their own"),
        (
            queue(handler=[ss.parallel([ss.compute(1.0)])]),
            "consumers have no processors of their own",
        ),
        (web(fail(1.5)), "endpoints.get.steps.0.probability: got 1.5"),
        (web(ss.parallel([ss.sleep(1.0)], wait_for=2)), "wait_for: got 2, there are 1 branches"),
        (web(ss.call("db.read", cancel=True)), "steps.0.cancel: cancel needs a timeout"),
        (web(ss.call("db.read", hedge=Hedge(1.0, copies=0))), "steps.0.hedge.copies: got 0"),
        (guarded(open_time=0.0), "steps.0.breaker.open_time: got 0"),
        (guarded(failure_ratio=0.0), "steps.0.breaker.failure_ratio: got 0"),
        (guarded(window=5, minimum_calls=6), "minimum_calls is 6, window 5: never reached"),
        (guarded(window=5, consecutive_failures=2), "window has no effect with consecutive"),
        (web(ss.call("db.read", hedge=Hedge(-1.0))), "steps.0.hedge.after.value: got -1"),
        (flow({"web": {"web": 0.7, "db": 0.5}}), "routes.web: the probabilities sum to 1.2; they"),
        (flow({"web": {"web": 1.0}}), 'routes.web: from "web" there is no way out; a request'),
        (
            flow({"web": {"db": 1.0}, "db": {"web": 1.0}}),
            'routes.db: from "db" there is no way out',
        ),
        (flow({"web": {"web": 0.5}, "wep": {"web": 0.5}}), 'no request comes to "wep". Did you'),
        (flow({"web": {"wep": 0.5}}), 'routes.web.wep: there is no component "wep". Did you mean'),
        (flow({"web": {"web": 0.0}}), "routes.web.web: got 0"),
        (flow({"web": 0.5}), "routes.web: got 0.5, allowed is a mapping"),
        (flow({}, start="a.b.c"), 'start: got "a.b.c", allowed is a reference'),
        (ss.LoadBalancer("b", targets=()), "targets: got an empty list"),
        (ss.LoadBalancer("b", targets=("web", "web")), '"web" is listed twice'),
        (ss.LoadBalancer("b", targets="web", weights={"web": 0.0}), "weights.web.0: got 0"),
        (
            ss.LoadBalancer("b", targets="web", weights={"wep": 1.0}),
            '"wep" is not a target. Did you mean "web"?',
        ),
        (ss.LoadBalancer("b", targets="web", policy=PowerOfTwo(choices=1)), "choices: got 1"),
        (ss.LoadBalancer("b", targets="web", delay=-1.0), "delay.value: got -1"),
    ],
)
def test_problems_of_components(component, message) -> None:
    others = [] if component.name in ("web", "") or component.name == 5 else [web()]
    found = problems(component, *others)
    assert any(message in each for each in found), found


@pytest.mark.parametrize(
    ("retry", "message"),
    [
        (ss.Retry(1), "retry.attempts: got 1"),
        (ss.Retry(2, backoff=-1.0), "retry.backoff: got -1"),
        (ss.Retry(2, factor=0.5), "retry.factor: got 0.5"),
        (ss.Retry(2, cap=0.0), "retry.cap: got 0"),
        (ss.Retry(2, jitter="some"), 'retry.jitter: got "some"'),
        (ss.Retry(), "retry.attempts: attempts has no bound and backoff is 0 s"),
        (ss.Retry(backoff=(0.1, 0.0)), "retry.attempts: attempts has no bound and backoff is 0 s"),
        (
            ss.Retry(backoff=Constant(0.0)),
            "retry.attempts: attempts has no bound and backoff is 0 s",
        ),
        (ss.Retry(3, backoff=(1.0, 2.0, 3.0)), "retry.backoff: got 3 waits, 3 attempts have 2"),
        (ss.Retry(3, backoff=(1.0, -2.0)), "retry.backoff.1: got -2"),
        (ss.Retry(3, backoff=ss.Exponential(0.0)), "retry.backoff.mean: got 0"),
        (ss.Retry(3, backoff=(1.0,), cap=2.0), "retry.backoff: factor and cap are for a backoff"),
        (ss.Retry(3, on="time_out"), 'retry.on.0: got "time_out". Did you mean "timed_out"?'),
        (ss.Retry(3, on=()), "retry.on: got an empty list"),
        (ss.Retry(3, give_up=2.0), "retry.give_up: got 2"),
        ("often", "retry.attempts: got "),
    ],
)
def test_problems_of_retries(retry, message) -> None:
    found = problems(web(ss.call("db.read", retry=retry)), DB)
    assert any(message in each for each in found), found
    with pytest.raises(InvalidModel) as error:
        ss.simulate(ss.Topology(web(), entry="web"), ss.Traffic(1.0, retry=retry), duration=1.0)
    assert f"traffic.{message}" in str(error.value)


# Problems between components ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("components", "entry", "expected"),
    [
        (
            [web(ss.call("dbb.read")), DB],
            "web",
            'service "web": endpoints.get.steps.0.to: there is no component "dbb". '
            'Did you mean "db"? Known: web, db',
        ),
        (
            [web(ss.call("db.reed")), DB],
            "web",
            'service "web": endpoints.get.steps.0.to: database "db" has no endpoint "reed". '
            'Did you mean "read"? Known: read, write',
        ),
        (
            [web(ss.call("db")), DB],
            "web",
            'service "web": endpoints.get.steps.0.to: "db" offers read, write; say which: db.read',
        ),
        (
            [web(ss.publish("db")), DB],
            "web",
            'service "web": endpoints.get.steps.0.to: "db" is a database, not a message_queue',
        ),
        (
            [web(ss.parallel([ss.sleep(1.0)], [ss.call("nobody")]))],
            "web",
            'service "web": endpoints.get.steps.0.branches.1.0.to: there is no component "nobody"',
        ),
        (
            [ss.Cache("c", capacity=1, origin="nobody.x")],
            "c",
            'cache "c": origin: there is no component "nobody"',
        ),
        (
            [queue(handler=[ss.call("nobody")])],
            "q",
            'message_queue "q": handler.0.to: there is no component "nobody"',
        ),
        (
            [ss.LoadBalancer("b", targets="nobody")],
            "b",
            'load_balancer "b": targets.0: there is no component "nobody"',
        ),
        ([web(), web()], "web", 'service "web": the name is taken by a service; names must be'),
        ([web(), DB], "web", 'database "db": nothing reaches it from the entry "web"'),
        ([web()], "wep", 'entry: there is no component "wep". Did you mean "web"? Known: web'),
        ([web()], None, "entry: got nothing, allowed is the name of a component"),
        ([web()], web(), "entry: got Service(name='web', "),
        ([], "web", 'entry: there is no component "web". Known: none'),
        ([web(), "db"], "web", 'component 2: got "db", allowed is one of '),
        (
            [web(ss.call("back.get")), web(ss.call("web.get"), name="back")],
            "web",
            "calls go round in a circle: ",
        ),
        ([web(ss.call("web.get"))], "web", "calls go round in a circle: web.get -> web.get"),
        (
            [ss.Cache("c", placement="in_process")],
            "c",
            'cache "c": placement: an in_process cache lives in one service, which alone calls it; '
            "it is called by the traffic",
        ),
        (
            [
                web(ss.call("a.get"), ss.call("b.get")),
                web(ss.call("b.get"), name="a"),
                ss.Cache("b", placement="in_process"),
            ],
            "web",
            'called by service "web" and service "a"',
        ),
        (
            [
                web(ss.call("a.get")),
                ss.Cache("a", origin="b.get"),
                ss.Cache("b", placement="in_process"),
            ],
            "web",
            'it is called by cache "a"',
        ),
        (
            [queue(handler=[ss.publish("q")])],
            "q",
            "calls go round in a circle: q.publish -> q.publish",
        ),
        (
            [
                ss.LoadBalancer("b", targets=("web", "other")),
                web(),
                ss.Service("other", endpoints={"put": [ss.sleep(1.0)]}),
            ],
            "b",
            'load_balancer "b": targets: the targets share no endpoint (web: get; other: put)',
        ),
        (
            [ss.LoadBalancer("b", targets="web", weights={"web": (1.0, 2.0)}), web(instances=3)],
            "b",
            'load_balancer "b": weights.web: got 2 weights, "web" has 3 instances; give one',
        ),
        (
            [
                web(ss.call("back.a")),
                ss.Service("back", endpoints={"a": [ss.sleep(1.0)], "b": [ss.sleep(1.0)]}),
            ],
            "web",
            'service "back": endpoints.b: the endpoint is never called; remove it or call it',
        ),
        (
            [
                ss.LoadBalancer("b", targets=("web", "wide")),
                web(),
                ss.Service("wide", endpoints={"get": [ss.sleep(1.0)], "put": [ss.sleep(1.0)]}),
            ],
            "b",
            'service "wide": endpoints.put: the endpoint is never called',
        ),
    ],
)
def test_problems_between_components(components, entry, expected) -> None:
    found = problems(*components, entry=entry)
    assert any(expected in each for each in found), found


@pytest.mark.parametrize(
    ("components", "expected"),
    [
        ([[web(), DB]], "give the components one by one"),
        ([web(ss.call(""))], 'got "", allowed is a reference'),
        ([web(ss.call("db.read", retry=ss.Retry(1, backoff=[0.1]))), DB], "attempts: got 1"),
        ([web(memory=-3)], "memory: got -3 B"),
    ],
)
def test_one_fault_gives_one_short_problem(components, expected) -> None:
    (found,) = problems(*components, entry="web")
    assert expected in found
    assert len(found) < 250


@pytest.mark.parametrize(
    ("rate", "expected"),
    [
        (ss.RateProfile([], bucket=60), "rates: got an empty list"),
        (ss.RateProfile([1e12] * 1440, bucket=60), "at most 1e+09; 1439 more are wrong so"),
        ([1.0, 2.0], "rates that change over time are a RateProfile(rates, bucket=...)"),
        ("150/s", "which is text for files; in Python write a number per s: 150"),
    ],
)
def test_one_fault_of_a_rate_gives_one_problem(rate, expected) -> None:
    (found,) = [each.message for each in ss.Traffic(rate).check()]
    assert expected in f"rates: {found}"


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        (scatter("back", wait_for=4), '4 answers or copies are wanted, service "back" has 3'),
        (scatter("edge"), 'load_balancer "edge" cannot be called instance by instance'),
        (scatter("bak"), 'there is no component "bak". Did you mean "back"?'),
        (
            ss.call("back", hedge=Hedge(1.0, copies=3, distinct=True)),
            '4 answers or copies are wanted, service "back" has 3',
        ),
        (
            ss.call("shards.read", hedge=Hedge(1.0, distinct=True)),
            'database "shards" is sharded: in another shard a copy would not find its data',
        ),
    ],
)
def test_problems_of_calls_to_single_instances(step, expected) -> None:
    back = ss.Service("back", instances=3, endpoints={"do": [ss.sleep(1.0)]})
    others = [
        ss.LoadBalancer("edge", targets="back"),
        ss.Database("shards", connections=1, read=1.0, shards=3),
    ]
    found = problems(web(step), back, *others)
    assert any(f"endpoints.get.steps.0.to: {expected}" in each for each in found), found


def test_two_balancers_in_a_circle() -> None:
    one, two = ss.LoadBalancer("one", targets="two"), ss.LoadBalancer("two", targets="one")
    assert problems(one, two)


def test_all_problems_are_reported_together() -> None:
    found = problems(
        web(ss.call("bd.read"), ss.compute(-1.0), instances=0, workers=-1),
        ss.Database("db", connections=0, read=math.nan),
        entry="wbe",
    )
    assert len(found) == 7
    with pytest.raises(InvalidModel, match="^7 problems:\n  service"):
        ss.Topology(
            web(ss.call("bd.read"), ss.compute(-1.0), instances=0, workers=-1),
            ss.Database("db", connections=0, read=math.nan),
            entry="wbe",
        )


def test_no_message_grows_with_the_value() -> None:
    found = problems(web(name="x" * 10_000), entry="web")
    assert all(len(each) < 25_000 for each in found)
    assert all(len(each) < 400 for each in problems(web(balancing="y" * 10_000)))


# Traffic --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("traffic", "message"),
    [
        (ss.Traffic(0.0), "traffic.rate: got 0"),
        (ss.Traffic(math.nan), "traffic.rate: got nan"),
        (ss.Traffic(math.inf), "traffic.rate: got inf"),
        (ss.Traffic("800/s"), 'traffic.rate: got "800/s"'),
        (ss.Traffic(2e9), "traffic.rate: got 2e+09"),
        (
            ss.Traffic(1.0, arrivals="random"),
            'traffic.arrivals: "random" is not an arrival process. ',
        ),
        (ss.Traffic(1.0, timeout=0.0), "traffic.timeout: got 0"),
        (ss.Traffic(1.0, mix={}), "traffic.mix: got an empty mapping"),
        (ss.Traffic(1.0, mix={"get": 0.0}), "traffic.mix: all weights of the mix are zero"),
        (ss.Traffic(1.0, mix={"get": -1.0}), "traffic.mix.get: got -1"),
        (ss.Traffic(1.0, request_bytes=-1.0), "traffic.request_bytes.value: got -1"),
        (ss.Traffic(1.0, keys=100), "traffic.keys: 100 is not a popularity"),
        (ss.Traffic(1.0, keys=ss.Zipf(0, 1.0)), "traffic.keys.count: got 0"),
        (ss.Traffic(1.0, keys=ss.Zipf(9, -1.0)), "traffic.keys.exponent: got -1"),
        (ss.Traffic(1.0, keys=Measured([0.0, 0.0])), "traffic.keys.counts: all counts are zero"),
        (ss.Traffic(1.0, keys=Measured([1.0], tail_count=1.0)), "tail_count needs tail_keys"),
        (ss.Traffic(ss.RateProfile([0.0, 0.0], bucket=60.0)), "all rates are zero"),
        (ss.Traffic(ss.RateProfile([], bucket=60.0)), "traffic.rate.rates: got an empty list"),
        (ss.Traffic(ss.RateProfile([1.0, -1.0], bucket=60.0)), "traffic.rate.rates.1: got -1"),
        (ss.Traffic(ss.RateProfile([1.0], bucket=0.0)), "traffic.rate.bucket: got 0"),
        (ss.Traffic(ss.RateProfile([1.0], bucket=1.0, repeat=1)), "repeat: got 1, allowed is true"),
        (ss.ClosedTraffic(0, think_time=1.0), "traffic.users: got 0"),
        (ss.ClosedTraffic(5, think_time=-1.0), "traffic.think_time.value: got -1"),
        (ss.ReplayTraffic(()), "traffic.at: got an empty list"),
        (ss.ReplayTraffic((0.0, 2.0, 1.0)), "times go back after arrival 2; sort them"),
        (ss.ReplayTraffic((-1.0,)), "traffic.at.0: got -1"),
        (ss.ReplayTraffic((math.nan,)), "traffic.at.0: got nan"),
        (ss.ReplayTraffic((1.0,), key=(1, 2)), "traffic.key: got 2 values for 1 arrivals"),
        (ss.ReplayTraffic((1.0,), key=(-1,)), "traffic.key.0: got -1"),
        (ss.ReplayTraffic((1.0,), endpoint=("git",)), 'there is no endpoint "git". Did you mean'),
        (
            ss.Traffic(1.0, mix={"git": 1.0}),
            'traffic.mix: the entry "web" has no endpoint "git". Did you mean "get"? Known: get',
        ),
    ],
)
def test_problems_of_traffic(traffic, message) -> None:
    with pytest.raises(InvalidModel) as error:
        build_plan(ss.Topology(web(), entry="web"), traffic)
    found = [str(problem) for problem in error.value.problems]
    assert any(message in each for each in found), found


DB_MIX = {"read": 1.0, "write": 0.0}


@pytest.mark.parametrize(
    ("component", "traffic", "expected"),
    [
        (DB, ss.Traffic(1.0), 'traffic.mix: the entry "db" offers read, write; give each a weight'),
        (
            DB,
            ss.Traffic(1.0, mix={"read": 1.0}),
            'traffic.mix: endpoint "write" of "db" is not in the mix; give it a weight (0 means',
        ),
        (
            ss.Cache("c", capacity=5),
            ss.Traffic(1.0, mix={"get": 1.0, "set": 1.0, "delete": 1.0}),
            'traffic.keys: is missing: cache "c" has real keys (or give the cache a hit_ratio)',
        ),
        (
            ss.Database("db", connections=1, read=1.0, read_replicas=1, count_stale_reads=True),
            ss.Traffic(1.0, mix=DB_MIX),
            'traffic.keys: is missing: database "db" counts stale reads, which are of a key',
        ),
        (
            ss.Database("db", connections=1, read=1.0, shards=2),
            ss.Traffic(1.0, mix=DB_MIX),
            'traffic.keys: is missing: database "db" is sharded by key',
        ),
        (
            ss.Database("db", connections=1, read=1.0, shards=2, shard_key="client"),
            ss.Traffic(1.0, mix=DB_MIX, keys=ss.UniformKeys(5)),
            'traffic.clients: is missing: database "db" is sharded by client',
        ),
        (
            web(balancing="ip_hash"),
            ss.Traffic(1.0),
            'traffic.clients: is missing: service "web" balances by ip_hash',
        ),
        (
            web(network_in=1e6),
            ss.Traffic(1.0),
            'traffic.request_bytes: is missing: service "web" models network_in, endpoint "get" '
            "has no size",
        ),
        (
            web(network_out=1e6),
            ss.Traffic(1.0, request_bytes=10.0),
            'traffic.response_bytes: is missing: service "web" models network_out',
        ),
    ],
)
def test_traffic_that_does_not_fit(component, traffic, expected) -> None:
    topology = ss.Topology(component, entry=component.name)
    with pytest.raises(InvalidModel) as error:
        ss.simulate(topology, traffic, duration=1.0)
    found = [str(problem) for problem in error.value.problems]
    assert any(each.startswith(expected) for each in found), found


def test_replayed_keys_and_clients_need_no_popularity() -> None:
    topology = ss.Topology(ss.Cache("c", capacity=5), entry="c")
    traffic = ss.ReplayTraffic((0.0, 1.0), key=(3, 3), endpoint=("get", "get"))
    results = ss.simulate(topology, traffic, duration=5.0, warmup=0.0)
    assert results.recordings[0].cache["hits"].sum() == 1


def test_rate_profiles() -> None:
    profile = ss.RateProfile([1.0, 4.0, 2.0, 1.0], bucket=60.0)
    assert (profile.period, profile.mean) == (240.0, 2.0)
    assert profile.busiest(60.0) == (60.0, 4.0)
    assert profile.busiest(61.0) == (60.0, 3.0)
    assert profile.busiest(1e9) == (0.0, 2.0)
    assert ss.RateProfile([5.0, 1.0, 4.0], bucket=1.0).busiest(2.0) == (2.0, 4.5)  # goes round
    assert ss.RateProfile([5.0, 1.0, 4.0], bucket=1.0, repeat=False).busiest(2.0) == (0.0, 3.0)
    assert profile.scaled(2.0).rates == (2.0, 8.0, 4.0, 2.0)


def test_scaled_traffic() -> None:
    assert ss.Traffic(5.0).scaled(3.0) == ss.Traffic(15.0)
    assert ss.ClosedTraffic(5, think_time=1.0).scaled(2.5).users == 12
    assert ss.ClosedTraffic(5, think_time=1.0).scaled(0.01).users == 1
    assert ss.ReplayTraffic((0.0, 4.0)).scaled(2.0).at == (0.0, 2.0)
    assert ss.Traffic(5.0).peak_rate(900.0) == 5.0
    assert math.isnan(ss.ClosedTraffic(5, think_time=1.0).peak_rate(900.0))
    assert ss.ReplayTraffic((0.0, 10.0, 10.5, 11.0, 30.0)).peak_rate(2.0) == 1.5
    profiled = ss.Traffic(ss.RateProfile([1.0, 3.0], bucket=60.0))
    assert (profiled.mean_rate, profiled.peak_rate(60.0)) == (2.0, 3.0)
    assert profiled.steady(7.0) == ss.Traffic(7.0)
