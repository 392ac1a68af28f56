"""Forecasts against theory, their consistency, and their edges."""

from __future__ import annotations

import dataclasses
import json
import math

import pytest

import scalesim as ss
from scalesim.components import RateLimiter
from scalesim.components.steps import fail
from scalesim.errors import InvalidInput, InvalidModel
from scalesim.studies.breaking import Evaluator, find_breaking_load
from scalesim.studies.levers import levers_for
from scalesim.traffic import Batches, FactorTable


def erlang_c_server(slots: int, mean: float) -> ss.Topology:
    endpoints = {"get": [ss.compute(ss.Exponential(mean))]}
    server = ss.Service("server", workers=slots, cores=slots, endpoints=endpoints)
    return ss.Topology(server, entry="server")


@pytest.mark.parametrize(
    ("slots", "mean", "rate", "growth", "limit", "breaking_rate", "month"),
    [
        # Erlang C response quantile, solved for the rate.
        (4, 0.05, 40.0, 0.05, 0.4, 66.9394959716, 11),
        (16, 0.1, 70.0, 0.03, 0.6, 148.840278787, 26),
    ],
)
def test_breaking_load_and_month_against_erlang_c(
    slots, mean, rate, growth, limit, breaking_rate, month
):
    answer = ss.forecast(
        erlang_c_server(slots, mean),
        ss.Traffic(rate),
        growth=growth,
        months=30,
        objective=ss.Objective(latency=limit),
        requests=100_000,
    )
    broken = answer.first_break
    assert broken is not None
    assert broken.rate == pytest.approx(breaking_rate, rel=0.03)
    assert broken.rate_low < broken.rate < broken.rate_high
    assert broken.month_low <= month <= broken.month_high
    assert (broken.component, broken.resource) == ("server", "workers")
    assert answer.verdict.startswith("The workers of server break first")


def test_the_fix_was_simulated_and_moves_the_break():
    answer = ss.forecast(
        erlang_c_server(2, 0.02),
        ss.Traffic(60.0),
        growth=0.1,
        months=12,
        objective=ss.Objective(latency=0.2),
        requests=10_000,
    )
    fix, broken = answer.fix, answer.first_break
    assert fix is not None
    assert broken is not None
    assert len(fix.tried) >= 1
    assert fix.next_break is None or fix.next_break.rate > broken.rate * 1.02
    variant = answer.topology.vary(fix.lever.changes)
    again = Evaluator(variant, answer.traffic, answer.objective, requests=10_000)
    assert not again(broken.rate * 1.02).misses
    assert [point.month for point in answer.after_fix] == list(range(13))


def test_unstable_months_have_no_latency():
    answer = ss.forecast(
        erlang_c_server(1, 0.01),
        ss.Traffic(80.0),
        growth=0.2,
        months=6,
        objective=ss.Objective(latency=1.0),
        requests=20_000,
    )
    last = answer.points[-1]
    assert not last.stable
    assert math.isnan(last.latency)
    assert answer.table()["state"].iloc[-1] == "unstable"


def test_an_overloaded_queue_breaks_though_clients_do_not_notice():
    topology = ss.Topology(
        ss.Service("web", workers=50, cores=50, endpoints={"buy": [ss.publish("mails")]}),
        ss.MessageQueue("mails", consumers=2, handler=[ss.sleep(0.05)]),
        entry="web",
    )
    answer = ss.forecast(
        topology,
        ss.Traffic(20.0),
        growth=0.1,
        months=12,
        objective=ss.Objective(latency=1.0),
        requests=10_000,
    )
    assert answer.first_break is not None
    assert answer.first_break.component == "mails"
    assert answer.first_break.misses == "unstable"
    assert answer.first_break.rate == pytest.approx(40.0, rel=0.06)
    assert answer.fix is not None
    assert answer.fix.lever.field == "consumers"


def test_nothing_breaks_within_the_horizon():
    answer = ss.forecast(
        erlang_c_server(8, 0.01),
        ss.Traffic(10.0),
        growth=0.01,
        months=3,
        objective=ss.Objective(latency=0.5),
        requests=2_000,
    )
    assert answer.verdict.startswith("Nothing breaks within 3 months")
    one = dataclasses.replace(answer, months=1)
    assert one.verdict.startswith("Nothing breaks within 1 month.")
    assert answer.fix is None


