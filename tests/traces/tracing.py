"""Helpers for traces: given arrival times, constant services, every finish time known by hand."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import scalesim as ss

__all__ = ["both_engines", "ends", "instances", "metric", "near", "one_by_one", "outcomes", "run"]

both_engines = pytest.mark.parametrize("engine", ["compiled", "reference"])


def near(expected: Any) -> Any:
    """Return `expected` to within 1e-9, the exactness that hand-made traces are held to."""
    return pytest.approx(expected, rel=0, abs=1e-9, nan_ok=True)


def run(engine: str, *components: Any, at: Any, duration: float = 1000.0, **rest: Any) -> Any:
    """Simulate arrivals at the times `at`, first component first, from time 0 without warm-up."""
    warmup, seed = rest.pop("warmup", 0.0), rest.pop("seed", 1)
    record_keys = rest.pop("record_keys", 0)
    return ss.simulate(
        ss.Topology(*components, entry=components[0].name),
        ss.ReplayTraffic(tuple(map(float, at)), **rest),
        duration=duration,
        warmup=warmup,
        seed=seed,
        engine=engine,
        record_requests=100_000,
        record_keys=record_keys,
    )


def one_by_one(services: Any, name: str = "server", **fields: Any) -> tuple[Any, tuple[str, ...]]:
    """Return a service whose i-th request computes `services[i]` seconds, and the endpoints."""
    names = tuple(f"r{i}" for i in range(len(services)))
    steps = {each: [ss.compute(float(s))] for each, s in zip(names, services, strict=True)}
    return ss.Service(name, endpoints=steps, **fields), names


def ends(results: Any) -> list[float | None]:
    """Return the end of each request in order of arrival; None unless it completed."""
    table = results.attempts_table()
    return [
        end if outcome == "completed" else None
        for end, outcome in zip(table["ended_at_s"], table["outcome"], strict=True)
    ]


def outcomes(results: Any) -> list[tuple[float, str]]:
    """Return (end, outcome) of each request in order of arrival."""
    table = results.attempts_table()
    return list(zip(table["ended_at_s"], table["outcome"], strict=True))


def instances(results: Any, component: str, resource: str, field: str) -> list[float]:
    """Return one field of each instance's station, summed (or the largest) over the window."""
    labels = results.plan.station_labels
    rows = [s for s, x in enumerate(labels) if x.component == component and x.resource == resource]
    assert rows, f"no station {component}.{resource}"
    return np.asarray(results.station[field][rows]).tolist()


def metric(results: Any, component: str, name: str) -> float:
    """Return one value of the components table; nan if it is not there."""
    table = results.components_table()
    found = table[(table["component"] == component) & (table["metric"] == name)]["value"]
    return float(found.iloc[0]) if len(found) else math.nan
