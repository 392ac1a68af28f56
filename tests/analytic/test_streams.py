"""What streams are taken for: Poisson only where a theorem says so, and by name elsewhere."""

from __future__ import annotations

import pytest

import scalesim as ss
from scalesim.components import Failures, MessageQueue, RateLimiter, Workflow, fail
from scalesim.engines.analytic import solve
from scalesim.errors import UnsupportedByEngine
from scalesim.studies.agreement import STATED_ERROR, check_by_theory
from scalesim.traffic.processes import Batches, Even, Renewal

EXP = ss.Exponential
MANY = 10**5
AS_POISSON, BURSTS = "arrivals as if Poisson", "bursts as if Poisson"
AT_ONCE = "requests at once as if Poisson"


def service(name, *steps, workers=MANY, **fields):
    return ss.Service(name, endpoints={"get": list(steps)}, workers=workers, **fields)


def station(name, mean=0.01, law=EXP, **fields):
    """One slot."""
    return service(name, ss.sleep(law(mean)), **{"workers": 1, **fields})


def model(*steps, parts=(), **fields):
    """A service in front that never makes anybody wait for a worker."""
    return ss.Topology(service("web", *steps, **fields), *parts, entry="web")


def queue(mean=0.01, consumers=1, **fields):
    return MessageQueue("mail", handler=[ss.sleep(EXP(mean))], consumers=consumers, **fields)


def limiter(**fields):
    return RateLimiter("limit", rate=100.0, **fields)


C, call, parallel = ss.compute, ss.call, ss.parallel
PUBLISH = ss.publish("mail")
CONSTANT = ss.Constant
FORK = parallel([call("a")], [call("b")])
DELAYED = limiter(on_excess="delay")
REJECTED = limiter(on_excess="reject")
A, B, D = station("a"), station("b"), station("d")
FIXED = station("d", 0.008, CONSTANT)
CPU, MAIL = ("web", "cpu"), ("mail", None)

APPROXIMATE = {
    "behind a constant service": (model(call("d"), C(EXP(0.008)), parts=[FIXED]), 100, CPU,
                                  AS_POISSON),
    "behind a limiter that rejects": (
        model(call("limit.admit"), C(EXP(0.009)), parts=[REJECTED]), 500, CPU, AS_POISSON),
    "behind a limiter that delays": (
        model(call("limit.admit"), C(EXP(0.009)), parts=[DELAYED]), 95, CPU, AS_POISSON),
    "behind a loss": (
        model(call("d"), C(EXP(0.01)), parts=[station("d", law=CONSTANT, backlog=0)]), 100, CPU,
        AS_POISSON),
    "behind a time-out": (model(call("d", timeout=0.03), C(EXP(0.005)), parts=[D]), 70, CPU,
                          BURSTS),
    "behind those who lose patience": (
        model(call("d"), C(EXP(0.01)), parts=[station("d", queue_timeout=0.005)]), 100, CPU,
        AS_POISSON),
    "behind a queue that rejects": (
        model(PUBLISH, C(EXP(0.002)), parts=[queue(consumers=2, capacity=3)]), 180, CPU,
        AS_POISSON),
    "behind variable services": (
        model(call("d"), call("a"), parts=[A, station("d", law=lambda m: ss.LogNormal(m, cv=2))]),
        60, ("a", None), BURSTS),
    "two messages at once": (model(PUBLISH, PUBLISH, parts=[queue(consumers=2)]), 80, MAIL,
                             AT_ONCE),
    "messages of branches": (
        model(parallel([PUBLISH], [PUBLISH]), parts=[queue(consumers=2)]), 80, MAIL, AT_ONCE),
    "a message and its sender meet": (
        model(ss.publish("mail"), call("a"),
              parts=[A, MessageQueue("mail", handler=[call("a")], consumers=MANY)]),
        40, ("a", None), AT_ONCE),
    "the callee's message and the caller meet": (
        model(call("d"), call("a"),
              parts=[A, service("d", PUBLISH),
                     MessageQueue("mail", handler=[call("a")], consumers=MANY)]),
        40, ("a", None), AT_ONCE),
    "a message between two visits": (
        model(C(EXP(0.005)), PUBLISH, C(EXP(0.005)), parts=[queue(0.009)]), 90, MAIL, AS_POISSON),
    "after a join": (model(FORK, call("c"), parts=[A, B, station("c")]), 80, ("c", None),
                     AS_POISSON),
    "a fork in a loop": (
        model(C(EXP(0.004)), FORK, C(EXP(0.005)), parts=[A, B]), 80, ("a", None), AS_POISSON),
    "a branch that computes again": (
        model(C(EXP(0.002)), C(EXP(0.002)), parallel([call("a")], [C(EXP(0.003))]), parts=[A]),
        85, ("a", None), AS_POISSON),
    "branches that compute": (model(parallel([C(EXP(0.005))], [C(EXP(0.005))])), 80, CPU, AT_ONCE),
    "a core that fails, twice": (
        model(C(EXP(0.004)), C(EXP(0.004)), cpu_discipline="fifo",
              failures=Failures(time_to_failure=EXP(1.0), repair_time=EXP(0.05))),
        80, CPU, BURSTS),
    "constant services, twice": (model(call("d"), call("d"), parts=[
        station("d", 0.005, CONSTANT)]), 80, ("d", None), AS_POISSON),
    "a loop around a constant service": (
        model(C(EXP(0.003)), call("d"), C(EXP(0.003)), parts=[FIXED]), 85, ("d", None),
        AS_POISSON),
}  # fmt: skip


