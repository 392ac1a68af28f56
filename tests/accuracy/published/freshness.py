"""Replicas that answer at different times: quorum latencies, and reads that miss the last write."""

from __future__ import annotations

from collections.abc import Sequence

from accuracy.published.reading import MANY, bisected, requests
from accuracy.published.registry import Figures, model

import scalesim as ss
from scalesim.components import cached, fail
from scalesim.distributions import Distribution, Mixture

# One way between coordinator and replica, as fitted to production: a body and a slow tail.
YAMMER = Mixture(
    probabilities=(0.982, 0.018),
    parts=(ss.Pareto(ss.ms(1.5), shape=3.8), ss.Exponential(ss.ms(1 / 0.0217))),
)
SSD = Mixture(
    probabilities=(0.9122, 0.0878),
    parts=(ss.Pareto(ss.ms(0.235), shape=10), ss.Exponential(ss.ms(1 / 1.66))),
)
DISK_WRITE = Mixture(
    probabilities=(0.38, 0.62),
    parts=(ss.Pareto(ss.ms(1.05), shape=1.51), ss.Exponential(ss.ms(1 / 0.183))),
)


def p999_ms(seed: int, ways: Sequence[Distribution], sent: int, awaited: int) -> float:
    """Return the 99.9th percentile of the `awaited`-th of `sent` replies [ms]."""
    there_and_back = [ss.sleep(way) for way in ways]
    steps = [ss.parallel(*[there_and_back] * sent, wait_for=awaited)]
    store = ss.Service("store", workers=MANY, endpoints={"ask": steps})
    results = ss.simulate(ss.Topology(store, entry="store"), ss.Traffic(1000.0),
                          duration=150, warmup=1, seed=seed)  # fmt: skip
    return results.latency.quantile(0.999) / ss.ms(1)


@model("quorum-yammer-p999-n1to3", long=True)
def quorum(seed: int) -> Figures:
    return {
        f"latency_p999_ms_sent{sent}_awaited{awaited}": p999_ms(seed, [YAMMER] * 2, sent, awaited)
        for sent in (1, 2, 3)
        for awaited in range(1, sent + 1)
    }


def fresh_ratio(
    seed: int, write: Distribution, awaited_writes: int, awaited_reads: int, after: float = 0.0
) -> float:
    """Return how many reads, begun `after` seconds after the commit, see the write.

    A replica is a cache that holds what has reached it. A reply that finds nothing there is old;
    a read is fresh once one of the replies that it waits for is not.
    """
    replicas = range(3)
    writes = [
        [ss.sleep(write), ss.call(f"replica_{i}.set"), ss.sleep(SSD)] for i in replicas
    ]  # fmt: skip
    reads = [
        [
            ss.sleep(SSD),
            cached(f"replica_{i}", miss=[ss.call(f"old_{i}.set")]),
            ss.sleep(SSD),
            cached(f"old_{i}", miss=[ss.call("fresh.set")]),
        ]
        for i in replicas
    ]
    steps = [
        ss.parallel(*writes, wait_for=awaited_writes),
        ss.sleep(after),
        ss.parallel(*reads, wait_for=awaited_reads),
        ss.call("fresh.get"),
    ]
    topology = ss.Topology(
        ss.Service("client", workers=MANY, endpoints={"write_and_read": steps}),
        *(ss.Cache(f"{name}_{i}") for name in ("replica", "old") for i in replicas),
        ss.Cache("fresh"),
        entry="client",
    )
    count = 20_000  # each request writes a key of its own
    traffic = ss.ReplayTraffic([i / 1000 for i in range(count)], key=list(range(count)))
    results = ss.simulate(topology, traffic, duration=100, warmup=0, seed=seed)
    return results.caches["fresh"]["hits"] / count


