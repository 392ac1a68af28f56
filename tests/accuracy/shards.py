"""Shards: a station whose instances each hold some of the keys is a sharded database."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from accuracy.stations import MANY, Place, make, read_discipline
from accuracy.words import Unsupported, Words, distribution, mean_of

import scalesim as ss
from scalesim.traffic import Measured, Popularity

if TYPE_CHECKING:
    from accuracy.system import Script, System

__all__ = ["in_ranges", "sharded"]

RULES = {
    "modulo": "shard = key mod shards",
    "range": "equal contiguous ranges of keys",
    "hash": "shard = hash of the key mod shards",
}
POLICIES = {"modulo": "modulo", "range": "modulo", "hash": "hash"}
"""Ranges are what is left over by division, of keys that `in_ranges` has numbered anew."""


def sharded(words: Words, station: Words, system: System) -> Script:
    """Translate a station with an instance for each shard, which queries reach by their key."""
    kind, shards = words.take("kind"), words.take("shards")
    if kind not in RULES:
        raise words.unsupported("kind")
    words.expect(rule=RULES[kind])
    name = station.take("name")
    station.expect(instances=shards)
    fields, place = read_discipline(station)
    if place.serving == "workers":  # each connection has a core of its own
        fields["cores"] = min(fields["workers"], 100_000)
        fields["cpu_discipline"] = "fifo" if place.slots else "ps"
    renamed = {"workers": "connections", "backlog": "queue_limit"}
    fields = {renamed.get(field, field): value for field, value in fields.items()}
    c = system.only_class("sharding")
    service = distribution(station.inner("service"))
    system.add(
        make(ss.Database, name, shards=shards, sharding=POLICIES[kind], read=service, **fields)
    )
    waiting = "connections" if fields["connections"] != MANY else "cpu"
    system.places[name] = Place(
        (name,), waiting, "cpu", "connections", place.slots, {c: mean_of(service)}
    )
    return {c: (ss.call(f"{name}.read"),)}


def in_ranges(keys: Popularity, shards: int) -> Popularity:
    """Return the same keys, numbered so that the number modulo `shards` is the old one's range.

    Key k is in range ``k * shards // count``.
    """
    weights: Any = keys.weights()
    if weights is None:
        weights = np.ones(keys.count)
    if not isinstance(shards, int) or shards < 1 or len(weights) % shards:
        raise Unsupported(f"sharding.shards={shards!r}: {len(weights)} keys in equal ranges")
    return Measured(tuple(map(float, weights.reshape(shards, -1).T.ravel())))