@pytest.mark.parametrize("name", APPROXIMATE)
def test_what_is_not_poisson_is_named(name) -> None:
    topology, rate, (component, resource), method = APPROXIMATE[name]
    traffic = ss.Traffic(rate)
    wait = solve(topology, traffic).metric("wait_time_mean_s", component, resource)
    assert wait.kind == "approximate"
    assert method in wait.method.split(", ")
    run = ss.simulate(topology, traffic, duration=400.0, warmup=20.0, seed=1)
    assert not check_by_theory(run).disagreements


def test_bursts_have_no_stated_error() -> None:
    """How far a burst makes lines longer is not bounded by anything known here."""
    assert not {BURSTS, AT_ONCE} & set(STATED_ERROR)


EXACT = {
    "loop of shared cores and exponential services": (
        model(C(EXP(0.003)), call("d"), C(EXP(0.003)), parts=[D]), 85, CPU),
    "behind failures by chance": (model(call("a"), fail(0.3), call("b"), parts=[A, B]), 90,
                                  ("b", None)),
    "message behind a station": (model(call("a"), PUBLISH, call("b"), parts=[A, B, queue()]), 85,
                                 MAIL),
    "after a join of branches that never wait": (
        model(parallel([ss.sleep(EXP(0.02))], [ss.sleep(0.01)]), call("a"), parts=[A]), 80,
        ("a", None)),
    "independent requests meet": (
        ss.Topology(
            ss.Service("web", workers=MANY, endpoints={
                "x": [call("a"), PUBLISH], "y": [call("b"), call("a")]}),
            A, B, MessageQueue("mail", handler=[call("b")], consumers=MANY), entry="web"),
        80, ("a", None)),
}  # fmt: skip


@pytest.mark.parametrize("name", EXACT)
def test_product_form_stays_exact(name) -> None:
    topology, rate, (component, resource) = EXACT[name]
    endpoints = topology.entry_endpoints
    traffic = ss.Traffic(rate, mix=dict.fromkeys(endpoints, 1.0) if len(endpoints) > 1 else None)
    figure = solve(topology, traffic).metric("wait_time_mean_s", component, resource)
    assert figure.kind == "exact", figure
    run = ss.simulate(topology, traffic, duration=1000.0, warmup=20.0, seed=1)
    assert not check_by_theory(run).disagreements


def test_unused_endpoints_disturb_nobody() -> None:
    steps = {"read": [call("a")], "write": [call("d"), call("a")]}
    web = ss.Service("web", workers=MANY, endpoints=steps)
    topology = ss.Topology(web, A, FIXED, entry="web")
    for share, kind in ((0.0, "exact"), (0.1, "approximate")):
        results = solve(topology, ss.Traffic(60.0, mix={"read": 1 - share, "write": share}))
        assert results.metric("wait_time_mean_s", "a").kind == kind


def test_a_balancer_counts_only_at_its_own_targets() -> None:
    """What instances without lines pass on is all of their requests, not every second one."""
    topology = model(call("a"), parts=[A], instances=2)
    run = ss.simulate(topology, ss.Traffic(50.0), duration=400.0, warmup=20.0, seed=1)
    assert not check_by_theory(run).disagreements


def test_regular_arrivals_hardly_wait_at_low_load() -> None:
    """Their wait vanishes faster than two moments tell."""
    topology = model(C(EXP(0.01)))
    traffic = ss.Traffic(20.0, arrivals=Even())
    method = solve(topology, traffic).metric("wait_time_mean_s", *CPU).method
    assert method == "Allen-Cunneen of regular arrivals"
    run = ss.simulate(topology, traffic, duration=1000.0, warmup=20.0, seed=1)
    assert not check_by_theory(run).disagreements