def one_of_three(seed: int, write: Distribution, longest: float) -> Figures:
    until_fresh = bisected(lambda t: fresh_ratio(seed, write, 1, 1, t) >= 0.999, longest)
    return {
        "fresh_ratio_at_commit": fresh_ratio(seed, write, 1, 1),
        "t_for_99.9_percent_fresh_ms": until_fresh / ss.ms(1),
        "read_latency_p999_ms": p999_ms(seed, (SSD, SSD), 3, 1),
        "write_latency_p999_ms": p999_ms(seed, (write, SSD), 3, 1),
    }


@model("pbs-ssd-r1w1", long=True)
def solid_state(seed: int) -> Figures:
    return one_of_three(seed, SSD, longest=ss.ms(5))


@model("pbs-disk-r1w1", long=True)
def disks(seed: int) -> Figures:
    return one_of_three(seed, DISK_WRITE, longest=ss.ms(150))


@model("pbs-disk-r2w1-vs-r1w1", long=True)
def one_more_reply(seed: int) -> Figures:
    ratios = {
        f"fresh_ratio_at_commit_r{r}w{w}": fresh_ratio(seed, DISK_WRITE, w, r)
        for r in (1, 2)
        for w in (1, 2)
    }
    return {**ratios, "write_latency_p999_ms_w2": p999_ms(seed, (DISK_WRITE, SSD), 3, 2)}


@model("q-read-your-writes")
def read_your_writes(seed: int) -> Figures:
    missing = [fail(1.0)]
    routes = (
        cached("replica", miss=missing),
        cached("written_lately", miss=[cached("replica", miss=missing)]),
        cached("primary", miss=missing),
    )
    write = [ss.call("primary.set"), ss.call("written_lately.set"), ss.publish("log")]

    def stale_ratio(read: ss.Step, after: float) -> float:
        topology = ss.Topology(
            ss.Service("shop", workers=MANY, endpoints={"order": [*write, ss.sleep(after), read]}),
            ss.Cache("primary"),
            ss.Cache("written_lately", ttl=5.0),
            ss.MessageQueue("log", handler=[ss.sleep(2.0), ss.call("replica.set")], consumers=MANY),
            ss.Cache("replica"),
            entry="shop",
        )
        traffic = ss.ReplayTraffic([float(i) for i in range(10)], key=list(range(10)))
        return ss.simulate(topology, traffic, duration=60, warmup=0, seed=seed).error_ratio

    return {
        "stale_read_ratio": [stale_ratio(read, 0.1) for read in routes],
        "stale_read_ratio_read_at_3_s": [stale_ratio(read, 3.0) for read in routes],
    }


@model("q-scylla-dead-node-speculative")
def speculative_reads(seed: int) -> Figures:
    # A balancer draws the pair that is asked; the third is asked where two answers take long.
    def pair(first: str, second: str, third: str) -> ss.Service:
        later = [ss.sleep(0.05), ss.call(third)]
        asked = ss.parallel([ss.call(first)], [ss.call(second)], later, wait_for=2, cancel=True)
        return ss.Service(f"{first}_{second}", workers=MANY, endpoints={"read": [asked]})

    def replica(name: str, response: float) -> ss.Service:
        return ss.Service(name, workers=MANY, endpoints={"read": [ss.sleep(response)]})

    topology = ss.Topology(
        ss.LoadBalancer("coordinator", targets=("a_b", "b_dead", "a_dead"), policy="random"),
        pair("a", "b", "dead"), pair("b", "dead", "a"), pair("a", "dead", "b"),
        replica("a", 0.005), replica("b", 0.005), replica("dead", 1e9),
        entry="coordinator",
    )  # fmt: skip
    results = ss.simulate(topology, ss.Traffic(100.0), duration=200, warmup=0, seed=seed,
                          record_requests=30_000)  # fmt: skip
    latencies = requests(results)
    fast = latencies < 0.05
    return {
        "ratio_speculating": 1 - float(fast.mean()),
        "latency_fast_s": float(latencies[fast].mean()),
        "latency_speculating_s": float(latencies[~fast].mean()),
        "latency_mean_s": float(latencies.mean()),
    }
