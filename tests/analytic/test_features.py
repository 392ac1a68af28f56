"""The analytic engine on lines with rules of their own, and on what fails: values known otherwise.

Without a source in the test they are from `tests/accuracy/cases`.
"""

from __future__ import annotations

import math

import pytest

import scalesim as ss
from scalesim.components import Endpoint, Failures, RateLimiter, fail
from scalesim.engines.analytic import solve
from scalesim.engines.analytic.networks import exact_multiclass
from scalesim.traffic import UserGroups, Users

EXP = ss.Exponential
S = 0.01


def exact(results, name, value, *where, rel=1e-6, **more) -> None:
    figure = results.metric(name, *where, **more)
    assert figure.kind == "exact", figure
    assert figure.value == pytest.approx(value, rel=rel)


def classes(first, second, **fields):
    """A service with two endpoints, the first more urgent."""
    endpoints = {
        "gold": Endpoint((ss.compute(first),), priority=0),
        "bronze": Endpoint((ss.compute(second),), priority=1),
    }
    service = ss.Service("server", endpoints=endpoints, **fields)
    return ss.Topology(service, entry="server")


def mix(gold, bronze):
    return ss.Traffic(gold + bronze, mix={"gold": gold, "bronze": bronze})


# Priorities ---------------------------------------------------------------------------------


def test_priorities_of_one_worker() -> None:
    results = solve(classes(EXP(S), EXP(S), backlog_order="priority"), mix(30.0, 50.0))
    exact(results, "wait_time_mean_s", 0.0114285714286, "server", endpoint="gold")
    exact(results, "wait_time_mean_s", 0.0571428571429, "server", endpoint="bronze")
    exact(results, "latency_mean_s", 0.05)  # work is conserved


def test_priorities_of_four_workers() -> None:
    topology = classes(EXP(S), EXP(S), workers=4, cores=4, backlog_order="priority")
    results = solve(topology, mix(150.0, 170.0))
    exact(results, "wait_time_mean_s", 0.00238572988715, "server", endpoint="gold")
    exact(results, "latency_mean_s", 0.0219286494357, endpoint="bronze")


def test_priorities_of_unequal_services_at_four_workers_are_approximate() -> None:
    topology = classes(EXP(S), EXP(2 * S), workers=4, cores=4, backlog_order="priority")
    figure = solve(topology, mix(150.0, 50.0)).metric("latency_mean_s", endpoint="gold")
    assert figure.kind == "approximate"
    assert "priorities as at one server" in figure.method


@pytest.mark.parametrize(
    ("cores", "first", "second", "rates", "gold", "bronze"),
    [
        (1, EXP(S), EXP(S), (30.0, 50.0), 0.0142857142857, 0.0714285714286),
        (1, ss.Constant(0.001), ss.LogNormal(0.05, cv=math.sqrt(2)), (200.0, 10.0),
         0.001125, 0.219166666667),
        (4, EXP(S), EXP(S), (150.0, 170.0), 0.0102983425414, 0.0237704617996),
    ],
)  # fmt: skip
def test_priorities_that_interrupt(cores, first, second, rates, gold, bronze) -> None:
    topology = classes(
        first, second, workers=10**6, cores=cores, cpu_discipline="priority_preemptive"
    )
    results = solve(topology, mix(*rates))
    exact(results, "latency_mean_s", gold, endpoint="gold")
    exact(results, "latency_mean_s", bronze, endpoint="bronze")


def test_last_come_first_served_keeps_the_mean() -> None:
    topology = classes(EXP(S), EXP(S), backlog_order="lcfs")
    results = solve(topology, mix(40.0, 40.0))
    exact(results, "latency_mean_s", 0.05)
    assert results.metric("latency_p99_s").kind == "approximate"


