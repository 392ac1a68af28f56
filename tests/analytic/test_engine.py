"""The analytic engine as a whole: values and labels of models with a known answer."""

from __future__ import annotations

import json
import math

import pytest

import scalesim as ss
from scalesim.components import Workflow
from scalesim.distributions import HyperExponential, Recorded
from scalesim.engines.analytic import solve
from scalesim.traffic.processes import Batches, Renewal

EXP = ss.Exponential
S = 0.01


def one(service, **fields):
    server = ss.Service("server", endpoints={"get": [ss.compute(service)]}, **fields)
    return ss.Topology(server, entry="server")


def pass_on(*calls):
    """A service that only calls, and never makes anybody wait."""
    steps = [ss.call(each) if isinstance(each, str) else each for each in calls]
    return ss.Service("gate", workers=10**6, endpoints={"get": steps})


def exact(results, name, value, *where, rel=1e-9, **more) -> None:
    figure = results.metric(name, *where, **more)
    assert figure.kind == "exact", figure
    assert figure.value == pytest.approx(value, rel=rel)


def approximate(results, name, value, *where, rel, method, **more) -> None:
    figure = results.metric(name, *where, **more)
    assert figure.kind == "approximate"
    assert method in figure.method
    assert figure.value == pytest.approx(value, rel=rel)


# Exact --------------------------------------------------------------------------------------


def test_mm1() -> None:
    results = ss.simulate(one(EXP(S)), ss.Traffic(80.0), duration=1.0, engine="analytic")
    exact(results, "latency_mean_s", 0.05)
    exact(results, "wait_time_mean_s", 0.04, "server")
    exact(results, "queue_depth_mean", 3.2, "server")
    exact(results, "utilization", 0.8, "server")
    exact(results, "in_flight_mean", 4.0)
    exact(results, "latency_p99_s", -0.05 * math.log(0.01), rel=1e-4)
    exact(results, "latency_p99_9_s", -0.05 * math.log(0.001), rel=1e-4)
    assert results.metric("capacity_rps").kind == "bound"
    assert results.capacity.value == pytest.approx(100.0)
    assert results.latency.mean == pytest.approx(0.05)


def test_mmck() -> None:
    results = solve(one(EXP(0.1), workers=4, cores=4, backlog=6), ss.Traffic(40.0))
    exact(results, "rejected_ratio", 0.108474576271)
    exact(results, "latency_mean_s", 0.163878326996)
    exact(results, "utilization", 0.891525423729, "server")
    exact(results, "throughput_rps", 35.6610169492)


def test_erlang_b_does_not_depend_on_the_law() -> None:
    law = ss.LogNormal(S, cv=2.0)
    results = solve(one(law, workers=10, cores=10, backlog=0), ss.Traffic(800.0))
    exact(results, "rejected_ratio", 0.121661064253)


def test_mg1() -> None:
    results = solve(one(ss.LogNormal(S, cv=math.sqrt(2))), ss.Traffic(70.0))
    exact(results, "wait_time_mean_s", 0.035, "server")
    exact(results, "wait_time_p99_s", 0.265297423069, "server", rel=2e-3)


def test_shared_processors_do_not_depend_on_the_law() -> None:
    law = HyperExponential(
        probabilities=(0.887298334621, 0.112701665379), means=(0.00563508326896, 0.044364916731)
    )
    results = solve(one(law, workers=10**6), ss.Traffic(70.0))
    exact(results, "latency_mean_s", 0.0333333333333, rel=1e-8)
    results = solve(one(EXP(S), workers=10**6, cores=4), ss.Traffic(340.0))
    exact(results, "latency_mean_s", 0.0214886036947)


def test_limited_processor_sharing_of_exponential_work() -> None:
    results = solve(one(EXP(S), workers=4), ss.Traffic(80.0))
    exact(results, "latency_mean_s", 0.05)
    exact(results, "wait_time_mean_s", 0.02048, "server", "workers")


