"""Fan-out, quorums, retries, rate limits, connection pools and partitions."""

from __future__ import annotations

import numpy as np
from accuracy.published.reading import MANY, requests, row, station
from accuracy.published.registry import Figures, model

import scalesim as ss
from scalesim.components import RateLimiter, cached, fail
from scalesim.distributions import Mixture
from scalesim.traffic import Even


def slow_ratio(seed: int, leaves: int, slow: float, count: int) -> float:
    """Return the share of requests that wait for a slow leaf."""
    leaf = Mixture(probabilities=(1 - slow, slow), parts=(0.01, 1.0))
    topology = ss.Topology(
        ss.Service(
            "root", workers=MANY, endpoints={"get": [ss.parallel(*[[ss.sleep(leaf)]] * leaves)]}
        ),
        entry="root",
    )
    results = ss.simulate(topology, ss.Traffic(10.0), duration=count / 10, seed=seed)
    return 1 - results.goodput(0.5) / results.throughput


@model("tail-at-scale-fanout", long=True)
def tail_at_scale(seed: int) -> Figures:
    return {
        "slow_request_ratio": slow_ratio(seed, 100, 0.01, 8000),
        "slow_ratio_for_200": slow_ratio(seed, 200, 0.01, 4000),
        "slow_ratio_for_2000_leaves_1_in_10000": slow_ratio(seed, 2000, 0.0001, 1500),
    }


@model("tail-fanout-50")
def fan_out(seed: int) -> Figures:
    return {"slow_request_ratio": slow_ratio(seed, 50, 0.01, 10_000)}


@model("sre-retry-layers")
def layers(seed: int) -> Figures:
    again = ss.Retry(4, backoff=0.0)
    topology = ss.Topology(
        ss.Service("front", endpoints={"get": [ss.call("back.get", retry=again)]}),
        ss.Service("back", endpoints={"get": [ss.call("store.get", retry=again)]}),
        ss.Service("store", endpoints={"get": [fail(1.0)]}),
        entry="front",
    )
    results = ss.simulate(topology, ss.ReplayTraffic([0.0], retry=again),
                          duration=1, warmup=0, seed=seed)  # fmt: skip
    return {"attempts_at_bottom_per_request": row(results, "store")["arrivals"]}


@model("q-istio-timeout-swallows-retries")
def timeout_of_all_attempts(seed: int) -> Figures:
    def outcome(each_try: float | None) -> tuple[float, float]:
        retried = ss.call("web.serve", timeout=each_try, retry=ss.Retry(4, backoff=0.0))
        topology = ss.Topology(
            ss.Service("sidecar", endpoints={"get": [retried]}),
            station("web", 7.0, workers=10),
            entry="sidecar",
        )
        results = ss.simulate(topology, ss.ReplayTraffic([0.0], timeout=2.0), duration=20,
                              warmup=0, seed=seed, record_requests=1)  # fmt: skip
        return float(requests(results)[0]), row(results, "web")["arrivals"]

    latency, attempts = outcome(None)
    latency_with, attempts_with = outcome(0.5)
    return {
        "latency_s": latency,
        "attempts": attempts,
        "latency_s_with_per_try_0.5s": latency_with,
        "attempts_with_per_try_0.5s": attempts_with,
    }


# Limits -----------------------------------------------------------------------------------------


def accepted(seed: int, at: list[float], **limit: object) -> int:
    limiter = RateLimiter("limit", target="server", rate=2.0, **limit)
    topology = ss.Topology(limiter, station("server", 0.0, MANY), entry="limit")
    results = ss.simulate(topology, ss.ReplayTraffic(at), duration=120, warmup=0, seed=seed)
    return results.counts["completed"]


AROUND_A_MINUTE = [59 + i / 120 for i in range(240)]


@model("q-fixed-window-double")
def twice_the_limit(seed: int) -> Figures:
    fixed, sliding = (
        accepted(seed, AROUND_A_MINUTE, algorithm=each, window=60.0)
        for each in ("fixed_window", "sliding_window")
    )
    return {"accepted": fixed, "accepted_sliding_window_log": sliding}


@model("q-token-bucket-bound")
def token_bucket(seed: int) -> Figures:
    return {"accepted": accepted(seed, AROUND_A_MINUTE, burst=120)}