# Patience -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("slots", "rate", "service", "patience", "left", "wait", "busy"),
    [
        (10, 120.0, 0.1, EXP(0.5), 0.17742095194, None, 0.987094857672),
        (4, 36.0, 0.1, EXP(2.0), 0.0431553351489, None, 0.861160198366),
        (1, 90.0, 0.01, ss.Constant(0.05), 0.10730620904, 0.0178770323307, 0.803424411864),
        (4, 500.0, 0.01, ss.Constant(0.02), 0.214451027896, 0.0123976392125, 0.98193621513),
    ],
)
def test_who_waits_too_long_leaves(slots, rate, service, patience, left, wait, busy) -> None:
    service = ss.Service(
        "server", workers=slots, cores=slots, queue_timeout=patience,
        endpoints={"get": [ss.compute(EXP(service))]},
    )  # fmt: skip
    results = solve(ss.Topology(service, entry="server"), ss.Traffic(rate))
    exact(results, "timed_out_ratio", left)
    exact(results, "utilization", busy, "server")
    if wait is not None:
        exact(results, "wait_time_mean_s", wait, "server")


# Failing cores ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("when", "rate", "up", "down", "response"),
    [
        ("always", 50.0, 20.0, EXP(1.0), 0.122355889729),
        ("busy", 60.0, 2.0, ss.Constant(0.4), 0.128571428571),
    ],
)
@pytest.mark.parametrize("workers", [1, 10**6])
def test_a_core_that_fails(when, rate, up, down, response, workers) -> None:
    failures = Failures(time_to_failure=EXP(up), repair_time=down, when=when)
    server = ss.Service(
        "server", workers=workers, cpu_discipline="fifo", failures=failures,
        endpoints={"get": [ss.compute(EXP(S))]},
    )  # fmt: skip
    results = solve(ss.Topology(server, entry="server"), ss.Traffic(rate))
    exact(results, "latency_mean_s", response)


# Rate limiters ------------------------------------------------------------------------------


def limited(rate, **fields):
    done = ss.Service("done", workers=10**6, endpoints={"get": [ss.sleep(0.0)]})
    return ss.Topology(RateLimiter("limiter", target="done", rate=rate, **fields), done,
                       entry="limiter")  # fmt: skip


@pytest.mark.parametrize(
    ("rate", "burst", "lost"), [(90.0, 5, 0.0643618971855), (150.0, 10, 0.333397014954)]
)
def test_a_token_bucket_that_rejects(rate, burst, lost) -> None:
    results = solve(limited(100.0, burst=burst), ss.Traffic(rate))
    exact(results, "rejected_ratio", lost)
    assert results.capacity.value == pytest.approx(100.0)
    assert results.capacity.kind == "bound"


def test_a_leaky_bucket_that_delays() -> None:
    results = solve(limited(100.0, on_excess="delay"), ss.Traffic(80.0))
    exact(results, "latency_mean_s", 0.02)
    exact(results, "wait_probability", 0.8, "limiter")
    assert solve(limited(100.0, on_excess="delay"), ss.Traffic(120.0)).unstable == "limiter.rate"


# Branches -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("needed", "mean"), [(1, 0.01), (2, 0.025), (3, 0.055)])
def test_the_first_of_several_branches(needed, mean) -> None:
    branches = [[ss.sleep(EXP(0.03))] for _ in range(3)]
    gate = ss.Service(
        "gate", workers=10**6, endpoints={"get": [ss.parallel(*branches, wait_for=needed)]}
    )
    results = solve(ss.Topology(gate, entry="gate"), ss.Traffic(20.0))
    exact(results, "latency_mean_s", mean, rel=1e-4)


def test_branches_that_share_processors_are_not_exact() -> None:
    gate = ss.Service(
        "gate", workers=10**6,
        endpoints={"get": [ss.parallel([ss.compute(EXP(S))], [ss.compute(EXP(S))])]},
    )  # fmt: skip
    results = solve(ss.Topology(gate, entry="gate"), ss.Traffic(30.0))
    assert results.metric("wait_time_mean_s", "gate", "cpu").kind == "approximate"
    assert results.metric("latency_mean_s").kind == "approximate"


# What fails ---------------------------------------------------------------------------------


