"""Rings: what consistent hashing gives each target, over many hash functions.

The library has one hash ring for each number of targets. But the points of its targets lie like
uniform ones, so that the shares of the ring are a Dirichlet vector; among themselves the shares of
any ten of many targets then are what they would be of ten alone, and independent of those of any
other ten (Wilks, "Mathematical statistics", 1962, 7.7). So one run of many targets is many trials;
another seed draws other keys, but gives no other ring.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
from accuracy.suite import Effort, Reading
from accuracy.words import Words, understanding

import scalesim as ss
from scalesim.policies.load_balancing import ConsistentHash

__all__ = ["RINGS"]

MANY_KEYS = 100_000_000
FEWEST, MOST_TARGETS, MOST_POINTS = 100, 15_000, 1_000_000
"""Trials at least; targets and points on the ring of all trials together at most."""

PER_POINT, LEAST_KEYS, FEWEST_KEYS = 2, 1000, 50
"""Keys asked for in a trial on average: for each point of its targets, and at least; and what half
of those of a trial have to be."""

MOVED_KEYS, EACH = 100, 500
"""Keys of a trial that may move, on a ring and with a hash modulo the number of targets."""


@understanding()
def _targets_and_points(model: dict[str, Any]) -> tuple[int, int]:
    words = Words(model)
    balancer, keys = words.inner("balancer"), words.inner("keys")
    balancer.expect(policy="consistent_hash", hash="uniform on the ring, new seed each trial")
    keys.expect(kind="uniform", count="very many")
    for name in ("targets", "virtual_nodes"):
        if not isinstance(balancer.take(name), int) or balancer.take(name) < 1:
            raise balancer.unsupported(name)
    if "run" in words:
        words.inner("run").take("trials", None)
    words.finish()
    return balancer.take("targets"), balancer.take("virtual_nodes")


def _trials(model: dict[str, Any], effort: Effort, targets: int, points: int) -> int:
    wanted = model.get("run", {}).get("trials", 2000) * effort.scale
    most = min(MOST_TARGETS // targets, MOST_POINTS // (targets * points))
    return max(min(int(wanted), most), min(FEWEST, most), 2)


@lru_cache(maxsize=4)
def _asked(text: str, effort: Effort) -> np.ndarray:
    """Return how many keys each target gets, of each half of them; int array [2, trials, targets].

    Trials with too few keys to tell are left out: how many come has no part in how they are shared.
    """
    model = json.loads(text)
    targets, points = _targets_and_points(model)
    trials = _trials(model, effort, targets, points)
    web = ss.Service("web", instances=trials * targets, endpoints={"serve": [ss.sleep(0.0)]})
    policy = ConsistentHash(by="key", virtual_nodes=points)
    entry = ss.LoadBalancer("entry", targets="web", policy=policy)
    results = ss.simulate(
        ss.Topology(entry, web, entry="entry"),
        ss.Traffic(1.0, keys=ss.UniformKeys(MANY_KEYS)),
        duration=float(trials * max(PER_POINT * targets * points, LEAST_KEYS)),
        warmup=0.0, seed=effort.seed, engine=effort.engine,
    )  # fmt: skip
    (recording,) = results.recordings
    arrived = recording.station["arrived"][:, results.stations_of("web", "workers")]
    half = len(arrived) // 2
    halves = np.asarray([part.sum(axis=0) for part in (arrived[:half], arrived[half:])])
    asked = halves.reshape(2, trials, targets)
    return asked[:, asked.sum(axis=2).min(axis=0) >= FEWEST_KEYS]


def _variation(asked: np.ndarray) -> np.ndarray:
    """Return the squared coefficient of variation of the shares; of random keys it has no bias."""
    each = asked.sum(axis=0)
    keys = each.sum(axis=1)
    return each.shape[1] * (each * (each - 1)).sum(axis=1) / (keys * (keys - 1)) - 1


def _largest(asked: np.ndarray) -> np.ndarray:
    """Return the largest share, without what it gains by chance, which falls with more keys."""
    both, halves = asked.sum(axis=0), asked.max(axis=2) / asked.sum(axis=2)
    return 2 * both.max(axis=1) / both.sum(axis=1) - halves.mean(axis=0)


def _of_shares(read: Callable[[np.ndarray], np.ndarray], resolution: float = 0.0) -> Any:
    def study(model: dict[str, Any], effort: Effort) -> Reading:
        return Reading(read(_asked(json.dumps(model), effort)).tolist(), resolution)

    return study


def _kept(policy: Any, old: int, new: int, keys: int, effort: Effort) -> Any:
    """Return the results of asking for keys, each before and after `new` targets join `old` ones.

    A key that finds itself in its target's own cache has not moved; caches keep it that long.
    """
    cache = ss.Cache("seen", placement="in_process", ttl=0.5)
    parts = [
        ss.Service("old", instances=old, endpoints={"get": [ss.call("seen.get")]}),
        ss.Service("new", instances=new, endpoints={"get": [ss.sleep(0.0)]}),
        ss.LoadBalancer("before", targets="old", policy=policy),
        ss.LoadBalancer("after", targets=("old", "new"), policy=policy),
    ]
    steps = {name: [ss.call(f"{name}.get")] for name in ("before", "after")}
    entry = ss.Service("entry", endpoints=steps)
    numbers = (effort.seed * keys + np.arange(keys)) % MANY_KEYS
    replay = ss.ReplayTraffic(
        tuple((np.arange(keys)[:, None] + [0.25, 0.5]).ravel().tolist()),
        client=tuple(np.repeat(numbers, 2).tolist()), key=(0,) * (2 * keys),
        endpoint=("before", "after") * keys,
    )  # fmt: skip
    return ss.simulate(
        ss.Topology(entry, cache, *parts, entry="entry"), replay, duration=keys + 1.0, warmup=0.0,
        engine=effort.engine,
    )  # fmt: skip


def _moved(model: dict[str, Any], effort: Effort) -> Reading:
    """Read which share of the keys moves when one target is added: each trial's targets get one."""
    targets, points = _targets_and_points(model)
    trials = _trials(model, effort, targets + 1, points)
    policy = ConsistentHash(virtual_nodes=points)
    results = _kept(policy, trials * targets, trials, trials * MOVED_KEYS, effort)
    hits = results.pooled("cache")["hits"].reshape(trials, targets).sum(axis=1)
    after = results.pooled("routed")[trials * targets :]  # of the second balancer
    came = after[: trials * targets].reshape(trials, targets).sum(axis=1) + after[-trials:]
    return Reading((1 - hits / came)[came > 0].tolist())


def _moved_modulo(model: dict[str, Any], effort: Effort) -> Reading:
    """Read the same of a hash modulo the number of targets; a bucket of time is a trial."""
    targets, _ = _targets_and_points(model)
    (recording,) = _kept("ip_hash", targets, 1, 72 * EACH, effort).recordings
    hits = recording.cache["hits"].sum(axis=1)
    came = recording.routed[:, targets:].sum(axis=1)
    return Reading((1 - hits / came).tolist())


RINGS: dict[str, tuple[tuple[str, ...], Callable[..., Reading]]] = {
    "target_share_scv": (("balancer", "keys"), _of_shares(_variation)),
    "busiest_target_share_mean": (("balancer", "keys"), _of_shares(_largest, 0.003)),
    "keys_moved_ratio_when_one_target_is_added": (("balancer", "keys"), _moved),
    "keys_moved_ratio_when_one_is_added_modulo_hash": (("balancer", "keys"), _moved_modulo),
}
"""Metric -> the words that a model needs for it, and what answers it."""
