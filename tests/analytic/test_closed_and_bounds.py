"""Closed users, capacity as a bound, names and labels: where analytic figures have to be careful.

Simulated values are of fixed seeds, with a 99.9 % interval.
"""

from __future__ import annotations

import itertools
import math
from typing import Any

import pytest

import scalesim as ss
from scalesim.components import RateLimiter, fail
from scalesim.engines.analytic import Figure, solve
from scalesim.errors import UnsupportedByEngine
from scalesim.traffic import UserGroups, Users

EXP = ss.Exponential
PLENTY = 10**5


def service(name: str, steps: Any, **fields: Any) -> ss.Service:
    endpoints = steps if isinstance(steps, dict) else {"get": steps}
    return ss.Service(name, endpoints=endpoints, **{"workers": PLENTY, **fields})


def simulated(topology: ss.Topology, traffic: Any, metric: str, duration: float = 2000) -> Any:
    results = ss.simulate(topology, traffic, duration=duration, seed=3)
    return results.estimate(metric, 0.999)


def agrees(figure: Figure, estimate: Any, kind: str = "exact") -> None:
    assert figure.kind == kind, figure
    slack = 0.2 * abs(figure.value) if kind == "approximate" else 0.0
    assert estimate.low - slack <= figure.value <= estimate.high + slack, (figure, estimate)


# Closed users -----------------------------------------------------------------------------------

USERS = ss.ClosedTraffic(20, think_time=EXP(0.5))
TWO_GROUPS = UserGroups(
    groups={"a": Users(3, think_time=EXP(0.5)), "b": Users(4, think_time=EXP(0.5))},
    keys=ss.UniformKeys(10),
)


def limited(on_excess: str) -> ss.Topology:
    limiter = RateLimiter("limiter", target="web", rate=50.0, on_excess=on_excess)
    return ss.Topology(service("web", [ss.sleep(EXP(0.01))]), limiter, entry="limiter")


def bounded(after: float, **traffic: Any) -> ss.Topology:
    steps = [ss.call("db.get"), ss.sleep(EXP(after))] if after else [ss.call("db.get")]
    db = service("db", [ss.sleep(EXP(0.1))], workers=1, backlog=1)
    return ss.Topology(service("web", steps), db, entry="web")


def cached(**fields: Any) -> ss.Topology:
    web = service("web", [ss.call("cache.get"), ss.compute(EXP(0.01))])
    origin = [service("db", [ss.sleep(EXP(0.02))])] if "origin" in fields else []
    return ss.Topology(web, ss.Cache("cache", **fields), *origin, entry="web")


@pytest.mark.parametrize(
    ("topology", "traffic", "words"),
    [
        (limited("delay"), USERS, 'rate_limiter "limiter"'),
        (limited("reject"), USERS, 'rate_limiter "limiter"'),
        (limited("reject"), TWO_GROUPS, 'rate_limiter "limiter"'),
        (bounded(1.0), USERS, '"db": workers: .*turned away skip nothing'),
        (bounded(0.0), TWO_GROUPS, '"db": workers: a bound on the waiting line'),
        (cached(ttl=1.0, origin="db.get"), TWO_GROUPS, 'cache "cache": expiry'),
    ],
)
def test_of_closed_users_is_refused(topology, traffic, words) -> None:
    with pytest.raises(UnsupportedByEngine, match=words):
        solve(topology, traffic)


def test_users_who_do_not_all_come_to_a_bounded_line_are_a_finite_source() -> None:
    web = service("web", [ss.sleep(0.1), ss.call("cache.get")])
    db = service("db", [ss.sleep(EXP(0.1))], workers=1, backlog=1)
    cache = ss.Cache("cache", hit_ratio=0.6, origin="db.get")
    topology = ss.Topology(web, cache, db, entry="web")
    theory = solve(topology, USERS)
    for name in ("throughput_rps", "error_ratio", "latency_mean_s"):
        agrees(theory.metric(name), simulated(topology, USERS, name))


def test_expiry_under_closed_users_rests_on_poisson_look_ups() -> None:
    few = ss.ClosedTraffic(1, think_time=0.1, keys=ss.UniformKeys(1))
    hits = solve(cached(ttl=0.15), few).metric("hit_ratio", "cache")
    assert (hits.kind, hits.method) == ("approximate", "few users as if Poisson")
    many = ss.ClosedTraffic(5, think_time=EXP(0.1), keys=ss.UniformKeys(10))
    topology = cached(ttl=1.0, origin="db.get")
    theory = solve(topology, many)
    for name, *where in (("throughput_rps",), ("hit_ratio", "cache")):
        at = "@".join([name, *where])
        agrees(theory.metric(name, *where), simulated(topology, many, at), "approximate")
    forever = solve(cached(origin="db.get"), many)
    assert forever.metric("throughput_rps").kind == "exact"


