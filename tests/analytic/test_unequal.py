"""The analytic engine where targets, loads or laws are not as even as its theorems need them.

Simulated values are of one long run each, with the half width of their 99 % intervals.
"""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

import scalesim as ss
from scalesim.components import Endpoint, Failures, RateLimiter, fail
from scalesim.distributions import HyperExponential
from scalesim.engines.analytic import capacity, solve
from scalesim.errors import UnsupportedByEngine
from scalesim.studies.agreement import _stated_error
from scalesim.traffic.processes import Renewal

EXP = ss.Exponential


def sleeper(name, mean=0.01, **fields):
    """A service with one worker that sleeps."""
    return ss.Service(name, endpoints={"get": [ss.sleep(EXP(mean))]}, **fields)


def balanced(*targets, **fields):
    names = [each.name for each in targets]
    balancer = ss.LoadBalancer("lb", targets=names, **fields)
    return ss.Topology(balancer, *targets, entry="lb")


def exact(figure, value) -> None:
    assert figure.kind == "exact", figure
    assert figure.value == pytest.approx(value, rel=1e-5)


def approximate(figure, simulated, half) -> None:
    """Assert that a figure is not called exact and is as good as its label says."""
    assert figure.kind == "approximate", figure
    error = sum(_stated_error(each) for each in figure.method.split(", ")) * figure.value
    assert abs(figure.value - simulated) <= error + half, figure


# Balancers that look at the load --------------------------------------------------------------

_REPLICATED = ss.Database(
    "db", connections=1, read=EXP(0.01), write=EXP(0.01), read_replicas=1, reads_from="all",
    balancing="least_connections",
)  # fmt: skip


@pytest.mark.parametrize("policy", ["least_connections", "power_of_two"])
@pytest.mark.parametrize(
    "topology",
    [
        lambda policy: balanced(sleeper("f", 0.005), sleeper("g", 0.02), policy=policy),
        lambda policy: balanced(
            sleeper("s"), sleeper("t"), policy=policy, weights={"s": 2.0, "t": 1.0}
        ),
        lambda policy: balanced(sleeper("s"), sleeper("t", workers=2), policy=policy),
    ],
)
def test_balancers_that_react_are_refused_over_unequal_targets(policy, topology) -> None:
    with pytest.raises(UnsupportedByEngine, match="alike"):
        solve(topology(policy), ss.Traffic(60.0))
    assert math.isnan(capacity(topology(policy), ss.Traffic(60.0)))  # 180.6/s were served of 100


def test_what_comes_from_elsewhere_makes_targets_unequal() -> None:
    topology = ss.Topology(_REPLICATED, entry="db")
    with pytest.raises(UnsupportedByEngine, match="alike"):
        solve(topology, ss.Traffic(50.0, mix={"read": 0.8, "write": 0.2}))
    assert solve(topology, ss.Traffic(50.0, mix={"read": 1.0, "write": 0.0})).capacity.value == 200


def replicated(name, read=0.01):
    return ss.Database(name, connections=1, read=EXP(read), write=EXP(0.01), read_replicas=1)


@pytest.mark.parametrize(("policy", "simulated"), [("least_connections", 0.0024),
                                                   ("round_robin", 0.0058)])  # fmt: skip
def test_balancers_over_databases_that_spread_reads_themselves(policy, simulated) -> None:
    reads = ss.Traffic(100.0, mix={"read": 1.0, "write": 0.0})
    results = solve(balanced(replicated("a"), replicated("b"), policy=policy), reads)
    approximate(results.metric("wait_time_mean_s", "a"), simulated, 0.001)  # 0.01 at random
    unequal = balanced(replicated("a"), replicated("b", 0.005), policy=policy)
    if policy == "least_connections":
        with pytest.raises(UnsupportedByEngine, match="alike"):
            solve(unequal, reads)
    else:
        assert solve(unequal, reads).metric("utilization", "a").value == pytest.approx(0.25)


def test_equal_targets_are_so_whatever_they_are_called() -> None:
    apart = balanced(sleeper("s"), sleeper("t"), policy="least_connections")
    exact(solve(apart, ss.Traffic(160.0)).metric("wait_time_mean_s", "s"), 0.0195573661764)


def test_weighted_round_robin_over_services_is_approximate() -> None:
    topology = balanced(sleeper("s"), sleeper("t"), weights={"s": 2.0, "t": 1.0})
    results = solve(topology, ss.Traffic(110.0))
    approximate(results.metric("wait_time_mean_s", "s"), 0.0219, 0.0006)
    # Of one of three the gaps are sums of three, exactly: E3/M/1.
    three = solve(ss.Topology(sleeper("x", instances=3), entry="x"), ss.Traffic(110.0))
    value = results.metric("wait_time_mean_s", "t").value
    assert value == pytest.approx(three.metric("wait_time_mean_s", "x").value)