def test_requests_that_take_longer_than_the_run_do_not_count_as_failed():
    server = ss.Service("server", workers=9000, endpoints={"get": [ss.sleep(1.0)]})
    topology = ss.Topology(server, entry="server")
    objective = ss.Objective(latency=1.5, error_ratio=0.001)
    evaluate = Evaluator(topology, ss.Traffic(4000.0), objective, requests=1_000)
    assert evaluate(4000.0).misses == ""


def test_already_broken_today():
    answer = ss.forecast(
        erlang_c_server(1, 0.01),
        ss.Traffic(99.0),
        growth=0.1,
        months=3,
        objective=ss.Objective(latency=0.05),
        requests=5_000,
    )
    assert answer.first_break is not None
    assert answer.first_break.already
    assert answer.first_break.month == 0
    assert "already today" in answer.verdict


@pytest.mark.parametrize(
    ("steps", "objective", "words"),
    [
        ([ss.compute(0.03)], ss.Objective(latency=0.001), ["p99 latency is", "at most 1 ms"]),
        (
            [ss.compute(0.004), fail(0.1)],
            ss.Objective(error_ratio=0.001),
            ["% of the requests fail", "at most 0.1 %"],
        ),
    ],
)
def test_missed_at_every_load(steps, objective, words):
    server = ss.Service("server", workers=8, cores=8, endpoints={"get": steps})
    answer = ss.forecast(
        ss.Topology(server, entry="server"),
        ss.Traffic(20.0),
        growth=0.1,
        months=2,
        objective=objective,
        requests=2_000,
    )
    broken = answer.first_break
    assert broken is not None
    assert broken.at_every_load
    assert answer.fix is None
    assert answer.verdict.startswith("The objective is missed at every load: even at 0.00")
    for each in (*words, "when the system is idle", "More capacity does not change that"):
        assert each in answer.verdict
    json.dumps(answer.to_dict(), allow_nan=False)
    ss.plot(answer)


def test_batches_that_wait_even_when_idle_have_a_lever():
    answer = ss.forecast(
        erlang_c_server(1, 0.01),
        ss.Traffic(1.0, arrivals=Batches(8)),
        growth=0.1,
        months=2,
        objective=ss.Objective(latency=0.1),
        requests=2_000,
    )
    assert answer.first_break is not None
    assert answer.first_break.at_every_load
    assert answer.first_break.component == "server"
    assert answer.fix is not None
    assert answer.fix.holds
    assert answer.fix.lever.after == 8


def test_a_peak_far_above_what_is_carried_is_not_missed_at_every_load():
    answer = ss.forecast(
        erlang_c_server(1, 0.01),
        ss.Traffic(3e6),
        growth=0.0,
        months=1,
        objective=ss.Objective(latency=0.5),
        requests=2_000,
    )
    assert answer.first_break is not None
    assert answer.first_break.rate == pytest.approx(90, rel=0.15)


def test_traffic_that_does_not_fit_is_refused_as_by_simulate():
    topology, traffic = erlang_c_server(1, 0.01), ss.Traffic(200.0, mix={"x": 1.0})
    with pytest.raises(InvalidModel) as of_simulate:
        ss.simulate(topology, traffic, duration=1.0)
    with pytest.raises(InvalidModel) as of_forecast:
        ss.forecast(topology, traffic, growth=0.1, objective=ss.Objective(latency=0.5))
    assert str(of_forecast.value) == str(of_simulate.value)


@pytest.mark.parametrize(
    ("rate", "growth", "first"),
    [(20.0, FactorTable((1.2, 8.0, 1.5)), 2), (250.0, ss.Compound(-0.3), 0)],
)
def test_the_fix_carries_the_largest_month_not_the_last(rate, growth, first):
    answer = ss.forecast(
        erlang_c_server(1, 0.01),
        ss.Traffic(rate),
        growth=growth,
        months=4,
        objective=ss.Objective(latency=0.5),
        requests=5_000,
    )
    assert answer.first_break is not None
    assert answer.first_break.month == first
    assert answer.fix is not None
    assert answer.fix.holds
    assert "then the objective holds for 4 months" in answer.verdict
    assert all(point.meets for point in answer.after_fix)