@pytest.mark.parametrize(
    ("policy", "wait"), [("random", 0.04), ("round_robin", 0.0284397976699),
                         ("least_connections", 0.0195573661764)],
)  # fmt: skip
def test_balancing_over_two(policy, wait) -> None:
    balancer = ss.LoadBalancer("lb", targets="web", policy=policy)
    web = ss.Service("web", instances=2, endpoints={"get": [ss.compute(EXP(S))]})
    results = solve(ss.Topology(balancer, web, entry="lb"), ss.Traffic(160.0))
    exact(results, "wait_time_mean_s", wait, "web", rel=1e-5)


def test_open_network_with_feedback() -> None:
    server = ss.Service("server", endpoints={"get": [ss.compute(EXP(0.015))]})
    again = Workflow("loop", start="server", routes={"server": {"server": 0.4}})
    results = solve(ss.Topology(again, server, entry="loop"), ss.Traffic(30.0))
    exact(results, "latency_mean_s", 0.1)
    exact(results, "response_time_mean_s", 0.06, "server")
    exact(results, "arrival_rate_rps", 50.0, "server")


def test_tandem() -> None:
    web = ss.Service("web", endpoints={"get": [ss.compute(EXP(0.02))]})
    db = ss.Service("db", endpoints={"get": [ss.compute(EXP(0.015))]})
    topology = ss.Topology(pass_on("web", "db"), web, db, entry="gate")
    exact(solve(topology, ss.Traffic(40.0)), "latency_mean_s", 0.1375)


def test_fork_of_two_stations() -> None:
    stations = [ss.Service(n, endpoints={"get": [ss.compute(EXP(S))]}) for n in ("a", "b")]
    gate = pass_on(ss.parallel([ss.call("a")], [ss.call("b")]))
    results = solve(ss.Topology(gate, *stations, entry="gate"), ss.Traffic(80.0))
    exact(results, "latency_mean_s", 0.07)


def test_fixed_hit_ratio() -> None:
    origin = ss.Service("origin", endpoints={"get": [ss.compute(EXP(S))]})
    cache = ss.Cache("cache", hit_ratio=0.8, origin="origin.get", delay=0.001)
    results = solve(ss.Topology(cache, origin, entry="cache"), ss.Traffic(
        400.0, mix={"get": 1, "set": 0, "delete": 0}))  # fmt: skip
    exact(results, "latency_mean_s", 0.011)
    exact(results, "hit_ratio", 0.8, "cache")
    exact(results, "utilization", 0.8, "origin")


def test_time_out_of_work_that_goes_on() -> None:
    results = solve(one(EXP(S)), ss.Traffic(80.0, timeout=0.1))
    exact(results, "timed_out_ratio", 0.135335283237, rel=1e-4)
    exact(results, "latency_mean_s", 0.034348235725, rel=1e-4)
    exact(results, "utilization", 0.8, "server")


def test_time_outs_and_retries_without_queueing() -> None:
    law = ss.LogNormal(0.03, cv=1.5)
    traffic = ss.Traffic(25.0, timeout=0.1, retry=ss.Retry(3, on="timed_out"))
    results = solve(one(law, workers=10**5, cores=10**5), traffic)
    late = results.metric("error_ratio").value ** (1 / 3)
    assert results.metric("retry_amplification").value == pytest.approx(1 + late + late**2)


def test_closed_users() -> None:
    results = solve(one(EXP(0.05)), ss.ClosedTraffic(20, think_time=EXP(1.0)))
    exact(results, "throughput_rps", 16.8221614, rel=1e-6)
    exact(results, "latency_mean_s", 0.188907909896)
    exact(results, "utilization", 0.841108, "server", rel=1e-5)


def test_closed_users_slowed_down_by_each_other() -> None:
    topology = one(EXP(0.04), workers=10**5, cores=10**5, contention=0.02, coherency=0.0005)
    results = solve(topology, ss.ClosedTraffic(40, think_time=EXP(0.5)))
    exact(results, "throughput_rps", 73.6968952203)
    exact(results, "latency_mean_s", 0.0427637064008)