# Behind losses ----------------------------------------------------------------------------------


def test_losses_in_front_keep_a_line_stable() -> None:
    topology = ss.Topology(
        RateLimiter("limit", rate=100.0, on_excess="reject", target="s"),
        station("s", 1 / 120), entry="limit",
    )  # fmt: skip
    results = solve(topology, ss.Traffic(500.0))
    assert results.unstable == ""
    assert results.metric("throughput_rps").value == pytest.approx(500 / 6)
    assert results.metric("wait_time_mean_s", "s").kind == "approximate"


@pytest.mark.parametrize(
    ("steps", "workers", "rate", "handler", "wait"),
    [([ss.sleep(EXP(0.01)), fail(0.3), PUBLISH], 1, 80.0, 0.015, 0.84 / 0.16 * 0.015),
     ([call("f"), PUBLISH], MANY, 150.0, 0.01, 0.03)],
)  # fmt: skip
def test_failures_in_front_keep_a_line_stable(steps, workers, rate, handler, wait) -> None:
    others = [service("f", fail(0.5))] if workers == MANY else []
    topology = model(*steps, parts=[queue(handler), *others], workers=workers)
    results = solve(topology, ss.Traffic(rate))
    assert results.unstable == ""
    figure = results.metric("wait_time_mean_s", "mail")
    assert (figure.kind, figure.value) == ("exact", pytest.approx(wait))


def test_a_line_that_grows_is_named_whatever_fails_behind_it() -> None:
    topology = model(call("a"), fail(0.5), call("b"), parts=[A, B])
    assert solve(topology, ss.Traffic(110.0)).unstable == "a.workers"
    assert solve(topology, ss.Traffic(99.0)).unstable == ""
    topology = model(ss.sleep(EXP(0.01)), fail(0.5), call("b"), parts=[B], workers=1)
    assert solve(topology, ss.Traffic(110.0)).unstable == "web.workers"


@pytest.mark.parametrize(
    ("first", "method"),
    [(C(EXP(0.002)), "losses as if independent"), (call("d"), "sum of means")],
)
def test_who_comes_through_may_have_waited_less_than_all(first, method) -> None:
    """Who leaves shared cores soon leaves soon after another; a line's waits do not tell."""
    parts = [RateLimiter("limit", rate=150.0, on_excess="reject")]
    parts += [station("d", 0.002)] if method == "sum of means" else []
    topology, traffic = model(first, call("limit.admit"), parts=parts), ss.Traffic(112.5)
    results = solve(topology, traffic)
    assert results.metric("latency_mean_s").method == method
    assert results.metric("error_ratio").kind == "exact"
    run = ss.simulate(topology, traffic, duration=1000.0, warmup=20.0, seed=1)
    assert not check_by_theory(run).disagreements


# Caches ----------------------------------------------------------------------------------------


TWICE = [call("cache.get"), ss.sleep(0.01), call("cache.get")]


@pytest.mark.parametrize("limits", [{"ttl": 0.05}, {"capacity": 10}])
def test_lookups_of_one_request_are_not_independent(limits) -> None:
    cache = ss.Cache("cache", **{"capacity": 10**6} | limits)
    traffic = ss.Traffic(100.0, keys=ss.Zipf(200, 0.7))
    with pytest.raises(UnsupportedByEngine, match=r'cache "cache".*one request'):
        solve(model(*TWICE, parts=[cache]), traffic)
    assert solve(model(TWICE[0], parts=[cache]), traffic).unstable == ""
    fixed = ss.Cache("cache", hit_ratio=0.9)
    assert solve(model(*TWICE, parts=[fixed]), traffic).metric("hit_ratio", "cache").value == 0.9


def test_misses_are_at_random_only_by_a_fixed_ratio() -> None:
    """No key misses again before its entry has expired, however its hit ratio is known."""
    expiring = {"capacity": 10**6, "ttl": 1.0}
    for fields, kind in (({"hit_ratio": 0.8}, "exact"), (expiring, "approximate")):
        cache = ss.Cache("cache", origin="a.get", **fields)
        traffic = ss.Traffic(100.0, keys=ss.UniformKeys(200))
        results = solve(model(call("cache.get"), parts=[cache, A]), traffic)
        assert results.metric("wait_time_mean_s", "a").kind == kind


