"""The three benchmark models in scalesim's public API, and how a run of one is measured.

`python models.py MODEL REQUESTS SEED` runs one in a process of its own and prints one JSON line,
with the peak memory of that process.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass

import scalesim as ss

Model = tuple[ss.Topology, ss.Traffic]


def mm1() -> Model:
    return queue(slots=1, rate=0.8)


def mm8() -> Model:
    return queue(slots=8, rate=7.2)


def queue(*, slots: int, rate: float) -> Model:
    endpoints = {"get": [ss.compute(ss.Exponential(1.0))]}
    server = ss.Service("server", workers=slots, cores=slots, endpoints=endpoints)
    return ss.Topology(server, entry="server"), ss.Traffic(rate=rate)


def shop() -> Model:
    get = [ss.compute(ss.Exponential(0.005)), ss.call("cache.get")]
    topology = ss.Topology(
        ss.LoadBalancer("edge", targets="web", policy="round_robin"),
        ss.Service("web", instances=4, workers=4, cores=4, endpoints={"get": get}),
        ss.Cache("cache", hit_ratio=0.5, origin="db.read"),
        ss.Database("db", connections=8, cores=8, read=ss.Exponential(0.010)),
        entry="edge",
    )
    return topology, ss.Traffic(rate=1251.9)


MODELS: dict[str, Callable[[], Model]] = {"a": mm1, "b": mm8, "c": shop}


@dataclass(frozen=True)
class Measurement:
    requests: int  # completed
    seconds: float  # wall clock of `simulate`, lowering and results included
    mean_latency_s: float


def measure(model: str, requests: int, *, seed: int = 1) -> Measurement:
    """Simulate about `requests` requests; the only place that knows what results look like."""
    topology, traffic = MODELS[model]()
    duration = requests / traffic.rate
    started = time.perf_counter()
    results = ss.simulate(
        topology, traffic, duration=duration, warmup=0.0, seed=seed, engine="compiled"
    )
    mean = results.latency.mean
    completed = results.counts["completed"]
    seconds = time.perf_counter() - started
    assert results.engine == "compiled", results.notices
    return Measurement(int(completed), seconds, float(mean))


def main() -> None:
    model, requests, seed = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    measure(model, 100)  # loads the compiled engine
    result = asdict(measure(model, requests, seed=seed))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    peak_rss_mib = peak / (2**20 if sys.platform == "darwin" else 2**10)
    print(json.dumps(result | {"peak_rss_mib": peak_rss_mib, "version": ss.__version__}))


if __name__ == "__main__":
    main()
