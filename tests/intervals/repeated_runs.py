"""How often 95 % intervals hold the true value: repeat runs, count, print a table.

``PYTHONPATH=. python tests/intervals/repeated_runs.py --runs 1000``; the truth is in closed form.
The table is the one of docs/explanation/statistics.md; test_coverage.py checks part of it.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

import scalesim as ss
from scalesim.results import Results

MEAN, P99, HITS = "latency_mean_s", "latency_p99_s", "hit_ratio@cache"
MANY = 100_000


def single(cores: int, load: float) -> tuple[ss.Topology, float, dict[str, float]]:
    """Return an M/M/c station with a mean service time of 1 s, its rate and its truth."""
    server = ss.Service(
        "server",
        cores=cores,
        cpu_discipline="fifo",
        workers=MANY,
        endpoints={"get": [ss.compute(ss.Exponential(1.0))]},
    )
    rate = load * cores
    wait = erlang_c(cores, rate)
    spare = cores - rate
    truth = {MEAN: 1.0 + wait / spare, P99: quantile(lambda t: beyond(t, wait, spare), 0.01)}
    return ss.Topology(server, entry="server"), rate, truth


def erlang_c(cores: int, offered: float) -> float:
    """Return the probability of waiting in M/M/c."""
    blocked = 1.0
    for n in range(1, cores + 1):
        blocked = offered * blocked / (n + offered * blocked)
    return blocked / (1 - offered / cores * (1 - blocked))


def beyond(t: float, wait: float, spare: float) -> float:
    """Return P(response > t): an exponential service, after a wait at rate `spare` if any."""
    if abs(spare - 1) < 1e-9:
        return math.exp(-t) * (1 + wait * t)
    both = (spare * math.exp(-t) - math.exp(-spare * t)) / (spare - 1)
    return (1 - wait) * math.exp(-t) + wait * both


def quantile(tail: Callable[[float], float], share: float) -> float:
    """Return where the falling function `tail` is `share`."""
    low, high = 0.0, 1e4
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if tail(middle) > share else (low, middle)
    return high


@dataclass(frozen=True)
class System:
    """A model whose truth is known in closed form."""

    name: str
    topology: ss.Topology
    traffic: ss.Traffic
    truth: dict[str, float]

    def run(self, requests: int, seed: int, **settings: Any) -> Results:
        """Return the results of a run of about so many requests."""
        duration = requests / self.traffic.mean_rate
        return ss.simulate(
            self.topology, self.traffic, duration=duration, seed=seed, progress=False, **settings
        )


def station(cores: int, load: float) -> System:
    """Return an M/M/c station."""
    topology, rate, truth = single(cores, load)
    return System(f"M/M/{cores}, {load:.0%} busy", topology, ss.Traffic(rate), truth)


def cache() -> System:
    """Return a cache with a time to live, behind a service that computes 1 s with each answer.

    Of a key at rate r, fetched in F and kept for T: a lookup that misses starts a fetch, misses go
    on until it ends, and each of them stores the key anew when its own fetch ends. So a cycle has
    1 + r F misses; and the key stays until T after the end of the last fetch, which began at the
    last arrival within F: on average F - (1 - exp(-r F)) / r after the first.
    """
    fetch, ttl, rate, keys = 1.0, 20.0, 5.0, ss.Zipf(50, 0.9)
    each = keys.weights() / keys.weights().sum() * rate
    misses = 1 + each * fetch
    hits = each * (fetch - (1 - np.exp(-each * fetch)) / each + ttl)
    hit = float((each / rate * hits / (hits + misses)).sum())

    def tail(t: float) -> float:
        return hit * math.exp(-t) + (1 - hit) * math.exp(-max(t - fetch, 0.0))

    def service(name: str, endpoint: str, *steps: Any) -> ss.Service:
        return ss.Service(name, cores=MANY, workers=MANY, endpoints={endpoint: list(steps)})

    topology = ss.Topology(
        service("web", "get", ss.call("cache.get"), ss.compute(ss.Exponential(1.0))),
        ss.Cache("cache", ttl=ttl, origin="store.read"),
        service("store", "read", ss.compute(fetch)),
        entry="web",
    )
    truth = {MEAN: 1.0 + (1 - hit) * fetch, P99: quantile(tail, 0.01), HITS: hit}
    return System("cache, 50 keys", topology, ss.Traffic(rate, keys=keys), truth)


def two_tiers() -> System:
    """Return two M/M/1 stations in series, whose response times are independent (Reich 1957)."""
    times = {"web": 0.7, "db": 0.8}
    steps = {"web": [ss.call("db.get")], "db": []}
    stations = [
        ss.Service(
            name,
            cores=1,
            cpu_discipline="fifo",
            workers=MANY,
            endpoints={"get": [ss.compute(ss.Exponential(time)), *steps[name]]},
        )
        for name, time in times.items()
    ]
    a, b = (1 / time - 1 for time in times.values())
    tail = quantile(lambda t: (b * math.exp(-a * t) - a * math.exp(-b * t)) / (b - a), 0.01)
    truth = {MEAN: 1 / a + 1 / b, P99: tail}
    topology = ss.Topology(*stations, entry="web")
    return System("two tiers, 70 and 80 % busy", topology, ss.Traffic(1.0), truth)


HALF, NINE, EIGHT, CACHE, TIERS = (
    station(1, 0.5),
    station(1, 0.9),
    station(8, 0.8),
    cache(),
    two_tiers(),
)

TESTED = ((HALF, 10_000), (NINE, 200_000), (EIGHT, 50_000), (CACHE, 20_000), (TIERS, 50_000))
"""Systems and requests of each run: so many that few runs are warned of."""

Case = tuple[System, int, dict[str, Any]]
CASES: tuple[Case, ...] = (
    *((system, requests, {}) for system, requests in TESTED),
    (HALF, 2_000, {}),
    (NINE, 5_000, {}),
    (NINE, 50_000, {}),
    (EIGHT, 10_000, {}),
    (TIERS, 10_000, {}),
    (HALF, 1_000, {"trials": 10}),
    (NINE, 20_000, {"trials": 10}),
    (HALF, 1_000, {"precision": 0.1}),
)


def doubted(results: Results, metric: str) -> bool:
    """Return whether a warning says that this metric's interval may not hold what it promises."""
    for each in results.warnings:
        if each.what in ("unstable", "warmup", "correlated"):
            return True
        if each.what == "few_samples" and metric == P99:
            return True
        ratio = "for_p99_ratio" if metric == P99 else "for_mean_ratio"
        if each.what == "short" and each.numbers[ratio] > 1:
            return True
    return False