# Approximate ----------------------------------------------------------------------------------


def nested(slots, connections, before, held, after=0.0, **fields):
    steps = [ss.compute(EXP(before)), ss.call("db.read")]
    steps += [ss.compute(EXP(after))] if after else []
    web = ss.Service("web", workers=slots, cores=slots, endpoints={"get": steps}, **fields)
    db = ss.Database("db", connections=connections, cores=connections, read=EXP(held))
    return ss.Topology(web, db, entry="web")


def test_slots_held_while_waiting_for_a_connection() -> None:
    results = solve(nested(4, 2, 0.05, 0.04), ss.Traffic(30.0))
    approximate(results, "latency_mean_s", 0.140268, rel=0.03, method="flow-equivalent")
    approximate(results, "wait_time_mean_s", 0.042018, "web", rel=0.07, method="flow-equivalent")
    approximate(results, "wait_time_mean_s", 0.008251, "db", rel=0.03, method="flow-equivalent")
    results = solve(nested(6, 2, 0.02, 0.025, 0.01, backlog=8), ss.Traffic(70.0))
    approximate(results, "latency_mean_s", 0.102803, rel=0.03, method="flow-equivalent")


def test_users_who_wait_for_slots_and_connections() -> None:
    traffic = ss.ClosedTraffic(25, think_time=EXP(1.0))
    results = solve(nested(6, 3, 0.04, 0.08, 0.02, backlog=40), traffic)
    approximate(results, "throughput_rps", 21.623723, rel=0.01, method="flow-equivalent")
    approximate(results, "latency_mean_s", 0.156138, rel=0.01, method="flow-equivalent")


def test_constant_service_at_several_slots() -> None:
    results = solve(one(ss.Constant(S), workers=2, cores=2), ss.Traffic(160.0))
    approximate(results, "wait_time_mean_s", 0.00903283879416, "server", rel=0.03,
                method="Allen-Cunneen")  # fmt: skip


def test_least_connections_over_many() -> None:
    web = ss.Service("web", instances=1000, endpoints={"get": [ss.compute(EXP(S))]})
    balancer = ss.LoadBalancer("lb", targets="web", policy="power_of_two")
    results = solve(ss.Topology(balancer, web, entry="lb"), ss.Traffic(90_000.0))
    approximate(results, "latency_mean_s", 0.0261405737732, rel=0.01, method="mean field")


def test_a_large_lru_cache() -> None:
    cache = ss.Cache("cache", capacity=1000)
    traffic = ss.Traffic(100.0, keys=ss.Zipf(10_000, 0.9), mix={"get": 1, "set": 0, "delete": 0})
    figure = solve(ss.Topology(cache, entry="cache"), traffic).metric("hit_ratio", "cache")
    assert (figure.kind, figure.method) == ("approximate", "Che")
    assert 0.4 < figure.value < 0.7


def test_a_cache_without_a_bound() -> None:
    cache = ss.Cache("cache", time_to_idle=1.5, start="warm")
    traffic = ss.Traffic(2.0, keys=ss.UniformKeys(1), mix={"get": 1, "set": 0, "delete": 0})
    figure = solve(ss.Topology(cache, entry="cache"), traffic).metric("hit_ratio", "cache")
    assert figure.value == pytest.approx(1 - math.exp(-3.0))


# Instability and change over time ----------------------------------------------------------------


def test_a_line_that_grows_without_end_is_named() -> None:
    results = solve(nested(4, 2, 0.05, 0.04), ss.Traffic(200.0))
    assert results.unstable == "web.workers"
    assert math.isnan(results.metric("latency_mean_s").value)
    assert "UNSTABLE" in results.summary()
    assert results.metric("offered_utilization", "web").value > 1
    json.dumps(results.to_dict(), allow_nan=False)


