"""Readings that several cases share."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

import scalesim as ss

__all__ = ["MANY", "bisected", "in_flight", "largest", "requests", "row", "station"]

MANY = 1_000_000
"""Slots of what has no limit."""


def station(name: str, service: object, workers: int = 1, **options: object) -> ss.Service:
    """Return a station of some slots, each of which serves one request after another."""
    return ss.Service(name, workers=workers, endpoints={"serve": [ss.sleep(service)]}, **options)


def row(results: ss.Results, component: str, resource: str = "workers") -> dict[str, float]:
    """Return what is known of a resource."""
    table = results.resources_table(intervals=False).set_index(["component", "resource"])
    return table.loc[component, resource].to_dict()


def in_flight(results: ss.Results, component: str) -> float:
    """Return the mean number of requests waiting or in service, all instances."""
    found = row(results, component)
    slots = found["instances"] * results.topology.components[component].workers
    return found["utilization_ratio"] * slots + found["queue_depth_mean"]


def requests(results: ss.Results) -> np.ndarray:
    """Return the latency of each recorded request that has ended [s], in order of arrival."""
    times = results.recordings[0].requests
    latencies = times[:, 1] - times[:, 0]
    return latencies[~np.isnan(latencies)]


def bisected(holds: Callable[[float], bool], longest: float) -> float:
    """Return the least time [s] at which something holds, to 1 % of `longest`."""
    low, high = 0.0, longest
    while high - low > 0.01 * longest:
        middle = (low + high) / 2
        low, high = (low, middle) if holds(middle) else (middle, high)
    return (low + high) / 2


def largest(holds: Callable[[int], bool], most: int) -> int:
    """Return the largest number, of 1 to `most`, up to which something holds."""
    low, high = 0, most + 1
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if holds(middle) else (low, middle)
    return low
