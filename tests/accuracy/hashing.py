"""Hashing: how evenly networks and keys fall onto targets, over many hash functions.

The library's hash is one function of a number. So another function is another numbering: each
trial gives networks, or keys, numbers that no other trial has.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
from accuracy.arrivals import read_keys
from accuracy.suite import Effort, Reading
from accuracy.words import Unsupported, Words, understanding

import scalesim as ss

__all__ = ["HASHING"]

TOGETHER = 72
"""Trials of one run: each in a bucket of time of its own, of which a run has so many."""

FEWEST, MOST = 2 * TOGETHER, 400_000
"""Trials, at least and at most."""

HIGHEST = 1_000_000_000
"""Of numbers of keys and clients."""

DRAWS = 1000
"""Queries of a trial, where keys are not equally popular."""


def _trials(words: Words, effort: Effort) -> int:
    wanted = words.inner("run").take("trials", 2000) if "run" in words else 2000
    some = min(max(int(wanted * effort.scale), FEWEST), MOST)
    return -(-some // TOGETHER) * TOGETHER


def _numbers(count: int, first: int, seed: int) -> np.ndarray:
    """Return different numbers for each trial from the first on, int64 array [TOGETHER, count]."""
    start = (seed * MOST + first) * count
    return (start + np.arange(TOGETHER * count).reshape(TOGETHER, count)) % HIGHEST


def _arrived(
    topology: ss.Topology, where: tuple[str, str], field: str, numbers: np.ndarray, effort: Effort
) -> np.ndarray:
    """Return how many came to each instance of a component in each trial.

    Parameters
    ----------
    where : component and resource
    field : what of the traffic the numbers are, ``key`` or ``client``
    numbers : int64 array [TOGETHER, requests]
        Of the requests of each trial.
    """
    count = numbers.shape[1]
    width = count + 1.0
    at = (np.arange(TOGETHER)[:, None] * width + np.arange(count) + 0.5).ravel()
    sent: dict[str, Any] = {field: tuple(numbers.ravel().tolist())}
    replay = ss.ReplayTraffic(tuple(at.tolist()), **sent)
    results = ss.simulate(
        topology, replay, duration=TOGETHER * width, warmup=0.0, engine=effort.engine
    )
    (recording,) = results.recordings
    if len(recording.spec.boundaries) != TOGETHER:
        raise Unsupported("trials side by side: runs have another number of buckets of time")
    rows = results.stations_of(*where)
    arrived: np.ndarray = recording.station["arrived"][:, rows]
    return arrived


@lru_cache(maxsize=4)
def _networks(text: str, effort: Effort) -> tuple[tuple[int, ...], ...]:
    """Return for each trial how many networks meet each target of an IP hash."""
    words = Words(json.loads(text))
    clients, balancer = words.inner("clients"), words.inner("balancer")
    clients.expect(networks="all different in the first three octets", request_share="equal")
    balancer.expect(policy="ip_hash", hash="uniform, independent per network, new seed each trial")
    count, targets, trials = clients.take("count"), balancer.take("targets"), _trials(words, effort)
    words.finish()
    web = ss.Service("web", instances=targets, endpoints={"serve": [ss.sleep(0.001)]})
    entry = ss.LoadBalancer("entry", targets="web", policy="ip_hash")
    topology = ss.Topology(entry, web, entry="entry")
    found: list[tuple[int, ...]] = []
    for first in range(0, trials, TOGETHER):
        numbers = _numbers(count, first, effort.seed)
        arrived = _arrived(topology, ("web", "workers"), "client", numbers, effort)
        found.extend(map(tuple, arrived.tolist()))
    return tuple(found)


def _of_networks(read: Callable[[tuple[int, ...]], float]) -> Callable[..., Reading]:
    def study(model: dict[str, Any], effort: Effort) -> Reading:
        Words(model).inner("balancer").phrase("policy", {"ip_hash": None})
        return Reading([read(each) for each in _networks(json.dumps(model), effort)])

    return study


@lru_cache(maxsize=4)
def _shards(text: str, effort: Effort) -> tuple[tuple[tuple[int, ...], int], ...]:
    """Return for each trial the queries that each shard gets, and where the hottest key is."""
    words = Words(json.loads(text))
    sharding = words.inner("sharding")
    sharding.expect(kind="hash", hash="uniform, new seed each trial")
    shards, trials = sharding.take("shards"), _trials(words, effort)
    with understanding():
        keys = read_keys(words.inner("keys"), 0).get("keys")
        if keys is None:
            raise words.unsupported("keys")
        words.finish()
        weights: Any = keys.weights()
        if weights is None:
            weights = np.ones(keys.count)
    db = ss.Database("db", connections=1, shards=shards, read=0.001)
    topology = ss.Topology(
        ss.Service("entry", endpoints={"serve": [ss.call("db.read")]}, workers=DRAWS), db,
        entry="entry",
    )  # fmt: skip
    draw = np.random.default_rng(effort.seed)
    at, law = ("db", "connections"), weights / weights.sum()
    found: list[tuple[tuple[int, ...], int]] = []
    for first in range(0, trials, TOGETHER):
        numbers = _numbers(len(law), first, effort.seed)
        drawn = draw.choice(len(law), (TOGETHER, DRAWS), p=law)
        asked = _arrived(topology, at, "key", np.take_along_axis(numbers, drawn, 1), effort)
        hottest = numbers[:, [int(np.argmax(law))]]
        alone = _arrived(topology, at, "key", hottest, effort)
        found.extend(zip(map(tuple, asked.tolist()), alone.argmax(axis=1).tolist(), strict=True))
    return tuple(found)


def _of_shards(read: Callable[[tuple[int, ...], int], float]) -> Callable[..., Reading]:
    def study(model: dict[str, Any], effort: Effort) -> Reading:
        if "arrival" in model:
            raise Unsupported("means over hash functions of a model with arrivals")
        Words(model).inner("sharding").phrase("kind", {"hash": None})
        return Reading([read(*each) for each in _shards(json.dumps(model), effort)])

    return study


def _squares(asked: tuple[int, ...], hottest: int) -> float:
    """Return the sum of the squared shares; of queries drawn at random this has no bias."""
    n = sum(asked)
    return sum(each * (each - 1) for each in asked) / (n * (n - 1))


HASHING: dict[str, tuple[tuple[str, ...], Callable[..., Reading]]] = {
    "target_skew_mean": (
        ("balancer", "clients"), _of_networks(lambda n: max(n) * len(n) / sum(n))),
    "busiest_target_clients_mean": (("balancer", "clients"), _of_networks(max)),
    "idle_targets_mean": (("balancer", "clients"), _of_networks(lambda n: n.count(0))),
    "share_of_the_shard_with_the_hottest_key_mean": (
        ("sharding", "keys"), _of_shards(lambda n, hottest: n[hottest] / sum(n))),
    "sum_of_squared_shares_mean": (("sharding", "keys"), _of_shards(_squares)),
    "shard_skew_mean": (
        ("sharding", "keys"), _of_shards(lambda n, hottest: max(n) * len(n) / sum(n))),
}  # fmt: skip
"""Metric -> the words that a model needs for it, and what answers it."""