def two_servers_in_a_row() -> ss.Topology:
    work = ss.compute(ss.Exponential(0.01))
    endpoints = {"get": [work, ss.call("back.get")]}
    front = ss.Service("front", workers=100, cores=6, endpoints=endpoints)
    back = ss.Service("back", workers=1, cores=1, endpoints={"get": [work]})
    return ss.Topology(front, back, entry="front")


@pytest.mark.parametrize("growth", [0.1, FactorTable((0.01, 2))])
def test_a_lever_that_does_not_reach_today_is_no_fix(growth):
    answer = ss.forecast(
        two_servers_in_a_row(),
        ss.Traffic(5000.0),
        growth=growth,
        months=2,
        objective=ss.Objective(latency=0.5),
        requests=2_000,
    )
    assert not answer.fix_helps
    assert "Fix:" not in answer.verdict
    assert "No single lever that was simulated carries today's 5,000/s: back." in answer.verdict
    assert "gets furthest; with it the processors of front break, at" in answer.verdict


def test_a_lever_that_does_not_reach_the_month_that_breaks_is_no_fix():
    answer = ss.forecast(
        two_servers_in_a_row(),
        ss.Traffic(50.0),
        growth=FactorTable((1.1, 100.0)),
        months=2,
        objective=ss.Objective(latency=0.5),
        requests=2_000,
    )
    assert "carries the 5,000/s of month 2: back." in answer.verdict


def test_a_lever_is_no_larger_than_what_breaks_next_asks_and_few_simulations_find_it():
    answer = ss.forecast(
        two_servers_in_a_row(),
        ss.Traffic(50.0),
        growth=0.5,
        months=12,
        objective=ss.Objective(latency=0.5),
        requests=5_000,
    )
    assert answer.fix is not None
    assert answer.fix.next_break is not None
    assert answer.fix.next_break.component == "front"
    assert str(answer.fix.lever) == "back.instances 1 -> 7"
    assert answer.simulations < 95


def test_the_line_in_front_of_held_resources_is_explained():
    topology = ss.Topology(
        ss.Service("web", workers=40, cores=40, endpoints={"get": [ss.call("db.read")]}),
        ss.Database("db", connections=3, cores=2, read=ss.Exponential(0.01)),
        entry="web",
    )
    answer = ss.forecast(
        topology,
        ss.Traffic(100.0),
        growth=0.1,
        months=2,
        objective=ss.Objective(latency=0.3),
        requests=5_000,
    )
    broken = answer.first_break
    assert broken is not None
    assert (broken.component, broken.resource) == ("db", "cpu")
    assert ("db", "connections") in [(each.component, each.resource) for each in broken.in_front]
    assert all(each.wait_share > broken.evidence.wait_share for each in broken.in_front)
    assert "in front of it they wait" in answer.summary()
    assert "for the connections of db" in answer.summary()
    assert answer.to_dict()["first_break"]["in_front"]


@pytest.mark.parametrize(
    ("months", "words"),
    [
        ((2, 2, 2), "in month 2."),
        ((2, 1, 3), "in month 2 (between 1 and 3)."),
        ((2, 2, None), "in month 2 (perhaps never)."),
        ((2, 1, None), "in month 2 (1 at the earliest, perhaps never)."),
    ],
)
def test_the_range_of_months_reads_well(months, words):
    answer = ss.forecast(
        erlang_c_server(1, 0.01),
        ss.Traffic(80.0),
        growth=0.1,
        months=4,
        objective=ss.Objective(latency=0.3),
        requests=1_000,
    )
    assert answer.first_break is not None
    month, low, high = months
    broken = dataclasses.replace(answer.first_break, month=month, month_low=low, month_high=high)
    assert words in dataclasses.replace(answer, first_break=broken).verdict


def test_the_peak_is_the_busiest_window_of_the_profile():
    profile = ss.RateProfile((1.0, 5.0, 9.0, 2.0), bucket=900.0)
    answer = ss.forecast(
        erlang_c_server(1, 0.01),
        ss.Traffic(profile),
        growth=0.5,
        months=2,
        objective=ss.Objective(latency=0.5),
        requests=1_000,
    )
    assert answer.peak_rate == 9.0
    assert "busiest 15 minutes" in answer.summary()


