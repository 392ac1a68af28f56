"""How a server serves beside plain sharing and first come first served; worked out by hand."""

from __future__ import annotations

import pytest
from traces.tracing import both_engines, ends, instances, near, run

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
