"""How a server serves beside plain sharing and first come first served; worked out by hand."""

from __future__ import annotations

import pytest
from traces.tracing import both_engines, ends, instances, metric, near, one_by_one, outcomes, run

import scalesim as ss
from scalesim.components import Failures
from scalesim.distributions import Recorded


@both_engines
@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        # Alone 0.5 s, then both at half speed, then the second alone.
        ({"cores": 2, "contention": 1.0}, [1.5, 2.0]),
        ({"cores": 2, "coherency": 0.5}, [1.5, 2.0]),
        # One core halves the speed once more.
        ({"cores": 1, "contention": 0.5, "coherency": 0.25}, [2.5, 3.0]),
        ({"cores": 1}, [1.5, 2.0]),
    ],
)
def test_slowdown_by_each_other(engine, fields, expected) -> None:
    server = ss.Service("server", workers=2, endpoints={"get": [ss.compute(1.0)]}, **fields)
    results = run(engine, server, at=[0, 0.5])
    assert ends(results) == near(expected)
    # Waiting is what each took beyond its demand.
    assert instances(results, "server", "cpu", "waited") == near([sum(expected) - 0.5 - 2.0])


@both_engines
def test_slowdown_of_a_database(engine) -> None:
    store = ss.Database("db", connections=9, cores=9, read=1.0, contention=0.5)
    web = ss.Service("web", workers=9, endpoints={"get": [ss.call("db.read")]})
    # Three at a time run at half speed.
    assert ends(run(engine, web, store, at=[0, 0, 0, 5])) == near([2, 2, 2, 6])


# Cores of different speed ------------------------------------------------------------------------


@both_engines
def test_fastest_idle_core_first(engine) -> None:
    server, names = one_by_one(
        [2, 1, 1, 1], workers=9, cores=2, cpu_discipline="fifo", core_speeds=(0.5, 1.0)
    )
    results = run(engine, server, at=[0, 0.5, 1, 8], endpoint=names, duration=10)
    # The fast core: 0 to 2, then the third until 3, and 8 to 9. The slow one: 0.5 to 2.5.
    assert ends(results) == near([2, 2.5, 3, 9])
    assert instances(results, "server", "cpu", "waited") == near([1.0])
    assert instances(results, "server", "cpu", "depth") == near([1.0])
    assert instances(results, "server", "cpu", "busy") == near([6.0])
    assert results.time_shares("server", "core_0") == near([0.8, 0.2])
    assert results.time_shares("server", "core_1") == near([0.6, 0.4])
    table = results.levels_table()
    assert table["what"].tolist() == ["core_0", "core_1"]
    assert table["mean"].tolist() == near([0.2, 0.4])


@both_engines
def test_of_equally_fast_cores_the_first(engine) -> None:
    server = ss.Service(
        "server",
        workers=9,
        cores=3,
        cpu_discipline="fifo",
        core_speeds=(2.0, 1.0, 2.0),
        endpoints={"get": [ss.compute(2.0)]},
    )
    results = run(engine, server, at=[0, 0, 0, 0], duration=4)
    assert ends(results) == near([1, 1, 2, 2])
    busy = [results.time_shares("server", f"core_{k}")[1] for k in range(3)]
    assert busy == near([0.5, 0.5, 0.25])


@both_engines
def test_random_idle_core(engine) -> None:
    server = ss.Service(
        "server",
        workers=9,
        cores=3,
        cpu_discipline="fifo",
        core_speeds=(1.0, 1.0, 1.0),
        core_choice="random",
        endpoints={"get": [ss.compute(0.5)]},
    )
    results = run(engine, server, at=range(3000), duration=3000)
    assert sum(instances(results, "server", "cpu", "waited")) == 0.0
    for k in range(3):  # a third of the time each, give or take five standard errors
        share = results.time_shares("server", f"core_{k}")[1]
        assert share == pytest.approx(0.5 / 3, rel=0.08)


@both_engines
def test_warm_up_is_left_out_of_shares_of_time(engine) -> None:
    server = ss.Service(
        "server", cpu_discipline="fifo", core_speeds=(0.5,), endpoints={"get": [ss.compute(1.0)]}
    )
    results = run(engine, server, at=[0, 1, 7], warmup=3.0, duration=8.0)
    assert results.time_shares("server", "core_0") == near([0.6, 0.4])


def test_an_unknown_level_is_named() -> None:
    server = ss.Service(
        "server", cpu_discipline="fifo", core_speeds=(2.0,), endpoints={"get": [ss.compute(1.0)]}
    )
    results = run("reference", server, at=[0])
    with pytest.raises(ss.InvalidInput, match=r'of "server.core_1". Did .* Known: server.core_0'):
        results.time_shares("server", "core_1")


# Failures ----------------------------------------------------------------------------------------


