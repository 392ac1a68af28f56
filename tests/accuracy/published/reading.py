"""Readings that several cases share."""

from __future__ import annotations

import numpy as np

import scalesim as ss

__all__ = ["in_flight", "requests", "row", "station"]

MANY = 1_000_000


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
