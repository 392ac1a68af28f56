"""Two designs under the same luck: is one more database connection worth it?

One seed gives both designs the same arrivals and the same service times (common random numbers), so
the difference between them is hardly blurred by chance. The last lines show how much that helps.
"""

from statistics import mean, stdev

import scalesim as ss

small = ss.Topology(
    ss.Service(
        "web",
        workers=64,
        cores=8,
        endpoints={"get": [ss.compute(ss.Exponential(ss.ms(2))), ss.call("db.read")]},
    ),
    ss.Database("db", connections=7, cores=8, read=ss.Exponential(ss.ms(10))),
    entry="web",
)
large = small.vary({"db.connections": 8})


def latency_mean(topology: ss.Topology, seed: int) -> float:
    """Return the mean latency [ms] of one run."""
    results = ss.simulate(topology, ss.Traffic(600), duration=120, seed=seed)
    return results.latency.mean * 1e3


seeds = range(1, 11)
a = [latency_mean(small, seed) for seed in seeds]
b = [latency_mean(large, seed) for seed in seeds]
b_other = [latency_mean(large, seed + 100) for seed in seeds]
same = [x - y for x, y in zip(a, b, strict=True)]
other = [x - y for x, y in zip(a, b_other, strict=True)]
print(f"7 connections: {mean(a):.2f} ms, 8 connections: {mean(b):.2f} ms")
print(f"difference, same seeds:  {mean(same):.3f} ms, standard deviation {stdev(same):.3f} ms")
print(f"difference, other seeds: {mean(other):.3f} ms, standard deviation {stdev(other):.3f} ms")
