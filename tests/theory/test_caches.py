"""Hit ratios under independent references, against the stationary law of the cache's own chain.

The rules of each policy are written down here a second time, as transitions of a Markov chain on
what the cache holds; a few keys and places give a chain that is solved exactly. Times to live and
fetches have formulas.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from scipy.sparse import csr_matrix
from theory.estimates import assert_covers, by_trial, simulate

import scalesim as ss
from scalesim.policies.eviction import Clock, SampledLru

KEYS, ROOM = 6, 3
SHARES = np.arange(1, KEYS + 1) ** -0.9 / np.sum(np.arange(1, KEYS + 1) ** -0.9)

State = tuple[Any, ...]
Moves = Iterator[tuple[float, State, bool]]
"""(probability, next state, whether it was a hit)"""


def lru(state: State, key: int) -> Moves:
    rest = tuple(each for each in state if each != key)
    yield 1.0, (key, *rest[: ROOM - 1]), key in state


def fifo(state: State, key: int) -> Moves:
    hit = key in state
    yield 1.0, state if hit else (key, *state[: ROOM - 1]), hit


def random(state: State, key: int) -> Moves:
    if key in state or len(state) < ROOM:
        yield 1.0, tuple(sorted({*state, key})), key in state
        return
    for out in state:
        yield 1 / ROOM, tuple(sorted({*state, key} - {out})), False


def sampled(state: State, key: int) -> Moves:
    """Two distinct entries are drawn, the older goes; the state is in order of use."""
    rest = tuple(each for each in state if each != key)
    if key in state or len(state) < ROOM:
        yield 1.0, (key, *rest), key in state
        return
    pairs = list(itertools.combinations(range(ROOM), 2))
    for _, older in pairs:
        yield 1 / len(pairs), (key, *state[:older], *state[older + 1 :]), False


def clock(bit: int) -> Callable[[State, int], Moves]:
    """A ring of (key, bit) whose first place is where the hand is."""

    def move(state: State, key: int) -> Moves:
        if key in dict(state):
            yield 1.0, tuple((k, 1 if k == key else b) for k, b in state), True
            return
        ring = list(state)
        if len(ring) == ROOM:
            while ring[0][1]:
                ring = [*ring[1:], (ring[0][0], 0)]
            ring = ring[1:]
        yield 1.0, (*ring, (key, bit)), False

    return move


def sieve(state: State, key: int) -> Moves:
    """The hand and a list of (key, visited) from old to new; the hand is a place in it."""
    hand, entries = state if state else (0, ())
    if key in dict(entries):
        yield 1.0, (hand, tuple((k, v or k == key) for k, v in entries)), True
        return
    if len(entries) == ROOM:
        entries = list(entries)
        while entries[hand][1]:
            entries[hand] = (entries[hand][0], False)
            hand = (hand + 1) % ROOM
        del entries[hand]
        hand %= len(entries)  # the newest went: on from the oldest
    yield 1.0, (hand, (*entries, (key, False))), False


def exact_hit_ratios(move: Callable[[State, int], Moves]) -> np.ndarray:
    """Return the stationary hit ratio of each key."""
    number: dict[State, int] = {(): 0}
    rows, columns, chances = [], [], []
    hits: list[list[float]] = []
    todo: list[State] = [()]
    for state in todo:
        hits.append([])
        for key, share in enumerate(SHARES):
            moves = list(move(state, key))
            hits[-1].append(sum(p for p, _, hit in moves if hit))
            for p, then, _ in moves:
                if then not in number:
                    number[then] = len(number)
                    todo.append(then)
                rows.append(number[then])
                columns.append(number[state])
                chances.append(p * share)
    chain = csr_matrix((chances, (rows, columns)), shape=(len(number), len(number)))
    law = np.full(len(number), 1 / len(number))
    for _ in range(3000):
        law = chain @ law
    return law @ np.asarray(hits)


POLICIES = {
    "lru": ("lru", lru),
    "fifo": ("fifo", fifo),
    "random": ("random", random),
    "clock": (Clock(), clock(0)),
    "clock, bit set": (Clock(reference_bit=1), clock(1)),
    "sieve": ("sieve", sieve),
    "sampled": (SampledLru(samples=2), sampled),
}


def cached(traffic: Any, requests: float, rate: float, fetch: float = 0.0, **fields: Any) -> Any:
    """Return the results of a service that asks a cache, whose origin takes `fetch` s."""
    web = ss.Service("web", workers=10_000, endpoints={"get": [ss.call("cache.get")]})
    store = ss.Service("store", workers=10_000, endpoints={"load": [ss.sleep(fetch)]})
    topology = ss.Topology(web, ss.Cache("cache", origin="store", **fields), store, entry="web")
    return simulate(topology, traffic, requests=requests, rate=rate, record_keys=KEYS)


def hit_ratio(results: Any) -> float:
    cache = results.caches["cache"]
    return cache["hits"] / (cache["hits"] + cache["misses"])


@pytest.mark.parametrize("name", POLICIES)
def test_small_caches(name) -> None:
    policy, move = POLICIES[name]
    expected = exact_hit_ratios(move)
    traffic = ss.Traffic(100.0, keys=ss.Zipf(KEYS, 0.9))
    results = cached(traffic, 1e6, 100.0, capacity=ROOM, eviction=policy)
    assert_covers(by_trial(results, hit_ratio), expected @ SHARES, 0.01)
    for key in (0, KEYS - 1):
        shares = by_trial(results, lambda each, key=key: each.keys_table()["hit_ratio"][key])
        assert_covers(shares, expected[key], 0.04)


def test_perfect_lfu_comes_to_hold_the_most_popular_keys() -> None:
    # Aho, Denning & Ullman, "Principles of optimal page replacement", J. ACM 18 (1971): no policy
    # does better. Who comes in must have one place, so of ten places nine keep their keys.
    web = ss.Service("web", workers=99, endpoints={"get": [ss.call("cache.get")]})
    cache = ss.Cache("cache", capacity=10, eviction=ss.policies.eviction.Lfu(keep_counts=True))
    traffic = ss.Traffic(1000.0, keys=ss.Zipf(50, 1.5))
    topology = ss.Topology(web, cache, entry="web")
    results = ss.simulate(topology, traffic, duration=2000.0, warmup=500.0, record_keys=9)
    assert results.keys_table()["hit_ratio"].tolist() == pytest.approx([1.0] * 9, abs=0.01)


@pytest.mark.parametrize(
    ("age", "expected"), [("ttl", 3.0 / 4.0), ("time_to_idle", 1 - math.exp(-3.0))]
)
def test_times_to_live(age, expected) -> None:
    # One key asked for at rate 2/s, age 1.5 s. From the store: a cycle is one miss and then
    # Poisson(3) hits. Renewed by hits: a hit unless the gap is longer.
    traffic = ss.Traffic(2.0, keys=ss.UniformKeys(1))
    results = cached(traffic, 4e5, 2.0, **{age: 1.5})
    assert_covers(by_trial(results, hit_ratio), expected, 0.02)


@pytest.mark.parametrize("instances", [1, 4])
def test_in_process_caches_split_the_requests(instances) -> None:
    # Each instance sees 1/n of each key's requests: key i hits with x/(1 + x), x = rate * T / n.
    web = ss.Service("web", workers=99, instances=instances, balancing="random",
                     endpoints={"get": [ss.call("cache.get")]})  # fmt: skip
    cache = ss.Cache("cache", ttl=0.5, placement="in_process")
    edge = ss.LoadBalancer("edge", targets="web", policy="random")
    topology = ss.Topology(edge, web, cache, entry="edge")
    traffic = ss.Traffic(20.0, keys=ss.Zipf(KEYS, 0.9))
    results = simulate(topology, traffic, requests=4e5, rate=20.0)
    x = SHARES * 20.0 * 0.5 / instances
    assert_covers(by_trial(results, hit_ratio), float(SHARES @ (x / (1 + x))), 0.02)


def test_coalesced_misses() -> None:
    # One key, rate 50/s, fetch 0.2 s, life 1 s: a cycle is the first miss, Poisson(10) requests
    # that wait, each 0.1 s on average, and Poisson(50) hits (renewal-reward theorem).
    traffic = ss.Traffic(50.0, keys=ss.UniformKeys(1))
    results = cached(traffic, 1e6, 50.0, fetch=0.2, ttl=1.0, coalesce=True)
    cycle = 1 + 10 + 50
    assert_covers(by_trial(results, hit_ratio), 50 / cycle, 0.01)
    latency = by_trial(results, lambda each: each.latency.mean)
    assert_covers(latency, (0.2 + 10 * 0.1) / cycle, 0.03)
    cache = results.caches["cache"]
    assert cache["coalesced"] / cache["misses"] == pytest.approx(10 / 11, rel=0.01)
    # Otherwise each of them fetches, and the last that has fetched renews the entry.
    without = cached(traffic, 1e6, 50.0, fetch=0.2, ttl=1.0)
    hits = 50 * (1.0 + 0.2 - (1 - math.exp(-10)) / 50)
    assert_covers(by_trial(without, hit_ratio), hits / (11 + hits), 0.01)


@pytest.mark.parametrize("coalesce", [True, False])
def test_fetches_of_a_cold_cache(coalesce) -> None:
    # All requests that come while the first fetch lasts (0.05 s at 400/s) miss, too.
    web = ss.Service("web", workers=999, endpoints={"get": [ss.call("cache.get")]})
    store = ss.Service("store", workers=999, endpoints={"load": [ss.sleep(0.05)]})
    cache = ss.Cache("cache", origin="store", coalesce=coalesce)
    results = ss.simulate(
        ss.Topology(web, cache, store, entry="web"),
        ss.Traffic(400.0, keys=ss.UniformKeys(1)),
        duration=0.2,
        warmup=0.0,
        trials=300,
    )
    assert results.plan.station_labels[-2][:2] == ("store", "workers")
    fetches = by_trial(results, lambda each: float(each.station["arrived"][-2]))
    if coalesce:
        assert fetches == [1.0] * 300
    else:
        assert_covers(fetches, 21.0, 0.1)
