"""How often 95 % intervals hold the true value: repeat a short run, count, print a table.

``PYTHONPATH=. python tests/intervals/repeated_runs.py --runs 400``; the truth is in closed form.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable

import scalesim as ss

MEAN, P99 = "latency_mean_s", "latency_p99_s"


def single(cores: int, load: float) -> tuple[ss.Topology, float, dict[str, float]]:
    """Return an M/M/c station with a mean service time of 1 s, its rate and its truth."""
    server = ss.Service(
        "server",
        cores=cores,
        cpu_discipline="fifo",
        workers=100_000,
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


CASES = (
    # cores, load, requests of each run, trials of each run
    (1, 0.5, 5_000, 1),
    (1, 0.9, 5_000, 1),
    (1, 0.9, 50_000, 1),
    (1, 0.9, 5_000, 10),
    (8, 0.8, 10_000, 1),
)


def covered(cores: int, load: float, requests: int, trials: int, runs: int) -> dict[str, list[int]]:
    """Return for each metric how many of the runs' intervals hold the truth, of how many.

    Also how many of those that miss come with a warning.
    """
    topology, rate, truth = single(cores, load)
    found = {metric: [0, 0] for metric in truth}
    for seed in range(runs):
        results = ss.simulate(
            topology,
            ss.Traffic(rate),
            duration=requests / rate,
            trials=trials,
            seed=1000 + seed,
            progress=False,
        )
        for metric, value in truth.items():
            if results.estimate(metric).covers(value):
                found[metric][0] += 1
            elif results.warnings:
                found[metric][1] += 1
    return found


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=400)
    runs = parser.parse_args().runs
    print("| case | requests a run | trials | metric | covered | misses that warn |")
    print("|---|---|---|---|---|---|")
    for cores, load, requests, trials in CASES:
        for metric, (hit, warned) in covered(cores, load, requests, trials, runs).items():
            row = [f"M/M/{cores} at {load}", requests * trials, trials, metric]
            row += [f"{hit / runs:.1%}", f"{warned} of {runs - hit}"]
            print("| " + " | ".join(map(str, row)) + " |", flush=True)


if __name__ == "__main__":
    main()