def test_json_has_no_nan_and_the_same_verdict():
    answer = ss.forecast(
        erlang_c_server(1, 0.01),
        ss.Traffic(80.0),
        growth=0.2,
        months=4,
        objective=ss.Objective(latency=0.3),
        requests=5_000,
    )
    text = json.dumps(answer.to_dict(), allow_nan=False)
    assert json.loads(text)["verdict"] == answer.verdict
    assert "<table" in answer._repr_html_()


def test_costs_before_and_after():
    server = ss.Service(
        "server",
        cores=2,
        workers=8,
        machine="m7g.large",
        endpoints={"get": [ss.compute(ss.Exponential(0.01))]},
    )
    answer = ss.forecast(
        ss.Topology(server, entry="server"),
        ss.Traffic(150.0),
        growth=0.1,
        months=12,
        objective=ss.Objective(latency=0.3),
        requests=5_000,
    )
    assert answer.cost_before.total_usd_per_month == pytest.approx(0.0816 * 730)
    assert answer.fix is not None
    assert answer.cost_after is not None
    assert answer.fix.lever.field == "instances"  # a bigger machine has no known price
    assert answer.cost_after.total_usd_per_month == pytest.approx(
        0.0816 * 730 * answer.fix.lever.after
    )


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"months": 0}, "months: got 0"),
        ({"growth": float("nan")}, "growth"),
        ({"growth": -1.5}, "growth"),
        ({"growth": 99.0, "months": 1200}, "peak"),
        ({"growth": FactorTable((1e9, 1.0))}, "month 1 would have a peak"),
        ({"growth": -0.99, "months": 1200}, "month 6 would have a peak"),
        ({"seed": -1}, "seed"),
        ({"objective": ss.Objective(latency=-1.0)}, "objective.latency"),
        ({"objective": None}, "objective"),
        ({"traffic": ss.ClosedTraffic(5, think_time=1.0)}, "closed traffic"),
        ({"peak_window": 0.0}, "peak_window"),
        ({"trials": 1}, "trials"),
    ],
)
def test_wrong_arguments(changes, words):
    arguments = {
        "traffic": ss.Traffic(10.0),
        "growth": 0.1,
        "objective": ss.Objective(latency=0.5),
    } | changes
    traffic = arguments.pop("traffic")
    with pytest.raises(InvalidInput, match=words):
        ss.forecast(erlang_c_server(1, 0.01), traffic, **arguments)


def test_a_limit_on_the_rate_is_a_lever():
    gate = RateLimiter("gate", rate=100.0, burst=5)
    topology = ss.Topology(gate, entry="gate")
    found = [str(each) for each in levers_for(topology, "gate", "rate", 2.0, False)]
    assert found == ["gate.rate 100 -> 200"]
    window = {"gate.algorithm": "fixed_window", "gate.window": 0.1, "gate.burst": 1}
    assert list(levers_for(topology.vary(window), "gate", "rate", 2.0, False)) == []


def test_growth_as_text_says_how_to_write_it() -> None:
    goal = ss.Objective(latency=1.0)
    topology = ss.Topology(ss.Service("web", endpoints={"get": [ss.compute(0.001)]}), entry="web")
    for growth, words in (
        ("15%/month", "which is text for files; in Python write a number per month: 0.15"),
        (None, "got None, allowed is a Growth, or a number: 0.15 is 15 % a month"),
    ):
        with pytest.raises(ss.InvalidInput, match=words):
            ss.forecast(topology, ss.Traffic(9.0), growth=growth, objective=goal)


@pytest.mark.parametrize("part", ["queue", "replica"])
def test_what_clients_do_not_wait_for_breaks_where_it_is_full(part: str) -> None:
    """At 50/s, which no latency tells: a line that grows slowly is short after a short run."""
    time = ss.Exponential(0.02)
    if part == "queue":
        behind, step = ss.MessageQueue("behind", handler=[ss.sleep(time)]), ss.publish("behind")
    else:
        own = {"connections": 100, "cores": 8, "read_replicas": 1}
        behind = ss.Database("behind", write=ss.Exponential(0.001), apply=time, **own)
        step = ss.call("behind.write")
    web = ss.Service("web", workers=1000, endpoints={"get": [step, ss.sleep(0.001)]})
    found = find_breaking_load(
        Evaluator(
            ss.Topology(web, behind, entry="web"), ss.Traffic(20.0), ss.Objective(latency=1.0)
        ),
        20.0,
    )
    assert found.low <= 50.0 <= found.high
    assert found.high - found.low < 3.0
