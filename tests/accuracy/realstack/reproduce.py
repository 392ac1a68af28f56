"""The arrivals and the drawn demands of a measured run, from its seed.

The load generator and the application that were measured drew everything in this way, so a
simulation can be fed with the very same requests.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import NormalDist
from typing import Any, NamedTuple

import numpy as np

__all__ = ["Arrivals", "arrivals", "demands"]

MASK = (1 << 64) - 1


class Arrivals(NamedTuple):
    """Times [s], endpoint and key of each request."""

    at: np.ndarray
    endpoint: list[str]
    key: np.ndarray


def arrivals(load: Mapping[str, Any], seed: int) -> Arrivals:
    """Return the requests of an open load, in order of arrival."""
    generator = np.random.default_rng(seed)
    times = []
    for phase in load["phases"]:
        start, end, rate = phase["from_s"], phase["to_s"], phase["requests_per_s"]
        gaps = generator.exponential(1 / rate, int((end - start) * rate * 1.3 + 200))
        at = start + np.cumsum(gaps)
        times.append(at[at < end])
    at = np.concatenate(times)
    share = np.array([each["share"] for each in load["endpoints"]], float)
    endpoint = generator.choice(len(share), size=len(at), p=share / share.sum())
    law = load.get("zipf")
    if law:
        weight = 1 / np.arange(1, law["n"] + 1) ** law["alpha"]
        key = generator.choice(law["n"], size=len(at), p=weight / weight.sum())
    else:
        key = generator.integers(0, 10000, len(at))
    paths = [each["path"] for each in load["endpoints"]]
    return Arrivals(at, [paths[e] for e in endpoint], key)


def demands(law: Mapping[str, Any], seed: int, requests: Sequence[int], step: int) -> list[float]:
    """Return the demands [s] that step number `step` drew for the requests of these numbers.

    The step's number is its place in the endpoint's list; the steps of a cache miss count from 10,
    a job of a queue has number 77.
    """
    return [_draw(law, seed, request, step) for request in requests]


def _mix(z: int) -> int:
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
    return z ^ (z >> 31)


def _draw(law: Mapping[str, Any], seed: int, request: int, step: int) -> float:
    mean = float(law["mean"])
    if law["law"] == "const":
        return mean
    z = _mix((seed * 0x9E3779B97F4A7C15 + request + 1) & MASK)
    z = _mix((z + 0x9E3779B97F4A7C15) & MASK)  # the first attempt
    z = _mix((z + (step + 1) * 0xD6E8FEB86659FD93) & MASK)
    u = ((z >> 11) + 0.5) / (1 << 53)
    if law["law"] == "exp":
        return -mean * math.log(u)
    variance = math.log(1 + law["cv"] ** 2)
    return math.exp(math.log(mean) - variance / 2 + math.sqrt(variance) * NormalDist().inv_cdf(u))