@dataclass
class Count:
    """What became of the intervals of one metric."""

    runs: int = 0
    covered: int = 0
    open: int = 0
    """Without an upper end."""
    trusted: int = 0
    """Of runs without a warning that concerns the metric."""
    trusted_covered: int = 0
    trials: int = 0


def repeat(system: System, requests: int, settings: dict[str, Any], runs: int) -> dict[str, Count]:
    """Return for each metric how its intervals did in so many runs."""
    found = {metric: Count() for metric in system.truth}
    for seed in range(runs):
        results = system.run(requests, 1000 + seed, **settings)
        for metric, truth in system.truth.items():
            estimate, count = results.estimate(metric), found[metric]
            hit, trusted = estimate.covers(truth), not doubted(results, metric)
            count.runs += 1
            count.covered += hit
            count.open += math.isinf(estimate.high)
            count.trusted += trusted
            count.trusted_covered += hit and trusted
            count.trials += results.trials
    return found


def rows(runs: int) -> Iterator[tuple[str, ...]]:
    """Yield the rows of the table."""
    for system, requests, settings in CASES:
        how = ", ".join(f"{name} {value}" for name, value in settings.items())
        for metric, x in repeat(system, requests, settings, runs).items():
            each = f"{requests:,}" + (f" x {x.trials / x.runs:.3g} trials" if settings else "")
            trusted = f"{x.trusted_covered / x.trusted:.1%}" if x.trusted >= runs / 10 else "-"
            yield (
                f"{system.name}{how and f', {how}'}", each, metric, f"{x.covered / runs:.1%}",
                f"{x.open / runs:.0%}", f"{x.trusted / runs:.0%}", trusted,
            )  # fmt: skip


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=400)
    runs = parser.parse_args().runs
    print("| model | requests a run | metric | held | no upper end | trusted | held, of trusted |")
    print("|---|---|---|---|---|---|---|")
    for row in rows(runs):
        print("| " + " | ".join(row) + " |", flush=True)


if __name__ == "__main__":
    main()