def failing(demand, failures, **fields):
    """Return a service whose every request computes `demand` seconds on cores that fail."""
    fields = {"workers": 9, "cpu_discipline": "fifo", "failures": failures, **fields}
    return ss.Service("server", endpoints={"get": [ss.compute(demand)]}, **fields)


def available(results):
    """Return (needed, availability, outages an hour, mean outage [s]) of each row."""
    table = results.availability_table()
    names = ["needed", "availability_ratio", "outages_per_hour", "outage_mean_s"]
    return list(table[names].itertuples(index=False, name=None))


@both_engines
def test_interrupted_work_resumes(engine) -> None:
    # Down 2 to 3, 5 to 6 and 8 to 9. The second has done 0.5 of 1.5 when it stops.
    server = failing(1.5, Failures(time_to_failure=2.0, repair_time=1.0))
    results = run(engine, server, at=[0, 1, 4.5], duration=9)
    assert ends(results) == near([1.5, 4.0, 7.0])
    assert instances(results, "server", "cpu", "busy") == near([4.5])
    assert instances(results, "server", "cpu", "waited") == near([1.5 + 1.0])
    assert instances(results, "server", "cpu", "depth") == near([0.5 + 1.0 + 1.0])
    assert available(results) == [near((1, 6 / 9, 1200.0, 1.0))]
    assert results.time_shares("server", "core_0") == near([0.5, 0.5])


@both_engines
def test_work_that_ends_as_the_core_fails_is_done(engine) -> None:
    server = failing(2.0, Failures(time_to_failure=2.0, repair_time=1.0))
    assert ends(run(engine, server, at=[0, 1.5])) == near([2.0, 5.0])


@both_engines
def test_two_cores_and_one_crew(engine) -> None:
    # Core 0 is down 2 to 3, 5 to 6, 8 to 9; core 1, whose repair waits at first, 2 to 4 and 6 to 7.
    failures = Failures(time_to_failure=2.0, repair_time=1.0, crews=1)
    server = failing(2.0, failures, cores=2)
    results = run(engine, server, at=[4.5, 4.5], duration=8)
    # One stops at 5 and resumes at 6, the other stops at 6 and resumes at 7, each for what is left.
    assert ends(results) == near([7.5, 7.5])
    assert instances(results, "server", "repair", "waited") == near([1.0])
    assert available(results) == [
        near((1, 7 / 8, 450.0, 1.0)),
        near((2, 4 / 8, 1350.0, 4 / 3)),  # 2 to 4, 5 to 6 and, one up and one down at 6, 6 to 7
    ]
    assert results.availability_table()["units_up_mean"].tolist() == near([11 / 8, 11 / 8])
    # Alone, it goes on at the other core when its own fails, at 5 and once more at 6.
    assert ends(run(engine, server, at=[4.5])) == near([6.5])


@both_engines
def test_interrupted_work_is_first_in_line(engine) -> None:
    server = failing(1.5, Failures(time_to_failure=2.0, repair_time=1.0))
    assert ends(run(engine, server, at=[1, 1.25, 2.5])) == near([3.5, 5.0, 7.5])


@both_engines
def test_wear_counts_served_time_only(engine) -> None:
    # Fails after each second of serving: at 1; at 10.5; at 20 at once, since a whole second was
    # served until 12.5, where the work was just done; and at 22.
    server = failing(1.5, Failures(time_to_failure=1.0, repair_time=1.0, when="busy"))
    results = run(engine, server, at=[0, 10, 20], duration=30)
    assert ends(results) == near([2.5, 12.5, 23.5])
    assert available(results) == [near((1, 26 / 30, 480.0, 1.0))]


@both_engines
def test_work_moves_to_a_core_of_another_speed(engine) -> None:
    failures = Failures(time_to_failure=1.0, repair_time=1.0, when="busy")
    server = failing(3.0, failures, cores=2, core_speeds=(2.0, 0.5))
    # 2 of 3 done by the fast core until 1, 0.5 by the slow one until 2, the rest by the fast one.
    results = run(engine, server, at=[0])
    assert ends(results) == near([2.25])
    assert sum(instances(results, "server", "cpu", "waited")) == near(0.0)


@both_engines
def test_instances_fail_as_a_whole(engine) -> None:
    # Instance 0 is down 2 to 3, instance 1, for want of a second crew, 2 to 4.
    failures = Failures(time_to_failure=2.0, repair_time=1.0, of="instance", crews=1)
    server = failing(2.0, failures, cores=2, instances=2)
    assert ends(run(engine, server, at=[1, 1, 1, 1])) == near([4, 5, 4, 5])
    results = run(engine, server, at=[1], duration=5)
    assert available(results) == [
        near((1, 4 / 5, 720.0, 1.0)),
        near((2, 3 / 5, 720.0, 2.0)),
    ]
    assert results.availability_table()["unit"].tolist() == ["instance", "instance"]