def test_those_who_try_again_look_up_the_same_key() -> None:
    cache = ss.Cache("cache", capacity=10**6, ttl=0.05)
    traffic = ss.Traffic(100.0, keys=ss.Zipf(200, 0.7), retry=ss.Retry(3))
    figure = solve(model(TWICE[0], fail(0.1), parts=[cache]), traffic).metric("hit_ratio", "cache")
    assert "lookups as if independent" in figure.method


# Time-outs -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("steps", "workers", "late"),
    [([ss.sleep(0.01)], MANY, 0.0), ([ss.sleep(0.004), ss.sleep(0.006)], MANY, 0.0),
     ([parallel([ss.sleep(0.01)], [ss.sleep(0.0099)])], MANY, 0.0), ([ss.sleep(0.0101)], MANY, 1.0),
     ([ss.sleep(0.01)], 1, 0.5),
     ([ss.sleep(0.002), ss.sleep(EXP(0.01))], MANY, 0.449328964)],
)  # fmt: skip
def test_an_answer_at_the_moment_of_the_time_out_is_in_time(steps, workers, late) -> None:
    """With one worker of constant services: in time are those who need not wait."""
    topology = ss.Topology(service("web", *steps, workers=workers), entry="web")
    figure = solve(topology, ss.Traffic(50.0, timeout=0.01)).metric("error_ratio")
    assert (figure.kind, figure.value) == ("exact", pytest.approx(late, abs=1e-4))


# Refused ---------------------------------------------------------------------------------------


HYPER = Renewal(gap=ss.LogNormal(0.02, cv=2.0))
REFUSED = {
    "batches at a bounded line": (ss.Topology(station("s", backlog=5), entry="s"),
                                  ss.Traffic(50.0, arrivals=Batches(10))),
    "batches at a loss": (ss.Topology(station("s", backlog=0), entry="s"),
                          ss.Traffic(20.0, arrivals=Batches(5))),
    "batches without patience": (ss.Topology(station("s", queue_timeout=EXP(0.02)), entry="s"),
                                 ss.Traffic(50.0, arrivals=Batches(10))),
    "batches at a bucket": (
        ss.Topology(RateLimiter("limit", rate=100.0, burst=5, on_excess="reject", target="s"),
                    service("s", ss.sleep(0.001)), entry="limit"),
        ss.Traffic(50.0, arrivals=Batches(10))),
    "irregular arrivals at a bounded line": (ss.Topology(station("s", backlog=5), entry="s"),
                                             ss.Traffic(50.0, arrivals=HYPER)),
    "branches at a bounded line": (
        model(parallel([call("s")], [call("s")]), parts=[station("s", backlog=5)]),
        ss.Traffic(20.0)),
    "two passes at once": (model(call("limit.admit"), call("limit.admit"), parts=[REJECTED]),
                           ss.Traffic(50.0)),
    "retries at once": (ss.Topology(station("s", backlog=0), entry="s"),
                        ss.Traffic(50.0, retry=ss.Retry(3, backoff=0))),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_no_poisson_stream_comes_near_is_refused(name) -> None:
    topology, traffic = REFUSED[name]
    with pytest.raises(UnsupportedByEngine, match=r"bursts|tries again|one worker"):
        solve(topology, traffic)


@pytest.mark.parametrize("fields", [{"backlog": 0}, {"backlog": 5}])
def test_regular_arrivals_at_a_bounded_line_are_within_the_stated_error(fields) -> None:
    topology, traffic = ss.Topology(station("s", 0.009, CONSTANT, **fields), entry="s"), ss.Traffic(
        100.0, arrivals=Even())  # fmt: skip
    assert solve(topology, traffic).metric("error_ratio").kind == "approximate"
    run = ss.simulate(topology, traffic, duration=400.0, warmup=20.0, seed=1)
    assert not check_by_theory(run).disagreements


def test_retries_of_those_turned_away_are_a_fixed_point() -> None:
    traffic = ss.Traffic(50.0, retry=ss.Retry(3, backoff=0.1))
    figure = solve(ss.Topology(station("s", backlog=0), entry="s"), traffic).metric("error_ratio")
    assert "fixed point of retries" in figure.method


def test_a_workflow_with_a_constant_service_is_approximate_everywhere_in_its_loop() -> None:
    routes = {"a": {"d": 1.0}, "d": {"a": 0.3}}
    topology = ss.Topology(Workflow("flow", start="a", routes=routes), A, FIXED, entry="flow")
    results = solve(topology, ss.Traffic(40.0))
    for name in ("a", "d"):
        assert results.metric("wait_time_mean_s", name).method == AS_POISSON
