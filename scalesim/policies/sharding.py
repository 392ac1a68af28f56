"""Sharding: which shard holds a key.

A policy's function is ``shard_of(value, shards, count, values) -> int``: of `count` values, from 0
on; `shards` is their number, or where in the table `values` their hash ring stands. The partitions
of a message queue are chosen here, too: by `consumer_of`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from scalesim.fields import Description, Family, Integer, described, param
from scalesim.kernels.draws import hash_below, u01
from scalesim.policies.hash_ring import VIRTUAL_NODES, node_of

__all__ = [
    "ConsistentHashSharding",
    "SHARDING",
    "HashSharding",
    "ModuloSharding",
    "PARTITION_BY",
    "RangeSharding",
    "ShardingPolicy",
    "consumer_of",
    "sharding_code",
    "sharding_functions",
]

SHARDING = Family("sharding policy")
PARTITION_BY = ("key", "client", "random")
"""What decides a message's partition; the position is the plan's code."""


class ShardingPolicy(Description):
    """Base of sharding policies; `virtual_nodes` of those with a hash ring is not 0."""

    virtual_nodes: int = 0
    shard_of: ClassVar[Callable[..., Any]]


def sharding_functions() -> tuple[Callable[..., Any], ...]:
    """Return the functions of all policies, by code."""
    return tuple(member.shard_of for member in SHARDING.members.values())  # type: ignore[attr-defined]


def sharding_code(policy: ShardingPolicy) -> int:
    """Return the code of `policy`."""
    return list(SHARDING.members).index(policy.type_name)


def hashed(value, shards, count, values):
    """Return a well-mixed hash of the key, modulo the number of shards."""
    return hash_below(value, shards)


def modulo(value, shards, count, values):
    """Return the key's number modulo the number of shards: neighbours go to different shards."""
    return value % shards


def by_range(value, shards, count, values):
    """Return which of the equal ranges of numbers the key is in."""
    return value * shards // count


def on_ring(value, shards, count, values):
    """Return the shard of the next point on the hash ring."""
    return node_of(values, shards, value)


@SHARDING.add("hash")
@described
class HashSharding(ShardingPolicy):
    """By hash of the key: keys spread evenly, popular keys make hot shards."""

    shard_of = staticmethod(hashed)


@SHARDING.add("modulo")
@described
class ModuloSharding(ShardingPolicy):
    """By the key's number modulo the number of shards."""

    shard_of = staticmethod(modulo)


@SHARDING.add("range")
@described
class RangeSharding(ShardingPolicy):
    """By equal contiguous ranges of the key's number: neighbours are on one shard.

    Keys are numbered from the most popular down, so that the first shard is the hottest.
    """

    shard_of = staticmethod(by_range)


@SHARDING.add("consistent_hash")
@described
class ConsistentHashSharding(ShardingPolicy):
    """By a hash ring with ``virtual_nodes`` points a shard: shares are uneven.

    A further shard takes its keys from all the others, about one in (shards + 1), and no others
    move. The coefficient of variation of the shares is about 1 / sqrt(``virtual_nodes``).

    Parameters
    ----------
    virtual_nodes : int [1 .. 10,000]
        160, as in libketama and nginx; Cassandra 3 has 256, Cassandra 4 has 16.
    """

    shard_of = staticmethod(on_ring)
    virtual_nodes: int = param(Integer(1, 10_000), "points of a shard", default=VIRTUAL_NODES)


def consumer_of(partition, item, client, key, site):
    """Return the consumer of the partition that a message falls into.

    Partition p belongs to consumer p modulo their number: as even as possible, and the first have
    one more.
    """
    if partition.by == 2:
        place = int(u01(key, site, 0) * partition.partitions)
    else:
        place = hash_below(client if partition.by == 1 else item, partition.partitions)
    return place % partition.consumers