def test_steps_after_a_failure_are_not_run() -> None:
    steps = [ss.compute(EXP(S)), fail(0.5), ss.call("db.read")]
    web = ss.Service("web", workers=10**5, cores=10**5, endpoints={"get": steps})
    db = ss.Database("db", connections=1, read=EXP(0.02))
    results = solve(ss.Topology(web, db, entry="web"), ss.Traffic(60.0))
    exact(results, "utilization", 0.6, "db")
    exact(results, "failed_ratio", 0.5)
    exact(results, "latency_mean_s", S + 0.02 / 0.4)
    exact(results, "in_flight_mean", 60.0 * S + 30.0 * 0.05, "web")
    exact(results, "in_flight_mean", 60.0 * S + 30.0 * 0.05)
    assert results.capacity.value == pytest.approx(100.0)  # half of the requests reach it


def test_retries_wait_for_failures_as_long_as_those_take() -> None:
    steps = [ss.sleep(0.1), fail(0.5), ss.sleep(1.0)]
    web = ss.Service("web", workers=10**6, endpoints={"get": steps})
    traffic = ss.Traffic(1.0, retry=ss.Retry(2, backoff=0.0))
    results = solve(ss.Topology(web, entry="web"), traffic)
    exact(results, "error_ratio", 0.25)
    exact(results, "latency_mean_s", 1.1 + 0.1 / 3)


def test_a_full_queue_rejects_its_publishers() -> None:
    web = ss.Service("web", workers=10**6, endpoints={"get": [ss.publish("mail")]})
    mail = ss.MessageQueue("mail", handler=[ss.sleep(EXP(0.02))], consumers=2, capacity=2)
    results = solve(ss.Topology(web, mail, entry="web"), ss.Traffic(100.0))
    exact(results, "rejected_ratio", 2 / 9)  # M/M/2/4 at 2 erlang
    exact(results, "throughput_rps", 700 / 9)


# Balancing over bounded lines -----------------------------------------------------------------


def test_least_connections_over_bounded_lines() -> None:
    web = ss.Service("web", instances=2, workers=2, cores=2, backlog=1,
                     endpoints={"get": [ss.compute(EXP(0.08))]})  # fmt: skip
    balancer = ss.LoadBalancer("lb", targets="web", policy="least_connections")
    results = solve(ss.Topology(balancer, web, entry="lb"), ss.Traffic(55.0))
    exact(results, "rejected_ratio", 0.241374214893)


def test_the_chance_to_wait_behind_a_balancer_is_what_arrivals_see() -> None:
    web = ss.Service("web", instances=2, workers=4, cores=4,
                     endpoints={"get": [ss.compute(EXP(0.05))]})  # fmt: skip
    balancer = ss.LoadBalancer("lb", targets="web", policy="least_connections")
    results = solve(ss.Topology(balancer, web, entry="lb"), ss.Traffic(144.0))
    exact(results, "wait_probability", 0.684791159941, "web", rel=1e-4)


# Replicas and retry storms ------------------------------------------------------------------


def test_the_lag_of_a_replica_that_also_reads() -> None:
    database = ss.Database("db", connections=20, read=EXP(0.008), write=EXP(0.004),
                           read_replicas=1, apply=EXP(0.006))  # fmt: skip
    topology = ss.Topology(database, entry="db")
    traffic = ss.Traffic(80.0, mix={"read": 48.0, "write": 32.0})
    lag = solve(topology, traffic).metric("replication_lag_mean_s", "db")
    run = ss.simulate(topology, traffic, duration=2000.0).estimate("replication_lag_mean_s@db")
    assert lag.value == pytest.approx(run.value, rel=0.05)


def test_both_states_of_a_retry_storm() -> None:
    web = ss.Service("web", backlog=20, endpoints={"get": [ss.compute(EXP(S))]})
    traffic = ss.Traffic(70.0, timeout=0.15, retry=ss.Retry(3, backoff=0.01))
    results = solve(ss.Topology(web, entry="web"), traffic)
    storm = results.second_state
    assert storm is not None
    assert results.metric("error_ratio").value < 0.001
    assert storm.metric("error_ratio").value > 0.5
    assert "SECOND STATE" in results.summary()
    assert results.to_dict()["second_state"]["unstable"] == ""
    calm = solve(ss.Topology(web, entry="web"), traffic.scaled(0.4))
    assert calm.second_state is None


