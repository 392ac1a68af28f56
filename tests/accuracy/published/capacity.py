"""Capacity: laws of slowdown fitted and extrapolated, units of throughput, nodes that fail."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence

import numpy as np
from accuracy.published.reading import MANY, requests
from accuracy.published.registry import Figures, model
from scipy.optimize import least_squares

import scalesim as ss
from scalesim.components import Failures, RateLimiter

# Contention and coherency (universal scalability law) ------------------------------------------


def throughput(seed: int, load: int, alone: float, alpha: float, beta: float) -> float:
    """Return what `load` users get who ask in step, where one user alone gets `alone` [1/s]."""
    server = ss.Service("server", workers=load, cores=load, contention=alpha, coherency=beta,
                        endpoints={"get": [ss.compute(1 / alone)]})  # fmt: skip
    results = ss.simulate(ss.Topology(server, entry="server"), ss.ReplayTraffic([0.0] * load),
                          duration=10_000, warmup=0, seed=seed, record_requests=load)  # fmt: skip
    return load / float(requests(results).max())


@model("usl-peak-formula")
def peak(seed: int) -> Figures:
    # load / throughput is a parabola in the load: three points of it are all of it.
    loads = np.asarray([1, 200, 400])
    inverse = [n / throughput(seed, n, 1.0, alpha=0.001, beta=1e-5) for n in loads.tolist()]
    beta, slope, at_none = np.polyfit(loads, inverse, 2)
    return {
        "peak_load": math.sqrt(at_none / beta),
        "optimal_load": 1 / (slope + beta),
    }


def fitted(seed: int, loads: Sequence[int], measured: Sequence[float]) -> tuple[float, ...]:
    """Return contention, coherency and the throughput alone with which simulations agree best."""

    def residuals(parameters: np.ndarray) -> list[float]:
        alpha, beta, alone = np.maximum(parameters, 0.0).tolist()
        return [
            throughput(seed, n, alone, alpha, beta) - x
            for n, x in zip(loads, measured, strict=True)
        ]

    start = (0.01, 0.001, measured[0])
    found = least_squares(residuals, start, x_scale=start, xtol=1e-9, ftol=1e-12)
    return tuple(found.x)


@model("usl-specsdm91", long=True)
def sixteen_processors(seed: int) -> Figures:
    loads = (1, 18, 36, 72, 108, 144, 216)
    alpha, beta, alone = fitted(seed, loads, (64.9, 995.9, 1652.4, 1853.2, 1828.9, 1775.0, 1702.2))
    law = functools.partial(throughput, seed, alone=alone, alpha=alpha)
    best = math.sqrt((1 - alpha) / beta)
    return {
        "alpha": alpha,
        "beta": beta,
        "gamma": alone,
        "fitted": [law(n, beta=beta) for n in loads],
        "peak_load": best,
        "peak_throughput": law(round(best), beta=beta),
        # Without coherency load / throughput is a line.
        "limit_throughput": 100 / (200 / law(200, beta=0.0) - 100 / law(100, beta=0.0)),
        "optimal_load": 1 / alpha,
    }


@model("usl-synthetic", long=True)
def without_noise(seed: int) -> Figures:
    measured = (1, 1.8868, 3.0769, 3.5294, 3.5398, 3.3557)
    alpha, beta, alone = fitted(seed, (1, 2, 4, 6, 8, 10), measured)
    return {"alpha": alpha, "beta": beta, "gamma": alone}


# Units of throughput ----------------------------------------------------------------------------


def operations(seed: int, units: float, taken: int) -> float:
    """Return operations a second, each of which takes so many units, of `units` a second."""
    topology = ss.Topology(
        ss.Service("table", endpoints={"use": [ss.call("units.admit")] * taken}),
        RateLimiter("units", rate=units, on_excess="delay"),
        entry="table",
    )
    half = 0.5 / units  # the window begins and ends between two units
    results = ss.simulate(topology, ss.ClosedTraffic(1, think_time=0.0),
                          warmup=10 + half, duration=110 + half, seed=seed)  # fmt: skip
    return results.throughput


@model("dynamo-6-units")
def six_units(seed: int) -> Figures:
    # A read of 4 KB takes one unit, half a unit if it may be stale; a write of 1 KB one.
    half_units = functools.partial(operations, seed, 2 * 6.0)
    write_units = functools.partial(operations, seed, 6.0)
    return {
        "strong_read_kb_per_s": 4 * half_units(2),
        "eventual_read_kb_per_s": 4 * half_units(1),
        "transactional_read_kb_per_s": 4 * half_units(4),
        "write_kb_per_s": write_units(1),
        "transactional_write_kb_per_s": write_units(2),
    }


# Nodes that fail --------------------------------------------------------------------------------


@model("redis-cluster-two-failures")
def two_nodes_down(seed: int) -> Figures:
    # Each master and its replica fail and are repaired by themselves. Of the time in which two of
    # all nodes are down, the cluster is down if they belong together.
    names = [f"shard_{i}" for i in range(5)]
    failures = Failures(time_to_failure=ss.Exponential(9.0), repair_time=ss.Exponential(1.0),
                        of="instance")  # fmt: skip
    shards = [
        ss.Service(name, instances=2, workers=MANY, cpu_discipline="fifo", failures=failures,
                   endpoints={"get": [ss.compute(0.0)]})
        for name in names
    ]  # fmt: skip
    topology = ss.Topology(ss.LoadBalancer("cluster", targets=names), *shards, entry="cluster")
    results = ss.simulate(topology, ss.Traffic(0.1), duration=100_000, seed=seed)
    down = [results.time_shares(name, "down") for name in names]
    return {
        "unavailable_probability": both_of_one(down),
        "unavailable_probability_for_3_masters": both_of_one(down[:3]),
    }


def both_of_one(down: Sequence[np.ndarray]) -> float:
    """Return the share of the time with two nodes down in which they are of one shard."""
    up = np.asarray([share[0] for share in down])
    together = sum(share[2] * np.delete(up, i).prod() for i, share in enumerate(down))
    return float(together / functools.reduce(np.convolve, down)[2])