@both_engines
def test_recorded_failures_one_after_another(engine) -> None:
    # Down 1 to 1.5, 3.5 to 4.5, 5.5 to 6.
    failures = Failures(time_to_failure=Recorded((1.0, 2.0)), repair_time=Recorded((0.5, 1.0)))
    results = run(engine, failing(10.0, failures), at=[0], duration=6)
    assert results.time_shares("server", "core_0")[0] == near(2 / 6)


# Cold starts -------------------------------------------------------------------------------------


@both_engines
def test_cold_start(engine) -> None:
    # Starts at 0, at 4.5 (off since then: departures come before arrivals) and at 10.
    server = ss.Service(
        "server", workers=2, cores=2, cold_start=2.0, endpoints={"get": [ss.compute(1.0)]}
    )
    results = run(engine, server, at=[0, 1, 1.5, 3.5, 4.5, 10, 10], duration=20)
    # The second waits for the first start, the third for a worker, the last for the last start.
    assert ends(results) == near([3, 3, 4, 4.5, 7.5, 13, 13])
    assert metric(results, "server", "cold_starts") == 3
    assert metric(results, "server", "cold_start_ratio") == near(3 / 7)
    assert instances(results, "server", "start", "busy") == near([6.0])
    assert instances(results, "server", "start", "waited") == near([(2 + 1) + 2 + (2 + 2)])
    assert instances(results, "server", "cpu", "busy") == near([7.0])


@both_engines
def test_each_instance_starts_by_itself(engine) -> None:
    server = ss.Service("server", instances=2, cold_start=1.0, endpoints={"get": [ss.compute(0.5)]})
    results = run(engine, server, at=[0, 0, 1, 1, 4])
    assert ends(results) == near([1.5, 1.5, 2, 2, 5.5])
    assert metric(results, "server", "cold_starts") == 3


@both_engines
def test_a_start_goes_on_when_who_waits_for_it_is_withdrawn(engine) -> None:
    server = ss.Service(
        "server", workers=2, cores=2, cold_start=2.0, endpoints={"get": [ss.compute(1.0)]}
    )
    front = ss.Service(
        "front",
        workers=9,
        endpoints={
            "hasty": [ss.call("server", timeout=1.0, cancel=True)],
            "slow": [ss.call("server", timeout=9.0, cancel=True)],
        },
    )
    # The first starts it and leaves at 1, the third finds it running at 2. The fourth starts it
    # and leaves at 11; with nobody there it is off again when it has started, at 12.
    names = ("hasty", "slow", "slow", "hasty", "slow")
    results = run(engine, front, server, at=[0, 1.5, 2.5, 10, 12], endpoint=names, duration=20)
    assert outcomes(results) == [
        (1.0, "timed_out"),
        (3.0, "completed"),
        (3.5, "completed"),
        (11.0, "timed_out"),
        (15.0, "completed"),
    ]
    assert metric(results, "server", "cold_starts") == 3
    assert instances(results, "server", "start", "busy") == near([2 + 2 + 2])
    assert instances(results, "server", "start", "abandoned") == [2]
    assert instances(results, "server", "start", "served") == [2]


@both_engines
def test_withdrawing_the_last_request_switches_the_instance_off(engine) -> None:
    server = ss.Service(
        "server", cold_start=2.0, record_in_flight=True, endpoints={"get": [ss.compute(3.0)]}
    )
    steps = [ss.call("server", timeout=4.0, cancel=True)]
    front = ss.Service("front", workers=9, endpoints={"get": steps})
    # The first leaves at 4, while the second waits for the worker: the instance runs on. With the
    # second, at 5, it is switched off, and the third has to start it.
    results = run(engine, front, server, at=[0, 1, 6], duration=12)
    assert outcomes(results) == [(4.0, "timed_out"), (5.0, "timed_out"), (10.0, "timed_out")]
    shares = results.time_shares("server", "in_flight")
    assert shares[:4] == near([3 / 12, 6 / 12, 3 / 12, 0.0])
    assert metric(results, "server", "cold_starts") == 2


# How many are in flight --------------------------------------------------------------------------


@both_engines
def test_shares_of_time_with_so_many_in_flight(engine) -> None:
    server = ss.Service(
        "server", backlog=1, record_in_flight=True, endpoints={"get": [ss.compute(2.0)]}
    )
    results = run(engine, server, at=[0, 1, 1.5, 7], duration=10)
    # One 0 to 1, two until 2, one until 4; the third is rejected; one 7 to 9.
    shares = results.time_shares("server", "in_flight")
    assert shares[:4] == near([0.4, 0.5, 0.1, 0.0])
    (row,) = results.levels_table().itertuples(index=False)
    assert (row.component, row.what, row.p50, row.p90, row.p99) == ("server", "in_flight", 1, 1, 2)
    assert row.mean == near(0.7)