def failing_groups() -> ss.Topology:
    endpoints = {
        "a": [ss.compute(EXP(0.01)), fail(0.5), ss.call("db.get")],
        "b": [ss.compute(EXP(0.03)), ss.call("db.get")],
    }
    db = service("db", [ss.compute(EXP(0.02))], cores=1)
    return ss.Topology(service("web", endpoints, cores=2), db, entry="web")


def test_latency_of_groups_is_of_the_requests_that_are_completed() -> None:
    topology = failing_groups()
    traffic = UserGroups(
        groups={"x": Users(10, think_time=EXP(0.2), mix={"a": 1, "b": 0}),
                "y": Users(5, think_time=EXP(0.2), mix={"a": 1, "b": 3})},
    )  # fmt: skip
    theory = solve(topology, traffic)
    results = ss.simulate(topology, traffic, duration=2000, seed=3)
    for endpoint in (None, "a", "b"):
        for name in ("latency_mean_s", "throughput_rps"):
            at = name if endpoint is None else f"{name}[{endpoint}]"
            agrees(theory.metric(name, endpoint=endpoint), results.estimate(at, 0.999))


@pytest.mark.parametrize(("chance", "kind"), [(0.0, "exact"), (0.5, "approximate")])
def test_groups_that_wait_for_workers_know_the_latency_of_all_requests_only(chance, kind) -> None:
    steps = [ss.sleep(EXP(0.01))]
    web = service("web", {"a": [*steps, fail(chance)] if chance else steps, "b": steps}, workers=2)
    groups = {name: Users(5, think_time=EXP(think), mix={"a": name == "a", "b": name == "b"})
              for name, think in (("a", 0.01), ("b", 0.02))}  # fmt: skip
    theory = solve(ss.Topology(web, entry="web"), UserGroups(groups=groups))
    assert theory.metric("latency_mean_s", endpoint="a").kind == kind
    assert theory.metric("latency_mean_s").kind == kind


def test_slots_held_during_calls_of_several_groups_are_not_known_exactly() -> None:
    traffic = UserGroups(
        groups={name: Users(5, think_time=EXP(0.2), mix={"a": name == "a", "b": name == "b"})
                for name in "ab"}
    )  # fmt: skip
    theory = solve(failing_groups(), traffic)
    assert theory.metric("utilization", "web", "cpu").kind == "exact"
    assert theory.metric("in_flight_mean", "db").kind == "exact"
    for resource in ("workers", None):
        assert theory.metric("in_flight_mean", "web", resource).kind == "approximate"


def test_many_users_in_groups_are_close_to_the_exact_answer(monkeypatch) -> None:
    web = service("web", {"a": [ss.compute(EXP(0.01))], "b": [ss.compute(EXP(0.03))]}, cores=1)
    groups = {name: Users(users, think_time=EXP(0.7), mix={"a": name == "a", "b": name == "b"})
              for name, users in (("a", 30), ("b", 15))}  # fmt: skip
    topology, traffic = ss.Topology(web, entry="web"), UserGroups(groups=groups)
    exact = solve(topology, traffic)
    monkeypatch.setattr("scalesim.engines.analytic.groups._MOST_STATES", 1)
    near = solve(topology, traffic)
    for endpoint in (None, "a", "b"):
        figure = near.metric("latency_mean_s", endpoint=endpoint)
        assert (figure.kind, figure.method) == ("approximate", "Linearizer")
        truth = exact.metric("latency_mean_s", endpoint=endpoint).value
        assert figure.value == pytest.approx(truth, rel=0.06)


# Capacity ---------------------------------------------------------------------------------------


def behind_cache(ttl: float, keys: int) -> tuple[ss.Topology, Any]:
    web = service("web", [ss.call("cache.get")])
    db = service("db", [ss.sleep(EXP(0.1))], workers=1)
    cache = ss.Cache("cache", ttl=ttl, origin="db.get")
    return ss.Topology(web, cache, db, entry="web"), ss.UniformKeys(keys)