def hot_partition(seed: int, offered: float, limit: float, keys: int) -> ss.Results:
    """Return a run of a store that limits each partition key; the key is that of the client.

    A partition keeps a few unused units, as the requests for one of several keys come unevenly.
    """
    limiter = RateLimiter("store", target="disk", rate=limit, burst=10, per="client")
    topology = ss.Topology(limiter, station("disk", 0.0, MANY), entry="store")
    traffic = ss.Traffic(offered, arrivals=Even(), clients=ss.UniformKeys(keys))
    return ss.simulate(topology, traffic, duration=100, seed=seed)


@model("q-dynamo-hot-key")
def hot_key(seed: int) -> Figures:
    one, sixteen = (hot_partition(seed, 1500.0, 1000.0, keys) for keys in (1, 16))
    return {
        "throttled_per_s": one.counts["rejected"] / one.measured_time,
        "throttled_with_16_subkeys_per_s": sixteen.counts["rejected"] / sixteen.measured_time,
    }


@model("q-dynamo-quarter-of-capacity")
def share_of_a_partition(seed: int) -> Figures:
    rates = [hot_partition(seed, 1000.0, 400 / n, 1).throughput for n in (1, 4, 16)]
    return {"throughput_units": rates}


# Retries ----------------------------------------------------------------------------------------


@model("q-envoy-max-retries-4-clients")
def places_for_retries(seed: int) -> Figures:
    # An attempt whose request is known is a retry: it needs one of three places, which nobody
    # waits for.
    first = cached("known", miss=[ss.call("known.set"), ss.call("upstream")])
    topology = ss.Topology(
        ss.Service("proxy", workers=4, endpoints={"try": [first, ss.call("retries")]}),
        ss.Cache("known"),
        ss.Service("retries", workers=3, backlog=0, endpoints={"try": [ss.call("upstream")]}),
        ss.Service("upstream", workers=4, endpoints={"get": [ss.sleep(0.1), fail(1.0)]}),
        entry="proxy",
    )
    traffic = ss.ReplayTraffic([0.0] * 4, key=list(range(4)),
                               retry=ss.Retry(4, backoff=0.0, on="failed"))  # fmt: skip
    first_round = ss.simulate(topology, traffic, duration=0.15, warmup=0, seed=seed)
    found = row(first_round, "retries")
    return {
        "requests_retried_in_first_round": found["arrivals"] - found["rejected"],
        "not_retried": first_round.counts["rejected"],
    }


@model("q-metastable-trigger")
def trigger(seed: int) -> Figures:
    """A short one is survived; a longer one leaves a queue that retries keep alive."""

    def last_minute(lasting: float) -> ss.Results:
        again = ss.Retry(5, backoff=0.0)
        get = [ss.call("queue", timeout=1.0, retry=again)]
        # Four others compute on the same core, so that it has a fifth of its speed for the queue.
        disturb = [ss.parallel(*[[ss.call("core.other", timeout=lasting, cancel=True)]] * 4)]
        topology = ss.Topology(
            ss.Service("client", workers=MANY, endpoints={"get": get, "disturb": disturb}),
            ss.Service("queue", endpoints={"serve": [ss.call("core.serve")]}),
            ss.Service("core", workers=5, endpoints={
                "serve": [ss.compute(ss.Exponential(0.01))], "other": [ss.compute(300.0)]}),
            entry="client",
        )  # fmt: skip
        gaps = np.random.default_rng(seed).exponential(1 / 60, 20_000)
        before, after = np.split(np.cumsum(gaps), [np.searchsorted(np.cumsum(gaps), 60.0)])
        endpoints = ["get"] * len(before) + ["disturb"] + ["get"] * len(after)
        traffic = ss.ReplayTraffic([*before, 60.0, *after], endpoint=endpoints)
        return ss.simulate(topology, traffic, duration=300, warmup=240, seed=seed)

    short, long = last_minute(1.0), last_minute(10.0)
    table = long.components_table().set_index("metric").value
    return {
        "goodput_last_minute_rps": [short.throughput, long.throughput],
        "retry_amplification_last_minute_10s": table["retry_amplification[get.0->queue]"],
    }