def _pair(order="fifo", classes=2, **fields):
    endpoints = {
        f"class{k}": Endpoint((ss.compute(EXP(0.01)),), priority=k) for k in range(classes)
    }
    service = ss.Service(
        "web", endpoints=endpoints, instances=2, balancing="least_connections",
        cpu_discipline="fifo", backlog_order=order, **fields,
    )  # fmt: skip
    return ss.Topology(service, entry="web")


def test_last_come_first_served_does_not_change_how_many_are_in_flight() -> None:
    figure = solve(_pair("lcfs"), ss.Traffic(160.0)).metric("wait_time_mean_s", "web")
    exact(figure, 0.0195573661764)


def test_priorities_behind_least_connections_are_approximate() -> None:
    results = solve(_pair("priority"), ss.Traffic(160.0, mix={"class0": 0.4, "class1": 0.6}))
    for endpoint, simulated in (("class0", 0.00890), ("class1", 0.0280)):
        figure = results.metric("wait_time_mean_s", "web", endpoint=endpoint)
        approximate(figure, simulated, 0.1 * simulated)


def test_failures_behind_least_connections_are_approximate() -> None:
    failures = Failures(time_to_failure=EXP(0.3), repair_time=ss.Uniform(0.05, 0.15), when="busy")
    results = solve(_pair(classes=1, failures=failures), ss.Traffic(100.0))
    approximate(results.metric("wait_time_mean_s", "web"), 0.0237, 0.01)
    approximate(results.metric("utilization", "web"), 0.663, 0.05)


def test_transfers_are_in_flight_at_the_balancer_too() -> None:
    service = sleeper("web", instances=2, network_out=1e5, balancing="least_connections")
    results = solve(ss.Topology(service, entry="web"), ss.Traffic(100.0, response_bytes=1500))
    approximate(results.metric("wait_time_mean_s", "web", "workers"), 0.00574, 0.0002)
    network = results.metric("wait_time_mean_s", "web", "network_out")
    approximate(network, 0.0131, 0.001)
    assert network.value == pytest.approx(0.0131, rel=0.1)  # 0.0225 of a random choice


@pytest.mark.parametrize(
    ("kind", "resource"),
    [
        (lambda name: ss.Cache(name, hit_ratio=1.0, delay=EXP(0.01), concurrency=1), "slots"),
        (lambda name: RateLimiter(name, rate=100.0, on_excess="delay"), "rate"),
    ],
)
def test_the_chain_of_targets_is_of_pools_only(kind, resource) -> None:
    topology = balanced(kind("a"), kind("b"), policy="least_connections")
    names = topology.entry_endpoints
    mix = {name: float(name == names[0]) for name in names}
    figure = solve(topology, ss.Traffic(150.0, mix=mix)).metric("wait_time_mean_s", "a", resource)
    assert figure.kind == "approximate"
    assert "balanced as if at random" in figure.method


@pytest.mark.parametrize(
    ("targets", "policy", "load", "wait", "half"),
    [  # by a chain of numbers in flight of 4 million events
        (5, "least_connections", 0.5, 0.001097, 0.00003),
        (8, "least_connections", 0.85, 0.00684, 0.0002),
        (20, "least_connections", 0.85, 0.00257, 0.0001),
        (5, "power_of_two", 0.85, 0.01868, 0.0003),
        (10, "power_of_two", 0.9, 0.02111, 0.0005),
    ],
)
def test_waits_at_the_least_loaded_of_many(targets, policy, load, wait, half) -> None:
    topology = ss.Topology(sleeper("web", instances=targets, balancing=policy), entry="web")
    figure = solve(topology, ss.Traffic(targets * load * 100)).metric("wait_time_mean_s", "web")
    if load == 0.5:
        exact(figure, 0.00108641)
    else:
        approximate(figure, wait, half)
    assert figure.value == pytest.approx(wait, rel=0.16)


def test_bounded_lines_of_more_than_three_targets() -> None:
    service = sleeper("web", instances=5, backlog=1, balancing="least_connections")
    results = solve(ss.Topology(service, entry="web"), ss.Traffic(475.0))
    figure = results.metric("error_ratio")
    assert figure.kind == "exact"
    assert figure.value == pytest.approx(0.1147, abs=0.004)


# Two moments ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("service", "fields", "rate", "wait"),
    [  # of 300 thousand requests, or of Lindley's recursion
        (ss.Constant(0.01), {"instances": 4}, 240.0, 0.00098),  # 0.00188 by two moments
        (ss.Constant(0.01), {"instances": 4}, 120.0, 0.000084),
        (ss.LogNormal(0.01, cv=4.0), {"workers": 4}, 160.0, 0.00118),  # 0.00321
        (ss.LogNormal(0.01, cv=4.0), {"instances": 5, "balancing": "least_connections"}, 350.0,
         0.0194),  # 0.0335
    ],
)  # fmt: skip
def test_what_two_moments_do_not_tell_is_said(service, fields, rate, wait) -> None:
    parts = ss.Service("web", endpoints={"get": [ss.sleep(service)]}, **fields)
    results = solve(ss.Topology(parts, entry="web"), ss.Traffic(rate))
    approximate(results.metric("wait_time_mean_s", "web"), wait, 0.05 * wait)


