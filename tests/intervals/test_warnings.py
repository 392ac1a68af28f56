"""What limits a run's figures is named, with the component, wherever results are shown."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from intervals.repeated_runs import station

import scalesim as ss
from scalesim.cli.main import main
from scalesim.io import write_model

EXP, MANY = ss.Exponential, 1_000


def service(*steps: Any, name: str = "server", **fields: Any) -> ss.Service:
    return ss.Service(
        name, **{"workers": MANY, "cores": MANY, **fields}, endpoints={"get": list(steps)}
    )


def alone(*steps: Any, **fields: Any) -> ss.Topology:
    return ss.Topology(service(*steps, **fields), entry="server")


def before(part: Any, *steps: Any) -> ss.Topology:
    """Return a topology of a service that never waits, and of what it uses."""
    return ss.Topology(service(*steps), part, entry="server")


def two_classes(discipline: str) -> ss.Topology:
    """Return a processor that serves two classes for 1 s on average; `low` waits for `high`."""
    endpoints = {
        name: ss.Endpoint([ss.compute(EXP(1.0))], priority=priority)
        for priority, name in enumerate(("high", "low"))
    }
    server = ss.Service(
        "server", workers=MANY, cores=1, cpu_discipline=discipline, endpoints=endpoints
    )
    return ss.Topology(server, entry="server")


def sends(size: float, field: str) -> ss.Topology:
    """Return a service whose network card needs `size` seconds a request on average."""
    bytes_field = {"network_in": "request_bytes", "network_out": "response_bytes"}[field]
    endpoint = ss.Endpoint([ss.sleep(0.1)], **{bytes_field: EXP(size * 1e6)})
    server = ss.Service("server", workers=MANY, endpoints={"get": endpoint}, **{field: 1e6})
    return ss.Topology(server, entry="server")


BY_RESOURCE: dict[str, Callable[[float], ss.Topology]] = {
    "server.cpu": lambda s: alone(ss.compute(EXP(s)), cores=1, cpu_discipline="fifo"),
    "server.cpu, shared": lambda s: alone(ss.compute(EXP(s)), cores=1),
    "server.cpu, interrupted": lambda s: two_classes("priority_preemptive"),
    "server.cpu, priority": lambda s: two_classes("priority"),
    "server.workers": lambda s: alone(ss.sleep(EXP(s)), workers=1),
    "server.workers, constant": lambda s: alone(ss.sleep(s), workers=1),
    "server.workers, four": lambda s: alone(ss.sleep(EXP(4 * s)), workers=4),
    "server.network_in": lambda s: sends(s, "network_in"),
    "server.network_out": lambda s: sends(s, "network_out"),
    "db.connections": lambda s: before(
        ss.Database("db", connections=1, cores=1, read=EXP(s), write=EXP(s)), ss.call("db.read")
    ),
    "db.cpu": lambda s: before(
        ss.Database("db", connections=MANY, cores=1, read=EXP(s), write=EXP(s)), ss.call("db.read")
    ),
    "db.disk": lambda s: before(
        ss.Database("db", connections=MANY, cores=MANY, read=0.01, write=0.01, disk_iops=1 / s),
        ss.call("db.read"),
    ),
    "db.apply": lambda s: before(
        ss.Database(
            "db", connections=MANY, cores=MANY, read=0.01, write=0.01, apply=EXP(s), read_replicas=1
        ),
        ss.call("db.write"),
    ),
    "queue.consumers": lambda s: before(
        ss.MessageQueue("queue", handler=[ss.sleep(EXP(s))], consumers=1), ss.publish("queue")
    ),
    "cache.slots": lambda s: before(
        ss.Cache("cache", hit_ratio=1.0, delay=EXP(s), concurrency=1), ss.call("cache.get")
    ),
}


def traffic_at(topology: ss.Topology, load: float) -> ss.Traffic:
    names = topology.entry_endpoints
    return ss.Traffic(load, mix=dict.fromkeys(names, 0.5) if len(names) > 1 else None)


@pytest.mark.parametrize("name", BY_RESOURCE)
@pytest.mark.parametrize("seed", [1, 2])
def test_an_offered_utilization_of_exactly_1_is_unstable(name: str, seed: int) -> None:
    topology = BY_RESOURCE[name](1.0)
    results = ss.simulate(topology, traffic_at(topology, 1.0), duration=20_000.0, seed=seed)
    where = name.partition(",")[0]
    assert results.unstable == where
    (caution,) = (each for each in results.warnings if each.what == "unstable")
    assert caution.component == where
    assert caution.numbers["offered_utilization_ratio"] == pytest.approx(1.0, abs=0.05)
    assert not results.estimate(f"queue_depth_mean@{where}").high < math.inf


def test_the_standard_error_of_the_offered_utilization_is_right() -> None:
    endpoints = {
        name: ss.Endpoint([ss.sleep(EXP(1.0))], priority=priority)
        for priority, name in enumerate(("high", "low"))
    }
    server = ss.Service("server", workers=1, backlog_order="priority", endpoints=endpoints)
    topology = ss.Topology(server, entry="server")
    runs = [
        ss.simulate(topology, traffic_at(topology, 1.0), duration=40_000.0, seed=seed)
        for seed in range(1, 101)
    ]
    row = runs[0].utilization.argmax()
    off = [(each.loads.offered[row] - 1) / each.loads.error[row] for each in runs]
    assert np.mean(off) == pytest.approx(0.0, abs=0.4)
    assert np.std(off) == pytest.approx(1.0, abs=0.25)
    assert sum(not each.unstable for each in runs) <= 5  # expected is one


@pytest.mark.parametrize("name", BY_RESOURCE)
def test_nine_tenths_are_stable(name: str) -> None:
    topology = BY_RESOURCE[name](1.0)
    results = ss.simulate(topology, traffic_at(topology, 0.9), duration=20_000.0)
    assert results.unstable == ""


def test_what_never_waits_is_stable_even_if_always_busy() -> None:
    topology = BY_RESOURCE["server.workers, constant"](1.0)
    results = ss.simulate(topology, ss.Traffic(1.0, arrivals="constant"), duration=2_000.0)
    assert results.utilization[0] == pytest.approx(1.0)
    assert results.unstable == ""


def test_of_growing_lines_the_callee_is_the_cause() -> None:
    topology = ss.Topology(
        service(ss.call("db.get"), name="web", workers=50),
        service(ss.sleep(EXP(1.0)), name="db", workers=1),
        entry="web",
    )
    results = ss.simulate(topology, ss.Traffic(1.0), duration=20_000.0)
    assert results.unstable == "db.workers"


def test_a_mean_that_may_not_exist_has_no_upper_end_and_one_that_does_not_has_no_value() -> None:
    topology = BY_RESOURCE["server.workers"](1.0)
    critical = ss.simulate(topology, ss.Traffic(1.0), duration=5_000.0)
    found = critical.estimate("latency_mean_s")
    assert found.value > 0
    assert found.high == math.inf
    overloaded = ss.simulate(topology, ss.Traffic(1.5), duration=5_000.0)
    assert math.isnan(overloaded.estimate("latency_mean_s").value)
    assert overloaded.estimate("throughput_rps").covers(1.0)


SLOW = station(1, 0.9)
"""An M/M/1 station whose line settles within a few hundred services."""
CHANGING = ss.RateProfile((1.0, 2.0), bucket=500.0, repeat=True)
SHOWN: dict[str, tuple[ss.Topology, Any, float, str]] = {
    # what: model, traffic, duration [s], component
    "unstable": (BY_RESOURCE["db.connections"](1.0), ss.Traffic(2.0), 2_000.0, "db.connections"),
    "few_samples": (SLOW.topology, ss.Traffic(0.9), 1_000.0, "server"),
    "short": (SLOW.topology, ss.Traffic(0.9), 5_000.0, "server.cpu"),
    "infinite_variance": (
        alone(ss.compute(ss.Pareto(1.0, shape=1.5))),
        ss.Traffic(1.0),
        2_000.0,
        "server",
    ),
    "changing_traffic": (alone(ss.compute(EXP(0.1))), ss.Traffic(CHANGING), 2_000.0, "traffic"),
    # At the end a cache still holds less than a tenth of all keys.
    "warmup": (
        ss.Topology(
            service(ss.call("cache.get")),
            ss.Cache("cache", origin="store.get"),
            service(ss.sleep(1.0), name="store"),
            entry="server",
        ),
        ss.Traffic(10.0, keys=ss.Zipf(100_000, 0.9)),
        1_000.0,
        "cache",
    ),
}


@pytest.mark.parametrize("what", SHOWN)
def test_a_warning_is_in_the_results_the_summary_the_command_line_and_its_json(
    what: str, tmp_path: Path
) -> None:
    topology, traffic, duration, component = SHOWN[what]
    results = ss.simulate(topology, traffic, duration=duration)
    (caution,) = (x for x in results.warnings if (x.what, x.component) == (what, component))
    assert component in caution.text
    assert f"WARNING: {caution.text}" in results.summary()

    path = tmp_path / "model.yaml"
    write_model(topology, path, traffic=traffic)
    given = ["simulate", str(path), "--duration", f"{duration:g} s"]
    shown = CliRunner().invoke(main, given)
    assert shown.exit_code == 0, shown.output
    assert f"WARNING: {caution.text}" in shown.output
    printed = json.loads(CliRunner().invoke(main, [*given, "--json"]).stdout)
    assert (what, component, caution.text) in [
        (each["what"], each["component"], each["text"]) for each in printed["warnings"]
    ]


def test_a_long_run_of_an_easy_model_warns_of_nothing() -> None:
    half = station(1, 0.5)
    assert half.run(50_000, seed=1).warnings == ()


def test_a_run_is_told_how_much_longer_it_should_be() -> None:
    """At 90 % the squared distance from 1 grows with the run: 10 times as long, a tenth to go."""
    short, longer = (SLOW.run(requests, seed=3) for requests in (20_000, 200_000))
    (caution,) = (each for each in short.warnings if each.what == "short")
    # (1 - 0.9)^2 x 18,000 / 2 / 0.9 = 100, of 250 for the mean and 750 for the p99.
    assert caution.numbers["for_mean_ratio"] == pytest.approx(2.5, rel=0.3)
    assert caution.numbers["for_p99_ratio"] == pytest.approx(7.5, rel=0.3)
    assert not any(each.what == "short" for each in longer.warnings)
