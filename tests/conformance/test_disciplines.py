"""Who computes and who waits: every discipline, order and patience, with and without ties."""

from __future__ import annotations

import pytest
from conformance.engines import assert_engines_agree

from scalesim import distributions as dist
from scalesim.components import Database, Endpoint, Service, call, compute, parallel
from scalesim.components.processors import CPU_DISCIPLINES
from scalesim.topology import Topology
from scalesim.traffic import Traffic

EXP = dist.Exponential
TICK = 1 / 128  # s; sums of it are exact, so that many events fall on one moment
LAWS = {
    "drawn": (EXP(0.01), "poisson"),
    "heavy": (dist.Pareto(0.003, shape=1.5), "poisson"),
    "ties": (TICK, "constant"),
    "nothing": (0.0, "constant"),
}


def crowd(law, **fields) -> Topology:
    """A service with three urgencies, now and then more urgent work within one request."""
    steps = [compute(law), parallel([compute(law)], [compute(TICK)])]
    endpoints = {
        "urgent": Endpoint([compute(law)]),
        "usual": Endpoint(steps, priority=1),
        "idle": Endpoint([compute(2 * TICK), *steps], priority=7),
    }
    return Topology(Service("web", endpoints=endpoints, **fields), entry="web")


def agree(topology, arrivals, rate=256.0, duration=1.5, **rest):
    mix = {"urgent": 2.0, "usual": 1.0, "idle": 1.0}
    traffic = Traffic(rate, arrivals=arrivals, mix=mix, **rest)
    return assert_engines_agree(topology, traffic, duration=duration)


@pytest.mark.parametrize("cores", [1, 3])
@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("discipline", CPU_DISCIPLINES)
def test_processors(discipline, law, cores) -> None:
    demand, arrivals = LAWS[law]
    web = crowd(demand, workers=40, backlog=5, cores=cores, cpu_discipline=discipline)
    run = agree(web, arrivals)
    assert run.station["waited"].sum() > 0


@pytest.mark.parametrize("discipline", ["lcfs", "sjf", "lcfs_preemptive", "srpt"])
def test_processors_of_a_database(discipline) -> None:
    store = Database(
        "db",
        connections=20,
        cores=2,
        read=EXP(0.01),
        write=TICK,
        read_replicas=1,
        cpu_discipline=discipline,
    )
    steps = {"get": [call("db.read", timeout=0.05), call("db.write")]}
    topology = Topology(Service("web", workers=99, endpoints=steps), store, entry="web")
    assert_engines_agree(topology, Traffic(170.0), duration=3.0)


PATIENCE = {"none": None, "drawn": EXP(0.03), "ties": TICK, "no": 0.0}


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("patience", PATIENCE)
@pytest.mark.parametrize("order", ["fifo", "lcfs", "priority"])
def test_backlog(order, patience, law) -> None:
    demand, arrivals = LAWS[law]
    web = crowd(
        demand,
        workers=3,
        cores=2,
        backlog=9,
        backlog_order=order,
        queue_timeout=PATIENCE[patience],
        memory=1000.0,
        memory_per_request=80.0,
    )
    run = agree(web, arrivals)
    assert (run.station["abandoned"].sum() > 0) == (PATIENCE[patience] is not None)


def test_long_line_with_patience() -> None:
    """Thousands wait, and leave from anywhere in the line."""
    web = crowd(EXP(0.01), backlog_order="priority", queue_timeout=EXP(2.0))
    run = agree(web, "poisson", rate=2000.0, duration=3.0)
    assert run.station["deepest"].max() > 2000
    assert run.station["abandoned"].sum() > 1000
