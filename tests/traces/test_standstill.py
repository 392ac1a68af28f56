"""Models in which time does not go on end with one error that names a component."""

from __future__ import annotations

import numpy as np
import pytest
from traces.tracing import both_engines

import scalesim as ss
from scalesim.components import fail
from scalesim.distributions import Constant
from scalesim.engines.standstill import Standstill, steps_at_once
from scalesim.plan import build_plan
from scalesim.traffic import UserGroups, Users

NO_PAUSE = ss.ClosedTraffic(3, think_time=0.0)
NO_WAIT = ss.Retry(1000, backoff=0.0)
TINY = ss.Retry(backoff=Constant(1e-30))


def simulate(engine: str, topology: ss.Topology, traffic: object, duration: float) -> ss.Results:
    return ss.simulate(topology, traffic, duration=duration, warmup=0, engine=engine)


def service(*steps: object, **fields: object) -> ss.Topology:
    return ss.Topology(
        ss.Service("web", endpoints={"get": list(steps) or [ss.compute(1.0)]}, **fields),
        entry="web",
    )


def behind(call: object) -> ss.Topology:
    """Return a service that many may enter, and a database that only one may."""
    web = ss.Service("web", workers=100, endpoints={"get": [call]})
    db = ss.Service("db", backlog=0, endpoints={"read": [ss.compute(1.0)]})
    return ss.Topology(ss.LoadBalancer("edge", targets="web"), web, db, entry="edge")


GROUPS = UserGroups(groups={"a": Users(2, think_time=0.0), "b": Users(1, think_time=1.0)})
BY_WEB = "3 users .* 100,300 requests at 0 s, most of them rejected at once by web.workers"
AT_ONCE = '3 users .* 100,300 requests at 0 s, which "web" answers at once'
CASES = {
    "rejected": (service(backlog=0), NO_PAUSE, BY_WEB),
    "rejected further in": (behind(ss.call("db.read")), NO_PAUSE, "rejected at once by db.workers"),
    "no memory": (
        service(memory=1.0, memory_per_request=1.0), NO_PAUSE, "rejected at once by web.memory"
    ),
    "nothing to do": (service(ss.compute(0.0)), NO_PAUSE, AT_ONCE),
    "fails": (service(fail(1.0)), NO_PAUSE, AT_ONCE),
    "the client retries": (
        service(ss.sleep(0.0)), ss.ClosedTraffic(3, think_time=0.0, retry=ss.Retry(3)), AT_ONCE
    ),
    "groups": (service(backlog=0), GROUPS, BY_WEB),
    "hits": (
        ss.Topology(ss.Cache("cache", hit_ratio=1.0), entry="cache"),
        ss.ClosedTraffic(3, think_time=0.0, mix={"get": 1.0, "set": 0.0, "delete": 0.0}),
        'which "cache" answers at once',
    ),
}  # fmt: skip
RETRIES = {
    "the client's": (
        service(backlog=0),
        ss.ClosedTraffic(3, think_time=0.0, retry=NO_WAIT),
        "events at 0 s and time does not go on, most of them rejected at once by web.workers; "
        "give a pause between requests, a backoff",
    ),
    "a call's": (behind(ss.call("db.read", retry=NO_WAIT)), NO_PAUSE, "rejected at once by db.wor"),
    "too short to move the clock": (
        service(backlog=0),
        ss.Traffic(2.0, arrivals="constant", retry=TINY),
        "at 1 s and time does not go on, most of them rejected at once by web.workers; give a back",
    ),
}


@both_engines
@pytest.mark.parametrize("case", CASES)
def test_users_who_neither_pause_nor_wait(engine, case: str) -> None:
    topology, traffic, message = CASES[case]
    with pytest.raises(ss.InvalidModel, match=message) as error:
        simulate(engine, topology, traffic, 10.0)
    assert len(error.value.problems) == 1
    assert error.value.problems[0].subject == "traffic.think_time"


@both_engines
@pytest.mark.parametrize("case", RETRIES)
def test_retries_that_do_not_wait(engine, case: str, monkeypatch) -> None:
    # The reference engine would take a minute to get to two million.
    monkeypatch.setattr("scalesim.engines.standstill.steps_at_once", lambda n: 150_000)
    topology, traffic, message = RETRIES[case]
    with pytest.raises(ss.InvalidModel, match=message) as error:
        simulate(engine, topology, traffic, 10.0)
    assert len(error.value.problems) == 1


def test_rejections_before_the_standstill_do_not_count() -> None:
    plan = build_plan(behind(ss.call("db.read")), NO_PAUSE)
    web, db = (
        [x[:2] for x in plan.station_labels].index((name, "workers")) for name in ("web", "db")
    )
    rejected = np.zeros(len(plan.station), np.int64)
    rejected[web] = 10_000
    watch = Standstill(plan)
    watch.look(1.0, 0, 0, lambda: 0, rejected)
    rejected[db] = 5_000
    watch.look(1.0, steps_at_once(3), 0, lambda: 0, rejected)
    with pytest.raises(ss.InvalidModel, match="most of them rejected at once by db.workers"):
        watch.look(1.0, steps_at_once(3) + 1, 0, lambda: 0, rejected)
    watch.look(2.0, steps_at_once(3) + 1, 0, lambda: 0, rejected)


@both_engines
def test_many_requests_at_one_moment_are_no_standstill(engine) -> None:
    # 30 events each, more than an instant may have without requests.
    many = 100_000 if engine == "compiled" else 5_000
    steps = [ss.sleep(0.0), ss.parallel(*([ss.sleep(0.0)] for _ in range(10)))]
    traffic = ss.ReplayTraffic([1.0] * many)
    results = simulate(engine, service(*steps, workers=many, cores=1), traffic, 2.0)
    assert results.counts["completed"] == many
    assert engine == "reference" or 30 * many > steps_at_once(0)