def test_a_rate_that_changes() -> None:
    profile = ss.RateProfile((8.0, 15.0, 4.0), bucket=10.0, repeat=False)
    results = ss.simulate(
        one(EXP(0.1)), ss.Traffic(profile), duration=30.0, warmup=0.0, engine="analytic"
    )
    table = results.profile_table()
    assert list(table["backlog_requests"]) == pytest.approx([0.0, 50.0, 0.0])
    assert table["latency_mean_s"][0] == pytest.approx(0.5)
    assert "fluid" in results.summary()
    assert results.metric("latency_mean_s").method.startswith("pointwise stationary")
    json.dumps(results.to_dict(), allow_nan=False)


def test_tables_have_a_kind_and_a_method() -> None:
    results = solve(nested(4, 2, 0.05, 0.04), ss.Traffic(30.0))
    for table in (
        results.requests_table(), results.resources_table(), results.components_table()
    ):  # fmt: skip
        assert set(table["kind"]) <= {"exact", "approximate", "bound"}
        assert (table["method"].str.len() > 0).all()
    assert "<table" in results._repr_html_()


# Refusals ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("topology", "traffic", "words"),
    [
        (one(EXP(S), memory=1e9), ss.Traffic(1.0), 'service "server": memory'),
        (one(EXP(S)), ss.ReplayTraffic(at=(1.0, 2.0)), "replay"),
        (one(EXP(S)), ss.ClosedTraffic(2, think_time=EXP(1.0), timeout=1.0), "traffic: timeout"),
        (
            ss.Topology(
                pass_on(ss.publish("mail")),
                ss.MessageQueue("mail", handler=[ss.sleep(0.1)], capacity=5, when_full="block"),
                entry="gate",
            ),
            ss.Traffic(1.0),
            'message_queue "mail": when_full',
        ),
    ],
)
def test_what_is_not_covered_is_refused_by_name(topology, traffic, words) -> None:
    with pytest.raises(ss.ScalesimError, match=words) as caught:
        ss.simulate(topology, traffic, duration=1.0, engine="analytic")
    assert "compiled" in str(caught.value)


def test_unknown_names_get_a_hint() -> None:
    results = solve(one(EXP(S)), ss.Traffic(80.0))
    with pytest.raises(ss.InvalidInput, match="latency_mean_s"):
        results.metric("latency_mean")
    with pytest.raises(ss.InvalidInput, match='Did you mean "server"'):
        results.metric("utilization", "sever")
    with pytest.raises(ss.InvalidInput, match="workers"):
        results.metric("utilization", "server", "worker")


def test_a_distribution_whose_draws_are_not_independent_is_refused() -> None:
    with pytest.raises(ss.ScalesimError, match="recorded"):
        solve(one(Recorded((0.01, 0.02))), ss.Traffic(1.0))


# Arrivals that are not Poisson ---------------------------------------------------------------


def test_renewal_arrivals() -> None:
    gap = HyperExponential(
        probabilities=(0.887298334621, 0.112701665379), means=(0.00805011895566, 0.0633784524729)
    )
    results = solve(one(EXP(S)), ss.Traffic(70.0, arrivals=Renewal(gap)))
    exact(results, "wait_time_mean_s", 0.0557305163373, "server", rel=1e-4)
    results = solve(one(EXP(S)), ss.Traffic(90.0, arrivals="constant"))
    exact(results, "wait_time_mean_s", 0.0417865942215, "server")


@pytest.mark.parametrize(
    ("size", "law", "rate", "wait"), [(5, "fixed", 75.0, 0.11), (4, "geometric", 80.0, 0.19)]
)
def test_batches(size, law, rate, wait) -> None:
    results = solve(one(EXP(S)), ss.Traffic(rate, arrivals=Batches(size, law=law)))
    exact(results, "wait_time_mean_s", wait, "server")
    with pytest.raises(ss.ScalesimError, match="batches"):
        solve(one(EXP(S), workers=2, cores=2), ss.Traffic(rate, arrivals=Batches(size, law=law)))