def test_no_error_is_stated_for_bursts() -> None:
    gaps = HyperExponential(probabilities=(0.9, 0.1), means=(0.005, 0.1))
    traffic = ss.Traffic(1 / gaps.mean, arrivals=Renewal(gap=gaps))
    service = ss.Service("web", endpoints={"get": [ss.sleep(ss.Constant(0.01))]})
    figure = solve(ss.Topology(service, entry="web"), traffic).metric("wait_time_mean_s", "web")
    assert figure.method == "Allen-Cunneen of irregular arrivals"
    assert math.isnan(_stated_error(figure.method))


def test_what_evenly_spread_requests_lose_at_bounded_lines_is_less() -> None:
    topology = ss.Topology(sleeper("web", instances=4, backlog=2), entry="web")
    figure = solve(topology, ss.Traffic(360.0)).metric("error_ratio")
    approximate(figure, 0.135, 0.01)  # 0.212 of Poisson arrivals


# What a resource's figures are of ------------------------------------------------------------


def test_a_request_waits_for_its_core_while_that_is_down() -> None:
    failures = Failures(time_to_failure=EXP(1.0), repair_time=ss.Uniform(0.05, 0.15))
    service = ss.Service(
        "web", endpoints={"get": [ss.compute(EXP(0.01))]}, cpu_discipline="fifo",
        failures=failures,
    )  # fmt: skip
    results = solve(ss.Topology(service, entry="web"), ss.Traffic(60.0))
    held, busy = (results.metric("busy_mean", "web", each).value for each in ("workers", "cpu"))
    exact(results.metric("queue_depth_mean", "web", "cpu"), held - busy)
    assert held - busy == pytest.approx(0.0868, abs=0.008)
    exact(results.metric("wait_time_mean_s", "web", "cpu"), (held - busy) / 60)


def test_only_replicas_apply() -> None:
    database = ss.Database(
        "db", connections=1, read=EXP(0.01), write=EXP(0.01), apply=EXP(0.009), read_replicas=2
    )
    traffic = ss.Traffic(80.0, mix={"read": 0.0, "write": 1.0})
    results = solve(ss.Topology(database, entry="db"), traffic)
    exact(results.metric("utilization", "db", "apply"), 0.72)
    table = results.offered_table().set_index("resource")
    assert table.loc["apply", "slots"] == 2
    assert table.loc["connections", "slots"] == 3


def test_cores_that_slow_each_other_down_are_busy_for_longer() -> None:
    service = ss.Service(
        "web", endpoints={"get": [ss.compute(EXP(0.01))]}, workers=10**5, cores=8,
        contention=0.1, coherency=0.01,
    )  # fmt: skip
    results = solve(ss.Topology(service, entry="web"), ss.ClosedTraffic(20, think_time=EXP(0.05)))
    busy = results.metric("busy_mean", "web", "cpu")
    depth = results.metric("queue_depth_mean", "web", "cpu")
    assert busy.kind == depth.kind == "exact"
    assert busy.value / 8 == pytest.approx(0.677, abs=0.01)
    assert depth.value == pytest.approx(0.67, abs=0.05)
    served = results.metric("throughput_rps", "web", "cpu").value
    exact(results.metric("wait_time_mean_s", "web", "cpu"),
          (busy.value + depth.value) / served - 0.01)  # fmt: skip


# Services of infinite variance ----------------------------------------------------------------

_HEAVY = ss.Pareto(0.005, shape=1.8)


def heavy(**fields):
    return ss.Topology(
        ss.Service("web", endpoints={"get": [ss.sleep(_HEAVY)]}, **fields), entry="web"
    )


def test_waits_of_infinite_mean_have_quantiles() -> None:
    results = solve(heavy(), ss.Traffic(40.0))
    assert results.metric("latency_mean_s").value == math.inf
    rng = np.random.default_rng(8)
    services = 0.005 * (1 - rng.random(10**7)) ** (-1 / 1.8)
    walk = np.cumsum(services - rng.exponential(1 / 40, len(services)))
    waits = walk - np.minimum(np.minimum.accumulate(walk), 0.0)  # Lindley's recursion, solved
    latencies = waits[:-1] + services[1:]
    for p, near in (("50", 0.005), ("90", 0.02), ("99", 0.1)):
        figure = results.metric(f"latency_p{p}_s")
        assert figure.kind == "exact"
        assert np.quantile(latencies, float(p) / 100) == pytest.approx(figure.value, rel=near)