@pytest.mark.parametrize(("ttl", "keys", "capacity"), [(1.0, 20, 20.0), (1e3, 1, float("inf"))])
@pytest.mark.parametrize("rate", [0.01, 5.0, 1000.0])
def test_capacity_does_not_depend_on_the_rate_that_is_asked_for(ttl, keys, capacity, rate) -> None:
    # Of each key (1 / keys of the rate) r / (1 + r ttl) misses a second come to 10/s at most.
    topology, popularity = behind_cache(ttl, keys)
    found = solve(topology, ss.Traffic(rate, keys=popularity)).capacity
    assert found.value == pytest.approx(capacity)
    assert found.kind == "approximate"  # whoever comes during a fetch misses, too


def forked(needed: int | None) -> ss.Topology:
    branches = [[ss.sleep(EXP(0.01))]] * 5
    return ss.Topology(service("web", [ss.parallel(*branches, wait_for=needed)], workers=1),
                       entry="web")  # fmt: skip


def in_turn(callee: list[Any], **call: Any) -> ss.Topology:
    web = service("web", [ss.call("db.get", **call), ss.sleep(EXP(0.1))], workers=1)
    return ss.Topology(web, service("db", callee), entry="web")


@pytest.mark.parametrize(
    ("topology", "capacity"),
    [
        (forked(1), 500.0),
        (forked(2), 1 / (0.01 * (1 / 5 + 1 / 4))),
        (forked(None), 1 / (0.01 * (1 + 1 / 2 + 1 / 3 + 1 / 4 + 1 / 5))),
        (in_turn([fail(0.5), ss.sleep(EXP(1.0))]), 1 / 0.55),
        (in_turn([ss.sleep(1.0)], timeout=0.2), 1 / 0.2),
    ],
)
def test_capacity_is_that_of_what_the_idle_model_holds(topology, capacity) -> None:
    figure = solve(topology, ss.Traffic(0.01)).capacity
    assert figure.kind == "bound"
    assert figure.value == pytest.approx(capacity, rel=1e-4)


def test_capacity_of_targets_between_which_a_balancer_adapts_is_refused() -> None:
    targets = [service(name, [ss.compute(EXP(s))]) for name, s in (("a", 0.01), ("b", 0.1))]
    balancers = {
        policy: ss.LoadBalancer("edge", targets=("a", "b"), policy=policy)
        for policy in ("random", "least_connections")
    }
    spread, adapts = (ss.Topology(each, *targets, entry="edge") for each in balancers.values())
    assert solve(spread, ss.Traffic(1.0)).capacity.kind == "bound"
    with pytest.raises(UnsupportedByEngine, match="targets that are alike"):
        solve(adapts, ss.Traffic(1.0))


# Names ------------------------------------------------------------------------------------------

BOTH = ("in_flight_mean", "arrival_rate_rps", "response_time_mean_s", "throughput_rps",
        "rejected_ratio", "queue_depth_mean")  # fmt: skip


def test_a_name_is_of_the_same_thing_in_the_simulation() -> None:
    steps = [ss.compute(EXP(0.01)), ss.sleep(0.1), ss.call("slow.get"), ss.call("mail.publish")]
    web = service("web", steps)
    db = service("db", [ss.sleep(0.1), fail(0.3), ss.sleep(0.1)])
    slow = ss.Cache("slow", hit_ratio=0.5, origin="db.get", delay=EXP(0.01), concurrency=1)
    mail = ss.MessageQueue("mail", handler=[ss.sleep(EXP(0.02))], consumers=2, capacity=2)
    topology, traffic = ss.Topology(web, db, slow, mail, entry="web"), ss.Traffic(80.0)
    theory = solve(topology, traffic)
    results = ss.simulate(topology, traffic, duration=1000, seed=3)
    seen = 0
    for (where, resource), name in itertools.product(
        [("web", "workers"), ("web", "cpu"), ("db", "workers"), ("slow", None),
         ("mail", "consumers"), ("mail", "room")], BOTH,
    ):  # fmt: skip
        try:
            figure = theory.metric(name, where, resource)
        except ss.ScalesimError:
            continue  # refused by name
        at = f"{name}@{where}.{resource}" if resource else f"{name}@{where}"
        agrees(figure, results.estimate(at, 0.9999))
        seen += 1
    assert seen > 28
    assert theory.metric("arrival_rate_rps", "mail").value == pytest.approx(68.0)
    assert theory.metric("response_time_mean_s", "mail") == theory.metric(
        "message_time_mean_s", "mail"
    )


@pytest.mark.parametrize(
    ("name", "resource", "endpoint"),
    [
        ("response_time_p99_s", "cpu", None),
        ("hit_ratio", "workers", None),
        ("utilization", "cpu", "get"),
        ("in_flight_mean", "workers", "get"),
        ("rejected_ratio", "room", None),
    ],
)
def test_figures_that_there_are_not_are_refused(name, resource, endpoint) -> None:
    topology = ss.Topology(service("web", [ss.compute(EXP(0.01))]), entry="web")
    with pytest.raises(ss.ScalesimError, match="no (metric|resource|figures)"):
        solve(topology, ss.Traffic(10.0)).metric(name, "web", resource, endpoint)