def test_a_storm_of_retries_at_a_line_without_bound() -> None:
    web = ss.Service("web", endpoints={"get": [ss.compute(EXP(S))]})
    traffic = ss.Traffic(70.0, timeout=0.15, retry=ss.Retry(3, backoff=0.01))
    storm = solve(ss.Topology(web, entry="web"), traffic).second_state
    assert storm is not None
    assert storm.unstable == "web.workers"


# Groups of users ----------------------------------------------------------------------------


def two_groups(browsers):
    endpoints = {
        "browse": [ss.compute(EXP(0.03)), ss.call("db.read")],
        "report": [ss.compute(EXP(0.2)), ss.call("db.write")],
    }
    web = ss.Service("web", workers=10**6, endpoints=endpoints)
    db = ss.Database("db", connections=10**6, read=EXP(0.02), write=EXP(0.1))
    groups = {
        "browse": Users(browsers, think_time=EXP(2.0), mix={"browse": 1, "report": 0}),
        "report": Users(3, think_time=EXP(3.0), mix={"browse": 0, "report": 1}),
    }
    return solve(ss.Topology(web, db, entry="web"), UserGroups(groups=groups))


@pytest.mark.parametrize("browsers", [20, 200])
def test_groups_of_users_by_mean_value_analysis(browsers) -> None:
    rates, _ = exact_multiclass([browsers, 3], [2.0, 3.0], [[0.03, 0.02], [0.2, 0.1]])
    results = two_groups(browsers)
    for name, rate, users, think in (
        ("browse", rates[0], browsers, 2.0), ("report", rates[1], 3, 3.0)
    ):  # fmt: skip
        exact(results, "throughput_rps", rate, endpoint=name)
        exact(results, "latency_mean_s", users / rate - think, endpoint=name)
    exact(results, "utilization", rates[0] * 0.03 + rates[1] * 0.2, "web", "cpu")
    assert "group report" in results.summary()


def test_many_users_in_groups_are_approximate() -> None:
    results = two_groups(2000)
    figure = results.metric("throughput_rps")
    assert (figure.kind, figure.method) == ("approximate", "Linearizer")
    assert figure.value < results.capacity.value * 1.001


def test_groups_that_wait_for_workers_with_unlike_services_are_refused() -> None:
    topology = classes(EXP(S), EXP(2 * S))
    users = {name: Users(4, think_time=EXP(0.1), mix={"gold": g, "bronze": 1 - g})
             for name, g in (("a", 1.0), ("b", 0.0))}  # fmt: skip
    with pytest.raises(ss.ScalesimError, match="serves all alike"):
        solve(topology, UserGroups(groups=users))


# Refusals -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"backlog": 3, "backlog_order": "priority"}, "backlog"),
        ({"backlog": 3, "queue_timeout": 1.0}, "backlog"),
        ({"cores": 2, "cpu_discipline": "lcfs_preemptive"}, "cpu_discipline"),
        ({"cpu_discipline": "srpt"}, "cpu_discipline"),
        ({"cpu_discipline": "fifo", "cores": 2,
          "failures": Failures(time_to_failure=EXP(1.0), repair_time=0.1)}, "failures"),
        ({"cpu_discipline": "fifo", "core_speeds": (1.0,)}, "core_speeds"),
    ],
)  # fmt: skip
def test_what_is_not_covered_together_is_refused(fields, words) -> None:
    service = ss.Service("server", workers=4, endpoints={"get": [ss.compute(EXP(S))]},
                         **fields)  # fmt: skip
    with pytest.raises(ss.ScalesimError, match=f'service "server": {words}'):
        solve(ss.Topology(service, entry="server"), ss.Traffic(1.0))


def test_priorities_of_closed_users_are_refused() -> None:
    topology = classes(EXP(S), EXP(S), backlog_order="priority")
    traffic = ss.ClosedTraffic(2, think_time=EXP(1.0), mix={"gold": 1, "bronze": 1})
    with pytest.raises(ss.ScalesimError, match="open traffic only"):
        solve(topology, traffic)