@pytest.mark.parametrize(
    ("fields", "rate"),
    [
        ({"workers": 2}, 70.0),  # the mean is finite (Scheller-Wolf): 1.8 > 3/2
        ({"instances": 2, "balancing": "least_connections"}, 70.0),
    ],
)
def test_infinite_variance_is_refused_at_several_slots(fields, rate) -> None:
    with pytest.raises(UnsupportedByEngine, match="infinite variance"):
        solve(heavy(**fields), ss.Traffic(rate))


def test_no_law_is_fitted_to_an_infinite_variance() -> None:
    service = ss.Service("web", endpoints={"get": [ss.compute(_HEAVY)]}, workers=10**6)
    results = solve(ss.Topology(service, entry="web"), ss.Traffic(40.0))
    exact(results.metric("latency_mean_s"), 0.01125 / 0.55)  # sharing is insensitive
    assert math.isnan(results.metric("latency_p99_s").value)


# Caches ---------------------------------------------------------------------------------------


def cached(keys, rate, fetch=None, **fields):
    """Return the hit ratio of a cache, before an origin that takes so long."""
    parts = []
    if fetch is not None:
        steps = [ss.sleep(ss.Constant(fetch))]
        parts = [ss.Service("origin", endpoints={"get": steps}, workers=10**5)]
        fields["origin"] = "origin.get"
    topology = ss.Topology(ss.Cache("cache", delay=0.0, **fields), *parts, entry="cache")
    traffic = ss.Traffic(rate, keys=keys, mix={"get": 1.0, "set": 0.0, "delete": 0.0})
    return solve(topology, traffic).metric("hit_ratio", "cache")


@pytest.mark.parametrize(
    ("fields", "simulated"),
    [
        ({"ttl": 1.0, "fetch": 0.2}, 0.793),
        ({"ttl": 1.0, "fetch": 0.999}, 0.629),  # 0.909 if fetches took no time
        ({"time_to_idle": 0.2, "fetch": 0.1}, 0.776),
    ],
)
def test_who_asks_for_what_is_being_fetched_misses_too(fields, simulated) -> None:
    figure = cached(ss.UniformKeys(1), 10.0, capacity=10, **fields)
    assert figure.method == "mean fetch times"
    assert figure.value == pytest.approx(simulated, abs=0.015)


def test_nothing_is_stated_of_fetches_that_fail() -> None:
    origin = ss.Service("origin", endpoints={"get": [fail(0.5)]}, workers=10**5)
    cache = ss.Cache("cache", capacity=10, ttl=1.0, delay=0.0, origin="origin.get")
    traffic = ss.Traffic(10.0, keys=ss.UniformKeys(1), mix={"get": 1.0, "set": 0.0, "delete": 0.0})
    results = solve(ss.Topology(cache, origin, entry="cache"), traffic)
    assert results.metric("hit_ratio", "cache").method == "without fetch times"


@pytest.mark.parametrize(("eviction", "simulated"), [("lru", 0.559), ("fifo", 0.461)])
def test_fetches_while_items_are_evicted(eviction, simulated) -> None:
    figure = cached(ss.Zipf(100, 1.0), 100.0, fetch=0.1, capacity=20, eviction=eviction)
    assert figure.method == "Che, mean fetch times"
    assert figure.value == pytest.approx(simulated, abs=0.01)


@pytest.mark.parametrize("capacity", [1, 2])
@pytest.mark.parametrize("eviction", ["lru", "fifo", "random"])
def test_a_cache_of_one_or_two_items_is_exact(eviction, capacity) -> None:
    figure = cached(ss.Zipf(4, 1.2), 10.0, capacity=capacity, eviction=eviction)
    shares = np.arange(1, 5) ** -1.2 / (np.arange(1, 5) ** -1.2).sum()
    # What is in the cache is a Markov chain of ordered contents.
    states = list(itertools.permutations(range(4), capacity))
    chain = np.zeros((len(states), len(states)))
    for i, held in enumerate(states):
        for key, share in enumerate(shares):
            for following, chance in _after(held, key, eviction):
                chain[states.index(following), i] += share * chance
    values, vectors = np.linalg.eig(chain)
    p = np.real(vectors[:, np.argmax(np.real(values))])
    p /= p.sum()
    exact(figure, sum(p[i] * shares[list(held)].sum() for i, held in enumerate(states)))


def _after(held, key, eviction):
    """Yield what is held, latest first, after a request for `key`, and how likely."""
    if key in held:
        rest = tuple(each for each in held if each != key)
        yield ((key, *rest) if eviction == "lru" else held), 1.0
    elif eviction == "random":
        for out in held:
            yield (key, *(each for each in held if each != out)), 1 / len(held)
    else:
        yield (key, *held[:-1]), 1.0