def test_nobody_waits_where_nobody_comes() -> None:
    web = service("web", [ss.compute(EXP(0.01)), ss.call("cache.get")])
    db = service("db", [ss.sleep(EXP(0.1))], workers=1)
    topology = ss.Topology(web, ss.Cache("cache", origin="db.get", start="warm"), db, entry="web")
    users = ss.ClosedTraffic(5, think_time=EXP(0.1), keys=ss.UniformKeys(10))
    assert solve(topology, users).metric("wait_time_p50_s", "db", "workers").value == 0


# Rates above the capacity for a while -----------------------------------------------------------


def profiled(*rates: float, repeat: bool = True, **window: float) -> Any:
    web = service("web", [ss.compute(EXP(0.01))], workers=1)
    traffic = ss.Traffic(ss.RateProfile(rates, bucket=100.0, repeat=repeat))
    window = {"duration": 100.0 * len(rates), "warmup": 0.0, **window}
    return ss.simulate(ss.Topology(web, entry="web"), traffic, engine="analytic", **window)


@pytest.mark.parametrize("repeat", [True, False])
def test_an_overload_that_drains_is_not_called_unstable(repeat) -> None:
    results = profiled(50.0, 150.0, 20.0, repeat=repeat)
    assert results.unstable == ""
    (overload,) = results.overloads
    assert overload == ("web.workers", 100.0, 200.0, pytest.approx(262.5))
    assert "grows without end" not in results.summary()
    assert "from 100 to 200 s, drained at 262.5 s" in results.summary()
    latency = results.metric("latency_mean_s")
    assert math.isnan(latency.value)
    assert latency.method == "pointwise stationary, overloaded for a while"
    assert math.isnan(results.latency.quantile(0.99))
    assert results.metric("arrival_rate_rps").value == pytest.approx(220 / 3)
    assert list(results.profile_table()["latency_mean_s"].notna()) == [True, False, False]
    assert results.to_dict()["overloads"][0]["drained_s"] == pytest.approx(262.5)


def test_what_is_looked_at_may_begin_or_end_in_an_overload() -> None:
    late = profiled(50.0, 150.0, 20.0, duration=300.0, warmup=250.0)
    assert late.overloads[0].drained == pytest.approx(262.5)
    early = profiled(50.0, 150.0, 20.0, duration=150.0)
    assert "not drained" in early.summary()
    drained = profiled(50.0, 150.0, 20.0, duration=300.0, warmup=270.0)
    assert drained.overloads == []
    assert drained.metric("latency_mean_s").value == pytest.approx(1 / 80)


def test_a_repeated_profile_whose_mean_is_above_the_capacity_is_unstable() -> None:
    results = profiled(50.0, 190.0, 70.0)
    assert results.unstable == "web.workers"
    assert "UNSTABLE" in results.summary()
    assert profiled(50.0, 190.0, 70.0, repeat=False).unstable == ""


def test_nothing_is_busy_while_nothing_comes() -> None:
    assert profiled(50.0, 0.0).metric("utilization", "web", "cpu").value == pytest.approx(0.25)


# Plain data -------------------------------------------------------------------------------------


def test_what_is_unbounded_is_not_what_is_not_known() -> None:
    from scalesim.results.text import plain

    values = {"low": 1.0, "high": math.inf, "none": math.nan, "rows": [(-math.inf, 2)]}
    assert plain(values) == {"low": 1.0, "high": "inf", "none": None, "rows": [["-inf", 2]]}
    idle = solve(ss.Topology(service("web", [ss.sleep(1.0)]), entry="web"), ss.Traffic(1.0))
    assert isinstance(idle.to_dict()["capacity_rps"], float)


def test_disagreements_are_plain_data() -> None:
    from scalesim.studies.agreement import Agreement, Comparison

    exact = Figure(2.0, "exact", "M/M/1")
    wrong = Comparison("web", "cpu", "utilization", 1.0, 0.9, 1.1, exact, 0.0)
    data = Agreement((wrong, wrong._replace(simulated=2.0, high=2.1)), "").to_dict()
    assert (data["compared"], len(data["disagreements"])) == (2, 1)
    assert data["disagreements"][0]["analytic"] == 2.0
    assert "simulated 1" in data["disagreements"][0]["text"]
