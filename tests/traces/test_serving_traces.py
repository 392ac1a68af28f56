"""How a server serves beside plain sharing and first come first served; worked out by hand."""

from __future__ import annotations

import pytest
from traces.tracing import both_engines, ends, instances, near, one_by_one, run

import scalesim as ss


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
