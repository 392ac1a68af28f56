"""What every peer script shares: its command line, the clock, the one JSON line it prints.

A peer script defines `prepare(model, requests, seed)`, which builds the model and returns a
function that runs it. Only that function is timed: imports and, where a peer has one, the
compilation are not.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from importlib.metadata import version

RATE = {"a": 0.8, "b": 7.2, "c": 1251.9}  # arrivals per second

Run = Callable[[], tuple[int, float]]  # -> requests completed, mean latency [s]


def main(package: str, prepare: Callable[[str, int, int], Run], *, deviation: str = "") -> None:
    """Run `SCRIPT MODEL REQUESTS SEED`, print one JSON line.

    `deviation` says how the peer's nearest model differs from the one asked for; where it is given,
    the speed is reported and the mean latency is not expected to be right.
    """
    model, requests, seed = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    python = "{}.{}".format(*sys.version_info)
    run = prepare(model, requests, seed)
    started = time.perf_counter()
    completed, mean_latency = run()
    seconds = time.perf_counter() - started
    result = {"requests": completed, "seconds": seconds, "mean_latency_s": mean_latency}
    result |= {"version": f"{version(package)}, Python {python}", "deviation": deviation}
    print(json.dumps(result))
